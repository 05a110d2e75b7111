#define _POSIX_C_SOURCE 200809L
#include "assets.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include "worker_private.h"
#include <math.h>
#include <stddef.h>
#include <string.h>

/* Jobs of the pool are of two kinds: a prepare job decodes one picture, and a turn steps batches,
 * each time the one that got least time so far. A batch that is waited for by none runs until its
 * end or until something new comes, which sets its `stop`; where more batches run than there are
 * threads, steps are brief. The pool runs jobs in order, so a turn goes behind the prepare jobs
 * that came meanwhile: they finish first, and their pictures share a batch.
 *
 * At most one batch per thread runs of views, and of whole pictures, besides one of each model that
 * has none: so sessions, whose memory is large, are few, and no model waits for another's end. */

/* A batch should not take longer than this, so that what comes next need not wait for it. */
static const int64_t batch_time = 250 * INT64_C(1000000);

static void turn_job(void *ctx);

/* ---- which batch is next ---- */

typedef struct rule_ctx {
    const srv_workers *w;
    int64_t now, due; /* due: when a group that waits for company is complete; 0 = none does */
} rule_ctx;

static const srv_model *model_of(const srv_group *g, bool *dense)
{
    const srv_run *r =
        (const srv_run *)(const void *)((const char *)g->head - offsetof(srv_run, work));
    *dense = r->test.dense != NULL;
    return r->model;
}

/* Views that a batch of the group may have now. With w->lock and the queue's held. */
static size_t may_run(void *ctx, const srv_group *g)
{
    rule_ctx *c = ctx;
    const srv_workers *w = c->w;
    const int64_t until = g->head->pushed + w->opt.max_batch_delay;
    size_t most = w->opt.max_batch;
    bool dense, runs = false;
    const srv_model *m = model_of(g, &dense);
    for (const srv_batch *b = w->batches; b; b = b->next)
        runs = runs || (b->model == m && b->dense == dense);
    if (runs && w->running[dense] >= w->opt.threads)
        return 0;
    if (w->opt.max_batch_delay && g->waiting < most && c->now < until) {
        c->due = c->due && c->due < until ? c->due : until;
        return 0;
    }
    const int64_t unit = atomic_load(&m->unit_ns);
    if (unit > 0 && (int64_t)most > batch_time / unit)
        most = batch_time / unit > 1 ? (size_t)(batch_time / unit) : 1;
    return most;
}

static srv_batch *batch_new(srv_workers *w)
{
    srv_batch *b = w->free;
    if (b)
        w->free = b->next;
    else
        b = prelu_calloc(1, sizeof *b);
    if (b)
        b->w = w;
    return b;
}

/* A batch of what waits, or NULL. With w->lock held. Without memory for another the work waits
 * until one ends: one there is from the beginning. */
static srv_batch *gather(srv_workers *w, rule_ctx *c)
{
    srv_work *works[SRV_MAX_BATCH_RUNS];
    if (srv_queue_look(&w->queue).depth == 0)
        return NULL;
    srv_batch *b = batch_new(w);
    if (!b)
        return NULL;
    const size_t n = srv_queue_take(&w->queue, works, SRV_MAX_BATCH_RUNS, may_run, c);
    if (n == 0) {
        b->next = w->free;
        w->free = b;
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        b->runs[i] = (srv_run *)(void *)((char *)works[i] - offsetof(srv_run, work));
    srv_batch_begin(b, n);
    b->got = w->now;
    b->next = w->batches;
    w->batches = b;
    w->running[b->dense]++;
    w->weights += b->weight;
    return b;
}

/* The batch that got least, the newest of several; and how many others might go on. */
static srv_batch *choose(srv_workers *w, rule_ctx *c, int *others)
{
    srv_batch *best = NULL;
    (void)gather(w, c);
    *others = -1;
    for (srv_batch *b = w->batches; b; b = b->next) {
        if (b->stepping)
            continue;
        ++*others;
        if (!best || b->got < best->got)
            best = b;
    }
    return best;
}

/* The next batch of this turn, marked as stepping; NULL ends the turn. */
static srv_batch *next_batch(srv_workers *w, bool *brief)
{
    rule_ctx c = {.w = w, .now = srv_now()};
    int others;
    pthread_mutex_lock(&w->lock);
    srv_batch *b = choose(w, &c, &others);
    if (b) {
        b->stepping = true;
        atomic_store(&b->stop, false);
        /* whoever comes after this look sets `stop` */
        *brief = others > 0 || atomic_load(&w->unbegun) > 0;
        w->now = fmax(w->now, b->got);
    } else {
        w->turns--;
    }
    pthread_mutex_unlock(&w->lock);
    if (c.due)
        srv_timer_arm(w->timer, &w->delay, c.due);
    return b;
}

/* Virtual time passes as fast as the batches that run get time by their weights: so a short one
 * that comes hardly waits, and many that come do not keep a long one waiting for ever. */
static void batch_stepped(srv_batch *b, bool over, int64_t took)
{
    srv_workers *w = b->w;
    pthread_mutex_lock(&w->lock);
    b->stepping = false;
    b->got += (double)took / b->weight;
    w->now += (double)took / w->weights;
    if (over) {
        srv_batch **link = &w->batches;
        while (*link != b)
            link = &(*link)->next;
        *link = b->next;
        w->running[b->dense]--;
        w->weights = w->batches ? w->weights - b->weight : 0;
        b->next = w->free;
        w->free = b;
    }
    pthread_mutex_unlock(&w->lock);
}

/* ---- turns ---- */

static void take_turns(srv_workers *w)
{
    bool brief;
    for (srv_batch *b = next_batch(w, &brief); b; b = next_batch(w, &brief)) {
        const int64_t start = srv_now();
        const bool over = srv_batch_step(b, brief);
        batch_stepped(b, over, srv_now() - start);
        if (atomic_load(&w->unbegun) && prelu_pool_submit(w->pool, turn_job, w, NULL) == PRELU_OK)
            return;
    }
}

static void turn_job(void *ctx) { take_turns(ctx); }

/* There may be something to do for one more thread. @return true when the caller is to do it. */
static bool begin_turn(srv_workers *w)
{
    pthread_mutex_lock(&w->lock);
    const bool begin = w->turns < w->opt.threads;
    w->turns += begin;
    pthread_mutex_unlock(&w->lock);
    return begin;
}

/* Pictures that are to be decoded first share the batch. */
static void kick(srv_workers *w)
{
    if (!begin_turn(w))
        return;
    if (atomic_load(&w->unbegun) == 0 || prelu_pool_submit(w->pool, turn_job, w, NULL))
        take_turns(w);
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

void srv_workers_interrupt(srv_workers *w)
{
    pthread_mutex_lock(&w->lock);
    for (srv_batch *b = w->batches; b; b = b->next)
        if (b->lengthy)
            atomic_store(&b->stop, true);
    pthread_mutex_unlock(&w->lock);
}

/* ---- the way in ---- */

static void release(srv_workers *w, const srv_task *t)
{
    for (size_t i = 0; i < t->n_runs; i++)
        srv_queue_release(&w->queue, t->runs[i].work.units);
}

static void prepare_job(void *ctx)
{
    srv_task *t = ctx;
    srv_workers *w = t->workers;
    const size_t n = t->n_runs;
    atomic_fetch_sub(&w->unbegun, 1);
    srv_task_prepare(t);
    if (t->err.code) {
        release(w, t);
        srv_task_finish(t);
    } else {
        for (size_t i = 0; i < n; i++) /* the last may end the task */
            srv_queue_push(&w->queue, &t->runs[i].work);
    }
    kick(w);
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
        srv_task_finish(t);
        return;
    }
    srv_workers_interrupt(w);
}

/* What the tasks come to: their costs are filled in on the way. */
static double cost_of(srv_workers *w, srv_task *tasks, size_t n, size_t *units)
{
    double all = 0;
    *units = 0;
    for (size_t i = 0; i < n; i++) {
        tasks[i].cost = srv_task_cost(w, &tasks[i]);
        for (size_t k = 0; k < tasks[i].n_runs; k++) {
            srv_run *r = &tasks[i].runs[k];
            const prelu_rate rate = srv_model_rate(r->model);
            r->work.cost = prelu_rate_ms(&rate, &r->computes) * 1e6;
            *units += r->work.units;
        }
        all += tasks[i].cost;
    }
    return all;
}

/* Promise the units if they can be done in time. */
static prelu_status reserve(srv_workers *w, size_t units, double cost, int64_t deadline,
                            int *retry_after, prelu_err *err)
{
    const double wait = srv_pace_surely(&w->pace, cost);
    const prelu_status st =
        srv_workers_crowded(w) && wait > (double)deadline
            ? prelu_fail(err, PRELU_E_BUSY,
                         "the queue is full: its work takes %.3g s, it may take %.3g s "
                         "(--request-timeout)",
                         wait * 1e-9, (double)deadline * 1e-9)
            : srv_queue_reserve(&w->queue, units, err);
    if (st)
        *retry_after =
            srv_pace_retry_after(&w->pace, units, cost, w->opt.queue_limit, deadline, srv_now());
    return st;
}

prelu_status srv_workers_admit(srv_workers *w, srv_task *tasks, size_t n, int64_t deadline,
                               int *retry_after, prelu_err *err)
{
    size_t units;
    const double cost = cost_of(w, tasks, n, &units);
    PRELU_TRY(reserve(w, units, cost, deadline, retry_after, err));
    const int64_t now = srv_now();
    double predicted = 0;
    for (size_t i = 0; i < n; i++) {
        predicted += tasks[i].cost;
        tasks[i].admitted = now;
        tasks[i].predicted = srv_pace_wait(&w->pace, predicted);
        if (tasks[i].predicted < (double)deadline / 4) /* says little about the deadline */
            tasks[i].predicted = 0;
    }
    srv_pace_add(&w->pace, cost, now);
    return PRELU_OK;
}

prelu_status srv_workers_room(srv_workers *w, const srv_model *m, int64_t deadline,
                              int *retry_after, prelu_err *err)
{
    const prelu_rate rate = srv_model_rate(m);
    const prelu_work one = {.units = 1, .passes = 1};
    PRELU_TRY(reserve(w, 1, prelu_rate_ms(&rate, &one) * 1e6, deadline, retry_after, err));
    srv_queue_release(&w->queue, 1);
    return PRELU_OK;
}

double srv_workers_wait_ms(srv_workers *w) { return srv_pace_wait(&w->pace, 0) * 1e-6; }

double srv_workers_prepare_ms(const srv_workers *w, int width, int height)
{
    return (double)atomic_load(&w->pixel_ps) * 1e-9 * width * height;
}

srv_queue_state srv_workers_look(srv_workers *w) { return srv_queue_look(&w->queue); }

size_t srv_workers_active(srv_workers *w) { return atomic_load(&w->active); }

/* ---- beginning and end ---- */

prelu_status srv_workers_create(srv_workers **out, prelu_pool *pool, srv_timer *timer,
                                srv_metrics *metrics, const srv_worker_options *options,
                                prelu_err *err)
{
    srv_workers *w = prelu_calloc(1, sizeof *w);
    if (w)
        w->free = prelu_calloc(1, sizeof *w->free);
    if (!w || !w->free) {
        prelu_free(w);
        return prelu_fail(err, PRELU_E_NOMEM, "workers: no memory");
    }
    w->free->w = w;
    w->pool = pool;
    w->timer = timer;
    w->metrics = metrics;
    w->opt = *options;
    w->delay.ring = delay_over;
    w->delay.ctx = w;
    pthread_mutex_init(&w->lock, NULL);
    srv_queue_init(&w->queue, options->queue_limit);
    srv_pace_init(&w->pace);
    *out = w;
    return PRELU_OK;
}

void srv_workers_destroy(srv_workers **workers)
{
    srv_workers *w = *workers;
    if (!w)
        return;
    *workers = NULL;
    srv_timer_cancel(w->timer, &w->delay);
    for (srv_batch *b = w->free, *next; b; b = next) {
        next = b->next;
        srv_batch_free(b);
    }
    srv_pace_deinit(&w->pace);
    srv_queue_deinit(&w->queue);
    pthread_mutex_destroy(&w->lock);
    prelu_free(w);
}

/* ---- warm-up ---- */

typedef struct warm_up {
    srv_workers *w;
    srv_model *model;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool done;
    prelu_status st;
    prelu_err err;
} warm_up;

/* Touches the memory of a session of each kind and measures; they are kept. */
static prelu_status warm_model(srv_workers *w, srv_model *m, prelu_err *err)
{
    prelu_session *views = NULL, *dense = NULL;
    prelu_status st = srv_session_get(w, m, false, &views, err);
    if (!st && m->dense)
        st = srv_session_get(w, m, true, &dense, err);
    if (!st)
        st = prelu_rate_measure(&m->rate, views, dense, m->model, w->pool, err);
    atomic_store(&m->unit_ns, (int64_t)((m->rate.unit_ms + m->rate.pass_ms) * 1e6));
    srv_session_put(w, m, false, &views);
    srv_session_put(w, m, true, &dense);
    return st;
}

/* The first guess of what decoding takes. Twice: the first touches code and memory. */
static void warm_decoder(srv_workers *w, const srv_model *m)
{
    const srv_asset *cat = srv_asset_find("cat.jpg");
    const prelu_test center = {.mode = PRELU_MODE_CENTER};
    prelu_prepared p;
    for (int i = 0; i < 2; i++) {
        if (prelu_model_prepare(&p, m->model, &center, cat->data, cat->len, NULL, NULL))
            return;
        const double ms = p.decode_ms + p.prepare_ms;
        atomic_store(&w->pixel_ps, (int64_t)(ms / p.info.width / p.info.height * 1e9) + 1);
        prelu_prepared_deinit(&p);
    }
}

static void warm_up_job(void *ctx)
{
    warm_up *job = ctx;
    if (!atomic_load(&job->w->pixel_ps))
        warm_decoder(job->w, job->model);
    job->st = warm_model(job->w, job->model, &job->err);
    pthread_mutex_lock(&job->lock);
    job->done = true;
    pthread_cond_signal(&job->over);
    pthread_mutex_unlock(&job->lock);
}

prelu_status srv_workers_warm_up(srv_workers *w, srv_model *m, prelu_err *err)
{
    warm_up job = {
        .w = w, .model = m, .lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER};
    PRELU_TRY(prelu_pool_submit(w->pool, warm_up_job, &job, err));
    pthread_mutex_lock(&job.lock);
    while (!job.done)
        pthread_cond_wait(&job.over, &job.lock);
    pthread_mutex_unlock(&job.lock);
    return job.st ? prelu_fail(err, job.st, "model %s: %s", m->from.name, job.err.text) : PRELU_OK;
}
