#include "ops/util.h"
#include <string.h>

/* Add, Sub, Mul, Div with numpy broadcasting, and the variadic Sum. */

/* A per-channel operand of fewer channels than this is repeated up to this length in scratch, so
 * that rows of three channels do not cost a loop each. */
enum { REPEAT = 256 };

/* y[i] = a[i*sa] op b[i*sb]; y may be a. */
typedef void row_fn(float *y, const float *a, ptrdiff_t sa, const float *b, ptrdiff_t sb, size_t n);

#define ROW_FN(name, op)                                                                           \
    static void name(float *y, const float *a, ptrdiff_t sa, const float *b, ptrdiff_t sb,         \
                     size_t n)                                                                     \
    {                                                                                              \
        if (sa == 1 && sb == 1) {                                                                  \
            for (size_t i = 0; i < n; i++)                                                         \
                y[i] = a[i] op b[i];                                                               \
        } else if (sa == 1 && sb == 0) {                                                           \
            const float v = *b;                                                                    \
            for (size_t i = 0; i < n; i++)                                                         \
                y[i] = a[i] op v;                                                                  \
        } else if (sa == 0 && sb == 1) {                                                           \
            const float v = *a;                                                                    \
            for (size_t i = 0; i < n; i++)                                                         \
                y[i] = v op b[i];                                                                  \
        } else {                                                                                   \
            for (size_t i = 0; i < n; i++)                                                         \
                y[i] = a[(ptrdiff_t)i * sa] op b[(ptrdiff_t)i * sb];                               \
        }                                                                                          \
    }
ROW_FN(add_row, +)
ROW_FN(sub_row, -)
ROW_FN(mul_row, *)
ROW_FN(div_row, /)

static bool is_whole(const op_walk *w, int k)
{
    return w->stride[k][0] == (ptrdiff_t)w->size[1] && w->stride[k][1] == 1;
}

/* If operand k is one short row for all rows of the other, spread it out over `row`. */
static void repeat(op_walk *w, int k, const float **operand, float *row)
{
    const size_t c = w->size[w->rank - 1];
    if (w->rank != 2 || w->stride[k][0] != 0 || w->stride[k][1] != 1 || c >= REPEAT / 2 ||
        !is_whole(w, 1 - k))
        return;
    const size_t times = REPEAT / c;
    for (size_t i = 0; i < times; i++)
        memcpy(row + i * c, *operand, c * sizeof *row);
    *operand = row;
    w->size[0] = w->size[0] / times + 1;
    w->size[1] = times * c;
    w->stride[1 - k][0] = (ptrdiff_t)w->size[1];
}

/* Elements of part `task` of y, the shape of which a and b are broadcast to. */
static void combine(float *y, const prelu_shape *ys, const float *a, const prelu_shape *as,
                    const float *b, const prelu_shape *bs, row_fn *fn, size_t task, float *scratch)
{
    const prelu_shape *shapes[2] = {as, bs};
    op_walk w;
    size_t begin, end;
    op_part(op_count(ys), OP_CHUNK, task, &begin, &end);
    op_walk_broadcast(&w, ys, shapes, 2);
    repeat(&w, 0, &a, scratch);
    repeat(&w, 1, &b, scratch);
    const size_t inner = w.size[w.rank - 1];
    const ptrdiff_t sa = w.stride[0][w.rank - 1], sb = w.stride[1][w.rank - 1];
    for (size_t at = begin; at < end;) {
        const size_t row = at / inner, col = at % inner;
        const size_t n = inner - col < end - at ? inner - col : end - at;
        fn(y + at, a + op_walk_at(&w, 0, row) + (ptrdiff_t)col * sa, sa,
           b + op_walk_at(&w, 1, row) + (ptrdiff_t)col * sb, sb, n);
        at += n;
    }
}

static prelu_status binary_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                 prelu_err *err)
{
    for (int i = 0; i < n->n_in; i++)
        if (in[i].rank < 0)
            return prelu_fail(err, PRELU_E_FORMAT, "input %d is missing", i);
    out[0] = in[0];
    PRELU_TRY(op_check_size(&out[0], err));
    for (int i = 1; i < n->n_in; i++)
        PRELU_TRY(op_broadcast(&out[0], &in[i], &out[0], err));
    return PRELU_OK;
}

static prelu_status binary_prepare(const op_instance *inst, const op_tensor *in,
                                   const op_tensor *out, op_work *work, prelu_err *err)
{
    PRELU_TRY(op_prepare_elementwise(inst, in, out, work, err));
    work->scratch = REPEAT * sizeof(float);
    return PRELU_OK;
}

static void run_two(const op_exec *x, row_fn *fn, size_t task, float *scratch)
{
    combine(x->out[0].data, &x->out[0].shape, x->in[0].data, &x->in[0].shape, x->in[1].data,
            &x->in[1].shape, fn, task, scratch);
}

static void add_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    (void)phase;
    run_two(x, add_row, task, scratch);
}

static void sub_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    (void)phase;
    run_two(x, sub_row, task, scratch);
}

static void mul_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    (void)phase;
    run_two(x, mul_row, task, scratch);
}

static void div_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    (void)phase;
    run_two(x, div_row, task, scratch);
}

/* din[i] = scale * (dz summed to the shape of input i) */
static prelu_status grad_sum_to(op_grad_ctx *c, int i, prelu_value dz, float scale, const char *tag,
                                prelu_err *err)
{
    const prelu_attr attr = PRELU_FLOAT("scale", scale);
    const prelu_value in[2] = {dz, c->g->nodes[c->node].in[i]};
    return op_grad_node(c, "SumTo", tag, in, 2, &attr, 1, &c->din[i], 1, err);
}

static prelu_status add_sub_grad(op_grad_ctx *c, float sign, prelu_err *err)
{
    const int n_in = c->g->nodes[c->node].n_in;
    char tag[16] = "d0";
    for (int i = 0; i < n_in; i++) {
        c->din[i] = PRELU_NONE;
        tag[1] = (char)('0' + i / 10);
        tag[2] = (char)('0' + i % 10);
        if (c->needs[i] && c->dout[0] != PRELU_NONE)
            PRELU_TRY(grad_sum_to(c, i, c->dout[0], i ? sign : 1.0f, tag, err));
    }
    return PRELU_OK;
}

static prelu_status add_grad(op_grad_ctx *c, prelu_err *err) { return add_sub_grad(c, 1.0f, err); }

static prelu_status sub_grad(op_grad_ctx *c, prelu_err *err) { return add_sub_grad(c, -1.0f, err); }

static prelu_status mul_grad(op_grad_ctx *c, prelu_err *err)
{
    static const char *const times[2] = {"dy_b", "dy_a"}, *const tags[2] = {"da", "db"};
    for (int i = 0; i < 2; i++) {
        const prelu_value in[2] = {c->dout[0], c->g->nodes[c->node].in[1 - i]};
        prelu_value dz;
        c->din[i] = PRELU_NONE;
        if (!c->needs[i])
            continue;
        PRELU_TRY(op_grad_node(c, "Mul", times[i], in, 2, NULL, 0, &dz, 1, err));
        PRELU_TRY(grad_sum_to(c, i, dz, 1.0f, tags[i], err));
    }
    return PRELU_OK;
}

/* y = a/b: da = dy/b, db = -(dy/b) y */
static prelu_status div_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_value in[2] = {c->dout[0], c->g->nodes[c->node].in[1]};
    prelu_value by_b, dz;
    c->din[0] = c->din[1] = PRELU_NONE;
    PRELU_TRY(op_grad_node(c, "Div", "dy_b", in, 2, NULL, 0, &by_b, 1, err));
    if (c->needs[0])
        PRELU_TRY(grad_sum_to(c, 0, by_b, 1.0f, "da", err));
    if (!c->needs[1])
        return PRELU_OK;
    const prelu_value two[2] = {by_b, c->g->nodes[c->node].out[0]};
    PRELU_TRY(op_grad_node(c, "Mul", "dy_y", two, 2, NULL, 0, &dz, 1, err));
    return grad_sum_to(c, 1, dz, -1.0f, "db", err);
}

#define BINARY(symbol, onnx, run_, grad_)                                                          \
    const op_def symbol = {.name = onnx,                                                           \
                           .min_in = 2,                                                            \
                           .max_in = 2,                                                            \
                           .min_out = 1,                                                           \
                           .max_out = 1,                                                           \
                           .in_place = true,                                                       \
                           .shape = binary_shape,                                                  \
                           .prepare = binary_prepare,                                              \
                           .run = run_,                                                            \
                           .grad = grad_};
BINARY(op_add, "Add", add_run, add_grad)
BINARY(op_sub, "Sub", sub_run, sub_grad)
BINARY(op_mul, "Mul", mul_run, mul_grad)
BINARY(op_div, "Div", div_run, div_grad)

/* y = in0 + in1, then in2.. are added to y, all within a task's part of y. Not in place: in0 may be
 * in2 as well. */
static void sum_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const prelu_shape *ys = &x->out[0].shape;
    const op_piece s = op_piece_of(x, task);
    float *y = x->out[0].data;
    (void)phase;
    if (x->n_in == 1)
        memcpy(s.y, s.a, s.n * sizeof *s.y);
    else
        run_two(x, add_row, task, scratch);
    for (int i = 2; i < x->n_in; i++)
        combine(y, ys, y, ys, x->in[i].data, &x->in[i].shape, add_row, task, scratch);
}

const op_def op_sum = {.name = "Sum",
                       .min_in = 1,
                       .max_in = PRELU_MAX_INPUTS,
                       .min_out = 1,
                       .max_out = 1,
                       .shape = binary_shape,
                       .prepare = binary_prepare,
                       .run = sum_run,
                       .grad = add_grad};
