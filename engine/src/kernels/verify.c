#include "kernels/verify.h"
#include "prelu/log.h"
#include <math.h>
#include <string.h>

/* Sizes that no tile divides, and wider than two panels of any variant. */
enum { M = 19, N = 69, K = 96, MOST_NR = 64, PANELS = (N + MOST_NR - 1) / MOST_NR * MOST_NR };

/* Small numbers that bf16 and int8 hold and whose sums of K products are exact in f32. */
static float operand(size_t i) { return (float)((int)(i * 7919 % 23) - 11); }

typedef struct product {
    float a[M * K], c[M * N], want[M * N], bias[N], slope[N];
    krn_epilogue ep;
} product;

/* b[k][j] is operand(j * K + k + 5). */
static void fill(product *p)
{
    for (size_t i = 0; i < M * K; i++)
        p->a[i] = operand(i);
    for (size_t i = 0; i < M * N; i++)
        p->c[i] = NAN;
    for (size_t j = 0; j < N; j++) {
        p->bias[j] = operand(j);
        p->slope[j] = 0.25f;
    }
    p->ep = (krn_epilogue){.bias = p->bias, .slope = p->slope, .act = KRN_ACT_PRELU};
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            float s = 0.0f;
            for (size_t k = 0; k < K; k++)
                s += p->a[i * K + k] * operand(j * K + k + 5);
            p->want[i * N + j] = s;
        }
}

static bool same(product *p)
{
    krn_epilogue_ref(p->want, N, M, N, &p->ep);
    return memcmp(p->c, p->want, sizeof p->c) == 0;
}

bool krn_gemm_f32_fits(const krn_gemm *g)
{
    float b[PANELS * K] = {0};
    product p;
    fill(&p);
    if (g->nr > MOST_NR)
        return false;
    for (size_t j = 0; j < N; j++)
        for (size_t k = 0; k < K; k++)
            b[j / g->nr * g->nr * K + k * g->nr + j % g->nr] = operand(j * K + k + 5);
    g->run(&(krn_gemm_args){.m = M,
                            .n = N,
                            .k = K,
                            .a = p.a,
                            .b = b,
                            .a_rs = K,
                            .a_ks = 1,
                            .b_panel = g->nr * K,
                            .c = p.c,
                            .ldc = N,
                            .ep = &p.ep});
    return same(&p);
}

bool krn_gemm_bf16_fits(const krn_gemm_bf16 *g)
{
    uint16_t a[M * K], b[PANELS * K] = {0};
    product p;
    fill(&p);
    if (g->nr > MOST_NR)
        return false;
    krn_to_bf16__ref(a, p.a, M * K);
    for (size_t j = 0; j < N; j++)
        for (size_t k = 0; k < K; k++) {
            const float v = operand(j * K + k + 5);
            const size_t in = g->nr == 1 ? k : k / 2 * 2 * g->nr + j % g->nr * 2 + k % 2;
            krn_to_bf16__ref(&b[j / g->nr * g->nr * K + in], &v, 1);
        }
    g->run(&(krn_gemm_bf16_args){.m = M,
                                 .n = N,
                                 .k = K,
                                 .a = a,
                                 .b = b,
                                 .a_rs = K,
                                 .b_panel = g->nr * K,
                                 .c = p.c,
                                 .ldc = N,
                                 .ep = &p.ep});
    return same(&p);
}

/* The product, and what widening gives for a part of the panels. */
static bool narrow_same(const krn_gemm_narrow *g, product *p, const void *b)
{
    enum { PART = 3 * K + 5 };
    float wide[PART], want[PART];
    g->run(&(krn_gemm_narrow_args){.m = M,
                                   .n = N,
                                   .k = K,
                                   .a = p->a,
                                   .a_rs = K,
                                   .b = b,
                                   .b_panel = g->nr * K,
                                   .c = p->c,
                                   .ldc = N,
                                   .ep = &p->ep});
    for (size_t i = 0; i < PART; i++)
        wide[i] = NAN;
    g->widen(wide, b, PART);
    (g->width == 1 ? krn_gemm_i8__ref : krn_gemm_w16__ref).widen(want, b, PART);
    return same(p) && memcmp(wide, want, sizeof wide) == 0;
}

bool krn_gemm_narrow_fits(const krn_gemm_narrow *g)
{
    uint16_t b16[PANELS * K] = {0};
    int8_t b8[PANELS * K] = {0};
    float scale[N];
    product p;
    fill(&p);
    p.ep.scale = scale;
    if (g->nr > MOST_NR)
        return false;
    for (size_t j = 0; j < N; j++) {
        scale[j] = j % 2 ? 0.5f : 2.0f;
        for (size_t k = 0; k < K; k++) {
            const float v = operand(j * K + k + 5);
            const size_t at = j / g->nr * g->nr * K + k * g->nr + j % g->nr;
            b8[at] = (int8_t)v;
            krn_to_bf16__ref(&b16[at], &v, 1);
        }
    }
    return narrow_same(g, &p, g->width == 1 ? (const void *)b8 : b16);
}

bool krn_to_bf16_fits(krn_to_bf16_fn *fn)
{
    float src[M + N];
    uint16_t got[M + N], want[M + N];
    for (size_t i = 0; i < M + N; i++)
        src[i] = operand(i) / 3.0f;
    fn(got, src, M + N);
    krn_to_bf16__ref(want, src, M + N);
    return memcmp(got, want, sizeof got) == 0;
}

bool krn_round_bf16_fits(krn_round_bf16_fn *fn)
{
    float src[M + N], got[M + N], want[M + N];
    for (size_t i = 0; i < M + N; i++)
        src[i] = operand(i) / 3.0f;
    fn(got, src, M + N);
    krn_round_bf16__ref(want, src, M + N);
    return memcmp(got, want, sizeof got) == 0;
}

bool krn_trusted(bool fits, const char *name)
{
    if (!fits)
        prelu_log(PRELU_LOG_WARN, "%s: other results than plain C on a small product; not used",
                  name);
    return fits;
}
