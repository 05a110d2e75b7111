#include "ops/util.h"
#include <math.h>
#include <string.h>

/* Softmax and LogSoftmax over one axis (opset 13), and their gradients. A line is what one softmax
 * runs over: `len` elements `apart` from each other in memory. */

typedef struct lines {
    size_t len, apart, count;
} lines;

static prelu_status lines_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                prelu_err *err)
{
    int axis;
    PRELU_TRY(op_shape_like_first(n, in, out, err));
    return op_axis(prelu_node_int(n, "axis", -1), in[0].rank, &axis, err);
}

static prelu_status lines_grad_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                     prelu_err *err)
{
    PRELU_TRY(op_need_same(&in[0], "dy", &in[1], "y", err));
    return lines_shape(n, in, out, err);
}

static lines lines_of(const prelu_node *n, const prelu_shape *s)
{
    const int64_t axis = prelu_node_int(n, "axis", -1);
    const int at = (int)(axis < 0 ? axis + s->rank : axis);
    ptrdiff_t stride[PRELU_MAX_RANK];
    op_strides(s, stride);
    const size_t len = (size_t)s->dim[at];
    return (lines){len, (size_t)stride[at], op_count(s) / len};
}

static size_t line_start(const lines *l, size_t i)
{
    return i / l->apart * l->apart * l->len + i % l->apart;
}

static size_t lines_per_task(const lines *l)
{
    const size_t elements = OP_CHUNK / 8; /* an exp costs what some ten sums cost */
    return l->len < elements ? elements / l->len : 1;
}

static prelu_status lines_prepare(const op_instance *inst, const op_tensor *in,
                                  const op_tensor *out, op_work *work, prelu_err *err)
{
    const lines l = lines_of(inst->node, &out[0].shape);
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    work->tasks[0] = op_parts(l.count, lines_per_task(&l));
    work->flops[0] = 1 + 50.0 * (double)(lines_per_task(&l) * l.len);
    work->scratch = 2 * l.len * sizeof(float); /* lines whose elements lie apart are gathered */
    return PRELU_OK;
}

static void gather(float *line, const float *from, const lines *l)
{
    for (size_t j = 0; j < l->len; j++)
        line[j] = from[j * l->apart];
}

static void scatter(float *to, const float *line, const lines *l)
{
    for (size_t j = 0; j < l->len; j++)
        to[j * l->apart] = line[j];
}

static void softmax_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const lines l = lines_of(x->op->node, &x->out[0].shape);
    const float *from = x->in[0].data;
    float *y = x->out[0].data;
    size_t begin, end;
    (void)phase;
    op_part(l.count, lines_per_task(&l), task, &begin, &end);
    if (l.apart == 1) {
        x->op->krn->softmax_f32(y + begin * l.len, from + begin * l.len, end - begin, l.len);
        return;
    }
    for (size_t i = begin; i < end; i++) {
        gather(scratch, from + line_start(&l, i), &l);
        x->op->krn->softmax_f32(scratch, scratch, 1, l.len);
        scatter(y + line_start(&l, i), scratch, &l);
    }
}

/* y = x - max - log sum exp(x - max) */
static void log_softmax_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const lines l = lines_of(x->op->node, &x->out[0].shape);
    float *line = scratch;
    size_t begin, end;
    (void)phase;
    op_part(l.count, lines_per_task(&l), task, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        const size_t start = line_start(&l, i);
        double sum = 0;
        gather(line, (const float *)x->in[0].data + start, &l);
        float max = line[0];
        for (size_t j = 1; j < l.len; j++)
            max = line[j] > max ? line[j] : max;
        for (size_t j = 0; j < l.len; j++)
            sum += exp((double)line[j] - (double)max);
        const double all = log(sum);
        for (size_t j = 0; j < l.len; j++)
            line[j] = (float)((double)line[j] - (double)max - all);
        scatter((float *)x->out[0].data + start, line, &l);
    }
}

/* From lines dy and y to dx, in dy's place. */
typedef void line_grad_fn(float *dy, const float *y, size_t n);

/* dx = y (dy - sum dy y) */
static void softmax_line_grad(float *dy, const float *y, size_t n)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += (double)dy[j] * (double)y[j];
    for (size_t j = 0; j < n; j++)
        dy[j] = (float)((double)y[j] * ((double)dy[j] - sum));
}

/* dx = dy - exp(y) sum dy */
static void log_softmax_line_grad(float *dy, const float *y, size_t n)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += (double)dy[j];
    for (size_t j = 0; j < n; j++)
        dy[j] = (float)((double)dy[j] - exp((double)y[j]) * sum);
}

static void run_line_grad(const op_exec *x, size_t task, float *scratch, line_grad_fn *fn)
{
    const lines l = lines_of(x->op->node, &x->out[0].shape);
    float *dy = scratch, *y = scratch + l.len;
    size_t begin, end;
    op_part(l.count, lines_per_task(&l), task, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        const size_t start = line_start(&l, i);
        gather(dy, (const float *)x->in[0].data + start, &l);
        gather(y, (const float *)x->in[1].data + start, &l);
        fn(dy, y, l.len);
        scatter((float *)x->out[0].data + start, dy, &l);
    }
}

static void softmax_grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    (void)phase;
    run_line_grad(x, task, scratch, softmax_line_grad);
}

static void log_softmax_grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    (void)phase;
    run_line_grad(x, task, scratch, log_softmax_line_grad);
}

static prelu_status line_grad(op_grad_ctx *c, const char *op, prelu_err *err)
{
    const prelu_node *n = &c->g->nodes[c->node];
    const prelu_attr axis = PRELU_INT("axis", prelu_node_int(n, "axis", -1));
    const prelu_value in[2] = {c->dout[0], n->out[0]};
    return op_grad_one(c, 0, op, "dx", in, 2, &axis, 1, err);
}

static prelu_status softmax_grad(op_grad_ctx *c, prelu_err *err)
{
    return line_grad(c, "SoftmaxGrad", err);
}

static prelu_status log_softmax_grad(op_grad_ctx *c, prelu_err *err)
{
    return line_grad(c, "LogSoftmaxGrad", err);
}

const op_def op_softmax = {.name = "Softmax",
                           .min_in = 1,
                           .max_in = 1,
                           .min_out = 1,
                           .max_out = 1,
                           .in_place = true,
                           .shape = lines_shape,
                           .prepare = lines_prepare,
                           .run = softmax_run,
                           .grad = softmax_grad};

const op_def op_softmax_grad = {.name = "SoftmaxGrad",
                                .min_in = 2,
                                .max_in = 2,
                                .min_out = 1,
                                .max_out = 1,
                                .in_place = true,
                                .shape = lines_grad_shape,
                                .prepare = lines_prepare,
                                .run = softmax_grad_run};

const op_def op_log_softmax = {.name = "LogSoftmax",
                               .min_in = 1,
                               .max_in = 1,
                               .min_out = 1,
                               .max_out = 1,
                               .in_place = true,
                               .shape = lines_shape,
                               .prepare = lines_prepare,
                               .run = log_softmax_run,
                               .grad = log_softmax_grad};

const op_def op_log_softmax_grad = {.name = "LogSoftmaxGrad",
                                    .min_in = 2,
                                    .max_in = 2,
                                    .min_out = 1,
                                    .max_out = 1,
                                    .in_place = true,
                                    .shape = lines_grad_shape,
                                    .prepare = lines_prepare,
                                    .run = log_softmax_grad_run};
