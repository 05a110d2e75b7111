#ifndef KRN_VEC_AVX512_H
#define KRN_VEC_AVX512_H
#include "kernels/store_avx512.h"

/** The vector vocabulary that winograd_vec.h and depthwise_vec.h are written in, for AVX-512: vec,
 *  LANES, lanes (a mask type); LOAD STORE; MLOAD(mask, p) MSTORE(p, mask, v) (masked: 0 elsewhere,
 *  not touched); SET ZERO ADD SUB MUL FMA (a*b+c) FNMA (c-a*b) MAX; PICK_LOW(v, w) = v > 0 ? v : w;
 *  FIRST(n) the mask of n lanes. bf16: LOAD16 MLOAD16 widen; ROUND16(v) = round_bf16's result;
 *  STORE16(p, v) MSTORE16(p, mask, v) the upper halves of v. NEAREST(v) the
 *  nearest whole number; POWER2(v) = 2^v of whole numbers -126..127. */
typedef __m512 vec;
typedef __mmask16 lanes;
enum { LANES = 16 };
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define MLOAD(mask, p) _mm512_maskz_loadu_ps(mask, p)
#define MSTORE(p, mask, v) _mm512_mask_storeu_ps(p, mask, v)
#define SET(x) _mm512_set1_ps((float)(x))
#define ZERO _mm512_setzero_ps()
#define ADD _mm512_add_ps
#define SUB _mm512_sub_ps
#define MUL _mm512_mul_ps
#define FMA _mm512_fmadd_ps
#define FNMA _mm512_fnmadd_ps
#define MAX _mm512_max_ps
#define PICK_LOW(v, w) _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask(v, ZERO, _CMP_NGT_UQ), w)
#define FIRST(n) krn_low_bits(n)
#define NEAREST(v) _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define POWER2(v)                                                                                  \
    _mm512_castsi512_ps(                                                                           \
        _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(127)), 23))
#define LOAD16(p) krn_widen16(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#define MLOAD16(mask, p) krn_widen16(_mm256_maskz_loadu_epi16(mask, p))
#define STORE16(p, v) MSTORE16(p, (lanes)0xffff, v)
#define MSTORE16(p, mask, v)                                                                       \
    _mm512_mask_cvtepi32_storeu_epi16(p, mask, _mm512_srli_epi32(_mm512_castps_si512(v), 16))
#define ROUND16(v) krn_round16(v)

static inline vec krn_widen16(__m256i h)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* By integers, as the reference does it: the same bits, and no need of AVX512_BF16. */
static inline vec krn_round16(vec x)
{
    const __m512i b = _mm512_castps_si512(x), exponent = _mm512_set1_epi32(0x7f800000);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(b, 16), _mm512_set1_epi32(1));
    const __mmask16 tiny = _mm512_testn_epi32_mask(b, exponent);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    __m512i v = _mm512_add_epi32(b, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    v = _mm512_mask_and_epi32(v, tiny, b, _mm512_set1_epi32((int)0x80000000u));
    v = _mm512_mask_or_epi32(v, nan, b, _mm512_set1_epi32(0x00400000));
    return _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32((int)0xffff0000u)));
}
#endif
