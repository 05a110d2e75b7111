#include "ops/copy.h"
#include <string.h>

enum { TILE = 16 }; /* a cache line of floats: a tile's 16 lines of source and result stay in L1 */

op_copy op_copy_strided(const prelu_shape *out, const ptrdiff_t *stride, ptrdiff_t base)
{
    op_copy c = {.walk = {.rank = out->rank, .n = 1}, .base = base};
    int order[PRELU_MAX_RANK];
    op_order(out, order);
    for (int p = 0; p < out->rank; p++) {
        c.walk.size[p] = (size_t)out->dim[order[p]];
        c.walk.stride[0][p] = stride[order[p]];
    }
    op_walk_merge(&c.walk);
    return c;
}

op_copy op_copy_flat(size_t count)
{
    return (op_copy){.walk = {.rank = 1, .n = 1, .size = {count}, .stride = {{1}}}};
}

op_copy op_copy_to_logical(const prelu_shape *x)
{
    op_copy c = {.walk = {.rank = x->rank, .n = 1}};
    ptrdiff_t stride[PRELU_MAX_RANK];
    op_strides(x, stride);
    for (int i = 0; i < x->rank; i++) {
        c.walk.size[i] = (size_t)x->dim[i];
        c.walk.stride[0][i] = stride[i];
    }
    op_walk_merge(&c.walk);
    return c;
}

op_copy op_copy_from_logical(const prelu_shape *y)
{
    ptrdiff_t stride[PRELU_MAX_RANK], step = 1;
    for (int i = y->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= (ptrdiff_t)y->dim[i];
    }
    return op_copy_strided(y, stride, 0);
}

static size_t count_of(const op_walk *w)
{
    size_t count = 1;
    for (int p = 0; p < w->rank; p++)
        count *= w->size[p];
    return count;
}

/* The last two loops are a matrix to be transposed: the source runs on along the rows' index. */
static bool is_transposed(const op_walk *w)
{
    return w->rank >= 2 && w->stride[0][w->rank - 2] == 1;
}

static size_t rows_per_task(const op_walk *w)
{
    const size_t rows = OP_CHUNK / w->size[w->rank - 1] / TILE * TILE;
    return rows < TILE ? TILE : rows;
}

void op_copy_work(const op_copy *c, op_work *work, int phase)
{
    const op_walk *w = &c->walk;
    const size_t count = count_of(w), inner = w->size[w->rank - 1];
    size_t chunk = OP_CHUNK;
    if (is_transposed(w)) {
        chunk = rows_per_task(w) * inner;
        work->tasks[phase] = op_parts(count / inner, rows_per_task(w));
    } else {
        work->tasks[phase] = op_parts(count, chunk);
    }
    work->flops[phase] = 1 + 8.0 * (double)(chunk < count ? chunk : count);
}

static void copy_tile(float *to, size_t to_row, const float *from, ptrdiff_t from_col, size_t rows,
                      size_t cols)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < cols; k++)
            to[r * to_row + k] = from[(ptrdiff_t)r + (ptrdiff_t)k * from_col];
}

/* rows x cols; to[r][k] = from[r + k * from_col] */
static void transpose(float *to, const float *from, ptrdiff_t from_col, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r += TILE) {
        const size_t n = rows - r < TILE ? rows - r : TILE;
        for (size_t k = 0; k < cols; k += TILE) {
            const float *source = from + (ptrdiff_t)r + (ptrdiff_t)k * from_col;
            if (n == TILE && cols - k >= TILE)
                copy_tile(to + r * cols + k, cols, source, from_col, TILE, TILE);
            else
                copy_tile(to + r * cols + k, cols, source, from_col, n,
                          cols - k < TILE ? cols - k : TILE);
        }
    }
}

static void run_transposed(const op_copy *c, float *to, const float *from, size_t task)
{
    const op_walk *w = &c->walk;
    const size_t rows = w->size[w->rank - 2], cols = w->size[w->rank - 1];
    size_t begin, end;
    op_part(count_of(w) / cols, rows_per_task(w), task, &begin, &end);
    for (size_t r = begin; r < end;) {
        const size_t left = rows - r % rows, n = left < end - r ? left : end - r;
        transpose(to + r * cols, from + c->base + op_walk_at(w, 0, r), w->stride[0][w->rank - 1], n,
                  cols);
        r += n;
    }
}

void op_copy_run(const op_copy *c, float *to, const float *from, size_t task)
{
    const op_walk *w = &c->walk;
    const size_t inner = w->size[w->rank - 1];
    const ptrdiff_t stride = w->stride[0][w->rank - 1];
    size_t begin, end;
    if (is_transposed(w)) {
        run_transposed(c, to, from, task);
        return;
    }
    op_part(count_of(w), OP_CHUNK, task, &begin, &end);
    for (size_t at = begin; at < end;) {
        const size_t col = at % inner, n = inner - col < end - at ? inner - col : end - at;
        const float *v = from + c->base + op_walk_at(w, 0, at / inner) + (ptrdiff_t)col * stride;
        if (stride == 1)
            memcpy(to + at, v, n * sizeof *to);
        else
            for (size_t i = 0; i < n; i++)
                to[at + i] = v[(ptrdiff_t)i * stride];
        at += n;
    }
}
