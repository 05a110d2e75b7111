#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "histogram.h"

static void empty(void **state)
{
    static cli_histogram h;

    (void)state;
    assert_true(cli_histogram_quantile(&h, 0.99) == 0);
    assert_true(cli_histogram_mean(&h) == 0);
}

/* Every time comes back within a bucket's width, never too small, over the whole range. */
static void one_time_comes_back(void **state)
{
    static cli_histogram h;

    (void)state;
    for (double t = 1e-6; t < 1e5; t *= 1.0137) {
        memset(&h, 0, sizeof h);
        cli_histogram_add(&h, t);
        cli_histogram_add(&h, 10 * t);
        double got = cli_histogram_quantile(&h, 0.5);
        if (!(got >= t && got <= t * (1 + 1.0 / 128) + 1e-6))
            fail_msg("%g came back as %g", t, got);
        assert_true(cli_histogram_quantile(&h, 1) == 10 * t);
    }
}

static void quantiles_of_many(void **state)
{
    static cli_histogram h;

    (void)state;
    memset(&h, 0, sizeof h);
    for (int i = 1; i <= 10000; i++)
        cli_histogram_add(&h, i * 1e-3);
    assert_true(fabs(cli_histogram_mean(&h) - 5.0005) < 1e-9);
    for (double q = 0.01; q <= 1; q += 0.01) {
        double got = cli_histogram_quantile(&h, q);
        if (!(got >= 10 * q * 0.9999 && got <= 10 * q * (1 + 1.0 / 128) + 1e-3))
            fail_msg("quantile %g is %g", q, got);
    }
}

static void beyond_the_range(void **state)
{
    static cli_histogram h;

    (void)state;
    memset(&h, 0, sizeof h);
    cli_histogram_add(&h, -1);
    cli_histogram_add(&h, 1e9);
    cli_histogram_add(&h, INFINITY);
    assert_int_equal(h.count, 3);
    assert_true(cli_histogram_quantile(&h, 0.3) <= 1e-6);
    assert_true(isinf(h.max));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty),
        cmocka_unit_test(one_time_comes_back),
        cmocka_unit_test(quantiles_of_many),
        cmocka_unit_test(beyond_the_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
