#ifndef PRELU_TEST_WINOGRAD_MATRICES_H
#define PRELU_TEST_WINOGRAD_MATRICES_H
/* B', G and A' of F(4x4,3x3) from its interpolation points, in double: kernels/winograd.h says how,
 * and none of its formulas is used here. */
#include <math.h>
#include <string.h>

typedef struct winograd_matrices {
    double b[6][6], g[6][3], a[4][6];
} winograd_matrices;

static inline winograd_matrices winograd_make(void)
{
    const double p[5] = {0, sqrt(0.5), -sqrt(0.5), sqrt(2), -sqrt(2)};
    winograd_matrices m;
    memset(&m, 0, sizeof m);
    for (int r = 0; r < 6; r++) { /* the product of (x - q) over the other points */
        int degree = 0;
        m.b[r][0] = 1;
        for (int q = 0; q < 5; q++) {
            if (q == r)
                continue;
            for (int k = ++degree; k >= 0; k--)
                m.b[r][k] = (k ? m.b[r][k - 1] : 0) - p[q] * m.b[r][k];
        }
    }
    for (int r = 0; r < 5; r++) {
        double slope = 1; /* M'(p) */
        for (int q = 0; q < 5; q++)
            slope *= q == r ? 1 : p[r] - p[q];
        for (int k = 0; k < 3; k++)
            m.g[r][k] = pow(p[r], k);
        for (int i = 0; i < 4; i++)
            m.a[i][r] = pow(p[r], i) / slope;
    }
    m.g[5][2] = 1;
    m.a[3][5] = 1;
    return m;
}

/* out (n,n) = a in a' for a (n,k), and the sum of the terms' absolute values. */
static inline void winograd_sides(double *out, double *scale, const double *a, const double *in,
                                  int n, int k)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double s = 0, t = 0;
            for (int p = 0; p < k; p++)
                for (int q = 0; q < k; q++) {
                    const double term = a[i * k + p] * in[p * k + q] * a[j * k + q];
                    s += term;
                    t += fabs(term);
                }
            out[i * n + j] = s;
            scale[i * n + j] = t;
        }
}
#endif
