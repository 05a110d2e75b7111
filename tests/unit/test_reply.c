#include "check.h"
#include "reply.h"
#include "prelu/log.h"

static char logged[600];

static void sink(void *ctx, prelu_log_level level, const char *text)
{
    (void)ctx, (void)level;
    snprintf(logged, sizeof logged, "%s", text);
}

static void every_status_has_its_code(void **state)
{
    static const struct {
        prelu_status st;
        int http;
    } want[] = {
        {PRELU_E_ARG, 400},         {PRELU_E_FORMAT, 400},    {PRELU_E_LIMIT, 413},
        {PRELU_E_UNSUPPORTED, 415}, {PRELU_E_BUSY, 503},      {PRELU_E_NOMEM, 503},
        {PRELU_E_TIMEOUT, 504},     {PRELU_E_NOTFOUND, 500},  {PRELU_E_IO, 500},
        {PRELU_E_PERM, 500},        {PRELU_E_CANCELLED, 500}, {PRELU_E_INTERNAL, 500},
    };
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        for (int of = SRV_OF_REQUEST; of <= SRV_OF_IMAGE; of++) {
            srv_verdict v = srv_verdict_of(want[i].st, (srv_subject)of);
            assert_int_equal(v.status, want[i].http);
            assert_true(v.code[0]);
        }
}

static void errors_have_one_shape(void **state)
{
    srv_reply r = {0};
    prelu_err err = {0};
    (void)state;
    (void)prelu_fail(&err, PRELU_E_LIMIT, "image is 12000x9000 (108.0 MP); limit 50 MP");
    srv_reply_failure(&r, &err, SRV_OF_IMAGE, "id-1");
    assert_int_equal(r.status, 413);
    assert_string_equal(r.content_type, "application/json");
    assert_string_equal(r.body,
                        "{\"error\":\"image is 12000x9000 (108.0 MP); limit 50 MP\","
                        "\"code\":\"image_too_large\",\"status\":413,\"request_id\":\"id-1\"}");
    assert_int_equal(r.body_len, strlen(r.body));
    srv_reply_deinit(&r);
}

static void internal_texts_stay_inside(void **state)
{
    srv_reply r = {0};
    prelu_err err = {0};
    (void)state;
    prelu_log_set(sink, NULL, PRELU_LOG_DEBUG);
    (void)prelu_fail(&err, PRELU_E_IO, "/secret/path: broken");
    srv_reply_failure(&r, &err, SRV_OF_REQUEST, "id");
    assert_int_equal(r.status, 500);
    assert_null(strstr(r.body, "secret"));
    assert_non_null(strstr(logged, "/secret/path: broken"));
    srv_reply_deinit(&r);
    prelu_log_set(NULL, NULL, PRELU_LOG_ERROR);
}

static void headers_end_where_they_end(void **state)
{
    srv_reply r = {0};
    (void)state;
    srv_reply_header(&r, "X-A", "%s", "one\r\nX-Evil: two\x7f\t");
    assert_string_equal(r.headers[0].value, "oneX-Evil: two");
    for (int i = 0; i < 2 * SRV_MAX_HEADERS; i++)
        srv_reply_header(&r, "X", "%d", i);
    assert_int_equal(r.n_headers, SRV_MAX_HEADERS);
    srv_reply_deinit(&r);
    assert_int_equal(r.n_headers, 0);
}

static void over_the_wire(void **state)
{
    srv_reply r = {0};
    srv_text t = {.limit = 4096};
    (void)state;
    srv_reply_error(&r, 408, "too_slow", "slow", "i");
    srv_reply_header(&r, "Retry-After", "%d", 3);
    srv_reply_wire(&r, "i", false, &t);
    assert_false(t.failed);
    assert_int_equal(strncmp(t.data, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n", 49),
                     0);
    assert_non_null(strstr(t.data, "Retry-After: 3\r\n"));
    char length[40];
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", r.body_len);
    assert_non_null(strstr(t.data, length));
    assert_string_equal(strstr(t.data, "\r\n\r\n") + 4, r.body);
    t.len = 0;
    srv_reply_wire(&r, "i", true, &t);
    assert_string_equal(strstr(t.data, "\r\n\r\n"), "\r\n\r\n");
    srv_text_deinit(&t);
    srv_reply_deinit(&r);
}

static void json_texts_are_utf8_and_numbers_finite(void **state)
{
    (void)state;
    srv_json *o = srv_json_object();
    srv_json_set_text(o, "t", "a\"\\\n\xff\xc3\xa9");
    srv_json_set_real(o, "nan", (double)NAN);
    srv_json_set_real(o, "inf", (double)INFINITY);
    srv_json_set_real(o, "x", 0.123456789123);
    srv_json_set_bool(o, "b", true);
    srv_json *list = srv_json_array();
    srv_json_append_real(list, 1.5);
    srv_json_set(o, "l", list);
    size_t len;
    srv_reply r = {0};
    srv_reply_json(&r, 200, o);
    len = strlen(r.body);
    assert_int_equal(len, r.body_len);
    assert_string_equal(r.body, "{\"t\":\"a\\\"\\\\??\xc3\xa9\",\"nan\":null,\"inf\":null,"
                                "\"x\":0.123456789,\"b\":true,\"l\":[1.5]}");
    srv_reply_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_code),
        cmocka_unit_test(errors_have_one_shape),
        cmocka_unit_test(internal_texts_stay_inside),
        cmocka_unit_test(headers_end_where_they_end),
        cmocka_unit_test(over_the_wire),
        cmocka_unit_test(json_texts_are_utf8_and_numbers_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
