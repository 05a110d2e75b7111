#include "ops/spp.h"
#include "ops/util.h"
#include <string.h>

/* Spatial pyramid pooling: input (n,c,h,w), attribute levels = {7,3,2,1}, say; output
 * (n, c * sum of level^2): the levels in the order given, each as (c,level,level), row-major.
 *
 * Bin i of level l covers rows [floor(i h / l), ceil((i + 1) h / l)) and columns alike. Bins
 * overlap where l does not divide h, and none is empty, also where l > h. The first maximum of a
 * bin gets its gradient; a NaN makes its bin NaN. */

enum { BLOCK = 64 /* channels of a task */ };

typedef struct spp {
    size_t n, c, h, w;
    const int64_t *levels;
    size_t n_levels;
    size_t bins; /* of all levels */
} spp;

static prelu_status spp_init(spp *s, const prelu_node *n, const prelu_shape *x, prelu_err *err)
{
    PRELU_TRY(op_need_rank(x, 4, "x", err));
    PRELU_TRY(op_check_map(x, err));
    *s = (spp){
        (size_t)x->dim[0], (size_t)x->dim[1], (size_t)x->dim[2], (size_t)x->dim[3], NULL, 0, 0};
    PRELU_TRY(op_ints(n, "levels", 0, 1, OP_SPP_MAX_LEVEL, &s->levels, &s->n_levels, err));
    if (s->n_levels < 1 || s->n_levels > OP_SPP_MAX_LEVELS)
        return prelu_fail(err, PRELU_E_FORMAT, "attribute levels has %zu numbers, not 1..%d",
                          s->n_levels, OP_SPP_MAX_LEVELS);
    for (size_t i = 0; i < s->n_levels; i++)
        s->bins += (size_t)(s->levels[i] * s->levels[i]);
    return PRELU_OK;
}

static spp spp_of(const prelu_node *n, const prelu_shape *x)
{
    spp s;
    if (spp_init(&s, n, x, NULL) != PRELU_OK)
        s = (spp){0};
    return s;
}

static prelu_status pooled_shape(const prelu_node *n, const prelu_shape *x, prelu_shape *y,
                                 prelu_err *err)
{
    spp s;
    PRELU_TRY(spp_init(&s, n, x, err));
    *y = (prelu_shape){.rank = 2, .dim = {x->dim[0], -1}};
    if (x->dim[1] >= 0 && __builtin_mul_overflow(x->dim[1], (int64_t)s.bins, &y->dim[1]))
        return prelu_fail(err, PRELU_E_LIMIT, "%zu channels x %zu bins overflows", s.c, s.bins);
    return op_check_size(y, err);
}

static prelu_status spp_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                              prelu_err *err)
{
    return pooled_shape(n, &in[0], &out[0], err);
}

static void set_work(const spp *s, op_work *work)
{
    work->tasks[0] = s->n * op_parts(s->c, BLOCK);
    work->flops[0] = 1 + 4.0 * BLOCK * (double)(s->h * s->w) * (double)s->n_levels;
}

static prelu_status spp_prepare(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                                op_work *work, prelu_err *err)
{
    const spp s = spp_of(inst->node, &in[0].shape);
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    set_work(&s, work);
    return PRELU_OK;
}

/* A task: BLOCK channels of one picture. */
typedef struct block {
    size_t picture, first, n; /* channels first..first+n-1 */
} block;

static block block_of(const spp *s, size_t task)
{
    const size_t parts = op_parts(s->c, BLOCK);
    size_t begin, end;
    op_part(s->c, BLOCK, task % parts, &begin, &end);
    return (block){task / parts, begin, end - begin};
}

/* One bin, as rows y0..y1-1 and columns x0..x1-1 of the map. */
typedef struct bin {
    size_t y0, y1, x0, x1;
} bin;

static bin bin_at(const spp *s, size_t level, size_t i)
{
    const size_t row = i / level, col = i % level;
    return (bin){op_spp_from(s->h, level, row), op_spp_to(s->h, level, row),
                 op_spp_from(s->w, level, col), op_spp_to(s->w, level, col)};
}

/* Rows that a kernel call takes at once; larger bins go on from the result so far. */
enum { ROWS = 64 };

static void max_of_bin(float *best, const float *map, const spp *s, const block *b, bin at,
                       const krn_table *krn)
{
    const float *row[ROWS];
    size_t n = 0;
    for (size_t y = at.y0; y < at.y1; y++)
        for (size_t x = at.x0; x < at.x1; x++) {
            if (n == ROWS) {
                krn->max_f32(best, row, n, b->n);
                row[0] = best;
                n = 1;
            }
            row[n++] = map + (y * s->w + x) * s->c;
        }
    krn->max_f32(best, row, n, b->n);
}

static void spp_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const spp s = spp_of(x->op->node, &x->in[0].shape);
    const block b = block_of(&s, task);
    const float *map = (const float *)x->in[0].data + b.picture * s.h * s.w * s.c + b.first;
    float *y = (float *)x->out[0].data + b.picture * s.c * s.bins, best[BLOCK];
    (void)phase, (void)scratch;
    for (size_t k = 0; k < s.n_levels; k++) {
        const size_t level = (size_t)s.levels[k], bins = level * level;
        for (size_t i = 0; i < bins; i++) {
            max_of_bin(best, map, &s, &b, bin_at(&s, level, i), x->op->krn);
            for (size_t j = 0; j < b.n; j++)
                y[(b.first + j) * bins + i] = best[j];
        }
        y += s.c * bins;
    }
}

static prelu_status spp_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_node *n = &c->g->nodes[c->node];
    const prelu_value in[2] = {c->dout[0], n->in[0]};
    return op_grad_one(c, 0, "SPPGrad", "dx", in, 2, n->attrs, n->n_attrs, err);
}

const op_def op_spp = {.name = "SPP",
                       .min_in = 1,
                       .max_in = 1,
                       .min_out = 1,
                       .max_out = 1,
                       .shape = spp_shape,
                       .prepare = spp_prepare,
                       .run = spp_run,
                       .grad = spp_grad};

/* Gradient. Inputs: dy, x. */

static prelu_status grad_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                               prelu_err *err)
{
    prelu_shape y;
    PRELU_TRY(pooled_shape(n, &in[1], &y, err));
    PRELU_TRY(op_need_same(&in[0], "dy", &y, "the pooled shape", err));
    out[0] = in[1];
    return PRELU_OK;
}

static prelu_status grad_prepare(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                                 op_work *work, prelu_err *err)
{
    const spp s = spp_of(inst->node, &in[1].shape);
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    set_work(&s, work);
    work->flops[0] *= 2;
    return PRELU_OK;
}

/* which[j] = number, row by row within the bin, of channel j's first maximum (of its first NaN). */
static void first_max_of_bin(int32_t *which, const float *map, const spp *s, const block *b, bin at,
                             const krn_table *krn)
{
    const float *row[ROWS];
    float best[BLOCK];
    size_t n = 0;
    int32_t first = 0;
    for (size_t y = at.y0; y < at.y1; y++)
        for (size_t x = at.x0; x < at.x1; x++) {
            if (n == ROWS) {
                krn->argmax_f32(best, which, row, n, first, b->n);
                first += ROWS;
                n = 0;
            }
            row[n++] = map + (y * s->w + x) * s->c;
        }
    krn->argmax_f32(best, which, row, n, first, b->n);
}

static void grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const spp s = spp_of(x->op->node, &x->in[1].shape);
    const block b = block_of(&s, task);
    const size_t offset = b.picture * s.h * s.w * s.c + b.first;
    const float *map = (const float *)x->in[1].data + offset;
    const float *dy = (const float *)x->in[0].data + b.picture * s.c * s.bins;
    float *dx = (float *)x->out[0].data + offset;
    int32_t which[BLOCK];
    (void)phase, (void)scratch;
    for (size_t i = 0; i < s.h * s.w; i++)
        memset(dx + i * s.c, 0, b.n * sizeof *dx);
    for (size_t k = 0; k < s.n_levels; k++) {
        const size_t level = (size_t)s.levels[k], bins = level * level;
        for (size_t i = 0; i < bins; i++) {
            const bin at = bin_at(&s, level, i);
            const uint32_t w = (uint32_t)(at.x1 - at.x0); /* 32-bit division is much faster */
            first_max_of_bin(which, map, &s, &b, at, x->op->krn);
            for (size_t j = 0; j < b.n; j++) {
                const uint32_t k_th = (uint32_t)which[j];
                const size_t place = (at.y0 + k_th / w) * s.w + at.x0 + k_th % w;
                dx[place * s.c + j] += dy[(b.first + j) * bins + i];
            }
        }
        dy += s.c * bins;
    }
}

const op_def op_spp_grad = {.name = "SPPGrad",
                            .min_in = 2,
                            .max_in = 2,
                            .min_out = 1,
                            .max_out = 1,
                            .shape = grad_shape,
                            .prepare = grad_prepare,
                            .run = grad_run};
