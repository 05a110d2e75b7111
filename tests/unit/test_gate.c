#include "check.h"
#include "gate.h"

static void feed(srv_gate *g, const char *name, const char *value)
{
    srv_gate_header(g, name, strlen(name), value, strlen(value));
}

/* name, value, name, value …, NULL */
static prelu_status judge(bool http_1_0, const char *const *headers, prelu_err *err)
{
    srv_gate g = {0};
    memset(err, 0, sizeof *err);
    for (; *headers; headers += 2)
        feed(&g, headers[0], headers[1]);
    return srv_gate_verdict(&g, http_1_0, err);
}

#define H(...) ((const char *const[]){__VA_ARGS__, NULL})

static void good_requests_pass(void **state)
{
    prelu_err err;
    (void)state;
    assert_int_equal(judge(false, H("Host", "x"), &err), PRELU_OK);
    assert_int_equal(judge(false, H("hOsT", "", "Accept", "*/*", "Accept", "b"), &err), PRELU_OK);
    assert_int_equal(judge(false, H("Host", "x", "Content-Length", "0"), &err), PRELU_OK);
    assert_int_equal(judge(false, H("Host", "x", "Transfer-Encoding", "CHUNKED"), &err), PRELU_OK);
    assert_int_equal(judge(false, H("Host", "x", "Content-Encoding", "Identity"), &err), PRELU_OK);
    assert_int_equal(judge(true, H("Accept", "x"), &err), PRELU_OK);
}

static void ambiguous_framing_is_refused(void **state)
{
    prelu_err err;
    (void)state;
    const char *const *bad[] = {
        H("Accept", "x"),
        H("Host", "x", "Host", "x"),
        H("Host", "x", "Content-Length", "3", "Content-Length", "4"),
        H("Host", "x", "Content-Length", "3", "content-length", "3"),
        H("Host", "x", "Content-Length", "3", "Transfer-Encoding", "chunked"),
        H("Host", "x", "Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked"),
        H("Host", "x", "Transfer-Encoding", "gzip, chunked"),
        H("Host", "x", "Transfer-Encoding", "chunked "),
        H("Host", "x", "Transfer-Encoding", ""),
        H("Host", "x", "Content-Length", ""),
        H("Host", "x", "Content-Length", "+1"),
        H("Host", "x", "Content-Length", "1,1"),
        H("Host", "x", "Content-Length", "9223372036854775808"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (judge(false, bad[i], &err) != PRELU_E_FORMAT)
            fail_msg("case %zu passed", i);
        assert_true(err.text[0]);
    }
    assert_int_equal(judge(true, H("Transfer-Encoding", "chunked"), &err), PRELU_E_FORMAT);
    assert_int_equal(judge(false, H("Host", "x", "Content-Encoding", "br"), &err),
                     PRELU_E_UNSUPPORTED);
}

static void lengths(void **state)
{
    uint64_t v = 7;
    (void)state;
    assert_true(srv_parse_length("0", 1, &v) && v == 0);
    assert_true(srv_parse_length("0012", 4, &v) && v == 12);
    assert_true(srv_parse_length("9223372036854775807", 19, &v) && v == INT64_MAX);
    static const char *const bad[] = {"",
                                      "-1",
                                      " 1",
                                      "1 ",
                                      "0x1",
                                      "1.",
                                      "1e3",
                                      "9223372036854775808",
                                      "99999999999999999999999999",
                                      "18446744073709551616"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (srv_parse_length(bad[i], strlen(bad[i]), &v))
            fail_msg("\"%s\" passed as %llu", bad[i], (unsigned long long)v);
    assert_false(srv_parse_length("1\0002", 3, &v));
}

static void request_ids(void **state)
{
    (void)state;
    assert_true(srv_request_id_ok("Az09._-", 7));
    assert_false(srv_request_id_ok("", 0));
    assert_false(srv_request_id_ok("a b", 3));
    assert_false(srv_request_id_ok("a\r\nB: c", 7));
    assert_false(srv_request_id_ok("\xc3\xa9", 2));
    char id[65];
    memset(id, 'a', sizeof id);
    assert_true(srv_request_id_ok(id, 64));
    assert_false(srv_request_id_ok(id, 65));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_requests_pass),
        cmocka_unit_test(ambiguous_framing_is_refused),
        cmocka_unit_test(lengths),
        cmocka_unit_test(request_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
