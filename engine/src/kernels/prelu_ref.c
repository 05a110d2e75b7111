#include "kernels/kernels.h"

/* Not max(x, a*x): a may be negative or above 1. NaN fails the comparison and stays NaN. */
void krn_prelu_f32__ref(float *y, const float *x, const float *a, size_t rows, size_t c)
{
    for (size_t r = 0; r < rows; r++, y += c, x += c)
        for (size_t j = 0; j < c; j++)
            y[j] = x[j] > 0.0f ? x[j] : a[j] * x[j];
}
