#include "ops/util.h"
#include <math.h>

/* LRN: y = x / (bias + alpha / size * s)^beta, s the sum of the squares of `size` channels around
 * the element's own, the one before the middle if size is even. Channels lie side by side. */

enum { LRN_LIMIT = 1 << 16 };

static prelu_status lrn_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                              prelu_err *err)
{
    const int64_t size = prelu_node_int(n, "size", 0);
    PRELU_TRY(op_need_rank(&in[0], 4, "x", err));
    if (size < 1 || size > LRN_LIMIT)
        return prelu_fail(err, PRELU_E_FORMAT, "attribute size is %lld, not 1..%d", (long long)size,
                          LRN_LIMIT);
    return op_shape_like_first(n, in, out, err);
}

static size_t rows_per_task(op_channels v)
{
    const size_t elements = OP_CHUNK / 16; /* a power costs what some twenty sums cost */
    return v.c < elements ? elements / v.c : 1;
}

static prelu_status lrn_prepare(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                                op_work *work, prelu_err *err)
{
    const op_channels v = op_channels_of(&in[0].shape);
    const size_t rows = rows_per_task(v);
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    work->tasks[0] = op_parts(v.rows, rows);
    work->flops[0] =
        (double)(rows * v.c) * (40.0 + 2.0 * (double)prelu_node_int(inst->node, "size", 1));
    return PRELU_OK;
}

static void lrn_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const prelu_node *n = x->op->node;
    const op_channels v = op_channels_of(&x->in[0].shape);
    const size_t size = (size_t)prelu_node_int(n, "size", 1);
    const size_t below = (size - 1) / 2, above = size - 1 - below;
    const float alpha = prelu_node_float(n, "alpha", 1e-4f) / (float)size;
    const float beta = prelu_node_float(n, "beta", 0.75f), bias = prelu_node_float(n, "bias", 1.0f);
    size_t begin, end;
    (void)phase, (void)scratch;
    op_part(v.rows, rows_per_task(v), task, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        const float *row = (const float *)x->in[0].data + r * v.c;
        float *y = (float *)x->out[0].data + r * v.c;
        for (size_t j = 0; j < v.c; j++) {
            const size_t from = j < below ? 0 : j - below;
            const size_t to = above < v.c - 1 - j ? j + above : v.c - 1;
            float sum = 0;
            for (size_t k = from; k <= to; k++)
                sum += row[k] * row[k];
            y[j] = row[j] / powf(bias + alpha * sum, beta);
        }
    }
}

const op_def op_lrn = {.name = "LRN",
                       .min_in = 1,
                       .max_in = 1,
                       .min_out = 1,
                       .max_out = 1,
                       .shape = lrn_shape,
                       .prepare = lrn_prepare,
                       .run = lrn_run};
