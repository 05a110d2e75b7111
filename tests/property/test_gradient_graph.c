#include "check.h"
#include "prelu/session.h"

/* The gradient of a whole network with branches, residuals, shared values, dropout, batch norm and
 * SPP: along a random direction in each parameter, the loss must change as the gradient says. */

enum { MAX_PARAMS = 24, N = 3, CLASSES = 4, H = 9, W = 8 };

typedef struct net {
    prelu_graph *g;
    prelu_plan *plan;
    prelu_session *session;
    prelu_value param[MAX_PARAMS], grad[MAX_PARAMS];
    size_t count[MAX_PARAMS];
    float *data[MAX_PARAMS];
    int n;
    float x[N * 3 * H * W];
    int32_t labels[N];
    uint64_t seed;
} net;

static prelu_value parameter(net *t, prelu_shape s, float lo, float hi, prelu_role role)
{
    prelu_err err = {0};
    char name[16];
    const int i = t->n++;
    assert_true(i < MAX_PARAMS);
    check_ok(prelu_shape_count(&s, &t->count[i], &err), &err);
    /* the engine's layout is asked of a bound value; random numbers lie as they like */
    t->data[i] = malloc(t->count[i] * sizeof(float));
    for (size_t k = 0; k < t->count[i]; k++)
        t->data[i][k] = check_random_float(&t->seed, lo, hi);
    snprintf(name, sizeof name, "p%d", i);
    check_ok(
        prelu_graph_constant(t->g, name, PRELU_F32, &s, t->data[i], true, role, &t->param[i], &err),
        &err);
    return t->param[i];
}

static prelu_value node(net *t, const char *op, const prelu_value *in, int n_in,
                        const prelu_attr *attrs, size_t n_attrs, int n_out)
{
    prelu_err err = {0};
    prelu_value out[PRELU_MAX_OUTPUTS];
    char name[32];
    snprintf(name, sizeof name, "%s%d", op, t->g->n_nodes);
    check_ok(prelu_graph_add(t->g, op, name, in, n_in, attrs, n_attrs, NULL, out, n_out, &err),
             &err);
    return out[0];
}

static prelu_value conv(net *t, prelu_value x, int64_t c, int64_t o, int64_t k, bool bias)
{
    const int64_t kernel[] = {k, k}, pads[] = {k / 2, k / 2, k / 2, k / 2};
    const prelu_attr attrs[] = {PRELU_INTS("kernel_shape", kernel, 2), PRELU_INTS("pads", pads, 4)};
    prelu_value in[3] = {
        x, parameter(t, (prelu_shape){4, {o, c, k, k}}, -0.4f, 0.4f, PRELU_ROLE_WEIGHT)};
    if (bias)
        in[2] = parameter(t, (prelu_shape){1, {o}}, -0.3f, 0.3f, PRELU_ROLE_BIAS);
    return node(t, "Conv", in, bias ? 3 : 2, attrs, 2, 1);
}

static prelu_value prelu(net *t, prelu_value x, prelu_shape slope)
{
    const prelu_value in[] = {x, parameter(t, slope, -0.2f, 1.2f, PRELU_ROLE_SLOPE)};
    return node(t, "PRelu", in, 2, NULL, 0, 1);
}

static prelu_value gemm(net *t, prelu_value x, int64_t from, int64_t to)
{
    const prelu_attr attr = PRELU_INT("transB", 1);
    const prelu_value in[] = {
        x, parameter(t, (prelu_shape){2, {to, from}}, -0.3f, 0.3f, PRELU_ROLE_WEIGHT),
        parameter(t, (prelu_shape){1, {to}}, -0.3f, 0.3f, PRELU_ROLE_BIAS)};
    return node(t, "Gemm", in, 3, &attr, 1, 1);
}

/* conv, batch norm, PReLU per channel; a residual branch with a shared slope that is used twice; a
 * second branch with pooling, scaled by a learnt number; concat; SPP; dropout; two fc layers. */
static prelu_value build(net *t, prelu_value x, prelu_value labels)
{
    const int64_t levels[] = {3, 1}, two[] = {2, 2}, three[] = {3, 3};
    const prelu_attr spp = PRELU_INTS("levels", levels, 2), axis = PRELU_INT("axis", 1);
    const prelu_attr pool[] = {PRELU_INTS("kernel_shape", three, 2), PRELU_INTS("strides", two, 2)};
    const prelu_attr drop[] = {PRELU_FLOAT("ratio", 0.25f), PRELU_INT("id", 1)};
    const prelu_attr smooth = PRELU_FLOAT("label_smoothing", 0.1f);
    prelu_value in[3];
    in[0] = conv(t, x, 3, 6, 3, false);
    in[1] = parameter(t, (prelu_shape){1, {6}}, 0.5f, 1.5f, PRELU_ROLE_SCALE);
    in[2] = parameter(t, (prelu_shape){1, {6}}, -0.3f, 0.3f, PRELU_ROLE_SCALE);
    const prelu_value a =
        prelu(t, node(t, "BatchNormTrain", in, 3, NULL, 0, 3), (prelu_shape){3, {6, 1, 1}});
    const prelu_value b = prelu(t, conv(t, a, 6, 6, 3, true), (prelu_shape){1, {1}});
    const prelu_value res[] = {conv(t, b, 6, 6, 1, true), a};
    const prelu_value sum = node(t, "Add", res, 2, NULL, 0, 1);
    const prelu_value scaled[] = {sum,
                                  parameter(t, (prelu_shape){0, {0}}, 0.5f, 1, PRELU_ROLE_WEIGHT)};
    const prelu_value left = node(t, "MaxPool", scaled, 1, pool, 2, 1);
    const prelu_value product = node(t, "Mul", scaled, 2, NULL, 0, 1);
    const prelu_value right = node(t, "AveragePool", &product, 1, pool, 2, 1);
    const prelu_value both[] = {left, right, left};
    const prelu_value all = node(t, "Concat", both, 3, &axis, 1, 1);
    const prelu_value flat = node(t, "SPP", &all, 1, &spp, 1, 1);
    const prelu_value h = prelu(t, gemm(t, flat, 180, 10), (prelu_shape){1, {10}});
    const prelu_value kept = node(t, "Dropout", &h, 1, drop, 2, 1);
    const prelu_value loss[] = {gemm(t, kept, 10, CLASSES), labels};
    return node(t, "SoftmaxCrossEntropy", loss, 2, &smooth, 1, 2);
}

static void create(net *t, uint64_t seed)
{
    const prelu_shape pictures = {4, {-1, 3, -1, -1}}, rows = {1, {-1}};
    prelu_value x, labels, outputs[MAX_PARAMS + 1];
    prelu_err err = {0};
    memset(t, 0, sizeof *t);
    t->seed = seed;
    check_ok(prelu_graph_create(&t->g, &err), &err);
    check_ok(prelu_graph_input(t->g, "data", PRELU_F32, &pictures, &x, &err), &err);
    check_ok(prelu_graph_input(t->g, "labels", PRELU_I32, &rows, &labels, &err), &err);
    const prelu_value loss = build(t, x, labels);
    check_ok(prelu_graph_gradient(t->g, loss, t->param, t->n, t->grad, &err), &err);
    outputs[0] = loss;
    for (int i = 0; i < t->n; i++) {
        assert_int_not_equal(t->grad[i], PRELU_NONE);
        outputs[i + 1] = t->grad[i];
        check_ok(prelu_graph_make_variable(t->g, t->param[i], &err), &err);
    }
    const prelu_plan_options o = {.outputs = outputs, .n_outputs = t->n + 1, .training = true};
    check_ok(prelu_plan_create(&t->plan, t->g, &o, &err), &err);
    check_ok(prelu_session_create(&t->session, t->plan, NULL, 0, &err), &err);
    for (int i = 0; i < t->n; i++)
        check_ok(prelu_session_bind(t->session, t->param[i], t->data[i], &err), &err);
    check_ok(prelu_session_reshape(t->session, N, H, W, &err), &err);
    for (size_t i = 0; i < sizeof t->x / sizeof *t->x; i++)
        t->x[i] = check_random_float(&t->seed, -1, 1);
    for (int i = 0; i < N; i++)
        t->labels[i] = check_random_int(&t->seed, 0, CLASSES - 1);
    check_ok(prelu_session_set_input(t->session, 0, t->x, sizeof t->x / sizeof *t->x, &err), &err);
    check_ok(prelu_session_set_input(t->session, 1, t->labels, N, &err), &err);
    prelu_session_seed(t->session, 3);
}

static void destroy(net *t)
{
    prelu_session_destroy(&t->session);
    prelu_plan_destroy(&t->plan);
    prelu_graph_destroy(&t->g);
    for (int i = 0; i < t->n; i++)
        free(t->data[i]);
}

static double loss_of(net *t)
{
    prelu_err err = {0};
    check_ok(prelu_session_run(t->session, &err), &err);
    return (double)prelu_session_output(t->session, 0)[0];
}

/* Loss at the parameter moved by h along the direction. */
static double loss_at(net *t, int i, const float *start, const float *direction, float h)
{
    for (size_t k = 0; k < t->count[i]; k++)
        t->data[i][k] = start[k] + h * direction[k];
    return loss_of(t);
}

/* A step may cross a kink of PReLU or change a maximum, which costs what the step is long: so the
 * bound is a part of the whole gradient, and most directions must do much better. */
static double check_direction(net *t, int i)
{
    const size_t n = t->count[i];
    float *start = malloc(n * sizeof *start), *direction = malloc(n * sizeof *direction);
    double along = 0, size = 0;
    loss_of(t);
    const float *g = prelu_session_output(t->session, i + 1);
    for (size_t k = 0; k < n; k++) {
        start[k] = t->data[i][k];
        direction[k] = check_random(&t->seed) & 1 ? 1.0f : -1.0f;
        along += (double)g[k] * (double)direction[k];
        size += (double)g[k] * (double)g[k];
    }
    const float h = 0.002f / sqrtf((float)n);
    const double slope =
        (loss_at(t, i, start, direction, h) - loss_at(t, i, start, direction, -h)) /
        (2 * (double)h);
    memcpy(t->data[i], start, n * sizeof *start);
    free(start);
    free(direction);
    size = sqrt(size) + 1e-3;
    if (!(fabs(slope - along) <= 0.2 * size + 2e-4 * sqrt((double)n)))
        fail_msg("parameter %d: gradient says %g, differences %g (|gradient| %g)", i, along, slope,
                 size);
    return fabs(slope - along) / size;
}

static void test_network(void **state)
{
    int close = 0, all = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++) {
        net t;
        create(&t, check_seed() + seed);
        for (int i = 0; i < t.n; i++)
            for (int k = 0; k < 3; k++, all++)
                close += check_direction(&t, i) < 0.02;
        destroy(&t);
    }
    if (close * 10 < all * 8)
        fail_msg("only %d of %d directions agree closely", close, all);
}

/* Gradients of values that are not parameters, of unused ones, and refusals. */
static void test_reach(void **state)
{
    const prelu_shape s = {2, {2, 3}}, ls = {1, {2}};
    prelu_value x, unused, labels, out[2], wrt[3], grads[3];
    prelu_graph *g;
    prelu_err err = {0};
    (void)state;
    check_ok(prelu_graph_create(&g, &err), &err);
    check_ok(prelu_graph_input(g, "x", PRELU_F32, &s, &x, &err), &err);
    check_ok(prelu_graph_input(g, "unused", PRELU_F32, &s, &unused, &err), &err);
    check_ok(prelu_graph_input(g, "labels", PRELU_I32, &ls, &labels, &err), &err);
    prelu_value y;
    check_ok(prelu_graph_add(g, "Relu", "r", &x, 1, NULL, 0, NULL, &y, 1, &err), &err);
    const prelu_value in[] = {y, labels};
    check_ok(prelu_graph_add(g, "SoftmaxCrossEntropy", "loss", in, 2, NULL, 0, NULL, out, 2, &err),
             &err);
    wrt[0] = x;
    wrt[1] = unused;
    wrt[2] = y;
    check_ok(prelu_graph_gradient(g, out[0], wrt, 3, grads, &err), &err);
    assert_int_not_equal(grads[0], PRELU_NONE);
    assert_int_equal(grads[1], PRELU_NONE);
    assert_int_not_equal(grads[2], PRELU_NONE);
    prelu_value normed;
    check_ok(prelu_graph_add(g, "LRN", "c", &x, 1, NULL, 0, NULL, &normed, 1, &err), &err);
    const prelu_value in2[] = {normed, labels};
    check_ok(prelu_graph_add(g, "SoftmaxCrossEntropy", "l2", in2, 2, NULL, 0, NULL, out, 2, &err),
             &err);
    check_fails(prelu_graph_gradient(g, out[0], wrt, 1, grads, &err), PRELU_E_UNSUPPORTED, &err);
    prelu_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_network),
                                       cmocka_unit_test(test_reach)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
