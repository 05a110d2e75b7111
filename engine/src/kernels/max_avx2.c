#include "kernels/kernels.h"
#include <immintrin.h>

/* max_ps(v, m) is m where one of them is NaN, so a NaN in m stays; one in v is blended in. Equal
 * numbers leave m, the earlier one. */
static __m256 larger(__m256 m, __m256 v)
{
    return _mm256_blendv_ps(_mm256_max_ps(v, m), v, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

static __m256i tail_mask(size_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}

void krn_max_f32__avx2(float *y, const float *const *row, size_t rows, size_t c)
{
    const size_t whole = c / 8 * 8;
    for (size_t j = 0; j < whole; j += 8) {
        __m256 m = _mm256_loadu_ps(row[0] + j);
        for (size_t r = 1; r < rows; r++)
            m = larger(m, _mm256_loadu_ps(row[r] + j));
        _mm256_storeu_ps(y + j, m);
    }
    if (whole < c) {
        const __m256i tail = tail_mask(c - whole);
        __m256 m = _mm256_maskload_ps(row[0] + whole, tail);
        for (size_t r = 1; r < rows; r++)
            m = larger(m, _mm256_maskload_ps(row[r] + whole, tail));
        _mm256_maskstore_ps(y + whole, tail, m);
    }
}

typedef struct winner {
    __m256 best;
    __m256i which;
} winner;

/* v takes over where it is larger, or the first NaN. */
static winner challenge(winner w, __m256 v, int32_t number)
{
    const __m256 nan = _mm256_andnot_ps(_mm256_cmp_ps(w.best, w.best, _CMP_UNORD_Q),
                                        _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256 take = _mm256_or_ps(_mm256_cmp_ps(v, w.best, _CMP_GT_OQ), nan);
    const __m256 id = _mm256_castsi256_ps(_mm256_set1_epi32(number));
    w.best = _mm256_blendv_ps(w.best, v, take);
    w.which = _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(w.which), id, take));
    return w;
}

void krn_argmax_f32__avx2(float *best, int32_t *which, const float *const *row, size_t rows,
                          int32_t first, size_t c)
{
    for (size_t j = 0; j < c; j += 8) {
        const __m256i mask = tail_mask(c - j < 8 ? c - j : 8);
        winner w = {_mm256_maskload_ps(row[0] + j, mask), _mm256_setzero_si256()};
        if (first)
            w = (winner){_mm256_maskload_ps(best + j, mask),
                         _mm256_maskload_epi32(which + j, mask)};
        for (size_t r = 0; r < rows; r++)
            w = challenge(w, _mm256_maskload_ps(row[r] + j, mask), first + (int32_t)r);
        _mm256_maskstore_ps(best + j, mask, w.best);
        _mm256_maskstore_epi32(which + j, mask, w.which);
    }
}
