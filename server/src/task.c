/* A picture's way into the queue, and from its scores to what is answered. */
#define _POSIX_C_SOURCE 200809L
#include "worker_private.h"
#include "prelu/mem.h"
#include <math.h>

static const char nobody[] = "nobody waits for the answer";

void srv_smooth(_Atomic int64_t *old, int64_t now)
{
    const int64_t a = atomic_load(old);
    atomic_store(old, a ? a + (now - a) / 8 : now);
}

/* Of a failed one, what it took to see that. */
double srv_task_cost(const srv_workers *w, const srv_task *t)
{
    double cost = (double)atomic_load(&w->prepare_ns);
    for (size_t i = 0; i < t->n_runs && !t->err.code; i++) {
        const prelu_rate rate = srv_model_rate(t->runs[i].model);
        cost += prelu_rate_ms(&rate, &t->runs[i].computes) * 1e6;
    }
    return cost;
}

bool srv_workers_crowded(const srv_workers *w)
{
    return atomic_load(&w->active) > 2 * (size_t)w->opt.threads;
}

void srv_task_finish(srv_task *t)
{
    srv_workers *w = t->workers;
    for (size_t i = 0; i < t->n_runs; i++) {
        prelu_prepared_deinit(&t->runs[i].prepared);
        prelu_free(t->runs[i].scores);
    }
    if (t->err.code == PRELU_OK && t->top)
        srv_metrics_image(w->metrics, (int)t->runs[0].test.mode, t->top[0].score);
    const int64_t now = srv_now();
    srv_pace_done(&w->pace, t->cost, srv_task_cost(w, t), now);
    if (t->predicted > 0)
        srv_pace_learn(&w->pace, t->predicted, (double)(now - t->admitted));
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

void srv_run_done(srv_run *r)
{
    srv_task *t = r->task;
    if (!t->heat) /* whose map needs the picture */
        prelu_prepared_deinit(&r->prepared);
    if (atomic_fetch_sub(&t->left, 1) == 1) {
        join(t);
        srv_task_finish(t);
    }
}

void srv_run_drop(srv_run *r, srv_stage stage)
{
    if (r == r->task->runs)
        srv_metrics_cancelled(r->task->workers->metrics, stage);
    (void)prelu_fail(&r->err, PRELU_E_CANCELLED, nobody);
    srv_run_done(r);
}

size_t srv_run_width(const srv_run *r)
{
    return (size_t)prelu_average_width(r->model->model, r->test.average);
}

static prelu_status decode(srv_task *t, prelu_prepared *out, prelu_err *err)
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
    return prelu_ensemble_prepare(out, members, t->n_runs, t->jpeg, t->len, &t->workers->opt.limits,
                                  err);
}

static prelu_status prepare(srv_task *t, prelu_err *err)
{
    const size_t width = srv_run_width(&t->runs[0]);
    prelu_prepared prepared[PRELU_MAX_MEMBERS];
    size_t count;
    PRELU_TRY(prelu_mul(t->n_runs, width, &count, err));
    t->means = prelu_calloc(count, sizeof *t->means);
    if (!t->means)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu scores", count);
    PRELU_TRY(decode(t, prepared, err));
    t->info = prepared[0].info;
    for (size_t i = 0; i < t->n_runs; i++) {
        srv_run *r = &t->runs[i];
        r->task = t;
        r->prepared = prepared[i];
        r->mean = t->means + i * width;
        r->work.group = &r->model->group[t->tensor ? 2 : r->test.dense != NULL][r->test.average];
        r->work.flow = t->flow ? t->flow : &t->own_flow;
        t->n_rows += r->prepared.n_rows;
        t->decode_ms += r->prepared.decode_ms;
        t->prepare_ms += r->prepared.prepare_ms;
    }
    return PRELU_OK;
}

static void learn(srv_workers *w, const srv_task *t)
{
    const double ms = t->decode_ms + t->prepare_ms, pixels = (double)t->info.width * t->info.height;
    srv_smooth(&w->pixel_ps, (int64_t)(fmin(ms / pixels, 1) * 1e9));
    srv_smooth(&w->prepare_ns, (int64_t)(ms * 1e6) + 1);
}

void srv_task_prepare(srv_task *t)
{
    srv_workers *w = t->workers;
    if (!t->wanted(t, srv_workers_crowded(w) ? srv_task_cost(w, t) : 0)) {
        srv_metrics_cancelled(w->metrics, SRV_STAGE_DECODE);
        (void)prelu_fail(&t->err, PRELU_E_CANCELLED, nobody);
        return;
    }
    const prelu_status st = prepare(t, &t->err);
    if (st) {
        (void)prelu_fail(&t->err, st, "%s", prelu_status_text(st)); /* if it gave no text */
        return;
    }
    srv_metrics_stage(w->metrics, SRV_STAGE_DECODE, t->decode_ms * 1e-3);
    srv_metrics_stage(w->metrics, SRV_STAGE_PREPARE, t->prepare_ms * 1e-3);
    if (!t->tensor)
        learn(w, t);
    atomic_store(&t->left, t->n_runs);
}
