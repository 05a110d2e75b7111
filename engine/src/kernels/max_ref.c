#include "kernels/kernels.h"

void krn_max_f32__ref(float *y, const float *const *row, size_t rows, size_t c)
{
    for (size_t j = 0; j < c; j++) {
        float best = row[0][j];
        for (size_t r = 1; r < rows; r++) {
            const float v = row[r][j];
            best = ((v > best) | (v != v)) ? v : best;
        }
        y[j] = best;
    }
}

void krn_argmax_f32__ref(float *best, int32_t *which, const float *const *row, size_t rows,
                         int32_t first, size_t c)
{
    for (size_t j = 0; j < c; j++) {
        float b = first ? best[j] : row[0][j];
        int32_t at = first ? which[j] : 0;
        for (size_t r = 0; r < rows; r++) {
            const float v = row[r][j];
            if (v > b || (v != v && b == b)) {
                b = v;
                at = first + (int32_t)r;
            }
        }
        best[j] = b;
        which[j] = at;
    }
}
