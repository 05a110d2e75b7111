#include "op_run.h"
#include "ops/conv_winograd.h"
#include "winograd_matrices.h"

/* Convolution by Winograd against plain loops in double, over every variant, with filters on the
 * fly and ahead. The bound of an output is the sum of |terms| that its transforms and products add
 * up, from the matrices themselves, times as many roundings as the longest way through them has: it
 * grows with the neighbours in the tile, unlike the direct product's. */

enum { N = KRN_WINOGRAD_N, XI = KRN_WINOGRAD_XI };

typedef struct data {
    op_patch g;
    float *x, *w, *y; /* (n,h,w,c), (o,c,kh,kw), (n,oh,ow,o) */
    float *bias, *slope, *res;
    double *want, *scale;
    krn_epilogue ep;
    bool integers;
} data;

static float *values(size_t n, bool integers, uint64_t *seed)
{
    float *p = malloc((n + 1) * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = integers ? (float)check_random_int(seed, -3, 3) : check_random_float(seed, -1, 1);
    return p;
}

/* Pixel (y,x) of the padded picture. */
static double pixel(const data *d, size_t n, int64_t y, int64_t x, size_t c)
{
    const op_patch *g = &d->g;
    y -= g->pt;
    x -= g->pl;
    if (y < 0 || x < 0 || y >= (int64_t)g->h || x >= (int64_t)g->w)
        return 0;
    return (double)d->x[((n * g->h + (size_t)y) * g->w + (size_t)x) * g->c + c];
}

static void absolute(double *m, int n)
{
    for (int i = 0; i < n; i++)
        m[i] = fabs(m[i]);
}

/* |A'| ( sum |G||g||G'| * |B'||d||B| ) |A| of a tile and filter. */
static void tile_scale(const data *d, size_t n, size_t ty, size_t tx, size_t o, double out[XI])
{
    winograd_matrices m = winograd_make((int)d->g.kh);
    const int side = m.side, taps = m.taps * m.taps;
    double sum[XI] = {0}, in[XI], v[XI], u[XI], g[9], ignore[XI];
    absolute(&m.b[0][0], 36);
    absolute(m.g, N * m.taps);
    absolute(&m.a[0][0], N * side);
    for (size_t c = 0; c < d->g.c; c++) {
        for (int i = 0; i < XI; i++)
            in[i] = fabs(pixel(d, n, (int64_t)ty * side + i / N, (int64_t)tx * side + i % N, c));
        for (int i = 0; i < taps; i++)
            g[i] = fabs((double)d->w[(o * d->g.c + c) * (size_t)taps + (size_t)i]);
        winograd_sides(v, ignore, &m.b[0][0], in, N, N);
        winograd_sides(u, ignore, m.g, g, N, m.taps);
        for (int i = 0; i < XI; i++)
            sum[i] += u[i] * v[i];
    }
    winograd_sides(out, ignore, &m.a[0][0], sum, side, N);
}

static void reference(data *d)
{
    const op_patch *g = &d->g;
    const size_t side = N + 1 - g->kh, taps = g->kh * g->kw;
    for (size_t i = 0; i < g->n * g->oh * g->ow * g->o; i++) {
        const size_t o = i % g->o, x = i / g->o % g->ow, y = i / g->o / g->ow % g->oh;
        const size_t n = i / g->o / g->ow / g->oh;
        double s = 0, tile[XI];
        for (size_t c = 0; c < g->c; c++)
            for (size_t t = 0; t < taps; t++)
                s += pixel(d, n, (int64_t)(y + t / g->kw), (int64_t)(x + t % g->kw), c) *
                     (double)d->w[(o * g->c + c) * taps + t];
        if (y % side == 0 && x % side == 0) { /* the scales of the whole tile at its first pixel */
            tile_scale(d, n, y / side, x / side, o, tile);
            for (size_t k = 0; k < side * side; k++)
                if (y + k / side < g->oh && x + k % side < g->ow)
                    d->scale[i + ((k / side) * g->ow + k % side) * g->o] = tile[k];
        }
        s += d->ep.bias ? (double)d->bias[o] : 0;
        s += d->ep.residual ? (double)d->res[i] : 0;
        if (d->ep.act != KRN_ACT_NONE && !(s > 0))
            s = d->ep.act == KRN_ACT_RELU ? 0 : s * (double)d->slope[o];
        d->want[i] = s;
    }
}

/* @param kind bit 0 bias, 1 residual, from bit 2 the activation */
static data make(op_patch g, int kind, bool integers, uint64_t seed)
{
    data d = {.g = g, .integers = integers};
    const size_t ny = g.n * g.oh * g.ow * g.o;
    d.x = values(g.n * g.h * g.w * g.c, integers, &seed);
    d.w = values(g.o * g.c * g.kh * g.kw, integers, &seed);
    d.bias = values(g.o, integers, &seed);
    d.slope = values(g.o, integers, &seed);
    d.res = values(ny, integers, &seed);
    d.y = malloc((ny + 1) * sizeof *d.y);
    d.want = malloc((ny + 1) * sizeof *d.want);
    d.scale = malloc((ny + 1) * sizeof *d.scale);
    d.ep = (krn_epilogue){.bias = kind & 1 ? d.bias : NULL,
                          .residual = kind & 2 ? d.res : NULL,
                          .ldr = g.o,
                          .slope = d.slope,
                          .act = (krn_act)(kind >> 2)};
    return d;
}

static void unmake(data *d)
{
    void *all[] = {d->x, d->w, d->y, d->bias, d->slope, d->res, d->want, d->scale};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* Panels of the direct product, [panel][tap][c][nr]. */
static float *panels_of(const data *d, size_t nr)
{
    const size_t panels = (d->g.o + nr - 1) / nr, taps = d->g.kh * d->g.kw;
    float *p = calloc(panels * nr * d->g.c * taps, sizeof *p);
    for (size_t o = 0; o < d->g.o; o++)
        for (size_t c = 0; c < d->g.c; c++)
            for (size_t t = 0; t < taps; t++)
                p[((o / nr * taps + t) * d->g.c + c) * nr + o % nr] =
                    d->w[(o * d->g.c + c) * taps + t];
    return p;
}

/* y of all images, or of `only` one of them, as an op with n = 1 would get it. */
static void run(const data *d, const krn_table *krn, bool ahead, bool backwards, int only)
{
    op_patch g = d->g;
    const size_t image = only < 0 ? 0 : (size_t)only, outs = g.oh * g.ow * g.o;
    g.n = only < 0 ? g.n : 1;
    const op_winograd p = op_winograd_cut(&g, krn, ahead);
    float *panels = panels_of(d, krn->gemm_f32->nr), *packed = NULL;
    krn_epilogue ep = d->ep;
    op_work w = {0};
    prelu_err err = {0};
    check_ok(op_winograd_work(&p, &w, &err), &err);
    if (ahead) {
        packed = check_guard_new(op_winograd_packed(&p) * sizeof(float));
        for (size_t s = 0; s < p.strips; s++)
            op_winograd_pack(&p, packed, panels, s);
        check_guard_intact(packed, op_winograd_packed(&p) * sizeof(float));
    }
    ep.residual = ep.residual ? ep.residual + image * outs : NULL;
    void *shared = check_guard_new(w.shared), *scratch = check_guard_new(w.scratch);
    const op_winograd_run r = {.x = d->x + image * g.h * g.w * g.c,
                               .filters = ahead ? packed : panels,
                               .y = d->y + image * outs,
                               .ep = &ep,
                               .shared = shared,
                               .scratch = scratch};
    memset(d->y + image * outs, 0xff, g.n * outs * sizeof *d->y);
    for (int phase = 0; phase < w.phases * (int)w.rounds; phase++)
        for (size_t t = 0, n = w.tasks[phase % w.phases]; t < n; t++)
            op_winograd_task(&p, &r, phase, backwards ? n - 1 - t : t);
    check_guard_intact(shared, w.shared);
    check_guard_intact(scratch, w.scratch);
    check_guard_free(shared);
    check_guard_free(scratch);
    check_guard_free(packed);
    free(panels);
}

static void compare(const data *d, const krn_table *krn, bool ahead)
{
    const op_patch *g = &d->g;
    for (size_t i = 0; i < g->n * g->oh * g->ow * g->o; i++) {
        const double got = (double)d->y[i], roundings = ((double)g->c + 50) * 0x1p-24;
        const double bound = roundings * (d->scale[i] + 4) * (d->integers ? 3 : 1);
        if (!(fabs(got - d->want[i]) <= bound))
            fail_msg("%s %d: (%zu,%zu,%zu,%zu) -> %zu by %zu x %zu, pads %d %d, act %d [%zu]: "
                     "%.9g, not %.9g within %.3g",
                     op_winograd_of(krn, g->kh)->fly, ahead, g->n, g->h, g->w, g->c, g->o, g->oh,
                     g->ow, (int)g->pt, (int)g->pl, (int)d->ep.act, i, got, d->want[i], bound);
        if (d->integers && (bound >= 0.5 || nearbyint(got) != d->want[i]))
            fail_msg("%s: integer %.9g, not %.9g; bound %.3g", op_winograd_of(krn, g->kh)->fly, got,
                     d->want[i], bound);
    }
}

static op_patch patch(size_t n, size_t h, size_t w, size_t c, size_t o, int pt, int pl, int pb,
                      int pr)
{
    return (op_patch){.n = n,
                      .h = h,
                      .w = w,
                      .c = c,
                      .o = o,
                      .kh = 3,
                      .kw = 3,
                      .groups = 1,
                      .oh = h + (size_t)(pt + pb) - 2,
                      .ow = w + (size_t)(pl + pr) - 2,
                      .sh = 1,
                      .sw = 1,
                      .dh = 1,
                      .dw = 1,
                      .uh = 1,
                      .uw = 1,
                      .pt = pt,
                      .pl = pl};
}

/* The same with filters of taps x taps. */
static op_patch with_taps(op_patch g, size_t taps)
{
    g.oh += g.kh - taps;
    g.ow += g.kw - taps;
    g.kh = g.kw = taps;
    return g;
}

/* Sizes 1x1..17x19, pads 0..2 on each side, channels 1..70, every epilogue. */
static void test_against_loops(void **state)
{
    static const size_t counts[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 65, 70};
    static const size_t sides[][2] = {{1, 1}, {1, 5}, {2, 2}, {3, 4}, {4, 4},   {5, 3},
                                      {6, 8}, {7, 7}, {8, 9}, {9, 5}, {13, 12}, {17, 19}};
    krn_table tables[8];
    const int n = op_run_tables(tables);
    uint64_t seed = check_seed();
    (void)state;
    for (int i = 0; i < 192; i++) {
        const size_t *side = sides[i % 12];
        int pad[4];
        for (int k = 0; k < 4; k++)
            pad[k] = check_random_int(&seed, side[k % 2] < 3 ? 1 : 0, 2);
        const size_t c = counts[check_random(&seed) % 14], o = counts[check_random(&seed) % 14];
        const op_patch g = with_taps(
            patch(1 + (size_t)i % 3, side[0], side[1], c, o, pad[0], pad[1], pad[2], pad[3]),
            i < 96 ? 3 : 2);
        data d = make(g, i % 12, false, seed);
        reference(&d);
        for (int t = 0; t < n; t++)
            for (int ahead = 0; ahead < 2; ahead++) {
                run(&d, &tables[t], ahead, i & 1, -1);
                compare(&d, &tables[t], ahead);
            }
        unmake(&d);
    }
}

/* The points are irrational: no integers come out exactly, but all so near that a lost, doubled or
 * misplaced product would move them by more than the rounding does. */
static void test_integers(void **state)
{
    krn_table tables[8];
    const int n = op_run_tables(tables);
    (void)state;
    for (int i = 0; i < 24; i++) {
        const op_patch g = patch(2, 10, 7, (size_t)(i % 12 + i % 12 / 2 + 1), 35, 1, 1, 1, 1);
        data d = make(with_taps(g, i < 12 ? 3 : 2), i % 12, true, 5);
        reference(&d);
        for (int t = 0; t < n; t++)
            for (int ahead = 0; ahead < 2; ahead++) {
                run(&d, &tables[t], ahead, false, -1);
                compare(&d, &tables[t], ahead);
            }
        unmake(&d);
    }
}

/* An image's bits: alone and in any row of a batch, filters on the fly and ahead, tasks forwards
 * and backwards, and, where the product keeps its chains, any block sizes. */
static void check_bits(size_t taps)
{
    static const size_t blocks[][4] = {{3, 32, 16, 0}, {7, 96, 48, 5000}, {100, 32, 5, 60000}};
    krn_table tables[8];
    const int n = op_run_tables(tables);
    for (int t = 0; t < n; t++) {
        data d = make(with_taps(patch(5, 13, 10, 37, 100, 1, 1, 1, 1), taps), 3 + 8, false, 7);
        const size_t outs = d.g.oh * d.g.ow * d.g.o, len = d.g.n * outs * sizeof(float);
        float *want = malloc(len);
        run(&d, &tables[t], false, false, -1);
        memcpy(want, d.y, len);
        run(&d, &tables[t], true, true, -1);
        if (memcmp(want, d.y, len) != 0)
            fail_msg("%s: other bits with filters ahead", op_winograd_of(&tables[t], taps)->fly);
        for (int i = 0; i < 5; i++) {
            run(&d, &tables[t], i & 1, i & 2, i);
            if (memcmp(want + (size_t)i * outs, d.y + (size_t)i * outs, outs * sizeof *want) != 0)
                fail_msg("%s: other bits for image %d alone", op_winograd_of(&tables[t], taps)->fly,
                         i);
        }
        for (int b = 0; b < 3 && tables[t].gemm_f32 != &krn_gemm_f32__openblas; b++) {
            krn_winograd other = *op_winograd_of(&tables[t], taps);
            krn_table krn = tables[t];
            other.tiles = blocks[b][0];
            other.outputs = blocks[b][1];
            other.depth = blocks[b][2];
            other.round = blocks[b][3];
            other.least = 1;
            other.strip = 32;
            krn.winograd_f32 = krn.winograd_2x2_f32 = &other;
            run(&d, &krn, b & 1, false, -1);
            if (memcmp(want, d.y, len) != 0)
                fail_msg("%s: other bits with block sizes %d", other.fly, b);
        }
        free(want);
        unmake(&d);
    }
}

static void test_bits(void **state)
{
    (void)state;
    check_bits(3);
    check_bits(2);
}

/* Blocks that make their own windows give the bits of those that share them. */
static void test_own_windows(void **state)
{
    krn_table tables[8];
    const int n = op_run_tables(tables);
    (void)state;
    for (int t = 0; t < n; t++) {
        op_patch g = with_taps(patch(1, 61, 59, 9, 34, 1, 1, 1, 1), (size_t)(2 + t % 2));
        const size_t outs = g.oh * g.ow * g.o;
        if (tables[t].gemm_f32->nr == 1)
            continue;
        while (!op_winograd_cut(&g, &tables[t], false).own && g.n < 200)
            g.n++;
        assert_true(op_winograd_cut(&g, &tables[t], false).own);
        data d = make(g, 3 + 8, false, 7);
        float *want = malloc(g.n * outs * sizeof *want);
        for (int ahead = 0; ahead < 2; ahead++) {
            run(&d, &tables[t], ahead, ahead, -1);
            memcpy(want, d.y, g.n * outs * sizeof *want);
            for (size_t i = 0; i < g.n; i += g.n / 3) {
                run(&d, &tables[t], ahead, false, (int)i);
                if (memcmp(want + i * outs, d.y + i * outs, outs * sizeof *want) != 0)
                    fail_msg("%s: image %zu has other bits", op_winograd_of(&tables[t], g.kh)->fly,
                             i);
            }
        }
        free(want);
        unmake(&d);
    }
}

/* Which layers: by channels, strides, dilations, groups; which picture sizes. */
static void test_choice(void **state)
{
    const int64_t one[2] = {1, 1}, two[2] = {2, 1};
    const prelu_attr plain[] = {PRELU_INTS("strides", one, 2), PRELU_INTS("dilations", one, 2)};
    const prelu_attr stride[] = {PRELU_INTS("strides", two, 2)}, group[] = {PRELU_INT("group", 2)};
    const prelu_attr dilated[] = {PRELU_INTS("dilations", two, 2)};
    const prelu_shape small = {4, {64, 64, 3, 3}}, large = {4, {768, 384, 3, 3}};
    const prelu_shape few = {4, {64, 3, 3, 3}}, wide = {4, {64, 64, 3, 2}};
    prelu_shape two_by_two = {4, {64, 64, 2, 2}};
    const op_patch map = patch(1, 14, 14, 64, 64, 1, 1, 1, 1),
                   tiny = patch(9, 3, 3, 64, 64, 1, 1, 1, 1);
    prelu_node n = {.attrs = (prelu_attr *)plain, .n_attrs = 2};
    (void)state;
    assert_int_equal(op_winograd_fits(&n, &small), OP_WINOGRAD_AHEAD);
    assert_int_equal(op_winograd_fits(&n, &large), OP_WINOGRAD_FLY);
    assert_int_equal(op_winograd_fits(&n, &two_by_two), OP_WINOGRAD_AHEAD);
    two_by_two.dim[0] = 256;
    assert_int_equal(op_winograd_fits(&n, &two_by_two), OP_WINOGRAD_FLY);
    assert_int_equal(op_winograd_fits(&n, &few), OP_WINOGRAD_NO);
    assert_int_equal(op_winograd_fits(&n, &wide), OP_WINOGRAD_NO);
    n.n_attrs = 1;
    n.attrs = (prelu_attr *)stride;
    assert_int_equal(op_winograd_fits(&n, &small), OP_WINOGRAD_NO);
    n.attrs = (prelu_attr *)dilated;
    assert_int_equal(op_winograd_fits(&n, &small), OP_WINOGRAD_NO);
    n.attrs = (prelu_attr *)group;
    assert_int_equal(op_winograd_fits(&n, &small), OP_WINOGRAD_NO);
    assert_true(op_winograd_pays(&map));
    assert_false(op_winograd_pays(&tiny));
    assert_true(op_winograd_pays_batch(&tiny, krn_table_get()) ==
                (krn_table_get()->gemm_f32->nr > 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_loops),
                                       cmocka_unit_test(test_integers), cmocka_unit_test(test_bits),
                                       cmocka_unit_test(test_own_windows),
                                       cmocka_unit_test(test_choice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
