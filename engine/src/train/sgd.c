/* The arithmetic on parameters: gradients summed over micro-batches, checked, applied. Work is cut
 * into chunks of fixed size, so results do not depend on the number of threads. */
#include "prelu/mem.h"
#include "train/trainer.h"
#include <math.h>

#define CHUNK ((size_t)1 << 15)

prelu_status tr_chunks_make(prelu_trainer *t, prelu_err *err)
{
    size_t n = 0;
    for (int i = 0; i < t->n_params; i++)
        n += (t->params[i].count + CHUNK - 1) / CHUNK;
    t->chunks = prelu_calloc(n, sizeof *t->chunks);
    t->finite = prelu_calloc(n, 1);
    if (!t->chunks || !t->finite)
        return prelu_fail(err, PRELU_E_NOMEM, "trainer: %zu chunks", n);
    for (int i = 0; i < t->n_params; i++) {
        t->params[i].first_chunk = t->n_chunks;
        t->params[i].n_chunks = (t->params[i].count + CHUNK - 1) / CHUNK;
        for (size_t at = 0; at < t->params[i].count; at += CHUNK) {
            size_t end = at + CHUNK < t->params[i].count ? at + CHUNK : t->params[i].count;
            t->chunks[t->n_chunks++] = (tr_chunk){i, at, end};
        }
    }
    return PRELU_OK;
}

static int layer_of(const prelu_trainer *t, int param)
{
    return prelu_plan_output_layer(t->nets[TR_BODY].plan, t->params[param].output);
}

prelu_status tr_order_make(prelu_trainer *t, prelu_err *err)
{
    t->ready = prelu_calloc((size_t)t->n_params + 1, sizeof *t->ready);
    if (!t->ready)
        return prelu_fail(err, PRELU_E_NOMEM, "trainer: %d parameters", t->n_params);
    for (int i = 0; i < t->n_params; i++) {
        int at = t->n_ready;
        if (t->params[i].output < 0 || t->params[i].part == TR_HEAD)
            continue;
        for (; at > 0 && layer_of(t, t->ready[at - 1]) > layer_of(t, i); at--)
            t->ready[at] = t->ready[at - 1];
        t->ready[at] = i;
        t->n_ready++;
    }
    return PRELU_OK;
}

static const float *output_of(const prelu_trainer *t, const tr_param *p)
{
    return prelu_session_output(t->nets[p->part].session, p->output);
}

const float *tr_gradient(const prelu_trainer *t, const tr_param *p)
{
    return t->one_pass ? output_of(t, p) : t->gradient + p->offset;
}

typedef struct accumulate_args {
    prelu_trainer *t;
    tr_part part;
    float factor;
    bool first;
    size_t from; /* chunk */
} accumulate_args;

static void accumulate_task(void *ctx, size_t task, int worker)
{
    const accumulate_args *a = ctx;
    const tr_chunk *c = &a->t->chunks[a->from + task];
    const tr_param *p = &a->t->params[c->param];
    size_t n = c->end - c->begin;
    (void)worker;
    if (p->output < 0 || p->part != a->part)
        return;
    const float *restrict g = output_of(a->t, p) + c->begin;
    float *restrict sum = a->t->gradient + p->offset + c->begin;
    if (a->first)
        for (size_t i = 0; i < n; i++)
            sum[i] = a->factor * g[i];
    else
        for (size_t i = 0; i < n; i++)
            sum[i] += a->factor * g[i];
}

void tr_accumulate(prelu_trainer *t, tr_part part, float factor, bool first)
{
    accumulate_args a = {t, part, factor, first, 0};
    prelu_pool_run(t->pool, t->n_chunks, accumulate_task, &a);
}

void tr_accumulate_param(prelu_trainer *t, const tr_param *p, float factor, bool first)
{
    accumulate_args a = {t, p->part, factor, first, p->first_chunk};
    prelu_pool_run(t->pool, p->n_chunks, accumulate_task, &a);
}

/* The part of a chunk that is this process' own. */
static tr_chunk owned(const prelu_trainer *t, size_t chunk, const prelu_exchange *e)
{
    tr_chunk c = t->chunks[chunk];
    if (!e)
        return c;
    if (t->params[c.param].part == TR_HEAD) {
        c.end = e->rank ? c.begin : c.end;
        return c;
    }
    const size_t count = t->params[c.param].count;
    const size_t from = prelu_owned(count, e->rank, e->size);
    const size_t to = prelu_owned(count, e->rank + 1, e->size);
    c.begin = c.begin > from ? c.begin : from;
    c.end = c.end < to ? c.end : to;
    c.end = c.end > c.begin ? c.end : c.begin;
    return c;
}

/* Chunks from `from` on: those of one parameter, or of all. */
typedef struct update_args {
    prelu_trainer *t;
    float lr;
    const prelu_exchange *exchange;
    size_t from;
} update_args;

static void finite_task(void *ctx, size_t task, int worker)
{
    const update_args *a = ctx;
    prelu_trainer *t = a->t;
    const tr_chunk own = owned(t, task, a->exchange), *c = &own;
    const tr_param *p = &t->params[c->param];
    float sum[16] = {0}; /* 0 * inf and 0 * NaN are NaN and stay so */
    float all = 0;
    size_t i = c->begin;
    (void)worker;
    t->finite[task] = 1;
    if (p->output < 0)
        return;
    const float *g = tr_gradient(t, p);
    for (; i + 16 <= c->end; i += 16)
        for (size_t k = 0; k < 16; k++)
            sum[k] += 0.0f * g[i + k];
    for (; i < c->end; i++)
        all += 0.0f * g[i];
    for (size_t k = 0; k < 16; k++)
        all += sum[k];
    t->finite[task] = all == 0.0f;
}

prelu_status tr_check_finite(prelu_trainer *t, const prelu_exchange *e, prelu_err *err)
{
    update_args a = {.t = t, .exchange = e};
    prelu_pool_run(t->pool, t->n_chunks, finite_task, &a);
    for (size_t i = 0; i < t->n_chunks; i++)
        if (!t->finite[i])
            return prelu_fail(err, PRELU_E_FORMAT,
                              "step %llu: the gradient of %s is not finite (lower --lr?)",
                              (unsigned long long)t->steps + 1, t->params[t->chunks[i].param].name);
    return PRELU_OK;
}

static void update_task(void *ctx, size_t task, int worker)
{
    const update_args *a = ctx;
    const prelu_trainer *t = a->t;
    const tr_chunk own = owned(t, a->from + task, a->exchange), *c = &own;
    const tr_param *p = &t->params[c->param];
    const float momentum = t->o.momentum, lr = a->lr;
    const float decay = p->role == PRELU_ROLE_WEIGHT ? t->o.weight_decay : 0.0f;
    float *restrict v = t->velocity + p->offset;
    float *restrict w = t->weights + p->offset;
    (void)worker;
    if (p->output < 0)
        return;
    const float *restrict g = tr_gradient(t, p);
    if (t->o.nesterov) {
        for (size_t i = c->begin; i < c->end; i++) {
            float slope = g[i] + decay * w[i], step = momentum * v[i] + slope;
            v[i] = step;
            w[i] -= lr * (slope + momentum * step);
        }
        return;
    }
    for (size_t i = c->begin; i < c->end; i++) {
        float step = momentum * v[i] + (g[i] + decay * w[i]);
        v[i] = step;
        w[i] -= lr * step;
    }
}

void tr_update(prelu_trainer *t, float lr)
{
    update_args a = {.t = t, .lr = lr};
    prelu_pool_run(t->pool, t->n_chunks, update_task, &a);
}

void tr_update_owned(prelu_trainer *t, float lr, const prelu_exchange *e)
{
    update_args a = {.t = t, .lr = lr, .exchange = e};
    for (int i = 0; i < t->n_ready; i++) {
        const tr_param *p = &t->params[t->ready[i]];
        a.from = p->first_chunk;
        prelu_pool_run(t->pool, p->n_chunks, update_task, &a);
        e->begin_spread(e->ctx, t->weights + p->offset, p->count);
    }
    for (int i = 0; i < t->n_params && !e->rank; i++) {
        a.from = t->params[i].first_chunk;
        if (t->params[i].part == TR_HEAD)
            prelu_pool_run(t->pool, t->params[i].n_chunks, update_task, &a);
    }
    e->finish_spreads(e->ctx);
}
