/* The tile kernel's own source on tiles in software: right on any CPU with AVX512_BF16, and faults
 * are noticed. On a CPU with AMX test_kernels checks the real one as well. */
#include "check.h"
#include "amx_emulator.h"
#include "check_conv_bf16.h"
#include "check_lowp.h"
#include "check_train_bf16.h"
#include "kernels/verify.h"
#include "prelu/log.h"
#include "prelu/threads.h"
#include <errno.h>

extern const krn_gemm_bf16 krn_gemm_bf16_96x16__emulated;

static bool has_bf16(void)
{
    if (krn_cpu_detect() & KRN_BF16)
        return true;
    print_message("this CPU has no AVX512_BF16, which the kernel's epilogue needs\n");
    return false;
}

static void test_kernel(void **state)
{
    (void)state;
    if (!has_bf16())
        return;
    check_gemm_bf16(&krn_gemm_bf16_96x16__emulated, "emulated AMX");
    assert_true(krn_gemm_bf16_fits(&krn_gemm_bf16_96x16__emulated));
    assert_false(amx.configured); /* tiles are given back */
}

static void test_convolution(void **state)
{
    krn_table t;
    (void)state;
    if (!has_bf16())
        return;
    krn_table_init(&t, krn_cpu_detect() & ~(unsigned)KRN_AMX);
    t.gemm_bf16 = &krn_gemm_bf16_96x16__emulated;
    check_conv_bf16(&t, "emulated AMX");
}

/* Layouts of training go by the width of a panel: of tiles, of one column, and of this CPU's. */
static void test_training(void **state)
{
    krn_gemm_bf16 ref = krn_gemm_bf16__ref, own;
    krn_table t;
    (void)state;
    krn_table_init(&t, krn_cpu_detect() & ~(unsigned)KRN_AMX);
    own = *t.gemm_bf16;
    ref.tiles = own.tiles = true;
    t.gemm_bf16 = &own;
    check_train_bf16(&t, own.name);
    t.gemm_bf16 = &ref;
    check_train_bf16(&t, ref.name);
    if (!has_bf16())
        return;
    t.gemm_bf16 = &krn_gemm_bf16_96x16__emulated;
    check_train_bf16(&t, "emulated AMX");
}

static jmp_buf refused;
static const char *reason;
static void note_refusal(const char *why)
{
    reason = why;
    longjmp(refused, 1);
}

/* Every fault shows in the checker and in the start-up check, or is refused by the processor. */
static void test_faults(void **state)
{
    (void)state;
    if (!has_bf16())
        return;
    for (int f = AMX_LOST_PAIR; f < AMX_WRONG_ROWS; f++) {
        amx.fault = (amx_fault)f;
        if (!check_gemm_bf16_text(&krn_gemm_bf16_96x16__emulated))
            fail_msg("fault %d was not noticed", f);
        if (krn_gemm_bf16_fits(&krn_gemm_bf16_96x16__emulated))
            fail_msg("the start-up check does not notice fault %d", f);
    }
    amx.fault = AMX_WRONG_ROWS;
    reason = "nothing was refused";
    amx_on_refusal = note_refusal;
    if (!setjmp(refused))
        (void)krn_gemm_bf16_fits(&krn_gemm_bf16_96x16__emulated);
    amx_on_refusal = NULL;
    amx.fault = AMX_RIGHT;
    assert_non_null(strstr(reason, "do not fit"));
    amx_release();
}

/* What the emulator has to refuse, as the processor does. */
static void refuses(void (*act)(void), const char *want)
{
    reason = "nothing was refused";
    amx_on_refusal = note_refusal;
    if (!setjmp(refused))
        act();
    amx_on_refusal = NULL;
    if (!strstr(reason, want))
        fail_msg("%s; not: %s", reason, want);
}

static void configure_all(uint8_t rows, uint16_t colsb)
{
    krn_tile_config c = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        c.rows[i] = rows;
        c.colsb[i] = colsb;
    }
    krn_tiles_configure(&c);
}

static void unconfigured(void) { _tile_zero(0); }
static void too_tall(void) { configure_all(17, 64); }
static void too_wide(void) { configure_all(16, 68); }
static void no_fit(void)
{
    configure_all(8, 64);
    _tile_dpbf16ps(0, 1, 2);
}
static void twice(void)
{
    configure_all(16, 64);
    _tile_dpbf16ps(0, 1, 1);
}

static void test_refusals(void **state)
{
    (void)state;
    amx_release();
    refuses(unconfigured, "no configuration");
    refuses(too_tall, "size");
    refuses(too_wide, "size");
    refuses(no_fit, "do not fit");
    refuses(twice, "twice");
    amx_release();
}

/* A step of sums by hand: even and odd apart, and denormals gone. */
static void test_arithmetic(void **state)
{
    uint16_t a[32] = {0}, b[16 * 32] = {0};
    float c[16 * 16];
    krn_tile_config cfg = {.palette = 1, .colsb = {64, 64, 64}, .rows = {1, 1, 16}};
    (void)state;
    krn_tiles_configure(&cfg);
    a[0] = 0x3f80;        /* 1 */
    a[1] = 0x4000;        /* 2 */
    a[2] = 0x0001;        /* denormal */
    b[0] = 0x4040;        /* k 0, column 0: 3 */
    b[1] = 0x40a0;        /* k 1: 5 */
    b[32] = 0x7f00;       /* k 2: 2^127 */
    b[2] = b[3] = 0x3f80; /* column 1: 1, 1 */
    _tile_loadd(1, a, 64);
    _tile_loadd(2, b, 64);
    _tile_zero(0);
    _tile_dpbf16ps(0, 1, 2);
    memset(c, 0xff, sizeof c);
    _tile_stored(0, c, 64);
    assert_true(c[0] == 13.0f && c[1] == 3.0f && c[2] == 0.0f);
    assert_true(isnan(c[16])); /* one row only */
    amx_release();
}

/* A pool's threads configure their own tiles. */
static void thread_task(void *ctx, size_t task, int worker)
{
    bool *fits = ctx;
    (void)worker;
    fits[task] = krn_gemm_bf16_fits(&krn_gemm_bf16_96x16__emulated) && !amx.configured;
}

static void test_threads(void **state)
{
    bool fits[16] = {false};
    prelu_pool *pool = NULL;
    prelu_err err = {0};
    (void)state;
    if (!has_bf16())
        return;
    check_ok(prelu_pool_create(&pool, 3, &err), &err);
    prelu_pool_run(pool, 16, thread_task, fits);
    prelu_pool_destroy(&pool);
    for (int i = 0; i < 16; i++)
        assert_true(fits[i]);
}

static bool refuse_amx(void)
{
    errno = ENOSPC;
    return false;
}
static bool grant_amx(void) { return true; }

static int warnings;
static void count_warnings(void *ctx, prelu_log_level level, const char *text)
{
    (void)ctx;
    warnings += level == PRELU_LOG_WARN && text[0];
}

static void test_permission(void **state)
{
    (void)state;
    prelu_log_set(count_warnings, NULL, PRELU_LOG_DEBUG);
    warnings = 0;
    assert_int_equal(krn_cpu_permit(grant_amx), KRN_AMX);
    assert_int_equal(warnings, 0);
    assert_int_equal(krn_cpu_permit(refuse_amx), 0);
    assert_int_equal(warnings, 1);
    prelu_log_set(NULL, NULL, PRELU_LOG_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_kernel),      cmocka_unit_test(test_faults),
        cmocka_unit_test(test_convolution), cmocka_unit_test(test_training),
        cmocka_unit_test(test_threads),     cmocka_unit_test(test_permission),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
