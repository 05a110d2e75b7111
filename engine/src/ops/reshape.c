#include "ops/copy.h"

/* Flatten, Reshape and Transpose. A value of rank 4 lies channels-last, so giving it another shape
 * moves its elements, unless it has one channel or one pixel. */

static bool is_permuted(const prelu_shape *s)
{
    return s->rank == 4 && s->dim[1] > 1 && s->dim[2] * s->dim[3] > 1;
}

/* One or two copies; between two, `shared` holds the elements in logical order. */
static int copies(const prelu_shape *from, const prelu_shape *to, op_copy c[2])
{
    const bool in = is_permuted(from), out = is_permuted(to);
    if (in && out && !prelu_shape_equal(from, to)) {
        c[0] = op_copy_to_logical(from);
        c[1] = op_copy_from_logical(to);
        return 2;
    }
    if (in && !out)
        c[0] = op_copy_to_logical(from);
    else if (out && !in)
        c[0] = op_copy_from_logical(to);
    else
        c[0] = op_copy_flat(op_count(to));
    return 1;
}

static prelu_status reshape_prepare(const op_instance *inst, const op_tensor *in,
                                    const op_tensor *out, op_work *work, prelu_err *err)
{
    op_copy c[2];
    PRELU_TRY(op_need_f32(inst, in, 2, err));
    work->phases = copies(&in[0].shape, &out[0].shape, c);
    for (int i = 0; i < work->phases; i++)
        op_copy_work(&c[i], work, i);
    if (work->phases == 2)
        work->shared = op_count(&out[0].shape) * sizeof(float);
    return PRELU_OK;
}

static void reshape_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    op_copy c[2];
    const int n = copies(&x->in[0].shape, &x->out[0].shape, c);
    const float *from = phase ? x->shared : x->in[0].data;
    float *to = phase + 1 < n ? x->shared : x->out[0].data;
    (void)scratch;
    op_copy_run(&c[phase], to, from, task);
}

static prelu_status reshape_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_value in[2] = {c->dout[0], c->g->nodes[c->node].in[0]};
    return op_grad_one(c, 0, "ReshapeGrad", "dx", in, 2, NULL, 0, err);
}

/* Product of dims from..to-1: -1 if one is free. */
static prelu_status product(const prelu_shape *s, int from, int to, int64_t *out, prelu_err *err)
{
    size_t count = 1;
    *out = -1;
    for (int i = from; i < to; i++) {
        if (s->dim[i] < 0)
            return PRELU_OK;
        PRELU_TRY(prelu_mul(count, (size_t)s->dim[i], &count, err));
    }
    *out = (int64_t)count;
    return PRELU_OK;
}

static prelu_status flatten_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                  prelu_err *err)
{
    int64_t axis = prelu_node_int(n, "axis", 1);
    const int rank = in[0].rank;
    if (rank < 0)
        return prelu_fail(err, PRELU_E_FORMAT, "input 0 is missing");
    if (axis < -rank || axis > rank)
        return prelu_fail(err, PRELU_E_FORMAT, "axis %lld of a value of rank %d", (long long)axis,
                          rank);
    axis += axis < 0 ? rank : 0;
    PRELU_TRY(op_check_size(&in[0], err));
    out[0] = (prelu_shape){.rank = 2};
    PRELU_TRY(product(&in[0], 0, (int)axis, &out[0].dim[0], err));
    return product(&in[0], (int)axis, rank, &out[0].dim[1], err);
}

const op_def op_flatten = {.name = "Flatten",
                           .min_in = 1,
                           .max_in = 1,
                           .min_out = 1,
                           .max_out = 1,
                           .shape = flatten_shape,
                           .prepare = reshape_prepare,
                           .run = reshape_run,
                           .grad = reshape_grad};

/* Fill in the one dim that was given as -1: what is left of the elements of `in`. Free dims of `in`
 * that were copied cancel out; others leave it free. */
static prelu_status infer_dim(const prelu_shape *in, prelu_shape *out, int at, prelu_err *err)
{
    char text[96];
    size_t have = 1, given = 1;
    int free_in = 0, free_out = 0;
    for (int i = 0; i < in->rank; i++) {
        free_in += in->dim[i] < 0;
        have *= in->dim[i] < 0 ? 1 : (size_t)in->dim[i];
    }
    for (int i = 0; i < out->rank; i++) {
        if (i == at)
            continue;
        free_out += out->dim[i] < 0;
        if (out->dim[i] >= 0)
            PRELU_TRY(prelu_mul(given, (size_t)out->dim[i], &given, err));
    }
    if (free_in != free_out)
        return PRELU_OK;
    if (given == 0 || have % given)
        return prelu_fail(err, PRELU_E_FORMAT, "%s cannot be cut into parts of %zu",
                          prelu_shape_text(in, text, sizeof text), given);
    out->dim[at] = (int64_t)(have / given);
    return PRELU_OK;
}

static prelu_status reshape_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                  prelu_err *err)
{
    const int64_t *dims;
    size_t len, have, want;
    int at = -1;
    char from[96], to[96];
    if (in[0].rank < 0)
        return prelu_fail(err, PRELU_E_FORMAT, "input 0 is missing");
    if (!prelu_node_attr(n, "shape"))
        return prelu_fail(err, PRELU_E_FORMAT, "attribute shape is missing");
    PRELU_TRY(op_check_size(&in[0], err));
    PRELU_TRY(op_ints(n, "shape", 0, -1, (int64_t)OP_MAX_COUNT, &dims, &len, err));
    if (len > PRELU_MAX_RANK)
        return prelu_fail(err, PRELU_E_UNSUPPORTED, "rank %zu is above %d", len, PRELU_MAX_RANK);
    out[0] = (prelu_shape){.rank = (int)len};
    for (int i = 0; i < (int)len; i++) {
        if (dims[i] == 0 && i >= in[0].rank)
            return prelu_fail(err, PRELU_E_FORMAT, "dimension %d is to be copied from rank %d", i,
                              in[0].rank);
        if (dims[i] < 0 && at >= 0)
            return prelu_fail(err, PRELU_E_FORMAT, "dimensions %d and %d are both -1", at, i);
        at = dims[i] < 0 ? i : at;
        out[0].dim[i] = dims[i] == 0 ? in[0].dim[i] : dims[i];
    }
    if (at >= 0)
        PRELU_TRY(infer_dim(&in[0], &out[0], at, err));
    PRELU_TRY(op_check_size(&out[0], err));
    if (!op_known(&in[0]) || !op_known(&out[0]))
        return PRELU_OK;
    have = op_count(&in[0]);
    want = op_count(&out[0]);
    if (have != want)
        return prelu_fail(err, PRELU_E_FORMAT, "%s has not the elements of %s",
                          prelu_shape_text(&in[0], from, sizeof from),
                          prelu_shape_text(&out[0], to, sizeof to));
    return PRELU_OK;
}

const op_def op_reshape = {.name = "Reshape",
                           .min_in = 1,
                           .max_in = 1,
                           .min_out = 1,
                           .max_out = 1,
                           .shape = reshape_shape,
                           .prepare = reshape_prepare,
                           .run = reshape_run,
                           .grad = reshape_grad};

/* Inputs: dy, x (its shape). */
static prelu_status reshape_grad_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                       prelu_err *err)
{
    char from[96], to[96];
    (void)n;
    if (in[0].rank < 0 || in[1].rank < 0)
        return prelu_fail(err, PRELU_E_FORMAT, "an input is missing");
    PRELU_TRY(op_check_size(&in[0], err));
    out[0] = in[1];
    PRELU_TRY(op_check_size(&out[0], err));
    if (op_known(&in[0]) && op_known(&in[1]) && op_count(&in[0]) != op_count(&in[1]))
        return prelu_fail(err, PRELU_E_FORMAT, "dy %s has not the elements of x %s",
                          prelu_shape_text(&in[0], from, sizeof from),
                          prelu_shape_text(&in[1], to, sizeof to));
    return PRELU_OK;
}

const op_def op_reshape_grad = {.name = "ReshapeGrad",
                                .min_in = 2,
                                .max_in = 2,
                                .min_out = 1,
                                .max_out = 1,
                                .shape_only = 1u << 1,
                                .shape = reshape_grad_shape,
                                .prepare = reshape_prepare,
                                .run = reshape_run};

/* Transpose: axis i of the result is axis perm[i] of the operand; perm absent: reversed. */

static prelu_status perm_of(const prelu_node *n, int rank, int perm[PRELU_MAX_RANK], prelu_err *err)
{
    const int64_t *list;
    size_t len;
    unsigned seen = 0;
    PRELU_TRY(op_ints(n, "perm", (size_t)rank, 0, rank - 1, &list, &len, err));
    for (int i = 0; i < rank; i++) {
        perm[i] = list ? (int)list[i] : rank - 1 - i;
        if (seen >> perm[i] & 1)
            return prelu_fail(err, PRELU_E_FORMAT, "attribute perm has %d twice", perm[i]);
        seen |= 1u << perm[i];
    }
    return PRELU_OK;
}

static prelu_status transpose_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                    prelu_err *err)
{
    int perm[PRELU_MAX_RANK];
    if (in[0].rank < 0)
        return prelu_fail(err, PRELU_E_FORMAT, "input 0 is missing");
    PRELU_TRY(perm_of(n, in[0].rank, perm, err));
    out[0] = (prelu_shape){.rank = in[0].rank};
    for (int i = 0; i < in[0].rank; i++)
        out[0].dim[i] = in[0].dim[perm[i]];
    return op_check_size(&out[0], err);
}

static op_copy transpose_copy(const prelu_node *n, const prelu_shape *from, const prelu_shape *to)
{
    int perm[PRELU_MAX_RANK] = {0};
    ptrdiff_t stride[PRELU_MAX_RANK], moved[PRELU_MAX_RANK] = {0};
    op_strides(from, stride);
    if (perm_of(n, from->rank, perm, NULL) == PRELU_OK)
        for (int i = 0; i < from->rank; i++)
            moved[i] = stride[perm[i]];
    return op_copy_strided(to, moved, 0);
}

static prelu_status transpose_prepare(const op_instance *inst, const op_tensor *in,
                                      const op_tensor *out, op_work *work, prelu_err *err)
{
    const op_copy c = transpose_copy(inst->node, &in[0].shape, &out[0].shape);
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    op_copy_work(&c, work, 0);
    return PRELU_OK;
}

static void transpose_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_copy c = transpose_copy(x->op->node, &x->in[0].shape, &x->out[0].shape);
    (void)phase, (void)scratch;
    op_copy_run(&c, x->out[0].data, x->in[0].data, task);
}

/* The inverse permutation; reversing is its own inverse. */
static prelu_status transpose_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_attr *perm = prelu_node_attr(&c->g->nodes[c->node], "perm");
    int64_t inverse[PRELU_MAX_RANK] = {0};
    if (!perm)
        return op_grad_one(c, 0, "Transpose", "dx", c->dout, 1, NULL, 0, err);
    if (perm->kind != PRELU_ATTR_INTS || perm->len > PRELU_MAX_RANK)
        return prelu_fail(err, PRELU_E_FORMAT, "attribute perm is not a permutation");
    for (size_t i = 0; i < perm->len; i++) {
        if (perm->ints[i] < 0 || perm->ints[i] >= (int64_t)perm->len)
            return prelu_fail(err, PRELU_E_FORMAT, "attribute perm has %lld",
                              (long long)perm->ints[i]);
        inverse[perm->ints[i]] = (int64_t)i;
    }
    const prelu_attr attr = PRELU_INTS("perm", inverse, perm->len);
    return op_grad_one(c, 0, "Transpose", "dx", c->dout, 1, &attr, 1, err);
}

const op_def op_transpose = {.name = "Transpose",
                             .min_in = 1,
                             .max_in = 1,
                             .min_out = 1,
                             .max_out = 1,
                             .shape = transpose_shape,
                             .prepare = transpose_prepare,
                             .run = transpose_run,
                             .grad = transpose_grad};
