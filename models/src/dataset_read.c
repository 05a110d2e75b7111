/* Reading a data set's pictures: bytes, pixels, digest, statistics. */
#include "dataset.h"
#include "digest.h"
#include "eigen.h"
#include "file.h"
#include "prelu/mem.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PATH 4096

static prelu_status nomem(prelu_err *err, size_t len)
{
    return prelu_fail(err, PRELU_E_NOMEM, "data: %zu bytes", len);
}

void mdl_dataset_limit(mdl_dataset *d, size_t n)
{
    size_t all = d->n_pictures;
    if (!n || n >= all)
        return;
    /* i * all / n >= i, so no source is overwritten before it is read; all and n are < 2^32 */
    for (size_t i = 0; i < n; i++)
        d->pictures[i] = d->pictures[i * all / n];
    d->n_pictures = n;
}

const char *mdl_dataset_name(const mdl_dataset *d, size_t i, char *buf, size_t len)
{
    const mdl_picture *p = &d->pictures[i];
    if (d->is_idx)
        snprintf(buf, len, "%s[%" PRIu32 "]", d->split, p->index);
    else
        snprintf(buf, len, "%s/%s/%s", d->split, d->classes[p->label].id, p->name);
    return buf;
}

static prelu_status picture_path(const mdl_dataset *d, size_t i, char path[MAX_PATH],
                                 prelu_err *err)
{
    const mdl_picture *p = &d->pictures[i];
    int n =
        snprintf(path, MAX_PATH, "%s/%s/%s/%s", d->dir, d->split, d->classes[p->label].id, p->name);
    if (n < 0 || n >= MAX_PATH)
        return prelu_fail(err, PRELU_E_LIMIT, "data: path of %d bytes, above %d", n, MAX_PATH);
    return PRELU_OK;
}

prelu_status mdl_dataset_bytes(const mdl_dataset *d, size_t i, void **bytes, size_t *len,
                               prelu_err *err)
{
    char path[MAX_PATH], *text = NULL;
    if (d->is_idx)
        return prelu_fail(err, PRELU_E_ARG, "data: an IDX picture has no file of its own");
    PRELU_TRY(picture_path(d, i, path, err));
    PRELU_TRY(mdl_file_read(path, MDL_MAX_PICTURE_BYTES, &text, len, err));
    *bytes = text;
    return PRELU_OK;
}

static prelu_status gray_to_rgb(const mdl_idx *idx, size_t k, prelu_image *out, prelu_err *err)
{
    /* sides are at most MDL_IDX_MAX_SIDE: no overflow */
    size_t n = (size_t)idx->height * (size_t)idx->width;
    const uint8_t *gray = idx->data + k * n;
    uint8_t *rgb = prelu_alloc(n * 3);
    if (!rgb)
        return nomem(err, n * 3);
    for (size_t i = 0; i < n; i++)
        rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = gray[i];
    *out = (prelu_image){rgb, idx->width, idx->height, (size_t)idx->width * 3};
    return PRELU_OK;
}

prelu_status mdl_dataset_decode(const mdl_dataset *d, size_t i, int draft_side, prelu_image *out,
                                prelu_err *err)
{
    void *bytes = NULL;
    size_t len = 0;
    if (d->is_idx)
        return gray_to_rgb(&d->idx, d->pictures[i].index, out, err);
    PRELU_TRY(mdl_dataset_bytes(d, i, &bytes, &len, err));
    prelu_status st = prelu_jpeg_decode(out, bytes, len, draft_side, NULL, NULL, err);
    prelu_free(bytes);
    return st;
}

/* ---- digest ---- */

typedef struct digest_item {
    char *path; /* relative to DIR */
    char sha[PRELU_SHA256_TEXT];
    int set; /* -1: an IDX file */
} digest_item;

typedef struct digest_work {
    const char *dir;
    digest_item *items;
    size_t n;
    prelu_status *st; /* one per item */
} digest_work;

static void digest_task(void *ctx, size_t i, int worker)
{
    digest_work *w = ctx;
    char path[MAX_PATH];
    (void)worker;
    int n = snprintf(path, sizeof path, "%s/%s", w->dir, w->items[i].path);
    w->st[i] =
        n < 0 || n >= MAX_PATH ? PRELU_E_LIMIT : mdl_digest_file(path, w->items[i].sha, NULL, NULL);
    if (w->st[i])
        w->items[i].sha[0] = 0;
}

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const digest_item *)a)->path, ((const digest_item *)b)->path);
}

static int compare_bytes(const void *a, const void *b)
{
    const digest_item *x = a, *y = b;
    const int order = strcmp(x->sha, y->sha);
    return order ? order : x->set != y->set ? x->set - y->set : compare_items(a, b);
}

/* Sorts the items: of equal files those of the first split come first. */
static void find_shared(digest_work *w, mdl_shared_fn *shared, void *ctx)
{
    const digest_item *first = NULL; /* of its bytes, and of the first split */
    qsort(w->items, w->n, sizeof *w->items, compare_bytes);
    for (size_t i = 0; i < w->n; i++) {
        const digest_item *it = &w->items[i];
        if (it->sha[0] && it->set == 0 && (!first || strcmp(first->sha, it->sha) != 0))
            first = it;
        else if (it->set > 0 && first && !strcmp(first->sha, it->sha))
            shared(ctx, first->path, it->path);
    }
}

/* The files of one split: its pictures, or its two IDX files. */
static prelu_status digest_names(const mdl_dataset *d, int set, digest_work *w, prelu_err *err)
{
    char name[MAX_PATH], path[2 * MAX_PATH];
    size_t n = d->is_idx ? 2 : d->n_pictures;
    for (size_t i = 0; i < n; i++) {
        if (d->is_idx) {
            const char *stem = strcmp(d->split, "train") != 0 ? "t10k" : "train";
            size_t len;
            FILE *f;
            snprintf(name, sizeof name, "%s-%s-ubyte.gz", stem, i ? "labels-idx1" : "images-idx3");
            snprintf(path, sizeof path, "%s/%s", d->dir, name);
            f = fopen(path, "rb");
            len = strlen(name);
            if (f)
                fclose(f);
            else
                name[len - 3] = 0; /* the plain file was read */
        } else {
            mdl_dataset_name(d, i, name, sizeof name);
        }
        w->items[w->n].set = d->is_idx ? -1 : set;
        w->items[w->n].path = prelu_strdup(name);
        if (!w->items[w->n].path)
            return nomem(err, strlen(name) + 1);
        w->n++;
    }
    return PRELU_OK;
}

static prelu_status digest_lines(const digest_work *w, char *text, prelu_err *err)
{
    size_t len = 0, at = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (w->st[i] == PRELU_E_NOMEM)
            return nomem(err, 0);
        len += 64 + 2 + strlen(w->items[i].path) + 1;
    }
    char *lines = prelu_alloc(len + 1);
    if (!lines)
        return nomem(err, len + 1);
    for (size_t i = 0; i < w->n; i++)
        if (!w->st[i])
            at += (size_t)snprintf(lines + at, len + 1 - at, "%s  %s\n", w->items[i].sha,
                                   w->items[i].path);
    prelu_sha256_text(text, lines, at);
    prelu_free(lines);
    return PRELU_OK;
}

prelu_status mdl_dataset_digest(const mdl_dataset *const *sets, int n, prelu_pool *pool, char *text,
                                mdl_shared_fn *shared, void *ctx, prelu_err *err)
{
    digest_work w = {.dir = sets[0]->dir};
    prelu_status st = PRELU_OK;
    size_t most = 0;
    for (int i = 0; i < n; i++)
        most += sets[i]->is_idx ? 2 : sets[i]->n_pictures;
    w.items = prelu_calloc(most, sizeof *w.items);
    w.st = prelu_calloc(most, sizeof *w.st);
    if (!w.items || !w.st)
        st = nomem(err, most * sizeof *w.items);
    for (int i = 0; i < n && !st; i++)
        st = digest_names(sets[i], i, &w, err);
    if (!st) {
        qsort(w.items, w.n, sizeof *w.items, compare_items);
        prelu_pool_run(pool, w.n, digest_task, &w);
        st = digest_lines(&w, text, err);
    }
    if (!st && shared)
        find_shared(&w, shared, ctx);
    for (size_t i = 0; i < w.n; i++)
        prelu_free(w.items[i].path);
    prelu_free(w.items);
    prelu_free(w.st);
    return st;
}

/* ---- statistics ---- */

typedef struct moments {
    double sum[3],
        product[3][3]; /* of one picture, divided by its pixels; k <= c of product[c][k] */
    bool good;
} moments;

typedef struct moments_work {
    const mdl_dataset *d;
    size_t sample;
    moments *m;
} moments_work;

static void moments_task(void *ctx, size_t i, int worker)
{
    moments_work *w = ctx;
    moments *m = &w->m[i];
    prelu_image img = {0};
    uint64_t sum[3] = {0}, product[3][3] = {{0}};
    (void)worker;
    if (mdl_dataset_decode(w->d, i * w->d->n_pictures / w->sample, 0, &img, NULL))
        return;
    for (int y = 0; y < img.height; y++) {
        const uint8_t *pixel = img.data + (size_t)y * img.stride;
        for (int x = 0; x < img.width; x++, pixel += 3)
            for (int c = 0; c < 3; c++) {
                sum[c] += pixel[c];
                for (int k = 0; k <= c; k++)
                    product[c][k] += (uint64_t)pixel[c] * pixel[k];
            }
    }
    double n = (double)img.width * img.height;
    for (int c = 0; c < 3; c++) {
        m->sum[c] = (double)sum[c] / n;
        for (int k = 0; k <= c; k++)
            m->product[c][k] = (double)product[c][k] / n;
    }
    m->good = true;
    prelu_image_deinit(&img);
}

static void from_moments(mdl_statistics *out, const moments *all, double good)
{
    double covariance[9], values[3], axes[9];
    for (int c = 0; c < 3; c++)
        for (int k = 0; k <= c; k++) {
            double v = all->product[c][k] / good - all->sum[c] / good * (all->sum[k] / good);
            covariance[3 * c + k] = covariance[3 * k + c] = v;
        }
    for (int c = 0; c < 3; c++) {
        out->mean[c] = (float)(all->sum[c] / good);
        out->std[c] = (float)sqrt(fmax(covariance[4 * c], 0));
    }
    mdl_eigen(covariance, 3, values, axes);
    for (int i = 0; i < 9; i++)
        out->colour[i / 3][i % 3] = (float)(sqrt(fmax(values[i / 3], 0)) * axes[i]);
}

prelu_status mdl_dataset_statistics(const mdl_dataset *d, size_t sample, prelu_pool *pool,
                                    mdl_statistics *out, prelu_err *err)
{
    moments all = {.good = false};
    size_t good = 0;
    moments_work w = {.d = d, .sample = sample < d->n_pictures ? sample : d->n_pictures};
    w.m = prelu_calloc(w.sample, sizeof *w.m);
    if (!w.m)
        return nomem(err, w.sample * sizeof *w.m);
    prelu_pool_run(pool, w.sample, moments_task, &w);
    for (size_t i = 0; i < w.sample; i++) {
        for (int c = 0; c < 3; c++) {
            all.sum[c] += w.m[i].sum[c];
            for (int k = 0; k <= c; k++)
                all.product[c][k] += w.m[i].product[c][k];
        }
        good += w.m[i].good;
    }
    prelu_free(w.m);
    if (!good)
        return prelu_fail(err, PRELU_E_FORMAT, "%s/%s: none of %zu pictures can be decoded", d->dir,
                          d->split, w.sample);
    from_moments(out, &all, (double)good);
    return PRELU_OK;
}
