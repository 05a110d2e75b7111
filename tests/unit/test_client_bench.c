#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "bench.h"

static cli_bench_run run;

static void measured(unsigned ok_fast, unsigned ok_slow, unsigned refused)
{
    memset(&run, 0, sizeof run);
    for (unsigned i = 0; i < ok_fast + ok_slow; i++)
        cli_histogram_add(&run.latency, i < ok_fast ? 0.01 : 1);
    run.ok = ok_fast + ok_slow;
    run.refused = refused;
    run.requests = run.ok + refused;
}

/* One in a hundred may be late, refused or lost: which of these does not matter. */
static void a_bound_is_on_all_requests(void **state)
{
    (void)state;
    measured(1000, 0, 0);
    assert_true(cli_bench_in_time(&run, 0.02));
    assert_false(cli_bench_in_time(&run, 0.005));
    measured(990, 10, 0);
    assert_true(cli_bench_in_time(&run, 0.02));
    measured(989, 11, 0);
    assert_false(cli_bench_in_time(&run, 0.02));
    measured(990, 0, 10);
    assert_true(cli_bench_in_time(&run, 0.02));
    measured(989, 0, 11);
    assert_false(cli_bench_in_time(&run, 0.02));
    measured(985, 5, 10);
    assert_false(cli_bench_in_time(&run, 0.02));
    measured(0, 0, 0);
    assert_false(cli_bench_in_time(&run, 0.02));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bound_is_on_all_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
