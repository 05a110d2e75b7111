/* Pictures that run together, in steps between which others may run. */
#define _POSIX_C_SOURCE 200809L
#include "prelu/mem.h"
#include "worker_private.h"
#include <math.h>
#include <string.h>

/* A run shorter than this ends as soon as whoever would interrupt it could begin; nanoseconds. */
#define LENGTHY 1e6

/* ---- sessions ---- */

prelu_status srv_session_get(srv_workers *w, srv_model *m, bool dense, prelu_session **out,
                             prelu_err *err)
{
    pthread_mutex_lock(&w->lock);
    prelu_session *s = m->n_idle[dense] ? m->idle[dense][--m->n_idle[dense]] : NULL;
    pthread_mutex_unlock(&w->lock);
    *out = s;
    return s ? PRELU_OK : prelu_session_create(out, dense ? m->dense : m->plan, w->pool, 0, err);
}

void srv_session_put(srv_workers *w, srv_model *m, bool dense, prelu_session **s)
{
    pthread_mutex_lock(&w->lock);
    if (*s && m->n_idle[dense] < SRV_MAX_SESSIONS) {
        m->idle[dense][m->n_idle[dense]++] = *s;
        *s = NULL;
    }
    pthread_mutex_unlock(&w->lock);
    prelu_session_destroy(s);
}

/* ---- what runs tell about times ---- */

/* What a run says about the rate: on a loaded machine it is not what it was at start. */
static void learn(const srv_batch *b, double ms)
{
    srv_model *m = b->model;
    prelu_work all = {.units = 0};
    size_t units = 0;
    for (size_t i = b->at; i < b->at + b->count; i++) {
        prelu_work_add(&all, &b->runs[i]->computes);
        units += b->runs[i]->work.units;
    }
    if (all.units > 0 && m->rate.unit_ms > 0)
        srv_smooth(&m->drift_ppm[b->dense],
                   (int64_t)(fmin(ms / prelu_rate_ms(&m->rate, &all), 1000) * 1e6) + 1);
    srv_smooth(&m->unit_ns, (int64_t)(ms * 1e6 / (double)units) + 1);
}

prelu_rate srv_model_rate(const srv_model *m)
{
    double f[2];
    for (int i = 0; i < 2; i++) {
        const int64_t drift = atomic_load(&m->drift_ppm[i]);
        f[i] = drift ? (double)drift * 1e-6 : 1;
    }
    return (prelu_rate){.unit_ms = m->rate.unit_ms * f[0],
                        .whole_ms = m->rate.whole_ms * f[1],
                        .window_ms = m->rate.window_ms * f[1],
                        .pass_ms = m->rate.pass_ms * f[0]};
}

/* ---- a batch ---- */

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

void srv_batch_begin(srv_batch *b, size_t n)
{
    double cost = 0;
    size_t units = 0;
    for (size_t i = 0; i < n; i++) {
        cost += b->runs[i]->work.cost;
        units += b->runs[i]->work.units;
    }
    b->model = b->runs[0]->model;
    b->dense = b->runs[0]->test.dense != NULL;
    b->n = b->count = n;
    b->at = 0;
    b->ran = 0;
    b->lengthy = cost > LENGTHY;
    b->weight = fmin(fmax(32.0 / (double)units, 1), 8);
}

/* What a batch comes to. */
typedef struct totals {
    size_t views, rows;
} totals;

static totals totals_of(srv_run *const *runs, size_t n)
{
    totals all = {0};
    for (size_t i = 0; i < n; i++) {
        all.views += runs[i]->prepared.n_views;
        all.rows += runs[i]->prepared.n_rows;
    }
    return all;
}

/* Views of the pictures, one after another, and room for their scores. */
static prelu_status lay_out(srv_batch *b, prelu_err *err)
{
    srv_run **runs = b->runs + b->at;
    const totals all = totals_of(runs, b->count);
    const size_t width = srv_run_width(runs[0]);
    size_t at = 0, count;
    void *views = b->views, *scores = b->scores;
    PRELU_TRY(prelu_mul(all.rows, width, &count, err));
    bool room = grow(&views, &b->cap_views, all.views, sizeof *b->views);
    b->views = views;
    room = room && grow(&scores, &b->cap_scores, count, sizeof *b->scores);
    b->scores = scores;
    if (!room)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu rows of %zu scores", all.rows, width);
    for (size_t i = 0; i < b->count; i++) {
        const prelu_prepared *p = &runs[i]->prepared;
        if (p->views)
            memcpy(b->views + at, p->views, p->n_views * sizeof *b->views);
        at += p->n_views;
    }
    if (!b->session)
        PRELU_TRY(srv_session_get(b->w, b->model, b->dense, &b->session, err));
    if (runs[0]->task->tensor)
        return PRELU_OK;
    return prelu_passes_create(&b->passes, b->session, b->views, all.views, runs[0]->test.average,
                               (int)width, b->scores, all.rows, err);
}

/* Tensors of one request lie one behind the other: those run together. In one step, for they are
 * single views. */
static prelu_status run_tensors(const srv_batch *b, prelu_err *err)
{
    srv_run *const *runs = b->runs + b->at;
    const int side = b->model->model->preprocess.crop;
    const size_t one = 3 * (size_t)side * (size_t)side, width = srv_run_width(runs[0]);
    for (size_t i = 0, k; i < b->count; i += k) {
        const float *first = runs[i]->task->tensor;
        for (k = 1; i + k < b->count && runs[i + k]->task->tensor == first + k * one;)
            k++;
        PRELU_TRY(prelu_tensors_run(b->session, first, k, side, runs[i]->test.average, (int)width,
                                    b->scores + i * width, err));
    }
    return PRELU_OK;
}

static prelu_status keep_scores(srv_run *r, const float *scores, prelu_err *err)
{
    const size_t len = r->prepared.n_rows * srv_run_width(r) * sizeof *scores; /* they exist */
    r->scores = prelu_alloc(len);
    if (!r->scores)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu bytes of scores", len);
    memcpy(r->scores, scores, len);
    return PRELU_OK;
}

/* The pictures that ran have their scores, or failed; the rest of the batch comes next. */
static void end_some(srv_batch *b, prelu_status st, const prelu_err *err)
{
    srv_workers *w = b->w;
    const double ms = (double)b->ran * 1e-6;
    const int64_t now = srv_now();
    size_t at = 0;
    if (!st) {
        learn(b, ms);
        srv_metrics_batch(w->metrics, totals_of(b->runs + b->at, b->count).views);
    }
    for (size_t i = b->at; i < b->at + b->count; i++) {
        srv_run *r = b->runs[i];
        r->infer_ms = ms;
        r->queue_ms = fmax((double)(now - r->work.pushed - b->ran) * 1e-6, 0);
        srv_metrics_stage(w->metrics, SRV_STAGE_QUEUE, r->queue_ms * 1e-3);
        srv_metrics_stage(w->metrics, SRV_STAGE_INFER, ms * 1e-3);
        const float *scores = b->scores + at * srv_run_width(r);
        at += r->prepared.n_rows;
        prelu_status one = st;
        if (!st)
            one = prelu_prepared_mean(&r->prepared, r->model->model, scores, r->mean, &r->err);
        if (!one && r->task->heat)
            one = keep_scores(r, scores, &r->err);
        if (one)
            (void)prelu_fail(&r->err, one, "%s", err->text[0] ? err->text : prelu_status_text(one));
    }
    for (size_t i = b->at; i < b->at + b->count; i++)
        srv_run_done(b->runs[i]); /* may end what the batch borrows, so after the last use of it */
    b->at += b->count;
    b->count = 1;
    b->ran = 0;
}

/* Before the views are laid out, whoever has left, or will be late, can be taken out. */
static void drop_left(srv_batch *b)
{
    const bool crowded = srv_workers_crowded(b->w);
    size_t kept = 0;
    for (size_t i = 0; i < b->n; i++) {
        srv_run *r = b->runs[i];
        if (r->task->wanted(r->task, crowded ? r->work.cost : 0))
            b->runs[kept++] = r;
        else
            srv_run_drop(r, SRV_STAGE_QUEUE);
    }
    b->n = b->count = kept;
}

static bool all_left(const srv_batch *b)
{
    for (size_t i = b->at; i < b->n; i++)
        if (b->runs[i]->task->wanted(b->runs[i]->task, 0))
            return false;
    return true;
}

static void drop_rest(srv_batch *b)
{
    const srv_stage stage = b->passes ? SRV_STAGE_INFER : SRV_STAGE_QUEUE;
    prelu_passes_destroy(&b->passes);
    if (b->session)
        srv_session_put(b->w, b->model, b->dense, &b->session);
    for (; b->at < b->n; b->at++)
        srv_run_drop(b->runs[b->at], stage);
}

static prelu_status step(srv_batch *b, bool brief, bool *done, prelu_err *err)
{
    const prelu_pause pause = {.brief = brief, .stop = &b->stop};
    *done = true;
    return b->passes ? prelu_passes_step(b->passes, pause, done, err) : run_tensors(b, err);
}

/* A run that fails fails for all, so one picture that asks too much would take its neighbours with
 * it: then each runs alone. */
bool srv_batch_step(srv_batch *b, bool brief)
{
    prelu_err err = {0};
    bool done = false;
    if (b->at == 0 && !b->passes && !b->session)
        drop_left(b);
    if (all_left(b)) {
        drop_rest(b);
        return true;
    }
    const int64_t start = srv_now();
    prelu_status st = b->passes ? PRELU_OK : lay_out(b, &err);
    if (!st)
        st = step(b, brief, &done, &err);
    b->ran += srv_now() - start;
    if (!st && !done)
        return false;
    prelu_passes_destroy(&b->passes);
    if (st && b->count > 1) {
        b->count = 1;
        return false;
    }
    if (b->session && b->at + b->count == b->n)
        srv_session_put(b->w, b->model, b->dense, &b->session);
    end_some(b, st, &err);
    return b->at == b->n;
}

void srv_batch_free(srv_batch *b)
{
    prelu_free(b->views);
    prelu_free(b->scores);
    prelu_free(b);
}
