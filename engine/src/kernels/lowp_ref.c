#include "kernels/kernels.h"
#include <string.h>

/* Plain C for the low-precision slots. */

static float from_bf16(uint16_t v)
{
    const uint32_t bits = (uint32_t)v << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

void krn_to_bf16__ref(uint16_t *dst, const float *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t b;
        memcpy(&b, &src[i], sizeof b);
        const uint32_t exponent = b & 0x7f800000u, fraction = b & 0x007fffffu;
        if (exponent == 0)
            b &= 0x80000000u;
        else if (exponent == 0x7f800000u && fraction)
            b |= 0x00400000u; /* quiet, so that cutting the low bits cannot make it infinite */
        else
            b += 0x7fffu + (b >> 16 & 1);
        dst[i] = (uint16_t)(b >> 16);
    }
}

void krn_round_bf16__ref(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        krn_to_bf16__ref(&h, &x[i], 1);
        y[i] = from_bf16(h);
    }
}

/* A finished row of c16: its sums, the epilogue, then the rounding. */
static void finish_bf16(const krn_gemm_bf16_args *g, size_t row, size_t j, float s)
{
    if (g->ep) {
        krn_epilogue ep = *g->ep;
        ep.scale = ep.scale ? ep.scale + j : NULL;
        ep.bias = ep.bias ? ep.bias + j : NULL;
        ep.slope = ep.slope ? ep.slope + j : NULL;
        ep.residual = ep.residual ? ep.residual + row * ep.ldr + j : NULL;
        krn_epilogue_ref(&s, 1, 1, 1, &ep);
    }
    krn_to_bf16__ref(&g->c16[row * g->ldc + j], &s, 1);
}

static void run_bf16(const krn_gemm_bf16_args *g)
{
    krn_rows rows = krn_rows_from(g, 0);
    size_t stored = 0;
    for (size_t i = 0; i < g->m; i++) {
        const size_t row = krn_rows_next(&rows);
        if (row == KRN_NO_ROW)
            continue;
        stored++;
        for (size_t j = 0; j < g->n; j++) {
            const uint16_t *b = g->b + j * g->b_panel;
            float s = g->accumulate ? g->c[row * g->ldc + j] : 0.0f;
            for (size_t p = 0; p < g->k; p += KRN_BF16_K, b += KRN_BF16_K) {
                const uint16_t *a = g->a + i * g->a_rs + (g->a_at ? g->a_at[p / KRN_BF16_K] : p);
                for (size_t q = 0; q < KRN_BF16_K; q++)
                    s += from_bf16(a[q]) * from_bf16(b[q]);
            }
            if (g->c16)
                finish_bf16(g, row, j, s);
            else
                g->c[row * g->ldc + j] = s;
        }
    }
    if (g->ep && !g->c16)
        krn_epilogue_ref(g->c, g->ldc, stored, g->n, g->ep);
}

const krn_gemm_bf16 krn_gemm_bf16__ref = {
    .mr = 1, .nr = 1, .mc = 64, .kc = 1024, .pixels = 256, .run = run_bf16, .name = "bf16 ref"};

static void widen_i8(float *dst, const void *src, size_t n)
{
    const int8_t *from = src;
    for (size_t i = 0; i < n; i++)
        dst[i] = from[i];
}

static void widen_bf16(float *dst, const void *src, size_t n)
{
    const uint16_t *from = src;
    for (size_t i = 0; i < n; i++)
        dst[i] = from_bf16(from[i]);
}

static void run_narrow(const krn_gemm_narrow_args *g, const krn_gemm_narrow *v)
{
    enum { PART = 256 };
    float b[PART];
    for (size_t j = 0; j < g->n; j++)
        for (size_t p = 0; p < g->k; p += PART) {
            const size_t len = g->k - p < PART ? g->k - p : PART;
            v->widen(b, (const char *)g->b + (j * g->b_panel + p) * v->width, len);
            for (size_t i = 0; i < g->m; i++) {
                float *c = g->c + i * g->ldc + j, s = g->accumulate || p > 0 ? *c : 0.0f;
                for (size_t q = 0; q < len; q++)
                    s += g->a[i * g->a_rs + p + q] * b[q];
                *c = s;
            }
        }
    if (g->ep)
        krn_epilogue_ref(g->c, g->ldc, g->m, g->n, g->ep);
}

static void run_i8(const krn_gemm_narrow_args *g) { run_narrow(g, &krn_gemm_i8__ref); }
static void run_w16(const krn_gemm_narrow_args *g) { run_narrow(g, &krn_gemm_w16__ref); }

const krn_gemm_narrow krn_gemm_i8__ref = {.mr = 1,
                                          .nr = 1,
                                          .mc = 64,
                                          .kc = 1024,
                                          .width = 1,
                                          .few = SIZE_MAX,
                                          .run = run_i8,
                                          .widen = widen_i8,
                                          .name = "int8 weights ref"};
const krn_gemm_narrow krn_gemm_w16__ref = {.mr = 1,
                                           .nr = 1,
                                           .mc = 64,
                                           .kc = 1024,
                                           .width = 2,
                                           .few = SIZE_MAX,
                                           .run = run_w16,
                                           .widen = widen_bf16,
                                           .name = "f32 ref on bf16"};
