#include <immintrin.h>

typedef __m256i words;
enum { LANES = 2 };
#define ZERO _mm256_setzero_si256()
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define SET32 _mm256_set1_epi32
#define ADD32 _mm256_add_epi32
#define SHL32 _mm256_slli_epi32
#define SAR32 _mm256_srai_epi32
#define MADD _mm256_madd_epi16
#define SHUFFLE8 _mm256_shuffle_epi8
#define UNPACK_LOW8 _mm256_unpacklo_epi8
#define UNPACK_HIGH8 _mm256_unpackhi_epi8
#define PACK32 _mm256_packus_epi32
#define PACK16 _mm256_packus_epi16
#define EACH_LANE _mm256_broadcastsi128_si256
#define LANES_OF(f) _mm256_inserti128_si256(_mm256_castsi128_si256(f(0)), f(1), 1)
#define IN_ORDER(v) _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
#define STORE_PIXELS(p, v) store_pixels(p, v)

static inline __attribute__((always_inline)) void store_pixels(unsigned char *p, words v)
{
    v = _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7));
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_castsi256_si128(v));
    _mm_storel_epi64((__m128i *)(void *)(p + 16), _mm256_extracti128_si256(v, 1));
}

#include "kernels/resample_vec.h"

void krn_resample_row_u8__avx2(uint8_t *dst, const uint8_t *src, size_t src_len,
                               const krn_resample_row *r, int n)
{
    all_rows(dst, src, src_len, r, n);
}

void krn_resample_column_u8__avx2(uint8_t *dst, const uint8_t *const *rows, const int32_t *weight,
                                  int taps, size_t len)
{
    all_columns(dst, rows, weight, taps, len);
}
