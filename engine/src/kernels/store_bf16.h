#ifndef KRN_STORE_BF16_H
#define KRN_STORE_BF16_H
#include "kernels/kernels.h"
#include <immintrin.h>

/** 16 results of the bf16 product to where they go: row and column of c or c16. */
static inline __attribute__((always_inline)) void
krn_store_bf16(const krn_gemm_bf16_args *g, size_t row, size_t col, __mmask16 mask, __m512 v)
{
    const size_t at = row * g->ldc + col;
    if (g->c16)
        _mm256_mask_storeu_epi16(g->c16 + at, mask, (__m256i)_mm512_cvtneps_pbh(v));
    else
        _mm512_mask_storeu_ps(g->c + at, mask, v);
}
#endif
