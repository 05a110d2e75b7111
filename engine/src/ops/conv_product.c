#include "ops/conv.h"

op_conv_plan op_conv_cut(const op_patch *g, const krn_gemm *krn)
{
    op_conv_plan p = {.g = *g, .k = op_patch_len(g)};
    const size_t cols = g->o / g->groups, pixels = g->oh * g->ow;
    /* enough tasks for a few cores when one picture is all there is, but wide enough (128 columns)
     * that laying out the patches again for each stays below a tenth of the arithmetic */
    const size_t want = 8, widest = cols / 128 ? cols / 128 : 1;
    p.panels = op_panels(krn, cols);
    p.panel_len = p.k * krn->nr;
    p.pixel_blocks = (pixels + krn->mc - 1) / krn->mc;
    p.col_blocks =
        krn->nr > 1 && p.pixel_blocks && g->n * p.pixel_blocks < want
            ? op_min((want + g->n * p.pixel_blocks - 1) / (g->n * p.pixel_blocks), widest)
            : 1;
    if (p.col_blocks == 0)
        p.col_blocks = 1;
    p.part = op_min(krn->kc, p.k);
    p.lda = op_lda(p.part);
    return p;
}

size_t op_conv_packed(const op_conv_plan *p) { return p->g.groups * p->panels * p->panel_len; }

void op_conv_work(const op_conv_plan *p, const krn_gemm *krn, op_work *work, int phase)
{
    const op_patch *g = &p->g;
    const double macs = (double)(g->oh * g->ow) * (double)g->o / (double)g->groups * (double)p->k;
    const size_t rows = op_min(krn->mc + krn->mr, g->oh * g->ow);
    work->tasks[phase] = g->n * g->groups * p->pixel_blocks * p->col_blocks;
    work->flops[phase] = 2.0 * macs / (double)(p->pixel_blocks * p->col_blocks + 1) + 1.0;
    if (work->scratch < rows * p->lda * sizeof(float))
        work->scratch = rows * p->lda * sizeof(float);
}

op_conv_block op_conv_block_of(const op_conv_plan *p, const krn_gemm *krn, size_t task)
{
    const op_patch *g = &p->g;
    const size_t cols = g->o / g->groups, pixels = g->oh * g->ow;
    op_conv_block b = {.group = task / p->col_blocks / p->pixel_blocks % g->groups,
                       .image = task / p->col_blocks / p->pixel_blocks / g->groups};
    b.col = op_cut(cols, krn->nr, p->col_blocks, task % p->col_blocks);
    b.pix = op_cut(pixels, krn->mr, p->pixel_blocks, task / p->col_blocks % p->pixel_blocks);
    b.first = b.group * cols + b.col.from;
    b.at = (b.image * pixels + b.pix.from) * g->o + b.first;
    return b;
}

krn_epilogue op_conv_epilogue(const krn_epilogue *ep, const op_conv_block *b, size_t ldr)
{
    krn_epilogue e = *ep;
    e.bias = ep->bias ? ep->bias + b->first : NULL;
    e.slope = ep->slope ? ep->slope + b->first : NULL;
    e.residual = ep->residual ? ep->residual + b->at : NULL;
    e.ldr = ldr;
    return e;
}

/* 1x1: a pixel's channels are its patch. Not where the rows of a tile would fall into one cache set
 * of the first-level cache (4 KB apart). */
static bool in_place(const op_patch *g)
{
    return g->kh == 1 && g->kw == 1 && g->sh == 1 && g->sw == 1 && g->uh == 1 && g->uw == 1 &&
           g->pt == 0 && g->pl == 0 && g->oh == g->h && g->ow == g->w && g->c % 1024 != 0;
}

void op_conv_task(const op_conv_plan *p, const krn_gemm *krn, const float *x, const float *panels,
                  float *y, const krn_epilogue *ep, size_t task, float *scratch)
{
    const op_patch *g = &p->g;
    const op_conv_block b = op_conv_block_of(p, krn, task);
    const float *picture = x + b.image * g->h * g->w * g->c;
    const bool direct = !p->round && in_place(g);
    const size_t rows = b.pix.to - b.pix.from;
    krn_epilogue mine;
    if (ep)
        mine = op_conv_epilogue(ep, &b, g->o);
    for (size_t k0 = 0; k0 < p->k; k0 += p->part) {
        const size_t k1 = op_min(k0 + p->part, p->k);
        if (!direct)
            op_patch_rows(scratch, p->lda, g, picture, b.group, b.pix.from, rows, k0, k1);
        for (size_t i = 0; i < rows && p->round; i++)
            p->round(scratch + i * p->lda, scratch + i * p->lda, k1 - k0);
        krn->run(&(krn_gemm_args){
            .m = rows,
            .n = b.col.to - b.col.from,
            .k = k1 - k0,
            .a = direct ? picture + b.pix.from * g->c + b.group * p->k + k0 : scratch,
            .a_rs = direct ? g->c : p->lda,
            .a_ks = 1,
            .b =
                panels + (b.group * p->panels + b.col.from / krn->nr) * p->panel_len + k0 * krn->nr,
            .b_panel = p->panel_len,
            .c = y + b.at,
            .ldc = g->o,
            .accumulate = k0 > 0,
            .ep = ep && k1 == p->k ? &mine : NULL});
    }
}
