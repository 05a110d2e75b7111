#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "run.h"

static void honours_retry_after_up_to_the_cap(void **state)
{
    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        double wait = cli_retry_wait(2, 1, i);
        assert_true(wait >= 2 && wait < 2.5);
        wait = cli_retry_wait(CLI_RETRY_AFTER_MAX_S, 3, i);
        assert_true(wait >= CLI_RETRY_AFTER_MAX_S);
    }
    assert_true(cli_retry_wait(CLI_RETRY_AFTER_MAX_S + 1, 1, 0) < 0);
    assert_true(cli_retry_wait(INFINITY, 1, 0) < 0);
    assert_true(cli_retry_wait(NAN, 1, 0) < 0);
    assert_true(cli_retry_wait(0, 1, 0) >= 0.1);
}

static void backs_off_without_advice(void **state)
{
    double last = 0;

    (void)state;
    for (unsigned tries = 1; tries <= 100; tries++) {
        double wait = cli_retry_wait(-1, tries, 7);
        assert_true(wait >= last && wait <= 1.25 * CLI_RETRY_AFTER_MAX_S);
        last = wait;
    }
    assert_true(cli_retry_wait(-1, 1, 0) < 0.5);
}

static void spreads_neighbours(void **state)
{
    double least = 1e9, most = 0;

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        double wait = cli_retry_wait(10, 1, i);
        least = fmin(least, wait);
        most = fmax(most, wait);
    }
    assert_true(most - least > 1.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honours_retry_after_up_to_the_cap),
        cmocka_unit_test(backs_off_without_advice),
        cmocka_unit_test(spreads_neighbours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
