#include "op_run.h"

/* Conv and its three gradients against plain loops in double, over every variant of the product,
 * with weights packed ahead (inference) and not (training). */

typedef struct geometry {
    int n, c, h, w, o, kh, kw, sh, sw, pt, pl, pb, pr, dh, dw, groups;
} geometry;

static const geometry cases[] = {
    {1, 3, 9, 11, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},
    {2, 4, 7, 6, 33, 2, 2, 1, 1, 0, 0, 0, 0, 1, 1, 1},
    {1, 3, 23, 21, 8, 7, 7, 2, 2, 3, 3, 3, 3, 1, 1, 1},
    {3, 8, 5, 5, 6, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1},
    {1, 6, 10, 9, 4, 3, 2, 2, 1, 1, 0, 0, 1, 1, 1, 2},
    {2, 4, 9, 9, 4, 3, 3, 1, 1, 2, 2, 2, 2, 2, 2, 1},
    {1, 5, 8, 8, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 5},
    {1, 5, 9, 8, 5, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 5},
    {1, 40, 6, 17, 70, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},
    {2, 2, 1, 1, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1},
    {1, 3, 6, 6, 2, 5, 5, 3, 2, 2, 2, 2, 2, 1, 1, 1},
    {1, 4, 12, 12, 6, 3, 3, 3, 3, 0, 1, 2, 1, 2, 1, 2},
    {17, 3, 8, 8, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},
    {1, 8, 17, 19, 9, 3, 3, 1, 1, 0, 2, 1, 0, 1, 1, 1},
    {2, 200, 7, 6, 330, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}, /* filters too many to transform ahead */
    {2, 200, 3, 3, 330, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}, /* and a map too small to do it at all */
};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct data {
    prelu_shape xs, ws, bs, ys;
    float *x, *w, *b, *slope, *res, *dy;                    /* row-major, logical */
    float *xl, *wl, *resl, *dyl;                            /* channels-last */
    double *y, *dx, *dw, *db, *scale, *dx_scale, *dw_scale; /* wanted, and sum |a*b| */
} data;

static float *randoms(size_t n, uint64_t *seed)
{
    float *p = malloc((n + 1) * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = check_random_float(seed, -1, 1);
    return p;
}

static float *laid_out(const float *src, const prelu_shape *s)
{
    float *p = malloc((op_run_count(s) + 1) * sizeof *p);
    op_run_layout(p, src, s);
    return p;
}

static void reference(data *d, const geometry *g, int oh, int ow)
{
    const int cg = g->c / g->groups, og = g->o / g->groups;
    for (int n = 0; n < g->n; n++)
        for (int o = 0; o < g->o; o++)
            for (int y = 0; y < oh; y++)
                for (int x = 0; x < ow; x++) {
                    const size_t yi =
                        ((size_t)(n * g->o + o) * (size_t)oh + (size_t)y) * (size_t)ow + (size_t)x;
                    const double dy = (double)d->dy[yi];
                    d->db[o] += dy;
                    for (int c = 0; c < cg; c++)
                        for (int i = 0; i < g->kh; i++)
                            for (int j = 0; j < g->kw; j++) {
                                const int ih = y * g->sh - g->pt + i * g->dh,
                                          iw = x * g->sw - g->pl + j * g->dw;
                                if (ih < 0 || iw < 0 || ih >= g->h || iw >= g->w)
                                    continue;
                                const size_t xi =
                                    ((size_t)(n * g->c + o / og * cg + c) * (size_t)g->h +
                                     (size_t)ih) *
                                        (size_t)g->w +
                                    (size_t)iw;
                                const size_t wi =
                                    ((size_t)(o * cg + c) * (size_t)g->kh + (size_t)i) *
                                        (size_t)g->kw +
                                    (size_t)j;
                                const double xv = (double)d->x[xi], wv = (double)d->w[wi];
                                d->y[yi] += xv * wv;
                                d->scale[yi] += fabs(xv * wv);
                                d->dx[xi] += wv * dy;
                                d->dx_scale[xi] += fabs(wv * dy);
                                d->dw[wi] += xv * dy;
                                d->dw_scale[wi] += fabs(xv * dy);
                            }
                }
}

static data make(const geometry *g, uint64_t seed)
{
    const int oh = (g->h + g->pt + g->pb - (g->kh - 1) * g->dh - 1) / g->sh + 1;
    const int ow = (g->w + g->pl + g->pr - (g->kw - 1) * g->dw - 1) / g->sw + 1;
    data d = {.xs = {4, {g->n, g->c, g->h, g->w}},
              .ws = {4, {g->o, g->c / g->groups, g->kh, g->kw}},
              .bs = {1, {g->o}},
              .ys = {4, {g->n, g->o, oh, ow}}};
    const size_t nx = op_run_count(&d.xs), nw = op_run_count(&d.ws), ny = op_run_count(&d.ys);
    d.x = randoms(nx, &seed);
    d.w = randoms(nw, &seed);
    d.b = randoms((size_t)g->o, &seed);
    d.slope = randoms((size_t)g->o, &seed);
    d.res = randoms(ny, &seed);
    d.dy = randoms(ny, &seed);
    d.xl = laid_out(d.x, &d.xs);
    d.wl = laid_out(d.w, &d.ws);
    d.resl = laid_out(d.res, &d.ys);
    d.dyl = laid_out(d.dy, &d.ys);
    d.y = calloc(ny, sizeof(double));
    d.scale = calloc(ny, sizeof(double));
    d.dx = calloc(nx, sizeof(double));
    d.dx_scale = calloc(nx, sizeof(double));
    d.dw = calloc(nw, sizeof(double));
    d.dw_scale = calloc(nw, sizeof(double));
    d.db = calloc((size_t)g->o, sizeof(double));
    reference(&d, g, oh, ow);
    return d;
}

static void unmake(data *d)
{
    void *all[] = {d->x,  d->w,  d->b,     d->slope,    d->res,     d->dy,
                   d->xl, d->wl, d->resl,  d->dyl,      d->y,       d->dx,
                   d->dw, d->db, d->scale, d->dx_scale, d->dw_scale};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static size_t attributes(prelu_attr *a, const geometry *g, int64_t ints[10], int act)
{
    const int64_t v[10] = {g->sh, g->sw, g->pt, g->pl, g->pb, g->pr, g->dh, g->dw, g->kh, g->kw};
    memcpy(ints, v, sizeof v);
    a[0] = PRELU_INTS("strides", ints, 2);
    a[1] = PRELU_INTS("pads", ints + 2, 4);
    a[2] = PRELU_INTS("dilations", ints + 6, 2);
    a[3] = PRELU_INTS("kernel_shape", ints + 8, 2);
    a[4] = PRELU_INT("group", g->groups);
    a[5] = PRELU_INT("act", act);
    return 6;
}

/* Compare a channels-last result with logical doubles; the bound is a part of the sum of |terms|.
 */
static double sum_bound(size_t k) { return ((double)k + 8) * 0x1p-24; }

static void compare(const op_tensor *got, const double *want, const double *scale, double bound,
                    const char *what, int which, const char *variant)
{
    const prelu_shape *s = &got->shape;
    const size_t c = (size_t)s->dim[1], hw = (size_t)(s->dim[2] * s->dim[3]);
    for (size_t n = 0; n < (size_t)s->dim[0]; n++)
        for (size_t i = 0; i < c; i++)
            for (size_t p = 0; p < hw; p++) {
                const size_t at = (n * c + i) * hw + p;
                const double g = (double)((const float *)got->data)[(n * hw + p) * c + i];
                const double tol = bound * (scale[at] + 2.0);
                if (!(fabs(g - want[at]) <= tol))
                    fail_msg("case %d %s %s [%zu,%zu,%zu]: %.9g, not %.9g", which, what, variant, n,
                             i, p, g, want[at]);
            }
}

static void forward(const geometry *g, const data *d, const krn_table *krn, int which, bool packed,
                    prelu_precision precision)
{
    prelu_attr attrs[6];
    int64_t ints[10];
    prelu_err err = {0};
    op_run r = {.krn = krn, .constant = packed ? 0x0e : 0, .precision = precision};
    /* bf16 rounds each operand by at most 2^-9 of it */
    const double bound = sum_bound((size_t)(g->kh * g->kw * g->c)) +
                         (precision == PRELU_PRECISION_BF16 ? 2.1 * 0x1p-9 : 0.0);
    const size_t n_attrs = attributes(attrs, g, ints, KRN_ACT_PRELU), ny = op_run_count(&d->ys);
    double *want = malloc(ny * sizeof *want);
    r.in[0] = (op_tensor){.data = d->xl, .shape = d->xs};
    r.in[1] = (op_tensor){.data = d->wl, .shape = d->ws};
    r.in[2] = (op_tensor){.data = d->b, .shape = d->bs};
    r.in[3] = (op_tensor){.data = d->slope, .shape = d->bs};
    r.in[4] = (op_tensor){.data = d->resl, .shape = d->ys};
    r.file_order[1] = d->w;
    r.file_order[2] = d->b;
    r.file_order[3] = d->slope;
    r.backwards = which % 2;
    check_ok(op_run_go(&r, "Conv", 5, 1, attrs, n_attrs, &err), &err);
    assert_true(prelu_shape_equal(&r.out[0].shape, &d->ys));
    const size_t hw = (size_t)(d->ys.dim[2] * d->ys.dim[3]);
    for (size_t i = 0; i < ny; i++) {
        const size_t o = i / hw % (size_t)g->o;
        const double v = d->y[i] + (double)d->b[o] + (double)d->res[i];
        want[i] = v > 0 ? v : v * (double)d->slope[o];
    }
    compare(&r.out[0], want, d->scale, bound, packed ? "packed" : "variable", which,
            krn->gemm_f32->name);
    free(want);
    op_run_free(&r);
}

static void backward(const geometry *g, const data *d, const krn_table *krn, int which)
{
    prelu_attr attrs[6];
    int64_t ints[10];
    prelu_err err = {0};
    op_run r = {.krn = krn};
    const size_t n_attrs = attributes(attrs, g, ints, 0);
    r.in[0] = (op_tensor){.data = d->dyl, .shape = d->ys};
    r.in[1] = (op_tensor){.data = d->wl, .shape = d->ws};
    r.in[2] = (op_tensor){.shape = d->xs};
    check_ok(op_run_go(&r, "ConvGradX", 3, 1, attrs, n_attrs, &err), &err);
    compare(&r.out[0], d->dx, d->dx_scale, sum_bound((size_t)(g->kh * g->kw * g->o)), "dx", which,
            krn->gemm_f32->name);
    op_run_free(&r);
    r.in[1] = (op_tensor){.data = d->xl, .shape = d->xs};
    r.in[2] = (op_tensor){.shape = d->ws};
    check_ok(op_run_go(&r, "ConvGradW", 3, 1, attrs, n_attrs, &err), &err);
    compare(&r.out[0], d->dw, d->dw_scale, sum_bound(op_run_count(&d->ys)), "dw", which,
            krn->gemm_f32->name);
    op_run_free(&r);
    check_ok(op_run_go(&r, "ConvGradB", 1, 1, NULL, 0, &err), &err);
    for (int o = 0; o < g->o; o++)
        check_near(((float *)r.out[0].data)[o], d->db[o], 1e-5 * (1 + fabs(d->db[o])));
    op_run_free(&r);
}

static void test_against_loops(void **state)
{
    krn_table tables[8];
    const int n = op_run_tables(tables);
    (void)state;
    for (int i = 0; i < CASES; i++) {
        data d = make(&cases[i], check_seed() + (uint64_t)i);
        for (int t = 0; t < n; t++) {
            forward(&cases[i], &d, &tables[t], i, true, PRELU_PRECISION_FP32);
            forward(&cases[i], &d, &tables[t], i, true, PRELU_PRECISION_BF16);
            forward(&cases[i], &d, &tables[t], i, false, PRELU_PRECISION_FP32);
            backward(&cases[i], &d, &tables[t], i);
        }
        unmake(&d);
    }
}

/* Shapes that must be refused, with a text. */
static void test_bad_shapes(void **state)
{
    static const struct {
        prelu_shape x, w;
        int64_t strides[2], pads[4], group;
    } bad[] = {
        {{4, {1, 3, 8, 8}}, {4, {4, 4, 3, 3}}, {1, 1}, {0}, 1}, /* channels */
        {{4, {1, 3, 8, 8}}, {4, {4, 3, 9, 9}}, {1, 1}, {0}, 1}, /* does not fit */
        {{4, {1, 3, 8, 8}}, {4, {4, 3, 3, 3}}, {0, 1}, {0}, 1}, /* stride 0 */
        {{4, {1, 3, 8, 8}}, {4, {4, 3, 3, 3}}, {1, 1}, {INT64_MAX, 0, 0, 0}, 1},
        {{4, {1, 3, 8, 8}}, {4, {4, 3, 3, 3}}, {1, 1}, {0}, 0},
        {{4, {1, 4, 8, 8}}, {4, {3, 2, 3, 3}}, {1, 1}, {0}, 2}, /* filters by groups */
        {{4, {1, 4, 8, 8}}, {4, {4, INT64_MAX, 3, 3}}, {1, 1}, {0}, 4},
        {{3, {1, 3, 8}}, {4, {4, 3, 3, 3}}, {1, 1}, {0}, 1},
        {{4, {1, 3, 8, 8}}, {4, {4, 3, 0, 3}}, {1, 1}, {0}, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const prelu_attr attrs[] = {PRELU_INTS("strides", bad[i].strides, 2),
                                    PRELU_INTS("pads", bad[i].pads, 4),
                                    PRELU_INT("group", bad[i].group)};
        op_run r = {.in = {{.shape = bad[i].x}, {.shape = bad[i].w}}};
        prelu_err err = {0};
        check_fails(op_run_go(&r, "Conv", 2, 1, attrs, 3, &err), PRELU_E_FORMAT, &err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_loops),
                                       cmocka_unit_test(test_bad_shapes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
