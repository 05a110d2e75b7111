#include "op_plain.h"

/* What the ops do at the edges: NaN, equal maxima, empty windows, labels that are no class, hostile
 * attributes and shapes, wrong types. */

static const int64_t two[] = {2, 2}, three[] = {3, 3};

static void set(op_plain *p, prelu_shape s, const float *v)
{
    uint64_t seed = 1;
    memcpy(op_plain_input(p, s, 0, 1, &seed), v, op_run_count(&s) * sizeof *v);
}

/* y of a one-input op on the given numbers. */
static op_plain run_one(const char *op, prelu_shape s, const float *v, const prelu_attr *attrs,
                        size_t n)
{
    op_plain p = {.n_in = 0};
    set(&p, s, v);
    op_plain_go(&p, op, 1, attrs, n);
    return p;
}

static void test_nan_comes_through(void **state)
{
    static const char *const ops[] = {"Relu",       "LeakyRelu", "Clip",          "HardSigmoid",
                                      "Sigmoid",    "HardSwish", "GlobalMaxPool", "ReduceMax",
                                      "ReduceMean", "ReduceSum"};
    const prelu_shape s = {4, {1, 1, 3, 3}};
    const int64_t level = 1;
    const prelu_attr spp = PRELU_INTS("levels", &level, 1);
    const prelu_attr kernel = PRELU_INTS("kernel_shape", three, 2);
    (void)state;
    for (size_t at = 0; at < 9; at++) {
        float v[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
        v[at] = NAN;
        for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
            op_plain p = run_one(ops[k], s, v, NULL, 0);
            const bool one = op_run_count(&p.out_shape[0]) == 1;
            if (!isnan(p.out[0][one ? 0 : at]))
                fail_msg("%s hides a NaN at %zu", ops[k], at);
            op_plain_free(&p);
        }
        op_plain p = run_one("MaxPool", s, v, &kernel, 1), q = run_one("SPP", s, v, &spp, 1);
        assert_true(isnan(p.out[0][0]) && isnan(q.out[0][0]));
        op_plain_free(&p);
        op_plain_free(&q);
    }
}

/* dx of a max op whose output is one number with gradient 1. */
static void check_winner(const char *op, const float *x, size_t winner, const prelu_attr *attr)
{
    const prelu_shape s = {4, {1, 1, 3, 3}}, y = {4, {1, 1, 1, 1}}, flat = {2, {1, 1}};
    const float one = 1;
    op_plain p = {.n_in = 0};
    set(&p, strcmp(op, "SPPGrad") == 0 ? flat : y, &one);
    set(&p, s, x);
    op_plain_go(&p, op, 1, attr, attr != NULL);
    for (size_t i = 0; i < 9; i++)
        if (p.out[0][i] != (i == winner ? 1.0f : 0.0f))
            fail_msg("%s: dx[%zu] is %g; element %zu should win", op, i, (double)p.out[0][i],
                     winner);
    op_plain_free(&p);
}

static void test_first_maximum_wins(void **state)
{
    static const struct {
        float x[9];
        size_t winner;
    } cases[] = {{{0}, 0},
                 {{1, 2, 2, 2, 1, 2, 1, 1, 2}, 1},
                 {{-1, -1, -1, -1, -1, -1, -1, -1, 0}, 8},
                 {{1, 5, NAN, 7, NAN, 9, 1, 1, 1}, 2},
                 {{-0.0f, 0, 0, 0, 0, 0, 0, 0, 0}, 0},
                 {{-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY,
                   -INFINITY, -INFINITY},
                  0}};
    const int64_t level = 1;
    const prelu_attr spp = PRELU_INTS("levels", &level, 1);
    const prelu_attr kernel = PRELU_INTS("kernel_shape", three, 2);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_winner("MaxPoolGrad", cases[i].x, cases[i].winner, &kernel);
        check_winner("GlobalMaxPoolGrad", cases[i].x, cases[i].winner, NULL);
        check_winner("SPPGrad", cases[i].x, cases[i].winner, &spp);
    }
}

/* A dilated window that steps over the whole map: nothing to take the maximum or mean of. */
static void test_window_in_the_padding(void **state)
{
    const int64_t dilations[] = {3, 3}, pads[] = {1, 1, 1, 1};
    const prelu_attr attrs[] = {PRELU_INTS("kernel_shape", two, 2),
                                PRELU_INTS("dilations", dilations, 2), PRELU_INTS("pads", pads, 4),
                                PRELU_INT("count_include_pad", 1)};
    const prelu_shape s = {4, {1, 1, 2, 2}}, y = {4, {1, 1, 1, 1}};
    const float v[4] = {1, 2, 3, 4}, one = 1;
    op_plain p = run_one("MaxPool", s, v, attrs, 3), q = run_one("AveragePool", s, v, attrs, 3);
    op_plain counted = run_one("AveragePool", s, v, attrs, 4), back = {.n_in = 0};
    (void)state;
    assert_true(p.out[0][0] == -INFINITY);
    assert_true(q.out[0][0] == 0 && counted.out[0][0] == 0);
    set(&back, y, &one);
    set(&back, s, v);
    op_plain_go(&back, "MaxPoolGrad", 1, attrs, 3);
    for (int i = 0; i < 4; i++)
        assert_true(back.out[0][i] == 0);
    op_plain_free(&p);
    op_plain_free(&q);
    op_plain_free(&counted);
    op_plain_free(&back);
}

static void test_prelu_at_zero_and_beyond(void **state)
{
    const float x[8] = {0, -0.0f, INFINITY, -INFINITY, NAN, -2, 2, 1e-40f};
    const float slopes[] = {0.25f, 0, 1, -0.5f, 3};
    (void)state;
    for (size_t k = 0; k < 5; k++) {
        op_plain p = {.n_in = 0};
        set(&p, (prelu_shape){1, {8}}, x);
        set(&p, (prelu_shape){0, {0}}, &slopes[k]);
        op_plain_go(&p, "PRelu", 1, NULL, 0);
        const float *y = p.out[0], a = slopes[k];
        assert_true(y[0] == 0 && y[1] == 0 && y[2] == INFINITY && isnan(y[4]));
        assert_true(a == 0 ? isnan(y[3]) : y[3] == (a > 0 ? -INFINITY : INFINITY));
        assert_true(y[5] == -2 * a && y[6] == 2 && y[7] == 1e-40f);
        op_plain_free(&p);
    }
}

static void test_labels(void **state)
{
    int32_t labels[3] = {0, 2, -1};
    const int32_t wrong[] = {-1, 3, INT32_MAX, INT32_MIN};
    const float x[9] = {1, -INFINITY, 0, 0, 0, 0, 5, 6, 7}, one = 1;
    (void)state;
    for (size_t k = 0; k < 5; k++) {
        op_plain p = {.labels = labels}, q = {.labels = labels};
        labels[2] = k < 4 ? wrong[k] : 1;
        set(&p, (prelu_shape){2, {3, 3}}, x);
        op_plain_go(&p, "SoftmaxCrossEntropy", 2, NULL, 0);
        assert_true(isnan(p.out[0][0]) == (k < 4)); /* a class ruled out is no trouble */
        set(&q, (prelu_shape){0, {0}}, &one);
        set(&q, (prelu_shape){2, {3, 3}}, p.out[1]);
        op_plain_go(&q, "SoftmaxCrossEntropyGrad", 1, NULL, 0);
        for (int i = 0; i < 9; i++)
            assert_true(isnan(q.out[0][i]) == (k < 4 && i >= 6));
        op_plain_free(&p);
        op_plain_free(&q);
    }
}

/* ---- refusals ------------------------------------------------------------------------------- */

typedef struct refusal {
    const char *op;
    int n_in;
    prelu_shape in[3];
    prelu_attr attrs[4];
    prelu_status status; /* 0: E_FORMAT */
} refusal;

#define LIST(name_, ...)                                                                           \
    {                                                                                              \
        .name = name_, .kind = PRELU_ATTR_INTS, .ints = (const int64_t[]){__VA_ARGS__},            \
        .len = sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)                            \
    }
#define INT(name_, v)                                                                              \
    {                                                                                              \
        .name = name_, .kind = PRELU_ATTR_INT, .i = v                                              \
    }
#define FLOAT(name_, v)                                                                            \
    {                                                                                              \
        .name = name_, .kind = PRELU_ATTR_FLOAT, .f = v                                            \
    }
#define TEXT(name_, v)                                                                             \
    {                                                                                              \
        .name = name_, .kind = PRELU_ATTR_STRING, .s = v                                           \
    }
#define BIG ((int64_t)1 << 40)

/* clang-format off */
static const refusal refusals[] = {
    {"Relu", 1, {{-1, {0}}}, {{0}}, 0},
    {"Relu", 1, {{2, {3, 0}}}, {{0}}, 0},
    {"Relu", 1, {{3, {BIG, BIG, BIG}}}, {{0}}, PRELU_E_LIMIT},
    {"PRelu", 2, {{4, {1, 3, 4, 5}}, {1, {3}}}, {{0}}, 0},
    {"PRelu", 2, {{2, {4, 5}}, {3, {1, 4, 5}}}, {{0}}, 0},
    {"PRelu", 2, {{2, {1, 5}}, {2, {4, 5}}}, {{0}}, 0},
    {"PRelu", 2, {{2, {1, 5}}, {-1, {0}}}, {{0}}, 0},
    {"Add", 2, {{2, {2, 3}}, {2, {3, 2}}}, {{0}}, 0},
    {"Add", 2, {{2, {2, 3}}, {-1, {0}}}, {{0}}, 0},
    {"Add", 2, {{2, {BIG, 1}}, {2, {1, BIG}}}, {{0}}, PRELU_E_LIMIT},
    {"Sum", 3, {{2, {2, 3}}, {1, {3}}, {1, {2}}}, {{0}}, 0},
    {"SumTo", 2, {{2, {2, 3}}, {2, {2, 2}}}, {{0}}, 0},
    {"SumTo", 2, {{1, {3}}, {2, {1, 3}}}, {{0}}, 0},
    {"MaxPool", 1, {{4, {1, 1, 4, 4}}}, {{0}}, 0},
    {"MaxPool", 1, {{3, {1, 4, 4}}}, {LIST("kernel_shape", 2)}, 0},
    {"MaxPool", 1, {{4, {1, 1, 4, 4}}}, {LIST("kernel_shape", 2)}, 0},
    {"MaxPool", 1, {{4, {1, 1, 4, 4}}}, {LIST("kernel_shape", 0, 2)}, 0},
    {"MaxPool", 1, {{4, {1, 1, 4, 4}}}, {LIST("kernel_shape", 5, 2)}, 0},
    {"MaxPool", 1, {{4, {1, 1, 4, 4}}}, {LIST("kernel_shape", INT64_MAX, 2)}, 0},
    {"MaxPool", 1, {{4, {1, 1, 4, 4}}}, {LIST("kernel_shape", 2, 2), LIST("strides", 0, 1)}, 0},
    {"MaxPool", 1, {{4, {1, 1, 4, 4}}}, {LIST("kernel_shape", 2, 2), LIST("strides", -1, 1)}, 0},
    {"MaxPool", 1, {{4, {1, 1, 4, 4}}}, {LIST("kernel_shape", 2, 2), LIST("dilations", 1, 9)}, 0},
    {"MaxPool", 1, {{4, {1, 1, 4, 4}}}, {LIST("kernel_shape", 2, 2), LIST("pads", 2, 0, 0, 0)}, 0},
    {"MaxPool", 1, {{4, {1, 1, 4, 4}}}, {LIST("kernel_shape", 2, 2), LIST("pads", -1, 0, 0, 0)}, 0},
    {"MaxPool", 1, {{4, {1, 1, 4, 4}}}, {LIST("kernel_shape", 2, 2), LIST("pads", 1, 1)}, 0},
    {"MaxPool", 1, {{4, {1, 1, 4, 4}}}, {LIST("kernel_shape", 2, 2), TEXT("auto_pad", "SAME")}, 0},
    {"MaxPool", 1, {{4, {1, 1, 4, 4}}}, {INT("kernel_shape", 2)}, 0},
    {"MaxPool", 1, {{4, {1, 1, 1 << 20, 1 << 20}}}, {LIST("kernel_shape", 2, 2)}, PRELU_E_LIMIT},
    {"MaxPoolGrad", 2, {{4, {1, 1, 3, 3}}, {4, {1, 1, 4, 4}}}, {LIST("kernel_shape", 3, 3)}, 0},
    {"GlobalMaxPool", 1, {{3, {1, 4, 4}}}, {{0}}, 0},
    {"GlobalAveragePool", 1, {{2, {1, 4}}}, {{0}}, 0},
    {"SPP", 1, {{4, {1, 2, 4, 4}}}, {{0}}, 0},
    {"SPP", 1, {{2, {1, 2}}}, {LIST("levels", 1)}, 0},
    {"SPP", 1, {{4, {1, 2, 4, 4}}}, {LIST("levels", 3, 0)}, 0},
    {"SPP", 1, {{4, {1, 2, 4, 4}}}, {LIST("levels", 257)}, 0},
    {"SPP", 1, {{4, {1, 2, 4, 4}}}, {LIST("levels", -1)}, 0},
    {"SPP", 1, {{4, {1, 2, 4, 4}}}, {LIST("levels", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)}, 0},
    {"SPP", 1, {{4, {1, BIG, 1, 1}}}, {LIST("levels", 256, 256)}, PRELU_E_LIMIT},
    {"SPPGrad", 2, {{2, {1, 9}}, {4, {1, 2, 4, 4}}}, {LIST("levels", 2)}, 0},
    {"Flatten", 1, {{2, {2, 3}}}, {INT("axis", 3)}, 0},
    {"Flatten", 1, {{2, {2, 3}}}, {INT("axis", INT64_MIN)}, 0},
    {"Reshape", 1, {{2, {2, 3}}}, {{0}}, 0},
    {"Reshape", 1, {{2, {2, 3}}}, {LIST("shape", 4)}, 0},
    {"Reshape", 1, {{2, {2, 3}}}, {LIST("shape", -1, -1)}, 0},
    {"Reshape", 1, {{2, {2, 3}}}, {LIST("shape", 4, -1)}, 0},
    {"Reshape", 1, {{2, {2, 3}}}, {LIST("shape", 2, 3, 0)}, 0},
    {"Reshape", 1, {{2, {2, 3}}}, {LIST("shape", -2, 3)}, 0},
    {"Reshape", 1, {{2, {2, 3}}}, {LIST("shape", BIG, BIG, -1)}, PRELU_E_LIMIT},
    {"Reshape", 1, {{2, {2, 3}}}, {LIST("shape", 1, 1, 1, 1, 1, 2, 3)}, PRELU_E_UNSUPPORTED},
    {"ReshapeGrad", 2, {{2, {2, 3}}, {2, {2, 4}}}, {{0}}, 0},
    {"Transpose", 1, {{2, {2, 3}}}, {LIST("perm", 0, 0)}, 0},
    {"Transpose", 1, {{2, {2, 3}}}, {LIST("perm", 0, 2)}, 0},
    {"Transpose", 1, {{2, {2, 3}}}, {LIST("perm", 0)}, 0},
    {"Slice", 1, {{2, {2, 3}}}, {{0}}, 0},
    {"Slice", 1, {{2, {2, 3}}}, {LIST("starts", 0), LIST("ends", 1, 2)}, 0},
    {"Slice", 1, {{2, {2, 3}}}, {LIST("starts", 1), LIST("ends", 1)}, 0},
    {"Slice", 1, {{2, {2, 3}}}, {LIST("starts", 0), LIST("ends", 1), LIST("axes", 2)}, 0},
    {"Slice", 1, {{2, {2, 3}}}, {LIST("starts", 0), LIST("ends", 1), LIST("axes", INT64_MIN)}, 0},
    {"Slice", 1, {{2, {2, 3}}}, {LIST("starts", 0), LIST("ends", 1), LIST("axes", 0), LIST("steps", 0)}, 0},
    {"Slice", 1, {{2, {2, 3}}}, {LIST("starts", 0), LIST("ends", 1), LIST("steps", INT64_MIN)}, 0},
    {"Slice", 1, {{2, {2, 3}}}, {LIST("starts", 0, 0), LIST("ends", 1, 1), LIST("axes", 0, -2)}, 0},
    {"Slice", 1, {{1, {3}}}, {LIST("starts", 0, 0), LIST("ends", 1, 1)}, 0},
    {"Concat", 2, {{2, {2, 3}}, {2, {2, 3}}}, {{0}}, 0},
    {"Concat", 2, {{2, {2, 3}}, {2, {2, 3}}}, {INT("axis", 2)}, 0},
    {"Concat", 2, {{2, {2, 3}}, {2, {3, 3}}}, {INT("axis", 1)}, 0},
    {"Concat", 2, {{2, {2, 3}}, {1, {3}}}, {INT("axis", 0)}, 0},
    {"Concat", 2, {{2, {2, 3}}, {2, {0, 3}}}, {INT("axis", 0)}, 0},
    {"ConcatGrad", 3, {{2, {2, 3}}, {2, {2, 2}}, {2, {2, 2}}}, {INT("axis", 1)}, 0},
    {"BatchNormTrain", 3, {{3, {2, 3, 4}}, {1, {3}}, {1, {3}}}, {{0}}, 0},
    {"BatchNormTrain", 3, {{2, {2, 3}}, {1, {3}}, {1, {2}}}, {{0}}, 0},
    {"BatchNormTrain", 3, {{2, {2, 3}}, {1, {3}}, {1, {3}}}, {FLOAT("epsilon", -1)}, 0},
    {"Softmax", 1, {{2, {2, 3}}}, {INT("axis", 2)}, 0},
    {"Softmax", 1, {{0, {0}}}, {{0}}, 0},
    {"SoftmaxGrad", 2, {{2, {2, 3}}, {2, {3, 2}}}, {{0}}, 0},
    {"SoftmaxCrossEntropy", 2, {{2, {2, 3}}, {1, {3}}}, {{0}}, 0},
    {"SoftmaxCrossEntropy", 2, {{1, {3}}, {1, {3}}}, {{0}}, 0},
    {"SoftmaxCrossEntropy", 2, {{2, {2, 3}}, {1, {2}}}, {FLOAT("label_smoothing", 1)}, 0},
    {"SoftmaxCrossEntropyGrad", 3, {{1, {1}}, {2, {2, 3}}, {1, {2}}}, {{0}}, 0},
    {"Dropout", 1, {{2, {2, 3}}}, {FLOAT("ratio", 1)}, 0},
    {"Dropout", 1, {{2, {2, 3}}}, {FLOAT("ratio", -0.5f)}, 0},
    {"Dropout", 1, {{2, {2, 3}}}, {FLOAT("ratio", NAN)}, 0},
    {"ReduceMean", 1, {{2, {2, 3}}}, {LIST("axes", 2)}, 0},
    {"ReduceMax", 1, {{2, {2, 3}}}, {LIST("axes", -3)}, 0},
    {"ReduceMax", 1, {{2, {2, 0}}}, {LIST("axes", 1)}, 0},
};
/* clang-format on */

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const refusal *r = &refusals[i];
        const prelu_status want = r->status ? r->status : PRELU_E_FORMAT;
        prelu_node n = {
            .name = (char *)"node", .op = r->op, .n_in = r->n_in, .attrs = (prelu_attr *)r->attrs};
        prelu_shape out[PRELU_MAX_OUTPUTS];
        prelu_err err = {0};
        while (n.n_attrs < 4 && r->attrs[n.n_attrs].name)
            n.n_attrs++;
        const prelu_status st = op_find(r->op)->shape(&n, r->in, out, &err);
        if (st != want || err.code != want || !err.text[0])
            fail_msg("refusal %zu, %s: status %d, not %d: %s", i, r->op, (int)st, (int)want,
                     err.text);
    }
}

/* An op never reads bytes as floats. */
static void test_types(void **state)
{
    static const char *const ops[] = {"Relu",          "Softmax",    "Flatten",
                                      "GlobalMaxPool", "ReduceMean", "Identity",
                                      "Dropout",       "Sum",        "Transpose"};
    uint8_t bytes[60] = {0};
    float logits[6] = {0};
    (void)state;
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
        op_run r = {.krn = krn_table_get(),
                    .in = {{.data = bytes, .dtype = PRELU_U8, .shape = {4, {1, 3, 4, 5}}}}};
        prelu_err err = {0};
        check_fails(op_run_go(&r, ops[k], 1, 1, NULL, 0, &err), PRELU_E_UNSUPPORTED, &err);
        op_run_free(&r);
    }
    op_run r = {.krn = krn_table_get(),
                .in = {{.data = logits, .shape = {2, {2, 3}}},
                       {.data = bytes, .dtype = PRELU_U8, .shape = {1, {2}}}}};
    prelu_err err = {0};
    check_fails(op_run_go(&r, "SoftmaxCrossEntropy", 2, 2, NULL, 0, &err), PRELU_E_UNSUPPORTED,
                &err);
    op_run_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nan_comes_through),
        cmocka_unit_test(test_first_maximum_wins),
        cmocka_unit_test(test_window_in_the_padding),
        cmocka_unit_test(test_prelu_at_zero_and_beyond),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
