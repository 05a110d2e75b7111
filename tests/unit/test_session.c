#include "prelu/mem.h"
#include "prelu/session.h"
#include "small_net.h"
#include <stdatomic.h>

static void run_views(prelu_session *s, const prelu_view *views, size_t n, int h, int w, float *out)
{
    prelu_err err = {0};
    check_ok(prelu_session_reshape(s, (int64_t)n, h, w, &err), &err);
    check_ok(prelu_session_set_views(s, views, n, &err), &err);
    check_ok(prelu_session_run(s, &err), &err);
    if (out)
        memcpy(out, prelu_session_output(s, 0), n * SMALL_CLASSES * sizeof *out);
}

/* Views with strides and mirrors equal the same pixels fed as a raw NCHW tensor. */
static void test_views_equal_raw_tensor(void **state)
{
    enum { N = 4, H = 17, W = 19 };
    prelu_graph *g = small_net(2);
    prelu_plan *plan = NULL;
    prelu_session *s = NULL;
    prelu_err err = {0};
    prelu_view views[N];
    float a[N * SMALL_CLASSES], b[N * SMALL_CLASSES];
    static float raw[N * 3 * H * W];
    uint8_t *px = small_views(views, N, H, W, 9);
    (void)state;
    check_ok(prelu_plan_create(&plan, g, NULL, &err), &err);
    check_ok(prelu_session_create(&s, plan, NULL, 0, &err), &err);
    run_views(s, views, N, H, W, a);
    for (int n = 0; n < N; n++)
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
                for (int c = 0; c < 3; c++) {
                    const int from = views[n].mirror ? W - 1 - x : x;
                    raw[((n * 3 + c) * H + y) * W + x] =
                        (float)views[n].data[(size_t)y * views[n].stride + (size_t)(3 * from + c)];
                }
    check_ok(prelu_session_set_input(s, 0, raw, N * 3 * H * W, &err), &err);
    check_ok(prelu_session_run(s, &err), &err);
    check_ok(prelu_session_read(s, 0, b, N * SMALL_CLASSES, &err), &err);
    assert_memory_equal(a, b, sizeof a);
    for (int n = 0; n < N; n++) {
        double sum = 0;
        for (int k = 0; k < SMALL_CLASSES; k++)
            sum += (double)a[n * SMALL_CLASSES + k];
        check_near(sum, 1.0, 1e-5);
    }
    check_fails(prelu_session_set_input(s, 0, raw, 5, &err), PRELU_E_ARG, &err);
    check_fails(prelu_session_set_input(s, 3, raw, 5, &err), PRELU_E_ARG, &err);
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
    prelu_graph_destroy(&g);
    free(px);
}

/* The passes (folding, fusing, dropping) change no result: the same graph as a training plan, which
 * skips them, gives the same scores; Dropout is off with ratio 0. */
static void test_passes_keep_results(void **state)
{
    enum { N = 3, H = 16, W = 16 };
    prelu_graph *g = small_net(4);
    prelu_plan *fused = NULL, *plain = NULL;
    prelu_session *s = NULL, *t = NULL;
    prelu_err err = {0};
    prelu_view views[N];
    float a[N * SMALL_CLASSES], b[N * SMALL_CLASSES];
    const prelu_attr none = PRELU_FLOAT("ratio", 0.0f);
    uint8_t *px = small_views(views, N, H, W, 10);
    (void)state;
    for (int i = 0; i < g->n_nodes; i++)
        if (strcmp(g->nodes[i].op, "Dropout") == 0) {
            g->nodes[i].attrs[0] = none;
            g->nodes[i].n_attrs = 1;
        }
    const prelu_plan_options training = {.precision = PRELU_PRECISION_FP32, .training = true};
    const prelu_plan_options fp32 = {.precision = PRELU_PRECISION_FP32};
    check_ok(prelu_plan_create(&fused, g, &fp32, &err), &err);
    assert_true(prelu_plan_layers(fused) < g->n_nodes - 4);
    check_ok(prelu_session_create(&s, fused, NULL, 0, &err), &err);
    run_views(s, views, N, H, W, a);
    for (int i = 0; i < g->n_nodes; i++)
        g->nodes[i].n_attrs -= strcmp(g->nodes[i].op, "Dropout") == 0;
    const prelu_value drop = prelu_graph_find(g, "drop");
    for (int i = 0; i < g->n_nodes; i++) /* a training plan keeps Dropout: read past it */
        for (int k = 0; k < g->nodes[i].n_in; k++)
            if (g->nodes[i].in[k] == drop)
                g->nodes[i].in[k] = prelu_graph_find(g, "spp");
    check_ok(prelu_plan_create(&plain, g, &training, &err), &err);
    check_ok(prelu_session_create(&t, plain, NULL, 0, &err), &err);
    run_views(t, views, N, H, W, b);
    for (int i = 0; i < N * SMALL_CLASSES; i++)
        check_near(a[i], b[i], 2e-5);
    prelu_session_destroy(&s);
    prelu_session_destroy(&t);
    prelu_plan_destroy(&fused);
    prelu_plan_destroy(&plain);
    prelu_graph_destroy(&g);
    free(px);
}

/* A convolution of 16 filters of a side, of one slope a channel if `slope`. */
static prelu_value conv16(prelu_graph *g, const char *name, prelu_value x, int64_t c, int64_t side,
                          int64_t stride, bool slope, uint64_t *seed)
{
    const int64_t by[2] = {stride, stride}, around[4] = {side / 2, side / 2, side / 2, side / 2};
    const prelu_attr attrs[] = {PRELU_INTS("strides", by, 2), PRELU_INTS("pads", around, 4)};
    char part[32];
    prelu_value in[3] = {x};
    snprintf(part, sizeof part, "%s.w", name);
    in[1] = small_random(g, part, (prelu_shape){4, {16, c, side, side}}, -.2f, .2f,
                         PRELU_ROLE_WEIGHT, seed);
    snprintf(part, sizeof part, "%s.b", name);
    in[2] = small_random(g, part, (prelu_shape){1, {16}}, -.2f, .2f, PRELU_ROLE_BIAS, seed);
    in[0] = small_node(g, "Conv", name, in, 3, attrs, 2);
    if (!slope)
        return in[0];
    snprintf(part, sizeof part, "%s.a", name);
    in[1] = small_random(g, part, (prelu_shape){3, {16, 1, 1}}, -.5f, .5f, PRELU_ROLE_SLOPE, seed);
    snprintf(part, sizeof part, "%s.act", name);
    return small_node(g, "PRelu", part, in, 2, NULL, 0);
}

#define TWO(op, name, a, b) small_node(g, op, name, (prelu_value[]){a, b}, 2, NULL, 0)

/* Behind an activation, before one, one that a smaller map is stretched for, and one of a map that
 * is read elsewhere too. */
static prelu_graph *residual_net(void)
{
    prelu_graph *g;
    prelu_err err = {0};
    prelu_value x, y;
    uint64_t seed = check_seed();
    check_ok(prelu_graph_create(&g, &err), &err);
    check_ok(prelu_graph_input(g, "data", PRELU_F32, &(prelu_shape){4, {-1, 3, -1, -1}}, &x, &err),
             &err);
    x = conv16(g, "first", x, 3, 3, 1, true, &seed);
    x = TWO("Add", "behind", conv16(g, "second", x, 16, 3, 1, true, &seed), x);
    y = conv16(g, "across", x, 16, 1, 2, false, &seed);
    x = TWO("Add", "before", y, conv16(g, "down", x, 16, 3, 2, false, &seed));
    x = small_node(g, "Relu", "before.act", &x, 1, NULL, 0);
    y = small_node(g, "GlobalAveragePool", "mean", &x, 1, NULL, 0);
    x = TWO("Add", "stretched", x, conv16(g, "squeezed", y, 16, 1, 1, false, &seed));
    y = conv16(g, "read", x, 16, 1, 1, false, &seed);
    x = TWO("Add", "last", x, y);
    check_ok(prelu_graph_output(g, x, &err), &err);
    check_ok(prelu_graph_output(g, y, &err), &err);
    return g;
}

/* Sums of maps go into convolutions' stores where their sizes can only be equal, and change
 * nothing. */
static void test_residuals(void **state)
{
    enum { N = 2, H = 9, W = 14, OUT = N * 16 * 5 * 7 };
    static float raw[N * 3 * H * W], got[2][2][OUT];
    prelu_graph *g = residual_net();
    prelu_err err = {0};
    uint64_t seed = check_seed();
    (void)state;
    for (size_t i = 0; i < N * 3 * H * W; i++)
        raw[i] = check_random_float(&seed, -1, 1);
    for (int plain = 0; plain < 2; plain++) {
        const prelu_plan_options o = {.precision = PRELU_PRECISION_FP32, .training = plain};
        prelu_plan *plan = NULL;
        prelu_session *s = NULL;
        check_ok(prelu_plan_create(&plan, g, &o, &err), &err);
        assert_int_equal(prelu_plan_layers(plan), plain ? g->n_nodes : 9);
        check_ok(prelu_session_create(&s, plan, NULL, 0, &err), &err);
        check_ok(prelu_session_reshape(s, N, H, W, &err), &err);
        check_ok(prelu_session_set_input(s, 0, raw, N * 3 * H * W, &err), &err);
        check_ok(prelu_session_run(s, &err), &err);
        for (int k = 0; k < 2; k++)
            check_ok(prelu_session_read(s, k, got[plain][k], OUT, &err), &err);
        prelu_session_destroy(&s);
        prelu_plan_destroy(&plan);
    }
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < OUT; i++)
            check_near(got[0][k][i], got[1][k][i], 1e-5);
    prelu_graph_destroy(&g);
}

/* Steps end; a run may be dropped between them and another started; sizes may change; going back to
 * an earlier size gives the earlier bits. */
static void test_steps_and_reshapes(void **state)
{
    prelu_graph *g = small_net(5);
    prelu_plan *plan = NULL;
    prelu_session *s = NULL;
    prelu_err err = {0};
    prelu_view small[2], large[6];
    float a[2 * SMALL_CLASSES], b[2 * SMALL_CLASSES];
    const prelu_pause brief = {.brief = true};
    bool done = false;
    uint8_t *p1 = small_views(small, 2, 14, 15, 1), *p2 = small_views(large, 6, 90, 70, 2);
    (void)state;
    check_ok(prelu_plan_create(&plan, g, NULL, &err), &err);
    check_ok(prelu_session_create(&s, plan, NULL, 0, &err), &err);
    check_fails(prelu_session_run(s, &err), PRELU_E_ARG, &err);
    run_views(s, small, 2, 14, 15, a);
    check_ok(prelu_session_reshape(s, 6, 90, 70, &err), &err);
    check_fails(prelu_session_begin(s, &err), PRELU_E_ARG, &err); /* nothing fed */
    check_fails(prelu_session_set_views(s, small, 2, &err), PRELU_E_ARG, &err);
    check_ok(prelu_session_set_views(s, large, 6, &err), &err);
    check_ok(prelu_session_begin(s, &err), &err);
    check_ok(prelu_session_step(s, brief, &done, &err), &err); /* dropped here */
    run_views(s, small, 2, 14, 15, b);
    assert_memory_equal(a, b, sizeof a);
    check_fails(prelu_session_step(s, brief, &done, &err), PRELU_E_ARG, &err);
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
    prelu_graph_destroy(&g);
    free(p1);
    free(p2);
}

static void test_limits(void **state)
{
    prelu_graph *g = small_net(6);
    prelu_plan *plan = NULL;
    prelu_session *s = NULL;
    prelu_err err = {0};
    (void)state;
    check_ok(prelu_plan_create(&plan, g, NULL, &err), &err);
    check_ok(prelu_session_create(&s, plan, NULL, 1 << 20, &err), &err);
    check_fails(prelu_session_reshape(s, 1, 5000, 5000, &err), PRELU_E_LIMIT, &err);
    check_fails(prelu_session_reshape(s, 0, 10, 10, &err), PRELU_E_ARG, &err);
    check_fails(prelu_session_reshape(s, 1, 10, 70000, &err), PRELU_E_ARG, &err);
    check_fails(prelu_session_reshape(s, 1, 1, 1, &err), PRELU_E_FORMAT, &err); /* conv2: 2x2 */
    assert_int_equal(prelu_session_reshape(s, 1, 16, 16, &err), PRELU_OK);
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
    prelu_graph_destroy(&g);
}

static void test_failing_allocations(void **state)
{
    prelu_graph *g = small_net(7);
    prelu_view view;
    uint8_t *px = small_views(&view, 1, 16, 16, 1);
    (void)state;
    for (size_t nth = 1;; nth++) {
        prelu_plan *plan = NULL;
        prelu_session *s = NULL;
        prelu_err err = {0};
        prelu_alloc_fail_from(nth);
        prelu_status st = prelu_plan_create(&plan, g, NULL, &err);
        if (!st)
            st = prelu_session_create(&s, plan, NULL, 0, &err);
        if (!st)
            st = prelu_session_reshape(s, 1, 16, 16, &err);
        if (!st)
            st = prelu_session_set_views(s, &view, 1, &err);
        if (!st) {
            prelu_alloc_fail_from(1); /* a run allocates nothing */
            st = prelu_session_run(s, &err);
            assert_int_equal(st, PRELU_OK);
        }
        prelu_alloc_fail_from(0);
        prelu_session_destroy(&s);
        prelu_plan_destroy(&plan);
        if (st == PRELU_OK)
            break;
        assert_int_equal(st, PRELU_E_NOMEM);
        assert_true(nth < 5000);
    }
    prelu_graph_destroy(&g);
    free(px);
}

/* What planning tells of as packed is not needed any more: here it is spoilt. */
static void spoil(void *ctx, const void *data, size_t len)
{
    atomic_fetch_add((atomic_size_t *)ctx, len);
    memset((void *)(uintptr_t)data, 0x7f, len);
}

static void test_packed_data_is_not_needed(void **state)
{
    enum { N = 2, H = 16, W = 16 };
    static const prelu_precision precisions[] = {PRELU_PRECISION_FP32, PRELU_PRECISION_BF16,
                                                 PRELU_PRECISION_INT8FC};
    prelu_err err = {0};
    prelu_view views[N];
    prelu_pool *pool = NULL;
    uint8_t *px = small_views(views, N, H, W, 10);
    (void)state;
    check_ok(prelu_pool_create(&pool, 1, &err), &err);
    for (int p = 0; p < 3; p++) {
        float scores[2][N * SMALL_CLASSES];
        atomic_size_t told = 0;
        for (int told_of = 0; told_of < 2; told_of++) {
            prelu_graph *g = small_net(5);
            prelu_plan *plan = NULL;
            prelu_session *s = NULL;
            const prelu_plan_options o = {.precision = precisions[p],
                                          .pool = pool,
                                          .packed = told_of ? spoil : NULL,
                                          .packed_ctx = &told};
            check_ok(prelu_plan_create(&plan, g, &o, &err), &err);
            check_ok(prelu_session_create(&s, plan, pool, 0, &err), &err);
            run_views(s, views, N, H, W, scores[told_of]);
            prelu_session_destroy(&s);
            prelu_plan_destroy(&plan);
            prelu_graph_destroy(&g);
        }
        assert_memory_equal(scores[0], scores[1], sizeof scores[0]);
        assert_true(told >= sizeof(float) * (SMALL_C1 * SMALL_C2 * 4 + SMALL_C2 * SMALL_C3 * 9));
    }
    prelu_pool_destroy(&pool);
    free(px);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_equal_raw_tensor),
        cmocka_unit_test(test_passes_keep_results),
        cmocka_unit_test(test_residuals),
        cmocka_unit_test(test_steps_and_reshapes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_packed_data_is_not_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
