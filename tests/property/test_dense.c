/* Dense testing against brute force: the trunk on the whole picture, every window of its map cut
 * out and put through the head by itself. */
#include "prelu/session.h"
#include "small_net.h"

enum { CROP = 28, MAP = 7, C = 34, CLASSES = 6, MAX_ROWS = 600 };
typedef enum head_kind { SPP, MEAN, MAX, REDUCE, REDUCE_KEEP, FLAT, RESHAPE, CONV_MEAN } head_kind;
static const char *const kinds[] = {
    "SPP",         "GlobalAveragePool", "GlobalMaxPool", "ReduceMean",
    "ReduceMean+", "Flatten",           "Reshape",       "conv"};
enum { KINDS = sizeof kinds / sizeof *kinds };

#define R(name, lo, hi, ...)                                                                       \
    small_random(g, name, (prelu_shape)__VA_ARGS__, lo, hi, PRELU_ROLE_WEIGHT, &seed)

static prelu_value conv(prelu_graph *g, const char *name, prelu_value x, int64_t from, int64_t to,
                        int64_t stride, uint64_t seed)
{
    const int64_t pads[4] = {1, 1, 1, 1}, strides[2] = {stride, stride};
    const prelu_attr attrs[] = {PRELU_INTS("pads", pads, 4), PRELU_INTS("strides", strides, 2)};
    const prelu_value in[] = {x, R("w", -.2f, .2f, {4, {to, from, 3, 3}}),
                              R("b", -.1f, .1f, {1, {to}})};
    const prelu_value y = small_node(g, "Conv", name, in, 3, attrs, 2);
    const prelu_value act[] = {y, R("a", -.3f, .9f, {3, {to, 1, 1}})};
    return small_node(g, "PRelu", "act", act, 2, NULL, 0);
}

/* 28 -> 14 -> 7, with a shortcut and a branch. */
static prelu_value add_trunk(prelu_graph *g, prelu_value x)
{
    uint64_t seed = 11;
    const int64_t two[2] = {2, 2}, three[2] = {3, 3}, pads[4] = {1, 1, 1, 1};
    const prelu_attr pool[] = {PRELU_INTS("kernel_shape", two, 2), PRELU_INTS("strides", two, 2)};
    const prelu_attr padded[] = {PRELU_INTS("kernel_shape", three, 2),
                                 PRELU_INTS("strides", two, 2), PRELU_INTS("pads", pads, 4)};
    const prelu_attr axis = PRELU_INT("axis", 1);
    x = small_node(g, "Sub", "mean", (prelu_value[]){x, R("m", 100, 130, {4, {1, 3, 1, 1}})}, 2,
                   NULL, 0);
    x = small_node(g, "Mul", "scale", (prelu_value[]){x, R("s", .02f, .03f, {0, {0}})}, 2, NULL, 0);
    x = conv(g, "conv1", x, 3, 16, 1, 1);
    x = small_node(g, "MaxPool", "pool1", &x, 1, pool, 2);
    const prelu_value left = conv(g, "conv2", x, 16, 16, 1, 2);
    x = small_node(g, "Add", "sum", (prelu_value[]){x, left}, 2, NULL, 0);
    const prelu_value a = conv(g, "conv3", x, 16, C - 16, 2, 3);
    const prelu_value b = small_node(g, "AveragePool", "pool2", &x, 1, padded, 3);
    return small_node(g, "Concat", "concat", (prelu_value[]){a, b}, 2, &axis, 1);
}

static prelu_value add_fc(prelu_graph *g, prelu_value x, int64_t inputs)
{
    uint64_t seed = 77;
    const prelu_attr tb = PRELU_INT("transB", 1);
    x = small_node(
        g, "Gemm", "fc",
        (prelu_value[]){x, R("w", -.1f, .1f, {2, {40, inputs}}), R("b", -.1f, .1f, {1, {40}})}, 3,
        &tb, 1);
    x = small_node(g, "Relu", "fc.act", &x, 1, NULL, 0);
    return small_node(g, "Gemm", "logits",
                      (prelu_value[]){x, R("w2", -.5f, .5f, {2, {CLASSES, 40}}),
                                      R("b2", -.1f, .1f, {1, {CLASSES}})},
                      3, &tb, 1);
}

static prelu_value add_head(prelu_graph *g, prelu_value x, head_kind kind)
{
    const int64_t levels[3] = {4, 3, 1}, hw[2] = {2, -1}, flat[2] = {0, -1};
    const prelu_attr spp = PRELU_INTS("levels", levels, 3), shape = PRELU_INTS("shape", flat, 2);
    const prelu_attr keep[] = {PRELU_INTS("axes", hw, 2),
                               PRELU_INT("keepdims", kind == REDUCE_KEEP)};
    switch (kind) {
    case SPP:
        return add_fc(g, small_node(g, "SPP", "spp", &x, 1, &spp, 1), C * 26);
    case CONV_MEAN:
        x = conv(g, "classes", x, C, CLASSES, 1, 5);
        x = small_node(g, "GlobalAveragePool", "gap", &x, 1, NULL, 0);
        return small_node(g, "Flatten", "logits", &x, 1, NULL, 0);
    case FLAT:
        return add_fc(g, small_node(g, "Flatten", "flat", &x, 1, NULL, 0), C * MAP * MAP);
    case RESHAPE:
        return add_fc(g, small_node(g, "Reshape", "flat", &x, 1, &shape, 1), C * MAP * MAP);
    case REDUCE:
        return add_fc(g, small_node(g, "ReduceMean", "mean2", &x, 1, keep, 2), C);
    case REDUCE_KEEP:
        x = small_node(g, "ReduceMean", "mean2", &x, 1, keep, 2);
        break;
    case MEAN:
    case MAX:
        x = small_node(g, kind == MAX ? "GlobalMaxPool" : "GlobalAveragePool", "gap", &x, 1, NULL,
                       0);
        break;
    }
    return add_fc(g, small_node(g, "Flatten", "flat", &x, 1, NULL, 0), C);
}

static prelu_value begin(prelu_graph **g, prelu_shape shape)
{
    prelu_err err = {0};
    prelu_value x;
    check_ok(prelu_graph_create(g, &err), &err);
    check_ok(prelu_graph_input(*g, "data", PRELU_F32, &shape, &x, &err), &err);
    return x;
}

static prelu_graph *whole_net(head_kind kind)
{
    prelu_graph *g;
    prelu_err err = {0};
    /* a net with fc on the whole map fixes its picture's size, as such files do */
    const int64_t side = kind == FLAT || kind == RESHAPE ? CROP : -1;
    prelu_value x = begin(&g, (prelu_shape){4, {-1, 3, side, side}});
    x = add_head(g, add_trunk(g, x), kind);
    const prelu_value prob = small_node(g, "Softmax", "prob", &x, 1, NULL, 0);
    check_ok(prelu_graph_output(g, prob, &err), &err);
    check_ok(prelu_graph_output(g, x, &err), &err);
    return g;
}

/* The parts: the map of a picture; the scores of a map. conv's classes belong to the trunk. */
static prelu_graph *trunk_net(head_kind kind)
{
    prelu_graph *g;
    prelu_err err = {0};
    prelu_value x = begin(&g, (prelu_shape){4, {-1, 3, -1, -1}});
    x = add_trunk(g, x);
    if (kind == CONV_MEAN)
        x = conv(g, "classes", x, C, CLASSES, 1, 5);
    check_ok(prelu_graph_output(g, x, &err), &err);
    return g;
}

static prelu_graph *head_net(head_kind kind)
{
    prelu_graph *g;
    prelu_err err = {0};
    const bool classes = kind == CONV_MEAN;
    prelu_value x = begin(&g, (prelu_shape){4, {-1, classes ? CLASSES : C, MAP, MAP}});
    if (classes) {
        x = small_node(g, "GlobalAveragePool", "gap", &x, 1, NULL, 0);
        x = small_node(g, "Flatten", "flat", &x, 1, NULL, 0);
    } else {
        x = add_head(g, x, kind);
    }
    x = small_node(g, "Softmax", "prob", &x, 1, NULL, 0);
    check_ok(prelu_graph_output(g, x, &err), &err);
    return g;
}

typedef struct runner {
    prelu_plan *plan;
    prelu_session *s;
} runner;

static runner runner_of(prelu_graph *g, const prelu_plan *weights_of, prelu_pool *pool)
{
    runner r = {0};
    prelu_err err = {0};
    const prelu_plan_options o = {.precision = PRELU_PRECISION_FP32, .weights_of = weights_of};
    check_ok(prelu_plan_create(&r.plan, g, &o, &err), &err);
    prelu_graph_destroy(&g);
    check_ok(prelu_session_create(&r.s, r.plan, pool, 0, &err), &err);
    return r;
}

static void runner_end(runner *r)
{
    prelu_session_destroy(&r->s);
    prelu_plan_destroy(&r->plan);
}

/* Runs n views; returns the rows, whose scores go to `out`. */
static size_t run(const runner *r, const prelu_view *views, size_t n, float *out)
{
    prelu_err err = {0};
    check_ok(prelu_session_reshape(r->s, (int64_t)n, views[0].height, views[0].width, &err), &err);
    check_ok(prelu_session_set_views(r->s, views, n, &err), &err);
    check_ok(prelu_session_run(r->s, &err), &err);
    const size_t rows = (size_t)prelu_session_output_shape(r->s, 0)->dim[0];
    assert_true(rows <= MAX_ROWS);
    memcpy(out, prelu_session_output(r->s, 0), rows * CLASSES * sizeof *out);
    return rows;
}

static size_t brute_force(head_kind kind, const prelu_view *view, float *out)
{
    runner trunk = runner_of(trunk_net(kind), NULL, NULL),
           head = runner_of(head_net(kind), NULL, NULL);
    prelu_err err = {0};
    size_t count, rows = 0;
    check_ok(prelu_session_reshape(trunk.s, 1, view->height, view->width, &err), &err);
    check_ok(prelu_session_set_views(trunk.s, view, 1, &err), &err);
    check_ok(prelu_session_run(trunk.s, &err), &err);
    const prelu_shape *m = prelu_session_output_shape(trunk.s, 0);
    const size_t c = (size_t)m->dim[1], h = (size_t)m->dim[2], w = (size_t)m->dim[3];
    check_ok(prelu_shape_count(m, &count, &err), &err);
    float *map = malloc(count * sizeof *map), *cut = malloc(c * MAP * MAP * sizeof *cut);
    check_ok(prelu_session_read(trunk.s, 0, map, count, &err), &err);
    check_ok(prelu_session_reshape(head.s, 1, 0 + MAP, MAP, &err), &err);
    for (size_t y = 0; y + MAP <= h; y++)
        for (size_t x = 0; x + MAP <= w; x++, rows++) {
            for (size_t i = 0; i < c * MAP; i++)
                memcpy(cut + i * MAP, map + (i / MAP * h + y + i % MAP) * w + x, MAP * sizeof *cut);
            check_ok(prelu_session_set_input(head.s, 0, cut, c * MAP * MAP, &err), &err);
            check_ok(prelu_session_run(head.s, &err), &err);
            memcpy(out + rows * CLASSES, prelu_session_output(head.s, 0), CLASSES * sizeof *out);
        }
    free(map);
    free(cut);
    runner_end(&trunk);
    runner_end(&head);
    return rows;
}

static runner dense_runner(head_kind kind, const prelu_plan *weights_of, prelu_pool *pool)
{
    prelu_graph *g = whole_net(kind), *dense = NULL;
    prelu_err err = {0};
    check_ok(prelu_graph_dense(&dense, g, CROP, CROP, &err), &err);
    runner r = runner_of(dense, weights_of, pool);
    prelu_graph_destroy(&g);
    return r;
}

static void test_brute_force(void **state)
{
    static const int sizes[][2] = {
        {CROP, CROP}, {CROP, 61},     {45, 39},
        {31, 29},     {52, CROP + 3}, {97, 98}}; /* more windows than the head takes at a time */
    static float want[MAX_ROWS * CLASSES], got[MAX_ROWS * CLASSES];
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        const runner base = runner_of(whole_net((head_kind)kind), NULL, NULL);
        runner r = dense_runner((head_kind)kind, base.plan, NULL);
        assert_true(prelu_plan_packed_bytes(r.plan) < prelu_plan_packed_bytes(base.plan));
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            prelu_view view[2]; /* the second is mirrored */
            prelu_plan_cost cost;
            prelu_err err = {0};
            uint8_t *px = small_views(view, 2, sizes[i][0], sizes[i][1], 5 + i);
            for (int v = 0; v < 2; v++) {
                const size_t rows = run(&r, &view[v], 1, got);
                assert_int_equal(rows, brute_force((head_kind)kind, &view[v], want));
                check_ok(prelu_plan_measure(r.plan, sizes[i][0], sizes[i][1], &cost, &err), &err);
                assert_int_equal(cost.rows, rows);
                for (size_t k = 0; k < rows * CLASSES; k++)
                    if (!(fabsf(got[k] - want[k]) <= 1e-5f))
                        fail_msg("%s, %d x %d: window %zu: %g, not %g", kinds[kind], sizes[i][0],
                                 sizes[i][1], k / CLASSES, (double)got[k], (double)want[k]);
                if (i == 0) { /* the picture of training size is the one window */
                    assert_int_equal(rows, 1);
                    assert_int_equal(run(&base, &view[v], 1, want), 1);
                    for (int k = 0; k < CLASSES; k++)
                        check_near(got[k], want[k], 1e-5);
                }
            }
            free(px);
        }
        runner_end(&r);
        runner b = base;
        runner_end(&b);
    }
}

/* A window's scores do not depend on batch, row or threads. */
static void test_bits(void **state)
{
    enum { N = 5, H = 53, W = 61 }; /* five have more windows than one block */
    static float want[MAX_ROWS * CLASSES], got[MAX_ROWS * CLASSES];
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        prelu_view views[N];
        prelu_err err = {0};
        size_t each = 0;
        uint8_t *px = small_views(views, N, H, W, 9);
        for (int threads = 0; threads < 3; threads++) {
            prelu_pool *pool = NULL;
            check_ok(prelu_pool_create(&pool, threads, &err), &err);
            runner r = dense_runner((head_kind)kind, NULL, pool);
            for (size_t i = 0; i < N && threads == 0; i++)
                each = run(&r, &views[i], 1, want + i * each * CLASSES);
            for (size_t n = 1; n <= N; n++)
                for (size_t first = 0; first + n <= N; first++) {
                    assert_int_equal(run(&r, views + first, n, got), n * each);
                    assert_memory_equal(got, want + first * each * CLASSES,
                                        n * each * CLASSES * sizeof *got);
                }
            runner_end(&r);
            prelu_pool_destroy(&pool);
        }
        assert_true(each > 1);
        assert_memory_not_equal(want, want + CLASSES, CLASSES * sizeof *want);
        free(px);
    }
}

/* A picture below training size has no window. */
static void test_too_small(void **state)
{
    runner r = dense_runner(SPP, NULL, NULL);
    prelu_err err = {0};
    (void)state;
    check_fails(prelu_session_reshape(r.s, 1, CROP - 4, 60, &err), PRELU_E_FORMAT, &err);
    runner_end(&r);
}

static void refused(prelu_graph *g, prelu_value x, const char *name)
{
    prelu_graph *dense = NULL;
    prelu_err err = {0};
    check_ok(prelu_graph_output(g, x, &err), &err);
    if (prelu_graph_dense(&dense, g, CROP, CROP, &err) != PRELU_E_UNSUPPORTED)
        fail_msg("%s is accepted", name);
    assert_null(dense);
    if (!strstr(err.text, name))
        fail_msg("'%s' does not name %s", err.text, name);
    prelu_graph_destroy(&g);
}

static void test_refused(void **state)
{
    const prelu_shape picture = {4, {-1, 3, -1, -1}};
    uint64_t seed = 1;
    prelu_graph *g;
    prelu_value x = begin(&g, picture), y;
    (void)state;
    refused(g, add_trunk(g, x), "'concat'"); /* no head */
    x = begin(&g, picture);                  /* a mean picture, but not of the input */
    y = small_node(g, "Relu", "pixels", &x, 1, NULL, 0);
    y = small_node(g, "Sub", "picture",
                   (prelu_value[]){y, R("m", 100, 130, {4, {1, 3, CROP, CROP}})}, 2, NULL, 0);
    y = add_trunk(g, y);
    refused(g, add_head(g, y, MEAN), "'picture'");
    x = begin(&g, picture); /* squeeze and excitation */
    x = add_trunk(g, x);
    y = small_node(g, "GlobalAveragePool", "squeeze", &x, 1, NULL, 0);
    y = small_node(g, "Mul", "excite", (prelu_value[]){x, y}, 2, NULL, 0);
    refused(g, add_head(g, y, FLAT), "'squeeze'");
    x = begin(&g, picture); /* a slope for each column */
    x = add_trunk(g, x);
    y = small_node(g, "PRelu", "columns", (prelu_value[]){x, R("a", 0, 1, {1, {MAP}})}, 2, NULL, 0);
    refused(g, add_head(g, y, SPP), "'columns'");
}

/* The net behind a mean (1,3,h,w), or with `flat` (3,h,w). */
static prelu_graph *mean_net(const float *mean, int64_t h, int64_t w, bool flat)
{
    prelu_graph *g;
    prelu_err err = {0};
    prelu_value x = begin(&g, (prelu_shape){4, {-1, 3, -1, -1}}), m;
    const prelu_shape shape = flat ? (prelu_shape){3, {3, h, w}} : (prelu_shape){4, {1, 3, h, w}};
    check_ok(prelu_graph_constant(g, "mean.picture", PRELU_F32, &shape, mean, true, PRELU_ROLE_NONE,
                                  &m, &err),
             &err);
    x = small_node(g, "Sub", "picture", (prelu_value[]){x, m}, 2, NULL, 0);
    x = add_head(g, add_trunk(g, x), SPP);
    const prelu_value prob = small_node(g, "Softmax", "prob", &x, 1, NULL, 0);
    check_ok(prelu_graph_output(g, prob, &err), &err);
    check_ok(prelu_graph_output(g, x, &err), &err);
    return g;
}

static size_t run_mean(const float *mean, int64_t side, bool flat, bool dense,
                       const prelu_view *view, float *out)
{
    prelu_graph *g = mean_net(mean, side, side, flat), *d = NULL;
    prelu_err err = {0};
    if (dense)
        check_ok(prelu_graph_dense(&d, g, CROP, CROP, &err), &err);
    runner r = runner_of(dense ? d : g, NULL, NULL);
    const size_t rows = run(&r, view, 1, out);
    runner_end(&r);
    if (dense)
        prelu_graph_destroy(&g);
    return rows;
}

/* A mean picture is stretched: of the training size it keeps every bit, and an even one is the mean
 * by channel at any size. */
static void test_mean_picture(void **state)
{
    enum { H = 41, W = 57, PIXELS = CROP * CROP };
    static float mean[3 * PIXELS], even[3 * PIXELS];
    static float want[MAX_ROWS * CLASSES], got[MAX_ROWS * CLASSES];
    const float colour[3] = {103, 116, 123};
    uint64_t seed = check_seed();
    prelu_view small, large;
    uint8_t *px = small_views(&small, 1, CROP, CROP, 3), *more = small_views(&large, 1, H, W, 4);
    (void)state;
    for (int i = 0; i < 3 * PIXELS; i++) {
        mean[i] = (float)check_random_int(&seed, 80, 140);
        even[i] = colour[i / PIXELS];
    }
    for (int flat = 0; flat < 2; flat++) {
        assert_int_equal(run_mean(mean, CROP, flat, true, &small, got), 1);
        assert_int_equal(run_mean(mean, CROP, flat, false, &small, want), 1);
        assert_memory_equal(got, want, CLASSES * sizeof *got);
        assert_int_equal(run_mean(even, CROP, flat, false, &small, want), 1);
        assert_memory_not_equal(got, want, CLASSES * sizeof *got);
        const size_t rows = run_mean(even, CROP, flat, true, &large, got);
        assert_int_equal(run_mean(colour, 1, flat, true, &large, want), rows);
        for (size_t i = 0; i < rows * CLASSES; i++)
            check_near(got[i], want[i], 1e-5);
    }
    free(px);
    free(more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brute_force),  cmocka_unit_test(test_bits),
        cmocka_unit_test(test_too_small),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_mean_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
