#include "ops/conv_bf16.h"
#include <string.h>

static krn_gemm tile_of(const krn_gemm_bf16 *g)
{
    return (krn_gemm){.mr = g->mr, .nr = g->nr, .mc = g->mc, .kc = g->kc};
}

static size_t filled_up(size_t k) { return (k + KRN_BF16_K - 1) / KRN_BF16_K * KRN_BF16_K; }

op_conv_bf16 op_conv_bf16_cut(const op_patch *g, const krn_table *krn)
{
    const krn_gemm tile = tile_of(krn->gemm_bf16);
    op_conv_bf16 p = {.p = op_conv_cut(g, &tile)};
    p.kp = filled_up(p.p.k);
    p.lda = op_lda(p.p.part);
    p.ld16 = op_lda(filled_up(p.p.part));
    return p;
}

size_t op_conv_bf16_packed(const krn_table *krn, size_t o, size_t groups, size_t k)
{
    const size_t nr = krn->gemm_bf16->nr, panels = (o / groups + nr - 1) / nr;
    return groups * panels * nr * filled_up(k) * sizeof(uint16_t);
}

typedef struct pack_job {
    const krn_table *krn;
    uint16_t *panels;
    const op_file_f32 *w;
    size_t cols, c, taps, kp, panels_per_group;
} pack_job;

/* Filter o of the file is (c, taps); a panel wants pairs of (taps, c). */
static void pack_panel(void *ctx, size_t task, int worker)
{
    const pack_job *j = ctx;
    const size_t nr = j->krn->gemm_bf16->nr, k = j->c * j->taps;
    const size_t group = task / j->panels_per_group, first = task % j->panels_per_group * nr;
    uint16_t *dst = j->panels + task * j->kp * nr;
    (void)worker;
    memset(dst, 0, j->kp * nr * sizeof *dst);
    for (size_t col = 0; col < nr && first + col < j->cols; col++) {
        const op_file_f32 *w = j->w + (group * j->cols + first + col) * k;
        for (size_t c = 0; c < j->c; c++)
            for (size_t t = 0; t < j->taps; t++) {
                const size_t p = t * j->c + c;
                const float v = w[c * j->taps + t];
                j->krn->to_bf16(&dst[p / 2 * 2 * nr + col * 2 + p % 2], &v, 1);
            }
    }
}

void op_conv_bf16_pack(const krn_table *krn, uint16_t *panels, const op_file_f32 *w, size_t o,
                       size_t groups, size_t c, size_t taps, prelu_pool *pool)
{
    const size_t nr = krn->gemm_bf16->nr;
    pack_job j = {.krn = krn,
                  .panels = panels,
                  .w = w,
                  .cols = o / groups,
                  .c = c,
                  .taps = taps,
                  .kp = filled_up(c * taps),
                  .panels_per_group = (o / groups + nr - 1) / nr};
    prelu_pool_run(pool, groups * j.panels_per_group, pack_panel, &j);
}

static size_t most_rows(const op_conv_bf16 *p, const krn_gemm_bf16 *g)
{
    return op_min(g->mc + g->mr, p->p.g.oh * p->p.g.ow);
}

void op_conv_bf16_work(const op_conv_bf16 *p, const krn_table *krn, op_work *work)
{
    const krn_gemm tile = tile_of(krn->gemm_bf16);
    op_conv_work(&p->p, &tile, work, 0);
    work->scratch = most_rows(p, krn->gemm_bf16) * (p->lda * sizeof(float) + p->ld16 * 2) + 64;
}

void op_conv_bf16_task(const op_conv_bf16 *p, const krn_table *krn, const float *x,
                       const uint16_t *panels, float *y, const krn_epilogue *ep, size_t task,
                       void *scratch)
{
    const krn_gemm_bf16 *gemm = krn->gemm_bf16;
    const krn_gemm tile = tile_of(gemm);
    const op_patch *g = &p->p.g;
    const op_conv_block b = op_conv_block_of(&p->p, &tile, task);
    krn_epilogue mine;
    if (ep)
        mine = op_conv_epilogue(ep, &b, g->o);
    float *rows = scratch;
    uint16_t *rounded = (uint16_t *)(void *)(rows + most_rows(p, gemm) * p->lda);
    for (size_t k0 = 0; k0 < p->p.k; k0 += p->p.part) {
        const size_t k1 = op_min(k0 + p->p.part, p->p.k), len = k1 - k0, full = filled_up(len);
        op_patch_rows(rows, p->lda, g, x + b.image * g->h * g->w * g->c, b.group, b.pix.from,
                      b.pix.to - b.pix.from, k0, k1);
        for (size_t i = 0; i < b.pix.to - b.pix.from; i++) {
            krn->to_bf16(rounded + i * p->ld16, rows + i * p->lda, len);
            memset(rounded + i * p->ld16 + len, 0, (full - len) * sizeof *rounded);
        }
        gemm->run(&(krn_gemm_bf16_args){
            .m = b.pix.to - b.pix.from,
            .n = b.col.to - b.col.from,
            .k = full,
            .a = rounded,
            .a_rs = p->ld16,
            .b = panels + (b.group * p->p.panels + b.col.from / gemm->nr) * gemm->nr * p->kp +
                 k0 * gemm->nr,
            .b_panel = gemm->nr * p->kp,
            .c = y + b.at,
            .ldc = g->o,
            .accumulate = k0 > 0,
            .ep = ep && k1 == p->p.k ? &mine : NULL});
    }
}
