#include "ops/reduce.h"
#include <math.h>
#include <string.h>

enum { RESULT = 0, COMPACT = 1 }; /* operands of the walk: the result, and a gapless accumulator */
enum { COMBINE_CHUNK = 4096, COMBINE_BLOCK = 64 };

/* Axis 0, where it is kept, counts slices, even if it has size 1; the walk runs over the rest. So n
 * has no part in how a picture is reduced. */
typedef struct layout {
    op_walk walk;     /* of one slice */
    size_t slices;    /* 1 if axis 0 is reduced */
    ptrdiff_t apart;  /* results of two slices */
    size_t slice_len; /* operand's elements of a slice */
    size_t slice_out; /* results of a slice */
    size_t part_len, parts;
    size_t group; /* slices of a task, when parts == 1 */
    bool plain;   /* nothing is reduced or moved */
} layout;

op_reduce_map op_reduce_to(const prelu_shape *from, const prelu_shape *to)
{
    const int missing = from->rank - to->rank;
    op_reduce_map m = {{0}};
    ptrdiff_t stride[PRELU_MAX_RANK];
    op_strides(to, stride);
    for (int i = missing; i < from->rank; i++)
        m.stride[i] = to->dim[i - missing] == 1 ? 0 : stride[i - missing];
    return m;
}

op_reduce_map op_reduce_axes(const prelu_shape *from, unsigned axes, const prelu_shape *to)
{
    op_reduce_map m = {{0}};
    ptrdiff_t stride[PRELU_MAX_RANK];
    int at = 0;
    op_strides(to, stride);
    for (int i = 0; i < from->rank; i++) {
        const bool reduced = axes >> i & 1;
        m.stride[i] = reduced ? 0 : stride[at];
        at += !reduced || to->rank == from->rank;
    }
    return m;
}

static void walk_of(op_walk *w, const prelu_shape *from, const op_reduce_map *map, int first)
{
    int order[PRELU_MAX_RANK];
    ptrdiff_t compact = 1;
    op_order(from, order);
    w->rank = from->rank - first;
    w->n = 2;
    for (int p = w->rank - 1; p >= 0; p--) {
        const int axis = order[p + first];
        w->size[p] = (size_t)from->dim[axis];
        w->stride[RESULT][p] = w->size[p] == 1 ? 0 : map->stride[axis];
        w->stride[COMPACT][p] = w->stride[RESULT][p] ? compact : 0;
        if (w->stride[RESULT][p])
            compact *= (ptrdiff_t)w->size[p];
    }
    op_walk_merge(w);
}

static layout layout_of(const prelu_shape *from, const op_reduce_map *map)
{
    layout l = {.slices = 1, .slice_len = 1, .slice_out = 1, .group = 1};
    const op_walk *w = &l.walk;
    const bool sliced = from->rank > 0 && map->stride[0] != 0;
    if (sliced) {
        l.slices = (size_t)from->dim[0];
        l.apart = map->stride[0];
    }
    walk_of(&l.walk, from, map, sliced ? 1 : 0);
    for (int p = 0; p < w->rank; p++) {
        l.slice_len *= w->size[p];
        l.slice_out *= w->stride[COMPACT][p] ? w->size[p] : 1;
    }
    l.plain = w->rank == 1 && (w->stride[RESULT][0] == 1 || w->size[0] == 1) &&
              (l.slices == 1 || l.apart == (ptrdiff_t)l.slice_len);
    /* At least 16 elements for a partial result: partial results take half of the operand's bytes
     * at most. */
    l.part_len = l.slice_out > OP_CHUNK / 16 ? 16 * l.slice_out : OP_CHUNK;
    l.parts = op_parts(l.slice_len, l.part_len);
    if (l.slice_len < OP_CHUNK)
        l.group = OP_CHUNK / l.slice_len;
    return l;
}

void op_reduce_prepare(const prelu_shape *from, const op_reduce_map *map, op_work *work)
{
    const layout l = layout_of(from, map);
    if (l.plain) {
        op_work_elementwise(work, op_count(from), 8);
        work->scratch = 0;
        return;
    }
    work->phases = l.parts > 1 ? 2 : 1;
    work->scratch = OP_REDUCE_FETCH * sizeof(float);
    if (l.parts == 1) {
        work->tasks[0] = op_parts(l.slices, l.group);
        work->flops[0] = 1 + 4.0 * (double)(l.group * l.slice_len);
        work->scratch += l.slice_out * sizeof(double);
        return;
    }
    work->tasks[0] = l.slices * l.parts;
    work->flops[0] = 1 + 4.0 * (double)l.part_len;
    work->tasks[1] = op_parts(l.slices * l.slice_out, COMBINE_CHUNK);
    work->flops[1] = 1 + 8.0 * (double)(COMBINE_CHUNK * l.parts);
    work->shared = l.slices * l.parts * l.slice_out * sizeof(double);
}

static double larger(double a, double v) { return v > a || v != v ? v : a; }

static void add_kept(double *acc, ptrdiff_t stride, const float *v, size_t n, op_reduction kind)
{
    if (kind == OP_REDUCE_MAX)
        for (size_t i = 0; i < n; i++)
            acc[(ptrdiff_t)i * stride] = larger(acc[(ptrdiff_t)i * stride], (double)v[i]);
    else if (stride == 1)
        for (size_t i = 0; i < n; i++)
            acc[i] += (double)v[i];
    else
        for (size_t i = 0; i < n; i++)
            acc[(ptrdiff_t)i * stride] += (double)v[i];
}

static void add_reduced(double *acc, const float *v, size_t n, op_reduction kind)
{
    double lane[4] = {0, 0, 0, 0};
    size_t i = 0;
    if (kind == OP_REDUCE_MAX) {
        for (; i < n; i++)
            *acc = larger(*acc, (double)v[i]);
        return;
    }
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            lane[k] += (double)v[i + (size_t)k];
    for (; i < n; i++)
        lane[0] += (double)v[i];
    *acc += (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

/* Elements at..at+n-1 of a slice into its accumulator. */
static void accumulate(const op_walk *w, double *acc, const float *v, size_t at, size_t n,
                       op_reduction kind)
{
    const size_t inner = w->size[w->rank - 1];
    const ptrdiff_t stride = w->stride[COMPACT][w->rank - 1];
    while (n) {
        const size_t row = at / inner, col = at % inner;
        const size_t len = inner - col < n ? inner - col : n;
        double *to = acc + op_walk_at(w, COMPACT, row);
        if (stride)
            add_kept(to + (ptrdiff_t)col * stride, stride, v, len, kind);
        else
            add_reduced(to, v, len, kind);
        v += len;
        at += len;
        n -= len;
    }
}

static void reduce_range(const op_exec *x, const layout *l, double *acc, size_t slice, size_t begin,
                         size_t end, op_reduction kind, op_reduce_fetch *fetch, float *buffer)
{
    for (size_t k = 0; k < l->slice_out; k++)
        acc[k] = kind == OP_REDUCE_MAX ? -INFINITY : 0;
    for (size_t at = begin; at < end;) {
        const size_t n = end - at < OP_REDUCE_FETCH ? end - at : OP_REDUCE_FETCH;
        accumulate(&l->walk, acc, fetch(x, buffer, slice * l->slice_len + at, n), at, n, kind);
        at += n;
    }
}

/* Results first..first+n-1 of a slice, from its accumulator to where they belong. */
static void store(const op_exec *x, const layout *l, size_t slice, size_t first, const double *acc,
                  size_t n, double scale)
{
    const op_walk *w = &l->walk;
    float *y = (float *)x->out[0].data + (ptrdiff_t)slice * l->apart;
    op_walk kept = {.rank = 0, .n = 1};
    for (int p = 0; p < w->rank; p++)
        if (w->stride[COMPACT][p]) {
            kept.size[kept.rank] = w->size[p];
            kept.stride[0][kept.rank++] = w->stride[RESULT][p];
        }
    op_walk_merge(&kept);
    const size_t inner = kept.size[kept.rank - 1];
    const ptrdiff_t stride = kept.stride[0][kept.rank - 1];
    for (size_t k = 0; k < n; k++) {
        const size_t row = (first + k) / inner, col = (first + k) % inner;
        y[op_walk_at(&kept, 0, row) + (ptrdiff_t)col * stride] = (float)(acc[k] * scale);
    }
}

static void run_combine(const op_exec *x, const layout *l, op_reduction kind, double scale,
                        size_t task)
{
    const double *partial = x->shared;
    size_t begin, end;
    op_part(l->slices * l->slice_out, COMBINE_CHUNK, task, &begin, &end);
    for (size_t at = begin; at < end;) {
        const size_t slice = at / l->slice_out, k = at % l->slice_out;
        double acc[COMBINE_BLOCK];
        size_t n = l->slice_out - k < end - at ? l->slice_out - k : end - at;
        n = n < COMBINE_BLOCK ? n : COMBINE_BLOCK;
        const double *from = partial + slice * l->parts * l->slice_out + k;
        memcpy(acc, from, n * sizeof *acc);
        for (size_t p = 1; p < l->parts; p++)
            for (size_t i = 0; i < n; i++) {
                const double v = from[p * l->slice_out + i];
                acc[i] = kind == OP_REDUCE_MAX ? larger(acc[i], v) : acc[i] + v;
            }
        store(x, l, slice, k, acc, n, scale);
        at += n;
    }
}

static void run_plain(const op_exec *x, double scale, op_reduce_fetch *fetch, size_t count,
                      size_t task)
{
    float *y = x->out[0].data, buffer[OP_REDUCE_FETCH];
    size_t begin, end;
    op_part(count, OP_CHUNK, task, &begin, &end);
    for (size_t at = begin; at < end;) {
        const size_t n = end - at < OP_REDUCE_FETCH ? end - at : OP_REDUCE_FETCH;
        const float *v = fetch(x, buffer, at, n), by = (float)scale;
        if (by != 1.0f)
            for (size_t i = 0; i < n; i++)
                y[at + i] = by * v[i];
        else if (y + at != v)
            memcpy(y + at, v, n * sizeof *y);
        at += n;
    }
}

void op_reduce_run(const op_exec *x, const prelu_shape *from, const op_reduce_map *map,
                   op_reduction kind, double scale, op_reduce_fetch *fetch, int phase, size_t task,
                   void *scratch)
{
    const layout l = layout_of(from, map);
    float *buffer = scratch;
    if (l.plain) {
        run_plain(x, scale, fetch, op_count(from), task);
    } else if (phase == 1) {
        run_combine(x, &l, kind, scale, task);
    } else if (l.parts > 1) {
        const size_t slice = task / l.parts, part = task % l.parts;
        size_t begin, end;
        op_part(l.slice_len, l.part_len, part, &begin, &end);
        reduce_range(x, &l, (double *)x->shared + task * l.slice_out, slice, begin, end, kind,
                     fetch, buffer);
    } else {
        double *acc = (double *)(buffer + OP_REDUCE_FETCH);
        size_t begin, end;
        op_part(l.slices, l.group, task, &begin, &end);
        for (size_t slice = begin; slice < end; slice++) {
            reduce_range(x, &l, acc, slice, 0, l.slice_len, kind, fetch, buffer);
            store(x, &l, slice, 0, acc, l.slice_out, scale);
        }
    }
}
