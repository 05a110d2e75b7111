#include "ops/util.h"
#include <string.h>

/* Pad: attributes pads (before each axis, then after each; below 0: cut off), mode (constant, edge,
 * reflect, wrap) and value (of constant). */

typedef enum pad_mode { CONSTANT, EDGE, REFLECT, WRAP } pad_mode;
enum { PAD_LIMIT = 1 << 16 };

typedef struct padding {
    pad_mode mode;
    const int64_t *before; /* by logical axis */
    float value;
} padding;

static prelu_status padding_of(const prelu_node *n, int rank, padding *p, prelu_err *err)
{
    static const char *const names[] = {"constant", "edge", "reflect", "wrap"};
    const prelu_attr *mode = prelu_node_attr(n, "mode");
    const char *text = mode && mode->kind == PRELU_ATTR_STRING && mode->s ? mode->s : "constant";
    size_t len;
    int m = 0;
    while (m < 4 && strcmp(text, names[m]) != 0)
        m++;
    if (m == 4)
        return prelu_fail(err, PRELU_E_FORMAT, "mode '%.32s' is unknown", text);
    if (!prelu_node_attr(n, "pads"))
        return prelu_fail(err, PRELU_E_FORMAT, "attribute pads is missing");
    PRELU_TRY(op_ints(n, "pads", 2 * (size_t)rank, -PAD_LIMIT, PAD_LIMIT, &p->before, &len, err));
    p->mode = (pad_mode)m;
    p->value = prelu_node_float(n, "value", 0.0f);
    return PRELU_OK;
}

static prelu_status pad_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                              prelu_err *err)
{
    padding p;
    if (in[0].rank < 1)
        return prelu_fail(err, PRELU_E_FORMAT, "input 0 is missing, or a scalar");
    PRELU_TRY(op_check_size(&in[0], err));
    PRELU_TRY(padding_of(n, in[0].rank, &p, err));
    out[0] = in[0];
    for (int i = 0; i < in[0].rank; i++) {
        if (in[0].dim[i] < 0)
            continue;
        out[0].dim[i] += p.before[i] + p.before[i + in[0].rank];
        if (out[0].dim[i] < 1)
            return prelu_fail(err, PRELU_E_FORMAT, "nothing is left of the %lld of axis %d",
                              (long long)in[0].dim[i], i);
    }
    return op_check_size(&out[0], err);
}

/* Index 0..dim-1 of the operand that index `at` of an axis (before = 0) shows; -1: the value. */
static int64_t source(pad_mode mode, int64_t at, int64_t dim)
{
    const int64_t period = mode == WRAP ? dim : dim > 1 ? 2 * dim - 2 : 1;
    if (at >= 0 && at < dim)
        return at;
    if (mode == CONSTANT)
        return -1;
    if (mode == EDGE)
        return at < 0 ? 0 : dim - 1;
    at %= period;
    at += at < 0 ? period : 0;
    return at < dim ? at : period - at;
}

/* Rows run along the axis that is innermost in memory. */
static size_t rows_per_task(const prelu_shape *y, int inner)
{
    const size_t len = (size_t)y->dim[inner];
    return len < OP_CHUNK ? OP_CHUNK / len : 1;
}

static prelu_status pad_prepare(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                                op_work *work, prelu_err *err)
{
    const prelu_shape *y = &out[0].shape;
    int order[PRELU_MAX_RANK] = {0};
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    op_order(y, order);
    const int inner = order[y->rank - 1];
    const size_t rows = rows_per_task(y, inner);
    work->tasks[0] = op_parts(op_count(y) / (size_t)y->dim[inner], rows);
    work->flops[0] = 1 + 8.0 * (double)(rows * (size_t)y->dim[inner]);
    return PRELU_OK;
}

static void fill(float *y, float value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = value;
}

/* A row of `to` elements from one of `from` (NULL: it is padding as a whole). */
static void pad_row(float *y, int64_t to, const float *x, int64_t from, const padding *p,
                    int64_t before)
{
    if (!x) {
        fill(y, p->value, (size_t)to);
        return;
    }
    for (int64_t i = 0; i < to;) {
        const int64_t at = i - before;
        if (at >= 0 && at < from) { /* the operand itself, as far as it goes */
            const int64_t n = from - at < to - i ? from - at : to - i;
            memcpy(y + i, x + at, (size_t)n * sizeof *y);
            i += n;
            continue;
        }
        const int64_t k = source(p->mode, at, from);
        y[i++] = k < 0 ? p->value : x[k];
    }
}

static void pad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const prelu_shape *from = &x->in[0].shape, *to = &x->out[0].shape;
    const int rank = to->rank;
    int order[PRELU_MAX_RANK] = {0};
    ptrdiff_t stride[PRELU_MAX_RANK] = {0};
    padding p;
    size_t begin, end;
    (void)phase, (void)scratch;
    if (padding_of(x->op->node, rank, &p, NULL) != PRELU_OK) /* the shape rule has checked it */
        return;
    op_order(to, order);
    op_strides(from, stride);
    const int inner = order[rank - 1];
    const size_t len = (size_t)to->dim[inner];
    op_part(op_count(to) / len, rows_per_task(to, inner), task, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        const float *src = x->in[0].data;
        size_t left = row;
        for (int k = rank - 2; k >= 0 && src; k--) {
            const int axis = order[k];
            const int64_t at = (int64_t)(left % (size_t)to->dim[axis]) - p.before[axis];
            const int64_t index = source(p.mode, at, from->dim[axis]);
            left /= (size_t)to->dim[axis];
            src = index < 0 ? NULL : src + index * stride[axis];
        }
        pad_row((float *)x->out[0].data + row * len, to->dim[inner], src, from->dim[inner], &p,
                p.before[inner]);
    }
}

/* What the padding was made of gets nothing: the middle of dy. */
static prelu_status pad_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_attr *pads = prelu_node_attr(&c->g->nodes[c->node], "pads");
    int64_t start[PRELU_MAX_RANK], end[PRELU_MAX_RANK], axes[PRELU_MAX_RANK];
    padding p;
    const size_t rank = pads ? pads->len / 2 : 0;
    if (rank < 1 || rank > PRELU_MAX_RANK)
        return prelu_fail(err, PRELU_E_FORMAT, "attribute pads has %zu numbers", 2 * rank);
    PRELU_TRY(padding_of(&c->g->nodes[c->node], (int)rank, &p, err));
    for (size_t i = 0; i < rank; i++) {
        if (p.mode != CONSTANT || p.before[i] < 0 || p.before[i + rank] < 0)
            return prelu_fail(err, PRELU_E_UNSUPPORTED,
                              "no gradient flows through a mode but constant, or through a cut");
        axes[i] = (int64_t)i;
        start[i] = p.before[i];
        end[i] = p.before[i + rank] ? -p.before[i + rank] : INT64_MAX;
    }
    const prelu_attr attrs[] = {PRELU_INTS("starts", start, rank), PRELU_INTS("ends", end, rank),
                                PRELU_INTS("axes", axes, rank)};
    return op_grad_one(c, 0, "Slice", "dx", c->dout, 1, attrs, 3, err);
}

const op_def op_pad = {.name = "Pad",
                       .min_in = 1,
                       .max_in = 1,
                       .min_out = 1,
                       .max_out = 1,
                       .shape = pad_shape,
                       .prepare = pad_prepare,
                       .run = pad_run,
                       .grad = pad_grad};
