#include "ops/fc.h"
#include "ops/gemm_bf16.h"
#include "ops/product.h"
#include "ops/round.h"
#include "ops/util.h"
#include "prelu/mem.h"
#include <string.h>

/* Gemm: a, b, [c], and from the fusion pass [slope (n)]; attributes alpha, beta, transA, transB,
 * act. MatMul is the same without them. y (m,n) = act(alpha * a * b + beta * c).
 * b is packed once when constant, else by phase 0 of every run. c is one row for all rows of y
 * (a bias), or is spread to (m,n) by phase 0. */
enum { IN_A, IN_B, IN_C, IN_SLOPE };
enum { HEAD = 64 }; /* floats before bias, slopes and panels in a packed block */

typedef struct dims {
    size_t m, n, k;
    bool ta, tb;
} dims;

typedef struct packed {
    const float *bias, *slope; /* in the same block; NULL = absent */
    const float *panels;       /* f32 */
    op_fc low;                 /* bf16 or int8 instead */
} packed;

static bool product_dims(const prelu_node *node, const prelu_shape *a, const prelu_shape *b,
                         dims *d)
{
    d->ta = prelu_node_int(node, "transA", 0) != 0;
    d->tb = prelu_node_int(node, "transB", 0) != 0;
    if (a->rank != 2 || b->rank != 2)
        return false;
    d->m = (size_t)a->dim[d->ta ? 1 : 0];
    d->k = (size_t)a->dim[d->ta ? 0 : 1];
    d->n = (size_t)b->dim[d->tb ? 0 : 1];
    return a->dim[d->ta ? 0 : 1] == b->dim[d->tb ? 1 : 0] && d->m > 0 && d->n > 0 && d->k > 0;
}

static prelu_status shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                          prelu_err *err)
{
    dims d;
    char a[96], b[96];
    if (!product_dims(n, &in[IN_A], &in[IN_B], &d))
        return prelu_fail(err, PRELU_E_FORMAT, "cannot multiply %s by %s%s",
                          prelu_shape_text(&in[IN_A], a, sizeof a),
                          prelu_shape_text(&in[IN_B], b, sizeof b), d.tb ? " transposed" : "");
    out[0] = (prelu_shape){2, {(int64_t)d.m, (int64_t)d.n}};
    if (n->n_in > IN_C && in[IN_C].rank >= 0 && !op_broadcasts_to(&in[IN_C], &out[0]))
        return prelu_fail(err, PRELU_E_FORMAT, "%s does not broadcast to %s",
                          prelu_shape_text(&in[IN_C], a, sizeof a),
                          prelu_shape_text(&out[0], b, sizeof b));
    if (n->n_in > IN_SLOPE && in[IN_SLOPE].rank >= 0 &&
        (in[IN_SLOPE].rank != 1 || in[IN_SLOPE].dim[0] != (int64_t)d.n))
        return prelu_fail(err, PRELU_E_FORMAT, "slope has not %zu values", d.n);
    return PRELU_OK;
}

/* One row that serves all rows of y. */
static bool is_row(const prelu_shape *c, size_t n)
{
    return (c->rank == 1 && c->dim[0] == (int64_t)n) ||
           (c->rank == 2 && c->dim[0] == 1 && c->dim[1] == (int64_t)n);
}

static void pack_one(const krn_gemm *krn, const dims *d, const op_file_f32 *b, float alpha,
                     float *panels, size_t panel)
{
    const size_t first = panel * krn->nr, cols = op_min(krn->nr, d->n - first);
    float *dst = panels + panel * krn->nr * d->k;
    if (d->tb)
        op_panel_from_rows(dst, krn->nr, b + first * d->k, d->k, cols, d->k, alpha);
    else
        op_panel_from_cols(dst, krn->nr, b + first, d->n, cols, d->k, alpha);
}

typedef struct pack_job {
    const krn_gemm *krn;
    dims d;
    const op_file_f32 *b;
    float *panels, alpha;
    const op_instance *inst;
} pack_job;

static void pack_task(void *ctx, size_t task, int worker)
{
    const pack_job *j = ctx;
    (void)worker;
    pack_one(j->krn, &j->d, j->b, j->alpha, j->panels, task);
    if (j->d.tb)
        op_rows_packed(j->inst, j->b, j->d.k, task * j->krn->nr, j->krn->nr, j->d.n);
}

static prelu_status pack(op_instance *inst, const op_tensor *in, int n_in, prelu_pool *pool,
                         uint64_t *consumed, prelu_err *err)
{
    const krn_gemm *krn = inst->krn->gemm_f32;
    const prelu_shape *b = &in[IN_B].shape;
    const float beta = prelu_node_float(inst->node, "beta", 1.0f);
    pack_job job = {.krn = krn,
                    .b = in[IN_B].data,
                    .alpha = prelu_node_float(inst->node, "alpha", 1.0f),
                    .inst = inst};
    if (!in[IN_B].data || b->rank != 2)
        return PRELU_OK;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    job.d.tb = prelu_node_int(inst->node, "transB", 0) != 0;
    job.d.n = (size_t)b->dim[job.d.tb ? 0 : 1];
    job.d.k = (size_t)b->dim[job.d.tb ? 1 : 0];
    op_fc low = op_fc_choose(inst, job.d.n, job.d.k);
    const size_t row = (job.d.n + 15) / 16 * 16, panels = op_panels(krn, job.d.n);
    const size_t weights = low.kind ? low.bytes : panels * krn->nr * job.d.k * sizeof(float);
    inst->packed_len = (HEAD + 2 * row) * sizeof(float) + weights;
    packed *p = prelu_alloc(inst->packed_len);
    if (!p)
        return prelu_fail(err, PRELU_E_NOMEM, "weights: %zu bytes", inst->packed_len);
    float *bias = (float *)(void *)p + HEAD, *slope = bias + row;
    job.panels = slope + row;
    *p = (packed){.panels = job.panels, .low = low};
    inst->packed = p;
    *consumed = 1u << IN_B;
    if (n_in > IN_C && in[IN_C].data && is_row(&in[IN_C].shape, job.d.n)) {
        memcpy(bias, in[IN_C].data, job.d.n * sizeof *bias);
        for (size_t i = 0; i < job.d.n && beta != 1.0f; i++)
            bias[i] *= beta;
        p->bias = bias;
        *consumed |= 1u << IN_C;
    }
    if (n_in > IN_SLOPE && in[IN_SLOPE].data) {
        memcpy(slope, in[IN_SLOPE].data, job.d.n * sizeof *slope);
        p->slope = slope;
        *consumed |= 1u << IN_SLOPE;
    }
    if (low.kind)
        op_fc_pack(inst, &p->low, job.panels, job.b, job.d.tb, job.alpha, pool);
    else
        prelu_pool_run(pool, panels, pack_task, &job);
    inst->algorithm = low.kind ? low.name : krn->name;
    return PRELU_OK;
}

/* How a run is cut. Few rows: the weights are what is waited for, so many narrow tasks and a's rows
 * are read in place. Many rows: a is laid out per task, so tasks take several panels, and as many
 * rows as stay in L2, since every block of rows reads the weights again. OpenBLAS (nr = 1) gets
 * fixed blocks of zero-padded rows instead, because its bits change with the shape.
 */
enum {
    FEW_ROWS = OP_FC_FEW_ROWS,
    NARROW = 64,
    WIDE = 256,
    SHALLOW = 128,
    MOST_ROWS = 256,
    BLAS_ROWS = 16,
    BLAS_COLS = 512
};

typedef struct cut {
    size_t panels, row_block, row_blocks, row_unit, col_blocks, part, lda;
    bool in_place, padded;
} cut;

/* Training in bf16 by tiles: phase 0 rounds both operands. */
static bool rounds(const op_instance *inst)
{
    return inst->round && !inst->packed && op_rounds_itself(inst->node, NULL, inst->krn);
}

/* A low-precision product is cut as the f32 product of its tile would be. */
static krn_gemm tile_of(const op_instance *inst)
{
    const packed *p = inst->packed;
    const krn_gemm_bf16 *low = inst->krn->gemm_bf16;
    krn_gemm t = *inst->krn->gemm_f32;
    if (rounds(inst)) /* rows that share panels, few products or many */
        return (krn_gemm){.mr = low->mc, .nr = low->nr, .mc = low->mc, .kc = low->kc};
    if (p && p->low.kind)
        t = (krn_gemm){.mr = p->low.mr, .nr = p->low.nr, .mc = p->low.mc, .kc = p->low.kc};
    return t;
}

static cut cut_product(const dims *d, const krn_gemm *krn)
{
    cut c = {.panels = op_panels(krn, d->n)};
    c.padded = krn->nr == 1 && krn->run;
    c.in_place = !c.padded && (d->ta || d->m <= FEW_ROWS);
    c.part = op_min(c.padded || c.in_place ? krn->kc : op_min(krn->kc, OP_FC_PART), d->k);
    /* few products for each value of y, as in the gradient of weights: y's rows are written from
     * end to end */
    const bool shallow = !c.padded && d->ta && d->k <= SHALLOW;
    c.lda = op_lda(c.part);
    const size_t rows = krn_cpu_l2() / 3 / ((c.lda + WIDE) * sizeof(float));
    const size_t most = rows > MOST_ROWS ? MOST_ROWS : rows > krn->mc ? rows : krn->mc;
    c.row_block = c.padded ? BLAS_ROWS : shallow ? krn->mr : most / krn->mr * krn->mr;
    c.row_blocks = (d->m + c.row_block - 1) / c.row_block;
    c.row_unit = c.padded ? BLAS_ROWS : krn->mr;
    const size_t width = c.padded ? BLAS_COLS : shallow ? d->n : d->m <= FEW_ROWS ? NARROW : WIDE;
    c.col_blocks = (d->n + width - 1) / width;
    return c;
}

/* Inputs that phase 0 has to make ready: variable b, c that is no row. One block of rows reads b
 * once, so its tasks pack b themselves, a part of k at a time. */
static bool packs_parts(const op_instance *inst, const dims *d, const cut *c)
{
    return !inst->packed && !rounds(inst) && !c->padded && !d->ta && c->row_blocks == 1;
}

static bool packs_b(const op_instance *inst, const dims *d, const cut *c)
{
    return !inst->packed && !packs_parts(inst, d, c);
}

/* Floats of a task's rows of a, and of its sums. */
static size_t laid_floats(const cut *c, size_t n)
{
    return c->row_block * (c->lda + op_lda(op_min(WIDE, n)));
}

/* Floats of a task's own panels, of one part. */
static size_t own_panels(const cut *c, const krn_gemm *krn)
{
    return (c->panels + c->col_blocks - 1) / c->col_blocks * krn->nr * c->part;
}

static bool spreads_c(const op_instance *inst, const op_tensor *in, int n_in, size_t n)
{
    const packed *p = inst->packed;
    return n_in > IN_C && in[IN_C].shape.rank >= 0 && !(p && p->bias) &&
           (!is_row(&in[IN_C].shape, n) || prelu_node_float(inst->node, "beta", 1.0f) != 1.0f);
}

enum { LAY_ROWS = 64 }; /* of a, that a task of phase 0 rounds */

/* Elements of a rounded panel of b. */
static size_t low_panel(size_t nr, size_t k) { return op_bf16_depth(k) * nr; }

static prelu_status low_shared(const dims *d, size_t panels, size_t nr, op_work *work,
                               prelu_err *err)
{
    size_t rows, bytes;
    PRELU_TRY(prelu_mul(d->m * sizeof(uint16_t), op_bf16_lda(op_bf16_depth(d->k)), &rows, err));
    PRELU_TRY(prelu_mul(panels * sizeof(uint16_t), low_panel(nr, d->k), &bytes, err));
    PRELU_TRY(prelu_add(bytes, rows, &bytes, err));
    return prelu_add(work->shared, bytes, &work->shared, err);
}

static prelu_status prepare(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                            op_work *work, prelu_err *err)
{
    const packed *pk = inst->packed;
    const krn_gemm tile = tile_of(inst), *krn = &tile;
    dims d;
    size_t floats = 0, spread = 0, bytes;
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    if (!product_dims(inst->node, &in[IN_A].shape, &in[IN_B].shape, &d))
        return prelu_fail(err, PRELU_E_FORMAT, "shapes of the product do not fit");
    const cut c = cut_product(&d, krn);
    const bool low = rounds(inst);
    const bool first = packs_b(inst, &d, &c), c_too = spreads_c(inst, in, inst->node->n_in, d.n);
    int phase = 0;
    if (first && !low)
        PRELU_TRY(prelu_mul(c.panels * krn->nr, d.k, &floats, err));
    if (c_too)
        PRELU_TRY(prelu_mul(d.m, d.n, &spread, err));
    PRELU_TRY(prelu_mul(floats + spread, sizeof(float), &bytes, err));
    work->shared = bytes;
    if (low)
        PRELU_TRY(low_shared(&d, c.panels, krn->nr, work, err));
    if (first || c_too) {
        work->phases = 2;
        work->tasks[0] = (first ? c.panels : 0) + (low ? op_parts(d.m, LAY_ROWS) : 0) + c_too;
        work->flops[0] = 4.0 * (double)krn->nr * (double)d.k;
        phase = 1;
    }
    work->tasks[phase] = c.row_blocks * c.col_blocks;
    work->flops[phase] =
        2.0 * (double)d.m * (double)d.n * (double)d.k / (double)(c.row_blocks * c.col_blocks) +
        4.0 * (double)(d.n * d.k) / (double)c.col_blocks; /* bytes of b, as time */
    if (c.padded)                                         /* rows of a and of y */
        work->scratch = (c.row_block * d.k + c.row_block * BLAS_COLS) * sizeof(float);
    else if (pk && pk->low.kind)
        work->scratch =
            op_fc_scratch(&pk->low, op_min(c.row_block, d.m), op_min(WIDE, d.n)) * sizeof(float);
    else if (!low && !c.in_place)
        work->scratch = laid_floats(&c, d.n) * sizeof(float);
    if (packs_parts(inst, &d, &c))
        work->scratch += own_panels(&c, krn) * sizeof(float);
    return PRELU_OK;
}

static void spread(const op_exec *x, const dims *d, float *dst)
{
    const float beta = prelu_node_float(x->op->node, "beta", 1.0f);
    const prelu_shape *s = &x->in[IN_C].shape;
    const float *c = x->in[IN_C].data;
    const int64_t rows = s->rank == 2 ? s->dim[0] : 1;
    const int64_t cols = s->rank >= 1 ? s->dim[s->rank - 1] : 1;
    for (size_t i = 0; i < d->m; i++)
        for (size_t j = 0; j < d->n; j++)
            dst[i * d->n + j] = beta * c[(rows == 1 ? 0 : i) * (size_t)cols + (cols == 1 ? 0 : j)];
}

/* Fixed block of rows through zero-padded copies. */
static void padded_block(const krn_gemm *krn, const dims *d, const float *a, const float *b,
                         float *y, const krn_epilogue *ep, op_range row, op_range col,
                         float *scratch)
{
    const size_t rows = row.to - row.from, cols = col.to - col.from;
    float *ya = scratch + BLAS_ROWS * d->k;
    for (size_t i = 0; i < BLAS_ROWS; i++)
        for (size_t k = 0; k < d->k; k++)
            scratch[i * d->k + k] = i >= rows ? 0.0f
                                    : d->ta   ? a[k * d->m + row.from + i]
                                              : a[(row.from + i) * d->k + k];
    krn->run(&(krn_gemm_args){.m = BLAS_ROWS,
                              .n = cols,
                              .k = d->k,
                              .a = scratch,
                              .a_rs = d->k,
                              .a_ks = 1,
                              .b = b + col.from * d->k,
                              .b_panel = d->k,
                              .c = ya,
                              .ldc = cols});
    for (size_t i = 0; i < rows; i++)
        memcpy(y + i * d->n, ya + i * cols, cols * sizeof *y);
    if (ep)
        krn_epilogue_ref(y, d->n, rows, cols, ep);
}

/* Where a block's columns of b come from. */
typedef struct source {
    const float *b; /* panels from the first column on, or b itself */
    float *own;     /* room for a part's panels; NULL: b is panels */
    float alpha;
    op_range col;
} source;

/* Part k0..k0+k-1 of b for g. */
static void take_b(krn_gemm_args *g, const krn_gemm *krn, const dims *d, const source *s, size_t k0)
{
    if (!s->own) {
        g->b = s->b + k0 * krn->nr;
        g->b_panel = krn->nr * d->k;
        return;
    }
    g->b = s->own;
    g->b_panel = krn->nr * g->k;
    for (size_t j = s->col.from; j < s->col.to; j += krn->nr) {
        const size_t cols = op_min(krn->nr, d->n - j);
        float *panel = s->own + (j - s->col.from) * g->k;
        if (d->tb)
            op_panel_from_rows(panel, krn->nr, s->b + j * d->k + k0, d->k, cols, g->k, s->alpha);
        else
            op_panel_from_cols(panel, krn->nr, s->b + k0 * d->n + j, d->n, cols, g->k, s->alpha);
    }
}

/* Rows of a are laid out part by part. Sums stay in scratch till the last part: y's rows lie far
 * apart, often by a power of two, and would fall into few sets of the caches. */
static void block_laid_out(const krn_gemm *krn, const dims *d, const cut *c, const float *a,
                           const source *s, krn_gemm_args g, float *scratch)
{
    float *y = g.c;
    const size_t n = g.n;
    const krn_epilogue *ep = g.ep;
    g.a = scratch;
    g.a_rs = c->lda;
    g.a_ks = 1;
    g.c = scratch + g.m * c->lda;
    g.ldc = op_lda(n);
    for (size_t k0 = 0; k0 < d->k; k0 += c->part) {
        g.k = op_min(c->part, d->k - k0);
        g.accumulate = k0 > 0;
        take_b(&g, krn, d, s, k0);
        g.ep = k0 + g.k == d->k ? ep : NULL;
        for (size_t i = 0; i < g.m; i++)
            memcpy(scratch + i * c->lda, a + i * d->k + k0, g.k * sizeof *a);
        krn->run(&g);
    }
    for (size_t i = 0; i < g.m; i++)
        memcpy(y + i * d->n, g.c + i * g.ldc, n * sizeof *y);
}

static void block(const krn_gemm *krn, const dims *d, const cut *c, const float *a, const source *s,
                  float *y, const krn_epilogue *ep, op_range row, float *scratch)
{
    krn_gemm_args g = {.m = row.to - row.from,
                       .n = s->col.to - s->col.from,
                       .a = d->ta ? a + row.from : a + row.from * d->k,
                       .a_rs = d->ta ? 1 : d->k,
                       .a_ks = d->ta ? d->m : 1,
                       .c = y,
                       .ldc = d->n,
                       .ep = ep};
    if (!c->in_place) {
        block_laid_out(krn, d, c, g.a, s, g, scratch);
        return;
    }
    for (size_t k0 = 0; k0 < d->k; k0 += c->part) {
        g.k = op_min(c->part, d->k - k0);
        g.accumulate = k0 > 0;
        g.ep = k0 + g.k == d->k ? ep : NULL;
        take_b(&g, krn, d, s, k0);
        krn->run(&g);
        g.a += g.k * g.a_ks;
    }
}

/* A panel of b, or some rows of a behind all panels. */
static void low_prepare(const op_exec *x, const dims *d, size_t n_panels, uint16_t *panels,
                        size_t task)
{
    const krn_table *krn = x->op->krn;
    const size_t nr = krn->gemm_bf16->nr, panel = low_panel(nr, d->k);
    if (task < n_panels)
        op_bf16_panel(panels + task * panel, krn, x->in[IN_B].data, d->tb, d->n, d->k, task * nr);
    else
        op_bf16_rows(panels + n_panels * panel, krn, x->in[IN_A].data, d->ta, d->m, d->k,
                     op_cut(d->m, 1, op_parts(d->m, LAY_ROWS), task - n_panels));
}

static void low_block(const krn_gemm_bf16 *gemm, const dims *d, size_t n_panels,
                      const uint16_t *panels, float *y, const krn_epilogue *ep, op_range row,
                      op_range col)
{
    const size_t depth = op_bf16_depth(d->k), ld = op_bf16_lda(depth);
    const uint16_t *rows = panels + n_panels * low_panel(gemm->nr, d->k) + row.from * ld;
    for (size_t k0 = 0; k0 < depth; k0 += gemm->kc) {
        const size_t part = op_min(gemm->kc, depth - k0);
        gemm->run(&(krn_gemm_bf16_args){.m = row.to - row.from,
                                        .n = col.to - col.from,
                                        .k = part,
                                        .a = rows + k0,
                                        .a_rs = ld,
                                        .b = panels + col.from * depth + k0 * gemm->nr,
                                        .b_panel = gemm->nr * depth,
                                        .c = y,
                                        .ldc = d->n,
                                        .accumulate = k0 > 0,
                                        .ep = k0 + part == depth ? ep : NULL});
    }
}

static void run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const krn_gemm tile = tile_of(x->op), *krn = &tile;
    const bool low = rounds(x->op);
    const packed *p = x->op->packed;
    dims d;
    (void)product_dims(x->op->node, &x->in[IN_A].shape, &x->in[IN_B].shape, &d);
    const cut c = cut_product(&d, krn);
    const bool parts = packs_parts(x->op, &d, &c);
    const bool first = packs_b(x->op, &d, &c), c_too = spreads_c(x->op, x->in, x->n_in, d.n);
    float *panels = x->shared, *full = panels + (first && !low ? c.panels * krn->nr * d.k : 0);
    uint16_t *rounded = (uint16_t *)(void *)(full + (c_too ? d.m * d.n : 0));
    if ((first || c_too) && phase == 0) {
        if (low && task < c.panels + op_parts(d.m, LAY_ROWS))
            low_prepare(x, &d, c.panels, rounded, task);
        else if (!low && first && task < c.panels)
            pack_one(krn, &d, x->in[IN_B].data, prelu_node_float(x->op->node, "alpha", 1.0f),
                     panels, task);
        else
            spread(x, &d, full);
        return;
    }
    const op_range row = op_cut(d.m, c.row_unit, c.row_blocks, task % c.row_blocks);
    const op_range col = op_cut(d.n, krn->nr, c.col_blocks, task / c.row_blocks);
    if (col.from == col.to || row.from == row.to)
        return;
    krn_epilogue ep = {.act = (krn_act)prelu_node_int(x->op->node, "act", KRN_ACT_NONE)};
    const float *bias = p && p->bias ? p->bias : x->n_in > IN_C && !c_too ? x->in[IN_C].data : NULL;
    const float *slope = p && p->slope        ? p->slope
                         : x->n_in > IN_SLOPE ? x->in[IN_SLOPE].data
                                              : NULL;
    ep.bias = bias ? bias + col.from : NULL;
    ep.slope = slope ? slope + col.from : NULL;
    ep.residual = c_too ? full + row.from * d.n + col.from : NULL;
    ep.ldr = d.n;
    const bool plain = !ep.bias && !ep.residual && ep.act == KRN_ACT_NONE;
    const float *b = first ? panels : p ? p->panels : x->in[IN_B].data;
    float *y = (float *)x->out[0].data + row.from * d.n + col.from;
    if (low)
        low_block(x->op->krn->gemm_bf16, &d, c.panels, rounded, y, plain ? NULL : &ep, row, col);
    else if (p && p->low.kind)
        op_fc_block(&p->low, x->in[IN_A].data, d.k, d.ta ? d.m : 0, row.from, row.to - row.from,
                    col.from, col.to - col.from, y, d.n, plain ? NULL : &ep, scratch);
    else if (c.padded)
        padded_block(krn, &d, x->in[IN_A].data, b, y, plain ? NULL : &ep, row, col, scratch);
    else {
        const size_t laid = c.in_place ? 0 : laid_floats(&c, d.n);
        const source s = {.b = parts ? b : b + col.from * d.k,
                          .own = parts ? (float *)scratch + laid : NULL,
                          .alpha = prelu_node_float(x->op->node, "alpha", 1.0f),
                          .col = col};
        block(krn, &d, &c, x->in[IN_A].data, &s, y, plain ? NULL : &ep, row, scratch);
    }
}

/* dA = alpha dY B' and dB = alpha A' dY with the transposes the attributes ask for. c's gradient is
 * beta dY summed to c's shape. */
static prelu_status grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_node *n = &c->g->nodes[c->node];
    const prelu_value a = n->in[IN_A], b = n->in[IN_B], dy = c->dout[0];
    const int64_t ta = prelu_node_int(n, "transA", 0), tb = prelu_node_int(n, "transB", 0);
    const prelu_value bias = n->n_in > IN_C ? n->in[IN_C] : PRELU_NONE;
    const prelu_attr alpha = PRELU_FLOAT("alpha", prelu_node_float(n, "alpha", 1.0f));
    const prelu_attr beta = PRELU_FLOAT("scale", prelu_node_float(n, "beta", 1.0f));
    if (c->needs[IN_A]) {
        const prelu_attr attrs[] = {PRELU_INT("transA", ta && tb), PRELU_INT("transB", ta || !tb),
                                    alpha};
        /* ta: dA = (dY B')' = B dY' ; else dY B' */
        const prelu_value straight[] = {dy, b}, turned[] = {b, dy};
        const prelu_attr turned_attrs[] = {PRELU_INT("transA", tb), PRELU_INT("transB", 1), alpha};
        PRELU_TRY(op_grad_node(c, "Gemm", "da", ta ? turned : straight, 2,
                               ta ? turned_attrs : attrs, 3, &c->din[IN_A], 1, err));
    }
    if (c->needs[IN_B]) {
        const prelu_value straight[] = {a, dy}, turned[] = {dy, a};
        const prelu_attr attrs[] = {PRELU_INT("transA", !ta), PRELU_INT("transB", 0), alpha};
        const prelu_attr turned_attrs[] = {PRELU_INT("transA", 1), PRELU_INT("transB", ta), alpha};
        PRELU_TRY(op_grad_node(c, "Gemm", "db", tb ? turned : straight, 2,
                               tb ? turned_attrs : attrs, 3, &c->din[IN_B], 1, err));
    }
    if (bias != PRELU_NONE && c->needs[IN_C])
        PRELU_TRY(op_grad_node(c, "SumTo", "dc", (prelu_value[]){dy, bias}, 2, &beta, 1,
                               &c->din[IN_C], 1, err));
    return PRELU_OK;
}

const op_def op_gemm = {.name = "Gemm",
                        .min_in = 2,
                        .max_in = 4,
                        .min_out = 1,
                        .max_out = 1,
                        .shape = shape,
                        .pack = pack,
                        .prepare = prepare,
                        .run = run,
                        .grad = grad};
const op_def op_matmul = {.name = "MatMul",
                          .min_in = 2,
                          .max_in = 2,
                          .min_out = 1,
                          .max_out = 1,
                          .shape = shape,
                          .pack = pack,
                          .prepare = prepare,
                          .run = run,
                          .grad = grad};
