#include "check.h"
#include "check_conv_bf16.h"
#include "op_run.h"
#include "ops/conv_bf16.h"
#include "prelu/session.h"
#include "small_net.h"

static void test_random_layers(void **state)
{
    krn_table tables[8];
    const int n = op_run_tables(tables);
    (void)state;
    for (int i = 0; i < n; i++)
        check_conv_bf16(&tables[i], tables[i].gemm_f32->rounded);
    krn_gemm_bf16 tiles = *tables[0].gemm_bf16;
    tiles.tiles = true;
    tables[0].gemm_bf16 = &tiles;
    check_conv_bf16(&tables[0], tiles.name);
}

/* Layers that stay in f32. */
static void test_choice(void **state)
{
    static const int64_t wide[2] = {1, 5};
    const prelu_attr stride = PRELU_INTS("strides", wide, 2), group = PRELU_INT("group", 2);
    const prelu_node plain = {.name = (char *)"n", .op = "Conv"};
    prelu_node strided = plain, grouped = plain;
    (void)state;
    strided.attrs = (prelu_attr *)&stride;
    grouped.attrs = (prelu_attr *)&group;
    strided.n_attrs = grouped.n_attrs = 1;
    const prelu_shape w = {4, {8, 16, 3, 3}}, few = {4, {8, 3, 3, 3}};
    assert_true(op_conv_bf16_fits(&plain, &w));
    assert_false(op_conv_bf16_fits(&plain, &few));
    assert_false(op_conv_bf16_fits(&strided, &w));
    assert_false(op_conv_bf16_fits(&grouped, &w));
}

enum { SIDE = 9, C0 = 16, C1 = 40, C2 = 33 };

/* The last value of x - conv - conv - conv, where the plan also gives the value `seen`. */
static void run_three(const prelu_graph *g, prelu_value last, prelu_value seen, const float *x,
                      float *y, size_t *bytes)
{
    const prelu_value outputs[] = {last, seen};
    const prelu_plan_options o = {.precision = PRELU_PRECISION_BF16,
                                  .outputs = outputs,
                                  .n_outputs = seen == PRELU_NONE ? 1 : 2};
    prelu_plan *plan = NULL;
    prelu_session *s = NULL;
    prelu_err err = {0};
    check_ok(prelu_plan_create(&plan, g, &o, &err), &err);
    check_ok(prelu_session_create(&s, plan, NULL, 0, &err), &err);
    check_ok(prelu_session_reshape(s, 2, SIDE, SIDE, &err), &err);
    check_ok(prelu_session_set_input(s, 0, x, 2 * C0 * SIDE * SIDE, &err), &err);
    check_ok(prelu_session_run(s, &err), &err);
    check_ok(prelu_session_read(s, 0, y, 2 * C2 * SIDE * SIDE, &err), &err);
    *bytes = prelu_session_bytes(s);
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
}

/* Between convolutions values are bf16; as f32 - because they are asked for - the same comes out.
 */
static void test_handed_on(void **state)
{
    static float x[2 * C0 * SIDE * SIDE], y[3][2 * C2 * SIDE * SIDE];
    const int64_t channels[] = {C0, C1, C1, C2}, pads[] = {1, 1, 1, 1};
    const prelu_attr attrs[] = {PRELU_INTS("pads", pads, 4)};
    const prelu_shape shape = {4, {-1, C0, -1, -1}};
    prelu_graph *g = NULL;
    prelu_value v[4];
    prelu_err err = {0};
    uint64_t seed = check_seed();
    size_t bytes[3];
    (void)state;
    check_ok(prelu_graph_create(&g, &err), &err);
    check_ok(prelu_graph_input(g, "x", PRELU_F32, &shape, &v[0], &err), &err);
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        const prelu_value in[] = {
            v[i], small_random(g, name, (prelu_shape){4, {channels[i + 1], channels[i], 3, 3}},
                               -0.1f, 0.1f, PRELU_ROLE_WEIGHT, &seed)};
        name[0] = 'c';
        v[i + 1] = small_node(g, "Conv", name, in, 2, attrs, 1);
    }
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = check_random_float(&seed, -1, 1);
    run_three(g, v[3], PRELU_NONE, x, y[0], &bytes[0]);
    run_three(g, v[3], v[1], x, y[1], &bytes[1]);
    run_three(g, v[3], v[2], x, y[2], &bytes[2]);
    assert_memory_equal(y[0], y[1], sizeof y[0]);
    assert_memory_equal(y[0], y[2], sizeof y[0]);
    assert_true(bytes[0] < bytes[1]);
    prelu_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_layers),
                                       cmocka_unit_test(test_choice),
                                       cmocka_unit_test(test_handed_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
