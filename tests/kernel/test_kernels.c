#include "check.h"
#include "check_depthwise.h"
#include "check_elementwise.h"
#include "check_gemm.h"
#include "check_lowp.h"
#include "check_resample.h"
#include "check_passes.h"
#include "check_winograd.h"
#include "check_winograd_grad.h"

/* Every kernel that this CPU has, whatever PRELU_CPU says, against its contract. The list is
 * kernels.inc itself: a variant without a checker does not compile. */

static void check_gemm_f32(const krn_gemm *v, const char *name)
{
    const char *wrong = check_gemm_f32_text(v, v != &krn_gemm_f32__openblas);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}

static void check_winograd_f32(const krn_winograd *v, const char *name)
{
    const char *wrong = check_winograd_f32_text(v);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}

static void check_winograd_2x2_f32(const krn_winograd *v, const char *name)
{
    check_winograd_f32(v, name);
}

static void check_winograd_grad_f32(const krn_winograd_grad *v, const char *name)
{
    const char *wrong = check_winograd_grad_f32_text(v);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}

static void check_winograd_2x2_grad_f32(const krn_winograd_grad *v, const char *name)
{
    check_winograd_grad_f32(v, name);
}

static void check_passes_f32(const krn_passes *v, const char *name)
{
    const char *wrong = check_passes_f32_text(v);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}

static void test_all(void **state)
{
    const unsigned cpu = krn_cpu_detect();
    (void)state;
#define KERNEL(slot, need, fn)                                                                     \
    if ((cpu & (need)) == (need)) {                                                                \
        check_##slot(&fn, #fn);                                                                    \
        print_message("ok %s\n", #fn);                                                             \
    } else {                                                                                       \
        print_message("this CPU has no %s\n", #fn);                                                \
    }
#include "kernels/kernels.inc"
#undef KERNEL
}

/* The last allowed variant is the one in the table; caps name what they include. */
static void test_table_and_caps(void **state)
{
    krn_table t;
    unsigned mask;
    prelu_err err = {0};
    (void)state;
    krn_table_init(&t, 0);
    assert_ptr_equal(t.gemm_f32, &krn_gemm_f32__ref);
    krn_table_init(&t, KRN_BLAS);
    assert_ptr_equal(t.gemm_f32, &krn_gemm_f32__openblas);
    check_ok(krn_cpu_cap("ref", &mask, &err), &err);
    assert_int_equal(mask, KRN_REF);
    check_ok(krn_cpu_cap("avx2", &mask, &err), &err);
    assert_int_equal(mask, KRN_BLAS | KRN_AVX2);
    check_ok(krn_cpu_cap(NULL, &mask, &err), &err);
    assert_int_equal(mask, ~0u);
    check_fails(krn_cpu_cap("sse9", &mask, &err), PRELU_E_ARG, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all),
                                       cmocka_unit_test(test_table_and_caps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
