#include "ops/conv_depthwise.h"
#include "ops/product.h"

enum { TASK_MACS = 200000 }; /* some tens of microseconds */

void op_depthwise_pack(float *dst, const op_file_f32 *w, size_t o, size_t taps)
{
    for (size_t t = 0; t < taps; t++)
        for (size_t i = 0; i < o; i++)
            dst[t * o + i] = w[i * taps + t];
}

/* Blocks of rows that an image is cut into: by its own size only. */
static size_t blocks_of(const op_patch *g)
{
    const double macs = (double)(g->ow * g->o) * (double)(g->kh * g->kw) * (double)g->oh;
    const double blocks = macs / TASK_MACS + 1.0;
    return blocks < (double)g->oh ? (size_t)blocks : g->oh;
}

void op_depthwise_work(const op_patch *g, op_work *work)
{
    const size_t blocks = blocks_of(g);
    work->tasks[0] = g->n * blocks;
    work->flops[0] =
        8.0 * (double)(g->oh * g->ow * g->o) * (double)(g->kh * g->kw) / (double)(blocks + 1) +
        1.0; /* its loads are what takes time */
}

void op_depthwise_task(const op_patch *g, const krn_table *krn, const float *x,
                       const float *filters, float *y, const krn_epilogue *ep, size_t task)
{
    const size_t blocks = blocks_of(g), image = task / blocks;
    const op_range rows = op_cut(g->oh, 1, blocks, task % blocks);
    const float *picture = x + image * g->h * g->w * g->c;
    for (size_t oh = rows.from; oh < rows.to; oh++) {
        const int64_t top = (int64_t)oh * g->sh - g->pt;
        const krn_taps in = krn_taps_inside(top, (size_t)g->dh, g->h, g->kh);
        const size_t at = (image * g->oh + oh) * g->ow * g->o;
        krn_depthwise_args a = {.c = g->c,
                                .w = g->w,
                                .ow = g->ow,
                                .kh = in.to - in.from,
                                .kw = g->kw,
                                .x = picture,
                                .row = (size_t)g->dh * g->w * g->c,
                                .f = filters + in.from * g->kw * g->c,
                                .first = -g->pl,
                                .stride = (size_t)g->sw,
                                .dilation = (size_t)g->dw,
                                .y = y + at};
        krn_epilogue mine;
        if (a.kh)
            a.x += (size_t)(top + (int64_t)in.from * g->dh) * g->w * g->c;
        if (ep) {
            mine = *ep;
            mine.residual = ep->residual ? ep->residual + at : NULL;
            a.ep = &mine;
        }
        krn->depthwise_f32(&a);
    }
}
