#ifndef KRN_STORE_AVX512_H
#define KRN_STORE_AVX512_H
#include "kernels/kernels.h"
#include <immintrin.h>

/** What the AVX-512 products share: the epilogue on one vector of finished sums. `ep` points at the
 *  tile's first row and column. */
static inline __attribute__((always_inline)) __m512
krn_finish_avx512(__m512 v, const krn_epilogue *ep, size_t row, size_t col, __mmask16 mask)
{
    if (ep->scale)
        v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, ep->scale + col));
    if (ep->bias)
        v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, ep->bias + col));
    const float *residual = ep->residual ? ep->residual + row * ep->ldr + col : NULL;
    if (residual && !ep->residual_last)
        v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, residual));
    if (ep->act == KRN_ACT_RELU) {
        v = _mm512_max_ps(v, _mm512_setzero_ps());
    } else if (ep->act == KRN_ACT_PRELU) {
        const __mmask16 low = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NGT_UQ);
        v = _mm512_mask_mul_ps(v, low, v, _mm512_maskz_loadu_ps(mask, ep->slope + col));
    }
    if (residual && ep->residual_last)
        v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, residual));
    return v;
}

/** The epilogue moved to column j and row i. */
static inline krn_epilogue krn_epilogue_at(const krn_epilogue *ep, size_t i, size_t j)
{
    krn_epilogue e = *ep;
    e.scale = e.scale ? e.scale + j : NULL;
    e.bias = e.bias ? e.bias + j : NULL;
    e.slope = e.slope ? e.slope + j : NULL;
    e.residual = e.residual ? e.residual + i * e.ldr + j : NULL;
    return e;
}

static inline __mmask16 krn_low_bits(size_t n)
{
    return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1u);
}

/** Instances of a tile function for every row count. */
#define KRN_ROWS_14(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#endif
