#include "check.h"
#include "check_depthwise.h"

/* The checker is checked: kernels with one planted fault each must be noticed. */

#define REF krn_depthwise_f32__ref

static void skips_tail(const krn_depthwise_args *g)
{
    krn_depthwise_args a = *g;
    a.ow = g->ow > 6 ? g->ow / 6 * 6 : g->ow;
    REF(&a);
}

static void loses_last_column(const krn_depthwise_args *g)
{
    krn_depthwise_args a = *g;
    a.w = g->w > 6 ? g->w - 1 : g->w;
    REF(&a);
}

static void reads_before(const krn_depthwise_args *g)
{
    krn_depthwise_args a = *g;
    a.first = g->first < -2 ? g->first + 1 : g->first;
    REF(&a);
}

static void forgets_dilation(const krn_depthwise_args *g)
{
    krn_depthwise_args a = *g;
    a.dilation = 1;
    REF(&a);
}

static void loses_tap_row(const krn_depthwise_args *g)
{
    krn_depthwise_args a = *g;
    a.kh = g->kh > 5 ? 5 : g->kh;
    REF(&a);
}

static void one_past(const krn_depthwise_args *g)
{
    REF(g);
    g->y[g->ow * g->c] = 0;
}

static void wrong_residual(const krn_depthwise_args *g)
{
    krn_depthwise_args a = *g;
    for (size_t p = 0; p < g->ow; p++) { /* the first pixel's for all */
        a.y = g->y + p * g->c;
        a.ow = 1;
        a.first = g->first + (int64_t)(p * g->stride);
        REF(&a);
    }
}

static void plain_store(const krn_depthwise_args *g)
{
    krn_depthwise_args a = *g;
    a.ep = NULL;
    REF(&a);
}

static void residual_first(const krn_depthwise_args *g)
{
    krn_depthwise_args a = *g;
    krn_epilogue ep;
    if (g->ep) {
        ep = *g->ep;
        ep.residual_last = false;
        a.ep = &ep;
    }
    REF(&a);
}

/* Right sums, but another order beside other pixels. */
static void other_order(const krn_depthwise_args *g)
{
    REF(g);
    for (size_t i = 0; i < g->ow * g->c && g->ow > 1; i++)
        g->y[i] = g->y[i] * 3.0f / 3.0f;
}

static void test_faults_are_noticed(void **state)
{
    krn_depthwise_f32_fn *const bad[] = {
        skips_tail, loses_last_column, reads_before, forgets_dilation, loses_tap_row,
        one_past,   wrong_residual,    plain_store,  other_order,      residual_first};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!check_depthwise_f32_text(bad[i]))
            fail_msg("the checker did not notice fault %zu", i);
    assert_null(check_depthwise_f32_text(REF));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults_are_noticed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
