#include "op_plain.h"

/* Ops on tensors of many tasks, parts and phases, against plain loops in double. Small shapes and
 * odd attributes are the golden file's business (test_ops_golden.c). */

/* ---- sums over broadcast axes --------------------------------------------------------------- */

/* Index in `small`, broadcast to `big`, of element i of big (logical order). */
static size_t broadcast_at(const prelu_shape *big, const prelu_shape *small, size_t i)
{
    size_t at = 0, step = 1;
    for (int k = 1; k <= small->rank; k++) {
        const size_t dim = (size_t)big->dim[big->rank - k],
                     own = (size_t)small->dim[small->rank - k];
        at += own == 1 ? 0 : i % dim * step;
        step *= own;
        i /= dim;
    }
    return at;
}

static const struct {
    prelu_shape from, to;
} sums[] = {
    {{4, {20, 70, 20, 20}}, {3, {70, 1, 1}}},
    {{4, {20, 70, 20, 20}}, {0, {0}}},
    {{4, {20, 70, 20, 20}}, {1, {20}}},
    {{4, {20, 70, 20, 20}}, {3, {70, 20, 20}}},
    {{4, {20, 70, 20, 20}}, {4, {20, 70, 1, 1}}},
    {{4, {2, 3, 300, 300}}, {4, {2, 3, 1, 1}}},
    {{4, {2, 3, 300, 300}}, {4, {2, 1, 300, 1}}},
    {{2, {3000, 100}}, {1, {100}}},
    {{2, {5, 200000}}, {2, {5, 1}}},
    {{2, {70000, 3}}, {2, {70000, 1}}},
    {{4, {5, 20, 50, 30}}, {4, {5, 20, 50, 30}}},
    {{3, {7, 300, 90}}, {2, {300, 1}}},
    {{4, {1, 70, 50, 40}}, {3, {70, 50, 40}}},
    {{5, {3, 40, 5, 30, 9}}, {4, {40, 1, 30, 1}}},
};

static void check_sums(const float *got, const double *want, const double *size, size_t n,
                       const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= 1e-7 * (fabs(want[i]) + 1e-6 * size[i])))
            fail_msg("%s[%zu] is %.9g, not %.9g", what, i, (double)got[i], want[i]);
}

static void sum_one(size_t k, bool slope, uint64_t seed)
{
    const prelu_shape *from = &sums[k].from, *to = &sums[k].to;
    const size_t n = op_run_count(from), m = op_run_count(to);
    const prelu_attr scale = PRELU_FLOAT("scale", -2.0f);
    double *want = calloc(m, sizeof *want), *size = calloc(m, sizeof *size);
    op_plain p = {.n_in = 0};
    const float *dy = op_plain_input(&p, *from, -1, 1, &seed);
    const float *x = slope ? op_plain_input(&p, *from, -1, 1, &seed) : NULL;
    op_plain_input(&p, *to, -1, 1, &seed);
    for (size_t i = 0; i < n; i++) {
        /* a float product, as the op forms it; only the sums are compared */
        const float product = x ? x[i] * dy[i] : 0;
        const double v = !slope ? -2.0 * (double)dy[i] : x[i] > 0 ? 0.0 : (double)product;
        want[broadcast_at(from, to, i)] += v;
        size[broadcast_at(from, to, i)] += fabs(v);
    }
    op_plain_go(&p, slope ? "PReluGradSlope" : "SumTo", 1, &scale, slope ? 0 : 1);
    check_sums(p.out[0], want, size, m, slope ? "PReluGradSlope" : "SumTo");
    op_plain_free(&p);
    free(want);
    free(size);
}

static void test_sums(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof sums / sizeof *sums; k++) {
        sum_one(k, false, check_seed() + k);
        sum_one(k, true, check_seed() + k);
    }
}

/* A picture's mean does not depend on the batch, also where it is summed in parts. */
static void test_mean_is_batch_invariant(void **state)
{
    uint64_t seed = check_seed();
    op_plain all = {.n_in = 0}, one = {.n_in = 0};
    (void)state;
    const float *x = op_plain_input(&all, (prelu_shape){4, {3, 33, 130, 70}}, -1, 1, &seed);
    float *alone = op_plain_input(&one, (prelu_shape){4, {1, 33, 130, 70}}, -1, 1, &seed);
    memcpy(alone, x + 2 * 33 * 130 * 70, 33 * 130 * 70 * sizeof *x);
    op_plain_go(&all, "GlobalAveragePool", 1, NULL, 0);
    op_plain_go(&one, "GlobalAveragePool", 1, NULL, 0);
    assert_memory_equal(one.out[0], all.out[0] + 66, 33 * sizeof(float));
    for (size_t c = 0; c < 99; c++) {
        double sum = 0;
        for (size_t i = 0; i < 9100; i++)
            sum += (double)x[c * 9100 + i];
        check_near(all.out[0][c], sum / 9100, 1e-9);
    }
    op_plain_free(&all);
    op_plain_free(&one);
}

static void test_reduce_max(void **state)
{
    const int64_t axes[] = {2, 3};
    const prelu_attr attrs[] = {PRELU_INTS("axes", axes, 2), PRELU_INT("keepdims", 0)};
    uint64_t seed = check_seed();
    op_plain p = {.n_in = 0};
    (void)state;
    float *x = op_plain_input(&p, (prelu_shape){4, {2, 9, 200, 150}}, -1, 1, &seed);
    x[30000 * 5 + 29999] = 7; /* the last of its map */
    op_plain_go(&p, "ReduceMax", 1, attrs, 2);
    for (size_t c = 0; c < 18; c++) {
        float max = x[c * 30000];
        for (size_t i = 1; i < 30000; i++)
            max = fmaxf(max, x[c * 30000 + i]);
        assert_true(p.out[0][c] == max);
    }
    op_plain_free(&p);
}

/* ---- element-wise across tasks -------------------------------------------------------------- */

static const struct {
    prelu_shape a, b;
} pairs[] = {
    {{4, {2, 3, 200, 200}}, {3, {3, 1, 1}}},
    {{4, {2, 3, 200, 200}}, {1, {200}}},
    {{4, {2, 3, 200, 200}}, {0, {0}}},
    {{4, {3, 140, 21, 20}}, {4, {1, 140, 1, 1}}},
    {{4, {2, 5, 150, 90}}, {3, {5, 150, 90}}},
    {{4, {2, 5, 150, 90}}, {4, {2, 5, 150, 90}}},
    {{2, {700, 333}}, {1, {333}}},
    {{2, {700, 333}}, {2, {700, 1}}},
    {{2, {100000, 2}}, {1, {2}}},
};

static double arithmetic(int op, double a, double b)
{
    return op == 0   ? a + b
           : op == 1 ? a - b
           : op == 2 ? a * b
           : op == 3 ? a / b
           : a > 0   ? a
                     : a * b;
}

static void test_binary(void **state)
{
    static const char *const ops[] = {"Add", "Sub", "Mul", "Div", "PRelu"};
    uint64_t seed = check_seed();
    (void)state;
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++)
        for (int op = 0; op < 5; op++) {
            op_plain p = {.n_in = 0};
            const float *a = op_plain_input(&p, pairs[k].a, -1, 1, &seed);
            const float *b = op_plain_input(&p, pairs[k].b, 0.5f, 2, &seed);
            op_plain_go(&p, ops[op], 1, NULL, 0);
            for (size_t i = 0; i < op_run_count(&pairs[k].a); i++) {
                const double v = (double)b[broadcast_at(&pairs[k].a, &pairs[k].b, i)];
                check_near(p.out[0][i], arithmetic(op, (double)a[i], v), 3e-7);
            }
            op_plain_free(&p);
        }
}

static void test_prelu_grad_x(void **state)
{
    uint64_t seed = check_seed();
    (void)state;
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        op_plain p = {.n_in = 0};
        const float *dy = op_plain_input(&p, pairs[k].a, -1, 1, &seed);
        const float *x = op_plain_input(&p, pairs[k].a, -1, 1, &seed);
        const float *slope = op_plain_input(&p, pairs[k].b, -0.5f, 1.5f, &seed);
        op_plain_go(&p, "PReluGradX", 1, NULL, 0);
        for (size_t i = 0; i < op_run_count(&pairs[k].a); i++) {
            const float a = slope[broadcast_at(&pairs[k].a, &pairs[k].b, i)];
            assert_true(p.out[0][i] == (x[i] > 0 ? dy[i] : a * dy[i]));
        }
        op_plain_free(&p);
    }
}

static void test_dropout(void **state)
{
    const prelu_attr attrs[] = {PRELU_FLOAT("ratio", 0.3f), PRELU_INT("id", 4)};
    const prelu_attr other[] = {PRELU_FLOAT("ratio", 0.3f), PRELU_INT("id", 5)};
    enum { N = 300000 };
    static const size_t lags[] = {1, 2, 3, 32768, 65534, 65535, 65536, 65538}; /* about a task */
    uint64_t seed = check_seed();
    op_plain p = {.seed = 9}, q = {.seed = 9}, r = {.seed = 10}, s = {.seed = 9};
    op_plain *const all[] = {&p, &q, &r, &s};
    size_t kept = 0, as_other_id = 0, as_other_seed = 0;
    (void)state;
    for (int i = 0; i < 4; i++) {
        float *x = op_plain_input(all[i], (prelu_shape){2, {3, N / 3}}, 1, 2, &seed);
        op_plain_go(all[i], "Dropout", 1, i == 3 ? other : attrs, 2);
        for (size_t k = 0; k < N; k++)
            assert_true(all[i]->out[0][k] == 0 || all[i]->out[0][k] == x[k] * (1.0f / 0.7f));
    }
    for (size_t k = 0; k < N; k++) {
        const bool keep = p.out[0][k] != 0;
        assert_true(keep == (q.out[0][k] != 0)); /* same seed, same id, other numbers: same mask */
        kept += keep;
        as_other_seed += keep == (r.out[0][k] != 0);
        as_other_id += keep == (s.out[0][k] != 0);
    }
    /* six standard deviations of a binomial: independent elements, seeds and nodes */
    check_near((double)kept / N, 0.7, 6 * sqrt(0.21 / N));
    for (size_t i = 0; i < sizeof lags / sizeof *lags; i++) {
        size_t alike = 0;
        for (size_t k = lags[i]; k < N; k++)
            alike += (p.out[0][k] != 0) == (p.out[0][k - lags[i]] != 0);
        check_near((double)alike / (double)(N - lags[i]), 0.58, 0.006);
    }
    check_near((double)as_other_seed / N, 0.58, 6 * sqrt(0.25 / N));
    check_near((double)as_other_id / N, 0.58, 6 * sqrt(0.25 / N));
    for (int i = 0; i < 4; i++)
        op_plain_free(all[i]);
}

/* ---- moving elements ------------------------------------------------------------------------ */

static void test_moves(void **state)
{
    const prelu_shape s = {4, {3, 70, 50, 41}};
    const int64_t perm[] = {2, 0, 3, 1}, shape[] = {70, 3, 41, 50};
    const prelu_attr as = PRELU_INTS("shape", shape, 4), by = PRELU_INTS("perm", perm, 4);
    uint64_t seed = check_seed();
    const size_t n = op_run_count(&s);
    (void)state;
    op_plain flat = {.n_in = 0}, again = {.n_in = 0}, turned = {.n_in = 0};
    const float *x = op_plain_input(&flat, s, -1, 1, &seed);
    op_plain_go(&flat, "Flatten", 1, NULL, 0);
    assert_memory_equal(flat.out[0], x, n * sizeof *x);
    memcpy(op_plain_input(&again, s, -1, 1, &seed), x, n * sizeof *x);
    op_plain_go(&again, "Reshape", 1, &as, 1);
    assert_memory_equal(again.out[0], x, n * sizeof *x);
    memcpy(op_plain_input(&turned, s, -1, 1, &seed), x, n * sizeof *x);
    op_plain_go(&turned, "Transpose", 1, &by, 1);
    for (size_t i = 0; i < n; i++) { /* i of (3,70,50,41) goes to (50,3,41,70) */
        const size_t w = i % 41, h = i / 41 % 50, c = i / 2050 % 70, k = i / 143500;
        assert_true(turned.out[0][((h * 3 + k) * 41 + w) * 70 + c] == x[i]);
    }
    op_plain_free(&flat);
    op_plain_free(&again);
    op_plain_free(&turned);
}

static void test_concat_and_back(void **state)
{
    uint64_t seed = check_seed();
    (void)state;
    for (int64_t axis = 0; axis < 4; axis++) {
        const prelu_attr attr = PRELU_INT("axis", axis);
        prelu_shape s[3] = {{4, {4, 20, 30, 40}}, {4, {4, 20, 30, 40}}, {4, {4, 20, 30, 40}}};
        op_plain p = {.n_in = 0};
        s[1].dim[axis] = 1;
        s[2].dim[axis] = 33;
        for (int i = 0; i < 3; i++)
            op_plain_input(&p, s[i], -1, 1, &seed);
        op_plain_go(&p, "Concat", 1, &attr, 1);
        for (int i = 0; i < 3; i++) { /* ConcatGrad of the result gives each input back */
            op_plain back = {.n_in = 0};
            float *dy = op_plain_input(&back, p.out_shape[0], 0, 1, &seed);
            memcpy(dy, p.out[0], op_run_count(&p.out_shape[0]) * sizeof *dy);
            for (int k = 0; k <= i; k++)
                op_plain_input(&back, s[k], 0, 1, &seed);
            op_plain_go(&back, "ConcatGrad", 1, &attr, 1);
            assert_memory_equal(back.out[0], p.in[i], op_run_count(&s[i]) * sizeof *dy);
            op_plain_free(&back);
        }
        op_plain_free(&p);
    }
}

static void test_slice_and_back(void **state)
{
    const int64_t starts[] = {-1, 3}, ends[] = {2, 1000}, axes[] = {1, 3}, steps[] = {-2, 3};
    const prelu_attr attrs[] = {PRELU_INTS("starts", starts, 2), PRELU_INTS("ends", ends, 2),
                                PRELU_INTS("axes", axes, 2), PRELU_INTS("steps", steps, 2)};
    const prelu_shape s = {4, {2, 60, 50, 70}};
    uint64_t seed = check_seed();
    op_plain p = {.n_in = 0}, back = {.n_in = 0};
    size_t in_slice = 0;
    (void)state;
    const float *x = op_plain_input(&p, s, 1, 2, &seed);
    op_plain_go(&p, "Slice", 1, attrs, 4);
    assert_int_equal(p.out_shape[0].dim[1], 29); /* 59, 57, .. 3 */
    assert_int_equal(p.out_shape[0].dim[3], 23); /* 3, 6, .. 69 */
    memcpy(op_plain_input(&back, p.out_shape[0], 0, 1, &seed), p.out[0],
           op_run_count(&p.out_shape[0]) * sizeof *x);
    op_plain_input(&back, s, 0, 1, &seed);
    op_plain_go(&back, "SliceGrad", 1, attrs, 4);
    for (size_t i = 0; i < op_run_count(&s); i++) {
        const size_t w = i % 70, c = i / 3500 % 60;
        const bool inside = w >= 3 && w % 3 == 0 && c >= 3 && c % 2 == 1;
        assert_true(back.out[0][i] == (inside ? x[i] : 0));
        in_slice += inside;
    }
    assert_int_equal(in_slice, op_run_count(&p.out_shape[0]));
    op_plain_free(&p);
    op_plain_free(&back);
}

/* ---- pools ---------------------------------------------------------------------------------- */

enum { PN = 2, PC = 9, PH = 120, PW = 61, K = 3, PAD = 1 };

/* Rows and columns begin..end-1 that window o covers. */
static void window(int o, int stride, int size, int *begin, int *end)
{
    *begin = o * stride - PAD < 0 ? 0 : o * stride - PAD;
    *end = o * stride - PAD + K > size ? size : o * stride - PAD + K;
}

/* dx of both pools, plainly; x (PN,PC,PH,PW), dy (PN,PC,oh,ow). */
static void pools_backward(double *max_dx, double *mean_dx, const float *x, const float *dy,
                           int stride, int oh, int ow)
{
    for (int m = 0; m < PN * PC; m++)
        for (int o = 0; o < oh * ow; o++) {
            const double d = (double)dy[m * oh * ow + o];
            int y0, y1, x0, x1, best = -1;
            window(o / ow, stride, PH, &y0, &y1);
            window(o % ow, stride, PW, &x0, &x1);
            for (int i = y0; i < y1; i++)
                for (int j = x0; j < x1; j++) {
                    const int at = m * PH * PW + i * PW + j;
                    best = best < 0 || x[at] > x[best] ? at : best;
                    mean_dx[at] += d / ((y1 - y0) * (x1 - x0));
                }
            max_dx[best] += d;
        }
}

static void pool_grads(int stride)
{
    const int oh = (PH + 2 * PAD - K) / stride + 1, ow = (PW + 2 * PAD - K) / stride + 1;
    const int64_t kernel[] = {K, K}, strides[] = {stride, stride}, pads[] = {PAD, PAD, PAD, PAD};
    const prelu_attr attrs[] = {PRELU_INTS("kernel_shape", kernel, 2),
                                PRELU_INTS("strides", strides, 2), PRELU_INTS("pads", pads, 4)};
    const size_t n = (size_t)PN * PC * PH * PW;
    double *max_dx = calloc(n, sizeof *max_dx), *mean_dx = calloc(n, sizeof *mean_dx);
    uint64_t seed = check_seed();
    op_plain p = {.n_in = 0}, q = {.n_in = 0};
    const float *dy = op_plain_input(&p, (prelu_shape){4, {PN, PC, oh, ow}}, -1, 1, &seed);
    float *x = op_plain_input(&p, (prelu_shape){4, {PN, PC, PH, PW}}, -1, 1, &seed);
    for (size_t i = 0; i < n; i++)
        x[i] = floorf(x[i] * 3); /* many ties */
    pools_backward(max_dx, mean_dx, x, dy, stride, oh, ow);
    op_plain_go(&p, "MaxPoolGrad", 1, attrs, 3);
    memcpy(op_plain_input(&q, p.shape[0], 0, 1, &seed), dy, op_run_count(&p.shape[0]) * sizeof *dy);
    op_plain_input(&q, p.shape[1], 0, 1, &seed);
    op_plain_go(&q, "AveragePoolGrad", 1, attrs, 3);
    for (size_t i = 0; i < n; i++) {
        check_near(p.out[0][i], max_dx[i], 2e-6);
        check_near(q.out[0][i], mean_dx[i], 2e-6);
    }
    op_plain_free(&p);
    op_plain_free(&q);
    free(max_dx);
    free(mean_dx);
}

static void test_pool_grads(void **state)
{
    (void)state;
    pool_grads(1); /* windows reach into the bands of other tasks */
    pool_grads(2);
    pool_grads(4); /* some elements are in no window */
}

static void spp_one(int64_t n, int64_t c, int64_t h, int64_t w, const int64_t *levels, size_t len)
{
    const prelu_attr attr = PRELU_INTS("levels", levels, len);
    uint64_t seed = check_seed() + (uint64_t)h;
    op_plain p = {.n_in = 0}, back = {.n_in = 0};
    const float *x = op_plain_input(&p, (prelu_shape){4, {n, c, h, w}}, -1, 1, &seed);
    double *dx = calloc((size_t)(n * c * h * w), sizeof *dx);
    op_plain_go(&p, "SPP", 1, &attr, 1);
    const float *dy = op_plain_input(&back, p.out_shape[0], -1, 1, &seed);
    size_t at = 0;
    for (int64_t m = 0; m < n; m++)
        for (size_t k = 0; k < len; k++)
            for (int64_t i = 0, l = levels[k]; i < c * l * l; i++, at++) {
                const int64_t map = (m * c + i / (l * l)) * h * w, by = i / l % l, bx = i % l;
                int64_t best = -1;
                for (int64_t r = by * h / l; r < ((by + 1) * h + l - 1) / l; r++)
                    for (int64_t q = bx * w / l; q < ((bx + 1) * w + l - 1) / l; q++)
                        best = best < 0 || x[map + r * w + q] > x[best] ? map + r * w + q : best;
                assert_true(p.out[0][at] == x[best]);
                dx[best] += (double)dy[at];
            }
    assert_int_equal(at, op_run_count(&p.out_shape[0]));
    memcpy(op_plain_input(&back, p.shape[0], 0, 1, &seed), x, (size_t)(n * c * h * w) * sizeof *x);
    op_plain_go(&back, "SPPGrad", 1, &attr, 1);
    for (int64_t i = 0; i < n * c * h * w; i++)
        check_near(back.out[0][i], dx[i], 2e-6);
    op_plain_free(&p);
    op_plain_free(&back);
    free(dx);
}

static void test_spp(void **state)
{
    static const int64_t paper[] = {7, 3, 2, 1}, small[] = {6, 3, 2, 1}, one[] = {5};
    (void)state;
    spp_one(2, 100, 14, 14, paper, 4);
    spp_one(1, 130, 13, 9, paper, 4);
    spp_one(2, 64, 18, 18, small, 4);
    spp_one(3, 5, 3, 2, paper, 4);
    spp_one(1, 1, 1, 1, paper, 4);
    spp_one(1, 3, 40, 30, one, 1);
}

/* ---- batch norm, softmax, loss -------------------------------------------------------------- */

enum { BN = 16, BC = 24, BHW = 2000, BM = BN * BHW };

static size_t bn_at(size_t c, size_t i) { return (i / BHW * BC + c) * BHW + i % BHW; }

static void bn_forward(const op_plain *p, size_t c, double *mean, double *var)
{
    *mean = *var = 0;
    for (size_t i = 0; i < BM; i++)
        *mean += (double)p->in[0][bn_at(c, i)] / BM;
    for (size_t i = 0; i < BM; i++) {
        const double d = (double)p->in[0][bn_at(c, i)] - *mean;
        *var += d * d / BM;
    }
    check_near(p->out[1][c], *mean, 1e-7 * fabs(*mean) + 1e-7);
    check_near(p->out[2][c], *var, 1e-6 * *var);
    for (size_t i = 0; i < BM; i += 7) {
        const double d = ((double)p->in[0][bn_at(c, i)] - *mean) / sqrt(*var + 1e-3);
        /* the mean is a float where it is subtracted */
        check_near(p->out[0][bn_at(c, i)], d * (double)p->in[1][c] + (double)p->in[2][c],
                   1e-5 + 1e-6 * fabs(*mean));
    }
}

static void bn_backward(const op_plain *p, size_t c, double mean, double var)
{
    double sum = 0, product = 0;
    const double t = 1 / sqrt(var + 1e-3), scale = (double)p->in[2][c];
    for (size_t i = 0; i < BM; i++) {
        sum += (double)p->in[0][bn_at(c, i)];
        product += (double)p->in[0][bn_at(c, i)] * ((double)p->in[1][bn_at(c, i)] - mean) * t;
    }
    check_near(p->out[1][c], product, 1e-4);
    check_near(p->out[2][c], sum, 1e-4);
    for (size_t i = 0; i < BM; i += 7) {
        const double xhat = ((double)p->in[1][bn_at(c, i)] - mean) * t;
        const double want =
            scale * t * ((double)p->in[0][bn_at(c, i)] - sum / BM - xhat * product / BM);
        check_near(p->out[0][bn_at(c, i)], want, 1e-5);
    }
}

static void batch_norm(float offset)
{
    const prelu_attr epsilon = PRELU_FLOAT("epsilon", 1e-3f);
    const prelu_shape s = {4, {BN, BC, 50, 40}}, cs = {1, {BC}};
    uint64_t seed = check_seed();
    op_plain p = {.n_in = 0}, q = {.n_in = 0};
    const float *x = op_plain_input(&p, s, offset - 1, offset + 1, &seed);
    const float *scale = op_plain_input(&p, cs, 0.5f, 2, &seed);
    op_plain_input(&p, cs, -1, 1, &seed);
    op_plain_go(&p, "BatchNormTrain", 3, &epsilon, 1);
    op_plain_input(&q, s, -1, 1, &seed);
    memcpy(op_plain_input(&q, s, 0, 1, &seed), x, op_run_count(&s) * sizeof *x);
    memcpy(op_plain_input(&q, cs, 0, 1, &seed), scale, BC * sizeof *x);
    memcpy(op_plain_input(&q, cs, 0, 1, &seed), p.out[1], BC * sizeof *x);
    memcpy(op_plain_input(&q, cs, 0, 1, &seed), p.out[2], BC * sizeof *x);
    op_plain_go(&q, "BatchNormGrad", 3, &epsilon, 1);
    for (size_t c = 0; c < BC; c++) {
        double mean, var;
        bn_forward(&p, c, &mean, &var);
        bn_backward(&q, c, (double)p.out[1][c], (double)p.out[2][c]);
    }
    op_plain_free(&p);
    op_plain_free(&q);
}

static void test_batch_norm(void **state)
{
    (void)state;
    batch_norm(0);
    batch_norm(1000); /* E[x^2] - E[x]^2 in float would be noise here */
}

static void test_softmax_rows(void **state)
{
    const prelu_attr axis = PRELU_INT("axis", 1);
    uint64_t seed = check_seed();
    op_plain p = {.n_in = 0};
    (void)state;
    const float *x = op_plain_input(&p, (prelu_shape){4, {3, 40, 50, 30}}, -5, 5, &seed);
    op_plain_go(&p, "Softmax", 1, &axis, 1);
    for (size_t m = 0; m < 3; m++)
        for (size_t i = 0; i < 1500; i += 11) {
            double sum = 0;
            for (size_t c = 0; c < 40; c++)
                sum += exp((double)x[(m * 40 + c) * 1500 + i]);
            for (size_t c = 0; c < 40; c++)
                check_near(p.out[0][(m * 40 + c) * 1500 + i],
                           exp((double)x[(m * 40 + c) * 1500 + i]) / sum, 1e-6);
        }
    op_plain_free(&p);
}

static void cross_entropy(double e)
{
    enum { N = 300, C = 200 };
    const prelu_attr smoothing = PRELU_FLOAT("label_smoothing", (float)e);
    uint64_t seed = check_seed();
    int32_t labels[N];
    op_plain p = {.labels = labels}, q = {.labels = labels};
    const float *x = op_plain_input(&p, (prelu_shape){2, {N, C}}, -20, 20, &seed);
    double loss = 0;
    for (int i = 0; i < N; i++)
        labels[i] = check_random_int(&seed, 0, C - 1);
    op_plain_go(&p, "SoftmaxCrossEntropy", 2, &smoothing, 1);
    const float *dloss = op_plain_input(&q, (prelu_shape){0, {0}}, 1, 2, &seed);
    memcpy(op_plain_input(&q, p.out_shape[1], 0, 1, &seed), p.out[1], (size_t)N * C * sizeof *x);
    op_plain_go(&q, "SoftmaxCrossEntropyGrad", 1, &smoothing, 1);
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int j = 0; j < C; j++)
            sum += exp((double)x[i * C + j]);
        for (int j = 0; j < C; j++) {
            const double prob = exp((double)x[i * C + j]) / sum;
            const double target = (labels[i] == j ? 1 - e : 0) + e / C;
            loss -= target * log(prob) / N;
            check_near(p.out[1][i * C + j], prob, 1e-6);
            check_near(q.out[0][i * C + j], (double)*dloss * (prob - target) / N, 1e-8);
        }
    }
    check_near(p.out[0][0], loss, 1e-5);
    op_plain_free(&p);
    op_plain_free(&q);
}

static void test_cross_entropy(void **state)
{
    (void)state;
    cross_entropy(0);
    cross_entropy(0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_mean_is_batch_invariant),
        cmocka_unit_test(test_reduce_max),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_prelu_grad_x),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_concat_and_back),
        cmocka_unit_test(test_slice_and_back),
        cmocka_unit_test(test_pool_grads),
        cmocka_unit_test(test_spp),
        cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_softmax_rows),
        cmocka_unit_test(test_cross_entropy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
