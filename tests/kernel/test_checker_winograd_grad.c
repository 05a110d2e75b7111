#include "check.h"
#include "check_winograd_grad.h"

/* The checker is checked: variants with one planted fault each must be noticed. */

/* The plain C variant that the faults are planted in. */
static krn_winograd_grad ref;
#define REF ref

static void spread_skips_tail(float *y, size_t step, const krn_winograd_window *w, size_t channels)
{
    REF.spread(y, step, w, channels > 8 ? channels / 8 * 8 : channels);
}

/* One row too few: what lies at the map's lower edge counts as outside. */
static void spread_drops_edge(float *y, size_t step, const krn_winograd_window *w, size_t channels)
{
    krn_winograd_window less = *w;
    if (less.i1 < (int)REF.side && less.i1 > less.i0)
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
        g[tap + k] = g[REF.taps * tap + k];
        g[REF.taps * tap + k] = t;
    }
}

static void gather_adds(float *g, size_t tap, const float *m, size_t step, size_t n)
{
    const float was = g[0];
    REF.gather(g, tap, m, step, n);
    g[0] += was;
}

static void faults_are_noticed(const krn_winograd_grad *in)
{
    krn_winograd_grad bad[7];
    ref = *in;
    for (size_t i = 0; i < 7; i++)
        bad[i] = ref;
    bad[0].spread = spread_skips_tail;
    bad[1].spread = spread_drops_edge;
    bad[2].spread = spread_one_past;
    bad[3].spread = spread_rounds_often;
    bad[4].gather = gather_stops;
    bad[5].gather = gather_turns;
    bad[6].gather = gather_adds;
    for (size_t i = 0; i < 7; i++)
        if (!check_winograd_grad_f32_text(&bad[i]))
            fail_msg("%s: the checker did not notice fault %zu", ref.name, i);
    assert_null(check_winograd_grad_f32_text(&ref));
}

static void test_faults_are_noticed(void **state)
{
    (void)state;
    faults_are_noticed(&krn_winograd_grad_f32__ref);
    faults_are_noticed(&krn_winograd_2x2_grad_f32__ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults_are_noticed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
