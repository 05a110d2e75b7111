#include "whiten.h"
#include "eigen.h"
#include "prelu/mem.h"
#include <math.h>
#include <string.h>

#define SAMPLE 2000  /* pictures */
#define PATCHES 256  /* of a picture, evenly spaced */
#define MAX_KERNEL 7 /* 147 x 147 covariances */
#define EPSILON 5e-4 /* added to a variance of about 1: noise is not blown up */

typedef struct patches {
    const mdl_dataset *d;
    const float *mean, *std;
    size_t k, n; /* kernel side, 3 k^2 */
    double *one; /* n: the current patch, channel by channel as a filter's weights */
    double *sum; /* n x n, of products */
    size_t count;
} patches;

static void take_patch(patches *w, const prelu_image *img, size_t x, size_t y)
{
    const size_t k = w->k, n = w->n;
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < k * k; i++) {
            const uint8_t *row = img->data + (y + i / k) * img->stride;
            double pixel = row[3 * (x + i % k) + c];
            w->one[c * k * k + i] = (pixel - (double)w->mean[c]) / (double)w->std[c];
        }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            w->sum[i * n + j] += w->one[i] * w->one[j];
    w->count++;
}

static void take_picture(patches *w, size_t i)
{
    prelu_image img = {0};
    if (mdl_dataset_decode(w->d, i, 0, &img, NULL))
        return;
    if ((size_t)img.width >= w->k && (size_t)img.height >= w->k) {
        size_t across = (size_t)img.width - w->k + 1, down = (size_t)img.height - w->k + 1;
        size_t all = across * down, n = all < PATCHES ? all : PATCHES;
        for (size_t p = 0; p < n; p++)
            take_patch(w, &img, p * all / n % across, p * all / n / across);
    }
    prelu_image_deinit(&img);
}

/* Filters 2 i and 2 i + 1 are direction i and its negative. */
static void set_filters(patches *w, double *values, double *vectors, float *filter, size_t filters)
{
    const size_t n = w->n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            w->sum[i * n + j] = w->sum[(i > j ? i * n + j : j * n + i)] / (double)w->count;
    mdl_eigen(w->sum, n, values, vectors);
    for (size_t f = 0; f < filters && f / 2 < n; f++) {
        double scale = (f % 2 ? -1 : 1) / sqrt(fmax(values[f / 2], 0) + EPSILON);
        for (size_t j = 0; j < n; j++)
            filter[f * n + j] = (float)(scale * vectors[f / 2 * n + j]);
    }
}

static prelu_value first_filters(const prelu_graph *g)
{
    for (int i = 0; i < g->n_nodes; i++)
        if (!strcmp(g->nodes[i].op, "Conv"))
            return g->nodes[i].in[1];
    return PRELU_NONE;
}

prelu_status mdl_whiten(prelu_graph *g, const mdl_dataset *d, const float mean[3],
                        const float std[3], prelu_err *err)
{
    const prelu_value v = first_filters(g);
    const prelu_shape *s = v == PRELU_NONE ? NULL : &g->values[v].shape;
    if (!s || s->rank != 4 || s->dim[1] != 3 || s->dim[2] != s->dim[3] || s->dim[2] > MAX_KERNEL ||
        !g->values[v].owns_data)
        return prelu_fail(err, PRELU_E_ARG,
                          "whitening: the net begins with no square convolution of 3 channels");
    const size_t n = (size_t)(3 * s->dim[2] * s->dim[2]);
    double *room = prelu_calloc(2 * n * n + 2 * n, sizeof *room);
    patches w = {.d = d, .mean = mean, .std = std, .k = (size_t)s->dim[2], .n = n};
    prelu_status st = PRELU_OK;
    if (!room)
        return prelu_fail(err, PRELU_E_NOMEM, "whitening: %zu numbers", 2 * n * n + 2 * n);
    w.sum = room;
    w.one = room + 2 * n * n;
    const size_t pictures = d->n_pictures < SAMPLE ? d->n_pictures : SAMPLE;
    for (size_t i = 0; i < pictures; i++)
        take_picture(&w, i * d->n_pictures / pictures);
    if (!w.count)
        st = prelu_fail(err, PRELU_E_FORMAT, "whitening: no picture can be read");
    else
        set_filters(&w, w.one + n, room + n * n, (float *)g->values[v].data, (size_t)s->dim[0]);
    prelu_free(room);
    return st;
}
