#include "check.h"
#include "check_lowp.h"

/* The checkers of the low-precision kernels must notice these faults. */

static void bf16_lost_pair(const krn_gemm_bf16_args *g)
{
    krn_gemm_bf16_args less = *g;
    less.k -= less.k > 500 ? 1 : 0;
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

static void i8_unsigned(const krn_gemm_i8_args *g)
{
    for (size_t i = 0; i < g->m; i++)
        for (size_t j = 0; j < g->n; j++) {
            float s = g->accumulate ? g->c[i * g->ldc + j] : 0.0f;
            for (size_t p = 0; p < g->k; p++)
                s += g->a[i * g->a_rs + p] * (float)(uint8_t)g->b[j * g->b_panel + p];
            g->c[i * g->ldc + j] = g->last ? s * g->scale[j] : s;
        }
    if (g->last && g->ep)
        krn_epilogue_ref(g->c, g->ldc, g->m, g->n, g->ep);
}

static void i8_scales_twice(const krn_gemm_i8_args *g)
{
    krn_gemm_i8_args twice = *g;
    if (!twice.last) {
        twice.last = true;
        twice.ep = NULL;
    }
    krn_gemm_i8__ref.run(&twice);
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
    krn_gemm_i8 q = krn_gemm_i8__ref;
    void (*const bf16_faults[])(const krn_gemm_bf16_args *) = {bf16_lost_pair, bf16_past, bf16_tail,
                                                               bf16_fresh};
    void (*const i8_faults[])(const krn_gemm_i8_args *) = {i8_unsigned, i8_scales_twice};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        b.run = bf16_faults[i];
        if (!check_gemm_bf16_text(&b))
            fail_msg("bf16 fault %zu was not noticed", i);
    }
    for (size_t i = 0; i < 2; i++) {
        q.run = i8_faults[i];
        if (!check_gemm_i8_text(&q))
            fail_msg("int8 fault %zu was not noticed", i);
    }
    assert_non_null(check_to_bf16_text(cuts));
    assert_non_null(check_to_bf16_text(nan_overflows));
    assert_null(check_gemm_bf16_text(&krn_gemm_bf16__ref));
    assert_null(check_gemm_i8_text(&krn_gemm_i8__ref));
    assert_null(check_to_bf16_text(krn_to_bf16__ref));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults_are_noticed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
