#include "mean_image.h"
#include "prelu/image.h"
#include "prelu/mem.h"
#include <string.h>

#define AT_ONCE 32 /* pictures in memory */

typedef struct averaging {
    const mdl_dataset *d;
    int resize, crop;
    size_t sample, first; /* pictures in all; the first one in memory */
    size_t n;             /* of them in memory, at most AT_ONCE */
    prelu_image whole[AT_ONCE];
    prelu_view view[AT_ONCE];
    prelu_status st[AT_ONCE]; /* a picture that is not OK is left out */
    uint32_t *sum;            /* (crop,crop,3): whole numbers, so their order is of no account */
} averaging;

static prelu_status cut(averaging *a, size_t i)
{
    prelu_image img = {0};
    const size_t picture = (a->first + i) * a->d->n_pictures / a->sample;
    int w, h;
    prelu_status st = mdl_dataset_decode(a->d, picture, 0, &img, NULL);
    if (!st)
        st = prelu_resized_size(img.width, img.height, a->resize, NULL, &w, &h, NULL);
    if (!st)
        st = prelu_image_resize(&a->whole[i], &img, w, h, NULL, NULL);
    if (!st)
        st = prelu_view_center(&a->view[i], &a->whole[i], a->crop, NULL);
    prelu_image_deinit(&img);
    return st;
}

static void cut_task(void *ctx, size_t i, int worker)
{
    averaging *a = ctx;
    (void)worker;
    a->st[i] = cut(a, i);
}

/* A task: a row of all views. */
static void add_task(void *ctx, size_t y, int worker)
{
    averaging *a = ctx;
    const size_t row = 3 * (size_t)a->crop;
    uint32_t *sum = a->sum + y * row;
    (void)worker;
    for (size_t i = 0; i < a->n; i++) {
        if (a->st[i])
            continue;
        const uint8_t *from = a->view[i].data + y * a->view[i].stride;
        for (size_t x = 0; x < row; x++)
            sum[x] += from[x];
    }
}

/* @param good  how many pictures were added. */
static prelu_status add_all(averaging *a, prelu_pool *pool, size_t *good)
{
    bool full = false;
    for (; a->first < a->sample && !full; a->first += a->n) {
        const size_t left = a->sample - a->first;
        a->n = left < AT_ONCE ? left : AT_ONCE;
        prelu_pool_run(pool, a->n, cut_task, a);
        prelu_pool_run(pool, (size_t)a->crop, add_task, a);
        for (size_t i = 0; i < a->n; i++) {
            *good += !a->st[i];
            full = full || a->st[i] == PRELU_E_NOMEM;
            prelu_image_deinit(&a->whole[i]);
        }
    }
    return full ? PRELU_E_NOMEM : PRELU_OK;
}

prelu_status mdl_mean_image(prelu_graph *g, const mdl_dataset *d, int resize, int crop,
                            size_t sample, prelu_pool *pool, prelu_err *err)
{
    const prelu_value v = prelu_graph_find(g, "preprocess.mean");
    const prelu_shape shape = {4, {1, 3, crop, crop}};
    const size_t pixels = (size_t)crop * (size_t)crop;
    averaging a = {.d = d, .resize = resize, .crop = crop};
    size_t good = 0;
    a.sample = sample < d->n_pictures ? sample : d->n_pictures;
    if (v == PRELU_NONE || !g->values[v].is_constant)
        return prelu_fail(err, PRELU_E_ARG, "mean image: the network subtracts none");
    PRELU_TRY(prelu_graph_set_zero(g, v, &shape, err));
    a.sum = prelu_calloc(pixels, 3 * sizeof *a.sum);
    if (!a.sum || add_all(&a, pool, &good)) {
        prelu_free(a.sum);
        return prelu_fail(err, PRELU_E_NOMEM, "mean image of %d x %d", crop, crop);
    }
    float *mean = (float *)g->values[v].data;
    for (size_t i = 0; i < 3 * pixels && good; i++)
        mean[i % 3 * pixels + i / 3] = (float)((double)a.sum[i] / (double)good);
    prelu_free(a.sum);
    return good ? PRELU_OK
                : prelu_fail(err, PRELU_E_FORMAT, "%s/%s: none of %zu pictures can be read", d->dir,
                             d->split, a.sample);
}
