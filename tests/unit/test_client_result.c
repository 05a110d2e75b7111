#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "result.h"
#include "termtext.h"

static cli_result reply(int status, const char *body)
{
    cli_result r;

    cli_result_init(&r, "cat.jpg");
    cli_result_from_reply(&r, status, body, strlen(body), "application/json");
    return r;
}

static void expect_json(cli_result *r, const char *want)
{
    cli_bytes text;

    cli_bytes_init(&text, 0);
    cli_result_json(&text, r);
    assert_string_equal(cli_bytes_str(&text), want);
    cli_bytes_deinit(&text);
    cli_result_deinit(r);
}

static void starts_as_a_failure(void **state)
{
    cli_result r;

    (void)state;
    cli_result_init(&r, "a");
    assert_false(r.ok);
    assert_string_equal(cli_result_code(&r), "out_of_memory");
    cli_result_fail(&r, 0, "not_found", "no %s", "file");
    assert_string_equal(cli_result_error(&r), "no file");
    expect_json(&r, "{\"file\":\"a\",\"error\":\"no file\",\"code\":\"not_found\",\"status\":0}");
    cli_result_deinit(&r);
}

static void predictions_are_taken(void **state)
{
    cli_result r = reply(200, "{\"model\":\"m\",\"predictions\":["
                              "{\"class\":4,\"id\":\"n03\",\"label\":\"church\",\"score\":0.9312},"
                              "{\"class\":5,\"label\":\"\\u00fc\",\"score\":1},"
                              "{\"id\":\"only id\",\"score\":0},{\"class\":7,\"score\":1e-9}]}");

    (void)state;
    assert_true(r.ok);
    assert_int_equal(r.count, 4);
    assert_int_equal(r.predictions[0].class_index, 4);
    assert_string_equal(r.predictions[0].id, "n03");
    assert_string_equal(r.predictions[0].label, "church");
    assert_true(r.predictions[0].score > 0.9311 && r.predictions[0].score < 0.9313);
    assert_string_equal(r.predictions[1].label, "ü");
    assert_string_equal(r.predictions[1].id, "");
    assert_string_equal(r.predictions[2].label, "only id");
    assert_int_equal(r.predictions[2].class_index, -1);
    assert_string_equal(r.predictions[3].label, "");
    assert_int_equal(r.predictions[3].class_index, 7);
    assert_string_equal(cli_result_error(&r), "");
    cli_result_deinit(&r);
}

static void numbers_pass_unchanged(void **state)
{
    cli_result r = reply(200, "{\"predictions\":[{\"label\":\"x\",\"score\":0.123456789}],"
                              "\"timing_ms\":{\"decode\":2.1,\"total\":15.3},\"n\":null}");

    (void)state;
    expect_json(&r, "{\"file\":\"cat.jpg\",\"predictions\":[{\"label\":\"x\",\"score\":0.123456789}"
                    "],\"timing_ms\":{\"decode\":2.1,\"total\":15.3},\"n\":null}");
}

static void server_errors_keep_their_members(void **state)
{
    cli_result r = reply(413, "{\"error\":\"too big\",\"code\":\"image_too_large\",\"status\":200,"
                              "\"file\":\"x\",\"request_id\":\"r\",\"details\":{\"limit\":50}}");

    (void)state;
    assert_false(r.ok);
    assert_int_equal(r.status, 413);
    assert_string_equal(cli_result_code(&r), "image_too_large");
    expect_json(&r, "{\"file\":\"cat.jpg\",\"error\":\"too big\",\"code\":\"image_too_large\","
                    "\"status\":413,\"request_id\":\"r\",\"details\":{\"limit\":50}}");
    r = reply(400, "{\"error\":\"no code\"}");
    assert_string_equal(cli_result_code(&r), "http_error");
    cli_result_deinit(&r);
}

static void unusable_answers_are_named(void **state)
{
    static const struct {
        int status;
        const char *body;
        const char *words;
    } rows[] = {
        {200, "", "no JSON object"},
        {200, "[1]", "no JSON object"},
        {200, "{\"predictions\":[]}", "no predictions"},
        {200, "{}", "no predictions"},
        {200, "{\"predictions\":[{\"score\":1}]}", "without label or score"},
        {200, "{\"predictions\":[{\"class\":-1,\"score\":1}]}", "without label or score"},
        {200, "{\"predictions\":[{\"label\":\"x\"}]}", "without label or score"},
        {502, "<html>", "502 with no JSON object, Content-Type application/json"},
        {404, "{\"message\":\"x\"}", "404 with JSON that is no result"},
        {500, "{\"error\":{\"a\":1}}", "500 with JSON that is no result"},
        {302, "", "302"},
        {204, "{\"predictions\":[{\"label\":\"x\",\"score\":1}]}", "204"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cli_result r = reply(rows[i].status, rows[i].body);

        assert_false(r.ok);
        assert_int_equal(r.count, 0);
        assert_int_equal(r.status, rows[i].status);
        assert_string_equal(cli_result_code(&r), "bad_reply");
        if (!strstr(cli_result_error(&r), rows[i].words))
            fail_msg("%s: %s", rows[i].body, cli_result_error(&r));
        cli_result_deinit(&r);
    }
}

static void bytes_behind_the_length_are_not_read(void **state)
{
    static const char body[] = "{\"predictions\":[{\"label\":\"x\",\"score\":1}]}garbage";
    cli_result r;

    (void)state;
    cli_result_init(&r, "a");
    cli_result_from_reply(&r, 200, body, sizeof body - sizeof "garbage", "");
    assert_true(r.ok);
    cli_result_deinit(&r);
}

static void names_that_are_no_utf8(void **state)
{
    cli_result r;

    (void)state;
    cli_result_init(&r, "\xFF\x1b\x7f.jpg");
    cli_result_fail(&r, 0, "x", "\xC2\x9B");
    expect_json(&r, "{\"file\":\"\uFFFD\\u001B\\u007f.jpg\",\"error\":\"\\u009b\","
                    "\"code\":\"x\",\"status\":0}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_as_a_failure),
        cmocka_unit_test(predictions_are_taken),
        cmocka_unit_test(numbers_pass_unchanged),
        cmocka_unit_test(server_errors_keep_their_members),
        cmocka_unit_test(unusable_answers_are_named),
        cmocka_unit_test(bytes_behind_the_length_are_not_read),
        cmocka_unit_test(names_that_are_no_utf8),
    };

    cli_text_locale();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
