#include "kernels/kernels.h"

/* B', G and A' as they stand; see winograd.h. */
enum { N = KRN_WINOGRAD_N, MOST = KRN_WINOGRAD_MOST_SIDE };
#define P1 0.70710678118654752440f
#define P2 1.41421356237309504880f
#define S1 (-2.0f / 3.0f)
#define S2 (1.0f / 6.0f)

static const float bt[N][N] = {{1, 0, -2.5f, 0, 1, 0},        {0, -2 * P1, -2, P1, 1, 0},
                               {0, 2 * P1, -2, -P1, 1, 0},    {0, -P2 / 2, -0.5f, P2, 1, 0},
                               {0, P2 / 2, -0.5f, -P2, 1, 0}, {0, 1, 0, -2.5f, 0, 1}};
/* B' of a short tile: of its elements 0, 1, 2 and 5. */
static const float bt_short[N][N] = {{-0.5f, 0, 1}, {0, P1, 1}, {0, -P1, 1},
                                     {0},           {0},        {0, -0.5f, 0, 1}};

/* By what a filter has taps; a and gt are A and G', the others' transposes. */
typedef struct transforms {
    int taps, side;
    const float *g, *at, *at_short, *a, *gt;
} transforms;

static const float g3[N][3] = {{1, 0, 0},     {1, P1, 0.5f},  {1, -P1, 0.5f},
                               {1, P2, 2.0f}, {1, -P2, 2.0f}, {0, 0, 1}};
static const float gt3[3][N] = {
    {1, 1, 1, 1, 1, 0}, {0, P1, -P1, P2, -P2, 0}, {0, 0.5f, 0.5f, 2, 2, 1}};
static const float at4[4][N] = {{1, S1, S1, S2, S2, 0},
                                {0, S1 *P1, -S1 *P1, S2 *P2, -S2 *P2, 0},
                                {0, S1 / 2, S1 / 2, S2 * 2, S2 * 2, 0},
                                {0, S1 / 2 * P1, -S1 / 2 * P1, S2 * 2 * P2, -S2 * 2 * P2, 1}};
static const float a4[N][4] = {{1, 0, 0, 0},
                               {S1, S1 *P1, S1 / 2, S1 / 2 * P1},
                               {S1, -S1 *P1, S1 / 2, -S1 / 2 * P1},
                               {S2, S2 *P2, S2 * 2, S2 * 2 * P2},
                               {S2, -S2 *P2, S2 * 2, -S2 * 2 * P2},
                               {0, 0, 0, 1}};
static const float at_short4[4][N] = {{-2, 1, 1}, {0, P1, -P1, 0, 0, 1}};
static const transforms by_3x3 = {3,         4,         &g3[0][0], &at4[0][0], &at_short4[0][0],
                                  &a4[0][0], &gt3[0][0]};

static const float g2[N][2] = {{1, 0}, {1, P1}, {1, -P1}, {1, P2}, {1, -P2}, {0, 1}};
static const float gt2[2][N] = {{1, 1, 1, 1, 1, 0}, {0, P1, -P1, P2, -P2, 1}};
static const float at5[5][N] = {{1, S1, S1, S2, S2, 0},
                                {0, S1 *P1, -S1 *P1, S2 *P2, -S2 *P2, 0},
                                {0, S1 / 2, S1 / 2, S2 * 2, S2 * 2, 0},
                                {0, S1 / 2 * P1, -S1 / 2 * P1, S2 * 2 * P2, -S2 * 2 * P2, 0},
                                {0, S1 / 4, S1 / 4, S2 * 4, S2 * 4, 1}};
static const float a5[N][5] = {{1, 0, 0, 0, 0},
                               {S1, S1 *P1, S1 / 2, S1 / 2 * P1, S1 / 4},
                               {S1, -S1 *P1, S1 / 2, -S1 / 2 * P1, S1 / 4},
                               {S2, S2 *P2, S2 * 2, S2 * 2 * P2, S2 * 4},
                               {S2, -S2 *P2, S2 * 2, -S2 * 2 * P2, S2 * 4},
                               {0, 0, 0, 0, 1}};
static const float at_short5[5][N] = {{-2, 1, 1}, {0, P1, -P1}, {0, 0.5f, 0.5f, 0, 0, 1}};
static const transforms by_2x2 = {2,         5,         &g2[0][0], &at5[0][0], &at_short5[0][0],
                                  &a5[0][0], &gt2[0][0]};

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

static void filter_by(const transforms *by, float *u, size_t step, const float *g, size_t tap,
                      size_t n, int row)
{
    const int r = by->taps;
    for (size_t k = 0; k < n; k += LANES) {
        const size_t some = lanes_of(n - k);
        lanes d[9] = {{0}}, t[3], o[N];
        for (size_t i = 0; i < (size_t)(r * r); i++)
            for (size_t l = 0; l < some; l++)
                d[i][l] = g[i * tap + k + l];
        times(t, 0, 1, by->g + row * r, 1, r, (const lanes *)d, (size_t)r, 1, r);
        times(o, 1, 0, by->g, N, r, (const lanes *)t, 1, 0, 1);
        for (size_t j = 0; j < N; j++)
            for (size_t l = 0; l < some; l++)
                u[j * step + k + l] = o[j][l];
    }
}

static void filter(float *u, size_t step, const float *g, size_t tap, size_t n, int row)
{
    filter_by(&by_3x3, u, step, g, tap, n, row);
}

static void filter_2x2(float *u, size_t step, const float *g, size_t tap, size_t n, int row)
{
    filter_by(&by_2x2, u, step, g, tap, n, row);
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

static void output_by(const transforms *by, const krn_winograd_place *p, const float *m,
                      size_t step, size_t channels)
{
    const bool i_short = krn_winograd_short((size_t)by->side, (size_t)p->rows);
    const bool j_short = krn_winograd_short((size_t)by->side, (size_t)p->cols);
    for (size_t k = 0; k < channels; k += LANES) {
        const size_t some = lanes_of(channels - k);
        lanes d[N * N] = {{0}}, o[MOST * MOST];
        for (size_t xi = 0; xi < N * N; xi++)
            for (size_t l = 0; l < some && exists(xi, i_short, j_short); l++)
                d[xi][l] = m[xi * step + k + l];
        both_sides(o, i_short ? by->at_short : by->at, j_short ? by->at_short : by->at,
                   (const lanes *)d, by->side, N);
        for (int i = 0; i < p->rows; i++)
            for (int j = 0; j < p->cols; j++)
                store(p, (size_t)i * p->row + (size_t)j * p->col + k, k, o[i * by->side + j], some);
    }
}

static void output(const krn_winograd_place *p, const float *m, size_t step, size_t channels)
{
    output_by(&by_3x3, p, m, step, channels);
}

static void output_2x2(const krn_winograd_place *p, const float *m, size_t step, size_t channels)
{
    output_by(&by_2x2, p, m, step, channels);
}

#define BLOCKS                                                                                     \
    .tiles = 64, .outputs = 128, .depth = 128, .strip = 128, .round = (size_t)3 << 20, .least = 98

const krn_winograd krn_winograd_f32__ref = {.taps = 3,
                                            .side = 4,
                                            .input = input,
                                            .filter = filter,
                                            .output = output,
                                            BLOCKS,
                                            KRN_WINOGRAD_NAMES("f(4x4) f32 ref")};

const krn_winograd krn_winograd_2x2_f32__ref = {.taps = 2,
                                                .side = 5,
                                                .input = input,
                                                .filter = filter_2x2,
                                                .output = output_2x2,
                                                BLOCKS,
                                                KRN_WINOGRAD_NAMES("f(5x5) f32 ref")};

static void spread_by(const transforms *by, float *y, size_t step, const krn_winograd_window *w,
                      size_t channels)
{
    const int side = by->side;
    for (size_t k = 0; k < channels; k += LANES) {
        const size_t some = lanes_of(channels - k);
        lanes d[MOST * MOST] = {{0}}, o[N * N];
        for (int i = w->i0; i < w->i1; i++)
            for (int j = w->j0; j < w->j1; j++)
                for (size_t l = 0; l < some; l++)
                    d[i * side + j][l] = w->x[w->at + i * w->row + j * w->col + (ptrdiff_t)(k + l)];
        both_sides(o, by->a, by->a, (const lanes *)d, N, side);
        for (size_t xi = 0; xi < N * N; xi++)
            for (size_t l = 0; l < some; l++)
                y[xi * step + k + l] = o[xi][l];
    }
}

static void spread(float *y, size_t step, const krn_winograd_window *w, size_t channels)
{
    spread_by(&by_3x3, y, step, w, channels);
}

static void spread_2x2(float *y, size_t step, const krn_winograd_window *w, size_t channels)
{
    spread_by(&by_2x2, y, step, w, channels);
}

static void gather_by(const transforms *by, float *g, size_t tap, const float *m, size_t step,
                      size_t n)
{
    const int r = by->taps;
    for (size_t k = 0; k < n; k += LANES) {
        const size_t some = lanes_of(n - k);
        lanes d[N * N] = {{0}}, o[9];
        for (size_t xi = 0; xi < N * N; xi++)
            for (size_t l = 0; l < some; l++)
                d[xi][l] = m[xi * step + k + l];
        both_sides(o, by->gt, by->gt, (const lanes *)d, r, N);
        for (size_t t = 0; t < (size_t)(r * r); t++)
            for (size_t l = 0; l < some; l++)
                g[t * tap + k + l] = o[t][l];
    }
}

static void gather(float *g, size_t tap, const float *m, size_t step, size_t n)
{
    gather_by(&by_3x3, g, tap, m, step, n);
}

static void gather_2x2(float *g, size_t tap, const float *m, size_t step, size_t n)
{
    gather_by(&by_2x2, g, tap, m, step, n);
}

const krn_winograd_grad krn_winograd_grad_f32__ref = {
    .taps = 3, .side = 4, .spread = spread, .gather = gather, .name = "winograd f(4x4) f32 ref"};

const krn_winograd_grad krn_winograd_2x2_grad_f32__ref = {.taps = 2,
                                                          .side = 5,
                                                          .spread = spread_2x2,
                                                          .gather = gather_2x2,
                                                          .name = "winograd f(5x5) f32 ref"};
