#ifndef KRN_VEC_AVX2_H
#define KRN_VEC_AVX2_H
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/** The vocabulary of vec_avx512.h for AVX2. */
typedef __m256 vec;
typedef __m256i lanes;
enum { LANES = 8 };

/* Eight ones, then eight zeros: n lanes begin at 8 - n. */
static const int ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define MLOAD(mask, p) _mm256_maskload_ps(p, mask)
#define MSTORE(p, mask, v) _mm256_maskstore_ps(p, mask, v)
#define SET(x) _mm256_set1_ps((float)(x))
#define ZERO _mm256_setzero_ps()
#define ADD _mm256_add_ps
#define SUB _mm256_sub_ps
#define MUL _mm256_mul_ps
#define FMA _mm256_fmadd_ps
#define FNMA _mm256_fnmadd_ps
#define MAX _mm256_max_ps
#define PICK_LOW(v, w) _mm256_blendv_ps(v, w, _mm256_cmp_ps(v, ZERO, _CMP_NGT_UQ))
#define FIRST(n) _mm256_loadu_si256((const __m256i *)(const void *)(ones + 8 - (n)))
#define NEAREST(v) _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define POWER2(v)                                                                                  \
    _mm256_castsi256_ps(                                                                           \
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127)), 23))
#define LOAD16(p) krn_widen16(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define MLOAD16(mask, p) krn_mload16(mask, p)
#define STORE16(p, v) _mm_storeu_si128((__m128i *)(void *)(p), krn_upper16(v))
#define MSTORE16(p, mask, v) krn_mstore16(p, mask, v)
#define ROUND16(v) krn_round16(v)

static inline vec krn_widen16(__m128i h)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

static inline __m128i krn_upper16(vec v)
{
    const __m256i w = _mm256_srli_epi32(_mm256_castps_si256(v), 16);
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(w, w), 0x08));
}

/* Masks are those of FIRST. */
static inline size_t krn_mask_len(lanes mask)
{
    return (size_t)__builtin_popcount((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(mask)));
}

static inline vec krn_mload16(lanes mask, const uint16_t *p)
{
    uint16_t h[LANES] = {0};
    memcpy(h, p, krn_mask_len(mask) * sizeof *h);
    return LOAD16(h);
}

static inline void krn_mstore16(uint16_t *p, lanes mask, vec v)
{
    uint16_t h[LANES];
    STORE16(h, v);
    memcpy(p, h, krn_mask_len(mask) * sizeof *h);
}

/* As in vec_avx512.h. */
static inline vec krn_round16(vec x)
{
    const __m256i b = _mm256_castps_si256(x), exponent = _mm256_set1_epi32(0x7f800000);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(b, 16), _mm256_set1_epi32(1));
    const __m256i tiny = _mm256_cmpeq_epi32(_mm256_and_si256(b, exponent), _mm256_setzero_si256());
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    __m256i v = _mm256_add_epi32(b, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    v = _mm256_blendv_epi8(v, _mm256_and_si256(b, _mm256_set1_epi32((int)0x80000000u)), tiny);
    v = _mm256_blendv_epi8(v, _mm256_or_si256(b, _mm256_set1_epi32(0x00400000)), nan);
    return _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32((int)0xffff0000u)));
}
#endif
