#include "kernels/kernels.h"
#include <immintrin.h>

static __m512 prelu16(__m512 v, __m512 slope)
{
    const __mmask16 other = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NGT_UQ);
    return _mm512_mask_mul_ps(v, other, slope, v);
}

void krn_prelu_f32__avx512(float *y, const float *x, const float *a, size_t rows, size_t c)
{
    const size_t whole = c / 16 * 16;
    const __mmask16 tail = (__mmask16)((1u << (c - whole)) - 1u);
    for (size_t r = 0; r < rows; r++, y += c, x += c) {
        for (size_t j = 0; j < whole; j += 16)
            _mm512_storeu_ps(y + j, prelu16(_mm512_loadu_ps(x + j), _mm512_loadu_ps(a + j)));
        if (whole < c)
            _mm512_mask_storeu_ps(y + whole, tail,
                                  prelu16(_mm512_maskz_loadu_ps(tail, x + whole),
                                          _mm512_maskz_loadu_ps(tail, a + whole)));
    }
}
