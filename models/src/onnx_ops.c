/* Each ONNX operator of operator sets 6 to 21 brought to what graph.h says. */
#include "onnx_build.h"
#include "onnx_fold.h"
#include "onnx_operators.h"
#include <math.h>
#include <string.h>

#define MAX_ATTRS 16

/* The node's attributes but those in `drop` (NULL-terminated). */
static size_t copy_attrs(const onnx_build *b, prelu_attr *to, const char *const *drop)
{
    size_t n = 0;
    for (size_t i = 0; i < b->node->n_attrs && n < MAX_ATTRS; i++) {
        const onnx_attr *a = &b->node->attrs[i];
        const char *const *d = drop;
        while (d && *d && strcmp(*d, a->name) != 0)
            d++;
        if (a->a.name && !(d && *d))
            to[n++] = a->a;
    }
    return n;
}

/* Roles of a node's constant inputs, by op. */
static prelu_role role_of(const char *op, int i)
{
    static const struct {
        const char *op;
        prelu_role role[5];
    } roles[] = {
        {"Conv", {PRELU_ROLE_NONE, PRELU_ROLE_WEIGHT, PRELU_ROLE_BIAS}},
        {"Gemm", {PRELU_ROLE_NONE, PRELU_ROLE_WEIGHT, PRELU_ROLE_BIAS}},
        {"MatMul", {PRELU_ROLE_NONE, PRELU_ROLE_WEIGHT}},
        {"PRelu", {PRELU_ROLE_NONE, PRELU_ROLE_SLOPE}},
        {"BatchNormalization",
         {PRELU_ROLE_NONE, PRELU_ROLE_SCALE, PRELU_ROLE_SCALE, PRELU_ROLE_STATISTIC,
          PRELU_ROLE_STATISTIC}},
    };
    for (size_t k = 0; k < sizeof roles / sizeof *roles; k++)
        if (i < 5 && !strcmp(op, roles[k].op))
            return roles[k].role[i];
    return PRELU_ROLE_NONE;
}

static int in_rank(onnx_build *b, int i)
{
    const onnx_slot *s = onnx_in(b, i);
    return s ? s->rank : -1;
}

static prelu_status operands(onnx_build *b, prelu_value *in, int n)
{
    if (n > PRELU_MAX_INPUTS)
        return onnx_fail(b, PRELU_E_UNSUPPORTED, "%d inputs; at most %d", n, PRELU_MAX_INPUTS);
    for (int i = 0; i < n; i++)
        PRELU_TRY(onnx_operand(b, i, role_of(b->node->op, i), &in[i]));
    return PRELU_OK;
}

/* As it stands, less some attributes. */
static prelu_status pass(onnx_build *b, int n_in, const char *const *drop, int rank)
{
    prelu_value in[PRELU_MAX_INPUTS];
    prelu_attr attrs[MAX_ATTRS];
    PRELU_TRY(operands(b, in, n_in));
    return onnx_emit(b, b->node->op, in, n_in, attrs, copy_attrs(b, attrs, drop), rank);
}

static prelu_status like_input(onnx_build *b)
{
    return pass(b, b->node->n_in, NULL, in_rank(b, 0));
}

static prelu_status to_rows(onnx_build *b) /* Flatten, Gemm */
{
    static const char *const drop[] = {"broadcast", NULL};
    return pass(b, b->node->n_in, drop, 2);
}

static prelu_status max_pool(onnx_build *b)
{
    static const char *const drop[] = {"storage_order", NULL};
    return pass(b, b->node->n_in, drop, in_rank(b, 0));
}

static prelu_status batch_norm(onnx_build *b)
{
    prelu_attr attrs[2] = {PRELU_FLOAT("epsilon", onnx_float(b, "epsilon", 1e-5f)),
                           PRELU_FLOAT("momentum", onnx_float(b, "momentum", 0.9f))};
    prelu_value in[5];
    if (b->node->n_in != 5)
        return onnx_fail(b, PRELU_E_FORMAT, "%d inputs, not 5", b->node->n_in);
    if (!onnx_int(b, "spatial", 1) || onnx_int(b, "training_mode", 0))
        return onnx_fail(b, PRELU_E_UNSUPPORTED, "spatial 0 or training_mode 1");
    PRELU_TRY(operands(b, in, 5));
    return onnx_emit(b, "BatchNormalization", in, 5, attrs, 2, in_rank(b, 0));
}

/* Operator set 6: one slope is shared, more are one per channel, whatever their shape. */
static prelu_status prelu(onnx_build *b)
{
    onnx_slot *s = onnx_in(b, 1);
    prelu_shape shape = {1, {0}};
    prelu_value in[2];
    int rank = in_rank(b, 0);
    if (b->doc->opset >= 7 || !s || !s->t || b->node->n_in != 2)
        return pass(b, b->node->n_in, NULL, rank);
    shape.dim[0] = (int64_t)s->t->count;
    if (s->t->count != 1 && rank > 2)
        for (shape.rank = 1; shape.rank < rank - 1; shape.rank++)
            shape.dim[shape.rank] = 1;
    PRELU_TRY(onnx_operand(b, 0, PRELU_ROLE_NONE, &in[0]));
    PRELU_TRY(onnx_constant_as(b, s, &shape, PRELU_ROLE_SLOPE, &in[1]));
    return onnx_emit(b, "PRelu", in, 2, NULL, 0, rank);
}

/* Operator set 6, broadcast=1, axis=k: B's dimensions lie along A's from k on. */
static prelu_status old_broadcast(onnx_build *b, int axis, prelu_value in[2])
{
    onnx_slot *s = onnx_in(b, 1);
    int rank = in_rank(b, 0);
    prelu_shape shape;
    if (!s || !s->t || rank < 0)
        return onnx_fail(b, PRELU_E_UNSUPPORTED, "broadcast along an axis of no constant");
    shape = s->t->shape;
    axis += axis < 0 ? rank : 0;
    if (axis < 0 || axis + shape.rank > rank || rank > PRELU_MAX_RANK)
        return onnx_fail(b, PRELU_E_FORMAT, "axis %d of rank %d", axis, rank);
    while (axis + shape.rank < rank)
        shape.dim[shape.rank++] = 1;
    PRELU_TRY(onnx_operand(b, 0, PRELU_ROLE_NONE, &in[0]));
    return onnx_constant_as(b, s, &shape, PRELU_ROLE_NONE, &in[1]);
}

/* Is input i what a MatMul made? Then a constant added to it is that layer's bias. */
static bool follows_product(onnx_build *b, int i)
{
    const onnx_slot *s = onnx_in(b, i);
    int node = s && s->v != PRELU_NONE ? b->g->values[s->v].producer : PRELU_NONE;
    return node != PRELU_NONE && !strcmp(b->g->nodes[node].op, "MatMul");
}

static prelu_status arithmetic(onnx_build *b)
{
    const onnx_attr *axis = onnx_node_attr(b->node, "axis");
    int r0 = in_rank(b, 0), r1 = in_rank(b, 1), rank = r0 < 0 || r1 < 0 ? -1 : r0 > r1 ? r0 : r1;
    bool add = !strcmp(b->node->op, "Add");
    prelu_value in[2];
    if (b->node->n_in != 2)
        return onnx_fail(b, PRELU_E_FORMAT, "%d inputs, not 2", b->node->n_in);
    if (b->doc->opset < 7 && onnx_int(b, "broadcast", 0) && axis) {
        PRELU_TRY(old_broadcast(b, (int)onnx_int(b, "axis", 0), in));
        return onnx_emit(b, b->node->op, in, 2, NULL, 0, r0);
    }
    for (int i = 0; i < 2; i++)
        PRELU_TRY(onnx_operand(
            b, i, add && follows_product(b, 1 - i) ? PRELU_ROLE_BIAS : PRELU_ROLE_NONE, &in[i]));
    return onnx_emit(b, b->node->op, in, 2, NULL, 0, rank);
}

/* Sum of n operands as a chain of Add. */
static prelu_status sum(onnx_build *b)
{
    int n = b->node->n_in, rank = -1;
    prelu_value in[PRELU_MAX_INPUTS], pair[2];
    if (n < 1)
        return onnx_fail(b, PRELU_E_FORMAT, "no inputs");
    if (n == 1)
        return onnx_alias(b, onnx_in(b, 0));
    PRELU_TRY(operands(b, in, n));
    for (int i = 0; i < n; i++)
        rank = in_rank(b, i) > rank ? in_rank(b, i) : rank;
    pair[0] = in[0];
    for (int i = 1; i < n - 1; i++) {
        pair[1] = in[i];
        PRELU_TRY(onnx_emit_helper(b, "Add", pair, 2, NULL, 0, &pair[0]));
    }
    pair[1] = in[n - 1];
    return onnx_emit(b, "Add", pair, 2, NULL, 0, rank);
}

static prelu_status mat_mul(onnx_build *b) { return pass(b, b->node->n_in, NULL, in_rank(b, 0)); }

static prelu_status dropout(onnx_build *b)
{
    const onnx_slot *s = onnx_in(b, 1), *training = onnx_in(b, 2);
    float ratio = onnx_float(b, "ratio", 0.5f);
    prelu_attr attr;
    prelu_value in;
    if (s && s->t && s->t->count == 1)
        ratio = onnx_tensor_float(s->t, 0);
    if (!(ratio >= 0 && ratio < 1))
        return onnx_fail(b, PRELU_E_FORMAT, "ratio %g, not 0..1", (double)ratio);
    if (training && ratio > 0 &&
        !(training->t && training->t->count == 1 && !onnx_tensor_int(training->t, 0)))
        return onnx_fail(b, PRELU_E_UNSUPPORTED, "training_mode is not a constant 0");
    attr = PRELU_FLOAT("ratio", ratio);
    PRELU_TRY(onnx_operand(b, 0, PRELU_ROLE_NONE, &in));
    return onnx_emit(b, "Dropout", &in, 1, &attr, 1, in_rank(b, 0));
}

/* Another name for its input; an output of the graph keeps its own name by a node. */
static prelu_status identity(onnx_build *b)
{
    for (size_t i = 0; i < b->doc->n_outputs; i++)
        if (b->node->n_out && !strcmp(b->node->out[0], b->doc->outputs[i].name) &&
            prelu_op_known("Identity"))
            return pass(b, b->node->n_in, NULL, in_rank(b, 0));
    return onnx_alias(b, onnx_in(b, 0));
}

/* Before operator set 13 the axes from `axis` on are one row. */
static prelu_status softmax(onnx_build *b)
{
    const bool old = b->doc->opset < 13;
    const int rank = in_rank(b, 0);
    int64_t axis = onnx_int(b, "axis", old ? 1 : -1);
    prelu_attr attr, one = PRELU_INT("axis", 1), back;
    prelu_value in;
    prelu_shape s;
    bool single = true;
    if (axis < 0 && rank > 0)
        axis += rank;
    attr = PRELU_INT("axis", axis);
    PRELU_TRY(onnx_operand(b, 0, PRELU_ROLE_NONE, &in));
    if (!old || axis == rank - 1)
        return onnx_emit(b, b->node->op, &in, 1, &attr, 1, rank);
    PRELU_TRY(onnx_shape_of(b, in, &s));
    if (axis < 0 || axis >= s.rank || (axis == 0 && b->batch_free))
        return onnx_fail(b, PRELU_E_UNSUPPORTED, "axis %lld of rank %d in operator set %lld",
                         (long long)axis, rank, (long long)b->doc->opset);
    for (int64_t i = axis + 1; i < s.rank; i++)
        single = single && s.dim[i] == 1;
    if (single) /* (n,classes,1,1): the same along one axis, at any size of picture */
        return onnx_emit(b, b->node->op, &in, 1, &attr, 1, rank);
    s.dim[0] = axis ? -1 : s.dim[0]; /* the batch, as it comes */
    back = PRELU_INTS("shape", s.dim, (size_t)s.rank);
    PRELU_TRY(onnx_emit_helper(b, "Flatten", &in, 1, &attr, 1, &in));
    PRELU_TRY(onnx_emit_helper(b, b->node->op, &in, 1, &one, 1, &in));
    return onnx_emit(b, "Reshape", &in, 1, &back, 1, rank);
}

static prelu_status reshape(onnx_build *b)
{
    int64_t v[2 * PRELU_MAX_RANK];
    prelu_attr attr;
    prelu_value in;
    size_t n = 0;
    PRELU_TRY(onnx_ints(b, "shape", 1, v, &n));
    if (onnx_int(b, "allowzero", 0))
        for (size_t i = 0; i < n; i++)
            if (!v[i])
                return onnx_fail(b, PRELU_E_UNSUPPORTED, "allowzero with a dimension of 0");
    for (size_t i = 0; i < n; i++) {
        if (v[i] == ONNX_BATCH && i)
            return onnx_fail(b, PRELU_E_UNSUPPORTED, "the batch moves to dimension %zu", i);
        if (v[i] == ONNX_BATCH || (i == 0 && v[i] == b->fixed_batch && n > 1))
            v[i] = 0;
    }
    attr = PRELU_INTS("shape", v, n);
    PRELU_TRY(onnx_operand(b, 0, PRELU_ROLE_NONE, &in));
    return onnx_emit(b, "Reshape", &in, 1, &attr, 1, (int)n);
}

/* Which of `rank` axes are named; false if one is out of range or named twice. */
static bool axes_mask(const int64_t *axes, size_t n, int rank, unsigned *mask)
{
    *mask = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (axis < 0 || axis >= rank || *mask >> axis & 1)
            return false;
        *mask |= 1u << axis;
    }
    return n > 0;
}

/* The sizes that Reshape needs: 0 keeps a dimension in its place; a moved one must be known. */
static prelu_status squeezed_shape(onnx_build *b, prelu_value in, unsigned mask, int to_rank,
                                   bool unsqueeze, int64_t *to)
{
    prelu_shape s = {.rank = -1};
    for (int i = 0, from = 0; i < to_rank; i++) {
        if (unsqueeze && mask >> i & 1) {
            to[i] = 1;
            continue;
        }
        while (!unsqueeze && mask >> from & 1)
            from++;
        to[i] = 0;
        if (from != i && s.rank < 0)
            PRELU_TRY(onnx_shape_of(b, in, &s));
        if (from != i)
            to[i] = s.dim[from];
        if (from != i && !from && b->batch_free)
            return onnx_fail(b, PRELU_E_UNSUPPORTED, "the batch moves to dimension %d", i);
        from++;
    }
    return PRELU_OK;
}

/* Squeeze without axes: all of size 1, but the batch. */
static prelu_status single_axes(onnx_build *b, prelu_value in, int64_t *axes, size_t *n)
{
    prelu_shape s;
    PRELU_TRY(onnx_shape_of(b, in, &s));
    for (int i = b->batch_free; i < s.rank; i++)
        if (s.dim[i] == 1)
            axes[(*n)++] = i;
    return PRELU_OK;
}

/* Squeeze, Unsqueeze as Reshape; axes became an input in operator set 13. */
static prelu_status squeeze(onnx_build *b)
{
    int64_t axes[2 * PRELU_MAX_RANK], to[PRELU_MAX_RANK];
    bool unsqueeze = *b->node->op == 'U';
    int rank = in_rank(b, 0), to_rank;
    prelu_attr attr;
    prelu_value in;
    unsigned mask;
    size_t n = 0;
    PRELU_TRY(onnx_ints(b, "axes", 1, axes, &n));
    PRELU_TRY(onnx_operand(b, 0, PRELU_ROLE_NONE, &in));
    if (!n && !unsqueeze && in != PRELU_NONE)
        PRELU_TRY(single_axes(b, in, axes, &n));
    to_rank = unsqueeze ? rank + (int)n : rank - (int)n;
    if (rank < 0 || to_rank < 0 || to_rank > PRELU_MAX_RANK ||
        !axes_mask(axes, n, unsqueeze ? to_rank : rank, &mask))
        return onnx_fail(b, PRELU_E_UNSUPPORTED, "%zu axes of rank %d", n, rank);
    if (!unsqueeze && (mask & 1) && b->batch_free)
        return onnx_fail(b, PRELU_E_UNSUPPORTED, "it squeezes the batch");
    PRELU_TRY(squeezed_shape(b, in, mask, to_rank, unsqueeze, to));
    attr = PRELU_INTS("shape", to, (size_t)to_rank);
    return onnx_emit(b, "Reshape", &in, 1, &attr, 1, to_rank);
}

static prelu_status reduce(onnx_build *b)
{
    int64_t v[2 * PRELU_MAX_RANK], keep = onnx_int(b, "keepdims", 1);
    prelu_attr attrs[2];
    prelu_value in;
    size_t n = 0;
    int rank = in_rank(b, 0);
    PRELU_TRY(onnx_ints(b, "axes", 1, v, &n));
    if (!n && onnx_int(b, "noop_with_empty_axes", 0))
        return onnx_alias(b, onnx_in(b, 0));
    attrs[0] = PRELU_INT("keepdims", keep);
    attrs[1] = PRELU_INTS("axes", v, n);
    PRELU_TRY(onnx_operand(b, 0, PRELU_ROLE_NONE, &in));
    rank = rank < 0 || keep ? rank : n ? rank - (int)n : 0;
    return onnx_emit(b, b->node->op, &in, 1, attrs, n ? 2 : 1, rank);
}

static prelu_status slice(onnx_build *b)
{
    int64_t v[4][2 * PRELU_MAX_RANK];
    size_t n[4] = {0};
    static const char *const names[4] = {"starts", "ends", "axes", "steps"};
    bool old = b->doc->opset < 10;
    prelu_attr attrs[4];
    prelu_value in;
    for (int i = 0; i < 4; i++)
        PRELU_TRY(onnx_ints(b, old && i < 3 ? names[i] : NULL, old ? -1 : i + 1, v[i], &n[i]));
    for (size_t k = 0; k < n[0]; k++) {
        if (!n[2])
            v[2][k] = (int64_t)k;
        if (!n[3])
            v[3][k] = 1;
    }
    if (!n[0] || n[1] != n[0] || (n[2] && n[2] != n[0]) || (n[3] && n[3] != n[0]))
        return onnx_fail(b, PRELU_E_FORMAT, "%zu starts, %zu ends, %zu axes, %zu steps", n[0], n[1],
                         n[2], n[3]);
    for (int i = 0; i < 4; i++)
        attrs[i] = PRELU_INTS(names[i], v[i], n[0]);
    PRELU_TRY(onnx_operand(b, 0, PRELU_ROLE_NONE, &in));
    return onnx_emit(b, "Slice", &in, 1, attrs, 4, in_rank(b, 0));
}

/* A scalar that was an attribute and became input i. */
static prelu_status scalar(onnx_build *b, const char *attr, int i, float otherwise, float *out)
{
    const onnx_slot *s = onnx_in(b, i);
    *out = onnx_float(b, attr, otherwise);
    if (s && (!s->t || s->t->count != 1))
        return onnx_fail(b, PRELU_E_UNSUPPORTED, "%s is not a constant scalar", attr);
    if (s)
        *out = onnx_tensor_float(s->t, 0);
    return PRELU_OK;
}

static prelu_status clip(onnx_build *b)
{
    float lo = 0, hi = 0;
    prelu_attr attrs[2];
    prelu_value in;
    PRELU_TRY(scalar(b, "min", 1, -INFINITY, &lo));
    PRELU_TRY(scalar(b, "max", 2, INFINITY, &hi));
    attrs[0] = PRELU_FLOAT("min", lo);
    attrs[1] = PRELU_FLOAT("max", hi);
    PRELU_TRY(onnx_operand(b, 0, PRELU_ROLE_NONE, &in));
    return onnx_emit(b, "Clip", &in, 1, attrs, 2, in_rank(b, 0));
}

static bool is_float(prelu_dtype t)
{
    return t == PRELU_F32 || t == PRELU_F16 || t == PRELU_BF16 || t == PRELU_F64;
}

/* Between floats: all of them are computed in f32, so another name will do. */
static prelu_status cast(onnx_build *b)
{
    const onnx_slot *s = onnx_in(b, 0);
    int64_t to = onnx_int(b, "to", 0);
    bool floats = to == 1 || to == 10 || to == 11 || to == 16;
    if (!s || !floats || !is_float(s->t ? s->t->dtype : b->g->values[s->v].dtype))
        return onnx_fail(b, PRELU_E_UNSUPPORTED, "only from float to float");
    return onnx_alias(b, s);
}

/* Pads of the axes that operator set 18 may name, spread over all of them. */
static prelu_status pads_of(onnx_build *b, int64_t pads[2 * PRELU_MAX_RANK], size_t *n)
{
    int64_t v[2 * PRELU_MAX_RANK], axes[2 * PRELU_MAX_RANK];
    const int rank = in_rank(b, 0);
    unsigned mask;
    size_t len, n_axes = 0;
    PRELU_TRY(onnx_ints(b, "pads", 1, v, &len));
    PRELU_TRY(onnx_ints(b, NULL, 3, axes, &n_axes));
    memset(pads, 0, 2 * PRELU_MAX_RANK * sizeof *pads);
    *n = len;
    if (!n_axes) {
        memcpy(pads, v, len * sizeof *pads);
        return PRELU_OK;
    }
    if (rank < 1 || rank > PRELU_MAX_RANK || len != 2 * n_axes ||
        !axes_mask(axes, n_axes, rank, &mask))
        return onnx_fail(b, PRELU_E_FORMAT, "%zu pads for %zu axes of rank %d", len, n_axes, rank);
    for (size_t i = 0; i < n_axes; i++) {
        const int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
        pads[axis] = v[i];
        pads[axis + rank] = v[i + n_axes];
    }
    *n = 2 * (size_t)rank;
    return PRELU_OK;
}

static prelu_status pad(onnx_build *b)
{
    const onnx_attr *mode = onnx_node_attr(b->node, "mode");
    int64_t v[2 * PRELU_MAX_RANK], any = 0;
    prelu_attr attrs[3];
    prelu_value in;
    float value = 0;
    size_t n;
    PRELU_TRY(pads_of(b, v, &n));
    PRELU_TRY(scalar(b, "value", 2, 0, &value));
    for (size_t i = 0; i < n; i++)
        any |= v[i];
    if (n && !any)
        return onnx_alias(b, onnx_in(b, 0));
    if (n > 1 && (v[0] || v[n / 2]) && b->batch_free)
        return onnx_fail(b, PRELU_E_UNSUPPORTED, "it pads the batch");
    attrs[0] = PRELU_INTS("pads", v, n);
    attrs[1] = PRELU_FLOAT("value", value);
    attrs[2] = PRELU_STRING("mode", mode && mode->a.s ? mode->a.s : "constant");
    PRELU_TRY(onnx_operand(b, 0, PRELU_ROLE_NONE, &in));
    return onnx_emit(b, "Pad", &in, 1, attrs, 3, in_rank(b, 0));
}

/* What onnx_fold has not evaluated. */
static prelu_status folded_only(onnx_build *b)
{
    return onnx_fail(b, PRELU_E_UNSUPPORTED, "its operands are no constant sizes");
}

#define MAPS "pictures only: (n,c,h,w)"
#define FOLDED "of sizes, which are worked out while the file is read"

const onnx_operator onnx_operators[] = {
    {"Add", 6, arithmetic, ""},
    {"AveragePool", 6, like_input, MAPS},
    {"BatchNormalization", 6, batch_norm, "of (n,c,h,w) or (n,c); running statistics, spatial"},
    {"Cast", 6, cast, "between floats, all of which are computed in f32, and of sizes"},
    {"Clip", 6, clip, "of floats; bounds that are constant"},
    {"Concat", 6, like_input, "at most 63 inputs"},
    {"Constant", 6, folded_only, "a tensor or numbers; neither text nor sparse"},
    {"ConstantOfShape", 9, folded_only, FOLDED},
    {"Conv", 6, like_input, MAPS},
    {"Div", 6, arithmetic, ""},
    {"Dropout", 6, dropout, "dropped; no mask, no training_mode"},
    {"Flatten", 6, to_rows, ""},
    {"Gather", 6, folded_only, FOLDED},
    {"Gemm", 6, to_rows, ""},
    {"GlobalAveragePool", 6, like_input, MAPS},
    {"GlobalMaxPool", 6, like_input, MAPS},
    {"HardSigmoid", 6, like_input, ""},
    {"HardSwish", 14, like_input, ""},
    {"Identity", 6, identity, ""},
    {"LRN", 6, like_input, MAPS},
    {"LeakyRelu", 6, like_input, ""},
    {"LogSoftmax", 6, softmax, ""},
    {"MatMul", 6, mat_mul, "of two matrices"},
    {"MaxPool", 6, max_pool, MAPS "; no indices"},
    {"Mul", 6, arithmetic, ""},
    {"PRelu", 6, prelu, ""},
    {"Pad", 6, pad, "not of the batch; sizes that are constant"},
    {"ReduceMax", 6, reduce, "axes that are constant"},
    {"ReduceMean", 6, reduce, "axes that are constant"},
    {"ReduceSum", 6, reduce, "axes that are constant"},
    {"Relu", 6, like_input, ""},
    {"Reshape", 6, reshape, "sizes that are constant but for the batch, which stays first"},
    {"Shape", 6, folded_only, FOLDED},
    {"Sigmoid", 6, like_input, ""},
    {"Slice", 6, slice, "bounds that are constant"},
    {"Softmax", 6, softmax, ""},
    {"Squeeze", 6, squeeze, "not of the batch"},
    {"Sub", 6, arithmetic, ""},
    {"Sum", 6, sum, "at most 64 inputs"},
    {"Transpose", 6, like_input, ""},
    {"Unsqueeze", 6, squeeze, "not before the batch"},
};
const size_t onnx_operators_len = sizeof onnx_operators / sizeof *onnx_operators;

prelu_status onnx_op_translate(onnx_build *b)
{
    const onnx_node *n = b->node;
    bool done = false;
    if (*n->domain && strcmp(n->domain, "ai.onnx") != 0)
        return onnx_fail(b, PRELU_E_UNSUPPORTED, "unknown op of domain '%.60s'", n->domain);
    PRELU_TRY(onnx_fold(b, &done));
    if (done)
        return PRELU_OK;
    for (size_t i = 0; i < onnx_operators_len; i++)
        if (!strcmp(n->op, onnx_operators[i].op))
            return onnx_operators[i].translate(b);
    return onnx_fail(b, PRELU_E_UNSUPPORTED, "unknown op (operator set %lld)",
                     (long long)b->doc->opset);
}
