#include "kernels/kernels.h"
#include <immintrin.h>

static __m256i tail_mask(size_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}

static __m256 prelu8(__m256 v, __m256 slope)
{
    const __m256 positive = _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ);
    return _mm256_blendv_ps(_mm256_mul_ps(slope, v), v, positive);
}

void krn_prelu_f32__avx2(float *y, const float *x, const float *a, size_t rows, size_t c)
{
    const size_t whole = c / 8 * 8;
    const __m256i tail = tail_mask(c - whole);
    for (size_t r = 0; r < rows; r++, y += c, x += c) {
        for (size_t j = 0; j < whole; j += 8)
            _mm256_storeu_ps(y + j, prelu8(_mm256_loadu_ps(x + j), _mm256_loadu_ps(a + j)));
        if (whole < c)
            _mm256_maskstore_ps(
                y + whole, tail,
                prelu8(_mm256_maskload_ps(x + whole, tail), _mm256_maskload_ps(a + whole, tail)));
    }
}
