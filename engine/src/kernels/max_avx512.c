#include "kernels/kernels.h"
#include <immintrin.h>

/* max_ps(v, m) is m where one of them is NaN, so a NaN in m stays; one in v is moved in. Equal
 * numbers leave m, the earlier one. */
static __m512 larger(__m512 m, __m512 v)
{
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_mask_mov_ps(_mm512_max_ps(v, m), nan, v);
}

static __mmask16 tail_mask(size_t n)
{
    return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1u);
}

void krn_max_f32__avx512(float *y, const float *const *row, size_t rows, size_t c)
{
    for (size_t j = 0; j < c; j += 16) {
        const __mmask16 mask = tail_mask(c - j);
        __m512 m = _mm512_maskz_loadu_ps(mask, row[0] + j);
        for (size_t r = 1; r < rows; r++)
            m = larger(m, _mm512_maskz_loadu_ps(mask, row[r] + j));
        _mm512_mask_storeu_ps(y + j, mask, m);
    }
}

void krn_argmax_f32__avx512(float *best, int32_t *which, const float *const *row, size_t rows,
                            int32_t first, size_t c)
{
    for (size_t j = 0; j < c; j += 16) {
        const __mmask16 mask = tail_mask(c - j);
        __m512 b = _mm512_maskz_loadu_ps(mask, first ? best + j : row[0] + j);
        __m512i at = first ? _mm512_maskz_loadu_epi32(mask, which + j) : _mm512_setzero_si512();
        for (size_t r = 0; r < rows; r++) {
            const __m512 v = _mm512_maskz_loadu_ps(mask, row[r] + j);
            const __mmask16 ordered = _mm512_cmp_ps_mask(b, b, _CMP_ORD_Q);
            const __mmask16 nan = _mm512_mask_cmp_ps_mask(ordered, v, v, _CMP_UNORD_Q);
            const __mmask16 more = _mm512_cmp_ps_mask(v, b, _CMP_GT_OQ);
            const __mmask16 take = (__mmask16)(more | nan);
            b = _mm512_mask_mov_ps(b, take, v);
            at = _mm512_mask_mov_epi32(at, take, _mm512_set1_epi32(first + (int32_t)r));
        }
        _mm512_mask_storeu_ps(best + j, mask, b);
        _mm512_mask_storeu_epi32(which + j, mask, at);
    }
}
