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
