#include "ops/reduce.h"

/* Ops that are a reduction and no more: SumTo, ReduceMean, ReduceSum, ReduceMax, the global pools.
 */

static const float *fetch_input(const op_exec *x, float *buffer, size_t at, size_t n)
{
    (void)buffer, (void)n;
    return (const float *)x->in[0].data + at;
}

/* SumTo: the gradient of broadcasting. Input 0 is summed to the shape of input 1, times `scale`. */

static prelu_status sum_to_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                 prelu_err *err)
{
    char from[96], to[96];
    (void)n;
    if (in[0].rank < 0 || !op_broadcasts_to(&in[1], &in[0]))
        return prelu_fail(err, PRELU_E_FORMAT, "%s cannot be summed to %s",
                          prelu_shape_text(&in[0], from, sizeof from),
                          prelu_shape_text(&in[1], to, sizeof to));
    out[0] = in[1];
    PRELU_TRY(op_check_size(&in[0], err));
    return op_check_size(out, err);
}

static prelu_status sum_to_prepare(const op_instance *inst, const op_tensor *in,
                                   const op_tensor *out, op_work *work, prelu_err *err)
{
    const op_reduce_map map = op_reduce_to(&in[0].shape, &out[0].shape);
    PRELU_TRY(op_need_f32(inst, in, 2, err));
    op_reduce_prepare(&in[0].shape, &map, work);
    return PRELU_OK;
}

static void sum_to_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_reduce_map map = op_reduce_to(&x->in[0].shape, &x->out[0].shape);
    op_reduce_run(x, &x->in[0].shape, &map, OP_REDUCE_SUM,
                  (double)prelu_node_float(x->op->node, "scale", 1.0f), fetch_input, phase, task,
                  scratch);
}

const op_def op_sum_to = {.name = "SumTo",
                          .min_in = 2,
                          .max_in = 2,
                          .min_out = 1,
                          .max_out = 1,
                          .shape_only = 1u << 1,
                          .in_place = true,
                          .shape = sum_to_shape,
                          .prepare = sum_to_prepare,
                          .run = sum_to_run};

/* ReduceMean, ReduceSum, ReduceMax: attributes axes (all if absent) and keepdims (1). */

static prelu_status reduced_axes(const prelu_node *n, int rank, unsigned *mask, prelu_err *err)
{
    const int64_t *axes;
    size_t len;
    *mask = (1u << rank) - 1u;
    PRELU_TRY(op_ints(n, "axes", 0, -rank, rank - 1, &axes, &len, err));
    if (len)
        *mask = 0;
    for (size_t i = 0; i < len; i++)
        *mask |= 1u << (axes[i] < 0 ? axes[i] + rank : axes[i]);
    return PRELU_OK;
}

static prelu_status reduce_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                 prelu_err *err)
{
    unsigned axes;
    if (in[0].rank < 0)
        return prelu_fail(err, PRELU_E_FORMAT, "input 0 is missing");
    PRELU_TRY(reduced_axes(n, in[0].rank, &axes, err));
    const bool keep = prelu_node_int(n, "keepdims", 1) != 0;
    out[0] = (prelu_shape){.rank = 0};
    for (int i = 0; i < in[0].rank; i++) {
        if (!(axes >> i & 1))
            out[0].dim[out[0].rank++] = in[0].dim[i];
        else if (keep)
            out[0].dim[out[0].rank++] = 1;
        if (in[0].dim[i] == 0)
            return prelu_fail(err, PRELU_E_FORMAT, "nothing to reduce: axis %d is empty", i);
    }
    return op_check_size(out, err);
}

static op_reduce_map reduce_map(const prelu_node *n, const prelu_shape *from, const prelu_shape *to)
{
    unsigned axes = 0; /* the shape rule has checked the attribute */
    if (reduced_axes(n, from->rank, &axes, NULL) != PRELU_OK)
        axes = 0;
    return op_reduce_axes(from, axes, to);
}

static prelu_status reduce_prepare(const op_instance *inst, const op_tensor *in,
                                   const op_tensor *out, op_work *work, prelu_err *err)
{
    const op_reduce_map map = reduce_map(inst->node, &in[0].shape, &out[0].shape);
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    op_reduce_prepare(&in[0].shape, &map, work);
    return PRELU_OK;
}

static void reduce_max_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_reduce_map map = reduce_map(x->op->node, &x->in[0].shape, &x->out[0].shape);
    op_reduce_run(x, &x->in[0].shape, &map, OP_REDUCE_MAX, 1.0, fetch_input, phase, task, scratch);
}

static double mean_scale(const op_exec *x)
{
    return (double)op_count(&x->out[0].shape) / (double)op_count(&x->in[0].shape);
}

static void reduce_mean_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_reduce_map map = reduce_map(x->op->node, &x->in[0].shape, &x->out[0].shape);
    op_reduce_run(x, &x->in[0].shape, &map, OP_REDUCE_SUM, mean_scale(x), fetch_input, phase, task,
                  scratch);
}

static void reduce_sum_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_reduce_map map = reduce_map(x->op->node, &x->in[0].shape, &x->out[0].shape);
    op_reduce_run(x, &x->in[0].shape, &map, OP_REDUCE_SUM, 1.0, fetch_input, phase, task, scratch);
}

#define REDUCE(symbol, onnx, run_)                                                                 \
    const op_def symbol = {.name = onnx,                                                           \
                           .min_in = 1,                                                            \
                           .max_in = 1,                                                            \
                           .min_out = 1,                                                           \
                           .max_out = 1,                                                           \
                           .shape = reduce_shape,                                                  \
                           .prepare = reduce_prepare,                                              \
                           .run = run_};
REDUCE(op_reduce_max, "ReduceMax", reduce_max_run)
REDUCE(op_reduce_mean, "ReduceMean", reduce_mean_run)
REDUCE(op_reduce_sum, "ReduceSum", reduce_sum_run)

/* GlobalAveragePool, GlobalMaxPool: (n,c,h,w) to (n,c,1,1). */

prelu_status op_global_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                             prelu_err *err)
{
    (void)n;
    PRELU_TRY(op_need_rank(&in[0], 4, "x", err));
    PRELU_TRY(op_check_map(&in[0], err));
    out[0] = in[0];
    out[0].dim[2] = out[0].dim[3] = 1;
    return PRELU_OK;
}

static prelu_status global_prepare(const op_instance *inst, const op_tensor *in,
                                   const op_tensor *out, op_work *work, prelu_err *err)
{
    const op_reduce_map map = op_reduce_to(&in[0].shape, &out[0].shape);
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    op_reduce_prepare(&in[0].shape, &map, work);
    return PRELU_OK;
}

static void global_average_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_reduce_map map = op_reduce_to(&x->in[0].shape, &x->out[0].shape);
    op_reduce_run(x, &x->in[0].shape, &map, OP_REDUCE_SUM, mean_scale(x), fetch_input, phase, task,
                  scratch);
}

static prelu_status global_average_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_value in[2] = {c->dout[0], c->g->nodes[c->node].in[0]};
    return op_grad_one(c, 0, "GlobalAveragePoolGrad", "dx", in, 2, NULL, 0, err);
}

const op_def op_global_average_pool = {.name = "GlobalAveragePool",
                                       .min_in = 1,
                                       .max_in = 1,
                                       .min_out = 1,
                                       .max_out = 1,
                                       .shape = op_global_shape,
                                       .prepare = global_prepare,
                                       .run = global_average_run,
                                       .grad = global_average_grad};

static void global_max_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_reduce_map map = op_reduce_to(&x->in[0].shape, &x->out[0].shape);
    op_reduce_run(x, &x->in[0].shape, &map, OP_REDUCE_MAX, 1.0, fetch_input, phase, task, scratch);
}

static prelu_status global_max_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_value in[2] = {c->dout[0], c->g->nodes[c->node].in[0]};
    return op_grad_one(c, 0, "GlobalMaxPoolGrad", "dx", in, 2, NULL, 0, err);
}

const op_def op_global_max_pool = {.name = "GlobalMaxPool",
                                   .min_in = 1,
                                   .max_in = 1,
                                   .min_out = 1,
                                   .max_out = 1,
                                   .shape = op_global_shape,
                                   .prepare = global_prepare,
                                   .run = global_max_run,
                                   .grad = global_max_grad};

/* Inputs: dy (n,c,1,1), x (its shape). Each element of a map gets dy / (h w). */

prelu_status op_global_grad_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                  prelu_err *err)
{
    prelu_shape pooled;
    PRELU_TRY(op_global_shape(n, &in[1], &pooled, err));
    PRELU_TRY(op_need_same(&in[0], "dy", &pooled, "the pooled shape", err));
    out[0] = in[1];
    return PRELU_OK;
}

static prelu_status global_grad_prepare(const op_instance *inst, const op_tensor *in,
                                        const op_tensor *out, op_work *work, prelu_err *err)
{
    PRELU_TRY(op_need_f32(inst, in, 2, err));
    op_work_elementwise(work, op_count(&out[0].shape), 4);
    return PRELU_OK;
}

static void global_average_grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const prelu_shape *s = &x->out[0].shape;
    const size_t c = (size_t)s->dim[1], hw = op_span(s, 2, 4);
    const float *dy = x->in[0].data, by = (float)(1.0 / (double)hw);
    float *dx = x->out[0].data;
    size_t begin, end;
    (void)phase, (void)scratch;
    op_part(op_count(s), OP_CHUNK, task, &begin, &end);
    for (size_t at = begin; at < end;) {
        const size_t col = at % c, n = c - col < end - at ? c - col : end - at;
        const float *from = dy + at / c / hw * c + col;
        for (size_t i = 0; i < n; i++)
            dx[at + i] = from[i] * by;
        at += n;
    }
}

const op_def op_global_average_pool_grad = {.name = "GlobalAveragePoolGrad",
                                            .min_in = 2,
                                            .max_in = 2,
                                            .min_out = 1,
                                            .max_out = 1,
                                            .shape_only = 1u << 1,
                                            .shape = op_global_grad_shape,
                                            .prepare = global_grad_prepare,
                                            .run = global_average_grad_run};
