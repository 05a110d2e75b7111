#include "check.h"
#include "check_resample.h"

/* The resampling checkers must notice these faults. */

static void row_short(uint8_t *dst, const uint8_t *src, size_t len, const krn_resample_row *r,
                      int n)
{
    krn_resample_row less = *r; /* the last output keeps the one before it */
    krn_resample_row_u8__ref(dst, src, len, &less, n);
    if (n > 1)
        memcpy(dst + 3 * (n - 1), dst + 3 * (n - 2), 3);
}

static void row_past(uint8_t *dst, const uint8_t *src, size_t len, const krn_resample_row *r, int n)
{
    krn_resample_row_u8__ref(dst, src, len, r, n);
    dst[3 * n] = 0; /* a fourth byte after the last pixel */
}

static void row_low(uint8_t *dst, const uint8_t *src, size_t len, const krn_resample_row *r, int n)
{
    krn_resample_row_u8__ref(dst, src, len, r, n);
    dst[0] = (uint8_t)(dst[0] ^ 1); /* one grey level */
}

/* Weights beyond four taps are forgotten. */
static void row_few_taps(uint8_t *dst, const uint8_t *src, size_t len, const krn_resample_row *r,
                         int n)
{
    const size_t count = (size_t)n * (size_t)r->taps;
    int32_t *weight = calloc(count, sizeof *weight);
    krn_resample_row less = *r;
    for (size_t i = 0; i < count; i++)
        weight[i] = i % (size_t)r->taps < 4 ? r->weight[i] : 0;
    less.weight = weight;
    krn_resample_row_u8__ref(dst, src, len, &less, n);
    free(weight);
}

/* The first pixel of the second block is the last of the first. */
static void row_block(uint8_t *dst, const uint8_t *src, size_t len, const krn_resample_row *r,
                      int n)
{
    krn_resample_row_u8__ref(dst, src, len, r, n);
    if (n > KRN_ROW_PIXELS)
        memcpy(dst + (size_t)3 * KRN_ROW_PIXELS, dst + (size_t)3 * (KRN_ROW_PIXELS - 1), 3);
}

static void column_block(uint8_t *dst, const uint8_t *const *rows, const int32_t *w, int taps,
                         size_t len)
{
    krn_resample_column_u8__ref(dst, rows, w, taps, len);
    if (len > 64)
        dst[64] ^= 1;
}

static void column_tail(uint8_t *dst, const uint8_t *const *rows, const int32_t *w, int taps,
                        size_t len)
{
    krn_resample_column_u8__ref(dst, rows, w, taps, len);
    if (len % 32)
        dst[len - 1] = 0;
}

static void column_odd_tap(uint8_t *dst, const uint8_t *const *rows, const int32_t *w, int taps,
                           size_t len)
{
    krn_resample_column_u8__ref(dst, rows, w, taps > 1 ? taps - taps % 2 : 1, len);
}

static void test_faults_are_noticed(void **state)
{
    (void)state;
    assert_non_null(check_resample_row_u8_text(row_short));
    assert_non_null(check_resample_row_u8_text(row_past));
    assert_non_null(check_resample_row_u8_text(row_low));
    assert_non_null(check_resample_row_u8_text(row_few_taps));
    assert_non_null(check_resample_row_u8_text(row_block));
    assert_non_null(check_resample_column_u8_text(column_block));
    assert_non_null(check_resample_column_u8_text(column_tail));
    assert_non_null(check_resample_column_u8_text(column_odd_tap));
    assert_null(check_resample_row_u8_text(krn_resample_row_u8__ref));
    assert_null(check_resample_column_u8_text(krn_resample_column_u8__ref));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults_are_noticed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
