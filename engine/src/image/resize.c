#include "image/img.h"
#include "image/resample.h"
#include "prelu/mem.h"
#include <string.h>

static prelu_status check_size(const char *what, int width, int height, prelu_err *err)
{
    if (width < 1 || height < 1 || width > PRELU_MAX_SIDE || height > PRELU_MAX_SIDE)
        return prelu_fail(err, PRELU_E_ARG, "resize: %s of %d x %d; 1..%d a side is possible", what,
                          width, height, PRELU_MAX_SIDE);
    return PRELU_OK;
}

prelu_status prelu_resized_size(int width, int height, int side, const prelu_image_limits *limits,
                                int *out_width, int *out_height, prelu_err *err)
{
    PRELU_TRY(check_size("source", width, height, err));
    PRELU_TRY(check_size("shorter side", side, side, err));
    int64_t shorter = width < height ? width : height, longer = width < height ? height : width;
    /* Below 2^32, so that Python's int(side * long / short) rounds to the same. */
    int64_t scaled = side * longer / shorter;
    prelu_image_limits l = img_limits(limits);
    if (scaled > PRELU_MAX_SIDE || (uint64_t)(scaled * side) > l.max_resized_pixels)
        return prelu_fail(err, PRELU_E_LIMIT,
                          "resize: %d x %d at shorter side %d has a longer side of %lld; the limit "
                          "is %d, and %zu pixels",
                          width, height, side, (long long)scaled, PRELU_MAX_SIDE,
                          l.max_resized_pixels);
    *out_width = width < height ? side : (int)scaled;
    *out_height = width < height ? (int)scaled : side;
    return PRELU_OK;
}

/* One resize. A source row is resampled horizontally once, into a ring that holds as many rows as
 * the vertical filter is tall, and stays in the cache until the filter has passed it. */
struct job {
    const prelu_image *src;
    prelu_rect part;
    struct img_axis across, down; /* taps 0: this direction is a plain copy */
    uint8_t *ring;                /* down.taps rows of part.width pixels; slot = row % taps */
    const uint8_t **rows;         /* the down.taps rows under the filter */
    int next;                     /* first source row not yet in the ring */
    prelu_image out;
};

static const uint8_t *source_row(const struct job *j, int y)
{
    return j->src->data + (size_t)y * j->src->stride;
}

static void copy_or_scale_across(const struct job *j, uint8_t *dst, int y)
{
    if (j->across.taps)
        krn_table_get()->resample_row_u8(dst, source_row(j, y), (size_t)j->src->width * 3,
                                         &(krn_resample_row){j->across.first, j->across.weight,
                                                             j->across.taps, j->across.halves},
                                         j->part.width);
    else
        memcpy(dst, source_row(j, y) + (size_t)j->part.x * 3, j->out.stride);
}

static prelu_status prepare(struct job *j, int width, int height, prelu_err *err)
{
    const prelu_rect *p = &j->part;
    PRELU_TRY(img_create(&j->out, p->width, p->height, err));
    if (width != j->src->width) {
        PRELU_TRY(img_axis_init(&j->across, j->src->width, width, p->x, p->width, err));
        PRELU_TRY(img_axis_split(&j->across, p->width, err));
    }
    if (height == j->src->height)
        return PRELU_OK;
    PRELU_TRY(img_axis_init(&j->down, j->src->height, height, p->y, p->height, err));
    size_t rows = (size_t)j->down.taps, len;
    PRELU_TRY(prelu_mul(rows, j->out.stride, &len, err));
    j->rows = prelu_calloc(rows, sizeof *j->rows);
    if (j->across.taps)
        j->ring = prelu_alloc(len);
    if (!j->rows || (j->across.taps && !j->ring))
        return prelu_fail(err, PRELU_E_NOMEM, "resize: %zu bytes for %zu rows", len, rows);
    return PRELU_OK;
}

/* Point j->rows at the source rows under the filter of output row i, scaled across. The first row
 * of the filter never moves up, so what the ring has lost is not asked for again. */
static void gather_rows(struct job *j, int i)
{
    int first = j->down.first[i], taps = j->down.taps;
    if (j->next < first)
        j->next = first;
    for (; j->ring && j->next < first + taps; j->next++)
        copy_or_scale_across(j, j->ring + (size_t)(j->next % taps) * j->out.stride, j->next);
    for (int t = 0; t < taps; t++)
        j->rows[t] = j->ring ? j->ring + (size_t)((first + t) % taps) * j->out.stride
                             : source_row(j, first + t) + (size_t)j->part.x * 3;
}

static void run(struct job *j)
{
    for (int i = 0; i < j->part.height; i++) {
        uint8_t *dst = j->out.data + (size_t)i * j->out.stride;
        if (j->down.taps) {
            gather_rows(j, i);
            krn_table_get()->resample_column_u8(dst, j->rows,
                                                j->down.weight + (size_t)i * (size_t)j->down.taps,
                                                j->down.taps, j->out.stride);
        } else {
            copy_or_scale_across(j, dst, j->part.y + i);
        }
    }
}

static prelu_status check_arguments(const prelu_image *dst, const prelu_image *src, int width,
                                    int height, const prelu_rect *p, prelu_err *err)
{
    if (!dst || !src || !src->data)
        return prelu_fail(err, PRELU_E_ARG, "resize: no picture");
    PRELU_TRY(check_size("source", src->width, src->height, err));
    PRELU_TRY(check_size("result", width, height, err));
    if (src->stride < (size_t)src->width * 3)
        return prelu_fail(err, PRELU_E_ARG, "resize: rows of %d pixels are %zu bytes apart",
                          src->width, src->stride);
    if (p->x < 0 || p->y < 0 || p->width < 1 || p->height < 1 || p->width > width - p->x ||
        p->height > height - p->y)
        return prelu_fail(err, PRELU_E_ARG, "resize: part %d x %d at (%d,%d) of %d x %d", p->width,
                          p->height, p->x, p->y, width, height);
    return PRELU_OK;
}

prelu_status prelu_image_resize(prelu_image *dst, const prelu_image *src, int width, int height,
                                const prelu_rect *part, prelu_err *err)
{
    struct job j = {.src = src, .part = part ? *part : (prelu_rect){0, 0, width, height}};
    PRELU_TRY(check_arguments(dst, src, width, height, &j.part, err));
    prelu_status st = prepare(&j, width, height, err);
    if (!st) {
        run(&j);
        *dst = j.out;
    } else {
        prelu_image_deinit(&j.out);
    }
    img_axis_deinit(&j.across);
    img_axis_deinit(&j.down);
    prelu_free(j.rows);
    prelu_free(j.ring);
    return st;
}
