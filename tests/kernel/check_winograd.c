#include "check_winograd.h"
#include "check.h"
#include "winograd_matrices.h"

static char text[256];
#define WRONG(...) (snprintf(text, sizeof text, __VA_ARGS__), text)

enum { MOST = KRN_WINOGRAD_MOST_SIDE, N = KRN_WINOGRAD_N, XI = KRN_WINOGRAD_XI };

static winograd_matrices matrices;

/* Roundings of two passes of at most six terms each, and of their factors. */
#define ROUNDINGS (24 * 0x1p-24)

static bool band_broken(const void *data, size_t len)
{
    const unsigned char *b = data;
    for (size_t i = 1; i <= CHECK_BAND; i++)
        if (b[-(ptrdiff_t)i] != 0xa5 || b[len + i - 1] != 0xa5)
            return true;
    return false;
}

static float *nans(size_t n)
{
    float *p = check_guard_new(n * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = NAN;
    return p;
}

static const size_t counts[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 70};
enum { COUNTS = sizeof counts / sizeof *counts };

/* ---- input ---------------------------------------------------------------------------------- */

typedef struct inside {
    int i0, i1, j0, j1;
} inside;

static const inside windows[] = {{0, 6, 0, 6}, {1, 6, 0, 6}, {0, 5, 0, 6}, {0, 6, 1, 6},
                                 {0, 6, 0, 3}, {1, 4, 2, 5}, {5, 6, 0, 1}, {2, 3, 5, 6},
                                 {0, 0, 0, 6}, {0, 6, 6, 6}, {2, 6, 2, 6}};
enum { WINDOWS = sizeof windows / sizeof *windows };

/* The block has the inside pixels only, with NaN between their channels: `at` may be negative. */
static bool exists(size_t xi, bool short_i, bool short_j)
{
    const size_t i = xi / N, j = xi % N;
    return !(short_i && (i == 3 || i == 4)) && !(short_j && (j == 3 || j == 4));
}

/* A window in bf16, and one that is rounded as it is read, give the bits of the rounded one. */
static const char *input_rounded(const krn_winograd *v, const krn_winograd_window *win, size_t len,
                                 size_t step, size_t c)
{
    const size_t bytes = XI * step * sizeof(float);
    float *x = nans(len), *want = nans(XI * step);
    uint16_t *x16 = check_guard_new(len * sizeof *x16);
    krn_winograd_window w = *win;
    const char *wrong = NULL;
    krn_round_bf16__ref(x, win->x, len);
    krn_to_bf16__ref(x16, win->x, len);
    w.x = x;
    v->input(want, step, &w, c);
    for (int i = 0; i < 2 && !wrong; i++) {
        float *got = nans(XI * step);
        w = *win;
        w.round = true;
        w.x = i ? NULL : win->x;
        w.x16 = i ? x16 : NULL;
        v->input(got, step, &w, c);
        if (memcmp(got, want, bytes) != 0 || band_broken(got, bytes))
            wrong = WRONG("input of %zu %s: other bits", c, i ? "in bf16" : "rounded");
        check_guard_free(got);
    }
    check_guard_free(x);
    check_guard_free(x16);
    check_guard_free(want);
    return wrong;
}

/* `ends`: 1 short in rows, 2 in columns. */
static const char *input_case(const krn_winograd *v, size_t c, inside in, int ends, uint64_t *seed)
{
    const int h = in.i1 - in.i0, w = in.j1 - in.j0;
    const size_t col = c + 3, row = (size_t)(w + 1) * col, step = c + 5;
    const size_t len = h && w ? (size_t)(h - 1) * row + (size_t)(w - 1) * col + c : 0;
    float *x = nans(len), *got = nans(XI * step);
    float one[XI + 1]; /* room for a fault that writes one past; `got` has the bands that notice */
    const char *wrong = NULL;
    krn_winograd_window win = {.x = x,
                               .at = -(ptrdiff_t)((size_t)in.i0 * row + (size_t)in.j0 * col),
                               .row = (ptrdiff_t)row,
                               .col = (ptrdiff_t)col,
                               .i0 = in.i0,
                               .i1 = in.i1,
                               .j0 = in.j0,
                               .j1 = in.j1,
                               .short_i = ends & 1,
                               .short_j = ends & 2};
    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++)
            for (size_t k = 0; k < c; k++)
                x[(size_t)i * row + (size_t)j * col + k] = check_random_float(seed, -1, 1);
    v->input(got, step, &win, c);
    wrong = input_rounded(v, &win, len, step, c);
    for (size_t k = 0; k < c && !wrong; k++) {
        double d[XI], want[XI], scale[XI];
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                d[i * N + j] =
                    i < in.i0 || i >= in.i1 || j < in.j0 || j >= in.j1
                        ? 0
                        : (double)x[(size_t)(i - in.i0) * row + (size_t)(j - in.j0) * col + k];
        winograd_two_sides(want, scale, ends & 1 ? &matrices.b_short[0][0] : &matrices.b[0][0],
                           ends & 2 ? &matrices.b_short[0][0] : &matrices.b[0][0], d, N, N);
        for (size_t xi = 0; xi < XI && !wrong; xi++)
            if (exists(xi, ends & 1, ends & 2) &&
                !(fabs((double)got[xi * step + k] - want[xi]) <= ROUNDINGS * scale[xi]))
                wrong = WRONG("input of %zu, rows %d-%d, columns %d-%d, ends %d: [%zu][%zu] is %g, "
                              "not %g",
                              c, in.i0, in.i1, in.j0, in.j1, ends, xi, k,
                              (double)got[xi * step + k], want[xi]);
        win.x = x + k;
        v->input(one, 1, &win, 1);
        for (size_t xi = 0; xi < XI && !wrong; xi++)
            if (exists(xi, ends & 1, ends & 2) &&
                memcmp(&one[xi], &got[xi * step + k], sizeof *one) != 0)
                wrong = WRONG("input of %zu: channel %zu has other bits alone", c, k);
    }
    for (size_t i = 0; i < XI * step && !wrong; i++)
        if ((i % step >= c || !exists(i / step, ends & 1, ends & 2)) && !isnan(got[i]))
            wrong = WRONG("input of %zu: wrote between the rows", c);
    if (!wrong && (band_broken(got, XI * step * sizeof *got) || band_broken(x, len * sizeof *x)))
        wrong = WRONG("input of %zu: wrote outside", c);
    check_guard_free(x);
    check_guard_free(got);
    return wrong;
}

/* ---- filter --------------------------------------------------------------------------------- */

static const char *filter_case(const krn_winograd *v, size_t n, uint64_t *seed)
{
    const size_t tap = n + 3, step = n + 5, taps = v->taps * v->taps, len = (taps - 1) * tap + n;
    float *g = nans(len), *got = nans(XI * step), one[N];
    const char *wrong = NULL;
    for (size_t t = 0; t < taps; t++)
        for (size_t k = 0; k < n; k++)
            g[t * tap + k] = check_random_float(seed, -1, 1);
    for (int row = 0; row < N; row++)
        v->filter(got + (size_t)row * N * step, step, g, tap, n, row);
    for (size_t k = 0; k < n && !wrong; k++) {
        double d[9], want[XI], scale[XI];
        for (size_t t = 0; t < taps; t++)
            d[t] = (double)g[t * tap + k];
        winograd_sides(want, scale, matrices.g, d, N, matrices.taps);
        for (size_t xi = 0; xi < XI && !wrong; xi++)
            if (!(fabs((double)got[xi * step + k] - want[xi]) <= ROUNDINGS * scale[xi]))
                wrong = WRONG("filter of %zu: [%zu][%zu] is %g, not %g", n, xi, k,
                              (double)got[xi * step + k], want[xi]);
        v->filter(one, 1, g + k, tap, 1, 3);
        for (size_t j = 0; j < N && !wrong; j++)
            if (memcmp(&one[j], &got[(3 * N + j) * step + k], sizeof *one) != 0)
                wrong = WRONG("filter of %zu: %zu has other bits alone", n, k);
    }
    for (size_t i = 0; i < XI * step && !wrong; i++)
        if (i % step >= n && !isnan(got[i]))
            wrong = WRONG("filter of %zu: wrote between the rows", n);
    if (!wrong && (band_broken(got, XI * step * sizeof *got) || band_broken(g, len * sizeof *g)))
        wrong = WRONG("filter of %zu: wrote outside", n);
    check_guard_free(g);
    check_guard_free(got);
    return wrong;
}

/* ---- output --------------------------------------------------------------------------------- */

typedef struct out_case {
    size_t c, step, row, col, len;
    int rows, cols;
    float *m, *y, *res, *bias, *slope;
    krn_epilogue ep;
} out_case;

static double finished(const out_case *o, double v, size_t where, size_t k)
{
    v += o->ep.bias ? (double)o->bias[k] : 0;
    const double res = o->ep.residual ? (double)o->res[where] : 0;
    v += o->ep.residual_last ? 0 : res;
    if (o->ep.act != KRN_ACT_NONE && !(v > 0))
        v = o->ep.act == KRN_ACT_RELU ? 0 : v * (double)o->slope[k];
    return o->ep.residual_last ? v + res : v;
}

static const char *output_wrong(const out_case *o)
{
    const int side = matrices.side;
    const bool short_i = krn_winograd_short((size_t)side, (size_t)o->rows);
    const bool short_j = krn_winograd_short((size_t)side, (size_t)o->cols);
    for (size_t k = 0; k < o->c; k++) {
        double d[XI], want[XI], scale[XI];
        for (size_t xi = 0; xi < XI; xi++)
            d[xi] = exists(xi, short_i, short_j) ? (double)o->m[xi * o->step + k] : 0;
        winograd_two_sides(want, scale, short_i ? &matrices.a_short[0][0] : &matrices.a[0][0],
                           short_j ? &matrices.a_short[0][0] : &matrices.a[0][0], d, side, N);
        for (int i = 0; i < o->rows; i++)
            for (int j = 0; j < o->cols; j++) {
                const size_t where = (size_t)i * o->row + (size_t)j * o->col + k;
                const double w = finished(o, want[i * side + j], where, k);
                if (!(fabs((double)o->y[where] - w) <= 2 * ROUNDINGS * (scale[i * side + j] + 2)))
                    return WRONG("output of %zu, %d x %d, act %d: pixel (%d,%d)[%zu] is %g, not %g",
                                 o->c, o->rows, o->cols, (int)o->ep.act, i, j, k,
                                 (double)o->y[where], w);
            }
    }
    for (size_t i = 0; i < o->len; i++) {
        const size_t r = i / o->row, q = i % o->row / o->col, k = i % o->row % o->col;
        if ((r >= (size_t)o->rows || q >= (size_t)o->cols || k >= o->c) && !isnan(o->y[i]))
            return WRONG("output of %zu, %d x %d: wrote at %zu", o->c, o->rows, o->cols, i);
    }
    return NULL;
}

/* The pixels that p's y has, in bf16. */
static const char *output_in_bf16(const krn_winograd *v, const krn_winograd_place *p,
                                  const out_case *o)
{
    krn_winograd_place q = *p;
    uint16_t want;
    const char *wrong = NULL;
    q.y = NULL;
    q.y16 = check_guard_new(o->len * sizeof *q.y16);
    memset(q.y16, 0xa5, o->len * sizeof *q.y16);
    v->output(&q, o->m, o->step, o->c);
    for (size_t i = 0; i < o->len && !wrong; i++) {
        want = 0xa5a5;
        if (!isnan(o->y[i]))
            krn_to_bf16__ref(&want, &o->y[i], 1);
        if (q.y16[i] != want)
            wrong = WRONG("output of %zu, %d x %d: in bf16 %#x at %zu, not %#x", o->c, o->rows,
                          o->cols, q.y16[i], i, want);
    }
    if (!wrong && band_broken(q.y16, o->len * sizeof *q.y16))
        wrong = WRONG("output of %zu in bf16: wrote outside", o->c);
    check_guard_free(q.y16);
    return wrong;
}

static const char *output_case(const krn_winograd *v, size_t c, int shape, int kind, uint64_t *seed)
{
    static const float slopes[] = {0.25f, 0.0f, 1.0f, -0.5f, 1.5f};
    const int side = matrices.side;
    out_case o = {.c = c, .step = c + 3, .rows = shape / side + 1, .cols = shape % side + 1};
    o.col = c + 2;
    o.row = MOST * o.col + 1;
    o.len = (size_t)(o.rows - 1) * o.row + (size_t)(o.cols - 1) * o.col + c;
    o.m = nans(35 * o.step + c);
    o.y = nans(o.len);
    o.res = nans(o.len);
    o.bias = nans(c);
    o.slope = nans(c);
    for (size_t k = 0; k < c; k++) {
        o.bias[k] = check_random_float(seed, -1, 1);
        o.slope[k] = slopes[(k + (size_t)shape) % 5];
        for (size_t xi = 0; xi < XI; xi++)
            if (exists(xi, krn_winograd_short(v->side, (size_t)o.rows),
                       krn_winograd_short(v->side, (size_t)o.cols)))
                o.m[xi * o.step + k] = check_random_float(seed, -1, 1);
        for (int i = 0; i < o.rows; i++)
            for (int j = 0; j < o.cols; j++)
                o.res[(size_t)i * o.row + (size_t)j * o.col + k] = check_random_float(seed, -1, 1);
    }
    o.ep = (krn_epilogue){.bias = kind & 1 ? o.bias : NULL,
                          .residual = kind & 2 ? o.res : NULL,
                          .slope = o.slope,
                          .act = (krn_act)(kind >> 2),
                          .residual_last = c & 1};
    const krn_winograd_place p = {.y = o.y,
                                  .row = o.row,
                                  .col = o.col,
                                  .rows = o.rows,
                                  .cols = o.cols,
                                  .ep = kind ? &o.ep : NULL};
    v->output(&p, o.m, o.step, c);
    const char *wrong = output_wrong(&o);
    if (!wrong)
        wrong = output_in_bf16(v, &p, &o);
    if (!wrong && (band_broken(o.y, o.len * sizeof *o.y) ||
                   band_broken(o.m, (35 * o.step + c) * sizeof *o.m)))
        wrong = WRONG("output of %zu: wrote outside", c);
    float *all[] = {o.m, o.y, o.res, o.bias, o.slope};
    for (int i = 0; i < 5; i++)
        check_guard_free(all[i]);
    return wrong;
}

/* ---- product -------------------------------------------------------------------------------- */

typedef struct sums {
    krn_winograd_sums s;
    float *v, *u, *m, *was;
    size_t v_len, u_len, m_len;
} sums;

static sums sums_new(size_t nr, size_t count, size_t tiles, size_t depth, bool acc, uint64_t *seed)
{
    sums p = {.s = {.count = count,
                    .tiles = tiles,
                    .depth = depth,
                    .ldv = depth + 3,
                    .ldm = nr + 5,
                    .accumulate = acc}};
    p.s.v_step = tiles * p.s.ldv + 7;
    p.s.u_step = depth * nr + 9;
    p.s.m_step = tiles * p.s.ldm + 11;
    p.v_len = (count - 1) * p.s.v_step + (tiles - 1) * p.s.ldv + depth;
    p.u_len = (count - 1) * p.s.u_step + depth * nr;
    p.m_len = (count - 1) * p.s.m_step + (tiles - 1) * p.s.ldm + nr;
    p.s.v = p.v = nans(p.v_len);
    p.s.u = p.u = nans(p.u_len);
    p.s.m = p.m = nans(p.m_len);
    p.was = nans(p.m_len);
    for (size_t xi = 0; xi < count; xi++) {
        for (size_t t = 0; t < tiles; t++) {
            for (size_t k = 0; k < depth; k++)
                p.v[xi * p.s.v_step + t * p.s.ldv + k] = (float)check_random_int(seed, -8, 8);
            for (size_t o = 0; o < nr && acc; o++)
                p.m[xi * p.s.m_step + t * p.s.ldm + o] = (float)check_random_int(seed, -8, 8);
        }
        for (size_t k = 0; k < depth * nr; k++)
            p.u[xi * p.s.u_step + k] = (float)check_random_int(seed, -8, 8);
    }
    memcpy(p.was, p.m, p.m_len * sizeof *p.m);
    return p;
}

static const char *sums_wrong(const sums *p, size_t nr)
{
    const krn_winograd_sums *s = &p->s;
    for (size_t i = 0; i < p->m_len; i++) {
        const size_t xi = i / s->m_step, t = i % s->m_step / s->ldm, o = i % s->m_step % s->ldm;
        if (t >= s->tiles || o >= nr) {
            if (!isnan(p->m[i]))
                return WRONG("product of %zu x %zu: wrote between", s->tiles, s->depth);
            continue;
        }
        double want = s->accumulate ? (double)p->was[i] : 0;
        for (size_t k = 0; k < s->depth; k++)
            want += (double)p->v[xi * s->v_step + t * s->ldv + k] *
                    (double)p->u[xi * s->u_step + k * nr + o];
        if ((double)p->m[i] != want)
            return WRONG("product of %zu x %zu, accumulate %d: [%zu][%zu][%zu] is %g, not %g",
                         s->tiles, s->depth, s->accumulate, xi, t, o, (double)p->m[i], want);
    }
    if (band_broken(p->m, p->m_len * sizeof *p->m) || band_broken(p->v, p->v_len * sizeof *p->v) ||
        band_broken(p->u, p->u_len * sizeof *p->u))
        return WRONG("product of %zu x %zu: wrote outside", s->tiles, s->depth);
    return NULL;
}

/* Reals: the last tile alone, its channels in two parts, has the bits it had among the others. */
static const char *sums_bits(const krn_winograd *v, sums *p, size_t nr, uint64_t *seed)
{
    krn_winograd_sums one = p->s;
    float *m = malloc(nr * sizeof *m);
    const char *wrong = NULL;
    for (size_t i = 0; i < p->v_len; i++)
        p->v[i] = check_random_float(seed, -1, 1);
    for (size_t i = 0; i < p->u_len; i++)
        p->u[i] = check_random_float(seed, -1, 1);
    p->s.accumulate = false;
    v->product(&p->s);
    one.v += (one.tiles - 1) * one.ldv;
    one.tiles = one.count = 1;
    one.m = m;
    one.accumulate = false;
    if (one.depth > 1) {
        const size_t first = one.depth / 2;
        one.depth = first;
        v->product(&one);
        one.v += first;
        one.u += first * nr;
        one.depth = p->s.depth - first;
        one.accumulate = true;
    }
    v->product(&one);
    if (memcmp(m, p->m + (p->s.tiles - 1) * p->s.ldm, nr * sizeof *m) != 0)
        wrong = WRONG("product of %zu x %zu: a tile has other bits alone", p->s.tiles, p->s.depth);
    free(m);
    return wrong;
}

static const char *product_all(const krn_winograd *v, uint64_t *seed)
{
    static const size_t tiles[] = {1, 2, 7, 13, 14, 15, 16, 29}, depths[] = {1, 2, 15, 16, 32, 65};
    static const size_t xis[] = {1, 3, 6};
    const char *wrong = NULL;
    for (int turn = 0; turn < 2 * 8 * 6 * 3 && !wrong; turn++) {
        const bool acc = turn & 1;
        sums p = sums_new(v->strip, xis[turn / 2 % 3], tiles[turn / 6 % 8], depths[turn / 48], acc,
                          seed);
        p.s.fetch = p.u;
        p.s.lines = (size_t)turn % 5;
        v->product(&p.s);
        wrong = sums_wrong(&p, v->strip);
        if (!wrong)
            wrong = sums_bits(v, &p, v->strip, seed);
        check_guard_free(p.v);
        check_guard_free(p.u);
        check_guard_free(p.m);
        check_guard_free(p.was);
    }
    return wrong;
}

const char *check_winograd_f32_text(const krn_winograd *v)
{
    uint64_t seed = check_seed();
    const char *wrong = NULL;
    matrices = winograd_make((int)v->taps);
    if ((v->taps != 2 && v->taps != 3) || v->side + v->taps != N + 1)
        return WRONG("%zu taps and tiles of %zu", v->taps, v->side);
    for (int i = 0; i < COUNTS; i++) {
        for (int w = 0; w < WINDOWS && !wrong; w++)
            for (int ends = 0; ends < 4 && !wrong; ends++)
                wrong = input_case(v, counts[i], windows[w], ends, &seed);
        if (!wrong)
            wrong = filter_case(v, counts[i], &seed);
        for (int turn = 0; turn < 50 && !wrong; turn++)
            wrong =
                output_case(v, counts[i], turn % (matrices.side * matrices.side), turn % 12, &seed);
    }
    if (!wrong && v->product)
        wrong = product_all(v, &seed);
    return wrong;
}
