#include "check.h"
#include "prelu/mem.h"
#include "text.h"
#include "utf8.h"

static void grows_up_to_its_limit(void **state)
{
    srv_text t = {.limit = 1000};
    (void)state;
    for (int i = 0; i < 100; i++)
        srv_text_printf(&t, "%04d,", i);
    assert_int_equal(t.len, 500);
    srv_text_add(&t, "", 0);
    assert_int_equal(strncmp(t.data + 495, "0099,", 6), 0);
    for (int i = 0; i < 100; i++)
        srv_text_add(&t, "12345", 5);
    assert_false(t.failed);
    srv_text_add(&t, "x", 1);
    assert_true(t.failed);
    assert_int_equal(strlen(t.data), 1000);
    srv_text_deinit(&t);
}

static void sticks_to_its_first_failure(void **state)
{
    srv_text t = {.limit = 1000};
    (void)state;
    srv_text_add(&t, "a", 1);
    prelu_alloc_fail_from(1);
    srv_text_printf(&t, "%500s", "");
    prelu_alloc_fail_from(0);
    assert_true(t.failed);
    srv_text_add(&t, "b", 1);
    assert_string_equal(t.data, "a");
    srv_text_deinit(&t);
}

static void bytes_become_utf8(void **state)
{
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xb1", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xb1"},
        {"\xff", "?"},
        {"\xc3", "?"},
        {"\xc3(", "?("},
        {"\xe2\x82", "??"},
        {"\xc0\xaf", "??"},           /* overlong */
        {"\xe0\x80\xaf", "???"},      /* overlong */
        {"\xed\xa0\x80", "???"},      /* surrogate */
        {"\xf4\x90\x80\x80", "????"}, /* above U+10FFFF */
        {"\xf8\x88\x80\x80", "????"},
        {"a\nb\x7f\x1b", "a?b??"},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s", cases[i][0]);
        srv_utf8_clean(text);
        if (strcmp(text, cases[i][1]) != 0)
            fail_msg("case %zu: %s", i, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_up_to_its_limit),
        cmocka_unit_test(sticks_to_its_first_failure),
        cmocka_unit_test(bytes_become_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
