#include "ops/copy.h"
#include <string.h>

/* Slice and Concat with their gradients. */

typedef struct slice {
    int64_t start[PRELU_MAX_RANK], step[PRELU_MAX_RANK];
    prelu_shape out;
} slice;

/* ONNX's rule for one axis of size `dim` >= 0: negative numbers count from the end, and everything
 * is then clamped. */
static int64_t slice_axis(int64_t dim, int64_t *start, int64_t end, int64_t step)
{
    const int64_t last = step > 0 ? dim : dim - 1, first = step > 0 ? 0 : -1;
    *start += *start < 0 ? dim : 0;
    end += end < 0 ? dim : 0;
    *start = *start < 0 ? 0 : *start > last ? last : *start;
    end = end < first ? first : end > last ? last : end;
    const int64_t span = step > 0 ? end - *start : *start - end, by = step > 0 ? step : -step;
    return span > 0 ? (span + by - 1) / by : 0;
}

static prelu_status slice_init(slice *s, const prelu_node *n, const prelu_shape *x, prelu_err *err)
{
    const int64_t *starts, *ends, *axes, *steps, most = (int64_t)OP_MAX_COUNT;
    size_t len, len_ends, len_axes, len_steps;
    unsigned seen = 0;
    if (x->rank < 0)
        return prelu_fail(err, PRELU_E_FORMAT, "input 0 is missing");
    PRELU_TRY(op_check_size(x, err));
    PRELU_TRY(op_ints(n, "starts", 0, INT64_MIN, INT64_MAX, &starts, &len, err));
    PRELU_TRY(op_ints(n, "ends", 0, INT64_MIN, INT64_MAX, &ends, &len_ends, err));
    PRELU_TRY(op_ints(n, "axes", 0, INT64_MIN, INT64_MAX, &axes, &len_axes, err));
    PRELU_TRY(op_ints(n, "steps", 0, -most, most, &steps, &len_steps, err));
    if (len == 0 || len != len_ends || (axes && len_axes != len) || (steps && len_steps != len) ||
        (!axes && len > (size_t)x->rank))
        return prelu_fail(err, PRELU_E_FORMAT,
                          "%zu starts, %zu ends, %zu axes, %zu steps for rank %d", len, len_ends,
                          len_axes, len_steps, x->rank);
    *s = (slice){.out = *x};
    for (int i = 0; i < x->rank; i++)
        s->step[i] = 1;
    for (size_t i = 0; i < len; i++) {
        int a = (int)i;
        PRELU_TRY(op_axis(axes ? axes[i] : (int64_t)i, x->rank, &a, err));
        if (seen >> a & 1)
            return prelu_fail(err, PRELU_E_FORMAT, "attribute axes has %d twice", a);
        if (steps && steps[i] == 0)
            return prelu_fail(err, PRELU_E_FORMAT, "step 0 on axis %d", a);
        seen |= 1u << a;
        s->step[a] = steps ? steps[i] : 1;
        s->start[a] = starts[i];
        s->out.dim[a] =
            x->dim[a] < 0 ? -1 : slice_axis(x->dim[a], &s->start[a], ends[i], s->step[a]);
    }
    return op_check_size(&s->out, err);
}

static prelu_status slice_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                prelu_err *err)
{
    slice s;
    PRELU_TRY(slice_init(&s, n, &in[0], err));
    out[0] = s.out;
    return PRELU_OK;
}

/* The slice of x as a walk over its elements in memory order, with x's strides. */
static op_copy slice_copy(const prelu_node *n, const prelu_shape *x)
{
    slice s;
    ptrdiff_t stride[PRELU_MAX_RANK], base = 0;
    if (slice_init(&s, n, x, NULL) != PRELU_OK)
        return op_copy_flat(0);
    op_strides(x, stride);
    for (int i = 0; i < x->rank; i++) {
        base += (ptrdiff_t)s.start[i] * stride[i];
        stride[i] *= (ptrdiff_t)s.step[i];
    }
    return op_copy_strided(&s.out, stride, base);
}

static prelu_status slice_prepare(const op_instance *inst, const op_tensor *in,
                                  const op_tensor *out, op_work *work, prelu_err *err)
{
    const op_copy c = slice_copy(inst->node, &in[0].shape);
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    op_copy_work(&c, work, 0);
    return PRELU_OK;
}

static void slice_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_copy c = slice_copy(x->op->node, &x->in[0].shape);
    (void)phase, (void)scratch;
    op_copy_run(&c, x->out[0].data, x->in[0].data, task);
}

static prelu_status slice_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_node *n = &c->g->nodes[c->node];
    const prelu_value in[2] = {c->dout[0], n->in[0]};
    return op_grad_one(c, 0, "SliceGrad", "dx", in, 2, n->attrs, n->n_attrs, err);
}

const op_def op_slice = {.name = "Slice",
                         .min_in = 1,
                         .max_in = 1,
                         .min_out = 1,
                         .max_out = 1,
                         .shape = slice_shape,
                         .prepare = slice_prepare,
                         .run = slice_run,
                         .grad = slice_grad};

/* Inputs: dy, x (its shape). Zeros first, then dy to its places. */

static prelu_status slice_grad_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                     prelu_err *err)
{
    slice s;
    PRELU_TRY(slice_init(&s, n, &in[1], err));
    PRELU_TRY(op_need_same(&in[0], "dy", &s.out, "the slice", err));
    out[0] = in[1];
    return PRELU_OK;
}

static prelu_status slice_grad_prepare(const op_instance *inst, const op_tensor *in,
                                       const op_tensor *out, op_work *work, prelu_err *err)
{
    PRELU_TRY(op_need_f32(inst, in, 2, err));
    op_work_elementwise(work, op_count(&out[0].shape), 4);
    work->phases = 2;
    work->tasks[1] = op_parts(op_count(&in[0].shape), OP_CHUNK);
    work->flops[1] = work->flops[0];
    return PRELU_OK;
}

static void slice_grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_copy c = slice_copy(x->op->node, &x->in[1].shape);
    const op_walk *w = &c.walk;
    const size_t inner = w->size[w->rank - 1];
    const float *dy = x->in[0].data;
    float *dx = x->out[0].data;
    size_t begin, end;
    (void)scratch;
    op_part(op_count(phase ? &x->in[0].shape : &x->out[0].shape), OP_CHUNK, task, &begin, &end);
    if (phase == 0) {
        memset(dx + begin, 0, (end - begin) * sizeof *dx);
        return;
    }
    for (size_t at = begin; at < end;) {
        const size_t col = at % inner, n = inner - col < end - at ? inner - col : end - at;
        const ptrdiff_t stride = w->stride[0][w->rank - 1];
        float *to = dx + c.base + op_walk_at(w, 0, at / inner) + (ptrdiff_t)col * stride;
        for (size_t i = 0; i < n; i++)
            to[(ptrdiff_t)i * stride] = dy[at + i];
        at += n;
    }
}

const op_def op_slice_grad = {.name = "SliceGrad",
                              .min_in = 2,
                              .max_in = 2,
                              .min_out = 1,
                              .max_out = 1,
                              .shape_only = 1u << 1,
                              .shape = slice_grad_shape,
                              .prepare = slice_grad_prepare,
                              .run = slice_grad_run};
