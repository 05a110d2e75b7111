#include "ops/copy.h"
#include <string.h>

static prelu_status concat_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                 prelu_err *err)
{
    char ta[96], tb[96];
    int axis;
    if (in[0].rank < 0)
        return prelu_fail(err, PRELU_E_FORMAT, "input 0 is missing");
    if (!prelu_node_attr(n, "axis"))
        return prelu_fail(err, PRELU_E_FORMAT, "attribute axis is missing");
    PRELU_TRY(op_axis(prelu_node_int(n, "axis", 0), in[0].rank, &axis, err));
    out[0] = in[0];
    PRELU_TRY(op_check_size(&in[0], err));
    for (int i = 1; i < n->n_in; i++) {
        prelu_shape like = in[i];
        if (like.rank == in[0].rank)
            like.dim[axis] = in[0].dim[axis];
        if (!op_shape_fits(&like, &in[0]))
            return prelu_fail(err, PRELU_E_FORMAT, "input %d, %s, does not go with input 0, %s", i,
                              prelu_shape_text(&in[i], ta, sizeof ta),
                              prelu_shape_text(&in[0], tb, sizeof tb));
        PRELU_TRY(op_check_size(&in[i], err));
        if (out[0].dim[axis] < 0 || in[i].dim[axis] < 0)
            out[0].dim[axis] = -1;
        else
            out[0].dim[axis] += in[i].dim[axis]; /* 64 of at most 2^48 */
    }
    return op_check_size(&out[0], err);
}

static int concat_axis(const prelu_node *n, int rank)
{
    const int64_t axis = prelu_node_int(n, "axis", 0);
    return (int)(axis < 0 ? axis + rank : axis);
}

/* Elements that lie together below one index of the axis. */
static size_t run_length(const prelu_shape *s, int axis)
{
    ptrdiff_t stride[PRELU_MAX_RANK];
    op_strides(s, stride);
    return (size_t)stride[axis];
}

static void concat_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const prelu_shape *s = &x->out[0].shape;
    const int axis = concat_axis(x->op->node, s->rank);
    const size_t below = run_length(s, axis), row = (size_t)s->dim[axis] * below;
    float *y = x->out[0].data;
    size_t begin, end;
    (void)phase, (void)scratch;
    op_part(op_count(s), OP_CHUNK, task, &begin, &end);
    for (size_t at = begin; at < end;) {
        const size_t outer = at / row;
        size_t col = at % row, len = 0;
        int i = -1;
        do { /* which input holds column `col`, and which column of it that is */
            col -= len;
            len = (size_t)x->in[++i].shape.dim[axis] * below;
        } while (col >= len);
        const size_t n = len - col < end - at ? len - col : end - at;
        memcpy(y + at, (const float *)x->in[i].data + outer * len + col, n * sizeof *y);
        at += n;
    }
}

static prelu_status concat_grad(op_grad_ctx *c, prelu_err *err)
{
    const int n_in = c->g->nodes[c->node].n_in;
    const prelu_attr axis = PRELU_INT("axis", prelu_node_int(&c->g->nodes[c->node], "axis", 0));
    prelu_value in[PRELU_MAX_INPUTS + 1];
    char tag[16] = "d";
    in[0] = c->dout[0];
    for (int i = 0; i < n_in; i++)
        in[i + 1] = c->g->nodes[c->node].in[i];
    for (int i = 0; i < n_in; i++) {
        tag[1] = (char)('0' + i / 10);
        tag[2] = (char)('0' + i % 10);
        PRELU_TRY(op_grad_one(c, i, "ConcatGrad", tag, in, i + 2, &axis, 1, err));
    }
    return PRELU_OK;
}

/* One input less than a node may have, so that the gradient of the last, which is given dy and all
 * inputs, is a node too. */
const op_def op_concat = {.name = "Concat",
                          .min_in = 1,
                          .max_in = PRELU_MAX_INPUTS - 1,
                          .min_out = 1,
                          .max_out = 1,
                          .shape = concat_shape,
                          .prepare = op_prepare_elementwise,
                          .run = concat_run,
                          .grad = concat_grad};

/* Inputs: dy and the shapes of Concat's inputs 0..i; output: the gradient of the last of them. */

static prelu_status concat_grad_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                      prelu_err *err)
{
    const prelu_shape *dy = &in[0], *x = &in[n->n_in - 1];
    int axis;
    int64_t used = 0;
    if (dy->rank < 0)
        return prelu_fail(err, PRELU_E_FORMAT, "dy is missing");
    PRELU_TRY(op_axis(prelu_node_int(n, "axis", 0), dy->rank, &axis, err));
    PRELU_TRY(op_check_size(dy, err));
    for (int i = 1; i < n->n_in; i++) {
        prelu_shape like = in[i];
        if (like.rank == dy->rank)
            like.dim[axis] = dy->dim[axis];
        PRELU_TRY(op_need_same(&like, "an input", dy, "dy", err));
        PRELU_TRY(op_check_size(&in[i], err));
        used = used < 0 || in[i].dim[axis] < 0 ? -1 : used + in[i].dim[axis];
    }
    if (dy->dim[axis] >= 0 && used > dy->dim[axis])
        return prelu_fail(err, PRELU_E_FORMAT, "inputs have %lld on axis %d, dy has %lld",
                          (long long)used, axis, (long long)dy->dim[axis]);
    out[0] = *x;
    return PRELU_OK;
}

static op_copy concat_grad_copy(const prelu_node *n, const prelu_shape *dy, const prelu_shape *dx,
                                const op_tensor *in)
{
    const int axis = concat_axis(n, dy->rank);
    ptrdiff_t stride[PRELU_MAX_RANK], base = 0;
    op_strides(dy, stride);
    for (int i = 1; i < n->n_in - 1; i++)
        base += (ptrdiff_t)in[i].shape.dim[axis] * stride[axis];
    return op_copy_strided(dx, stride, base);
}

static prelu_status concat_grad_prepare(const op_instance *inst, const op_tensor *in,
                                        const op_tensor *out, op_work *work, prelu_err *err)
{
    const op_copy c = concat_grad_copy(inst->node, &in[0].shape, &out[0].shape, in);
    PRELU_TRY(op_need_f32(inst, in, ~(uint64_t)1, err));
    op_copy_work(&c, work, 0);
    return PRELU_OK;
}

static void concat_grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_copy c = concat_grad_copy(x->op->node, &x->in[0].shape, &x->out[0].shape, x->in);
    (void)phase, (void)scratch;
    op_copy_run(&c, x->out[0].data, x->in[0].data, task);
}

const op_def op_concat_grad = {.name = "ConcatGrad",
                               .min_in = 2,
                               .max_in = PRELU_MAX_INPUTS,
                               .min_out = 1,
                               .max_out = 1,
                               .shape_only = ~(uint64_t)1,
                               .shape = concat_grad_shape,
                               .prepare = concat_grad_prepare,
                               .run = concat_grad_run};
