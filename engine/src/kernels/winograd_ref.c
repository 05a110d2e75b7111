#include "kernels/kernels.h"

/* B', G and A' as they stand; see winograd.h. */
enum { M = KRN_WINOGRAD_M, N = KRN_WINOGRAD_N };
#define P1 0.70710678118654752440f
#define P2 1.41421356237309504880f
#define S1 (-2.0f / 3.0f)
#define S2 (1.0f / 6.0f)

static const float bt[N][N] = {{1, 0, -2.5f, 0, 1, 0},        {0, -2 * P1, -2, P1, 1, 0},
                               {0, 2 * P1, -2, -P1, 1, 0},    {0, -P2 / 2, -0.5f, P2, 1, 0},
                               {0, P2 / 2, -0.5f, -P2, 1, 0}, {0, 1, 0, -2.5f, 0, 1}};
static const float gm[N][3] = {{1, 0, 0},     {1, P1, 0.5f},  {1, -P1, 0.5f},
                               {1, P2, 2.0f}, {1, -P2, 2.0f}, {0, 0, 1}};
static const float at[M][N] = {{1, S1, S1, S2, S2, 0},
                               {0, S1 *P1, -S1 *P1, S2 *P2, -S2 *P2, 0},
                               {0, S1 / 2, S1 / 2, S2 * 2, S2 * 2, 0},
                               {0, S1 / 2 * P1, -S1 / 2 * P1, S2 * 2 * P2, -S2 * 2 * P2, 1}};

/* out (n,n) = a in a', a (n,k) */
static void both_sides(float *out, const float *a, const float *in, int n, int k)
{
    float t[N * N];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < k; j++) {
            float s = 0.0f;
            for (int p = 0; p < k; p++)
                s += a[i * k + p] * in[p * k + j];
            t[i * k + j] = s;
        }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            float s = 0.0f;
            for (int p = 0; p < k; p++)
                s += t[i * k + p] * a[j * k + p];
            out[i * n + j] = s;
        }
}

static void input(float *v, size_t step, const krn_winograd_window *w, size_t channels)
{
    for (size_t k = 0; k < channels; k++) {
        float d[N * N], o[N * N];
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                const bool in = i >= w->i0 && i < w->i1 && j >= w->j0 && j < w->j1;
                d[i * N + j] = in ? w->x[w->at + i * w->row + j * w->col + (ptrdiff_t)k] : 0.0f;
            }
        both_sides(o, &bt[0][0], d, N, N);
        for (size_t xi = 0; xi < N * N; xi++)
            v[xi * step + k] = o[xi];
    }
}

static void filter(float *u, size_t step, const float *g, size_t tap, size_t n, int row)
{
    for (size_t k = 0; k < n; k++) {
        float d[9], o[N * N];
        for (size_t t = 0; t < 9; t++)
            d[t] = g[t * tap + k];
        both_sides(o, &gm[0][0], d, N, 3);
        for (size_t j = 0; j < N; j++)
            u[j * step + k] = o[(size_t)row * N + j];
    }
}

static void output(const krn_winograd_place *p, const float *m, size_t step, size_t channels)
{
    for (size_t k = 0; k < channels; k++) {
        float d[N * N], o[M * M];
        for (size_t xi = 0; xi < N * N; xi++)
            d[xi] = m[xi * step + k];
        both_sides(o, &at[0][0], d, M, N);
        for (int i = 0; i < p->rows; i++)
            for (int j = 0; j < p->cols; j++) {
                const size_t to = (size_t)i * p->row + (size_t)j * p->col + k;
                p->y[to] = o[i * M + j];
                if (!p->ep)
                    continue;
                krn_epilogue ep = *p->ep;
                ep.bias = ep.bias ? ep.bias + k : NULL;
                ep.slope = ep.slope ? ep.slope + k : NULL;
                ep.residual = ep.residual ? ep.residual + to : NULL;
                krn_epilogue_ref(p->y + to, 1, 1, 1, &ep);
            }
    }
}

/* One column panels (nr = 1 of the product): whole strips of them, for OpenBLAS */
const krn_winograd krn_winograd_f32__ref = {.tiles = 64,
                                            .outputs = 128,
                                            .depth = 128,
                                            .depth_ahead = 128,
                                            .strip = 128,
                                            .round = (size_t)2 << 20,
                                            .input = input,
                                            .filter = filter,
                                            .output = output,
                                            .fly = "winograd f(4x4) f32 ref, weights on the fly",
                                            .ahead = "winograd f(4x4) f32 ref, weights ahead"};
