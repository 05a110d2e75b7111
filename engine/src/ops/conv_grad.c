#include "ops/conv_bf16_train.h"
#include "ops/conv_variable.h"
#include "ops/conv_winograd_grad.h"
#include "ops/round.h"
#include "ops/util.h"
#include <string.h>

/* ---- ConvGradX: dy, w, x (shape only) → dx ------------------------------------------------
 * The convolution of dy, spread by the strides, with the filters turned by 180 degrees and their
 * channel axes swapped. */

static op_patch forward_geometry(const op_instance *inst, const prelu_shape *x,
                                 const prelu_shape *w)
{
    op_patch g = {0};
    if (op_patch_of_conv(&g, inst->node, x, w, NULL) != PRELU_OK)
        g.n = 0;
    return g;
}

static prelu_status check(const prelu_node *n, const prelu_shape *dy, const prelu_shape *x,
                          const prelu_shape *w, prelu_err *err)
{
    op_patch g;
    PRELU_TRY(op_patch_of_conv(&g, n, x, w, err));
    const prelu_shape y = {4, {x->dim[0], (int64_t)g.o, (int64_t)g.oh, (int64_t)g.ow}};
    return op_need_same(dy, "gradient", &y, "output", err);
}

static prelu_status shape_x(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                            prelu_err *err)
{
    out[0] = in[2];
    return check(n, &in[0], &in[2], &in[1], err);
}

static prelu_status prepare_x(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                              op_work *work, prelu_err *err)
{
    const op_patch f = forward_geometry(inst, &in[2].shape, &in[1].shape);
    const op_patch g = op_patch_transposed(&f);
    const op_conv_variable v = op_conv_variable_cut(inst, &g, &in[1].shape);
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    return op_conv_variable_work(&v, work, err);
}

/* Panel of input channels first..: row (kh', kw', o) is w[o][kh-1-kh'][kw-1-kw'][first..]. */
static void turn_panel(float *dst, const op_patch *g, size_t nr, const float *w, size_t group,
                       size_t first)
{
    const size_t o = g->c / g->groups, c = g->o / g->groups, taps = g->kh * g->kw;
    const size_t cols = op_min(nr, c - first);
    for (size_t t = 0; t < taps; t++)
        for (size_t i = 0; i < o; i++) {
            const float *src = w + ((group * o + i) * taps + (taps - 1 - t)) * c + first;
            float *row = dst + (t * o + i) * nr;
            for (size_t j = 0; j < nr; j++)
                row[j] = j < cols ? src[j] : 0.0f;
        }
}

static void run_x(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_patch f = forward_geometry(x->op, &x->in[2].shape, &x->in[1].shape);
    const op_patch g = op_patch_transposed(&f);
    const op_conv_variable v = op_conv_variable_cut(x->op, &g, &x->in[1].shape);
    const op_conv_variable_run r = {
        .pack = turn_panel, .pack_bf16 = op_conv_bf16_pack_turned, .exec = x, .scratch = scratch};
    op_conv_variable_task(&v, &r, phase, task);
}

const op_def op_conv_grad_x = {.name = "ConvGradX",
                               .min_in = 3,
                               .max_in = 3,
                               .min_out = 1,
                               .max_out = 1,
                               .shape_only = 1u << 2,
                               .shape = shape_x,
                               .prepare = prepare_x,
                               .run = run_x};

/* ---- ConvGradW: dy, x, w (shape only) → dw ------------------------------------------------
 * dw (o, taps*c) = sum over images and pixels of dy (pixel, o)^T * patch (pixel, taps*c).
 * Tasks: column blocks of the patch x shares of the images; each share sums its images in order
 * into its own (o, columns), phase 1 adds the shares in order. */

enum { COLS = 384, PIXELS = 256, MIN_TASKS = 16 };

typedef struct grad_w {
    op_patch g;
    size_t k, o, c;            /* of one group */
    size_t col_blocks, shares; /* of the images */
    size_t pixels;             /* per part */
} grad_w;

static grad_w cut_w(const op_patch *g, const krn_gemm *krn)
{
    grad_w p = {.g = *g, .k = op_patch_len(g), .o = g->o / g->groups, .c = g->c / g->groups};
    const size_t block = (COLS + krn->nr - 1) / krn->nr * krn->nr;
    p.col_blocks = (p.k + block - 1) / block;
    p.shares = (MIN_TASKS + g->groups * p.col_blocks - 1) / (g->groups * p.col_blocks);
    p.shares = p.shares < 1 ? 1 : op_min(p.shares, g->n ? g->n : 1);
    p.pixels = op_min(PIXELS, g->oh * g->ow);
    return p;
}

static size_t block_cols(const grad_w *p, const krn_gemm *krn)
{
    const size_t panels = op_panels(krn, p->k);
    return (panels + p->col_blocks - 1) / p->col_blocks * krn->nr;
}

static prelu_status shape_w(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                            prelu_err *err)
{
    out[0] = in[2];
    return check(n, &in[0], &in[1], &in[2], err);
}

static bool by_tiles(const op_instance *inst, const prelu_shape *w)
{
    return inst->round && op_rounds_itself(inst->node, w, inst->krn);
}

static prelu_status prepare_w(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                              op_work *work, prelu_err *err)
{
    const krn_gemm *krn = inst->krn->gemm_f32;
    const op_patch g = forward_geometry(inst, &in[1].shape, &in[2].shape);
    const grad_w p = cut_w(&g, krn);
    const size_t cols = block_cols(&p, krn);
    size_t bytes;
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    if (by_tiles(inst, &in[2].shape)) {
        const op_conv_bf16_grad low = op_conv_bf16_grad_cut(&g, inst->krn);
        return op_conv_bf16_grad_work(&low, work, err);
    }
    if (op_winograd_grad_fits(&g, inst->node, &in[2].shape, inst->krn)) {
        const op_winograd_grad w = op_winograd_grad_cut(&g, inst->krn);
        return op_winograd_grad_work(&w, work, err);
    }
    PRELU_TRY(prelu_mul(p.shares * g.groups * p.o, p.k * sizeof(float), &bytes, err));
    work->phases = p.shares > 1 ? 2 : 1;
    work->tasks[0] = g.groups * p.col_blocks * p.shares;
    work->flops[0] = 2.0 * (double)(g.n * g.oh * g.ow) * (double)(p.o * p.k) /
                         (double)(p.col_blocks * p.shares) +
                     1.0;
    work->tasks[1] = op_parts(g.groups * p.o * p.k, OP_CHUNK);
    work->flops[1] = (double)OP_CHUNK * (double)p.shares;
    work->scratch = p.pixels * cols * sizeof(float);
    work->shared = p.shares > 1 ? bytes : 0;
    return PRELU_OK;
}

/* Panels of some pixels' patches: [panel][pixel][nr]; the last one is filled up with zeros. */
static void patch_panels(const grad_w *p, size_t nr, const float *x, size_t group, size_t from,
                         size_t n, op_range col, float *panels)
{
    for (size_t j = col.from; j < col.to; j += nr, panels += nr * n) {
        const size_t end = op_min(j + nr, col.to);
        op_patch_rows(panels, nr, &p->g, x, group, from, n, j, end);
        for (size_t i = 0; i < n && end - j < nr; i++)
            memset(panels + i * nr + end - j, 0, (nr - (end - j)) * sizeof *panels);
    }
}

/* One image's pixels into c (o, cols of the block), rows ldc apart. */
static void image_into(const grad_w *p, const krn_gemm *krn, const op_exec *x, size_t image,
                       size_t group, op_range col, float *c, bool fresh, float *panels)
{
    const op_patch *g = &p->g;
    const size_t pixels = g->oh * g->ow, cols = col.to - col.from;
    const float *dy = (const float *)x->in[0].data + image * pixels * g->o + group * p->o;
    const float *in = (const float *)x->in[1].data + image * g->h * g->w * g->c;
    for (size_t from = 0; from < pixels; from += p->pixels) {
        const size_t n = op_min(p->pixels, pixels - from);
        patch_panels(p, krn->nr, in, group, from, n, col, panels);
        krn->run(&(krn_gemm_args){.m = p->o,
                                  .n = cols,
                                  .k = n,
                                  .a = dy + from * g->o,
                                  .a_rs = 1,
                                  .a_ks = g->o,
                                  .b = panels,
                                  .b_panel = krn->nr * n,
                                  .c = c,
                                  .ldc = p->k,
                                  .accumulate = !fresh || from > 0});
    }
}

static void run_w(const op_exec *x, int phase, size_t task, void *scratch)
{
    const krn_gemm *krn = x->op->krn->gemm_f32;
    const op_patch g = forward_geometry(x->op, &x->in[1].shape, &x->in[2].shape);
    const grad_w p = cut_w(&g, krn);
    const size_t whole = g.groups * p.o * p.k;
    float *dw = x->out[0].data, *parts = p.shares > 1 ? x->shared : dw;
    if (by_tiles(x->op, &x->in[2].shape)) {
        const op_conv_bf16_grad low = op_conv_bf16_grad_cut(&g, x->op->krn);
        op_conv_bf16_grad_task(&low, x->in[1].data, x->in[0].data, dw, x->shared, phase, task,
                               scratch);
        return;
    }
    if (op_winograd_grad_fits(&g, x->op->node, &x->in[2].shape, x->op->krn)) {
        const op_winograd_grad w = op_winograd_grad_cut(&g, x->op->krn);
        op_winograd_grad_task(&w, x->in[1].data, x->in[0].data, dw, x->shared, phase, task,
                              scratch);
        return;
    }
    if (phase == 0) {
        const size_t share = task % p.shares, block = task / p.shares % p.col_blocks;
        const size_t group = task / p.shares / p.col_blocks;
        const op_range col = op_cut(p.k, krn->nr, p.col_blocks, block);
        const op_range img = op_cut(g.n, 1, p.shares, share);
        float *c = parts + share * whole + group * p.o * p.k + col.from;
        for (size_t i = img.from; i < img.to; i++)
            image_into(&p, krn, x, i, group, col, c, i == img.from, scratch);
        return;
    }
    op_sum_shares(dw, parts, whole, p.shares, task);
}

const op_def op_conv_grad_w = {.name = "ConvGradW",
                               .min_in = 3,
                               .max_in = 3,
                               .min_out = 1,
                               .max_out = 1,
                               .shape_only = 1u << 2,
                               .shape = shape_w,
                               .prepare = prepare_w,
                               .run = run_w};

/* ---- ConvGradB: dy → (o) ------------------------------------------------------------------
 * Fixed shares of the rows, summed in double, then the shares in order. */

enum { SHARES = 16 };

static prelu_status shape_b(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                            prelu_err *err)
{
    (void)n;
    out[0] = (prelu_shape){1, {in[0].dim[1]}};
    return op_need_rank(&in[0], 4, "gradient", err);
}

static prelu_status prepare_b(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                              op_work *work, prelu_err *err)
{
    const op_channels ch = op_channels_of(&in[0].shape);
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    work->phases = 2;
    work->tasks[0] = SHARES;
    work->flops[0] = (double)(ch.rows * ch.c) / SHARES + 1.0;
    work->shared = SHARES * ch.c * sizeof(double);
    return PRELU_OK;
}

static void run_b(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_channels ch = op_channels_of(&x->in[0].shape);
    double *sums = x->shared;
    (void)scratch;
    if (phase == 0) {
        const op_range rows = op_cut(ch.rows, 1, SHARES, task);
        double *mine = sums + task * ch.c;
        memset(mine, 0, ch.c * sizeof *mine);
        x->op->krn->passes_f32->add(mine, (const float *)x->in[0].data + rows.from * ch.c,
                                    rows.to - rows.from, ch.c);
        return;
    }
    float *db = x->out[0].data;
    for (size_t c = 0; c < ch.c; c++) {
        double s = 0.0;
        for (size_t i = 0; i < SHARES; i++)
            s += sums[i * ch.c + c];
        db[c] = (float)s;
    }
}

const op_def op_conv_grad_b = {.name = "ConvGradB",
                               .min_in = 1,
                               .max_in = 1,
                               .min_out = 1,
                               .max_out = 1,
                               .shape = shape_b,
                               .prepare = prepare_b,
                               .run = run_b};
