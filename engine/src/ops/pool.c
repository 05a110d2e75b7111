#include "ops/pool.h"
#include <math.h>
#include <string.h>

/* MaxPool and AveragePool. Channels lie side by side, so every inner loop runs over channels. A NaN
 * in a window makes its maximum NaN. A window without any element of the map (possible with
 * dilation only) has maximum -inf and average 0. */

enum { POOL_LIMIT = 1 << 16 }; /* of kernel, stride, dilation, padding */

static int64_t ceil_div(int64_t a, int64_t b) /* b > 0 */
{
    return a > 0 ? (a + b - 1) / b : -(-a / b);
}

static prelu_status pair(const prelu_node *n, const char *name, int64_t lo, int64_t otherwise,
                         int64_t v[2], prelu_err *err)
{
    const int64_t *list;
    size_t len;
    PRELU_TRY(op_ints(n, name, 2, lo, POOL_LIMIT, &list, &len, err));
    v[0] = list ? list[0] : otherwise;
    v[1] = list ? list[1] : otherwise;
    return PRELU_OK;
}

static int64_t extent(const pool *p, int axis)
{
    return (p->kernel[axis] - 1) * p->dilation[axis] + 1;
}

/* SAME: as many outputs as strides, the padding follows. */
static void pad_same(pool *p, int axis, bool upper)
{
    const int64_t in = p->in[axis];
    p->out[axis] = ceil_div(in, p->stride[axis]);
    int64_t all = (p->out[axis] - 1) * p->stride[axis] + extent(p, axis) - in;
    all = all < 0 ? 0 : all;
    p->before[axis] = upper ? all / 2 : all - all / 2;
    p->after[axis] = all - p->before[axis];
}

static prelu_status out_size(pool *p, int axis, bool ceil_mode, prelu_err *err)
{
    const int64_t padded = p->in[axis] + p->before[axis] + p->after[axis];
    const int64_t room = padded - extent(p, axis);
    if (room < 0)
        return prelu_fail(err, PRELU_E_FORMAT, "window of %lld does not fit into %lld",
                          (long long)extent(p, axis), (long long)padded);
    int64_t out = (ceil_mode ? ceil_div(room, p->stride[axis]) : room / p->stride[axis]) + 1;
    if ((out - 1) * p->stride[axis] >= p->in[axis] + p->before[axis])
        out--;
    p->out[axis] = out;
    return PRELU_OK;
}

static prelu_status pads_of(pool *p, const prelu_node *n, prelu_err *err)
{
    const int64_t *pads;
    size_t len;
    PRELU_TRY(op_ints(n, "pads", 4, 0, POOL_LIMIT, &pads, &len, err));
    for (int a = 0; a < 2 && pads; a++) {
        p->before[a] = pads[a];
        p->after[a] = pads[a + 2];
        if (pads[a] >= extent(p, a) || pads[a + 2] >= extent(p, a))
            return prelu_fail(err, PRELU_E_FORMAT, "padding %lld is not below the window's %lld",
                              (long long)(pads[a] > pads[a + 2] ? pads[a] : pads[a + 2]),
                              (long long)extent(p, a));
    }
    return PRELU_OK;
}

static prelu_status auto_pad_of(const prelu_node *n, bool *same, bool *upper, bool *valid,
                                prelu_err *err)
{
    const prelu_attr *a = prelu_node_attr(n, "auto_pad");
    const char *text = a && a->kind == PRELU_ATTR_STRING && a->s ? a->s : "NOTSET";
    *upper = strcmp(text, "SAME_UPPER") == 0;
    *same = *upper || strcmp(text, "SAME_LOWER") == 0;
    *valid = strcmp(text, "VALID") == 0;
    if (*same || *valid || strcmp(text, "NOTSET") == 0)
        return PRELU_OK;
    return prelu_fail(err, PRELU_E_FORMAT, "auto_pad '%.32s' is unknown", text);
}

prelu_status op_pool_init(pool *p, const prelu_node *n, const prelu_shape *x, prelu_err *err)
{
    bool same, upper, valid;
    const bool ceil_mode = prelu_node_int(n, "ceil_mode", 0) != 0;
    *p = (pool){.count_padding = prelu_node_int(n, "count_include_pad", 0) != 0};
    PRELU_TRY(op_need_rank(x, 4, "x", err));
    PRELU_TRY(op_check_map(x, err));
    if (!prelu_node_attr(n, "kernel_shape"))
        return prelu_fail(err, PRELU_E_FORMAT, "attribute kernel_shape is missing");
    PRELU_TRY(pair(n, "kernel_shape", 1, 1, p->kernel, err));
    PRELU_TRY(pair(n, "strides", 1, 1, p->stride, err));
    PRELU_TRY(pair(n, "dilations", 1, 1, p->dilation, err));
    PRELU_TRY(auto_pad_of(n, &same, &upper, &valid, err));
    if (!same && !valid)
        PRELU_TRY(pads_of(p, n, err));
    p->n = (size_t)x->dim[0];
    p->c = (size_t)x->dim[1];
    for (int a = 0; a < 2; a++) {
        p->in[a] = x->dim[a + 2];
        if (p->in[a] < 0)
            p->out[a] = -1;
        else if (same)
            pad_same(p, a, upper);
        else
            PRELU_TRY(out_size(p, a, ceil_mode, err));
    }
    return PRELU_OK;
}

pool op_pool_of(const prelu_node *n, const prelu_shape *x)
{
    pool p;
    if (op_pool_init(&p, n, x, NULL) != PRELU_OK)
        p.out[0] = p.out[1] = 0;
    return p;
}

pool op_pool_global(const prelu_shape *x)
{
    pool p = {.n = (size_t)x->dim[0], .c = (size_t)x->dim[1]};
    for (int a = 0; a < 2; a++) {
        p.in[a] = p.kernel[a] = x->dim[a + 2];
        p.out[a] = p.stride[a] = p.dilation[a] = 1;
    }
    return p;
}

pool_window op_pool_window_at(const pool *p, int axis, int64_t o)
{
    const int64_t start = o * p->stride[axis] - p->before[axis], step = p->dilation[axis];
    const int64_t begin = start < 0 ? ceil_div(-start, step) : 0;
    int64_t end = ceil_div(p->in[axis] - start, step);
    int64_t counted = ceil_div(p->in[axis] + p->after[axis] - start, step);
    end = end < p->kernel[axis] ? end : p->kernel[axis];
    counted = counted < p->kernel[axis] ? counted : p->kernel[axis];
    return (pool_window){.first = start + begin * step,
                         .step = step,
                         .taps = end > begin ? end - begin : 0,
                         .counted = counted};
}

void op_pool_touching(const pool *p, int axis, int64_t i0, int64_t i1, int64_t *o0, int64_t *o1)
{
    const int64_t from = i0 + p->before[axis] - (extent(p, axis) - 1);
    *o0 = from > 0 ? ceil_div(from, p->stride[axis]) : 0;
    *o1 = (i1 - 1 + p->before[axis]) / p->stride[axis] + 1;
    if (*o1 > p->out[axis])
        *o1 = p->out[axis];
}

static double row_cost(const pool *p)
{
    return (double)p->c * (double)p->out[1] * (double)p->kernel[0] * (double)p->kernel[1];
}

/* Output rows of a task, of all pictures one after another. */
static size_t rows_per_task(const pool *p)
{
    const double rows = 2.0 * (double)OP_CHUNK / row_cost(p);
    return rows < 1 ? 1 : (size_t)rows;
}

size_t op_pool_grad_rows(const pool *p)
{
    const double cost = row_cost(p) * (double)p->out[0] / (double)p->in[0];
    const double rows = (double)OP_CHUNK / (cost < 1 ? 1 : cost);
    /* A band's first and last windows are computed for its neighbours too: four extents of rows
     * keep that small. */
    const size_t least = 4 * (size_t)extent(p, 0);
    return rows < (double)least ? least : (size_t)rows;
}

static prelu_status pool_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                               prelu_err *err)
{
    pool p;
    PRELU_TRY(op_pool_init(&p, n, &in[0], err));
    out[0] = (prelu_shape){.rank = 4, .dim = {in[0].dim[0], in[0].dim[1], p.out[0], p.out[1]}};
    return op_check_size(out, err);
}

static prelu_status pool_prepare(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                                 op_work *work, prelu_err *err)
{
    const pool p = op_pool_of(inst->node, &in[0].shape);
    const size_t rows = rows_per_task(&p);
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    work->tasks[0] = op_parts(p.n * (size_t)p.out[0], rows);
    work->flops[0] = 1 + 4.0 * row_cost(&p) * (double)rows;
    return PRELU_OK;
}

/* Rows that a kernel call takes at once; larger windows go on from the result so far. */
enum { ROWS = 64 };

static void max_window(float *y, const float *picture, const pool *p, const krn_table *krn,
                       pool_window h, pool_window w)
{
    const float *row[ROWS];
    size_t n = 0;
    for (int64_t i = 0; i < h.taps; i++)
        for (int64_t k = 0; k < w.taps; k++) {
            const int64_t at = (h.first + i * h.step) * p->in[1] + w.first + k * w.step;
            if (n == ROWS) {
                krn->max_f32(y, row, n, p->c);
                row[0] = y;
                n = 1;
            }
            row[n++] = picture + (size_t)at * p->c;
        }
    if (n)
        krn->max_f32(y, row, n, p->c);
    else
        for (size_t j = 0; j < p->c; j++)
            y[j] = -INFINITY;
}

static void average_window(float *y, const float *picture, const pool *p, const krn_table *krn,
                           pool_window h, pool_window w)
{
    const size_t c = p->c;
    const int64_t count = p->count_padding ? h.counted * w.counted : h.taps * w.taps;
    const float by = count ? (float)(1.0 / (double)count) : 0;
    (void)krn;
    memset(y, 0, c * sizeof *y);
    for (int64_t i = 0; i < h.taps; i++)
        for (int64_t k = 0; k < w.taps; k++) {
            const int64_t at = (h.first + i * h.step) * p->in[1] + w.first + k * w.step;
            const float *tap = picture + (size_t)at * c;
            for (size_t j = 0; j < c; j++)
                y[j] += tap[j];
        }
    for (size_t j = 0; j < c; j++)
        y[j] *= by;
}

typedef void window_fn(float *y, const float *picture, const pool *p, const krn_table *krn,
                       pool_window h, pool_window w);

static void run_rows(const op_exec *x, size_t task, window_fn *fn)
{
    const pool p = op_pool_of(x->op->node, &x->in[0].shape);
    const size_t out_h = (size_t)p.out[0], out_row = (size_t)p.out[1] * p.c;
    const size_t picture = (size_t)p.in[0] * (size_t)p.in[1] * p.c;
    size_t begin, end;
    op_part(p.n * out_h, rows_per_task(&p), task, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        const float *from = (const float *)x->in[0].data + r / out_h * picture;
        float *y = (float *)x->out[0].data + r * out_row;
        const pool_window h = op_pool_window_at(&p, 0, (int64_t)(r % out_h));
        for (int64_t o = 0; o < p.out[1]; o++, y += p.c)
            fn(y, from, &p, x->op->krn, h, op_pool_window_at(&p, 1, o));
    }
}

static void max_pool_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    (void)phase, (void)scratch;
    run_rows(x, task, max_window);
}

static void average_pool_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    (void)phase, (void)scratch;
    run_rows(x, task, average_window);
}

/* The gradient op bears the forward node's attributes. */
static prelu_status pool_grad(op_grad_ctx *c, const char *op, prelu_err *err)
{
    const prelu_node *n = &c->g->nodes[c->node];
    const prelu_value in[2] = {c->dout[0], n->in[0]};
    return op_grad_one(c, 0, op, "dx", in, 2, n->attrs, n->n_attrs, err);
}

static prelu_status max_pool_grad(op_grad_ctx *c, prelu_err *err)
{
    return pool_grad(c, "MaxPoolGrad", err);
}

static prelu_status average_pool_grad(op_grad_ctx *c, prelu_err *err)
{
    return pool_grad(c, "AveragePoolGrad", err);
}

const op_def op_max_pool = {.name = "MaxPool",
                            .min_in = 1,
                            .max_in = 1,
                            .min_out = 1,
                            .max_out = 1,
                            .shape = pool_shape,
                            .prepare = pool_prepare,
                            .run = max_pool_run,
                            .grad = max_pool_grad};

const op_def op_average_pool = {.name = "AveragePool",
                                .min_in = 1,
                                .max_in = 1,
                                .min_out = 1,
                                .max_out = 1,
                                .shape = pool_shape,
                                .prepare = pool_prepare,
                                .run = average_pool_run,
                                .grad = average_pool_grad};
