#include "check.h"
#include "check_winograd_grad.h"

/* The checker is checked: variants with one planted fault each must be noticed. */

#define REF krn_winograd_grad_f32__ref

static void spread_skips_tail(float *y, size_t step, const krn_winograd_window *w, size_t channels)
{
    REF.spread(y, step, w, channels > 8 ? channels / 8 * 8 : channels);
}

/* One row too few: what lies at the map's lower edge counts as outside. */
static void spread_drops_edge(float *y, size_t step, const krn_winograd_window *w, size_t channels)
{
    krn_winograd_window less = *w;
    if (less.i1 < 4 && less.i1 > less.i0)
        less.i1--;
    REF.spread(y, step, &less, channels);
}

static void spread_one_past(float *y, size_t step, const krn_winograd_window *w, size_t channels)
{
    REF.spread(y, step, w, channels);
    y[35 * step + channels] = 0;
}

static void spread_rounds_often(float *y, size_t step, const krn_winograd_window *w,
                                size_t channels)
{
    REF.spread(y, step, w, channels);
    for (size_t k = 0; k < channels; k++)
        y[8 * step + k] *= 1.00001f;
}

static void gather_stops(float *g, size_t tap, const float *m, size_t step, size_t n)
{
    REF.gather(g, tap, m, step, n > 32 ? 32 : n);
}

static void gather_turns(float *g, size_t tap, const float *m, size_t step, size_t n)
{
    REF.gather(g, tap, m, step, n);
    for (size_t k = 0; k < n; k++) {
        const float t = g[tap + k];
        g[tap + k] = g[3 * tap + k];
        g[3 * tap + k] = t;
    }
}

static void gather_adds(float *g, size_t tap, const float *m, size_t step, size_t n)
{
    const float was = g[0];
    REF.gather(g, tap, m, step, n);
    g[0] += was;
}

static void test_faults_are_noticed(void **state)
{
    const krn_winograd_grad bad[] = {
        {.spread = spread_skips_tail, .gather = REF.gather},
        {.spread = spread_drops_edge, .gather = REF.gather},
        {.spread = spread_one_past, .gather = REF.gather},
        {.spread = spread_rounds_often, .gather = REF.gather},
        {.spread = REF.spread, .gather = gather_stops},
        {.spread = REF.spread, .gather = gather_turns},
        {.spread = REF.spread, .gather = gather_adds},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!check_winograd_grad_f32_text(&bad[i]))
            fail_msg("the checker did not notice fault %zu", i);
    assert_null(check_winograd_grad_f32_text(&REF));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults_are_noticed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
