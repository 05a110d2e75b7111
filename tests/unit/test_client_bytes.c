#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bytes.h"

static void empty_is_a_string(void **state)
{
    cli_bytes b;

    (void)state;
    cli_bytes_init(&b, 0);
    assert_string_equal(cli_bytes_str(&b), "");
    assert_true(cli_bytes_add(&b, "", 0));
    assert_int_equal(b.len, 0);
    cli_bytes_deinit(&b);
    cli_bytes_deinit(&b);
}

static void grows_and_keeps_content(void **state)
{
    cli_bytes b;
    char *taken;

    (void)state;
    cli_bytes_init(&b, 0);
    for (int i = 0; i < 1000; i++)
        assert_true(cli_bytes_add_fmt(&b, "%03d,", i));
    assert_int_equal(b.len, 4000);
    assert_memory_equal(b.data, "000,001,", 8);
    assert_string_equal(b.data + 3992, "998,999,");
    cli_bytes_clear(&b);
    assert_string_equal(cli_bytes_str(&b), "");
    assert_true(cli_bytes_add_str(&b, "again"));
    taken = cli_bytes_take(&b);
    assert_string_equal(taken, "again");
    assert_null(b.data);
    free(taken);
}

static void ceiling_holds_and_sticks(void **state)
{
    cli_bytes b;

    (void)state;
    cli_bytes_init(&b, 10);
    assert_true(cli_bytes_add_str(&b, "0123456789"));
    assert_false(cli_bytes_add_char(&b, 'x'));
    assert_true(b.too_long);
    assert_string_equal(cli_bytes_str(&b), "0123456789");
    assert_false(cli_bytes_add(&b, "", 0));
    assert_null(cli_bytes_take(&b));
    assert_true(cli_bytes_add_str(&b, "new")); /* taking emptied it; the ceiling stays */
    assert_false(cli_bytes_reserve(&b, SIZE_MAX));
    assert_false(b.no_mem);
    cli_bytes_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_is_a_string),
        cmocka_unit_test(grows_and_keeps_content),
        cmocka_unit_test(ceiling_holds_and_sticks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
