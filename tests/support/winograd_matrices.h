#ifndef PRELU_TEST_WINOGRAD_MATRICES_H
#define PRELU_TEST_WINOGRAD_MATRICES_H
/* B', G and A' of F(4x4,3x3) and F(5x5,2x2) from their interpolation points, in double:
 * kernels/winograd.h says how, and none of its formulas is used here. The short ones are
 * F(2x2,3x3)'s and F(3x3,2x2)'s, of the first three points and infinity; rows and columns that they
 * have not are 0. */
#include <math.h>
#include <string.h>

typedef struct winograd_matrices {
    int taps, side;           /* of a filter, of a tile of outputs */
    double b[6][6], g[6 * 3]; /* g as (6,taps) */
    double a[5][6], b_short[6][6], a_short[5][6];
} winograd_matrices;

static inline winograd_matrices winograd_of_points(int points, int taps)
{
    const double p[5] = {0, sqrt(0.5), -sqrt(0.5), sqrt(2), -sqrt(2)};
    winograd_matrices m;
    memset(&m, 0, sizeof m);
    for (int r = 0; r < 6; r++) { /* the product of (x - q) over the other points */
        int degree = 0;
        if (r >= points && r < 5)
            continue;
        m.b[r][0] = 1;
        for (int q = 0; q < points; q++) {
            if (q == r)
                continue;
            for (int k = ++degree; k >= 0; k--)
                m.b[r][k] = (k ? m.b[r][k - 1] : 0) - p[q] * m.b[r][k];
        }
    }
    for (int r = 0; r < points; r++) {
        double slope = 1; /* M'(p) */
        for (int q = 0; q < points; q++)
            slope *= q == r ? 1 : p[r] - p[q];
        for (int k = 0; k < taps; k++)
            m.g[r * taps + k] = pow(p[r], k);
        for (int i = 0; i < points + 2 - taps; i++)
            m.a[i][r] = pow(p[r], i) / slope;
    }
    m.g[5 * taps + taps - 1] = 1;
    m.a[points + 1 - taps][5] = 1;
    m.taps = taps;
    m.side = 7 - taps;
    return m;
}

static inline winograd_matrices winograd_make(int taps)
{
    winograd_matrices m = winograd_of_points(5, taps), s = winograd_of_points(3, taps);
    memcpy(m.b_short, s.b, sizeof s.b);
    memcpy(m.a_short, s.a, sizeof s.a);
    return m;
}

/* out (n,n) = a in b' for a and b (n,k), and the sum of the terms' absolute values. */
static inline void winograd_two_sides(double *out, double *scale, const double *a, const double *b,
                                      const double *in, int n, int k)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double s = 0, t = 0;
            for (int p = 0; p < k; p++)
                for (int q = 0; q < k; q++) {
                    const double term = a[i * k + p] * in[p * k + q] * b[j * k + q];
                    s += term;
                    t += fabs(term);
                }
            out[i * n + j] = s;
            scale[i * n + j] = t;
        }
}

static inline void winograd_sides(double *out, double *scale, const double *a, const double *in,
                                  int n, int k)
{
    winograd_two_sides(out, scale, a, a, in, n, k);
}
#endif
