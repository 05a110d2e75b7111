#include "ops/conv.h"
#include "ops/conv_bf16.h"
#include "ops/conv_depthwise.h"
#include "ops/conv_onednn.h"
#include "ops/conv_variable.h"
#include "ops/util.h"
#include "prelu/mem.h"
#include <string.h>

/* Conv: x, w, [bias], and from the fusion pass [slope (o)] [residual, like y]; attribute `act` is a
 * krn_act: y = act(conv(x, w) + bias + residual); with attribute `residual_last`
 * y = act(conv(x, w) + bias) + residual. */
enum { IN_X, IN_W, IN_BIAS, IN_SLOPE, IN_RESIDUAL };

typedef struct packed {
    size_t o;
    bool depthwise, onednn;
    bool bf16;    /* by gemm_bf16 */
    bool rounded; /* operands rounded to bf16, f32 arithmetic */
    op_winograd_kind winograd;
    const float *bias, *slope; /* o values each, or NULL */
    const float *panels; /* implicit gemm: panels (bf16, or narrow: of that); depthwise: [kh*kw][o];
                            winograd ahead: its own */
} packed;

static prelu_status shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                          prelu_err *err)
{
    op_patch g;
    PRELU_TRY(op_patch_of_conv(&g, n, &in[IN_X], &in[IN_W], err));
    for (int i = IN_BIAS; i <= IN_SLOPE && i < n->n_in; i++)
        if (in[i].rank >= 0 && (in[i].rank != 1 || in[i].dim[0] != (int64_t)g.o))
            return prelu_fail(err, PRELU_E_FORMAT, "%s has not one value for each of %zu filters",
                              i == IN_BIAS ? "bias" : "slope", g.o);
    out[0] = (prelu_shape){4, {in[0].dim[0], (int64_t)g.o, (int64_t)g.oh, (int64_t)g.ow}};
    if (n->n_in > IN_RESIDUAL && !prelu_shape_equal(&in[IN_RESIDUAL], &out[0]))
        return prelu_fail(err, PRELU_E_FORMAT, "residual is not of the output's shape");
    return PRELU_OK;
}

static bool is_depthwise(const prelu_node *n, const prelu_shape *w)
{
    return w->dim[1] == 1 && w->dim[0] > 1 && prelu_node_int(n, "group", 1) == w->dim[0];
}

typedef struct pack_job {
    const krn_gemm *krn;
    const krn_table *table;
    const op_file_f32 *w; /* (o, c, kh*kw) as in the file */
    float *panels;
    size_t cols, c, taps, k, panels_per_group;
    bool round, narrow; /* the panels' values; narrow: bf16 panels */
} pack_job;

/* Channels from..from+n-1 of one tap of a panel's filters, as [n][nr]. */
static void take_tap(const pack_job *j, float *to, size_t group, size_t first, size_t tap,
                     size_t from, size_t n)
{
    const size_t nr = j->krn->nr;
    for (size_t col = 0; col < nr; col++) {
        const op_file_f32 *w = j->w + (group * j->cols + first + col) * j->k + from * j->taps + tap;
        for (size_t c = 0; c < n; c++)
            to[c * nr + col] = first + col < j->cols ? w[c * j->taps] : 0.0f;
    }
}

/* Filter o of the file is (c, taps); a panel wants (taps, c). */
static void pack_panel(void *ctx, size_t task, int worker)
{
    enum { PART = 2048 }; /* the filters' lines stay in L2 from tap to tap */
    const pack_job *j = ctx;
    const size_t nr = j->krn->nr, group = task / j->panels_per_group, step = PART / nr;
    const size_t first = task % j->panels_per_group * nr;
    float part[PART];
    (void)worker;
    for (size_t c = 0; c < j->c; c += step)
        for (size_t t = 0; t < j->taps; t++) {
            const size_t n = op_min(step, j->c - c);
            const size_t at = (task * j->k + t * j->c + c) * nr;
            take_tap(j, part, group, first, t, c, n);
            if (j->narrow)
                j->table->to_bf16((uint16_t *)(void *)j->panels + at, part, n * nr);
            else if (j->round)
                j->table->round_bf16(j->panels + at, part, n * nr);
            else
                memcpy(j->panels + at, part, n * nr * sizeof *part);
        }
}

typedef struct ahead_job {
    op_winograd p;
    float *packed;
    const float *panels;
} ahead_job;

static void pack_strip(void *ctx, size_t strip, int worker)
{
    const ahead_job *j = ctx;
    (void)worker;
    op_winograd_pack(&j->p, j->packed, j->panels, strip);
}

/* The panels are a step on the way only. */
static prelu_status pack_ahead(float *to, const op_winograd *p, pack_job *job, size_t panels,
                               prelu_pool *pool, prelu_err *err)
{
    const size_t len = panels * job->krn->nr * job->k * sizeof(float);
    ahead_job ahead = {.p = *p, .packed = to};
    job->panels = prelu_alloc(len);
    if (!job->panels)
        return prelu_fail(err, PRELU_E_NOMEM, "filters: %zu bytes", len);
    prelu_pool_run(pool, panels, pack_panel, job);
    ahead.panels = job->panels;
    prelu_pool_run(pool, p->strips, pack_strip, &ahead);
    prelu_free(job->panels);
    return PRELU_OK;
}

static const char *algorithm_of(const op_instance *inst, const packed *p, size_t taps)
{
    const krn_winograd *w = op_winograd_of(inst->krn, taps);
    const krn_gemm *g = inst->krn->gemm_f32;
    if (p->bf16)
        return inst->krn->gemm_bf16->name;
    if (p->depthwise)
        return "depthwise direct f32";
    switch (p->winograd) {
    case OP_WINOGRAD_AHEAD:
        return p->rounded ? w->rounded_ahead : w->ahead;
    case OP_WINOGRAD_FLY:
        return p->rounded ? w->rounded_fly : w->fly;
    case OP_WINOGRAD_NO:
        break;
    }
    return p->rounded ? g->rounded : g->name;
}

/* [packed | bias | slope | panels], every part on a cache line. */
static prelu_status pack(op_instance *inst, const op_tensor *in, int n_in, prelu_pool *pool,
                         uint64_t *consumed, prelu_err *err)
{
    const krn_gemm *krn = inst->krn->gemm_f32;
    const prelu_shape *w = &in[IN_W].shape;
    const size_t groups = (size_t)prelu_node_int(inst->node, "group", 1), o = (size_t)w->dim[0];
    const size_t taps = (size_t)(w->dim[2] * w->dim[3]), c = (size_t)w->dim[1];
    const size_t row = (o + 15) / 16 * 16, panels = op_panels(krn, o / groups);
    const bool depthwise = is_depthwise(inst->node, w);
    const bool low =
        !depthwise && inst->precision == PRELU_PRECISION_BF16 && op_conv_bf16_fits(inst->node, w);
    const bool bf16 = low && inst->krn->gemm_bf16->tiles, rounded = low && !bf16;
    const size_t onednn = in[IN_W].data ? op_onednn_packed(inst, w) : 0;
    const op_winograd_kind kind =
        bf16 || depthwise || onednn ? OP_WINOGRAD_NO : op_winograd_fits(inst->node, w);
    const bool narrow = rounded && kind == OP_WINOGRAD_FLY;
    const op_winograd wino = op_winograd_cut(
        &(op_patch){.n = 1, .c = c, .o = o, .kh = (size_t)w->dim[2]}, inst->krn, true);
    const size_t len = onednn                      ? onednn
                       : kind == OP_WINOGRAD_AHEAD ? op_winograd_packed(&wino) * sizeof(float)
                       : bf16                      ? op_conv_bf16_packed(inst->krn, o, c, taps)
                       : depthwise                 ? taps * row * sizeof(float)
                                                   : groups * panels * krn->nr * taps * c *
                                         (narrow ? sizeof(uint16_t) : sizeof(float));
    if (!in[IN_W].data)
        return PRELU_OK; /* variable weights are packed at every run */
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    inst->packed_len = (64 + 2 * row) * sizeof(float) + len;
    packed *p = prelu_alloc(inst->packed_len);
    if (!p)
        return prelu_fail(err, PRELU_E_NOMEM, "filters: %zu bytes", inst->packed_len);
    float *bias = (float *)(void *)p + 64, *slope = bias + row, *data = slope + row;
    const bool has_bias = n_in > IN_BIAS && in[IN_BIAS].data;
    const bool has_slope = n_in > IN_SLOPE && in[IN_SLOPE].data;
    *p = (packed){.o = o,
                  .depthwise = depthwise,
                  .bf16 = bf16,
                  .rounded = rounded,
                  .onednn = onednn > 0,
                  .winograd = kind,
                  .bias = has_bias ? bias : NULL,
                  .slope = has_slope ? slope : NULL,
                  .panels = data};
    inst->packed = p;
    inst->bf16 = bf16 || (rounded && kind != OP_WINOGRAD_NO);
    *consumed = 1u << IN_W;
    if (has_bias) {
        memcpy(bias, in[IN_BIAS].data, o * sizeof *bias);
        *consumed |= 1u << IN_BIAS;
    }
    if (has_slope) {
        memcpy(slope, in[IN_SLOPE].data, o * sizeof *slope);
        *consumed |= 1u << IN_SLOPE;
    }
    pack_job job = {.krn = krn,
                    .table = inst->krn,
                    .round = rounded,
                    .narrow = narrow,
                    .w = in[IN_W].data,
                    .panels = data,
                    .cols = o / groups,
                    .c = c,
                    .taps = taps,
                    .k = taps * c,
                    .panels_per_group = panels};
    if (onednn)
        PRELU_TRY(op_onednn_pack(inst, w, in[IN_W].data, data, err));
    else if (kind == OP_WINOGRAD_AHEAD)
        PRELU_TRY(pack_ahead(data, &wino, &job, panels, pool, err));
    else if (bf16)
        op_conv_bf16_pack(inst->krn, (uint16_t *)(void *)data, in[IN_W].data, o, c, taps, pool);
    else if (depthwise)
        op_depthwise_pack(data, in[IN_W].data, o, taps);
    else
        prelu_pool_run(pool, groups * panels, pack_panel, &job);
    inst->algorithm = onednn ? "oneDNN f32" : algorithm_of(inst, p, (size_t)w->dim[2]);
    return PRELU_OK;
}

/* Geometry again from shapes that were checked when the session was reshaped. */
static op_patch geometry(const op_instance *inst, const op_tensor *in)
{
    op_patch g = {0};
    if (op_patch_of_conv(&g, inst->node, &in[IN_X].shape, &in[IN_W].shape, NULL) != PRELU_OK)
        g.n = 0;
    return g;
}

/* Filters on the fly leave the choice to the picture's size; never to the batch's. In bf16 they
 * serve nothing else. */
static bool by_winograd(const packed *pk, const op_patch *g)
{
    return pk && (pk->winograd == OP_WINOGRAD_AHEAD ||
                  (pk->winograd == OP_WINOGRAD_FLY && (pk->rounded || op_winograd_pays(g))));
}

static op_winograd cut_winograd(const packed *pk, const op_patch *g, const krn_table *krn)
{
    op_winograd w = op_winograd_cut(g, krn, pk->winograd == OP_WINOGRAD_AHEAD);
    w.narrow = pk->rounded && !w.ahead;
    return w;
}

static op_conv_plan cut_product(const packed *pk, const op_patch *g, const krn_table *krn)
{
    op_conv_plan p = op_conv_cut(g, krn->gemm_f32);
    p.round = pk->rounded ? krn->round_bf16 : NULL;
    return p;
}

static void run_winograd(const packed *pk, const op_patch *g, const op_exec *x,
                         const krn_epilogue *ep, int phase, size_t task, void *scratch)
{
    const op_winograd w = cut_winograd(pk, g, x->op->krn);
    const bool from16 = x->in[IN_X].dtype == PRELU_BF16, to16 = x->out[0].dtype == PRELU_BF16;
    const op_winograd_run r = {.x = from16 ? NULL : x->in[IN_X].data,
                               .x16 = from16 ? x->in[IN_X].data : NULL,
                               .round = pk->rounded,
                               .filters = pk->panels,
                               .filters16 = (const void *)pk->panels,
                               .y = to16 ? NULL : x->out[0].data,
                               .y16 = to16 ? x->out[0].data : NULL,
                               .ep = ep,
                               .shared = x->shared,
                               .scratch = scratch};
    op_winograd_task(&w, &r, phase, task);
}

static prelu_status prepare(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                            op_work *work, prelu_err *err)
{
    const krn_gemm *krn = inst->krn->gemm_f32;
    const op_patch g = geometry(inst, in);
    const packed *pk = inst->packed;
    PRELU_TRY(op_need_f32(inst, in, inst->bf16 ? 1u << IN_X : 0, err));
    (void)out;
    if (pk && pk->onednn)
        return op_onednn_work(inst, &g, work, err);
    if (pk && pk->depthwise) {
        op_depthwise_work(&g, work);
        return PRELU_OK;
    }
    if (pk && pk->bf16) {
        const op_conv_bf16 low = op_conv_bf16_cut(&g, inst->krn);
        return op_conv_bf16_work(&low, work, err);
    }
    if (by_winograd(pk, &g)) {
        const op_winograd w = cut_winograd(pk, &g, inst->krn);
        return op_winograd_work(&w, work, err);
    }
    if (!pk) {
        const op_conv_variable v = op_conv_variable_cut(inst, &g, &in[IN_W].shape);
        return op_conv_variable_work(&v, work, err);
    }
    const op_conv_plan p = cut_product(pk, &g, inst->krn);
    op_conv_work(&p, krn, work, 0);
    return PRELU_OK;
}

/* Variable filters lie as (o, taps, c): a row is a column of b already. */
static void pack_variable(float *panel, const op_patch *g, size_t nr, const float *w, size_t group,
                          size_t first)
{
    const size_t cols = g->o / g->groups, k = op_patch_len(g);
    op_panel_from_rows(panel, nr, w + (group * cols + first) * k, k, op_min(nr, cols - first), k,
                       1.0f);
}

static void run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const krn_gemm *krn = x->op->krn->gemm_f32;
    const op_patch g = geometry(x->op, x->in);
    const packed *pk = x->op->packed;
    const float *residual = x->n_in > IN_RESIDUAL ? x->in[IN_RESIDUAL].data : NULL;
    const float *bias = x->n_in > IN_BIAS ? x->in[IN_BIAS].data : NULL;
    const float *slope = x->n_in > IN_SLOPE ? x->in[IN_SLOPE].data : NULL;
    if (pk && pk->bias)
        bias = pk->bias;
    if (pk && pk->slope)
        slope = pk->slope;
    krn_epilogue ep = {.bias = bias,
                       .slope = slope,
                       .residual = residual,
                       .ldr = g.o,
                       .act = (krn_act)prelu_node_int(x->op->node, "act", KRN_ACT_NONE),
                       .residual_last = prelu_node_int(x->op->node, "residual_last", 0) != 0};
    const bool plain = !bias && !residual && ep.act == KRN_ACT_NONE;
    float *y = x->out[0].data;
    if (!pk) {
        const op_conv_variable v = op_conv_variable_cut(x->op, &g, &x->in[IN_W].shape);
        const op_conv_variable_run r = {.pack = pack_variable,
                                        .pack_bf16 = op_conv_bf16_pack_filters,
                                        .exec = x,
                                        .ep = plain ? NULL : &ep,
                                        .scratch = scratch};
        op_conv_variable_task(&v, &r, phase, task);
    } else if (pk->onednn) {
        op_onednn_task(x, &g, pk->panels, plain ? NULL : &ep, phase, task);
    } else if (pk->depthwise) {
        op_depthwise_task(&g, x->op->krn, x->in[IN_X].data, pk->panels, y, plain ? NULL : &ep,
                          task);
    } else if (by_winograd(pk, &g)) {
        run_winograd(pk, &g, x, plain ? NULL : &ep, phase, task, scratch);
    } else if (pk->bf16) {
        const op_conv_bf16 low = op_conv_bf16_cut(&g, x->op->krn);
        op_conv_bf16_task(&low, x->op->krn, x, (const uint16_t *)(const void *)pk->panels,
                          plain ? NULL : &ep, phase, task, scratch);
    } else {
        const op_conv_plan p = cut_product(pk, &g, x->op->krn);
        op_conv_task(&p, krn, x->in[IN_X].data, pk->panels, y, plain ? NULL : &ep, task, scratch);
    }
}

static prelu_status grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_node *n = &c->g->nodes[c->node];
    const prelu_value x = n->in[IN_X], w = n->in[IN_W], dy = c->dout[0];
    const size_t n_attrs = n->n_attrs;
    const prelu_attr *attrs = n->attrs; /* the array itself does not move when nodes are added */
    const bool bias = n->n_in > IN_BIAS && c->needs[IN_BIAS];
    if (c->needs[IN_X])
        PRELU_TRY(op_grad_node(c, "ConvGradX", "dx", (prelu_value[]){dy, w, x}, 3, attrs, n_attrs,
                               &c->din[IN_X], 1, err));
    if (c->needs[IN_W])
        PRELU_TRY(op_grad_node(c, "ConvGradW", "dw", (prelu_value[]){dy, x, w}, 3, attrs, n_attrs,
                               &c->din[IN_W], 1, err));
    if (bias)
        PRELU_TRY(op_grad_node(c, "ConvGradB", "db", &dy, 1, NULL, 0, &c->din[IN_BIAS], 1, err));
    return PRELU_OK;
}

const op_def op_conv = {.name = "Conv",
                        .min_in = 2,
                        .max_in = 5,
                        .min_out = 1,
                        .max_out = 1,
                        .shape = shape,
                        .pack = pack,
                        .prepare = prepare,
                        .run = run,
                        .grad = grad};
