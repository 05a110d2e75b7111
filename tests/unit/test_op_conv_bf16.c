#include "check.h"
#include "check_conv_bf16.h"
#include "op_run.h"
#include "ops/conv_bf16.h"

static void test_random_layers(void **state)
{
    krn_table tables[8];
    const int n = op_run_tables(tables);
    (void)state;
    for (int i = 0; i < n; i++)
        if (i == 0 || tables[i].gemm_bf16 != tables[i - 1].gemm_bf16)
            check_conv_bf16(&tables[i], tables[i].gemm_bf16->name);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_layers),
                                       cmocka_unit_test(test_choice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
