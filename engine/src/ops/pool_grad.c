#include "ops/pool.h"
#include "ops/reduce.h"
#include <string.h>

/* Gradients of the pools. Inputs: dy, x. Windows overlap, so a task owns a band of the map's rows,
 * visits every window that touches the band and adds to its own rows only. */

static prelu_status grad_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                               prelu_err *err)
{
    pool p;
    PRELU_TRY(op_pool_init(&p, n, &in[1], err));
    const prelu_shape y = {.rank = 4, .dim = {in[1].dim[0], in[1].dim[1], p.out[0], p.out[1]}};
    PRELU_TRY(op_need_same(&in[0], "dy", &y, "the pooled shape", err));
    out[0] = in[1];
    return op_check_size(&in[0], err);
}

static void prepare(const pool *p, op_work *work)
{
    const size_t rows = op_pool_grad_rows(p);
    const double taps = (double)p->out[0] / (double)p->in[0] * (double)p->out[1] *
                        (double)p->kernel[0] * (double)p->kernel[1];
    work->tasks[0] = op_parts(p->n * (size_t)p->in[0], rows);
    work->flops[0] = 1 + 8.0 * (double)rows * ((double)p->in[1] + taps) * (double)p->c;
    work->scratch = p->c * (sizeof(float) + sizeof(int32_t));
}

static prelu_status grad_prepare(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                                 op_work *work, prelu_err *err)
{
    const pool p = op_pool_of(inst->node, &in[1].shape);
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    prepare(&p, work);
    return PRELU_OK;
}

/* What a window's gradient needs: the picture's x and dx, and which rows of dx are ours. */
typedef struct band {
    const pool *p;
    const krn_table *krn;
    const float *x;
    float *dx;
    int64_t from, to;
    float *best;
    int32_t *which;
} band;

static size_t tap_at(const band *b, pool_window h, pool_window w, int64_t i, int64_t k)
{
    return (size_t)((h.first + i * h.step) * b->p->in[1] + w.first + k * w.step) * b->p->c;
}

enum { ROWS = 64 }; /* that a kernel call takes at once */

/* which[j] = number of the first tap that holds channel j's maximum (the first NaN, if any). */
static void find_first_max(const band *b, pool_window h, pool_window w)
{
    const float *row[ROWS];
    size_t n = 0;
    int32_t first = 0;
    for (int64_t i = 0; i < h.taps; i++)
        for (int64_t k = 0; k < w.taps; k++) {
            if (n == ROWS) {
                b->krn->argmax_f32(b->best, b->which, row, n, first, b->p->c);
                first += ROWS;
                n = 0;
            }
            row[n++] = b->x + tap_at(b, h, w, i, k);
        }
    b->krn->argmax_f32(b->best, b->which, row, n, first, b->p->c);
}

static bool is_ours(const band *b, int64_t row) { return row >= b->from && row < b->to; }

/* dx += dy where tap t won. Elsewhere 0 is added, which changes nothing. */
static void add_where(float *restrict dx, const float *restrict dy, const int32_t *restrict which,
                      int32_t t, size_t c)
{
    for (size_t j = 0; j < c; j++) {
        const float v = dy[j];
        dx[j] += which[j] == t ? v : 0.0f;
    }
}

static void max_backward(const band *b, const float *dy, pool_window h, pool_window w)
{
    const size_t c = b->p->c;
    int32_t t = 0;
    if (h.taps * w.taps == 0)
        return;
    find_first_max(b, h, w);
    for (int64_t i = 0; i < h.taps; i++)
        for (int64_t k = 0; k < w.taps; k++, t++) {
            if (is_ours(b, h.first + i * h.step))
                add_where(b->dx + tap_at(b, h, w, i, k), dy, b->which, t, c);
        }
}

static void average_backward(const band *b, const float *dy, pool_window h, pool_window w)
{
    const size_t c = b->p->c;
    const int64_t count = b->p->count_padding ? h.counted * w.counted : h.taps * w.taps;
    const float by = count ? (float)(1.0 / (double)count) : 0;
    for (int64_t i = 0; i < h.taps; i++)
        for (int64_t k = 0; k < w.taps; k++) {
            float *dx = b->dx + tap_at(b, h, w, i, k);
            if (!is_ours(b, h.first + i * h.step))
                continue;
            for (size_t j = 0; j < c; j++)
                dx[j] += by * dy[j];
        }
}

typedef void backward_fn(const band *b, const float *dy, pool_window h, pool_window w);

static void run_band(band *b, const float *dy, backward_fn *fn)
{
    const pool *p = b->p;
    const size_t row = (size_t)p->in[1] * p->c;
    int64_t o0, o1;
    memset(b->dx + (size_t)b->from * row, 0, (size_t)(b->to - b->from) * row * sizeof *b->dx);
    op_pool_touching(p, 0, b->from, b->to, &o0, &o1);
    for (int64_t o = o0; o < o1; o++) {
        const pool_window h = op_pool_window_at(p, 0, o);
        for (int64_t k = 0; k < p->out[1]; k++)
            fn(b, dy + (size_t)(o * p->out[1] + k) * p->c, h, op_pool_window_at(p, 1, k));
    }
}

/* The task's rows, of all pictures one after another, picture by picture. */
static void run(const op_exec *x, const pool *p, size_t task, void *scratch, backward_fn *fn)
{
    const size_t h = (size_t)p->in[0], map = h * (size_t)p->in[1] * p->c;
    const size_t out_map = (size_t)p->out[0] * (size_t)p->out[1] * p->c;
    size_t begin, end;
    op_part(p->n * h, op_pool_grad_rows(p), task, &begin, &end);
    for (size_t r = begin; r < end;) {
        const size_t picture = r / h, from = r % h;
        const size_t rows = h - from < end - r ? h - from : end - r;
        const float *v = x->in[1].data;
        band b = {.p = p,
                  .krn = x->op->krn,
                  .x = v ? v + picture * map : NULL,
                  .dx = (float *)x->out[0].data + picture * map,
                  .from = (int64_t)from,
                  .to = (int64_t)(from + rows),
                  .best = scratch,
                  .which = (int32_t *)((float *)scratch + p->c)};
        run_band(&b, (const float *)x->in[0].data + picture * out_map, fn);
        r += rows;
    }
}

static void max_grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const pool p = op_pool_of(x->op->node, &x->in[1].shape);
    (void)phase;
    run(x, &p, task, scratch, max_backward);
}

static void average_grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const pool p = op_pool_of(x->op->node, &x->in[1].shape);
    (void)phase;
    run(x, &p, task, scratch, average_backward);
}

const op_def op_max_pool_grad = {.name = "MaxPoolGrad",
                                 .min_in = 2,
                                 .max_in = 2,
                                 .min_out = 1,
                                 .max_out = 1,
                                 .shape = grad_shape,
                                 .prepare = grad_prepare,
                                 .run = max_grad_run};

const op_def op_average_pool_grad = {.name = "AveragePoolGrad",
                                     .min_in = 2,
                                     .max_in = 2,
                                     .min_out = 1,
                                     .max_out = 1,
                                     .shape_only = 1u << 1,
                                     .shape = grad_shape,
                                     .prepare = grad_prepare,
                                     .run = average_grad_run};

/* Inputs: dy (n,c,1,1), x. */

static prelu_status global_grad_prepare(const op_instance *inst, const op_tensor *in,
                                        const op_tensor *out, op_work *work, prelu_err *err)
{
    const pool p = op_pool_global(&in[1].shape);
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    prepare(&p, work);
    return PRELU_OK;
}

static void global_grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const pool p = op_pool_global(&x->in[1].shape);
    (void)phase;
    run(x, &p, task, scratch, max_backward);
}

const op_def op_global_max_pool_grad = {.name = "GlobalMaxPoolGrad",
                                        .min_in = 2,
                                        .max_in = 2,
                                        .min_out = 1,
                                        .max_out = 1,
                                        .shape = op_global_grad_shape,
                                        .prepare = global_grad_prepare,
                                        .run = global_grad_run};
