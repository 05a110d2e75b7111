#include "ops/reduce.h"
#include "ops/util.h"
#include <string.h>

/* PReLU (He et al. 2015, eq. 1): f(x) = x for x > 0, a x otherwise; a is broadcast to x. NaN stays
 * NaN. Its gradients: df/dx = 1 or a, df/da = 0 or x. */

/* A row of slopes shorter than this is repeated up to this length, so that the loops over a row are
 * worth their start; a slope that all elements share becomes such a row too. */
enum { REPEAT = 256 };

static prelu_status prelu_shape_rule(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                     prelu_err *err)
{
    char tx[96], ts[96];
    PRELU_TRY(op_shape_like_first(n, in, out, err));
    if (!op_broadcasts_to(&in[1], &in[0]))
        return prelu_fail(err, PRELU_E_FORMAT, "slope %s cannot be broadcast to %s",
                          prelu_shape_text(&in[1], ts, sizeof ts),
                          prelu_shape_text(&in[0], tx, sizeof tx));
    return PRELU_OK;
}

static prelu_status prelu_prepare(const op_instance *inst, const op_tensor *in,
                                  const op_tensor *out, op_work *work, prelu_err *err)
{
    PRELU_TRY(op_prepare_elementwise(inst, in, out, work, err));
    work->scratch = REPEAT * sizeof(float);
    return PRELU_OK;
}

/* Length of the repeated row, or 0 where the slopes do not form one short row or a single value. */
static size_t repeat_slopes(const op_walk *w, const float *slope, float *row)
{
    const size_t c = w->rank == 1 ? 1 : w->size[1];
    const bool one = w->rank == 1 && w->stride[0][0] == 0;
    const bool channels = w->rank == 2 && w->stride[0][0] == 0 && w->stride[0][1] == 1;
    if (!one && !(channels && c < REPEAT / 2))
        return 0;
    const size_t len = REPEAT / c * c;
    for (size_t i = 0; i < len; i += c)
        for (size_t j = 0; j < c; j++)
            row[i + j] = slope[j];
    return len;
}

/* What to do with `n` elements from `at` on, whose slopes lie `stride` (0 or 1, else any) apart. */
typedef void row_fn(const op_exec *x, size_t at, const float *slope, ptrdiff_t stride, size_t n);
/* The same for whole rows of `c` elements with slopes of their own. */
typedef void rows_fn(const op_exec *x, size_t at, const float *slope, size_t rows, size_t c);

/* Elements begin..end-1, cut where the slopes start again. `begin` need not be the start of a row.
 */
static void walk_general(const op_exec *x, const op_walk *w, const float *slope, size_t begin,
                         size_t end, row_fn *fn)
{
    const size_t inner = w->size[w->rank - 1];
    const ptrdiff_t stride = w->stride[0][w->rank - 1];
    for (size_t at = begin; at < end;) {
        const size_t row = at / inner, col = at % inner;
        const size_t n = inner - col < end - at ? inner - col : end - at;
        fn(x, at, slope + op_walk_at(w, 0, row) + (ptrdiff_t)col * stride, stride, n);
        at += n;
    }
}

static void walk_rows(const op_exec *x, const float *slope, size_t c, size_t begin, size_t end,
                      rows_fn *fn)
{
    const size_t col = begin % c;
    const size_t head = col ? (c - col < end - begin ? c - col : end - begin) : 0;
    const size_t rows = (end - begin - head) / c, tail = (end - begin - head) % c;
    if (head)
        fn(x, begin, slope + col, 1, head);
    if (rows)
        fn(x, begin + head, slope, rows, c);
    if (tail)
        fn(x, end - tail, slope, 1, tail);
}

static void walk(const op_exec *x, int slope_in, size_t task, float *scratch, row_fn *row,
                 rows_fn *rows)
{
    const prelu_shape *s = &x->in[slope_in].shape;
    const float *slope = x->in[slope_in].data;
    op_walk w;
    size_t begin, end;
    op_walk_broadcast(&w, &x->out[0].shape, &s, 1);
    op_part(op_count(&x->out[0].shape), OP_CHUNK, task, &begin, &end);
    const size_t len = repeat_slopes(&w, slope, scratch);
    if (len)
        walk_rows(x, scratch, len, begin, end, rows);
    else if (w.rank == 2 && w.stride[0][0] == 0 && w.stride[0][1] == 1)
        walk_rows(x, slope, w.size[1], begin, end, rows);
    else
        walk_general(x, &w, slope, begin, end, row);
}

static void forward_rows(const op_exec *x, size_t at, const float *slope, size_t rows, size_t c)
{
    x->op->krn->prelu_f32((float *)x->out[0].data + at, (const float *)x->in[0].data + at, slope,
                          rows, c);
}

static void forward_row(const op_exec *x, size_t at, const float *slope, ptrdiff_t stride, size_t n)
{
    float *y = (float *)x->out[0].data + at;
    const float *v = (const float *)x->in[0].data + at;
    if (stride == 1) {
        forward_rows(x, at, slope, 1, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        y[i] = v[i] > 0.0f ? v[i] : slope[(ptrdiff_t)i * stride] * v[i];
}

static void prelu_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    (void)phase;
    walk(x, 1, task, scratch, forward_row, forward_rows);
}

static prelu_status prelu_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_node *n = &c->g->nodes[c->node];
    const prelu_value in[3] = {c->dout[0], n->in[0], n->in[1]};
    if (c->dout[0] != PRELU_NONE && c->needs[0] && c->needs[1])
        return op_grad_node(c, "PReluGrad", "d", in, 3, NULL, 0, c->din, 2, err);
    PRELU_TRY(op_grad_one(c, 0, "PReluGradX", "dx", in, 3, NULL, 0, err));
    return op_grad_one(c, 1, "PReluGradSlope", "dslope", in, 3, NULL, 0, err);
}

const op_def op_prelu = {.name = "PRelu",
                         .min_in = 2,
                         .max_in = 2,
                         .min_out = 1,
                         .max_out = 1,
                         .in_place = true,
                         .shape = prelu_shape_rule,
                         .prepare = prelu_prepare,
                         .run = prelu_run,
                         .grad = prelu_grad};

/* Gradients. Inputs: dy, x, slope. */

static prelu_status grad_inputs(const prelu_shape *in, prelu_err *err)
{
    char tx[96], ts[96];
    PRELU_TRY(op_need_same(&in[0], "dy", &in[1], "x", err));
    if (!op_broadcasts_to(&in[2], &in[1]))
        return prelu_fail(err, PRELU_E_FORMAT, "slope %s cannot be broadcast to %s",
                          prelu_shape_text(&in[2], ts, sizeof ts),
                          prelu_shape_text(&in[1], tx, sizeof tx));
    return PRELU_OK;
}

static prelu_status grad_x_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                 prelu_err *err)
{
    PRELU_TRY(grad_inputs(in, err));
    return op_shape_like_first(n, in, out, err);
}

static void grad_x_rows(const op_exec *x, size_t at, const float *slope, size_t rows, size_t c)
{
    float *dx = (float *)x->out[0].data + at;
    const float *dy = (const float *)x->in[0].data + at, *v = (const float *)x->in[1].data + at;
    for (size_t r = 0; r < rows; r++, dx += c, dy += c, v += c)
        /* every operand is loaded before the choice, so the loop has no branch to vectorise over;
         * in place, dx[j] is dy[j] itself, never a neighbour */
        OP_IVDEP
    for (size_t j = 0; j < c; j++) {
        const float d = dy[j], low = slope[j] * d;
        dx[j] = v[j] > 0.0f ? d : low;
    }
}

static void grad_x_row(const op_exec *x, size_t at, const float *slope, ptrdiff_t stride, size_t n)
{
    float *dx = (float *)x->out[0].data + at;
    const float *dy = (const float *)x->in[0].data + at, *v = (const float *)x->in[1].data + at;
    for (size_t i = 0; i < n; i++)
        dx[i] = v[i] > 0.0f ? dy[i] : slope[(ptrdiff_t)i * stride] * dy[i];
}

static void grad_x_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    (void)phase;
    walk(x, 2, task, scratch, grad_x_row, grad_x_rows);
}

const op_def op_prelu_grad_x = {.name = "PReluGradX",
                                .min_in = 3,
                                .max_in = 3,
                                .min_out = 1,
                                .max_out = 1,
                                .in_place = true,
                                .shape = grad_x_shape,
                                .prepare = prelu_prepare,
                                .run = grad_x_run};

static prelu_status grad_slope_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                     prelu_err *err)
{
    (void)n;
    PRELU_TRY(grad_inputs(in, err));
    PRELU_TRY(op_check_size(&in[0], err));
    out[0] = in[2];
    return op_check_size(out, err);
}

static prelu_status grad_slope_prepare(const op_instance *inst, const op_tensor *in,
                                       const op_tensor *out, op_work *work, prelu_err *err)
{
    const op_reduce_map map = op_reduce_to(&in[0].shape, &out[0].shape);
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    op_reduce_prepare(&in[0].shape, &map, work);
    return PRELU_OK;
}

/* dE/da of each element: x dy where x <= 0. */
static const float *grad_slope_fetch(const op_exec *x, float *buffer, size_t at, size_t n)
{
    const float *dy = (const float *)x->in[0].data + at, *v = (const float *)x->in[1].data + at;
    OP_IVDEP
    for (size_t i = 0; i < n; i++) {
        const float p = v[i] * dy[i];
        buffer[i] = v[i] > 0.0f ? 0.0f : p;
    }
    return buffer;
}

static void grad_slope_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_reduce_map map = op_reduce_to(&x->in[0].shape, &x->out[0].shape);
    op_reduce_run(x, &x->in[0].shape, &map, OP_REDUCE_SUM, 1.0, grad_slope_fetch, phase, task,
                  scratch);
}

const op_def op_prelu_grad_slope = {.name = "PReluGradSlope",
                                    .min_in = 3,
                                    .max_in = 3,
                                    .min_out = 1,
                                    .max_out = 1,
                                    .shape_only = 1u << 2,
                                    .shape = grad_slope_shape,
                                    .prepare = grad_slope_prepare,
                                    .run = grad_slope_run};

/* Both at once. Inputs as above; outputs dx, dslope. Slopes by channel take one pass: each task
 * sums dslope over its rows, in double, into its part of `shared`; phase 1 adds the parts in order.
 * All others take the two ways above one after the other, dx last: it may lie where dy does. */
enum { CHANNELS_PER_TASK = 64 };

typedef struct rows {
    size_t rows, c, each; /* rows of a task; c = 0: slopes are not by channel */
} rows;

static rows rows_of(const op_tensor *in)
{
    const prelu_shape *slope = &in[2].shape;
    rows v = {0};
    op_walk w;
    op_walk_broadcast(&w, &in[1].shape, &slope, 1);
    if (w.rank != 2 || w.stride[0][0] != 0 || w.stride[0][1] != 1)
        return v;
    v = (rows){.rows = w.size[0], .c = w.size[1]};
    v.each = v.c < OP_CHUNK / 16 ? OP_CHUNK / v.c : 16;
    return v;
}

static prelu_status grad_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                               prelu_err *err)
{
    PRELU_TRY(grad_x_shape(n, in, out, err));
    out[1] = in[2];
    return op_check_size(&out[1], err);
}

static prelu_status grad_prepare(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                                 op_work *work, prelu_err *err)
{
    const rows v = rows_of(in);
    if (!v.c) {
        PRELU_TRY(grad_slope_prepare(inst, in, out + 1, work, err));
        const int last = work->phases++;
        work->tasks[last] = op_parts(op_count(&in[0].shape), OP_CHUNK);
        work->flops[last] = 12.0 * (double)OP_CHUNK;
        if (work->scratch < REPEAT * sizeof(float))
            work->scratch = REPEAT * sizeof(float);
        return PRELU_OK;
    }
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    work->phases = 2;
    work->tasks[0] = op_parts(v.rows, v.each);
    work->flops[0] = 12.0 * (double)(v.each * v.c);
    work->tasks[1] = op_parts(v.c, CHANNELS_PER_TASK);
    work->flops[1] = 8.0 * (double)(work->tasks[0] * CHANNELS_PER_TASK);
    work->shared = work->tasks[0] * v.c * sizeof(double);
    return PRELU_OK;
}

static void grad_rows(const op_exec *x, rows v, size_t task)
{
    double *sum = (double *)x->shared + task * v.c;
    size_t begin, end;
    op_part(v.rows, v.each, task, &begin, &end);
    memset(sum, 0, v.c * sizeof *sum);
    x->op->krn->passes_f32->prelu_grad(
        (float *)x->out[0].data + begin * v.c, sum, (const float *)x->in[0].data + begin * v.c,
        (const float *)x->in[1].data + begin * v.c, x->in[2].data, end - begin, v.c);
}

static void grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const rows v = rows_of(x->in);
    float *dslope = x->out[1].data;
    size_t begin, end;
    if (!v.c && phase + 1 < x->work->phases) {
        op_exec slope = *x;
        slope.out = x->out + 1;
        grad_slope_run(&slope, phase, task, scratch);
    } else if (!v.c) {
        grad_x_run(x, phase, task, scratch);
    } else if (phase == 0) {
        grad_rows(x, v, task);
    } else {
        op_part(v.c, CHANNELS_PER_TASK, task, &begin, &end);
        for (size_t j = begin; j < end; j++) {
            double sum = 0;
            for (size_t p = 0; p < x->work->tasks[0]; p++)
                sum += ((const double *)x->shared)[p * v.c + j];
            dslope[j] = (float)sum;
        }
    }
}

const op_def op_prelu_grad = {.name = "PReluGrad",
                              .min_in = 3,
                              .max_in = 3,
                              .min_out = 2,
                              .max_out = 2,
                              .in_place = true,
                              .shape = grad_shape,
                              .prepare = grad_prepare,
                              .run = grad_run};
