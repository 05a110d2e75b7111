/* prelu-train's option tables and exit codes. */
#include "check.h"
#include "command.h"

static const train_option table[] = {
    {"model", "FILE", "a model", true}, {"batch", "N", "pictures", false},
    {"rate", "R", "a number", false},   {"json", NULL, "a flag", false},
    {NULL, NULL, NULL, false},
};

static prelu_status parse(train_args *a, int argc, const char *const *argv, prelu_err *err)
{
    memset(err, 0, sizeof *err);
    return train_args_parse(a, table, argc, (char *const *)argv, err);
}

#define PARSE(a, err, ...)                                                                         \
    parse(a, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),                        \
          (const char *[]){__VA_ARGS__}, err)

static void test_values(void **state)
{
    train_args a;
    prelu_err err = {0};
    int64_t n = 0;
    double r = 0;
    const char *text;
    (void)state;
    check_ok(PARSE(&a, &err, "--model", "a", "--model=b=c", "--json", "--batch", "12"), &err);
    assert_true(train_flag(&a, "json"));
    assert_string_equal(train_text_at(&a, "model", 0), "a");
    assert_string_equal(train_text_at(&a, "model", 1), "b=c");
    assert_null(train_text_at(&a, "model", 2));
    check_ok(train_int(&a, "batch", 1, 100, 7, &n, &err), &err);
    assert_int_equal(n, 12);
    check_ok(train_double(&a, "rate", 0, 1, 0.25, &r, &err), &err);
    assert_true(r == 0.25);
    assert_string_equal(train_text(&a, "rate", "none"), "none");
    check_ok(train_need(&a, "model", &text, &err), &err);
    check_fails(train_need(&a, "rate", &text, &err), PRELU_E_ARG, &err);
    check_fails(train_int(&a, "batch", 1, 11, 7, &n, &err), PRELU_E_ARG, &err);
    check_ok(PARSE(&a, &err, "--batch", "12x", "--rate", "nan"), &err);
    check_fails(train_int(&a, "batch", 1, 100, 7, &n, &err), PRELU_E_ARG, &err);
    check_fails(train_double(&a, "rate", 0, 1, 0, &r, &err), PRELU_E_ARG, &err);
    check_ok(PARSE(&a, &err, "--batch", "99999999999999999999"), &err);
    check_fails(train_int(&a, "batch", 1, INT64_MAX, 7, &n, &err), PRELU_E_ARG, &err);
}

static void refuse(prelu_status st, const prelu_err *err, const char *word)
{
    assert_int_equal(st, PRELU_E_ARG);
    if (!strstr(err->text, word))
        fail_msg("'%s' does not say '%s'", err->text, word);
}

static void test_refused(void **state)
{
    train_args a;
    prelu_err err;
    (void)state;
    refuse(PARSE(&a, &err, "--bacth", "1"), &err, "--batch");
    refuse(PARSE(&a, &err, "--jsno"), &err, "--json");
    refuse(PARSE(&a, &err, "--xyzzyxyzzy"), &err, "unknown option --xyzzyxyzzy");
    refuse(PARSE(&a, &err, "--modelmodelmodelmodelmodelmodelmodelmodel=3"), &err, "unknown");
    refuse(PARSE(&a, &err, "--batch"), &err, "needs a value");
    refuse(PARSE(&a, &err, "--json=1"), &err, "takes no value");
    refuse(PARSE(&a, &err, "--batch=1", "--batch=2"), &err, "twice");
    refuse(PARSE(&a, &err, "file.jpg"), &err, "no option");
    refuse(PARSE(&a, &err, "--"), &err, "no option");
}

static void test_nearest(void **state)
{
    static const char *const names[] = {"describe", "init", "run", "bench", NULL};
    (void)state;
    assert_string_equal(train_nearest("descibe", names), "describe");
    assert_string_equal(train_nearest("bnech", names), "bench");
    assert_null(train_nearest("serve-me-well", names));
}

static void test_exit_codes(void **state)
{
    (void)state;
    assert_int_equal(train_exit_code(PRELU_OK), 0);
    assert_int_equal(train_exit_code(PRELU_E_ARG), 64);
    assert_int_equal(train_exit_code(PRELU_E_FORMAT), 65);
    assert_int_equal(train_exit_code(PRELU_E_UNSUPPORTED), 65);
    assert_int_equal(train_exit_code(PRELU_E_NOTFOUND), 66);
    assert_int_equal(train_exit_code(PRELU_E_INTERNAL), 70);
    assert_int_equal(train_exit_code(PRELU_E_IO), 74);
    assert_int_equal(train_exit_code(PRELU_E_PERM), 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_nearest), cmocka_unit_test(test_exit_codes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
