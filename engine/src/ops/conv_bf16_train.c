#include "ops/conv_bf16_train.h"
#include "ops/gemm_bf16.h"
#include "ops/util.h"
#include <string.h>

enum { STEP = KRN_BF16_K };

/* ---- filters: depth (block of 32 channels, tap, channel of the block) ---- */

void op_conv_bf16_pack_filters(uint16_t *panel, const op_patch *g, const krn_table *krn,
                               const float *w, size_t first)
{
    const size_t nr = krn->gemm_bf16->nr, taps = g->kh * g->kw, cols = op_min(nr, g->o - first);
    uint16_t low[STEP];
    for (size_t c = 0; c < g->c; c += STEP)
        for (size_t t = 0; t < taps; t++, panel += STEP * nr) {
            const size_t n = op_min(STEP, g->c - c);
            if (cols < nr || n < STEP)
                memset(panel, 0, STEP * nr * sizeof *panel);
            for (size_t j = 0; j < cols; j++) {
                krn->to_bf16(low, w + ((first + j) * taps + t) * g->c + c, n);
                for (size_t i = 0; i < n; i++)
                    panel[i / 2 * 2 * nr + 2 * j + i % 2] = low[i];
            }
        }
}

void op_conv_bf16_pack_turned(uint16_t *panel, const op_patch *g, const krn_table *krn,
                              const float *w, size_t first)
{
    const size_t nr = krn->gemm_bf16->nr, taps = g->kh * g->kw, cols = op_min(nr, g->o - first);
    uint16_t low[STEP];
    for (size_t o = 0; o < g->c; o += STEP)
        for (size_t t = 0; t < taps; t++, panel += STEP * nr) {
            const size_t n = op_min(STEP, g->c - o);
            if (cols < nr || n < STEP)
                memset(panel, 0, STEP * nr * sizeof *panel);
            for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < cols; j += STEP) {
                    const size_t some = op_min(STEP, cols - j);
                    krn->to_bf16(low, w + ((o + i) * taps + taps - 1 - t) * g->o + first + j, some);
                    for (size_t k = 0; k < some; k++)
                        panel[i / 2 * 2 * nr + 2 * (j + k) + i % 2] = low[k];
                }
        }
}

/* ---- the filters' gradient ---- */

enum { COLS = 64, ROWS = 16, WANT_TASKS = 16 };

static size_t at_least_0(int64_t v) { return v > 0 ? (size_t)v : 0; }

op_conv_bf16_grad op_conv_bf16_grad_cut(const op_patch *g, const krn_table *krn)
{
    const size_t nr = krn->gemm_bf16->nr, taps = g->kh * g->kw;
    op_conv_bf16_grad p = {.g = *g, .krn = krn};
    const int64_t reach_h = ((int64_t)g->kh - 1) * g->dh, reach_w = ((int64_t)g->kw - 1) * g->dw;
    const size_t left = at_least_0(g->pl);
    const size_t right = at_least_0((int64_t)g->ow + reach_w - g->pl - (int64_t)g->w);
    const size_t wide = g->w > g->ow ? g->w : g->ow;
    p.pitch = wide + (left > right ? left : right);
    p.top = at_least_0(g->pt);
    p.lead = left;
    p.pixels = op_bf16_depth(g->oh * p.pitch);
    p.lda = op_bf16_lda(p.pixels);
    /* the picture, and what the last tap's product reads: a negative pad is an offset into it */
    const size_t last = at_least_0(reach_h - g->pt) * p.pitch + at_least_0(reach_w - g->pl);
    const size_t read = last + p.pixels, picture = g->h * p.pitch;
    p.plane = (p.top * p.pitch + p.lead + (read > picture ? read : picture) + 3) / 2 * 2;
    p.panels = (g->c + nr - 1) / nr;
    p.rows_image = g->o * p.lda;
    p.pairs_image = 2 * p.panels * p.plane * nr;
    p.col_blocks = op_parts(g->c, COLS);
    p.shares = op_min((WANT_TASKS + taps * p.col_blocks - 1) / (taps * p.col_blocks), g->n);
    p.shares = p.shares ? p.shares : 1;
    return p;
}

static size_t row_blocks(const op_conv_bf16_grad *p) { return op_parts(p->g.o, ROWS); }

/* Shared memory: the shares' sums, dy's rows, x's pairs. */
static size_t sums_bytes(const op_conv_bf16_grad *p)
{
    const size_t whole = p->g.o * p->g.kh * p->g.kw * p->g.c * sizeof(float);
    return p->shares > 1 ? (p->shares * whole + 63) / 64 * 64 : 0;
}

prelu_status op_conv_bf16_grad_work(const op_conv_bf16_grad *p, op_work *work, prelu_err *err)
{
    const op_patch *g = &p->g;
    const size_t taps = g->kh * g->kw, nr = p->krn->gemm_bf16->nr;
    size_t bytes;
    PRELU_TRY(prelu_add(p->rows_image, p->pairs_image, &bytes, err));
    PRELU_TRY(prelu_mul(bytes, g->n, &bytes, err));
    PRELU_TRY(prelu_mul(bytes, sizeof(uint16_t), &bytes, err));
    PRELU_TRY(prelu_add(bytes, sums_bytes(p), &work->shared, err));
    work->phases = p->shares > 1 ? 3 : 2;
    work->tasks[0] = g->n * (p->panels + row_blocks(p));
    work->flops[0] = 4.0 * (double)(p->plane * nr);
    work->tasks[1] = taps * p->col_blocks * p->shares;
    work->flops[1] = 2.0 * (double)(g->n * p->pixels) * (double)(g->o * g->c) /
                         (double)(p->col_blocks * p->shares) +
                     1.0;
    work->tasks[2] = op_parts(g->o * taps * g->c, OP_CHUNK);
    work->flops[2] = (double)OP_CHUNK * (double)p->shares;
    work->scratch = p->plane * nr * sizeof(uint16_t);
    return PRELU_OK;
}

/* Some outputs' rows of one image. */
static void lay_rows(const op_conv_bf16_grad *p, uint16_t *rows, const float *dy, size_t block)
{
    const op_patch *g = &p->g;
    const size_t from = block * ROWS, n = op_min(ROWS, g->o - from);
    uint16_t low[ROWS];
    memset(rows + from * p->lda, 0, n * p->lda * sizeof *rows);
    for (size_t i = 0; i < g->oh; i++)
        for (size_t j = 0; j < g->ow; j++) {
            p->krn->to_bf16(low, dy + (i * g->ow + j) * g->o + from, n);
            for (size_t k = 0; k < n; k++)
                rows[(from + k) * p->lda + i * p->pitch + j] = low[k];
        }
}

/* A panel of one image's channels, from pixel 0 and from pixel 1 on; first in one piece, rounded.
 */
static void lay_pairs(const op_conv_bf16_grad *p, uint16_t *pairs, const float *x, size_t panel,
                      uint16_t *strip)
{
    const op_patch *g = &p->g;
    const size_t nr = p->krn->gemm_bf16->nr, from = panel * nr, n = op_min(nr, g->c - from);
    memset(strip, 0, p->plane * nr * sizeof *strip);
    for (size_t i = 0; i < g->h; i++)
        for (size_t j = 0; j < g->w; j++)
            p->krn->to_bf16(strip + ((p->top + i) * p->pitch + p->lead + j) * nr,
                            x + (i * g->w + j) * g->c + from, n);
    for (size_t odd = 0; odd < 2; odd++) {
        uint16_t *dst = pairs + (odd * p->panels + panel) * p->plane * nr;
        for (size_t q = odd; q < p->plane; q += 2, dst += 2 * nr) {
            const uint16_t *lo = strip + q * nr, *hi = lo + nr;
            for (size_t j = 0; j < nr; j++) {
                dst[2 * j] = lo[j];
                dst[2 * j + 1] = q + 1 < p->plane ? hi[j] : 0;
            }
        }
    }
}

static void multiply(const op_conv_bf16_grad *p, const uint16_t *rows, const uint16_t *pairs,
                     float *sums, size_t task)
{
    const op_patch *g = &p->g;
    const krn_gemm_bf16 *gemm = p->krn->gemm_bf16;
    const size_t taps = g->kh * g->kw, tap = task / p->col_blocks % taps;
    const op_range col = op_cut(g->c, gemm->nr, p->col_blocks, task % p->col_blocks);
    const op_range img = op_cut(g->n, 1, p->shares, task / p->col_blocks / taps);
    const int64_t row = (int64_t)p->top + (int64_t)(tap / g->kw) * g->dh - g->pt;
    const int64_t pixel = (int64_t)p->lead + (int64_t)(tap % g->kw) * g->dw - g->pl;
    const size_t at = (size_t)(row * (int64_t)p->pitch + pixel);
    for (size_t i = img.from; i < img.to && col.from < col.to; i++)
        for (size_t from = 0; from < p->pixels; from += gemm->kc) {
            const size_t first = at + from;
            const size_t panel = first % 2 * p->panels + col.from / gemm->nr;
            gemm->run(&(krn_gemm_bf16_args){.m = g->o,
                                            .n = col.to - col.from,
                                            .k = op_min(gemm->kc, p->pixels - from),
                                            .a = rows + i * p->rows_image + from,
                                            .a_rs = p->lda,
                                            .b = pairs + i * p->pairs_image +
                                                 (panel * p->plane + first / 2 * 2) * gemm->nr,
                                            .b_panel = p->plane * gemm->nr,
                                            .c = sums + tap * g->c + col.from,
                                            .ldc = taps * g->c,
                                            .accumulate = i > img.from || from > 0});
        }
}

void op_conv_bf16_grad_task(const op_conv_bf16_grad *p, const float *x, const float *dy, float *dw,
                            void *shared, int phase, size_t task, void *scratch)
{
    const op_patch *g = &p->g;
    const size_t whole = g->o * g->kh * g->kw * g->c;
    float *sums = p->shares > 1 ? shared : dw;
    uint16_t *rows = (uint16_t *)(void *)((char *)shared + sums_bytes(p));
    uint16_t *pairs = rows + g->n * p->rows_image;
    if (phase == 0) {
        const size_t each = p->panels + row_blocks(p), image = task / each, part = task % each;
        if (part < p->panels)
            lay_pairs(p, pairs + image * p->pairs_image, x + image * g->h * g->w * g->c, part,
                      scratch);
        else
            lay_rows(p, rows + image * p->rows_image, dy + image * g->oh * g->ow * g->o,
                     part - p->panels);
    } else if (phase == 1) {
        const size_t share = task / (p->col_blocks * g->kh * g->kw);
        multiply(p, rows, pairs, sums + share * whole, task);
    } else {
        op_sum_shares(dw, sums, whole, p->shares, task);
    }
}
