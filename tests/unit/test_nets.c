/* The networks against the paper's tables. */
#include "check.h"
#include "model_private.h"
#include "prelu/nets.h"
#include "prelu/session.h"

typedef struct totals {
    double parameters, slopes, conv_macs, fc_macs;
    int convs, activations;
} totals;

static double elements(const prelu_shape *s)
{
    double n = 1;
    for (int i = 0; i < s->rank; i++)
        n *= (double)s->dim[i];
    return n;
}

static prelu_model *build(prelu_net_options o)
{
    prelu_err err = {0};
    prelu_model *m = NULL;
    check_ok(prelu_net_build(&m, &o, &err), &err);
    return m;
}

static totals count(const prelu_model *m)
{
    const prelu_graph *g = m->graph;
    prelu_shape *shapes = calloc((size_t)g->n_values, sizeof *shapes);
    prelu_err err = {0};
    totals t = {0};
    check_ok(mdl_graph_infer(g, m->preprocess.crop, shapes, &err), &err);
    for (int i = 0; i < g->n_values; i++) {
        prelu_role role = g->values[i].role;
        if (!g->values[i].is_constant)
            continue;
        if (role == PRELU_ROLE_SLOPE)
            t.slopes += elements(&g->values[i].shape);
        if (role == PRELU_ROLE_WEIGHT || role == PRELU_ROLE_BIAS || role == PRELU_ROLE_SCALE)
            t.parameters += elements(&g->values[i].shape);
    }
    for (int i = 0; i < g->n_nodes; i++) {
        bool conv = !strcmp(g->nodes[i].op, "Conv");
        *(conv ? &t.conv_macs : &t.fc_macs) += prelu_node_macs(g, i, shapes);
        t.convs += conv;
        t.activations += !strcmp(g->nodes[i].op, "PRelu");
    }
    free(shapes);
    return t;
}

static void test_paper(void **state)
{
    static const struct {
        const char *arch;
        double parameters, slopes, conv_gmacs, fc_gmacs;
        int convs;
    } want[] = {
        {"small14", 74993896, 10304, 0.846, 0.073, 11},
        {"deep30", 79192296, 14400, 2.132, 0.073, 27},
        {"A", 178017384, 14688, 18.905, 0.153, 16},
        {"B", 183327080, 15968, 23.067, 0.153, 19},
        {"C", 330603368, 20576, 53.211, 0.252, 19},
        {"vgg19", 143667240, 13696, 19.508, 0.124, 16},
    };
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        prelu_model *m = build((prelu_net_options){
            .arch = want[i].arch, .activation = PRELU_ACT_PRELU, .shapes_only = true});
        totals t = count(m);
        assert_true(t.parameters == want[i].parameters);
        assert_true(t.slopes == want[i].slopes);
        check_near(t.conv_macs / 1e9, want[i].conv_gmacs, 0.0006);
        check_near(t.fc_macs / 1e9, want[i].fc_gmacs, 0.0006);
        assert_int_equal(t.convs, want[i].convs);
        assert_int_equal(t.activations, want[i].convs + 2); /* fc1, fc2; none after fc3 */
        assert_int_equal(m->classes, 1000);
        assert_int_equal(m->preprocess.crop, 224);
        assert_string_equal(m->arch, want[i].arch);
        prelu_model_destroy(&m);
    }
}

/* small14: 224 -> 109 -> 36 -> 35,36,35,36 -> 18 -> 17,18,17,18,17,18. */
static void test_small14_sizes(void **state)
{
    static const int want[11] = {109, 35, 36, 35, 36, 17, 18, 17, 18, 17, 18};
    prelu_model *m = build((prelu_net_options){.arch = "small14", .shapes_only = true});
    prelu_shape *shapes = calloc((size_t)m->graph->n_values, sizeof *shapes);
    prelu_err err = {0};
    int convs = 0;
    (void)state;
    check_ok(mdl_graph_infer(m->graph, 224, shapes, &err), &err);
    for (int i = 0; i < m->graph->n_nodes; i++)
        if (!strcmp(m->graph->nodes[i].op, "Conv"))
            assert_int_equal(shapes[m->graph->nodes[i].out[0]].dim[2], want[convs++]);
    assert_int_equal(convs, 11);
    free(shapes);
    prelu_model_destroy(&m);
}

/* What the bundled model needs: a file of at most 8 MB, some 60 million products a view. */
static void test_cifar(void **state)
{
    prelu_model *m = build(
        (prelu_net_options){.arch = "cifar", .activation = PRELU_ACT_PRELU, .shapes_only = true});
    totals t = count(m);
    (void)state;
    assert_in_range((uintmax_t)t.parameters, 1000000, 1900000);
    assert_true(t.conv_macs + t.fc_macs <= 60e6);
    assert_int_equal(m->classes, 10);
    assert_int_equal(m->preprocess.resize, 36);
    assert_int_equal(m->preprocess.crop, 32);
    assert_int_equal(m->preprocess.scales[2], 48);
    prelu_model_destroy(&m);
}

/* The residual ones: files of at most 8 and 25 MB; a shortcut around each conv that keeps the size.
 */
static void test_residual(void **state)
{
    static const struct {
        const char *arch;
        int adds, resize, crop;
        double parameters, macs;
    } want[] = {{"cifar-res", 3, 32, 28, 2.0e6, 75e6}, {"photo-res", 10, 256, 224, 6.2e6, 0.9e9}};
    (void)state;
    for (int k = 0; k < 2; k++) {
        prelu_model *m = build((prelu_net_options){
            .arch = want[k].arch, .activation = PRELU_ACT_PRELU, .shapes_only = true});
        totals t = count(m);
        int adds = 0;
        for (int i = 0; i < m->graph->n_nodes; i++)
            adds += !strcmp(m->graph->nodes[i].op, "Add");
        assert_int_equal(adds, want[k].adds);
        assert_true((double)t.parameters <= want[k].parameters);
        assert_true(t.conv_macs + t.fc_macs <= want[k].macs);
        assert_int_equal(m->classes, 10);
        assert_int_equal(m->preprocess.resize, want[k].resize);
        assert_int_equal(m->preprocess.crop, want[k].crop);
        prelu_model_destroy(&m);
    }
}

static const prelu_value_info *constant(const prelu_model *m, const char *name)
{
    prelu_value v = prelu_graph_find(m->graph, name);
    if (v == PRELU_NONE || !m->graph->values[v].is_constant)
        fail_msg("no constant %s", name);
    return &m->graph->values[v];
}

static double deviation(const prelu_model *m, const char *name)
{
    const prelu_value_info *v = constant(m, name);
    size_t n = (size_t)elements(&v->shape);
    const float *w = v->data;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)w[i] * (double)w[i];
    return sqrt(sum / (double)n);
}

/* 1/2 (1 + a^2) n Var[w] = 1 with n = k^2 d backward, k^2 c forward; Xavier n Var[w] = 1. */
static void test_init(void **state)
{
    static const double prelu_gain = 2 / (1 + 0.25 * 0.25);
    prelu_net_options o = {
        .arch = "small14", .width = 0.25, .classes = 8, .activation = PRELU_ACT_PRELU, .seed = 3};
    prelu_model *m = build(o);
    (void)state;
    /* conv3_1: 32 -> 64, 2x2; relative error of a std over n samples
     * 1/sqrt(2n) */
    check_near(deviation(m, "conv3_1.w") / sqrt(prelu_gain / (4 * 64)), 1, 0.03);
    check_near(deviation(m, "fc1.w"), 0.01, 0.0001);
    check_near(deviation(m, "fc3.w"), 0.001, 0.00003);
    prelu_model_destroy(&m);
    o.init = PRELU_INIT_HE_FORWARD;
    o.activation = PRELU_ACT_RELU;
    m = build(o);
    check_near(deviation(m, "conv3_1.w") / sqrt(2.0 / (4 * 32)), 1, 0.03);
    prelu_model_destroy(&m);
    o.init = PRELU_INIT_XAVIER;
    m = build(o);
    check_near(deviation(m, "conv3_1.w") / sqrt(1.0 / (4 * 32)), 1, 0.03);
    prelu_model_destroy(&m);
}

/* 3x3 convs with ReLU, backward: d = 64, 128, 256, 512 give the paper's 0.059, 0.042, 0.029, 0.021
 * (its VGG-B; sqrt(2 / (9 d)), the third cut, not rounded). At half its width vgg19's stages have
 * the first three, and the widest cifar net the last. */
static void test_vgg_init(void **state)
{
    static const struct {
        bool cifar;
        const char *layer;
        double printed, exact;
    } want[] = {{false, "conv2_2.w", 0.059, 0.058926},
                {false, "conv3_3.w", 0.042, 0.041667},
                {false, "conv4_4.w", 0.029, 0.029463},
                {true, "conv3_1.w", 0.021, 0.020833}};
    prelu_net_options o = {.width = 0.5, .classes = 2, .activation = PRELU_ACT_RELU, .seed = 1};
    prelu_model *nets[2];
    (void)state;
    o.arch = "vgg19";
    nets[0] = build(o);
    o.arch = "cifar";
    o.width = 4;
    nets[1] = build(o);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        double got = deviation(nets[want[i].cifar], want[i].layer);
        check_near(got, want[i].printed, 0.001);
        check_near(got / want[i].exact, 1, 0.015); /* four deviations of 36,864 weights' figure */
    }
    prelu_model_destroy(&nets[0]);
    prelu_model_destroy(&nets[1]);
}

/* Logits of two random pictures; with `apart`, what each activation reads is asked for too, so
 * that none of them can work in place or inside its convolution. */
static void untrained_logits(prelu_activation activation, bool apart, float logits[20])
{
    prelu_model *m = build((prelu_net_options){.arch = "cifar",
                                               .width = 0.25,
                                               .activation = activation,
                                               .slope = 0.25f,
                                               .slope_set = true,
                                               .seed = 9});
    prelu_value outputs[16] = {m->logits};
    prelu_plan_options o = {.precision = PRELU_PRECISION_FP32, .outputs = outputs, .n_outputs = 1};
    prelu_plan *plan = NULL;
    prelu_session *s = NULL;
    prelu_err err = {0};
    float x[2 * 3 * 32 * 32];
    uint64_t seed = 4;
    for (int i = 0; apart && i < m->graph->n_nodes; i++)
        if (strstr(m->graph->nodes[i].op, "Relu") || !strcmp(m->graph->nodes[i].op, "PRelu"))
            outputs[o.n_outputs++] = m->graph->nodes[i].in[0];
    assert_int_equal(o.n_outputs, apart ? 8 : 1);
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = (float)check_random_int(&seed, 0, 255);
    check_ok(prelu_plan_create(&plan, m->graph, &o, &err), &err);
    check_ok(prelu_session_create(&s, plan, NULL, 0, &err), &err);
    check_ok(prelu_session_reshape(s, 2, 32, 32, &err), &err);
    check_ok(prelu_session_set_input(s, 0, x, sizeof x / sizeof *x, &err), &err);
    check_ok(prelu_session_run(s, &err), &err);
    check_ok(prelu_session_read(s, 0, logits, 20, &err), &err);
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
    prelu_model_destroy(&m);
}

/* Before the first step PReLU(a0), shared or not, is LeakyReLU(a0), and not ReLU. */
static void test_first_step(void **state)
{
    float leaky[2][20], other[20];
    (void)state;
    for (int apart = 0; apart < 2; apart++) {
        untrained_logits(PRELU_ACT_LRELU, apart, leaky[apart]);
        untrained_logits(PRELU_ACT_PRELU, apart, other);
        assert_memory_equal(leaky[apart], other, sizeof other);
        untrained_logits(PRELU_ACT_PRELU_SHARED, apart, other);
        assert_memory_equal(leaky[apart], other, sizeof other);
        untrained_logits(PRELU_ACT_RELU, apart, other);
        assert_memory_not_equal(leaky[apart], other, sizeof other);
    }
    for (int i = 0; i < 20; i++)
        check_near(leaky[0][i], leaky[1][i], 1e-5);
}

static void test_seed(void **state)
{
    prelu_net_options o = {.arch = "cifar", .activation = PRELU_ACT_PRELU, .seed = 7};
    prelu_model *a = build(o), *b = build(o), *c;
    const prelu_value_info *w = constant(a, "conv2_1.w");
    size_t len = (size_t)elements(&w->shape) * sizeof(float);
    (void)state;
    o.seed = 8;
    c = build(o);
    assert_memory_equal(w->data, constant(b, "conv2_1.w")->data, len);
    assert_memory_not_equal(w->data, constant(c, "conv2_1.w")->data, len);
    assert_memory_not_equal(w->data, constant(a, "conv2_2.w")->data, len);
    prelu_model_destroy(&a);
    prelu_model_destroy(&b);
    prelu_model_destroy(&c);
}

static void test_activations(void **state)
{
    static const char *const op[] = {"Relu", "LeakyRelu", "PRelu", "PRelu"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        prelu_model *m = build((prelu_net_options){.arch = "cifar",
                                                   .activation = (prelu_activation)i,
                                                   .slope = 0.125f,
                                                   .slope_set = true});
        int found = 0;
        for (int k = 0; k < m->graph->n_nodes; k++)
            found += !strcmp(m->graph->nodes[k].op, op[i]);
        assert_int_equal(found, 7);
        if (i >= 2) {
            const float *a = constant(m, "conv1_1.prelu.slope")->data;
            assert_true(a[0] == 0.125f);
            assert_true(count(m).slopes == (i == 2 ? 7 : 768));
        }
        prelu_model_destroy(&m);
    }
}

static void test_dropout(void **state)
{
    static const double asked[] = {-1, 0.25, 0}, want[] = {0.5, 0.25, 0};
    (void)state;
    for (int k = 0; k < 3; k++) {
        prelu_model *m = build((prelu_net_options){.arch = "A",
                                                   .activation = PRELU_ACT_PRELU,
                                                   .shapes_only = true,
                                                   .dropout = asked[k],
                                                   .dropout_set = asked[k] >= 0});
        int found = 0;
        for (int i = 0; i < m->graph->n_nodes; i++)
            if (!strcmp(m->graph->nodes[i].op, "Dropout")) {
                check_near((double)prelu_node_float(&m->graph->nodes[i], "ratio", 0), want[k],
                           1e-6);
                found++;
            }
        assert_int_equal(found, want[k] > 0 ? 2 : 0);
        prelu_model_destroy(&m);
    }
}

static void test_width(void **state)
{
    prelu_model *m = build((prelu_net_options){.arch = "A", .width = 0.1, .shapes_only = true});
    (void)state;
    assert_int_equal(constant(m, "conv1.w")->shape.dim[0], 8); /* 9.6 of 96 */
    assert_int_equal(constant(m, "conv2_1.w")->shape.dim[0], 24);
    assert_int_equal(constant(m, "fc1.w")->shape.dim[0], 408);
    assert_int_equal(constant(m, "fc3.w")->shape.dim[0], 1000);
    prelu_model_destroy(&m);
}

static void test_refused(void **state)
{
    prelu_err err = {0};
    prelu_model *m = NULL;
    prelu_net_options o = {.arch = "D"};
    (void)state;
    check_fails(prelu_net_build(&m, &o, &err), PRELU_E_ARG, &err);
    o.arch = NULL;
    check_fails(prelu_net_build(&m, &o, &err), PRELU_E_ARG, &err);
    o = (prelu_net_options){.arch = "A", .classes = 1};
    check_fails(prelu_net_build(&m, &o, &err), PRELU_E_ARG, &err);
    o = (prelu_net_options){.arch = "A", .width = 5};
    check_fails(prelu_net_build(&m, &o, &err), PRELU_E_ARG, &err);
    o = (prelu_net_options){.arch = "A", .slope = NAN, .slope_set = true};
    check_fails(prelu_net_build(&m, &o, &err), PRELU_E_ARG, &err);
    assert_null(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paper),    cmocka_unit_test(test_small14_sizes),
        cmocka_unit_test(test_cifar),    cmocka_unit_test(test_init),
        cmocka_unit_test(test_vgg_init), cmocka_unit_test(test_first_step),
        cmocka_unit_test(test_seed),     cmocka_unit_test(test_activations),
        cmocka_unit_test(test_residual), cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_width),    cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
