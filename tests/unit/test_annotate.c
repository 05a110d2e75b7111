/* prelu_model_annotate: one entry of a file's metadata, and nothing else, changes; and what
 * prelu.precision says reaches the plan. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "model_file.h"
#include "model_private.h"
#include "prelu/mem.h"
#include "prelu/nets.h"
#include <unistd.h>

static int drop_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void save_net(void)
{
    prelu_net_options o = {.arch = "cifar", .width = 0.25, .seed = 5};
    prelu_model *m = NULL;
    prelu_err err = {0};
    check_ok(prelu_net_build(&m, &o, &err), &err);
    check_ok(prelu_model_save(m, path, &err), &err);
    prelu_model_destroy(&m);
}

static char *content(size_t *len)
{
    FILE *f = fopen(path, "rb");
    char *p = malloc(1 << 22);
    assert_non_null(f);
    *len = fread(p, 1, 1 << 22, f);
    fclose(f);
    return p;
}

static void put(const char *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
}

static void set(const char *value)
{
    prelu_err err = {0};
    check_ok(prelu_model_annotate(path, "prelu.precision", value, &err), &err);
}

static void test_one_entry_changes(void **state)
{
    size_t before, once, twice;
    prelu_model *m = NULL;
    prelu_err err = {0};
    (void)state;
    save_net();
    char *a = content(&before);
    set("{\"int8fc_agrees\":0.25}");
    char *b = content(&once);
    set("{\"int8fc_agrees\":0.75}");
    char *c = content(&twice);
    assert_true(once > before && twice == once);
    assert_memory_equal(a, b, before); /* the entry is the last field, whatever was there stays */
    assert_memory_equal(a, c, before);
    check_ok(prelu_model_load(&m, path, NULL, &err), &err);
    assert_string_equal(m->precision, "{\"int8fc_agrees\":0.75}");
    assert_true(m->int8fc_agrees == 0.75 && m->arch);
    check_ok(prelu_model_save(m, path, &err), &err); /* saving keeps it */
    prelu_model_destroy(&m);
    check_ok(prelu_model_load(&m, path, NULL, &err), &err);
    assert_true(m->int8fc_agrees == 0.75);
    prelu_model_destroy(&m);
    free(a);
    free(b);
    free(c);
}

/* No ONNX file, cut anywhere in a field: refused, and left as it is. */
static void test_damaged(void **state)
{
    static const char varint[] = "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    size_t len, now;
    prelu_err err = {0};
    (void)state;
    save_net();
    char *a = content(&len);
    const size_t cuts[] = {len - 1, len / 2, 7};
    for (size_t i = 0; i < 3; i++) {
        put(a, cuts[i]);
        check_fails(prelu_model_annotate(path, "k", "v", &err), PRELU_E_FORMAT, &err);
        char *b = content(&now);
        assert_int_equal(now, cuts[i]);
        assert_memory_equal(a, b, now);
        free(b);
    }
    put(varint, sizeof varint - 1);
    check_fails(prelu_model_annotate(path, "k", "v", &err), PRELU_E_FORMAT, &err);
    unlink(path);
    check_fails(prelu_model_annotate(path, "k", "v", &err), PRELU_E_NOTFOUND, &err);
    free(a);
}

static const char *algorithm_of(const prelu_plan *plan, const char *op)
{
    for (int i = 0; i < prelu_plan_layers(plan); i++)
        if (strcmp(prelu_plan_layer_at(plan, i).op, op) == 0)
            return prelu_plan_layer_at(plan, i).algorithm;
    return "";
}

static void test_auto_asks_the_file(void **state)
{
    static const struct {
        const char *text;
        bool int8;
    } files[] = {{"{\"int8fc_agrees\":0.9949}", false},
                 {"{\"int8fc_agrees\":0.995,\"images\":9}", true},
                 {"{\"bf16_agrees\":1}", false}};
    prelu_err err = {0};
    (void)state;
    save_net();
    for (size_t i = 0; i < 3; i++) {
        prelu_model *m = NULL;
        prelu_plan *plan = NULL;
        set(files[i].text);
        check_ok(prelu_model_load(&m, path, NULL, &err), &err);
        check_ok(prelu_model_plan(&plan, m, PRELU_PRECISION_AUTO, NULL, &err), &err);
        const bool can = strstr(prelu_cpu_text(), "avx2") != NULL;
        assert_int_equal(strstr(algorithm_of(plan, "Gemm"), "int8") != NULL, files[i].int8 && can);
        prelu_plan_destroy(&plan);
        prelu_model_destroy(&m);
    }
    static const char *const bad[] = {"", "[]", "{\"int8fc_agrees\":2}",
                                      "{\"int8fc_agrees\":\"x\"}", "{\"int8fc_agrees\":-1}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        prelu_model *m = NULL;
        set(bad[i]);
        check_fails(prelu_model_load(&m, path, NULL, &err), PRELU_E_FORMAT, &err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_entry_changes),
                                       cmocka_unit_test(test_damaged),
                                       cmocka_unit_test(test_auto_asks_the_file)};
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
