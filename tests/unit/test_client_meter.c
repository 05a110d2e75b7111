#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meter.h"
#include "termtext.h"

static void text(void **state)
{
    cli_bytes line;

    (void)state;
    cli_bytes_init(&line, 0);
    cli_meter_text(&line, 30, 60, 2, 10, 45, false);
    assert_string_equal(cli_bytes_str(&line), "[####   ]  30/60  2 failed  3.0/s  0:10 left");
    cli_bytes_clear(&line);
    cli_meter_text(&line, 0, 60, 0, 0, 80, false);
    assert_string_equal(cli_bytes_str(&line), "[                              ]  0/60");
    cli_bytes_deinit(&line);
}

static void never_wider_than_the_terminal(void **state)
{
    cli_bytes line;

    (void)state;
    cli_bytes_init(&line, 0);
    for (size_t columns = 20; columns <= 200; columns++) {
        cli_bytes_clear(&line);
        cli_meter_text(&line, 1, 10000000, 9999999, 1e6, columns, true);
        assert_in_range(cli_text_width(cli_bytes_str(&line)), 1, columns - 1);
    }
    cli_bytes_deinit(&line);
}

static void draws_at_most_ten_times_a_second(void **state)
{
    char drawn[4096] = "";
    FILE *err = fmemopen(drawn, sizeof drawn, "w");
    cli_meter m = {.err = err, .on = true, .total = 10, .start_s = 100};
    size_t len;

    (void)state;
    assert_non_null(err);
    cli_meter_draw(&m, 1, 0, 101);
    len = strlen(drawn);
    assert_int_not_equal(len, 0);
    cli_meter_draw(&m, 2, 0, 101.05);
    assert_int_equal(strlen(drawn), len);
    cli_meter_draw(&m, 2, 0, 101.2);
    assert_in_range(strlen(drawn), len + 1, sizeof drawn);
    cli_meter_clear(&m);
    len = strlen(drawn);
    assert_string_equal(drawn + len - 4, "\r\033[K");
    cli_meter_clear(&m);
    assert_int_equal(strlen(drawn), len);
    m.on = false;
    cli_meter_draw(&m, 3, 0, 102);
    assert_int_equal(strlen(drawn), len);
    fclose(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text),
        cmocka_unit_test(never_wider_than_the_terminal),
        cmocka_unit_test(draws_at_most_ten_times_a_second),
    };

    setenv("LC_ALL", "C.UTF-8", 1);
    setenv("COLUMNS", "80", 1);
    cli_text_locale();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
