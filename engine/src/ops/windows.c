#include "ops/spp.h"
#include "ops/util.h"
#include <string.h>

/* Dense testing: from a map of the whole picture to one row for every window of training size,
 * stride 1, the windows of a picture row by row. */

typedef struct windows {
    size_t n, c, h, w; /* of the map */
    size_t win_h, win_w;
    size_t rows, cols; /* windows down and across */
} windows;

static prelu_status window_size(const prelu_node *n, int64_t size[2], prelu_err *err)
{
    const int64_t *v;
    size_t len;
    PRELU_TRY(op_ints(n, "window", 2, 1, 1 << 16, &v, &len, err));
    if (!v)
        return prelu_fail(err, PRELU_E_FORMAT, "attribute window is missing");
    size[0] = v[0];
    size[1] = v[1];
    return PRELU_OK;
}

/* Windows along one axis; -1 if the map's side is free. */
static prelu_status window_count(int64_t side, int64_t window, int64_t *out, prelu_err *err)
{
    *out = side < 0 ? -1 : side - window + 1;
    if (side >= 0 && side < window)
        return prelu_fail(err, PRELU_E_FORMAT, "a map of %lld is below the window of %lld",
                          (long long)side, (long long)window);
    return PRELU_OK;
}

/* Rows of the output for a map (n,c,h,w); -1 if that is open. */
static prelu_status window_rows(const prelu_shape *map, const int64_t size[2], int64_t *out,
                                prelu_err *err)
{
    int64_t rows, cols;
    PRELU_TRY(window_count(map->dim[2], size[0], &rows, err));
    PRELU_TRY(window_count(map->dim[3], size[1], &cols, err));
    *out = -1;
    if (map->dim[0] < 0 || rows < 0 || cols < 0)
        return PRELU_OK;
    if (__builtin_mul_overflow(rows, cols, out) || __builtin_mul_overflow(*out, map->dim[0], out))
        return prelu_fail(err, PRELU_E_LIMIT, "%lld x %lld windows of %lld pictures",
                          (long long)rows, (long long)cols, (long long)map->dim[0]);
    return PRELU_OK;
}

static windows windows_of(const prelu_shape *map, const int64_t size[2])
{
    const size_t h = (size_t)map->dim[2], w = (size_t)map->dim[3];
    return (windows){.n = (size_t)map->dim[0],
                     .c = (size_t)map->dim[1],
                     .h = h,
                     .w = w,
                     .win_h = (size_t)size[0],
                     .win_w = (size_t)size[1],
                     .rows = h - (size_t)size[0] + 1,
                     .cols = w - (size_t)size[1] + 1};
}

/* Lines of windows that a block of `count` of them may touch, wherever it begins. */
static size_t lines_of(const windows *s, const op_tensor *out)
{
    const size_t count = (size_t)out->shape.dim[0], all = s->n * s->rows;
    const size_t most = count / s->cols + 2;
    return count == all * s->cols || most > all ? all : most;
}

/* The part of line number `task` from the first one on that lies in the block. */
typedef struct line {
    size_t picture, top;
    size_t begin, end; /* columns */
    size_t at;         /* row of the output for `begin` */
} line;

/* @return false if the block ends before it. */
static bool find_line(const windows *s, const op_exec *x, size_t task, line *l)
{
    const size_t first = x->first_row, end = first + (size_t)x->out[0].shape.dim[0];
    const size_t number = first / s->cols + task, from = number * s->cols, to = from + s->cols;
    *l = (line){.picture = number / s->rows,
                .top = number % s->rows,
                .begin = from < first ? first - from : 0,
                .end = to > end ? end - from : s->cols,
                .at = from < first ? 0 : from - first};
    return from < end;
}

/* ---- Windows ------------------------------------------------------------------------------- */

static prelu_status copy_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                               prelu_err *err)
{
    int64_t size[2], rows;
    PRELU_TRY(op_need_rank(&in[0], 4, "x", err));
    PRELU_TRY(op_check_map(&in[0], err));
    PRELU_TRY(window_size(n, size, err));
    PRELU_TRY(window_rows(&in[0], size, &rows, err));
    out[0] = (prelu_shape){4, {rows, in[0].dim[1], size[0], size[1]}};
    return op_check_size(out, err);
}

static windows copy_windows(const prelu_node *n, const prelu_shape *x)
{
    int64_t size[2] = {1, 1}; /* the shape rule has checked the attribute */
    if (window_size(n, size, NULL) != PRELU_OK)
        size[0] = size[1] = 1;
    return windows_of(x, size);
}

static prelu_status copy_prepare(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                                 op_work *work, prelu_err *err)
{
    const windows s = copy_windows(inst->node, &in[0].shape);
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    work->tasks[0] = lines_of(&s, out);
    work->flops[0] = 1 + 8.0 * (double)(s.cols * s.win_h * s.win_w * s.c);
    return PRELU_OK;
}

/* A task: one row of windows. */
static void copy_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const windows s = copy_windows(x->op->node, &x->in[0].shape);
    const size_t strip = s.win_w * s.c, all = s.win_h * strip;
    line l;
    (void)phase, (void)scratch;
    if (!find_line(&s, x, task, &l))
        return;
    const float *from = (const float *)x->in[0].data + (l.picture * s.h + l.top) * s.w * s.c;
    float *y = (float *)x->out[0].data + l.at * all;
    for (size_t i = l.begin; i < l.end; i++)
        for (size_t k = 0; k < s.win_h; k++, y += strip)
            memcpy(y, from + (k * s.w + i) * s.c, strip * sizeof *y);
}

const op_def op_windows = {.name = "Windows",
                           .min_in = 1,
                           .max_in = 1,
                           .min_out = 1,
                           .max_out = 1,
                           .windows = true,
                           .shape = copy_shape,
                           .prepare = copy_prepare,
                           .run = copy_run};

/* ---- SPPWindows ---------------------------------------------------------------------------- */

enum { BLOCK = 64 /* channels of a task */ };

typedef struct pyramid {
    int64_t size[2]; /* of a window */
    const int64_t *levels, *sizes;
    size_t n_levels, n_sizes;
    size_t bins;
} pyramid;

/* Number of the filter that has the size of bin (i, k); n_sizes if there is none. */
static size_t filter_of(const pyramid *p, size_t level, size_t i, size_t k)
{
    const size_t h = (size_t)p->size[0], w = (size_t)p->size[1];
    const size_t bin_h = op_spp_to(h, level, i) - op_spp_from(h, level, i);
    const size_t bin_w = op_spp_to(w, level, k) - op_spp_from(w, level, k);
    size_t f = 0;
    while (f < p->n_sizes &&
           ((size_t)p->sizes[2 * f] != bin_h || (size_t)p->sizes[2 * f + 1] != bin_w))
        f++;
    return f;
}

static prelu_status check_filters(const pyramid *p, prelu_err *err)
{
    for (size_t l = 0; l < p->n_levels; l++) {
        const size_t level = (size_t)p->levels[l];
        for (size_t i = 0; i < level; i++)
            for (size_t k = 0; k < level; k++)
                if (filter_of(p, level, i, k) == p->n_sizes)
                    return prelu_fail(err, PRELU_E_FORMAT,
                                      "no filter has the size of bin %zu,%zu of level %zu", i, k,
                                      level);
    }
    return PRELU_OK;
}

static prelu_status pyramid_init(pyramid *p, const prelu_node *n, prelu_err *err)
{
    *p = (pyramid){.bins = 0};
    PRELU_TRY(window_size(n, p->size, err));
    PRELU_TRY(op_ints(n, "levels", 0, 1, OP_SPP_MAX_LEVEL, &p->levels, &p->n_levels, err));
    PRELU_TRY(op_ints(n, "sizes", 0, 1, 1 << 16, &p->sizes, &p->n_sizes, err));
    if (p->n_levels < 1 || p->n_levels > OP_SPP_MAX_LEVELS)
        return prelu_fail(err, PRELU_E_FORMAT, "attribute levels has %zu numbers, not 1..%d",
                          p->n_levels, OP_SPP_MAX_LEVELS);
    if (p->n_sizes != 2 * (size_t)n->n_in)
        return prelu_fail(err, PRELU_E_FORMAT, "attribute sizes has %zu numbers for %d inputs",
                          p->n_sizes, n->n_in);
    p->n_sizes /= 2;
    for (size_t i = 0; i < p->n_levels; i++)
        p->bins += (size_t)(p->levels[i] * p->levels[i]);
    return PRELU_OK;
}

static pyramid pyramid_of(const prelu_node *n)
{
    pyramid p;
    if (pyramid_init(&p, n, NULL) != PRELU_OK) /* the shape rule has checked it */
        p = (pyramid){.size = {1, 1}};
    return p;
}

/* The map that input i was filtered from. */
static prelu_shape unfiltered(const prelu_shape *in, const pyramid *p, size_t i)
{
    prelu_shape s = *in;
    for (int a = 0; a < 2; a++)
        if (s.dim[2 + a] >= 0)
            s.dim[2 + a] += p->sizes[2 * i + (size_t)a] - 1;
    return s;
}

static prelu_status gather_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                 prelu_err *err)
{
    pyramid p;
    int64_t rows;
    PRELU_TRY(pyramid_init(&p, n, err));
    PRELU_TRY(check_filters(&p, err));
    for (int i = 0; i < n->n_in; i++) {
        PRELU_TRY(op_need_rank(&in[i], 4, "a filtered map", err));
        PRELU_TRY(op_check_map(&in[i], err));
        const prelu_shape map = unfiltered(&in[i], &p, (size_t)i), first = unfiltered(in, &p, 0);
        PRELU_TRY(op_need_same(&map, "a filtered map", &first, "the first one", err));
    }
    const prelu_shape map = unfiltered(in, &p, 0);
    PRELU_TRY(window_rows(&map, p.size, &rows, err));
    *out = (prelu_shape){2, {rows, -1}};
    if (map.dim[1] >= 0 && __builtin_mul_overflow(map.dim[1], (int64_t)p.bins, &out->dim[1]))
        return prelu_fail(err, PRELU_E_LIMIT, "%lld channels x %zu bins overflows",
                          (long long)map.dim[1], p.bins);
    return op_check_size(out, err);
}

static prelu_status gather_prepare(const op_instance *inst, const op_tensor *in,
                                   const op_tensor *out, op_work *work, prelu_err *err)
{
    const pyramid p = pyramid_of(inst->node);
    const prelu_shape map = unfiltered(&in[0].shape, &p, 0);
    const windows s = windows_of(&map, p.size);
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    work->tasks[0] = lines_of(&s, out) * op_parts(s.c, BLOCK);
    work->flops[0] = 1 + 16.0 * BLOCK * (double)(s.cols * p.bins);
    return PRELU_OK;
}

/* One bin of one row of windows: `count` channels each, to y and on from window to window. */
static void gather_bin(float *y, size_t stride, size_t row, const float *from, size_t c,
                       size_t cols, size_t count)
{
    for (size_t i = 0; i < cols; i++, y += row, from += c)
        for (size_t j = 0; j < count; j++)
            y[j * stride] = from[j];
}

/* A task: BLOCK channels of a row of windows. */
static void gather_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const pyramid p = pyramid_of(x->op->node);
    const prelu_shape map = unfiltered(&x->in[0].shape, &p, 0);
    const windows s = windows_of(&map, p.size);
    const size_t parts = op_parts(s.c, BLOCK), row = s.c * p.bins;
    size_t begin, end;
    line at;
    (void)phase, (void)scratch;
    if (!find_line(&s, x, task / parts, &at))
        return;
    float *y = (float *)x->out[0].data + at.at * row;
    op_part(s.c, BLOCK, task % parts, &begin, &end);
    for (size_t l = 0; l < p.n_levels; l++) {
        const size_t level = (size_t)p.levels[l], bins = level * level;
        for (size_t b = 0; b < bins; b++) {
            const size_t f = filter_of(&p, level, b / level, b % level);
            const prelu_shape *in = &x->in[f].shape;
            const size_t top = at.top + op_spp_from(s.win_h, level, b / level);
            const size_t left = at.begin + op_spp_from(s.win_w, level, b % level);
            const size_t in_line = at.picture * (size_t)in->dim[2] + top;
            const float *from =
                (const float *)x->in[f].data + (in_line * (size_t)in->dim[3] + left) * s.c + begin;
            gather_bin(y + begin * bins + b, bins, row, from, s.c, at.end - at.begin, end - begin);
        }
        y += s.c * bins;
    }
}

const op_def op_spp_windows = {.name = "SPPWindows",
                               .min_in = 1,
                               .max_in = 32, /* two numbers each fit into an attribute */
                               .min_out = 1,
                               .max_out = 1,
                               .windows = true,
                               .shape = gather_shape,
                               .prepare = gather_prepare,
                               .run = gather_run};
