#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "termtext.h"

static char out_text[8192];
static char err_text[8192];

#define CHURCH                                                                                     \
    "{\"predictions\":[{\"class\":4,\"id\":\"n03\",\"label\":\"church\",\"score\":0.93125},"
#define TWO_ROWS                                                                                   \
    CHURCH "{\"class\":9,\"label\":\"a \\\"very\\\" long name, indeed\",\"score\":0.0002}]}"

/* Writes one classified picture, then one failure. */
static void write_both(cli_output o, const char *name, bool *written)
{
    cli_result r;

    memset(out_text, 0, sizeof out_text);
    memset(err_text, 0, sizeof err_text);
    o.out = fmemopen(out_text, sizeof out_text, "w");
    o.err = fmemopen(err_text, sizeof err_text, "w");
    assert_true(o.out && o.err);
    cli_output_begin(&o);
    cli_result_init(&r, name);
    cli_result_from_reply(&r, 200, TWO_ROWS, strlen(TWO_ROWS), "");
    assert_true(r.ok);
    cli_output_add(&o, &r);
    cli_result_fail(&r, 415, "unsupported", "a PNG, not\na JPEG");
    cli_output_add(&o, &r);
    cli_result_deinit(&r);
    *written = cli_output_end(&o);
    fclose(o.out);
    fclose(o.err);
}

/* What mode auto chose stands behind the name. */
static void table_of_auto(void **state)
{
    static const char reply[] = "{\"mode\":\"den\\nse\",\"auto\":{\"fits\":true},\"predictions\":"
                                "[{\"class\":4,\"label\":\"church\",\"score\":0.5}]}";
    cli_output o = {.format = CLI_TABLE, .columns = 80, .name_width = 20};
    cli_result r;

    (void)state;
    memset(out_text, 0, sizeof out_text);
    o.out = fmemopen(out_text, sizeof out_text, "w");
    o.err = stderr;
    assert_non_null(o.out);
    cli_output_begin(&o);
    cli_result_init(&r, "cat.jpg");
    cli_result_from_reply(&r, 200, reply, strlen(reply), "");
    assert_true(r.ok);
    cli_output_add(&o, &r);
    cli_result_deinit(&r);
    assert_true(cli_output_end(&o));
    fclose(o.out);
    assert_int_equal(strncmp(out_text, "cat.jpg (den\\nse)     church ", 28), 0);
}

static void table(void **state)
{
    cli_output o = {.format = CLI_TABLE, .utf8 = true, .columns = 80, .name_width = 7};
    bool written;

    (void)state;
    write_both(o, "cat.jpg", &written);
    assert_true(written);
    assert_string_equal(out_text,
                        "cat.jpg  church                               93.1%  ███████████▏\n"
                        "         a \"very\" long name, indeed           <0.1%\n");
    assert_string_equal(err_text,
                        "prelu-classify: cat.jpg: a PNG, not\\na JPEG (415 unsupported)\n");
}

static void narrow_table(void **state)
{
    cli_output o = {.format = CLI_TABLE, .utf8 = false, .columns = 30, .name_width = 7};
    bool written;

    (void)state;
    write_both(o, "cat.jpg", &written);
    assert_string_equal(out_text, "cat.jpg\n"
                                  "  church                93.1%\n"
                                  "  a \"very\" long name~   <0.1%\n");
}

static void long_names_stand_above(void **state)
{
    cli_output o = {.format = CLI_TABLE, .utf8 = false, .columns = 80, .name_width = 33};
    bool written;

    (void)state;
    write_both(o, "short.jpg", &written);
    assert_string_equal(out_text, "short.jpg\n"
                                  "  church                               93.1%  ###########.\n"
                                  "  a \"very\" long name, indeed           <0.1%\n");
    o.name_width = 32;
    write_both(o, "32 columns", &written);
    assert_memory_equal(out_text, "32 columns                        church  ", 42);
    for (char *row = strtok(out_text, "\n"); row; row = strtok(NULL, "\n"))
        assert_in_range(strlen(row), 1, 79);
}

static void csv(void **state)
{
    cli_output o = {.format = CLI_CSV, .utf8 = true, .columns = 80};
    bool written;

    (void)state;
    write_both(o, "a,\"b\".jpg", &written);
    assert_string_equal(out_text,
                        "file,rank,class,id,label,score,error\r\n"
                        "\"a,\"\"b\"\".jpg\",1,4,n03,church,0.93125,\r\n"
                        "\"a,\"\"b\"\".jpg\",2,9,,\"a \"\"very\"\" long name, indeed\",0.0002,\r\n"
                        "\"a,\"\"b\"\".jpg\",,,,,,\"a PNG, not\na JPEG\"\r\n");
    assert_string_equal(err_text, "");
}

static void csv_on_a_terminal_escapes(void **state)
{
    cli_output o = {.format = CLI_CSV, .utf8 = true, .escape = true, .columns = 80};
    bool written;

    (void)state;
    write_both(o, "\x1b[31m.jpg", &written);
    assert_null(strchr(out_text, '\x1b'));
    assert_non_null(strstr(out_text, "\\x1b[31m.jpg,1,4,"));
}

static void json(void **state)
{
    cli_output o = {.format = CLI_JSON};
    bool written;

    (void)state;
    write_both(o, "c", &written);
    assert_string_equal(out_text,
                        "{\"results\":[\n"
                        "{\"file\":\"c\",\"predictions\":[{\"class\":4,\"id\":\"n03\",\"label\":"
                        "\"church\",\"score\":0.93125},{\"class\":9,\"label\":"
                        "\"a \\\"very\\\" long name, indeed\",\"score\":0.0002}]},\n"
                        "{\"file\":\"c\",\"error\":\"a PNG, not\\na JPEG\",\"code\":"
                        "\"unsupported\",\"status\":415}\n]}\n");
}

static void lost_output_is_reported(void **state)
{
    cli_output o = {.format = CLI_JSON, .out = fopen("/dev/full", "w"), .err = stderr};

    (void)state;
    assert_non_null(o.out);
    cli_output_begin(&o);
    assert_false(cli_output_end(&o));
    fclose(o.out);
}

static void expect_score(double score, const char *want)
{
    cli_bytes text;

    cli_bytes_init(&text, 0);
    cli_score_text(&text, score);
    assert_string_equal(cli_bytes_str(&text), want);
    cli_bytes_deinit(&text);
}

static void scores(void **state)
{
    (void)state;
    expect_score(1, "100.0%");
    expect_score(0.5, "50.0%");
    expect_score(0.0005, "0.1%");
    expect_score(0.0004, "<0.1%");
    expect_score(0, "0.0%");
    expect_score(12.3456, "12.35"); /* a logit */
    expect_score(-3, "-3");
}

static void expect_bar(double share, bool utf8, const char *want)
{
    cli_bytes text;

    cli_bytes_init(&text, 0);
    cli_bar_text(&text, share, 4, utf8);
    assert_string_equal(cli_bytes_str(&text), want);
    cli_bytes_deinit(&text);
}

static void bars(void **state)
{
    (void)state;
    expect_bar(0, true, "    ");
    expect_bar(-1, true, "    ");
    expect_bar(1, true, "████");
    expect_bar(1e300, true, "████");
    expect_bar(0.5, true, "██  ");
    expect_bar(0.53125, true, "██▏ ");
    expect_bar(0.5, false, "##  ");
    expect_bar(0.65, false, "### ");
    expect_bar(0.55, false, "##. ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),        cmocka_unit_test(table_of_auto),
        cmocka_unit_test(narrow_table), cmocka_unit_test(long_names_stand_above),
        cmocka_unit_test(csv),          cmocka_unit_test(csv_on_a_terminal_escapes),
        cmocka_unit_test(json),         cmocka_unit_test(lost_output_is_reported),
        cmocka_unit_test(scores),       cmocka_unit_test(bars),
    };

    setenv("LC_ALL", "C.UTF-8", 1);
    cli_text_locale();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
