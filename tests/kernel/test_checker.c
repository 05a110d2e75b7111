#include "check.h"
#include "check_gemm.h"

/* The checker is checked: kernels with one planted fault each must be noticed. */

static void reference_run(const krn_gemm_args *g) { krn_gemm_f32__ref.run(g); }

static void lost_product(const krn_gemm_args *g)
{
    krn_gemm_args less = *g;
    if (less.k > 500) /* far down a long sum, where a loose tolerance would not see it */
        less.k--;
    reference_run(&less);
}

static void skipped_tail(const krn_gemm_args *g)
{
    krn_gemm_args less = *g;
    if (less.n > 16 && less.n % 16)
        less.n -= less.n % 16;
    reference_run(&less);
}

static void one_past(const krn_gemm_args *g)
{
    reference_run(g);
    g->c[(g->m - 1) * g->ldc + g->n] = 0.0f;
}

static void between_rows(const krn_gemm_args *g)
{
    reference_run(g);
    if (g->m > 1)
        g->c[g->n] = 0.0f;
}

static void reads_c(const krn_gemm_args *g)
{
    krn_gemm_args with = *g;
    if (!with.accumulate)
        for (size_t i = 0; i < with.m; i++)
            for (size_t j = 0; j < with.n; j++)
                with.c[i * with.ldc + j] *= 0.0f; /* NaN stays NaN */
    with.accumulate = true;
    reference_run(&with);
}

static void forgets_c(const krn_gemm_args *g)
{
    krn_gemm_args without = *g;
    without.accumulate = false;
    reference_run(&without);
}

static void wrong_slope(const krn_gemm_args *g)
{
    krn_epilogue ep;
    krn_gemm_args other = *g;
    if (g->ep && g->ep->act == KRN_ACT_PRELU) { /* max(y, a*y): wrong for a > 1 */
        ep = *g->ep;
        ep.act = KRN_ACT_NONE;
        other.ep = &ep;
        reference_run(&other);
        for (size_t i = 0; i < g->m; i++)
            for (size_t j = 0; j < g->n; j++) {
                float *y = &g->c[i * g->ldc + j];
                const float low = *y * g->ep->slope[j];
                *y = *y > low ? *y : low;
            }
        return;
    }
    reference_run(g);
}

static void residual_first(const krn_gemm_args *g)
{
    krn_gemm_args other = *g;
    krn_epilogue ep;
    if (g->ep) {
        ep = *g->ep;
        ep.residual_last = false;
        other.ep = &ep;
    }
    reference_run(&other);
}

static void order_by_rows(const krn_gemm_args *g)
{
    if (g->m == 1 || g->k < 3 || g->ep || g->accumulate) {
        reference_run(g);
        return;
    }
    for (size_t i = 0; i < g->m; i++) /* sums k backwards when there are more rows */
        for (size_t j = 0; j < g->n; j++) {
            float s = 0.0f;
            for (size_t k = g->k; k-- > 0;)
                s += g->a[i * g->a_rs + k * g->a_ks] * g->b[j * g->b_panel + k];
            g->c[i * g->ldc + j] = s;
        }
}

static void test_faults_are_noticed(void **state)
{
    static const struct {
        const char *what;
        krn_gemm_run_fn *run;
    } faults[] = {{"lost product", lost_product},
                  {"skipped tail", skipped_tail},
                  {"one past", one_past},
                  {"between rows", between_rows},
                  {"reads c", reads_c},
                  {"forgets c", forgets_c},
                  {"wrong slope", wrong_slope},
                  {"order by rows", order_by_rows},
                  {"residual first", residual_first}};
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        krn_gemm bad = krn_gemm_f32__ref;
        bad.run = faults[i].run;
        if (!check_gemm_f32_text(&bad, true))
            fail_msg("the checker did not notice: %s", faults[i].what);
    }
    assert_null(check_gemm_f32_text(&krn_gemm_f32__ref, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults_are_noticed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
