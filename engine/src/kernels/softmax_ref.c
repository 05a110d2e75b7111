#include "kernels/kernels.h"
#include <math.h>

/* The largest is taken off first, so that no exp overflows; the sum runs in double and in order, so
 * a row's result is the same wherever it stands. NaN or +inf in a row make it NaN. */
static void softmax_row(float *y, const float *x, size_t c)
{
    float max = x[0];
    double sum = 0;
    for (size_t j = 1; j < c; j++)
        if (x[j] > max)
            max = x[j];
    for (size_t j = 0; j < c; j++) {
        y[j] = expf(x[j] - max);
        sum += (double)y[j];
    }
    const float scale = (float)(1.0 / sum);
    for (size_t j = 0; j < c; j++)
        y[j] *= scale;
}

void krn_softmax_f32__ref(float *y, const float *x, size_t rows, size_t c)
{
    for (size_t r = 0; r < rows; r++)
        softmax_row(y + r * c, x + r * c, c);
}
