#include "check.h"
#include "multipart.h"

static srv_part parts[8];
static size_t n;

/* In a block of exactly its length, so that a sanitizer sees a read past the end. */
static prelu_status parse(const char *boundary, const char *body, size_t len, size_t max,
                          prelu_err *err)
{
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, body, len);
    prelu_status st = srv_multipart_parse(boundary, copy, len, parts, max, &n, err);
    for (size_t i = 0; !st && i < n; i++) { /* point into the original again */
        assert_true(parts[i].data >= (unsigned char *)copy);
        assert_true(parts[i].data + parts[i].len <= (unsigned char *)copy + len);
        parts[i].data = (const unsigned char *)body + ((char *)parts[i].data - copy);
    }
    free(copy);
    return st;
}

#define PARSE(b, body, err) parse(b, body, sizeof body - 1, 8, err)

static void part_is(size_t i, const char *name, const void *data, size_t len)
{
    assert_string_equal(parts[i].name, name);
    assert_int_equal(parts[i].len, len);
    assert_memory_equal(parts[i].data, data, len);
}

static void parts_are_found(void **state)
{
    prelu_err err = {0};
    (void)state;
    static const char body[] =
        "preamble, ignored\r\n--B\r\n"
        "Content-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\n"
        "Content-Type: image/jpeg\r\n\r\n"
        "one\r\n--\r\n--A\0two"
        "\r\n--B  \t\r\n"
        "content-disposition:form-data;name=field\r\n\r\n"
        "\r\n--B\r\n\r\nno headers\r\n--B--\r\nepilogue --B--";
    check_ok(PARSE("B", body, &err), &err);
    assert_int_equal(n, 3);
    part_is(0, "a.jpg", "one\r\n--\r\n--A\0two", 16);
    part_is(1, "field", "", 0);
    part_is(2, "", "no headers", 10);
    static const char start[] = "--B\r\n\r\nx\r\n--B--";
    check_ok(PARSE("B", start, &err), &err);
    part_is(0, "", "x", 1);
}

static void names_are_harmless(void **state)
{
    static const struct {
        const char *disposition, *name;
    } cases[] = {
        {"form-data; name=\"f\"; filename=\"../../etc/passwd\"", "passwd"},
        {"form-data; filename=\"C:\\\\dir\\\\x.jpg\"; name=f", "x.jpg"},
        {"form-data; name=\"a\\\"b;c\"", "a\"b;c"},
        {"form-data; name=\"\xff\xc3\xa9\x01\"", "?\xc3\xa9?"},
        {"form-data; FILENAME=x; name=y", "x"},
        {"form-data; name=\"unfinished", "unfinished"},
        {"form-data; name", ""},
        {"form-data; =x; name=y", ""},
        {"", ""},
        {";;;", ""},
        {"form-data; name=a\t ; x=b", "a"},
    };
    prelu_err err = {0};
    char body[256];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int len = snprintf(body, sizeof body, "--B\r\nContent-Disposition: %s\r\n\r\nx\r\n--B--",
                           cases[i].disposition);
        check_ok(parse("B", body, (size_t)len, 8, &err), &err);
        if (strcmp(parts[0].name, cases[i].name) != 0)
            fail_msg("case %zu: \"%s\", not \"%s\"", i, parts[0].name, cases[i].name);
    }
}

static void long_names_are_cut(void **state)
{
    prelu_err err = {0};
    char body[3200] = "--B\r\nContent-Disposition: form-data; name=\"";
    (void)state;
    size_t len = strlen(body);
    memset(body + len, 'n', 2000);
    len += 2000;
    len += (size_t)snprintf(body + len, sizeof body - len, "\"\r\n\r\nx\r\n--B--");
    check_ok(parse("B", body, len, 8, &err), &err);
    assert_int_equal(strlen(parts[0].name), SRV_MAX_PART_NAME - 1);
}

static void malformed_bodies_are_refused(void **state)
{
    prelu_err err = {0};
    (void)state;
#define BAD(body) check_fails(PARSE("B", body, &err), PRELU_E_FORMAT, &err)
    BAD("");
    BAD("no boundary at all");
    BAD("--B");
    BAD("--B-");
    BAD("--B--");
    BAD("--Bx\r\n\r\n\r\n--B--");
    BAD("--B\r\n");
    BAD("--B\r\nA: b");
    BAD("--B\r\nA: b\r\n");
    BAD("--B\r\nA: b\r\n\r\n");
    BAD("--B\r\nA: b\r\n\r\ndata");
    BAD("--B\r\nA: b\r\n\r\ndata\r\n--B");
    BAD("--B\r\nno colon\r\n\r\ndata\r\n--B--");
    BAD("--B\n\ndata\n--B--");
    BAD("x--B\r\n\r\ndata\r\n--C--");
#undef BAD
}

static void limits_hold(void **state)
{
    prelu_err err = {0};
    static char body[SRV_MAX_PART_HEADER + 100];
    (void)state;
    static const char three[] = "--B\r\n\r\n1\r\n--B\r\n\r\n2\r\n--B\r\n\r\n3\r\n--B--";
    check_ok(parse("B", three, sizeof three - 1, 3, &err), &err);
    assert_int_equal(n, 3);
    check_fails(parse("B", three, sizeof three - 1, 2, &err), PRELU_E_LIMIT, &err);
    memset(body, 'a', sizeof body);
    memcpy(body, "--B\r\nA:", 7);
    check_fails(parse("B", body, sizeof body, 8, &err), PRELU_E_LIMIT, &err);
    check_fails(parse("", "----\r\n", 6, 8, &err), PRELU_E_ARG, &err);
    check_fails(srv_multipart_parse("B", NULL, 0, parts, 8, &n, &err), PRELU_E_FORMAT, &err);
}

/* Every way to cut a good body short is refused or, in the epilogue, changes nothing. */
static void cut_anywhere(void **state)
{
    static const char body[] =
        "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B\r\n"
        "X: y\r\n\r\n2\r\n--B--\r\n";
    prelu_err err;
    (void)state;
    size_t whole = sizeof body - 1;
    for (size_t len = 0; len < whole - 2; len++) {
        memset(&err, 0, sizeof err);
        if (parse("B", body, len, 8, &err) != PRELU_E_FORMAT)
            fail_msg("%zu of %zu bytes passed", len, whole);
    }
    memset(&err, 0, sizeof err);
    for (size_t len = whole - 2; len <= whole; len++)
        check_ok(parse("B", body, len, 8, &err), &err);
}

static void boundaries(void **state)
{
    prelu_err err = {0};
    char out[SRV_MAX_BOUNDARY + 1], type[200];
    (void)state;
    assert_true(srv_is_multipart("multipart/form-data; boundary=x"));
    assert_true(srv_is_multipart("Multipart/Form-Data"));
    assert_false(srv_is_multipart("multipart/form-database"));
    assert_false(srv_is_multipart("multipart/mixed; boundary=x"));
    assert_false(srv_is_multipart("image/jpeg"));
    assert_false(srv_is_multipart(NULL));
    check_ok(srv_multipart_boundary(out, "multipart/form-data; boundary=abc", &err), &err);
    assert_string_equal(out, "abc");
    check_ok(srv_multipart_boundary(out, "multipart/form-data;x=y ; BOUNDARY=\"a(b)+:?\";z", &err),
             &err);
    assert_string_equal(out, "a(b)+:?");
    static const char *const bad[] = {"multipart/form-data",
                                      "multipart/form-data;",
                                      "multipart/form-data; boundary",
                                      "multipart/form-data; boundary=",
                                      "multipart/form-data; boundary=\"\"",
                                      "multipart/form-data; boundary=a b",
                                      "multipart/form-data; boundary=\"a\r\"",
                                      "multipart/form-data; boundary=\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_fails(srv_multipart_boundary(out, bad[i], &err), PRELU_E_FORMAT, &err);
    int len = snprintf(type, sizeof type, "multipart/form-data; boundary=");
    memset(type + len, 'b', 71);
    type[len + 71] = 0;
    check_fails(srv_multipart_boundary(out, type, &err), PRELU_E_FORMAT, &err);
    type[len + 70] = 0;
    check_ok(srv_multipart_boundary(out, type, &err), &err);
    assert_int_equal(strlen(out), 70);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_found),    cmocka_unit_test(names_are_harmless),
        cmocka_unit_test(long_names_are_cut), cmocka_unit_test(malformed_bodies_are_refused),
        cmocka_unit_test(limits_hold),        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(boundaries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
