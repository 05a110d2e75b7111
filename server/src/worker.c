#define _POSIX_C_SOURCE 200809L
#include "worker.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include <math.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

enum { MAX_SLOTS = 256, MAX_RUNS = 1024 };
/* A batch should not take longer than this, so that what comes next need not wait for it. */
static const int64_t batch_time = 250 * INT64_C(1000000);

/* What one batch job needs; used by one job at a time. */
typedef struct slot {
    struct slot *next; /* while free */
    srv_workers *w;
    /* of each model, for views and for whole pictures; made at first use */
    prelu_session *session[SRV_MAX_LIST], *dense[SRV_MAX_LIST];
    prelu_view *views;
    float *scores;
    size_t cap_views, cap_scores;
    srv_work *works[MAX_RUNS];
} slot;

struct srv_workers {
    srv_registry *registry;
    prelu_pool *pool;
    srv_timer *timer;
    srv_metrics *metrics;
    srv_worker_options opt;
    srv_queue queue;
    pthread_mutex_t lock;
    slot *free;            /* under lock, as is */
    size_t scheduled;      /* batch jobs in the pool's queue that have not begun */
    atomic_size_t unbegun; /* prepare jobs in the pool's queue */
    atomic_size_t active;
    _Atomic int64_t pixel_ps; /* to decode and resize a pixel, smoothed, picoseconds; 0 = not yet */
    srv_alarm delay;
    slot *slots[MAX_SLOTS];
};

static void batch_job(void *ctx);

/* A queue that may hold work and a slot that may be free are brought together here. The pool runs
 * jobs in order, so a batch job goes behind the prepare jobs that are there: they finish first and
 * their pictures share the batch. When none are there the caller is to run it itself.
 * @return the slot to run now, or NULL. */
static slot *claim(srv_workers *w)
{
    srv_queue_state q = srv_queue_look(&w->queue);
    if (q.depth == 0)
        return NULL;
    if (w->opt.max_batch_delay && q.waiting < w->opt.max_batch &&
        srv_now() < q.oldest + w->opt.max_batch_delay) {
        srv_timer_arm(w->timer, &w->delay, q.oldest + w->opt.max_batch_delay);
        return NULL;
    }
    pthread_mutex_lock(&w->lock);
    slot *s = w->scheduled == 0 ? w->free : NULL;
    if (s) {
        w->free = s->next;
        w->scheduled++;
    }
    pthread_mutex_unlock(&w->lock);
    if (!s) /* the scheduled job, or the one that ends first, takes the work */
        return NULL;
    if (atomic_load(&w->unbegun) == 0 || prelu_pool_submit(w->pool, batch_job, s, NULL))
        return s;
    return NULL;
}

static void kick(srv_workers *w)
{
    slot *s = claim(w);
    if (s)
        batch_job(s);
}

static void kick_job(void *ctx) { kick(ctx); }

/* On the timer's thread, which must not compute. Without memory for a job the work waits for the
 * next picture's kick. */
static void delay_over(void *ctx)
{
    srv_workers *w = ctx;
    if (prelu_pool_submit(w->pool, kick_job, w, NULL))
        prelu_log(PRELU_LOG_WARN, "no memory for a batch job");
}

static void finish(srv_workers *w, srv_task *t)
{
    for (size_t i = 0; i < t->n_runs; i++) {
        prelu_prepared_deinit(&t->runs[i].prepared);
        prelu_free(t->runs[i].scores);
    }
    if (t->err.code == PRELU_OK && t->top)
        srv_metrics_image(w->metrics, (int)t->runs[0].test.mode, t->top[0].score);
    t->done(t); /* the last use of t */
    atomic_fetch_sub(&w->active, 1);
}

/* The mean of the models' maps, in their order. */
static prelu_status map_heat(srv_task *t, prelu_err *err)
{
    const prelu_prepared *p = &t->runs[0].prepared;
    prelu_heatmap one;
    int largest = 0;
    for (size_t i = 0; i < t->n_runs; i++) {
        const srv_run *r = &t->runs[i];
        PRELU_TRY(prelu_heatmap_make(i ? &one : &t->heatmap, &r->prepared, r->model->model,
                                     &r->test, r->scores, t->heat_class, err));
        if (i == 0)
            continue;
        prelu_heatmap_join(&t->heatmap, &one, i + 1);
        prelu_heatmap_deinit(&one);
    }
    for (int i = 1; i < p->n_images; i++)
        largest = p->images[i].width > p->images[largest].width ? i : largest;
    if (!t->paint)
        return PRELU_OK;
    return prelu_heatmap_paint(&t->painted, &t->heatmap, &p->images[largest], t->info.width,
                               t->info.height, err);
}

/* What every model said, in their order; times of models add up. */
static void join(srv_task *t)
{
    const int classes = t->runs[0].model->model->classes;
    const double *means[PRELU_MAX_MEMBERS];
    prelu_status st = PRELU_OK;
    for (size_t i = 0; i < t->n_runs; i++) {
        const srv_run *r = &t->runs[i];
        means[i] = r->mean;
        t->queue_ms = r->queue_ms > t->queue_ms ? r->queue_ms : t->queue_ms;
        t->infer_ms += r->infer_ms;
        if (r->err.code && !t->err.code)
            t->err = r->err;
    }
    if (t->err.code || t->runs[0].test.average == PRELU_AVERAGE_FEATURES)
        return;
    t->top = prelu_calloc(t->top_k, sizeof *t->top);
    if (t->top)
        st = prelu_ensemble_rank(means, t->n_runs, classes, t->runs[0].test.average, t->top_k,
                                 t->top, t->means, &t->err);
    else
        st = prelu_fail(&t->err, PRELU_E_NOMEM, "%zu predictions", t->top_k);
    if (!st && t->heat) {
        t->heat_class = t->heat_class < 0 ? t->top[0].class_index : t->heat_class;
        st = map_heat(t, &t->err);
    }
    if (st)
        (void)prelu_fail(&t->err, st, "%s", prelu_status_text(st));
}

static void run_done(srv_workers *w, srv_run *r)
{
    srv_task *t = r->task;
    if (!t->heat) /* whose map needs the picture */
        prelu_prepared_deinit(&r->prepared);
    if (atomic_fetch_sub(&t->left, 1) == 1) {
        join(t);
        finish(w, t);
    }
}

static const char nobody[] = "nobody waits for the answer";

static void release(srv_workers *w, const srv_task *t)
{
    for (size_t i = 0; i < t->n_runs; i++)
        srv_queue_release(&w->queue, t->runs[i].work.units);
}

static size_t width_of(const srv_run *r)
{
    return (size_t)prelu_average_width(r->model->model, r->test.average);
}

static prelu_status decode(srv_workers *w, srv_task *t, prelu_prepared *out, prelu_err *err)
{
    prelu_member members[PRELU_MAX_MEMBERS];
    const int crop = t->runs[0].model->model->preprocess.crop;
    if (t->tensor) {
        out[0] = (prelu_prepared){.n_images = 1,
                                  .n_views = 1,
                                  .rows = {1},
                                  .n_rows = 1,
                                  .average = t->runs[0].test.average,
                                  .info = {.width = crop, .height = crop}};
        return PRELU_OK;
    }
    for (size_t i = 0; i < t->n_runs; i++)
        members[i] = (prelu_member){t->runs[i].model->model, &t->runs[i].test};
    return prelu_ensemble_prepare(out, members, t->n_runs, t->jpeg, t->len, &w->opt.limits, err);
}

static prelu_status prepare(srv_workers *w, srv_task *t, prelu_err *err)
{
    const size_t width = width_of(&t->runs[0]);
    prelu_prepared prepared[PRELU_MAX_MEMBERS];
    size_t count;
    PRELU_TRY(prelu_mul(t->n_runs, width, &count, err));
    t->means = prelu_calloc(count, sizeof *t->means);
    if (!t->means)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu scores", count);
    PRELU_TRY(decode(w, t, prepared, err));
    t->info = prepared[0].info;
    for (size_t i = 0; i < t->n_runs; i++) {
        srv_run *r = &t->runs[i];
        r->task = t;
        r->prepared = prepared[i];
        r->mean = t->means + i * width;
        r->work.group = &r->model->group[t->tensor ? 2 : r->test.dense != NULL][r->test.average];
        t->n_rows += r->prepared.n_rows;
        t->decode_ms += r->prepared.decode_ms;
        t->prepare_ms += r->prepared.prepare_ms;
    }
    return PRELU_OK;
}

static void learn_prepare(srv_workers *w, const srv_task *t)
{
    const double ms = t->decode_ms + t->prepare_ms, pixels = (double)t->info.width * t->info.height;
    const int64_t one = (int64_t)(fmin(ms / pixels, 1) * 1e9), old = atomic_load(&w->pixel_ps);
    atomic_store(&w->pixel_ps, old ? old + (one - old) / 8 : one);
}

static void prepare_job(void *ctx)
{
    srv_task *t = ctx;
    srv_workers *w = t->workers;
    const size_t n = t->n_runs;
    atomic_fetch_sub(&w->unbegun, 1);
    if (!t->wanted(t)) {
        srv_metrics_cancelled(w->metrics, SRV_STAGE_DECODE);
        (void)prelu_fail(&t->err, PRELU_E_CANCELLED, nobody);
    } else {
        const prelu_status st = prepare(w, t, &t->err);
        if (st)
            (void)prelu_fail(&t->err, st, "%s", prelu_status_text(st)); /* if it gave no text */
    }
    if (t->err.code) {
        release(w, t);
        finish(w, t);
        return;
    }
    srv_metrics_stage(w->metrics, SRV_STAGE_DECODE, t->decode_ms * 1e-3);
    srv_metrics_stage(w->metrics, SRV_STAGE_PREPARE, t->prepare_ms * 1e-3);
    if (!t->tensor)
        learn_prepare(w, t);
    atomic_store(&t->left, n);
    for (size_t i = 0; i < n; i++) /* the last may end the task */
        srv_queue_push(&w->queue, &t->runs[i].work);
    kick(w);
}

static srv_run *run_of(srv_work *work)
{
    return (srv_run *)(void *)((char *)work - offsetof(srv_run, work));
}

/* Grow *block, whose contents need not live on, to at least n elements. */
static bool grow(void **block, size_t *cap, size_t n, size_t size)
{
    if (n <= *cap)
        return true;
    void *bigger = n <= SIZE_MAX / size ? prelu_alloc(n * size) : NULL;
    if (!bigger)
        return false;
    prelu_free(*block);
    *block = bigger;
    *cap = n;
    return true;
}

/* What a batch comes to. */
typedef struct totals {
    size_t views, rows, units;
} totals;

static totals totals_of(srv_run *const *runs, size_t n)
{
    totals all = {0};
    for (size_t i = 0; i < n; i++) {
        all.views += runs[i]->prepared.n_views;
        all.rows += runs[i]->prepared.n_rows;
        all.units += runs[i]->work.units;
    }
    return all;
}

static void smooth(_Atomic int64_t *old, double now)
{
    const int64_t a = atomic_load(old), b = (int64_t)(now * 1e6) + 1;
    atomic_store(old, a ? a + (b - a) / 8 : b);
}

/* What a run says about the rate: on a loaded machine it is not what it was at start. Views correct
 * all of it, whole pictures what their head takes. */
static void learn(srv_model *m, srv_run *const *runs, size_t n, double ms)
{
    const prelu_rate rate = srv_model_rate(m);
    prelu_work all = {.units = 0};
    for (size_t i = 0; i < n; i++) {
        all.units += runs[i]->computes.units;
        all.head += runs[i]->computes.head;
        all.passes += runs[i]->computes.passes;
    }
    if (all.head > 0)
        smooth(&m->head_ns, prelu_rate_head(&rate, &all, ms));
    else if (all.units > 0 && m->rate.unit_ms > 0)
        smooth(&m->drift_ppm, fmin(ms / prelu_rate_ms(&m->rate, &all), 1000));
}

prelu_rate srv_model_rate(const srv_model *m)
{
    const int64_t drift = atomic_load(&m->drift_ppm), head = atomic_load(&m->head_ns);
    const double f = drift ? (double)drift * 1e-6 : 1;
    return (prelu_rate){.unit_ms = m->rate.unit_ms * f,
                        .head_ms = head ? (double)head * 1e-6 : m->rate.head_ms * f,
                        .pass_ms = m->rate.pass_ms * f};
}

double srv_workers_prepare_ms(const srv_workers *w, int width, int height)
{
    return (double)atomic_load(&w->pixel_ps) * 1e-9 * width * height;
}

/* Tensors of one request lie one behind the other: those run together. */
static prelu_status run_tensors(prelu_session *session, srv_run *const *runs, size_t n,
                                float *scores, prelu_err *err)
{
    const int side = runs[0]->model->model->preprocess.crop;
    const size_t one = 3 * (size_t)side * (size_t)side, width = width_of(runs[0]);
    for (size_t i = 0, k; i < n; i += k) {
        const float *first = runs[i]->task->tensor;
        for (k = 1; i + k < n && runs[i + k]->task->tensor == first + k * one;)
            k++;
        PRELU_TRY(prelu_tensors_run(session, first, k, side, runs[i]->test.average, (int)width,
                                    scores + i * width, err));
    }
    return PRELU_OK;
}

/* Views of n pictures of one model and one plan through the slot's session; scores in order into
 * slot->scores. */
static prelu_status run_views(slot *s, srv_run **runs, size_t n, prelu_err *err)
{
    srv_model *m = runs[0]->model;
    const bool dense = runs[0]->test.dense != NULL;
    const totals all = totals_of(runs, n);
    const size_t width = width_of(runs[0]);
    size_t at = 0, count;
    void *views = s->views, *scores = s->scores;
    PRELU_TRY(prelu_mul(all.rows, width, &count, err));
    bool room = grow(&views, &s->cap_views, all.views, sizeof *s->views);
    s->views = views;
    room = room && grow(&scores, &s->cap_scores, count, sizeof *s->scores);
    s->scores = scores;
    if (!room)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu rows of %zu scores", all.rows, width);
    for (size_t i = 0; i < n; i++) {
        const prelu_prepared *p = &runs[i]->prepared;
        if (p->views)
            memcpy(s->views + at, p->views, p->n_views * sizeof *s->views);
        at += p->n_views;
    }
    prelu_session **session = dense ? &s->dense[m->index] : &s->session[m->index];
    if (!*session)
        PRELU_TRY(prelu_session_create(session, dense ? m->dense : m->plan, s->w->pool, 0, err));
    int64_t start = srv_now();
    if (runs[0]->task && runs[0]->task->tensor)
        PRELU_TRY(run_tensors(*session, runs, n, s->scores, err));
    else
        PRELU_TRY(prelu_views_run(*session, s->views, all.views, runs[0]->test.average, (int)width,
                                  s->scores, all.rows, err));
    const int64_t took = srv_now() - start;
    learn(m, runs, n, (double)took * 1e-6);
    int64_t unit = took / (int64_t)all.units, old = atomic_load(&m->unit_ns);
    atomic_store(&m->unit_ns, old ? old + (unit - old) / 8 : unit);
    return PRELU_OK;
}

static prelu_status keep_scores(srv_run *r, const float *scores, prelu_err *err)
{
    const size_t len =
        r->prepared.n_rows * (size_t)r->model->model->classes * sizeof *scores; /* they exist */
    r->scores = prelu_alloc(len);
    if (!r->scores)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu bytes of scores", len);
    memcpy(r->scores, scores, len);
    return PRELU_OK;
}

/* All n pictures in one run. A run that fails fails for all, so one picture that asks too much
 * would take its neighbours with it: then each runs alone. */
static void run_batch(slot *s, srv_run **runs, size_t n)
{
    srv_workers *w = s->w;
    srv_model *m = runs[0]->model;
    prelu_err err = {0};
    size_t at = 0;
    int64_t start = srv_now();
    prelu_status st = run_views(s, runs, n, &err);
    if (st && n > 1) {
        for (size_t i = 0; i < n; i++)
            run_batch(s, runs + i, 1);
        return;
    }
    double ms = (double)(srv_now() - start) * 1e-6;
    if (!st)
        srv_metrics_batch(w->metrics, totals_of(runs, n).views);
    for (size_t i = 0; i < n; i++) {
        srv_run *r = runs[i];
        r->infer_ms = ms;
        r->queue_ms = (double)(start - r->work.pushed) * 1e-6;
        srv_metrics_stage(w->metrics, SRV_STAGE_QUEUE, r->queue_ms * 1e-3);
        srv_metrics_stage(w->metrics, SRV_STAGE_INFER, ms * 1e-3);
        const float *scores = s->scores + at * width_of(r);
        at += r->prepared.n_rows;
        prelu_status one = st;
        if (!st)
            one = prelu_prepared_mean(&r->prepared, m->model, scores, r->mean, &r->err);
        if (!one && r->task->heat)
            one = keep_scores(r, scores, &r->err);
        if (one)
            (void)prelu_fail(&r->err, one, "%s", err.text[0] ? err.text : prelu_status_text(one));
        run_done(w, r);
    }
}

/* Time of a unit of the model that a group of work belongs to; 0 = not known. */
static int64_t unit_of(const srv_workers *w, const void *group)
{
    for (int i = 0; i < w->registry->n && group; i++) {
        const srv_model *m = &w->registry->models[i];
        for (int k = 0; k < 3 * PRELU_AVERAGES; k++)
            if (group == (const void *)&m->group[k / PRELU_AVERAGES][k % PRELU_AVERAGES])
                return atomic_load(&m->unit_ns);
    }
    return 0;
}

/* Take what waits, at most max_batch units and about batch_time of work, and run it.
 * @return false when nothing waited. */
static bool run_waiting(slot *s)
{
    srv_workers *w = s->w;
    int64_t unit = unit_of(w, srv_queue_look(&w->queue).group);
    size_t most = w->opt.max_batch, n, kept = 0;
    srv_run *runs[MAX_RUNS];
    if (unit > 0 && (int64_t)most > batch_time / unit)
        most = batch_time / unit > 1 ? (size_t)(batch_time / unit) : 1;
    n = srv_queue_take(&w->queue, s->works, MAX_RUNS, most);
    for (size_t i = 0; i < n; i++) {
        srv_run *r = run_of(s->works[i]);
        if (r->task->wanted(r->task)) {
            runs[kept++] = r;
            continue;
        }
        if (r == r->task->runs)
            srv_metrics_cancelled(w->metrics, SRV_STAGE_QUEUE);
        (void)prelu_fail(&r->err, PRELU_E_CANCELLED, nobody);
        run_done(w, r);
    }
    if (kept)
        run_batch(s, runs, kept);
    return n > 0;
}

/* Runs batches until none waits, but lets prepare jobs that came meanwhile go first.
 * @return false when the slot was handed on to a job behind them. */
static bool run_all(slot *s)
{
    srv_workers *w = s->w;
    pthread_mutex_lock(&w->lock);
    w->scheduled--;
    pthread_mutex_unlock(&w->lock);
    while (run_waiting(s)) {
        if (atomic_load(&w->unbegun) == 0)
            continue;
        pthread_mutex_lock(&w->lock);
        w->scheduled++;
        pthread_mutex_unlock(&w->lock);
        if (prelu_pool_submit(w->pool, batch_job, s, NULL) == PRELU_OK)
            return false;
        pthread_mutex_lock(&w->lock);
        w->scheduled--;
        pthread_mutex_unlock(&w->lock);
    }
    return true;
}

static void batch_job(void *ctx)
{
    slot *s = ctx;
    srv_workers *w = s->w;
    while (s && run_all(s)) {
        pthread_mutex_lock(&w->lock);
        s->next = w->free;
        w->free = s;
        pthread_mutex_unlock(&w->lock);
        s = claim(w); /* work pushed after the last look found no free slot */
    }
}

void srv_workers_submit(srv_workers *w, srv_task *t)
{
    t->workers = w;
    atomic_fetch_add(&w->active, 1);
    atomic_fetch_add(&w->unbegun, 1);
    prelu_err err = {0};
    prelu_status st = prelu_pool_submit(w->pool, prepare_job, t, &err);
    if (st) {
        atomic_fetch_sub(&w->unbegun, 1);
        release(w, t);
        (void)prelu_fail(&t->err, st, "%s", err.text);
        finish(w, t);
    }
}

prelu_status srv_workers_reserve(srv_workers *w, size_t units, prelu_err *err)
{
    return srv_queue_reserve(&w->queue, units, err);
}

int srv_workers_retry_after(srv_workers *w, size_t units)
{
    srv_queue_state q = srv_queue_look(&w->queue);
    int64_t unit = 0;
    for (int i = 0; i < w->registry->n; i++)
        if (atomic_load(&w->registry->models[i].unit_ns) > unit)
            unit = atomic_load(&w->registry->models[i].unit_ns);
    size_t over = q.reserved + units > q.limit ? q.reserved + units - q.limit : 0;
    double seconds = (double)over * (double)unit * 1e-9;
    return seconds < 1 ? 1 : seconds > 60 ? 60 : (int)(seconds + 0.999);
}

srv_queue_state srv_workers_look(srv_workers *w) { return srv_queue_look(&w->queue); }

size_t srv_workers_active(srv_workers *w) { return atomic_load(&w->active); }

prelu_status srv_workers_create(srv_workers **out, srv_registry *registry, prelu_pool *pool,
                                srv_timer *timer, srv_metrics *metrics,
                                const srv_worker_options *options, prelu_err *err)
{
    srv_workers *w = prelu_calloc(1, sizeof *w);
    if (!w)
        return prelu_fail(err, PRELU_E_NOMEM, "workers: no memory");
    w->registry = registry;
    w->pool = pool;
    w->timer = timer;
    w->metrics = metrics;
    w->opt = *options;
    w->delay.ring = delay_over;
    w->delay.ctx = w;
    pthread_mutex_init(&w->lock, NULL);
    srv_queue_init(&w->queue, options->queue_limit);
    *out = w;
    for (int i = 0; i < options->threads && i < MAX_SLOTS; i++) {
        slot *s = prelu_calloc(1, sizeof *s);
        if (!s) {
            srv_workers_destroy(out);
            return prelu_fail(err, PRELU_E_NOMEM, "workers: no memory");
        }
        s->w = w;
        s->next = w->free;
        w->slots[i] = w->free = s;
    }
    return PRELU_OK;
}

void srv_workers_destroy(srv_workers **workers)
{
    srv_workers *w = *workers;
    if (!w)
        return;
    *workers = NULL;
    srv_timer_cancel(w->timer, &w->delay);
    for (int i = 0; i < MAX_SLOTS && w->slots[i]; i++) {
        slot *s = w->slots[i];
        for (int m = 0; m < SRV_MAX_LIST; m++) {
            prelu_session_destroy(&s->session[m]);
            prelu_session_destroy(&s->dense[m]);
        }
        prelu_free(s->views);
        prelu_free(s->scores);
        prelu_free(s);
    }
    srv_queue_deinit(&w->queue);
    pthread_mutex_destroy(&w->lock);
    prelu_free(w);
}

/* ---- warm-up ---- */

typedef struct warm_up {
    srv_workers *w;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool done;
    prelu_status st;
    prelu_err err;
} warm_up;

/* A gray picture of crop size, and once more to measure: the time is the first guess of a unit's.
 */
static prelu_status warm_model(slot *s, srv_model *m, prelu_err *err)
{
    int crop = m->model->preprocess.crop;
    size_t stride, len;
    PRELU_TRY(prelu_mul((size_t)crop, 3, &stride, err));
    PRELU_TRY(prelu_mul((size_t)crop, stride, &len, err));
    uint8_t *gray = prelu_alloc(len);
    if (!gray)
        return prelu_fail(err, PRELU_E_NOMEM, "a picture of %zu bytes", len);
    memset(gray, 128, len);
    prelu_view view = {.data = gray, .stride = stride, .width = crop, .height = crop};
    srv_run run = {.work = {.units = 1},
                   .model = m,
                   .prepared = {.views = &view, .n_views = 1, .n_rows = 1}},
            *one = &run;
    prelu_session **dense = &s->dense[m->index];
    prelu_status st = run_views(s, &one, 1, err);
    prelu_free(gray);
    if (!st && m->dense)
        st = prelu_session_create(dense, m->dense, s->w->pool, 0, err);
    if (!st)
        st = prelu_rate_measure(&m->rate, s->session[m->index], *dense, m->model, err);
    atomic_store(&m->unit_ns, (int64_t)((m->rate.unit_ms + m->rate.pass_ms) * 1e6));
    return st;
}

static void warm_up_job(void *ctx)
{
    warm_up *job = ctx;
    srv_registry *r = job->w->registry;
    for (int i = 0; i < r->n && !job->st; i++) {
        prelu_err err = {0};
        job->st = warm_model(job->w->slots[0], &r->models[i], &err);
        if (job->st)
            (void)prelu_fail(&job->err, job->st, "model %s: %s", r->models[i].name, err.text);
    }
    pthread_mutex_lock(&job->lock);
    job->done = true;
    pthread_cond_signal(&job->over);
    pthread_mutex_unlock(&job->lock);
}

prelu_status srv_workers_warm_up(srv_workers *w, prelu_err *err)
{
    warm_up job = {.w = w, .lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER};
    PRELU_TRY(prelu_pool_submit(w->pool, warm_up_job, &job, err));
    pthread_mutex_lock(&job.lock);
    while (!job.done)
        pthread_cond_wait(&job.over, &job.lock);
    pthread_mutex_unlock(&job.lock);
    return job.st ? prelu_fail(err, job.st, "%s", job.err.text) : PRELU_OK;
}
