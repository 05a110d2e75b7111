/* Two slots take turns: the caller trains on one while pool threads fill the other. Items of a slot
 * are claimed from an atomic counter by queued jobs and, once the caller waits, by the caller too.
 *
 * Locking: a picture belongs to at most one item in flight (a batch holds a picture once, and only
 * one slot is being filled), so the cache entry of a picture needs no lock; `mutex` guards the
 * count of running jobs and hands their writes to the caller. */
#define _POSIX_C_SOURCE 200809L
#include "loader.h"
#include "prelu/mem.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

typedef struct item {
    uint32_t picture;
    prelu_image own; /* pixels made for this item; empty when the view looks into the cache */
    prelu_view view;
    prelu_status st;
    prelu_err err;
} item;

typedef struct slot {
    mdl_loader *loader;
    item *items;
    uint64_t epoch, step;
    atomic_size_t claimed;
    int jobs;     /* queued or running; under the mutex */
    bool started; /* filled or being filled for (epoch, step) */
} slot;

struct mdl_loader {
    mdl_loader_options o;
    size_t whole, first, batch, steps; /* of the whole batch, batch items from first on */
    slot slots[2];
    int current; /* slot that mdl_loader_next fills or waits for */
    uint64_t epoch, step;
    uint32_t *order;
    uint64_t order_epoch;
    bool order_known;
    prelu_image *cache; /* one per picture, empty if absent */
    atomic_size_t cached;
    uint8_t *bad; /* one per picture: reported already */
    size_t n_bad;
    prelu_view *views;
    int32_t *labels;
    pthread_mutex_t mutex;
    pthread_cond_t idle;
    bool locks;
};

static prelu_status nomem(prelu_err *err, size_t len)
{
    return prelu_fail(err, PRELU_E_NOMEM, "loader: %zu bytes", len);
}

/* Keep a decoded picture if there is room; *img is emptied when the cache took it. */
static void keep(mdl_loader *l, uint32_t picture, prelu_image *img)
{
    size_t len = img->stride * (size_t)img->height;
    size_t before = atomic_fetch_add(&l->cached, len);
    if (len > l->o.cache_bytes || before > l->o.cache_bytes - len) {
        atomic_fetch_sub(&l->cached, len);
        return;
    }
    l->cache[picture] = *img;
    memset(img, 0, sizeof *img);
}

/* The pixel of 0..n-1 that stands at i when they are reflected at both ends, which are not
 * repeated.
 */
static int reflect(int i, int n) { return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i; }

/* Cut to 0..255. */
static void shift_table(uint8_t table[3][256], const int shift[3])
{
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 256; i++) {
            int moved = i + shift[c];
            table[c][i] = (uint8_t)(moved < 0 ? 0 : moved > 255 ? 255 : moved);
        }
}

static void paint(prelu_image *img, const prelu_rect *r, const uint8_t colour[3])
{
    for (int y = r->y; y < r->y + r->height; y++)
        for (int x = r->x; x < r->x + r->width; x++)
            memcpy(img->data + (size_t)y * img->stride + 3 * (size_t)x, colour, 3);
}

/* The view, which shows rectangle `seen` of the resized picture, becomes a copy of its own with all
 * that `c` says. As 2 * translate < crop, what is reflected lies in `seen` too. */
static prelu_status alter(const mdl_augment *a, const mdl_choice *c, const prelu_rect *seen,
                          item *it, prelu_err *err)
{
    const size_t row = 3 * (size_t)a->crop;
    prelu_image own = {.width = a->crop, .height = a->crop, .stride = row};
    uint8_t table[3][256];
    shift_table(table, c->shift);
    own.data = prelu_alloc(row * (size_t)a->crop);
    if (!own.data)
        return nomem(err, row * (size_t)a->crop);
    for (int y = 0; y < a->crop; y++) {
        const size_t row_seen = (size_t)(reflect(c->y + y, c->height) - seen->y);
        const uint8_t *from = it->view.data + row_seen * it->view.stride;
        uint8_t *to = own.data + (size_t)y * row;
        for (int x = 0; x < a->crop; x++, to += 3) {
            const uint8_t *pixel = from + 3 * (size_t)(reflect(c->x + x, c->width) - seen->x);
            for (int i = 0; i < 3; i++)
                to[i] = table[i][pixel[i]];
        }
    }
    paint(&own, &c->cutout, a->mean);
    prelu_image_deinit(&it->own);
    it->own = own;
    it->view = (prelu_view){own.data, own.stride, own.width, own.height, c->mirror};
    return PRELU_OK;
}

/* The part of the resized picture that the crop shows. */
static prelu_rect seen_by(const mdl_choice *c, int crop)
{
    const int x = c->x < 0 ? 0 : c->x, y = c->y < 0 ? 0 : c->y;
    const int right = c->x + crop < c->width ? c->x + crop : c->width;
    const int bottom = c->y + crop < c->height ? c->y + crop : c->height;
    return (prelu_rect){x, y, right - x, bottom - y};
}

static prelu_status fill_item(mdl_loader *l, uint64_t epoch, item *it, prelu_err *err)
{
    const mdl_augment *a = &l->o.augment;
    prelu_image decoded = {0}, cut = {0};
    const prelu_image *src;
    mdl_choice c;
    prelu_rect seen = {0};
    prelu_status st = PRELU_OK;
    if (!l->cache[it->picture].data) {
        st = mdl_dataset_decode(l->o.data, it->picture, l->o.draft ? a->scale_max : 0, &decoded,
                                err);
        if (!st)
            keep(l, it->picture, &decoded);
    }
    if (st)
        return st;
    src = decoded.data ? &decoded : &l->cache[it->picture];
    st = mdl_augment_draw(a, epoch, it->picture, src->width, src->height, &c, err);
    if (st)
        goto out;
    seen = seen_by(&c, a->crop);
    it->view = (prelu_view){.width = seen.width, .height = seen.height, .mirror = c.mirror};
    if (c.width == src->width && c.height == src->height) {
        it->view.data = src->data + (size_t)seen.y * src->stride + 3 * (size_t)seen.x;
        it->view.stride = src->stride;
        it->own = decoded; /* the view looks into it; empty when it is the cache's */
        memset(&decoded, 0, sizeof decoded);
        goto out;
    }
    st = prelu_image_resize(&cut, src, c.width, c.height, &seen, err);
    if (st)
        goto out;
    it->view.data = cut.data;
    it->view.stride = cut.stride;
    it->own = cut;
out:
    if (!st && (c.shift[0] || c.shift[1] || c.shift[2] || c.cutout.width || seen.width < a->crop ||
                seen.height < a->crop))
        st = alter(a, &c, &seen, it, err);
    prelu_image_deinit(&decoded);
    return st;
}

static void fill_claimed(slot *s)
{
    mdl_loader *l = s->loader;
    for (;;) {
        size_t i = atomic_fetch_add(&s->claimed, 1);
        if (i >= l->batch)
            return;
        item *it = &s->items[i];
        prelu_image_deinit(&it->own);
        memset(&it->err, 0, sizeof it->err);
        it->st = fill_item(l, s->epoch, it, &it->err);
    }
}

static void fill_job(void *ctx)
{
    slot *s = ctx;
    mdl_loader *l = s->loader;
    fill_claimed(s);
    pthread_mutex_lock(&l->mutex);
    if (--s->jobs == 0)
        pthread_cond_signal(&l->idle);
    pthread_mutex_unlock(&l->mutex);
}

/* Begin filling; jobs that cannot be queued are simply not there, the caller does their work. */
static void slot_start(mdl_loader *l, slot *s, uint64_t epoch, uint64_t step)
{
    int threads = prelu_pool_slots(l->o.pool) - 1;
    if (!l->order_known || l->order_epoch != epoch) {
        mdl_augment_order(l->o.augment.seed, epoch, l->order, l->o.data->n_pictures);
        l->order_epoch = epoch;
        l->order_known = true;
    }
    for (size_t i = 0; i < l->batch; i++)
        s->items[i].picture = l->order[step * l->whole + l->first + i];
    s->epoch = epoch;
    s->step = step;
    s->started = true;
    atomic_store(&s->claimed, 0);
    for (int t = 0; t < threads; t++) {
        pthread_mutex_lock(&l->mutex);
        s->jobs++;
        pthread_mutex_unlock(&l->mutex);
        if (prelu_pool_submit(l->o.pool, fill_job, s, NULL)) {
            pthread_mutex_lock(&l->mutex);
            s->jobs--;
            pthread_mutex_unlock(&l->mutex);
            break;
        }
    }
}

static void slot_wait(mdl_loader *l, slot *s)
{
    fill_claimed(s);
    pthread_mutex_lock(&l->mutex);
    while (s->jobs)
        pthread_cond_wait(&l->idle, &l->mutex);
    pthread_mutex_unlock(&l->mutex);
    s->started = false;
}

static prelu_status collect(mdl_loader *l, slot *s, mdl_batch *out, prelu_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < l->batch; i++) {
        item *it = &s->items[i];
        char name[512];
        if (it->st == PRELU_E_NOMEM)
            return prelu_fail(err, it->st, "%s", it->err.text);
        if (!it->st) {
            l->views[n] = it->view;
            l->labels[n++] = l->o.data->pictures[it->picture].label;
        } else if (!l->bad[it->picture]) {
            l->bad[it->picture] = 1;
            l->n_bad++;
            if (l->o.bad)
                l->o.bad(l->o.ctx, mdl_dataset_name(l->o.data, it->picture, name, sizeof name),
                         it->err.text);
        }
    }
    *out = (mdl_batch){l->views, l->labels, n, s->epoch, s->step};
    return PRELU_OK;
}

void mdl_loader_seek(mdl_loader *l, uint64_t epoch, uint64_t step)
{
    l->epoch = epoch + step / l->steps;
    l->step = step % l->steps;
}

static void advance(mdl_loader *l)
{
    if (++l->step >= l->steps) {
        l->step = 0;
        l->epoch++;
    }
}

prelu_status mdl_loader_next(mdl_loader *l, mdl_batch *out, prelu_err *err)
{
    slot *s = &l->slots[l->current];
    if (s->started && (s->epoch != l->epoch || s->step != l->step))
        slot_wait(l, s); /* a seek: what was begun is of no use */
    if (!s->started)
        slot_start(l, s, l->epoch, l->step);
    slot_wait(l, s);
    l->current ^= 1;
    advance(l);
    if (prelu_pool_slots(l->o.pool) > 1)
        slot_start(l, &l->slots[l->current], l->epoch, l->step);
    return collect(l, s, out, err);
}

size_t mdl_loader_steps(const mdl_loader *l) { return l->steps; }

size_t mdl_loader_bad(const mdl_loader *l) { return l->n_bad; }

prelu_status mdl_loader_create(mdl_loader **out, const mdl_loader_options *options, prelu_err *err)
{
    size_t n = options->data->n_pictures;
    if (!options->batch || !n)
        return prelu_fail(err, PRELU_E_ARG, "loader: batch %zu, %zu pictures", options->batch, n);
    PRELU_TRY(mdl_augment_check(&options->augment, err));
    mdl_loader *l = prelu_calloc(1, sizeof *l);
    if (!l)
        return nomem(err, sizeof *l);
    l->o = *options;
    l->whole = options->batch < n ? options->batch : n;
    l->steps = n / l->whole;
    l->batch = l->whole;
    if (options->parts) {
        l->first = l->whole * options->part / options->parts;
        l->batch = l->whole * (options->part + 1) / options->parts - l->first;
    }
    l->order = prelu_calloc(n, sizeof *l->order);
    l->cache = prelu_calloc(n, sizeof *l->cache);
    l->bad = prelu_calloc(n, 1);
    l->views = prelu_calloc(l->batch + 1, sizeof *l->views);
    l->labels = prelu_calloc(l->batch + 1, sizeof *l->labels);
    for (int i = 0; i < 2; i++) {
        l->slots[i].loader = l;
        l->slots[i].items = prelu_calloc(l->batch + 1, sizeof(item));
    }
    l->locks = !pthread_mutex_init(&l->mutex, NULL) && !pthread_cond_init(&l->idle, NULL);
    if (!l->order || !l->cache || !l->bad || !l->views || !l->labels || !l->slots[0].items ||
        !l->slots[1].items || !l->locks) {
        mdl_loader_destroy(&l);
        return nomem(err, n * (sizeof *l->order + sizeof *l->cache));
    }
    *out = l;
    return PRELU_OK;
}

void mdl_loader_destroy(mdl_loader **lp)
{
    mdl_loader *l = lp ? *lp : NULL;
    if (!l)
        return;
    for (int i = 0; i < 2; i++) {
        slot *s = &l->slots[i];
        if (s->started) {
            /* nothing is left to claim: only what is being worked on is waited for */
            atomic_store(&s->claimed, l->batch);
            slot_wait(l, s);
        }
        for (size_t k = 0; s->items && k < l->batch; k++)
            prelu_image_deinit(&s->items[k].own);
        prelu_free(s->items);
    }
    for (size_t i = 0; l->cache && i < l->o.data->n_pictures; i++)
        prelu_image_deinit(&l->cache[i]);
    if (l->locks) {
        pthread_cond_destroy(&l->idle);
        pthread_mutex_destroy(&l->mutex);
    }
    prelu_free(l->cache);
    prelu_free(l->order);
    prelu_free(l->bad);
    prelu_free(l->views);
    prelu_free(l->labels);
    prelu_free(l);
    *lp = NULL;
}
