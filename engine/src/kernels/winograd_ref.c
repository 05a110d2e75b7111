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
/* The same of F(2, 3), its elements 0, 1, 2 and 5. */
static const float bt_short[N][N] = {{-0.5f, 0, 1}, {0, P1, 1}, {0, -P1, 1},
                                     {0},           {0},        {0, -0.5f, 0, 1}};
static const float at_short[M][N] = {{-2, 1, 1}, {0, P1, -P1, 0, 0, 1}};

/* So many channels side by side that a compiler without our help makes vectors of them. */
enum { LANES = 8 };
typedef float lanes[LANES];

static size_t lanes_of(size_t left) { return left < LANES ? left : LANES; }

/* out (rows,n) = a in, a (rows,k) and in (k,n), `by` lanes from row to row of in and out; the same
 * function serves for in a' with rows and columns exchanged. */
static void times(lanes *out, size_t out_row, size_t out_col, const float *a, int rows, int k,
                  const lanes *in, size_t in_row, size_t in_col, int n)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < n; j++) {
            lanes s = {0};
            for (int p = 0; p < k; p++) {
                const float f = a[i * k + p];
                const float *from = in[(size_t)p * in_row + (size_t)j * in_col];
                for (int l = 0; l < LANES && f != 0.0f; l++)
                    s[l] += f * from[l];
            }
            for (int l = 0; l < LANES; l++)
                out[(size_t)i * out_row + (size_t)j * out_col][l] = s[l];
        }
}

/* out (n,n) = a in b', a and b (n,k). */
static void both_sides(lanes *out, const float *a, const float *b, const lanes *in, int n, int k)
{
    lanes t[N * N];
    times(t, (size_t)k, 1, a, n, k, in, (size_t)k, 1, k);
    times(out, 1, (size_t)n, b, n, k, (const lanes *)t, 1, (size_t)k, n);
}

static bool exists(size_t xi, bool short_i, bool short_j)
{
    const size_t i = xi / N, j = xi % N;
    return !(short_i && (i == 3 || i == 4)) && !(short_j && (j == 3 || j == 4));
}

static float pixel(const krn_winograd_window *w, ptrdiff_t i)
{
    float f;
    if (w->x16)
        krn_gemm_w16__ref.widen(&f, w->x16 + i, 1);
    else if (w->round)
        krn_round_bf16__ref(&f, w->x + i, 1);
    else
        f = w->x[i];
    return f;
}

static void input(float *v, size_t step, const krn_winograd_window *w, size_t channels)
{
    for (size_t k = 0; k < channels; k += LANES) {
        const size_t some = lanes_of(channels - k);
        lanes d[N * N] = {{0}}, o[N * N];
        for (int i = w->i0; i < w->i1; i++)
            for (int j = w->j0; j < w->j1; j++)
                for (size_t l = 0; l < some; l++)
                    d[i * N + j][l] =
                        pixel(w, w->at + i * w->row + j * w->col + (ptrdiff_t)(k + l));
        both_sides(o, w->short_i ? &bt_short[0][0] : &bt[0][0],
                   w->short_j ? &bt_short[0][0] : &bt[0][0], (const lanes *)d, N, N);
        for (size_t xi = 0; xi < N * N; xi++)
            for (size_t l = 0; l < some && exists(xi, w->short_i, w->short_j); l++)
                v[xi * step + k + l] = o[xi][l];
    }
}

static void filter(float *u, size_t step, const float *g, size_t tap, size_t n, int row)
{
    for (size_t k = 0; k < n; k += LANES) {
        const size_t some = lanes_of(n - k);
        lanes d[9] = {{0}}, t[3], o[N];
        for (size_t i = 0; i < 9; i++)
            for (size_t l = 0; l < some; l++)
                d[i][l] = g[i * tap + k + l];
        times(t, 0, 1, gm[row], 1, 3, (const lanes *)d, 3, 1, 3);
        times(o, 1, 0, &gm[0][0], N, 3, (const lanes *)t, 1, 0, 1);
        for (size_t j = 0; j < N; j++)
            for (size_t l = 0; l < some; l++)
                u[j * step + k + l] = o[j][l];
    }
}

static void store(const krn_winograd_place *p, size_t to, size_t k, float *o, size_t some)
{
    if (p->ep) {
        krn_epilogue ep = *p->ep;
        ep.bias = ep.bias ? ep.bias + k : NULL;
        ep.slope = ep.slope ? ep.slope + k : NULL;
        ep.residual = ep.residual ? ep.residual + to : NULL;
        krn_epilogue_ref(o, some, 1, some, &ep);
    }
    if (p->y16)
        krn_to_bf16__ref(p->y16 + to, o, some);
    for (size_t l = 0; l < some && !p->y16; l++)
        p->y[to + l] = o[l];
}

static void output(const krn_winograd_place *p, const float *m, size_t step, size_t channels)
{
    for (size_t k = 0; k < channels; k += LANES) {
        const size_t some = lanes_of(channels - k);
        const bool i_short = krn_winograd_short((size_t)p->rows);
        const bool j_short = krn_winograd_short((size_t)p->cols);
        lanes d[N * N] = {{0}}, o[M * M];
        for (size_t xi = 0; xi < N * N; xi++)
            for (size_t l = 0; l < some && exists(xi, i_short, j_short); l++)
                d[xi][l] = m[xi * step + k + l];
        both_sides(o, i_short ? &at_short[0][0] : &at[0][0], j_short ? &at_short[0][0] : &at[0][0],
                   (const lanes *)d, M, N);
        for (int i = 0; i < p->rows; i++)
            for (int j = 0; j < p->cols; j++)
                store(p, (size_t)i * p->row + (size_t)j * p->col + k, k, o[i * M + j], some);
    }
}

const krn_winograd krn_winograd_f32__ref = {.tiles = 64,
                                            .outputs = 128,
                                            .depth = 128,
                                            .strip = 128,
                                            .round = (size_t)3 << 20,
                                            .least = 98,
                                            .input = input,
                                            .filter = filter,
                                            .output = output,
                                            KRN_WINOGRAD_NAMES("ref")};

/* A and G'. */
static const float am[N][M] = {{1, 0, 0, 0},
                               {S1, S1 *P1, S1 / 2, S1 / 2 * P1},
                               {S1, -S1 *P1, S1 / 2, -S1 / 2 * P1},
                               {S2, S2 *P2, S2 * 2, S2 * 2 * P2},
                               {S2, -S2 *P2, S2 * 2, -S2 * 2 * P2},
                               {0, 0, 0, 1}};
static const float gt[3][N] = {
    {1, 1, 1, 1, 1, 0}, {0, P1, -P1, P2, -P2, 0}, {0, 0.5f, 0.5f, 2, 2, 1}};

static void spread(float *y, size_t step, const krn_winograd_window *w, size_t channels)
{
    for (size_t k = 0; k < channels; k += LANES) {
        const size_t some = lanes_of(channels - k);
        lanes d[M * M] = {{0}}, o[N * N];
        for (int i = w->i0; i < w->i1; i++)
            for (int j = w->j0; j < w->j1; j++)
                for (size_t l = 0; l < some; l++)
                    d[i * M + j][l] = w->x[w->at + i * w->row + j * w->col + (ptrdiff_t)(k + l)];
        both_sides(o, &am[0][0], &am[0][0], (const lanes *)d, N, M);
        for (size_t xi = 0; xi < N * N; xi++)
            for (size_t l = 0; l < some; l++)
                y[xi * step + k + l] = o[xi][l];
    }
}

static void gather(float *g, size_t tap, const float *m, size_t step, size_t n)
{
    for (size_t k = 0; k < n; k += LANES) {
        const size_t some = lanes_of(n - k);
        lanes d[N * N] = {{0}}, o[9];
        for (size_t xi = 0; xi < N * N; xi++)
            for (size_t l = 0; l < some; l++)
                d[xi][l] = m[xi * step + k + l];
        both_sides(o, &gt[0][0], &gt[0][0], (const lanes *)d, 3, N);
        for (size_t t = 0; t < 9; t++)
            for (size_t l = 0; l < some; l++)
                g[t * tap + k + l] = o[t][l];
    }
}

const krn_winograd_grad krn_winograd_grad_f32__ref = {
    .spread = spread, .gather = gather, .name = "winograd f(4x4) f32 ref"};
