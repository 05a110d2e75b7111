#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "termtext.h"

static cli_bytes got;

#define expect(call, want)                                                                         \
    do {                                                                                           \
        cli_bytes_clear(&got);                                                                     \
        call;                                                                                      \
        assert_string_equal(cli_bytes_str(&got), want);                                            \
    } while (0)

static void decodes_strictly(void **state)
{
    static const struct {
        const char *bytes;
        size_t used;
        uint32_t cp;
    } rows[] = {
        {"A", 1, 'A'},
        {"\x7F", 1, 0x7F},
        {"\xC2\x80", 2, 0x80},
        {"\xDF\xBF", 2, 0x7FF},
        {"\xE0\xA0\x80", 3, 0x800},
        {"\xEF\xBF\xBF", 3, 0xFFFF},
        {"\xF0\x90\x80\x80", 4, 0x10000},
        {"\xF4\x8F\xBF\xBF", 4, 0x10FFFF},
        {"\x80", 1, CLI_UTF8_BAD},             /* continuation first */
        {"\xC1\xBF", 1, CLI_UTF8_BAD},         /* overlong, two bytes */
        {"\xE0\x9F\xBF", 1, CLI_UTF8_BAD},     /* overlong, three */
        {"\xF0\x8F\xBF\xBF", 1, CLI_UTF8_BAD}, /* overlong, four */
        {"\xED\xA0\x80", 1, CLI_UTF8_BAD},     /* surrogate */
        {"\xF4\x90\x80\x80", 1, CLI_UTF8_BAD}, /* above U+10FFFF */
        {"\xF5\x80\x80\x80", 1, CLI_UTF8_BAD},
        {"\xE2\x82", 1, CLI_UTF8_BAD}, /* cut */
        {"\xE2\x41\x41", 1, CLI_UTF8_BAD},
        {"\xFF", 1, CLI_UTF8_BAD},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t cp = 0;
        assert_int_equal(cli_utf8_next(rows[i].bytes, strlen(rows[i].bytes), &cp), rows[i].used);
        assert_int_equal(cp, rows[i].cp);
    }
}

static void every_code_point_is_safe_or_escaped(void **state)
{
    (void)state;
    for (uint32_t cp = 1; cp < 0x3000; cp++) {
        char s[5] = {0};
        bool control = cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || (cp >= 0x202A && cp <= 0x202E) ||
                       (cp >= 0x2066 && cp <= 0x2069) || cp == 0x200E || cp == 0x200F;

        if (cp < 0x80) {
            s[0] = (char)cp;
        } else if (cp < 0x800) {
            s[0] = (char)(0xC0 | cp >> 6);
            s[1] = (char)(0x80 | (cp & 63));
        } else {
            s[0] = (char)(0xE0 | cp >> 12);
            s[1] = (char)(0x80 | (cp >> 6 & 63));
            s[2] = (char)(0x80 | (cp & 63));
        }
        cli_bytes_clear(&got);
        cli_text_clean(&got, s, true);
        assert_int_not_equal(got.len, 0);
        if (control)
            assert_int_equal(got.data[0], '\\');
        cli_bytes_clear(&got);
        cli_text_clean(&got, s, false);
        for (size_t i = 0; i < got.len; i++)
            assert_in_range(got.data[i], 0x20, 0x7E);
    }
}

static void escapes_are_readable(void **state)
{
    (void)state;
    expect(cli_text_clean(&got, "plain ümläut 東", true), "plain ümläut 東");
    expect(cli_text_clean(&got, "ü", false), "\\u{fc}");
    expect(cli_text_clean(&got, "\x1b[31m\n\r\t\x7f", true), "\\x1b[31m\\n\\r\\t\\x7f");
    expect(cli_text_clean(&got, "\xC2\x9B\xE2\x80\xAE\xFF", true), "\\u{9b}\\u{202e}\\xff");
}

static void repair_keeps_what_is_well_formed(void **state)
{
    (void)state;
    expect(cli_text_repair(&got, "a\xFF\xE2\x82z\n"), "a\uFFFD\uFFFD\uFFFDz\n");
}

static void json_stays_json(void **state)
{
    (void)state;
    expect(cli_text_json_safe(&got, "{\"a\":\"ü\\n\"}"), "{\"a\":\"ü\\n\"}");
    expect(cli_text_json_safe(&got, "\"\x7F\xC2\x9B\xE2\x80\xAE\""), "\"\\u007f\\u009b\\u202e\"");
    /* U+E0041, a tag character, as its surrogate pair */
    expect(cli_text_json_safe(&got, "\"\xF3\xA0\x81\x81\""), "\"\\udb40\\udc41\"");
}

static void csv_quotes_only_what_must_be(void **state)
{
    (void)state;
    expect(cli_text_csv(&got, "plain"), "plain");
    expect(cli_text_csv(&got, ""), "");
    expect(cli_text_csv(&got, "a,b"), "\"a,b\"");
    expect(cli_text_csv(&got, "say \"hi\""), "\"say \"\"hi\"\"\"");
    expect(cli_text_csv(&got, "two\r\nlines"), "\"two\r\nlines\"");
    expect(cli_text_csv(&got, " edge"), "\" edge\"");
    expect(cli_text_csv(&got, "edge "), "\"edge \"");
}

static void widths_count_columns(void **state)
{
    (void)state;
    assert_int_equal(cli_text_width(""), 0);
    assert_int_equal(cli_text_width("ümlaut"), 6);
    assert_int_equal(cli_text_width("東京"), 4);
    assert_int_equal(cli_text_width("e\u0301"), 1); /* e with a combining accent */
}

static void fit_cuts_and_pads(void **state)
{
    (void)state;
    expect(cli_text_fit(&got, "abc", 5, true), "abc  ");
    expect(cli_text_fit(&got, "abcde", 5, true), "abcde");
    expect(cli_text_fit(&got, "abcdef", 5, true), "abcd…");
    expect(cli_text_fit(&got, "abcdef", 5, false), "abcd~");
    expect(cli_text_fit(&got, "東京都", 5, true), "東京…");
    expect(cli_text_fit(&got, "東京都", 4, true), "東… "); /* half a character is no option */
    expect(cli_text_fit(&got, "abc", 1, true), "…");
    expect(cli_text_fit(&got, "abc", 0, true), "");
}

static void columns_come_from_the_environment(void **state)
{
    (void)state;
    setenv("COLUMNS", "100", 1);
    assert_int_equal(cli_text_columns(-1), 100);
    setenv("COLUMNS", "3", 1);
    assert_int_equal(cli_text_columns(-1), 20);
    setenv("COLUMNS", "99999999999999999999", 1);
    assert_int_equal(cli_text_columns(-1), 200);
    setenv("COLUMNS", "wide", 1);
    assert_int_equal(cli_text_columns(-1), 80);
    unsetenv("COLUMNS");
    assert_int_equal(cli_text_columns(-1), 80);
}

static void plain_locale_counts_as_utf8(void **state)
{
    (void)state;
    setenv("LC_ALL", "C", 1);
    assert_true(cli_text_locale());
    setenv("LC_ALL", "no_SUCH.locale", 1);
    assert_true(cli_text_locale());
    assert_string_equal(setlocale(LC_NUMERIC, NULL), "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_strictly),
        cmocka_unit_test(every_code_point_is_safe_or_escaped),
        cmocka_unit_test(escapes_are_readable),
        cmocka_unit_test(repair_keeps_what_is_well_formed),
        cmocka_unit_test(json_stays_json),
        cmocka_unit_test(csv_quotes_only_what_must_be),
        cmocka_unit_test(widths_count_columns),
        cmocka_unit_test(fit_cuts_and_pads),
        cmocka_unit_test(columns_come_from_the_environment),
        cmocka_unit_test(plain_locale_counts_as_utf8),
    };
    int failed;

    setenv("LC_ALL", "C.UTF-8", 1);
    cli_text_locale();
    cli_bytes_init(&got, 0);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    cli_bytes_deinit(&got);
    return failed;
}
