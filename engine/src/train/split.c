/* Fully connected layers in one process: features go there, their gradients come back, while the
 * body's pass is between forward and backward. */
#include "prelu/mem.h"
#include "train/trainer.h"
#include <math.h>

static prelu_status grow(void **block, size_t *room, size_t want, size_t size, prelu_err *err)
{
    size_t len = 0;
    if (want <= *room)
        return PRELU_OK;
    if (__builtin_mul_overflow(want, size, &len))
        return prelu_fail(err, PRELU_E_LIMIT, "trainer: features of %zu pictures", want);
    prelu_free(*block);
    *block = prelu_alloc(len);
    *room = *block ? want : 0;
    return *block ? PRELU_OK : prelu_fail(err, PRELU_E_NOMEM, "trainer: %zu bytes", len);
}

prelu_status tr_split_prepare(prelu_trainer *t, const prelu_step_share *step, prelu_err *err)
{
    const size_t row = t->features * sizeof(float);
    size_t label_room = t->rows_room;
    if (!step->exchange)
        return prelu_fail(err, PRELU_E_ARG, "trainer: a head of process 0 without an exchange");
    PRELU_TRY(grow((void **)&t->returned, &t->returned_room, step->most, row, err));
    if (step->exchange->rank)
        return PRELU_OK;
    PRELU_TRY(grow((void **)&t->row_labels, &label_room, step->all, sizeof *t->row_labels, err));
    return grow((void **)&t->rows, &t->rows_room, step->all, row, err);
}

/* On n pictures of all processes; t->rows become the gradients of what they were. */
static prelu_status run_head(tr_round *r, size_t n)
{
    prelu_trainer *t = r->t;
    prelu_session *s = t->nets[TR_HEAD].session;
    const double share = (double)n / (double)r->step->all;
    const uint64_t seed = tr_seed(t, r->judged);
    PRELU_TRY(prelu_session_reshape(s, (int64_t)n, t->o.height, t->o.width, r->err));
    PRELU_TRY(prelu_session_set_input(s, 0, t->rows, n * t->features, r->err));
    PRELU_TRY(prelu_session_set_input(s, 1, t->row_labels, n, r->err));
    prelu_session_seed(s, seed);
    PRELU_TRY(prelu_session_run(s, r->err));
    if (tr_take_loss(t, TR_HEAD, t->row_labels, n, share, r->r))
        return prelu_fail(r->err, PRELU_E_FORMAT,
                          "step %llu: the loss is not finite, first in %.80s (lower --lr?)",
                          (unsigned long long)t->steps + 1, tr_blame(t, TR_HEAD, NULL, n, seed));
    tr_accumulate(t, TR_HEAD, (float)share, r->judged == 0);
    tr_add_statistics(t, TR_HEAD, n, (float)share);
    const float *gradient = prelu_session_output(s, TR_OUTPUT_FEATURES_GRADIENT);
    for (size_t i = 0; i < n * t->features; i++)
        t->rows[i] = (float)share * gradient[i];
    r->judged += n;
    return PRELU_OK;
}

static prelu_status check_features(const tr_round *r, const float *x)
{
    prelu_trainer *t = r->t;
    float all = 0; /* 0 * inf and 0 * NaN are NaN and stay so */
    for (size_t i = 0; i < r->n * t->features; i++)
        all += 0.0f * x[i];
    if (all == 0.0f)
        return PRELU_OK;
    return prelu_fail(r->err, PRELU_E_FORMAT,
                      "step %llu: features are not finite, first in %.80s (lower --lr?)",
                      (unsigned long long)t->steps + 1,
                      tr_blame(t, TR_BODY, r->views, r->n, tr_seed(t, r->place)));
}

void tr_split_exchange(tr_round *r)
{
    prelu_trainer *t = r->t;
    const prelu_exchange *e = r->step->exchange;
    const size_t len = r->n * t->features * sizeof(float);
    const float *mine =
        r->n ? prelu_session_output(t->nets[TR_BODY].session, TR_OUTPUT_FEATURES) : NULL;
    r->exchanged = true;
    r->st = e->agree(e->ctx, check_features(r, mine), r->err);
    if (r->st)
        return;
    const size_t labels = e->gather(e->ctx, r->labels, r->n * sizeof *r->labels, t->row_labels);
    (void)e->gather(e->ctx, mine, len, t->rows);
    if (!e->rank)
        r->st = run_head(r, labels / sizeof *r->labels);
    e->scatter(e->ctx, t->rows, t->returned, len);
    if (r->n)
        prelu_session_renew(t->nets[TR_BODY].session, 1, t->returned);
}
