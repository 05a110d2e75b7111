#include "check.h"
#include "check_lowp.h"
#include "kernels/verify.h"
#include "prelu/log.h"

/* The checkers of the low-precision kernels must notice these faults. */

/* The last product of every row is left out where k is large enough to hide it in the bound. */
static void bf16_lost_product(const krn_gemm_bf16_args *g)
{
    static uint16_t a[512 * 1024];
    krn_gemm_bf16_args less = *g;
    const size_t steps = g->k / KRN_BF16_K, len = (g->m - 1) * g->a_rs + steps * KRN_BF16_K;
    if (g->k > 500 && !g->a_at && len <= sizeof a / sizeof *a) {
        memcpy(a, g->a, len * sizeof *a);
        for (size_t i = 0; i < g->m; i++)
            a[i * g->a_rs + g->k - 1] = 0;
        less.a = a;
    }
    krn_gemm_bf16__ref.run(&less);
}

static void bf16_past(const krn_gemm_bf16_args *g)
{
    krn_gemm_bf16__ref.run(g);
    g->c[(g->m - 1) * g->ldc + g->n] = 0.0f;
}

static void bf16_tail(const krn_gemm_bf16_args *g)
{
    krn_gemm_bf16_args less = *g;
    less.n -= less.n > 16 ? less.n % 16 : 0;
    krn_gemm_bf16__ref.run(&less);
}

static void bf16_fresh(const krn_gemm_bf16_args *g)
{
    krn_gemm_bf16_args fresh = *g;
    fresh.accumulate = false;
    krn_gemm_bf16__ref.run(&fresh);
}

static void i8_unsigned(const krn_gemm_narrow_args *g)
{
    const uint8_t *b = g->b;
    for (size_t i = 0; i < g->m; i++)
        for (size_t j = 0; j < g->n; j++) {
            float s = g->accumulate ? g->c[i * g->ldc + j] : 0.0f;
            for (size_t p = 0; p < g->k; p++)
                s += g->a[i * g->a_rs + p] * (float)b[j * g->b_panel + p];
            g->c[i * g->ldc + j] = s;
        }
    if (g->ep)
        krn_epilogue_ref(g->c, g->ldc, g->m, g->n, g->ep);
}

static void i8_no_scale(const krn_gemm_narrow_args *g)
{
    krn_gemm_narrow_args bare = *g;
    krn_epilogue ep;
    if (g->ep) {
        ep = *g->ep;
        ep.scale = NULL;
        bare.ep = &ep;
    }
    krn_gemm_i8__ref.run(&bare);
}

/* The weights of the next panel's row. */
static void w16_shifts(const krn_gemm_narrow_args *g)
{
    krn_gemm_narrow_args other = *g;
    if (g->k > 1) {
        other.b = (const uint16_t *)g->b + 1;
        other.k--;
    }
    krn_gemm_w16__ref.run(&other);
}

static void w16_fresh(const krn_gemm_narrow_args *g)
{
    krn_gemm_narrow_args fresh = *g;
    fresh.accumulate = false;
    krn_gemm_w16__ref.run(&fresh);
}

static void widen_skips_tail(float *dst, const void *src, size_t n)
{
    krn_gemm_w16__ref.widen(dst, src, n > 16 ? n / 16 * 16 : n);
}

static void round_cuts(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t b;
        memcpy(&b, &x[i], sizeof b);
        b &= 0xffff0000u;
        memcpy(&y[i], &b, sizeof b);
    }
}

static void cuts(uint16_t *dst, const float *src, size_t n)
{
    for (size_t i = 0; i < n; i++) { /* towards zero, not to nearest */
        uint32_t b;
        memcpy(&b, &src[i], sizeof b);
        dst[i] = (uint16_t)(b >> 16);
    }
}

static void nan_overflows(uint16_t *dst, const float *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t b;
        memcpy(&b, &src[i], sizeof b);
        dst[i] = (uint16_t)((b + 0x7fffu + (b >> 16 & 1)) >> 16);
    }
}

static void test_faults_are_noticed(void **state)
{
    krn_gemm_bf16 b = krn_gemm_bf16__ref;
    krn_gemm_narrow q = krn_gemm_i8__ref, w = krn_gemm_w16__ref;
    void (*const bf16_faults[])(const krn_gemm_bf16_args *) = {bf16_lost_product, bf16_past,
                                                               bf16_tail, bf16_fresh};
    void (*const i8_faults[])(const krn_gemm_narrow_args *) = {i8_unsigned, i8_no_scale};
    void (*const w16_faults[])(const krn_gemm_narrow_args *) = {w16_shifts, w16_fresh};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        b.run = bf16_faults[i];
        if (!check_gemm_bf16_text(&b))
            fail_msg("bf16 fault %zu was not noticed", i);
    }
    for (size_t i = 0; i < 2; i++) {
        q.run = i8_faults[i];
        if (!check_gemm_narrow_text(&q, NULL))
            fail_msg("int8 fault %zu was not noticed", i);
        w.run = w16_faults[i];
        if (!check_gemm_narrow_text(&w, NULL))
            fail_msg("bf16 weights' fault %zu was not noticed", i);
    }
    assert_non_null(check_to_bf16_text(cuts));
    assert_non_null(check_to_bf16_text(nan_overflows));
    assert_null(check_gemm_bf16_text(&krn_gemm_bf16__ref));
    assert_null(check_gemm_narrow_text(&krn_gemm_i8__ref, NULL));
    assert_null(check_gemm_narrow_text(&krn_gemm_w16__ref, &krn_gemm_f32__ref));
    w = krn_gemm_w16__ref;
    w.widen = widen_skips_tail;
    assert_non_null(check_gemm_narrow_text(&w, &krn_gemm_f32__ref));
    assert_non_null(check_round_bf16_text(round_cuts));
    assert_null(check_round_bf16_text(krn_round_bf16__ref));
    assert_null(check_to_bf16_text(krn_to_bf16__ref));
}

static int warnings;
static void count_warnings(void *ctx, prelu_log_level level, const char *text)
{
    (void)ctx;
    warnings += level == PRELU_LOG_WARN && strstr(text, "not used") != NULL;
}

static void f32_adds_one(const krn_gemm_args *g)
{
    krn_gemm_f32__ref.run(g);
    g->c[(g->m - 1) * g->ldc + g->n - 1] += 1.0f;
}

/* What the look at start-up has to find, and that a variant it does not trust gives way. */
static void test_start_up_check(void **state)
{
    krn_gemm f = krn_gemm_f32__ref;
    krn_gemm_bf16 b = krn_gemm_bf16__ref;
    krn_gemm_narrow q = krn_gemm_i8__ref, w = krn_gemm_w16__ref;
    krn_table plain, trusted;
    (void)state;
    prelu_log_set(count_warnings, NULL, PRELU_LOG_DEBUG);
    assert_true(krn_gemm_f32_fits(&f) && krn_gemm_bf16_fits(&b) && krn_gemm_narrow_fits(&q));
    assert_true(krn_gemm_narrow_fits(&w) && krn_round_bf16_fits(krn_round_bf16__ref));
    f.run = f32_adds_one;
    b.run = bf16_tail;
    q.run = i8_unsigned;
    assert_false(krn_gemm_f32_fits(&f) || krn_gemm_bf16_fits(&b) || krn_gemm_narrow_fits(&q));
    w.widen = widen_skips_tail;
    assert_false(krn_gemm_narrow_fits(&w) || krn_round_bf16_fits(round_cuts));
    assert_false(krn_to_bf16_fits(cuts));
    assert_true(krn_trusted(true, "good"));
    assert_int_equal(warnings, 0);
    assert_false(krn_trusted(false, "bad"));
    assert_int_equal(warnings, 1);
    krn_table_init(&plain, krn_cpu_detect());
    krn_table_init_trusted(&trusted, krn_cpu_detect());
    assert_int_equal(warnings, 1);
    assert_memory_equal(&plain, &trusted, sizeof plain);
    prelu_log_set(NULL, NULL, PRELU_LOG_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults_are_noticed),
                                       cmocka_unit_test(test_start_up_check)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
