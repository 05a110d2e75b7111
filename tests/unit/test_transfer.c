/* Another head on a model, and layers that are no longer trained. */
#include "check.h"
#include "model_private.h"
#include "prelu/nets.h"
#include "prelu/train.h"
#include "transfer.h"
#include <string.h>

static prelu_model *build(const char *arch)
{
    prelu_net_options o = {
        .arch = arch, .classes = 7, .width = 0.1, .activation = PRELU_ACT_PRELU, .seed = 4};
    prelu_model *m = NULL;
    prelu_err err = {0};
    check_ok(prelu_net_build(&m, &o, &err), &err);
    return m;
}

static const prelu_value_info *constant(const prelu_model *m, const char *name)
{
    prelu_value v = prelu_graph_find(m->graph, name);
    assert_int_not_equal(v, PRELU_NONE);
    return &m->graph->values[v];
}

static void another_number_of_classes(void **state)
{
    static const char *const archs[] = {"cifar", "cifar-res", "small14"};
    static const char *const last[] = {"fc2.w", "fc.w", "fc3.w"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        prelu_model *m = build(archs[i]);
        prelu_err err = {0};
        int64_t inputs = constant(m, last[i])->shape.dim[1];
        check_ok(mdl_new_head(m, 12, &err), &err);
        const prelu_value_info *w = constant(m, last[i]);
        assert_int_equal(m->classes, 12);
        assert_true(w->shape.dim[0] == 12 && w->shape.dim[1] == inputs);
        for (int64_t k = 0; k < 12 * inputs; k++)
            assert_true(((const float *)w->data)[k] == 0);
        assert_string_equal(m->labels[11].id, "");
        prelu_model_destroy(&m);
    }
}

/* What foreign files end in: op before pooling, or a product and a sum. */
static prelu_model *foreign(bool conv)
{
    static const float zero[3 * 5] = {0};
    prelu_graph *g = NULL;
    prelu_model *m = NULL;
    prelu_err err = {0};
    const prelu_shape in = {4, {-1, 3, -1, -1}};
    const prelu_shape w = conv ? (prelu_shape){4, {5, 3, 1, 1}} : (prelu_shape){2, {3, 5}};
    const prelu_shape b = conv ? (prelu_shape){1, {5}} : (prelu_shape){2, {1, 5}};
    const prelu_attr axis = PRELU_INT("axis", 1);
    prelu_value x, weights, bias, prob;
    check_ok(prelu_graph_create(&g, &err), &err);
    check_ok(prelu_graph_input(g, "data", PRELU_F32, &in, &x, &err), &err);
    check_ok(
        prelu_graph_constant(g, "w", PRELU_F32, &w, zero, true, PRELU_ROLE_WEIGHT, &weights, &err),
        &err);
    check_ok(prelu_graph_constant(g, "b", PRELU_F32, &b, zero, true, PRELU_ROLE_BIAS, &bias, &err),
             &err);
    const prelu_value three[3] = {x, weights, bias};
    if (conv)
        check_ok(prelu_graph_add(g, "Conv", "c", three, 3, NULL, 0, NULL, &x, 1, &err), &err);
    check_ok(prelu_graph_add(g, "GlobalAveragePool", "p", &x, 1, NULL, 0, NULL, &x, 1, &err), &err);
    check_ok(prelu_graph_add(g, "Flatten", "f", &x, 1, &axis, 1, NULL, &x, 1, &err), &err);
    if (!conv) {
        const prelu_value two[2] = {x, weights};
        check_ok(prelu_graph_add(g, "MatMul", "m", two, 2, NULL, 0, NULL, &x, 1, &err), &err);
        const prelu_value sum[2] = {bias, x};
        check_ok(prelu_graph_add(g, "Add", "a", sum, 2, NULL, 0, NULL, &x, 1, &err), &err);
    }
    check_ok(prelu_graph_add(g, "Softmax", "s", &x, 1, &axis, 1, NULL, &prob, 1, &err), &err);
    check_ok(prelu_graph_output(g, prob, &err), &err);
    check_ok(prelu_model_take(&m, g, 5, &err), &err);
    return m;
}

static void heads_of_foreign_files(void **state)
{
    (void)state;
    for (int conv = 0; conv < 2; conv++) {
        prelu_model *m = foreign(conv);
        prelu_err err = {0};
        check_ok(mdl_new_head(m, 9, &err), &err);
        assert_int_equal(m->classes, 9);
        assert_int_equal(constant(m, "w")->shape.dim[conv ? 0 : 1], 9);
        assert_int_equal(constant(m, "b")->shape.dim[conv ? 0 : 1], 9);
        prelu_model_destroy(&m);
    }
}

static void no_head_is_refused(void **state)
{
    prelu_graph *g = NULL;
    prelu_model *m = NULL;
    prelu_err err = {0};
    const prelu_shape in = {4, {-1, 3, -1, -1}};
    const prelu_attr axis = PRELU_INT("axis", 1);
    prelu_value x;
    (void)state;
    check_ok(prelu_graph_create(&g, &err), &err);
    check_ok(prelu_graph_input(g, "data", PRELU_F32, &in, &x, &err), &err);
    check_ok(prelu_graph_add(g, "GlobalAveragePool", "p", &x, 1, NULL, 0, NULL, &x, 1, &err), &err);
    check_ok(prelu_graph_add(g, "Flatten", "f", &x, 1, &axis, 1, NULL, &x, 1, &err), &err);
    check_ok(prelu_graph_add(g, "Softmax", "s", &x, 1, &axis, 1, NULL, &x, 1, &err), &err);
    check_ok(prelu_graph_output(g, x, &err), &err);
    check_ok(prelu_model_take(&m, g, 3, &err), &err);
    check_fails(mdl_new_head(m, 4, &err), PRELU_E_UNSUPPORTED, &err);
    prelu_model_destroy(&m);
}

/* Of the frozen part neither weights nor statistics move; of the rest both do. */
static void frozen_layers_stay(void **state)
{
    static const char *const still[] = {"conv1.w", "conv2_1.bn.gamma", "conv2_1.bn.mean",
                                        "conv2_1.prelu.slope"};
    static const char *const moved[] = {"conv2_2.w", "conv2_2.bn.mean", "fc.b"};
    prelu_model *m = build("cifar-res"), *before = build("cifar-res");
    prelu_trainer *t = NULL;
    prelu_trainer_options o = {.micro_batch = 4, .height = 28, .width = 28, .momentum = 0.9f};
    static uint8_t pixels[4][28 * 28 * 3];
    prelu_view views[4];
    const int32_t labels[4] = {0, 1, 2, 6};
    prelu_err err = {0};
    uint64_t seed = 3;
    (void)state;
    for (int i = 0; i < 4; i++) {
        for (size_t k = 0; k < sizeof pixels[i]; k++)
            pixels[i][k] = (uint8_t)check_random_int(&seed, 0, 255);
        views[i] = (prelu_view){.data = pixels[i], .stride = 84, .width = 28, .height = 28};
    }
    check_fails(mdl_freeze(m, "conv2", &err), PRELU_E_ARG, &err);
    check_ok(mdl_freeze(m, "conv2_1", &err), &err);
    check_ok(prelu_trainer_create(&t, m->graph, m->logits, &o, NULL, &err), &err);
    check_ok(prelu_trainer_step(t, views, labels, 4, 0.1f, NULL, &err), &err);
    check_ok(prelu_trainer_export(t, m->graph, &err), &err);
    for (int i = 0; i < 7; i++) {
        const char *name = i < 4 ? still[i] : moved[i - 4];
        const prelu_value_info *a = constant(m, name), *b = constant(before, name);
        size_t count;
        check_ok(prelu_shape_count(&a->shape, &count, &err), &err);
        if (i < 4)
            assert_memory_equal(a->data, b->data, count * sizeof(float));
        else
            assert_memory_not_equal(a->data, b->data, count * sizeof(float));
    }
    prelu_trainer_destroy(&t);
    check_ok(mdl_freeze(m, "fc", &err), &err); /* nothing is left to train */
    check_fails(prelu_trainer_create(&t, m->graph, m->logits, &o, NULL, &err), PRELU_E_ARG, &err);
    prelu_model_destroy(&m);
    prelu_model_destroy(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_number_of_classes),
        cmocka_unit_test(heads_of_foreign_files),
        cmocka_unit_test(no_head_is_refused),
        cmocka_unit_test(frozen_layers_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
