#include "train/trainer.h"
#include "kernels/kernels.h"
#include "prelu/mem.h"
#include <math.h>
#include <string.h>

#define STATISTICS_MOMENTUM 0.9f

/* Logical (o,c,kh,kw), memory (o,kh,kw,c); any other rank is the same in both. */
static void permute(float *dst, const float *src, const prelu_shape *s, bool to_engine)
{
    size_t n = (size_t)s->dim[0], c = (size_t)s->dim[1];
    size_t pixels = (size_t)s->dim[2] * (size_t)s->dim[3];
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < c; k++)
            for (size_t p = 0; p < pixels; p++) {
                size_t logical = (i * c + k) * pixels + p, engine = (i * pixels + p) * c + k;
                if (to_engine)
                    memcpy(&dst[engine], (const char *)src + logical * sizeof *src, sizeof *dst);
                else
                    dst[logical] = src[engine];
            }
}

static size_t count_of(const prelu_shape *s)
{
    size_t n = 1;
    for (int i = 0; i < s->rank; i++)
        n *= (size_t)s->dim[i];
    return n;
}

void tr_to_engine(float *dst, const void *src, const prelu_shape *shape)
{
    if (shape->rank == 4)
        permute(dst, src, shape, true);
    else
        memcpy(dst, src, count_of(shape) * sizeof *dst);
}

void tr_from_engine(float *dst, const float *src, const prelu_shape *shape)
{
    if (shape->rank == 4)
        permute(dst, src, shape, false);
    else
        memcpy(dst, src, count_of(shape) * sizeof *dst);
}

bool prelu_trainer_prefers_bf16(void) { return krn_table_get()->isa & KRN_AMX; }

static prelu_status check_options(const prelu_trainer_options *o, prelu_err *err)
{
    if (o->micro_batch < 0 || o->height < 1 || o->width < 1 || o->height > PRELU_MAX_SIDE ||
        o->width > PRELU_MAX_SIDE)
        return prelu_fail(err, PRELU_E_ARG, "trainer: micro-batch %d of %d x %d", o->micro_batch,
                          o->width, o->height);
    if (!(o->momentum >= 0 && o->momentum < 1))
        return prelu_fail(err, PRELU_E_ARG, "momentum %g, not in [0, 1)", (double)o->momentum);
    if (!(o->weight_decay >= 0 && o->weight_decay <= 1))
        return prelu_fail(err, PRELU_E_ARG, "weight decay %g, not in [0, 1]",
                          (double)o->weight_decay);
    if (!(o->label_smoothing >= 0 && o->label_smoothing < 1))
        return prelu_fail(err, PRELU_E_ARG, "label smoothing %g, not in [0, 1)",
                          (double)o->label_smoothing);
    return PRELU_OK;
}

static prelu_status make_blocks(prelu_trainer *t, const prelu_graph *net, prelu_err *err)
{
    t->weights = prelu_calloc(t->total, sizeof(float));
    t->velocity = prelu_calloc(t->total, sizeof(float));
    t->gradient = prelu_calloc(t->total, sizeof(float));
    t->statistics = prelu_calloc(t->norm_total, sizeof(float));
    t->batch_statistics = prelu_calloc(t->norm_total, sizeof(float));
    if (!t->weights || !t->velocity || !t->gradient || !t->statistics || !t->batch_statistics)
        return prelu_fail(err, PRELU_E_NOMEM, "trainer: 3 x %zu parameters", t->total);
    for (int i = 0; i < t->n_params; i++)
        tr_to_engine(t->weights + t->params[i].offset, net->values[t->params[i].net].data,
                     &t->params[i].shape);
    for (int i = 0; i < t->n_norms; i++) {
        const tr_norm *n = &t->norms[i];
        float *mean = t->statistics + n->offset;
        memcpy(mean, net->values[n->net_mean].data, n->count * sizeof(float));
        memcpy(mean + tr_padded(n->count), net->values[n->net_var].data, n->count * sizeof(float));
    }
    return PRELU_OK;
}

static prelu_status open_sessions(prelu_trainer *t, prelu_err *err)
{
    for (tr_part k = TR_BODY; k < (t->features ? TR_PARTS : TR_HEAD); k++)
        PRELU_TRY(prelu_session_create(&t->nets[k].session, t->nets[k].plan, t->pool, 0, err));
    for (int i = 0; i < t->n_params; i++)
        PRELU_TRY(prelu_session_bind(t->nets[t->params[i].part].session, t->params[i].var,
                                     t->weights + t->params[i].offset, err));
    return prelu_session_reshape(t->nets[TR_BODY].session, t->o.micro_batch ? t->o.micro_batch : 1,
                                 t->o.height, t->o.width, err);
}

prelu_status prelu_trainer_create(prelu_trainer **out, const prelu_graph *net, prelu_value logits,
                                  const prelu_trainer_options *options, prelu_pool *pool,
                                  prelu_err *err)
{
    prelu_status st;
    PRELU_TRY(check_options(options, err));
    prelu_trainer *t = prelu_calloc(1, sizeof *t);
    if (!t)
        return prelu_fail(err, PRELU_E_NOMEM, "trainer: %zu bytes", sizeof *t);
    t->o = *options;
    t->pool = pool;
    st = tr_build(t, net, logits, err);
    if (!st)
        st = make_blocks(t, net, err);
    if (!st)
        st = tr_chunks_make(t, err);
    if (!st)
        st = tr_order_make(t, err);
    if (!st)
        st = open_sessions(t, err);
    if (st)
        prelu_trainer_destroy(&t);
    else
        *out = t;
    return st;
}

void prelu_trainer_destroy(prelu_trainer **tp)
{
    prelu_trainer *t = tp ? *tp : NULL;
    if (!t)
        return;
    for (tr_part k = TR_BODY; k < TR_PARTS; k++) {
        prelu_session_destroy(&t->nets[k].session);
        prelu_plan_destroy(&t->nets[k].plan);
        if (t->nets[k].graph)
            prelu_graph_destroy(&t->nets[k].graph);
    }
    prelu_free(t->rows);
    prelu_free(t->row_labels);
    prelu_free(t->returned);
    for (int i = 0; i < t->n_params; i++)
        prelu_free(t->params[i].name);
    for (int i = 0; i < t->n_norms; i++)
        prelu_free(t->norms[i].name);
    prelu_free(t->params);
    prelu_free(t->norms);
    prelu_free(t->chunks);
    prelu_free(t->finite);
    prelu_free(t->ready);
    prelu_free(t->weights);
    prelu_free(t->velocity);
    prelu_free(t->gradient);
    prelu_free(t->statistics);
    prelu_free(t->batch_statistics);
    prelu_free(t);
    *tp = NULL;
}

/* The running variance is that of the population: the batch's times m / (m - 1), m values per
 * channel. */
void tr_add_statistics(prelu_trainer *t, tr_part part, size_t n, float share)
{
    const prelu_session *s = t->nets[part].session;
    for (int i = 0; i < t->n_norms; i++) {
        const tr_norm *norm = &t->norms[i];
        if (norm->part != part)
            continue;
        const float *mean = prelu_session_output(s, norm->output);
        const float *var = prelu_session_output(s, norm->output + 1);
        float *sum = t->batch_statistics + norm->offset;
        float *sum_var = sum + tr_padded(norm->count);
        double m = (double)n * (double)norm->positions;
        float unbiased = (float)(m > 1 ? m / (m - 1) : 1);
        for (size_t k = 0; k < norm->count; k++) {
            sum[k] += share * mean[k];
            sum_var[k] += share * unbiased * var[k];
        }
    }
}

static void update_statistics(prelu_trainer *t)
{
    for (size_t i = 0; i < t->norm_total; i++)
        t->statistics[i] = STATISTICS_MOMENTUM * t->statistics[i] +
                           (1 - STATISTICS_MOMENTUM) * t->batch_statistics[i];
}

static size_t count_correct(const prelu_trainer *t, const float *prob, const int32_t *labels,
                            size_t n)
{
    size_t classes = (size_t)t->classes, correct = 0;
    for (size_t i = 0; i < n; i++) {
        const float *row = prob + i * classes;
        size_t best = 0;
        for (size_t k = 1; k < classes; k++)
            if (row[k] > row[best])
                best = k;
        correct += best == (size_t)labels[i];
    }
    return correct;
}

prelu_status tr_take_loss(prelu_trainer *t, tr_part part, const int32_t *labels, size_t n,
                          double share, prelu_step_result *r)
{
    const prelu_session *s = t->nets[part].session;
    const double loss = prelu_session_output(s, TR_OUTPUT_LOSS)[0];
    if (!isfinite(loss))
        return PRELU_E_FORMAT;
    r->loss += loss * share;
    r->correct += count_correct(t, prelu_session_output(s, TR_OUTPUT_PROB), labels, n);
    return PRELU_OK;
}

/* What a pass tells the other processes as its layers come. */
typedef struct outgoing {
    prelu_trainer *t;
    const prelu_exchange *exchange;
    tr_round *round; /* NULL: no head of process 0's */
    bool send;       /* the last pass of a part of a step: sums begin as gradients come */
    float factor;
    bool first;
    int next; /* of t->ready */
} outgoing;

static void send_gradients(outgoing *o, int layer)
{
    prelu_trainer *t = o->t;
    for (; o->next < t->n_ready; o->next++) {
        const tr_param *p = &t->params[t->ready[o->next]];
        if (prelu_plan_output_layer(t->nets[TR_BODY].plan, p->output) > layer)
            break;
        tr_accumulate_param(t, p, o->factor, o->first);
        o->exchange->begin_sum(o->exchange->ctx, t->gradient + p->offset, p->count);
    }
    o->exchange->progress(o->exchange->ctx);
}

static void on_layer(void *ctx, int layer)
{
    outgoing *o = ctx;
    const prelu_plan *plan = o->t->nets[TR_BODY].plan;
    if (o->round && !o->round->exchanged &&
        layer >= prelu_plan_output_layer(plan, TR_OUTPUT_FEATURES))
        tr_split_exchange(o->round);
    if (o->send)
        send_gradients(o, layer);
}

/* A step's part as one process goes through it. */
typedef struct part {
    const prelu_view *views;
    const int32_t *labels;
    size_t n;
    const prelu_step_share *step;
    size_t judged; /* by a head: tr_round */
} part;

/* Forward and backward over pictures begin..begin+n-1 of a part. @param last  of the part. */
static prelu_status pass(prelu_trainer *t, part *p, size_t begin, size_t n, bool last,
                         prelu_step_result *r, prelu_err *err)
{
    const double share = (double)n / (double)p->step->all;
    const size_t place = p->step->first + begin;
    tr_round round = {.t = t,
                      .step = p->step,
                      .views = p->views + begin,
                      .labels = p->labels + begin,
                      .n = n,
                      .place = place,
                      .judged = p->judged,
                      .r = r,
                      .err = err};
    outgoing o = {.t = t,
                  .exchange = p->step->exchange,
                  .round = t->features ? &round : NULL,
                  .send = last && p->step->exchange,
                  .factor =
                      t->features ? 1.0f : (float)share, /* a head has weighed its gradients */
                  .first = begin == 0};
    prelu_session *s = t->nets[TR_BODY].session;
    const void *second = t->features ? (const void *)t->returned : p->labels + begin;
    PRELU_TRY(prelu_session_reshape(s, (int64_t)n, t->o.height, t->o.width, err));
    PRELU_TRY(prelu_session_set_views(s, p->views + begin, n, err));
    PRELU_TRY(prelu_session_set_input(s, 1, second, t->features ? n * t->features : n, err));
    prelu_session_seed(s, tr_seed(t, place));
    prelu_session_watch(s, o.round || o.send ? on_layer : NULL, &o);
    PRELU_TRY(prelu_session_run(s, err));
    PRELU_TRY(round.st);
    p->judged = round.judged;
    if (!o.round && tr_take_loss(t, TR_BODY, p->labels + begin, n, share, r))
        return prelu_fail(err, PRELU_E_FORMAT,
                          "step %llu: the loss is not finite, first in %.80s (lower --lr?)",
                          (unsigned long long)t->steps + 1,
                          tr_blame(t, TR_BODY, p->views + begin, n, tr_seed(t, place)));
    /* what is summed must be in one place */
    t->one_pass = n == p->step->all && !p->step->exchange;
    if (!t->one_pass && !o.send)
        tr_accumulate(t, TR_BODY, o.factor, begin == 0);
    tr_add_statistics(t, TR_BODY, n, (float)share);
    return PRELU_OK;
}

/* A round in which this process has no pictures, and others have. */
static prelu_status no_pass(prelu_trainer *t, part *p, prelu_step_result *r, prelu_err *err)
{
    tr_round round = {.t = t, .step = p->step, .judged = p->judged, .r = r, .err = err};
    tr_split_exchange(&round);
    p->judged = round.judged;
    return round.st;
}

/* Each process sums, judges and updates what it owns. @param idle  it had no pictures, and has sent
 *  nothing yet. */
static prelu_status update_together(prelu_trainer *t, bool idle, float lr, const prelu_exchange *e,
                                    prelu_err *err)
{
    for (int i = 0; idle && i < t->n_ready; i++) {
        const tr_param *p = &t->params[t->ready[i]];
        memset(t->gradient + p->offset, 0, p->count * sizeof(float));
        e->begin_sum(e->ctx, t->gradient + p->offset, p->count);
    }
    e->finish_sums(e->ctx);
    e->sum(e->ctx, t->batch_statistics, t->norm_total);
    PRELU_TRY(e->agree(e->ctx, tr_check_finite(t, e, err), err));
    tr_update_owned(t, lr, e);
    return PRELU_OK;
}

void prelu_trainer_collect(prelu_trainer *t, const prelu_exchange *e)
{
    for (int i = 0; i < t->n_ready; i++) {
        const tr_param *p = &t->params[t->ready[i]];
        e->begin_spread(e->ctx, t->velocity + p->offset, p->count);
    }
    e->finish_spreads(e->ctx);
}

void prelu_trainer_share(prelu_trainer *t, const prelu_exchange *e)
{
    for (int i = 0; i < t->n_params; i++)
        if (t->params[i].part == TR_HEAD)
            e->broadcast(e->ctx, t->weights + t->params[i].offset, t->params[i].count);
}

prelu_status prelu_trainer_step(prelu_trainer *t, const prelu_view *views, const int32_t *labels,
                                size_t n, float lr, prelu_step_result *result, prelu_err *err)
{
    const prelu_step_share whole = {.all = n, .most = n};
    return prelu_trainer_step_shared(t, views, labels, n, &whole, lr, result, err);
}

prelu_status prelu_trainer_step_shared(prelu_trainer *t, const prelu_view *views,
                                       const int32_t *labels, size_t n,
                                       const prelu_step_share *share, float lr,
                                       prelu_step_result *result, prelu_err *err)
{
    prelu_step_result r = {0};
    part p = {.views = views, .labels = labels, .n = n, .step = share};
    /* with a head all processes go through as many rounds */
    const size_t most = t->features ? share->most : n;
    const size_t micro = t->o.micro_batch ? (size_t)t->o.micro_batch : most;
    const size_t passes = most ? (most + micro - 1) / micro : 0;
    if (!share->all)
        return prelu_fail(err, PRELU_E_ARG, "trainer: a step on no pictures");
    if (!(lr >= 0 && lr < INFINITY))
        return prelu_fail(err, PRELU_E_ARG, "learning rate %g", (double)lr);
    for (size_t i = 0; i < n; i++)
        if (labels[i] < 0 || labels[i] >= t->classes)
            return prelu_fail(err, PRELU_E_ARG, "label %d of %d classes", labels[i], t->classes);
    if (t->features)
        PRELU_TRY(tr_split_prepare(t, share, err));
    memset(t->batch_statistics, 0, t->norm_total * sizeof(float));
    t->one_pass = false;
    for (size_t i = 0; i < passes; i++) {
        /* passes of even size: BatchNorm would suffer from a last one of few pictures */
        size_t begin = i * n / passes, end = (i + 1) * n / passes;
        if (end > begin)
            PRELU_TRY(pass(t, &p, begin, end - begin, i + 1 == passes, &r, err));
        else
            PRELU_TRY(no_pass(t, &p, &r, err));
    }
    if (share->exchange) {
        PRELU_TRY(update_together(t, n == 0, lr, share->exchange, err));
    } else {
        PRELU_TRY(tr_check_finite(t, NULL, err));
        tr_update(t, lr);
    }
    update_statistics(t);
    t->steps++;
    if (result)
        *result = r;
    return PRELU_OK;
}

uint64_t prelu_trainer_steps(const prelu_trainer *t) { return t->steps; }

/* Give a constant of `net` new data, row-major, owned by the graph. */
static prelu_status replace(prelu_graph *net, prelu_value v, const float *src,
                            const prelu_shape *shape, prelu_err *err)
{
    prelu_value_info *info = &net->values[v];
    size_t len = count_of(shape) * sizeof(float);
    if (!info->owns_data) {
        float *mine = prelu_alloc(len);
        if (!mine)
            return prelu_fail(err, PRELU_E_NOMEM, "export of %.80s: %zu bytes", info->name, len);
        info->data = mine;
        info->owns_data = true;
    }
    tr_from_engine((float *)info->data, src, shape);
    return PRELU_OK;
}

prelu_status prelu_trainer_export(const prelu_trainer *t, prelu_graph *net, prelu_err *err)
{
    for (int i = 0; i < t->n_params; i++) {
        const tr_param *p = &t->params[i];
        if (p->net >= net->n_values || !net->values[p->net].is_constant ||
            !prelu_shape_equal(&net->values[p->net].shape, &p->shape))
            return prelu_fail(err, PRELU_E_ARG, "export: the graph is not the trainer's (%.80s)",
                              p->name);
        PRELU_TRY(replace(net, p->net, t->weights + p->offset, &p->shape, err));
    }
    for (int i = 0; i < t->n_norms; i++) {
        const tr_norm *n = &t->norms[i];
        const prelu_shape shape = {.rank = 1, .dim = {(int64_t)n->count}};
        const float *mean = t->statistics + n->offset;
        if (n->net_mean >= net->n_values || n->net_var >= net->n_values)
            return prelu_fail(err, PRELU_E_ARG, "export: the graph is not the trainer's");
        PRELU_TRY(replace(net, n->net_mean, mean, &shape, err));
        PRELU_TRY(replace(net, n->net_var, mean + tr_padded(n->count), &shape, err));
    }
    return PRELU_OK;
}
