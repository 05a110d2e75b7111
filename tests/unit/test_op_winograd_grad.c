#include "op_run.h"
#include "ops/conv_winograd.h"
#include "ops/conv_winograd_grad.h"
#include "winograd_matrices.h"

/* Gradients of filters by Winograd against plain loops in double, over every variant whose product
 * takes panels, in rounds and in shares. The bound of an element is the sum of |terms| that its
 * transforms and products add up, from the matrices themselves, times as many roundings as the
 * longest way through them has. */

enum { N = KRN_WINOGRAD_N, XI = KRN_WINOGRAD_XI };

typedef struct data {
    op_patch g;
    float *x, *dy, *dw; /* (n,h,w,c), (n,oh,ow,o), (o,kh,kw,c) */
} data;

static float *values(size_t n, uint64_t *seed)
{
    float *p = malloc((n + 1) * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = check_random_float(seed, -1, 1);
    return p;
}

static data make(size_t n, size_t h, size_t w, size_t c, size_t o, int pt, int pl, size_t taps,
                 uint64_t seed)
{
    data d = {.g = {.n = n,
                    .h = h,
                    .w = w,
                    .c = c,
                    .o = o,
                    .kh = taps,
                    .kw = taps,
                    .groups = 1,
                    .oh = h + (size_t)pt + 2 - taps,
                    .ow = w + (size_t)pl + 2 - taps,
                    .sh = 1,
                    .sw = 1,
                    .dh = 1,
                    .dw = 1,
                    .uh = 1,
                    .uw = 1,
                    .pt = pt,
                    .pl = pl}};
    d.x = values(n * h * w * c, &seed);
    d.dy = values(n * d.g.oh * d.g.ow * o, &seed);
    d.dw = check_guard_new(taps * taps * c * o * sizeof(float));
    return d;
}

static void unmake(data *d)
{
    free(d->x);
    free(d->dy);
    check_guard_free(d->dw);
}

static double pixel(const data *d, size_t n, int64_t y, int64_t x, size_t c)
{
    const op_patch *g = &d->g;
    y -= g->pt;
    x -= g->pl;
    if (y < 0 || x < 0 || y >= (int64_t)g->h || x >= (int64_t)g->w)
        return 0;
    return (double)d->x[((n * g->h + (size_t)y) * g->w + (size_t)x) * g->c + c];
}

static double change(const data *d, size_t n, size_t y, size_t x, size_t o)
{
    const op_patch *g = &d->g;
    return y < g->oh && x < g->ow ? (double)d->dy[((n * g->oh + y) * g->ow + x) * g->o + o] : 0;
}

/* One tile's part of the taps of filter (o,c), and of their scale. */
static void add_tile(const data *d, size_t n, size_t ty, size_t tx, size_t o, size_t c,
                     double want[9], double sum[XI])
{
    const winograd_matrices m = winograd_make((int)d->g.kh);
    const int side = m.side, taps = m.taps;
    double in[XI], out[XI], a[XI], b[XI], v[XI], y[XI], ignore[XI];
    for (int i = 0; i < XI; i++)
        in[i] = pixel(d, n, (int64_t)ty * side + i / N, (int64_t)tx * side + i % N, c);
    for (int i = 0; i < side * side; i++)
        out[i] = change(d, n, ty * (size_t)side + (size_t)(i / side),
                        tx * (size_t)side + (size_t)(i % side), o);
    for (int t = 0; t < taps * taps; t++)
        for (int i = 0; i < side * side; i++)
            want[t] += out[i] * in[(i / side + t / taps) * N + i % side + t % taps];
    for (int i = 0; i < N * side; i++)
        a[i] = fabs(m.a[i % side][i / side]);
    for (int i = 0; i < XI; i++) {
        b[i] = fabs(m.b[i / N][i % N]);
        in[i] = fabs(in[i]);
    }
    for (int i = 0; i < side * side; i++)
        out[i] = fabs(out[i]);
    winograd_sides(v, ignore, b, in, N, N);
    winograd_sides(y, ignore, a, out, N, side);
    for (int i = 0; i < XI; i++)
        sum[i] += v[i] * y[i];
}

static void check_filter(const data *d, const krn_table *krn, size_t o, size_t c)
{
    const op_patch *g = &d->g;
    const winograd_matrices m = winograd_make((int)g->kh);
    const size_t side = (size_t)m.side, taps = g->kh * g->kw;
    const size_t th = (g->oh + side - 1) / side, tw = (g->ow + side - 1) / side;
    double want[9] = {0}, sum[XI] = {0}, scale[9], ignore[9], gt[3 * N];
    for (size_t n = 0; n < g->n; n++)
        for (size_t t = 0; t < th * tw; t++)
            add_tile(d, n, t / tw, t % tw, o, c, want, sum);
    for (int i = 0; i < m.taps * N; i++)
        gt[i] = fabs(m.g[i % N * m.taps + i / N]);
    winograd_sides(scale, ignore, gt, sum, m.taps, N);
    for (size_t t = 0; t < taps; t++) {
        const double got = (double)d->dw[(o * taps + t) * g->c + c];
        const double bound = ((double)(g->n * th * tw) + 60) * 0x1p-24 * scale[t];
        if (!(fabs(got - want[t]) <= bound))
            fail_msg("%s, %zu taps: (%zu,%zu,%zu,%zu) -> %zu, pads %d %d: dw[%zu][%zu][%zu] is "
                     "%.9g, not "
                     "%.9g within %.3g",
                     krn->winograd_grad_f32->name, taps, g->n, g->h, g->w, g->c, g->o, (int)g->pt,
                     (int)g->pl, o, t, c, got, want[t], bound);
    }
}

static void run(const data *d, const krn_table *krn, bool backwards)
{
    const op_winograd_grad p = op_winograd_grad_cut(&d->g, krn);
    const size_t len = d->g.kh * d->g.kw * d->g.c * d->g.o * sizeof(float);
    op_work w = {.phases = 1, .rounds = 1};
    prelu_err err = {0};
    check_ok(op_winograd_grad_work(&p, &w, &err), &err);
    void *shared = check_guard_new(w.shared), *scratch = check_guard_new(w.scratch);
    memset(shared, 0xff, w.shared); /* NaN: what is read before it is written shows */
    memset(scratch, 0xff, w.scratch);
    memset(d->dw, 0xff, len);
    for (int phase = 0; phase < w.phases * (int)w.rounds; phase++)
        for (size_t t = 0, n = w.tasks[phase % w.phases]; t < n; t++)
            op_winograd_grad_task(&p, d->x, d->dy, d->dw, shared, phase, backwards ? n - 1 - t : t,
                                  scratch);
    check_guard_intact(shared, w.shared);
    check_guard_intact(scratch, w.scratch);
    check_guard_intact(d->dw, len);
    check_guard_free(shared);
    check_guard_free(scratch);
}

/* Tables of variants that take panels. */
static int panel_tables(krn_table tables[8])
{
    krn_table all[8];
    const int n = op_run_tables(all);
    int k = 0;
    for (int i = 0; i < n; i++)
        if (all[i].gemm_f32->nr > 1)
            tables[k++] = all[i];
    return k;
}

/* Few filters: shares, also more of them than tiles. */
static void test_shares(void **state)
{
    static const size_t counts[] = {8, 9, 15, 16, 17, 31, 32, 33, 48, 65};
    static const size_t sides[][2] = {{2, 3}, {4, 4}, {5, 3}, {6, 8}, {9, 5}, {17, 19}};
    krn_table tables[8];
    const int n = panel_tables(tables);
    uint64_t seed = check_seed();
    (void)state;
    for (int i = 0; i < 48; i++) {
        const size_t c = counts[check_random(&seed) % 10], o = counts[check_random(&seed) % 10];
        data d = make(1 + (size_t)i % 7, sides[i % 6][0], sides[i % 6][1], c, o, 1 + i % 2,
                      1 + i / 2 % 2, i < 24 ? 3 : 2, seed);
        for (int t = 0; t < n; t++) {
            run(&d, &tables[t], i & 1);
            for (int k = 0; k < 20; k++)
                check_filter(&d, &tables[t], check_random(&seed) % o, check_random(&seed) % c);
            check_filter(&d, &tables[t], o - 1, c - 1);
        }
        unmake(&d);
    }
}

/* So many filters that no L2 holds their sums; rounds of different sizes. */
static void check_rounds(size_t taps)
{
    krn_table tables[8];
    const int n = panel_tables(tables);
    uint64_t seed = check_seed();
    data d = make(5, 25, 26, 300, 310, 1, 1, taps, seed);
    for (int t = 0; t < n; t++) {
        krn_winograd few = *op_winograd_of(&tables[t], taps);
        krn_table krn = tables[t];
        few.round = (size_t)t;
        krn.winograd_f32 = krn.winograd_2x2_f32 = &few;
        assert_true(op_winograd_grad_cut(&d.g, &krn).rounds > 1);
        run(&d, &krn, t & 1);
        for (int k = 0; k < 30; k++)
            check_filter(&d, &krn, check_random(&seed) % 310, check_random(&seed) % 300);
        check_filter(&d, &krn, 309, 299);
    }
    unmake(&d);
}

static void test_rounds(void **state)
{
    (void)state;
    check_rounds(3);
    check_rounds(2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shares),
                                       cmocka_unit_test(test_rounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
