#include "check.h"
#include "check_passes.h"

/* The checker is checked: variants with one planted fault each must be noticed. */

#define REF krn_passes_f32__ref

static void add_skips_tail(double *sum, const float *x, size_t rows, size_t c)
{
    for (size_t r = 0; r < rows; r++)
        REF.add(sum, x + r * c, 1, c > 8 ? c / 8 * 8 : c);
}

static void add_starts_again(double *sum, const float *x, size_t rows, size_t c)
{
    memset(sum, 0, c * sizeof *sum);
    REF.add(sum, x, rows, c);
}

static void moments_without_origin(double *sum, double *square, const float *x, const float *origin,
                                   size_t rows, size_t c)
{
    double *ignored = calloc(c, sizeof *ignored);
    REF.moments(sum, ignored, x, origin, rows, c);
    free(ignored);
    for (size_t i = 0; i < rows * c; i++)
        square[i % c] += (double)x[i] * (double)x[i];
}

static void norm_drops_slope(float *y, const float *x, const krn_pass_norm *n, size_t rows,
                             size_t c)
{
    krn_pass_norm plain = *n;
    plain.slope = NULL;
    REF.norm(y, x, &plain, rows, c);
}

static void norm_one_past(float *y, const float *x, const krn_pass_norm *n, size_t rows, size_t c)
{
    REF.norm(y, x, n, rows, c);
    y[rows * c] = 0;
}

/* max(z, a*z): wrong for a > 1 and a < 0. */
static void norm_max(float *y, const float *x, const krn_pass_norm *n, size_t rows, size_t c)
{
    krn_pass_norm plain = *n;
    plain.slope = NULL;
    REF.norm(y, x, &plain, rows, c);
    for (size_t i = 0; i < rows * c && n->slope; i++)
        y[i] = fmaxf(y[i], y[i] * n->slope[i % c]);
}

static void sums_lose_last_row(double *sum, double *product, double *dslope, const float *dy,
                               const float *x, const krn_pass_norm *n, size_t rows, size_t c)
{
    REF.norm_sums(sum, product, dslope, dy, x, n, rows > 1 ? rows - 1 : rows, c);
}

static void sums_of_dy(double *sum, double *product, double *dslope, const float *dy,
                       const float *x, const krn_pass_norm *n, size_t rows, size_t c)
{
    krn_pass_norm plain = *n;
    (void)dslope;
    plain.slope = NULL;
    REF.norm_sums(sum, product, dslope, dy, x, &plain, rows, c);
}

static void grad_forgets_mean(float *dx, const float *dy, const float *x, const krn_pass_norm *n,
                              const float *less, const float *each, size_t rows, size_t c)
{
    float *zero = calloc(c, sizeof *zero);
    (void)less;
    REF.norm_grad(dx, dy, x, n, zero, each, rows, c);
    free(zero);
}

static void prelu_everywhere(float *dx, double *dslope, const float *dy, const float *x,
                             const float *slope, size_t rows, size_t c)
{
    for (size_t i = 0; i < rows * c; i++) {
        dslope[i % c] += (double)(dy[i] * x[i]);
        dx[i] = x[i] > 0 ? dy[i] : slope[i % c] * dy[i];
    }
}

/* Other bits: single precision sums. */
static void prelu_in_float(float *dx, double *dslope, const float *dy, const float *x,
                           const float *slope, size_t rows, size_t c)
{
    for (size_t i = 0; i < rows * c; i++) {
        const float part = x[i] > 0 ? 0 : dy[i] * x[i];
        dslope[i % c] = (double)((float)dslope[i % c] + part);
        dx[i] = x[i] > 0 ? dy[i] : slope[i % c] * dy[i];
    }
}

static void test_faults_are_noticed(void **state)
{
    krn_passes bad[11];
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        bad[i] = REF;
    bad[n++].add = add_skips_tail;
    bad[n++].add = add_starts_again;
    bad[n++].moments = moments_without_origin;
    bad[n++].norm = norm_drops_slope;
    bad[n++].norm = norm_one_past;
    bad[n++].norm = norm_max;
    bad[n++].norm_sums = sums_lose_last_row;
    bad[n++].norm_sums = sums_of_dy;
    bad[n++].norm_grad = grad_forgets_mean;
    bad[n++].prelu_grad = prelu_everywhere;
    bad[n++].prelu_grad = prelu_in_float;
    assert_int_equal(n, sizeof bad / sizeof *bad);
    for (size_t i = 0; i < n; i++)
        if (!check_passes_f32_text(&bad[i]))
            fail_msg("the checker did not notice fault %zu", i);
    assert_null(check_passes_f32_text(&REF));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults_are_noticed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
