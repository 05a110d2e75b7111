#include "check_winograd_grad.h"
#include "check.h"
#include "winograd_matrices.h"

static char text[256];
#define WRONG(...) (snprintf(text, sizeof text, __VA_ARGS__), text)

enum { N = KRN_WINOGRAD_N, XI = KRN_WINOGRAD_XI };

static winograd_matrices matrices;

/* Roundings of two passes of at most six terms each, and of their factors. */
#define ROUNDINGS (24 * 0x1p-24)

static float *nans(size_t n)
{
    float *p = check_guard_new(n * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = NAN;
    return p;
}

static bool band_broken(const float *data, size_t n)
{
    const unsigned char *b = (const unsigned char *)data;
    for (size_t i = 1; i <= CHECK_BAND; i++)
        if (b[-(ptrdiff_t)i] != 0xa5 || b[n * sizeof *data + i - 1] != 0xa5)
            return true;
    return false;
}

/* rows x rows elements, `step` apart, n channels each: values within the bound, NaN between. */
static const char *block_wrong(const char *what, const float *got, size_t step, size_t n, int side,
                               size_t k, const double *want, const double *scale)
{
    for (size_t e = 0; e < (size_t)(side * side); e++)
        if (!(fabs((double)got[e * step + k] - want[e]) <= ROUNDINGS * scale[e]))
            return WRONG("%s of %zu: [%zu][%zu] is %g, not %g", what, n, e, k,
                         (double)got[e * step + k], want[e]);
    return NULL;
}

static const char *between_wrong(const char *what, const float *got, size_t step, size_t n,
                                 size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (i % step >= n && !isnan(got[i]))
            return WRONG("%s of %zu: wrote between the elements", what, n);
    return band_broken(got, len) ? WRONG("%s of %zu: wrote outside", what, n) : NULL;
}

typedef struct inside {
    int i0, i1, j0, j1;
} inside;

static const char *spread_case(const krn_winograd_grad *v, size_t n, inside in, uint64_t *seed)
{
    const int h = in.i1 - in.i0, w = in.j1 - in.j0;
    const size_t col = n + 3, row = (size_t)(w + 1) * col, step = n + 5, all = XI * step;
    const size_t len = h && w ? (size_t)(h - 1) * row + (size_t)(w - 1) * col + n : 0;
    float *x = nans(len), *got = nans(all), one[XI + 1]; /* room for a fault that writes one past */
    const int side = matrices.side;
    const char *wrong = NULL;
    double a[XI];
    krn_winograd_window win = {.x = x,
                               .at = -(ptrdiff_t)((size_t)in.i0 * row + (size_t)in.j0 * col),
                               .row = (ptrdiff_t)row,
                               .col = (ptrdiff_t)col,
                               .i0 = in.i0,
                               .i1 = in.i1,
                               .j0 = in.j0,
                               .j1 = in.j1};
    for (int i = 0; i < N * side; i++)
        a[i] = matrices.a[i % side][i / side];
    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++)
            for (size_t k = 0; k < n; k++)
                x[(size_t)i * row + (size_t)j * col + k] = check_random_float(seed, -1, 1);
    v->spread(got, step, &win, n);
    for (size_t k = 0; k < n && !wrong; k++) {
        double d[XI], want[XI], scale[XI];
        for (int i = 0; i < side * side; i++) {
            const int r = i / side - in.i0, c = i % side - in.j0;
            d[i] = r < 0 || r >= h || c < 0 || c >= w
                       ? 0
                       : (double)x[(size_t)r * row + (size_t)c * col + k];
        }
        winograd_sides(want, scale, a, d, N, side);
        wrong = block_wrong("spread", got, step, n, N, k, want, scale);
        win.x = x + k;
        v->spread(one, 1, &win, 1);
        for (size_t e = 0; e < XI && !wrong; e++)
            if (memcmp(&one[e], &got[e * step + k], sizeof *one) != 0)
                wrong = WRONG("spread of %zu: channel %zu has other bits alone", n, k);
    }
    if (!wrong)
        wrong = between_wrong("spread", got, step, n, all);
    check_guard_free(x);
    check_guard_free(got);
    return wrong;
}

static const char *gather_case(const krn_winograd_grad *v, size_t n, uint64_t *seed)
{
    const size_t step = n + 3, tap = n + 5, len = 35 * step + n, taps = v->taps * v->taps;
    const size_t all = (taps - 1) * tap + n;
    float *m = nans(len), *got = nans(all), one[10];
    const char *wrong = NULL;
    double g[3 * N];
    for (int i = 0; i < matrices.taps * N; i++)
        g[i] = matrices.g[i % N * matrices.taps + i / N];
    for (size_t i = 0; i < len; i++)
        m[i] = i % step < n ? check_random_float(seed, -1, 1) : NAN;
    v->gather(got, tap, m, step, n);
    for (size_t k = 0; k < n && !wrong; k++) {
        double d[XI], want[9], scale[9];
        for (size_t e = 0; e < XI; e++)
            d[e] = (double)m[e * step + k];
        winograd_sides(want, scale, g, d, matrices.taps, N);
        wrong = block_wrong("gather", got, tap, n, matrices.taps, k, want, scale);
        v->gather(one, 1, m + k, step, 1);
        for (size_t e = 0; e < taps && !wrong; e++)
            if (memcmp(&one[e], &got[e * tap + k], sizeof *one) != 0)
                wrong = WRONG("gather of %zu: %zu has other bits alone", n, k);
    }
    if (!wrong)
        wrong = between_wrong("gather", got, tap, n, all);
    check_guard_free(m);
    check_guard_free(got);
    return wrong;
}

const char *check_winograd_grad_f32_text(const krn_winograd_grad *v)
{
    static const size_t counts[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 70};
    uint64_t seed = check_seed();
    const char *wrong = NULL;
    matrices = winograd_make((int)v->taps);
    if ((v->taps != 2 && v->taps != 3) || v->side + v->taps != N + 1)
        return WRONG("%zu taps and tiles of %zu", v->taps, v->side);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (int c = 0; c < 6 * 6 * 6 * 6 && !wrong; c++) {
            const inside in = {c / 216, c / 36 % 6, c / 6 % 6, c % 6};
            if (in.i1 <= matrices.side && in.j1 <= matrices.side && in.i0 <= in.i1 &&
                in.j0 <= in.j1)
                wrong = spread_case(v, counts[i], in, &seed);
        }
        if (!wrong)
            wrong = gather_case(v, counts[i], &seed);
    }
    return wrong;
}
