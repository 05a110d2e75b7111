#include "check.h"
#include "check_elementwise.h"

/* The checkers of prelu and softmax kernels must notice these faults. */

static void max_form(float *y, const float *x, const float *a, size_t rows, size_t c)
{
    for (size_t i = 0; i < rows * c; i++) /* right for 0 <= a <= 1 only */
        y[i] = fmaxf(x[i], a[i % c] * x[i]);
}

static void prelu_tail(float *y, const float *x, const float *a, size_t rows, size_t c)
{
    krn_prelu_f32__ref(y, x, a, rows, c);
    if (c % 8)
        y[rows * c - 1] = 0;
}

static void prelu_past(float *y, const float *x, const float *a, size_t rows, size_t c)
{
    krn_prelu_f32__ref(y, x, a, rows, c);
    y[rows * c] = 0;
}

static void prelu_nan(float *y, const float *x, const float *a, size_t rows, size_t c)
{
    for (size_t i = 0; i < rows * c; i++)
        y[i] = x[i] <= 0 ? a[i % c] * x[i] : x[i] > 0 ? x[i] : 0;
}

static void prelu_clobbers(float *y, const float *x, const float *a, size_t rows, size_t c)
{
    for (size_t i = 0; i < rows * c; i++) { /* wrong in place: reads x after writing y */
        y[i] = 0;
        y[i] = x[i] > 0 ? x[i] : a[i % c] * x[i];
    }
}

static void prelu_first_slopes(float *y, const float *x, const float *a, size_t rows, size_t c)
{
    for (size_t i = 0; i < rows * c; i++)
        y[i] = x[i] > 0 ? x[i] : a[i % (c > 16 ? 16 : c)] * x[i];
}

static void no_max(float *y, const float *x, size_t rows, size_t c)
{
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t j = 0; j < c; j++)
            sum += (double)expf(x[r * c + j]);
        for (size_t j = 0; j < c; j++)
            y[r * c + j] = (float)((double)expf(x[r * c + j]) / sum);
    }
}

static void softmax_unscaled(float *y, const float *x, size_t rows, size_t c)
{
    krn_softmax_f32__ref(y, x, rows, c);
    for (size_t i = 0; i < rows * c; i++)
        y[i] *= 1.00001f;
}

static void softmax_past(float *y, const float *x, size_t rows, size_t c)
{
    krn_softmax_f32__ref(y, x, rows, c);
    y[rows * c] = 1;
}

static void softmax_one_row(float *y, const float *x, size_t rows, size_t c)
{
    krn_softmax_f32__ref(y, x, 1, rows * c);
}

static void softmax_nan_spreads(float *y, const float *x, size_t rows, size_t c)
{
    bool nan = false;
    for (size_t i = 0; i < rows * c; i++)
        nan = nan || x[i] != x[i];
    krn_softmax_f32__ref(y, x, rows, c);
    for (size_t i = 0; i < rows * c && nan; i++)
        y[i] = NAN;
}

static void max_ignores_nan(float *y, const float *const *row, size_t rows, size_t c)
{
    for (size_t j = 0; j < c; j++) {
        float best = row[0][j];
        for (size_t r = 1; r < rows; r++)
            best = fmaxf(best, row[r][j]);
        y[j] = best;
    }
}

static void max_lost_row(float *y, const float *const *row, size_t rows, size_t c)
{
    krn_max_f32__ref(y, row, rows > 4 ? rows - 1 : rows, c);
}

static void max_past(float *y, const float *const *row, size_t rows, size_t c)
{
    krn_max_f32__ref(y, row, rows, c);
    y[c] = 0;
}

static void max_row_by_row(float *y, const float *const *row, size_t rows, size_t c)
{
    memcpy(y, row[0], c * sizeof *y); /* wrong where y is a later row */
    for (size_t r = 1; r < rows; r++)
        for (size_t j = 0; j < c; j++)
            y[j] = row[r][j] > y[j] || row[r][j] != row[r][j] ? row[r][j] : y[j];
}

static void argmax_last(float *best, int32_t *which, const float *const *row, size_t rows,
                        int32_t first, size_t c)
{
    krn_argmax_f32__ref(best, which, row, rows, first, c);
    for (size_t j = 0; j < c; j++)
        for (size_t r = 0; r < rows; r++)
            if (row[r][j] == best[j])
                which[j] = first + (int32_t)r;
}

static void argmax_forgets(float *best, int32_t *which, const float *const *row, size_t rows,
                           int32_t first, size_t c)
{
    krn_argmax_f32__ref(best, which, row, rows, 0, c);
    for (size_t j = 0; j < c; j++)
        which[j] += first;
}

static void argmax_last_nan(float *best, int32_t *which, const float *const *row, size_t rows,
                            int32_t first, size_t c)
{
    krn_argmax_f32__ref(best, which, row, rows, first, c);
    for (size_t j = 0; j < c; j++)
        for (size_t r = 0; r < rows; r++)
            if (row[r][j] != row[r][j])
                which[j] = first + (int32_t)r;
}

static void test_max_faults(void **state)
{
    krn_max_f32_fn *const faults[] = {max_ignores_nan, max_lost_row, max_past, max_row_by_row};
    krn_argmax_f32_fn *const arg_faults[] = {argmax_last, argmax_forgets, argmax_last_nan};
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (!check_max_f32_text(faults[i]))
            fail_msg("max fault %zu was not noticed", i);
    for (size_t i = 0; i < sizeof arg_faults / sizeof *arg_faults; i++)
        if (!check_argmax_f32_text(arg_faults[i]))
            fail_msg("argmax fault %zu was not noticed", i);
    assert_null(check_max_f32_text(krn_max_f32__ref));
    assert_null(check_argmax_f32_text(krn_argmax_f32__ref));
}

static void test_prelu_faults(void **state)
{
    krn_prelu_f32_fn *const faults[] = {max_form,  prelu_tail,     prelu_past,
                                        prelu_nan, prelu_clobbers, prelu_first_slopes};
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (!check_prelu_f32_text(faults[i]))
            fail_msg("prelu fault %zu was not noticed", i);
    assert_null(check_prelu_f32_text(krn_prelu_f32__ref));
}

static void test_softmax_faults(void **state)
{
    krn_softmax_f32_fn *const faults[] = {no_max, softmax_unscaled, softmax_past, softmax_one_row,
                                          softmax_nan_spreads};
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (!check_softmax_f32_text(faults[i]))
            fail_msg("softmax fault %zu was not noticed", i);
    assert_null(check_softmax_f32_text(krn_softmax_f32__ref));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_prelu_faults),
                                       cmocka_unit_test(test_softmax_faults),
                                       cmocka_unit_test(test_max_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
