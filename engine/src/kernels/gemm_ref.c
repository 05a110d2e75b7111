#include "kernels/kernels.h"

static float finish(float v, const krn_epilogue *ep, size_t i, size_t j)
{
    if (ep->scale)
        v *= ep->scale[j];
    if (ep->bias)
        v += ep->bias[j];
    if (ep->residual && !ep->residual_last)
        v += ep->residual[i * ep->ldr + j];
    switch (ep->act) {
    case KRN_ACT_NONE:
        break;
    case KRN_ACT_RELU:
        v = v > 0.0f ? v : 0.0f;
        break;
    case KRN_ACT_PRELU:
        v = v > 0.0f ? v : v * ep->slope[j];
        break;
    }
    if (ep->residual && ep->residual_last)
        v += ep->residual[i * ep->ldr + j];
    return v;
}

void krn_epilogue_ref(float *c, size_t ldc, size_t m, size_t n, const krn_epilogue *ep)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            c[i * ldc + j] = finish(c[i * ldc + j], ep, i, j);
}

static void run(const krn_gemm_args *g)
{
    for (size_t i = 0; i < g->m; i++)
        for (size_t j = 0; j < g->n; j++) {
            const float *a = g->a + i * g->a_rs, *b = g->b + j * g->b_panel;
            float s = g->accumulate ? g->c[i * g->ldc + j] : 0.0f;
            for (size_t p = 0; p < g->k; p++)
                s += a[p * g->a_ks] * b[p];
            g->c[i * g->ldc + j] = g->ep ? finish(s, g->ep, i, j) : s;
        }
}

const krn_gemm krn_gemm_f32__ref = {.mr = 1,
                                    .nr = 1,
                                    .mc = 64,
                                    .kc = 1024,
                                    .run = run,
                                    .name = "f32 ref",
                                    .rounded = "f32 ref on bf16"};
