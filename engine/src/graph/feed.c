#include "graph/feed.h"
#include <string.h>

enum { ROWS = 32 }; /* of a task */

typedef struct feed_job {
    const gr_feed *f;
    const gr_input_affine *a;
    size_t c, h, w, blocks;
    float *dst;
} feed_job;

static void view_row(float *restrict dst, const uint8_t *src, size_t w, bool mirror,
                     const float *shift, const float *scale)
{
    const ptrdiff_t step = mirror ? -3 : 3;
    src += mirror ? 3 * (w - 1) : 0;
    for (size_t x = 0; x < w; x++, src += step, dst += 3) {
        dst[0] = ((float)src[0] - shift[0]) * scale[0];
        dst[1] = ((float)src[1] - shift[1]) * scale[1];
        dst[2] = ((float)src[2] - shift[2]) * scale[2];
    }
}

static void plane_row(const feed_job *j, float *restrict dst, const float *src, size_t y,
                      const float *shift, const float *scale)
{
    for (size_t c = 0; c < j->c; c++) {
        const float *restrict row = src + (c * j->h + y) * j->w;
        for (size_t x = 0; x < j->w; x++) {
            const float v = row[x];
            dst[x * j->c + c] = c < 4 ? (v - shift[c]) * scale[c] : v;
        }
    }
}

static void picture_task(void *ctx, size_t task, int worker)
{
    static const float zero[4], one[4] = {1, 1, 1, 1};
    const feed_job *j = ctx;
    const size_t n = task / j->blocks, from = task % j->blocks * ROWS;
    const size_t to = from + ROWS < j->h ? from + ROWS : j->h;
    const float *shift = j->a ? j->a->shift : zero, *scale = j->a ? j->a->scale : one;
    (void)worker;
    for (size_t y = from; y < to; y++) {
        float *dst = j->dst + (n * j->h + y) * j->w * j->c;
        if (j->f->source == GR_FEED_VIEWS) {
            const prelu_view *v = &j->f->views[n];
            view_row(dst, v->data + y * v->stride, j->w, v->mirror, shift, scale);
        } else {
            plane_row(j, dst, (const float *)j->f->data + n * j->c * j->h * j->w, y, shift, scale);
        }
    }
}

void gr_feed_run(const gr_feed *f, const prelu_shape *shape, prelu_dtype dtype,
                 const gr_input_affine *a, void *dst, prelu_pool *pool)
{
    if (shape->rank != 4) {
        size_t len = prelu_dtype_size(dtype);
        for (int i = 0; i < shape->rank; i++)
            len *= (size_t)shape->dim[i];
        memcpy(dst, f->data, len);
        return;
    }
    feed_job j = {.f = f,
                  .a = a,
                  .c = (size_t)shape->dim[1],
                  .h = (size_t)shape->dim[2],
                  .w = (size_t)shape->dim[3],
                  .dst = dst};
    j.blocks = (j.h + ROWS - 1) / ROWS;
    prelu_pool_run(pool, (size_t)shape->dim[0] * j.blocks, picture_task, &j);
}
