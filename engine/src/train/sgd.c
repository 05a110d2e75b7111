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
    for (int i = 0; i < t->n_params; i++)
        for (size_t at = 0; at < t->params[i].count; at += CHUNK) {
            size_t end = at + CHUNK < t->params[i].count ? at + CHUNK : t->params[i].count;
            t->chunks[t->n_chunks++] = (tr_chunk){i, at, end};
        }
    return PRELU_OK;
}

const float *tr_gradient(const prelu_trainer *t, const tr_param *p)
{
    return t->one_pass ? prelu_session_output(t->session, p->output) : t->gradient + p->offset;
}

typedef struct accumulate_args {
    prelu_trainer *t;
    float factor;
    bool first;
} accumulate_args;

static void accumulate_task(void *ctx, size_t task, int worker)
{
    const accumulate_args *a = ctx;
    const tr_chunk *c = &a->t->chunks[task];
    const tr_param *p = &a->t->params[c->param];
    size_t n = c->end - c->begin;
    (void)worker;
    if (p->output < 0)
        return;
    const float *restrict g = prelu_session_output(a->t->session, p->output) + c->begin;
    float *restrict sum = a->t->gradient + p->offset + c->begin;
    if (a->first)
        for (size_t i = 0; i < n; i++)
            sum[i] = a->factor * g[i];
    else
        for (size_t i = 0; i < n; i++)
            sum[i] += a->factor * g[i];
}

void tr_accumulate(prelu_trainer *t, float factor, bool first)
{
    accumulate_args a = {t, factor, first};
    prelu_pool_run(t->pool, t->n_chunks, accumulate_task, &a);
}

static void finite_task(void *ctx, size_t task, int worker)
{
    prelu_trainer *t = ctx;
    const tr_chunk *c = &t->chunks[task];
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

prelu_status tr_check_finite(prelu_trainer *t, prelu_err *err)
{
    prelu_pool_run(t->pool, t->n_chunks, finite_task, t);
    for (size_t i = 0; i < t->n_chunks; i++)
        if (!t->finite[i])
            return prelu_fail(err, PRELU_E_FORMAT,
                              "step %llu: the gradient of %s is not finite (lower --lr?)",
                              (unsigned long long)t->steps + 1, t->params[t->chunks[i].param].name);
    return PRELU_OK;
}

typedef struct update_args {
    prelu_trainer *t;
    float lr;
} update_args;

static void update_task(void *ctx, size_t task, int worker)
{
    const update_args *a = ctx;
    const prelu_trainer *t = a->t;
    const tr_chunk *c = &t->chunks[task];
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
    update_args a = {t, lr};
    prelu_pool_run(t->pool, t->n_chunks, update_task, &a);
}
