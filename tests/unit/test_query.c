#include "check.h"
#include "query.h"

static srv_query q;

static void pairs_are_split_and_decoded(void **state)
{
    prelu_err err = {0};
    (void)state;
    check_ok(srv_query_parse(&q, "a=1&&b=x%20y+z&c&d=%3D%26%41&=e&%6D=n=o", &err), &err);
    assert_int_equal(q.n, 6);
    assert_string_equal(srv_query_get(&q, "a"), "1");
    assert_string_equal(srv_query_get(&q, "b"), "x y z");
    assert_string_equal(srv_query_get(&q, "c"), "");
    assert_string_equal(srv_query_get(&q, "d"), "=&A");
    assert_string_equal(srv_query_get(&q, ""), "e");
    assert_string_equal(srv_query_get(&q, "m"), "n=o");
    assert_null(srv_query_get(&q, "z"));
    check_ok(srv_query_parse(&q, NULL, &err), &err);
    assert_int_equal(q.n, 0);
    check_ok(srv_query_parse(&q, "", &err), &err);
    assert_int_equal(q.n, 0);
}

static void hostile_queries_are_refused(void **state)
{
    prelu_err err = {0};
    char text[SRV_MAX_QUERY_LEN + 2];
    (void)state;
    static const char *const bad[] = {"a=%",    "a=%4",    "%zz=1",   "a=%00", "%",
                                      "a=%%41", "a=1&a=2", "a&%61=2", "a=%0g", "x=%g0"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_fails(srv_query_parse(&q, bad[i], &err), PRELU_E_FORMAT, &err);
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 0;
    check_fails(srv_query_parse(&q, text, &err), PRELU_E_FORMAT, &err);
    text[SRV_MAX_QUERY_LEN] = 0;
    check_ok(srv_query_parse(&q, text, &err), &err);
    size_t len = 0;
    for (int i = 0; i <= SRV_MAX_QUERY; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "k%d&", i);
    check_fails(srv_query_parse(&q, text, &err), PRELU_E_FORMAT, &err);
}

static void numbers(void **state)
{
    prelu_err err = {0};
    long v = 0;
    (void)state;
    check_ok(srv_query_number(&v, "k", "1", 1, 10, &err), &err);
    check_ok(srv_query_number(&v, "k", "010", 1, 10, &err), &err);
    assert_int_equal(v, 10);
    static const char *const bad[] = {"",    "0",  "11",  "-1",           "+1",
                                      "1.0", " 1", "1e1", "9999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_fails(srv_query_number(&v, "k", bad[i], 1, 10, &err), PRELU_E_ARG, &err);
    assert_int_equal(v, 10);
}

static void names(void **state)
{
    char name[130];
    (void)state;
    assert_true(srv_name_ok("a.B_9-"));
    assert_false(srv_name_ok(""));
    assert_false(srv_name_ok("a/b"));
    assert_false(srv_name_ok("a b"));
    memset(name, 'a', sizeof name);
    name[129] = 0;
    assert_false(srv_name_ok(name));
    name[128] = 0;
    assert_true(srv_name_ok(name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_split_and_decoded),
        cmocka_unit_test(hostile_queries_are_refused),
        cmocka_unit_test(numbers),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
