#include "kernels/kernels.h"
#include <string.h>

void krn_depthwise_f32__ref(const krn_depthwise_args *g)
{
    for (size_t p = 0; p < g->ow; p++) {
        const krn_taps in = krn_depthwise_taps(g, p);
        float *restrict y = g->y + p * g->c;
        memset(y, 0, g->c * sizeof *y);
        for (size_t i = 0; i < g->kh; i++)
            for (size_t j = in.from; j < in.to; j++) {
                const int64_t col = g->first + (int64_t)(p * g->stride + j * g->dilation);
                const float *restrict x = g->x + i * g->row + (size_t)col * g->c;
                const float *restrict f = g->f + (i * g->kw + j) * g->c;
                for (size_t k = 0; k < g->c; k++)
                    y[k] += x[k] * f[k];
            }
        if (!g->ep)
            continue;
        krn_epilogue ep = *g->ep;
        ep.residual = ep.residual ? ep.residual + p * g->c : NULL;
        ep.ldr = g->c;
        krn_epilogue_ref(y, g->c, 1, g->c, &ep);
    }
}
