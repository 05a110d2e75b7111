#include "check.h"
#include "jsonscan.h"

static char text[400000], tree[400000];
static srv_json_cut cut;

static prelu_status scan(const char *json)
{
    prelu_err err = {0};
    cut.n = 0;
    strcpy(text, json);
    const prelu_status st = srv_json_scan(text, strlen(text), tree, &cut, &err);
    assert_true(st == PRELU_OK || err.text[0]);
    return st;
}

static void tensors_are_taken_out(void **state)
{
    (void)state;
    assert_int_equal(scan("{\"inputs\":[{\"data\" : [[1,\"]\"],[2]],\"a\":1},{\"data\":[]}]}"), 0);
    assert_int_equal(cut.n, 2);
    assert_int_equal(strncmp(cut.span[0].text, "[[1,\"]\"],[2]]", cut.span[0].len), 0);
    assert_int_equal(cut.span[0].len, 13);
    assert_memory_equal(tree, "{\"inputs\":[{\"data\" : 0            ,\"a\":1},{\"data\":1 }]}",
                        strlen(text));
    assert_int_equal(scan("{\"data\":[1],\"x\":[{\"y\":{\"data\":[1]},\"z\":\"\\\"data\"}]}"), 0);
    assert_int_equal(cut.n, 0); /* of other depths, or no key */
}

static void what_is_refused(void **state)
{
    static char deep[200], many[2 * SRV_JSON_VALUES + 9];
    (void)state;
    memset(deep, '[', SRV_JSON_DEPTH);
    assert_int_equal(scan(deep), PRELU_OK); /* that it does not end, the parser finds out */
    deep[SRV_JSON_DEPTH] = '[';
    assert_int_equal(scan(deep), PRELU_E_FORMAT);
    memset(many, ',', SRV_JSON_VALUES);
    assert_int_equal(scan(many), PRELU_OK);
    many[SRV_JSON_VALUES] = ',';
    assert_int_equal(scan(many), PRELU_E_LIMIT);
    assert_int_equal(scan("{\"a"), PRELU_E_FORMAT);
    assert_int_equal(scan("{\"a\\\""), PRELU_E_FORMAT);
    assert_int_equal(scan("{\"i\":[{\"data\":3}]}"), PRELU_E_FORMAT);
    assert_int_equal(scan("{\"i\":[{\"data\":"), PRELU_E_FORMAT);
    assert_int_equal(scan("{\"i\":[{\"data\":[1,2"), PRELU_E_FORMAT);
    strcpy(many, "{\"i\":[");
    for (int i = 0; i <= SRV_JSON_ARRAYS; i++)
        strcat(many, "{\"data\":[]},");
    assert_int_equal(scan(many), PRELU_E_LIMIT);
}

static prelu_status floats(const char *json, size_t count, float *out)
{
    strcpy(text, json);
    const struct srv_json_span span = {text, strlen(text)};
    return srv_span_floats(&span, out, count, NULL);
}

static void numbers(void **state)
{
    static const char *const bad[] = {
        "[1,2]",    "[1,2,3,4]", "[1,,3]",    "[1 2 3]",    "[1,2,03]",    "[1,2,.5]",  "[1,2,1.]",
        "[1,2,+3]", "[1,2,1e]",  "[1,2,NaN]", "[1,2,1e99]", "[1,2,\"3\"]", "[1,2,null]"};
    float v[3];
    (void)state;
    assert_int_equal(floats("[ [1.5, -2e1] ,[3E-1 ]]", 3, v), PRELU_OK);
    assert_true(v[0] == 1.5f && v[1] == -20 && v[2] == 0.3f);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (floats(bad[i], 3, v) != PRELU_E_FORMAT)
            fail_msg("%s", bad[i]);
    assert_int_equal(floats("[[[[[[[[[1]]]]]]]]]", 1, v), PRELU_E_FORMAT); /* rank 9 */
}

static prelu_status gather(void *ctx, size_t i, char *one, size_t len, prelu_err *err)
{
    (void)err;
    assert_int_equal(i, strlen(ctx) / 3);
    strncat(ctx, one, len);
    return len == 3 ? PRELU_OK : PRELU_E_ARG;
}

static prelu_status texts(const char *json, char *got)
{
    strcpy(text, json);
    got[0] = 0;
    const struct srv_json_span span = {text, strlen(text)};
    return srv_span_texts(&span, 2, gather, got, NULL);
}

static void strings(void **state)
{
    char got[32];
    (void)state;
    assert_int_equal(texts("[[\"abc\"], [\"d\\\"\"]]", got), PRELU_OK);
    assert_string_equal(got, "abcd\\\"");
    assert_int_equal(texts("[\"abcd\",\"abc\"]", got), PRELU_E_ARG); /* what `each` says */
    assert_int_equal(texts("[\"abc\"]", got), PRELU_E_FORMAT);
    assert_int_equal(texts("[\"abc\",\"def\",\"ghi\"]", got), PRELU_E_FORMAT);
    assert_int_equal(texts("[\"abc\",1]", got), PRELU_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tensors_are_taken_out),
                                       cmocka_unit_test(what_is_refused), cmocka_unit_test(numbers),
                                       cmocka_unit_test(strings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
