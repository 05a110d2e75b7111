#include <immintrin.h>

typedef __m512i words;
enum { LANES = 4 };
#define ZERO _mm512_setzero_si512()
#define LOAD(p) _mm512_loadu_si512(p)
#define STORE(p, v) _mm512_storeu_si512(p, v)
#define SET32 _mm512_set1_epi32
#define ADD32 _mm512_add_epi32
#define SHL32 _mm512_slli_epi32
#define SAR32 _mm512_srai_epi32
#define MADD _mm512_madd_epi16
#define SHUFFLE8 _mm512_shuffle_epi8
#define UNPACK_LOW8 _mm512_unpacklo_epi8
#define UNPACK_HIGH8 _mm512_unpackhi_epi8
#define PACK32 _mm512_packus_epi32
#define PACK16 _mm512_packus_epi16
#define EACH_LANE _mm512_broadcast_i32x4
#define PAIR(a, b) _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1)
#define LANES_OF(f)                                                                                \
    _mm512_inserti64x4(_mm512_castsi256_si512(PAIR(f(0), f(1))), PAIR(f(2), f(3)), 1)
#define IN_ORDER(v)                                                                                \
    _mm512_permutexvar_epi32(                                                                      \
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v)
#define SIDE_BY_SIDE _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15)
#define STORE_PIXELS(p, v)                                                                         \
    _mm512_mask_storeu_epi32(p, 0xfff, _mm512_permutexvar_epi32(SIDE_BY_SIDE, v))

#include "kernels/resample_vec.h"

void krn_resample_row_u8__avx512(uint8_t *dst, const uint8_t *src, size_t src_len,
                                 const krn_resample_row *r, int n)
{
    all_rows(dst, src, src_len, r, n);
}

void krn_resample_column_u8__avx512(uint8_t *dst, const uint8_t *const *rows, const int32_t *weight,
                                    int taps, size_t len)
{
    all_columns(dst, rows, weight, taps, len);
}
