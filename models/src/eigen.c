#include "eigen.h"
#include <math.h>
#include <stdbool.h>

#define MAX_SWEEPS 60 /* it converges quadratically: some ten do */

/* Rows and columns p, q of the symmetric `a` turned so that a[p][q] becomes 0; rows of `v` alike.
 */
static void rotate(double *a, double *v, size_t n, size_t p, size_t q)
{
    double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
    double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
    double c = 1 / sqrt(t * t + 1), s = t * c;
    for (size_t k = 0; k < n; k++) {
        double x = a[k * n + p], y = a[k * n + q];
        a[k * n + p] = c * x - s * y;
        a[k * n + q] = s * x + c * y;
    }
    for (size_t k = 0; k < n; k++) {
        double x = a[p * n + k], y = a[q * n + k];
        a[p * n + k] = c * x - s * y;
        a[q * n + k] = s * x + c * y;
        x = v[p * n + k];
        y = v[q * n + k];
        v[p * n + k] = c * x - s * y;
        v[q * n + k] = s * x + c * y;
    }
}

static void swap_rows(double *values, double *v, size_t n, size_t i, size_t k)
{
    double t = values[i];
    values[i] = values[k];
    values[k] = t;
    for (size_t j = 0; j < n; j++) {
        t = v[i * n + j];
        v[i * n + j] = v[k * n + j];
        v[k * n + j] = t;
    }
}

/* Descending, and of the two signs of a vector always the same one. */
static void put_in_order(double *values, double *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t best = i, largest = 0;
        for (size_t k = i + 1; k < n; k++)
            if (values[k] > values[best])
                best = k;
        swap_rows(values, v, n, i, best);
        for (size_t j = 1; j < n; j++)
            if (fabs(v[i * n + j]) > fabs(v[i * n + largest]))
                largest = j;
        const double sign = v[i * n + largest] < 0 ? -1 : 1;
        for (size_t j = 0; j < n; j++)
            v[i * n + j] *= sign;
    }
}

void mdl_eigen(double *a, size_t n, double *values, double *v)
{
    double scale = 0;
    for (size_t i = 0; i < n * n; i++) {
        v[i] = i % (n + 1) == 0;
        scale += fabs(a[i]);
    }
    for (int sweep = 0; sweep < MAX_SWEEPS; sweep++) {
        bool done = true;
        for (size_t p = 0; p + 1 < n; p++)
            for (size_t q = p + 1; q < n; q++)
                if (fabs(a[p * n + q]) > 1e-14 * scale) {
                    rotate(a, v, n, p, q);
                    done = false;
                }
        if (done)
            break;
    }
    for (size_t i = 0; i < n; i++)
        values[i] = a[i * n + i];
    put_in_order(values, v, n);
}
