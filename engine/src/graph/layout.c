#include "graph/layout.h"
#include "prelu/mem.h"
#include <stdbool.h>
#include <stdlib.h>

static int by_size(const void *a, const void *b)
{
    const gr_block *x = *(gr_block *const *)a, *y = *(gr_block *const *)b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return x < y ? -1 : x > y;
}

static int by_offset(const void *a, const void *b)
{
    const gr_block *x = *(gr_block *const *)a, *y = *(gr_block *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bool alive_together(const gr_block *a, const gr_block *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* `placed` is kept in order of offsets: walk up until a gap is wide enough. */
static void place(gr_block *b, gr_block **placed, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (!alive_together(b, placed[i]))
            continue;
        if (placed[i]->offset >= at + b->size)
            break;
        if (placed[i]->offset + placed[i]->size > at)
            at = placed[i]->offset + placed[i]->size;
    }
    b->offset = at;
}

prelu_status gr_layout(gr_block *blocks, size_t n, size_t *total, prelu_err *err)
{
    gr_block **order = prelu_alloc((n + 1) * sizeof *order);
    gr_block **placed = prelu_alloc((n + 1) * sizeof *placed);
    prelu_status st = PRELU_OK;
    *total = 0;
    if (!order || !placed) {
        st = prelu_fail(err, PRELU_E_NOMEM, "layout of %zu blocks", n);
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        if (blocks[i].size > (size_t)1 << 46) {
            st = prelu_fail(err, PRELU_E_LIMIT, "a value of %zu bytes", blocks[i].size);
            goto out;
        }
        blocks[i].size = (blocks[i].size + 63) / 64 * 64;
        order[i] = &blocks[i];
    }
    qsort(order, n, sizeof *order, by_size);
    for (size_t i = 0; i < n; i++) {
        place(order[i], placed, i);
        placed[i] = order[i];
        qsort(placed, i + 1, sizeof *placed, by_offset);
        if (order[i]->offset + order[i]->size > *total)
            *total = order[i]->offset + order[i]->size;
    }
out:
    prelu_free(order);
    prelu_free(placed);
    return st;
}
