/* From views to scores, and from scores to what is answered. */
#include "prelu/classify.h"
#include "prelu/mem.h"
#include <math.h>
#include <string.h>

/* Views of one pass, however small. */
enum { PASS_VIEWS = 64 };

/* Which views run together, and where their rows go. */
struct prelu_passes {
    prelu_session *session;
    const prelu_view *views;
    int output; /* of the plan: whose rows are copied */
    size_t n, classes, rows;
    size_t *first; /* row of each view's first score, and the number of all rows */
    bool *done;    /* by view: it has run, or does */
    float *scores;
    prelu_view now[PASS_VIEWS]; /* the views that run, of one size */
    size_t pick[PASS_VIEWS];    /* their numbers */
    size_t n_now;               /* 0: a pass is to be begun */
};

static bool same_size(const prelu_view *a, const prelu_view *b)
{
    return a->width == b->width && a->height == b->height;
}

/* Views of one size have as many rows each; only different sizes need to be looked at. */
static prelu_status place_rows(prelu_passes *p, const prelu_plan *plan, prelu_err *err)
{
    prelu_plan_cost cost = {.rows = p->rows / p->n};
    bool one_size = true;
    for (size_t i = 0; i < p->n; i++) {
        if (p->views[i].width < 1 || p->views[i].height < 1)
            return prelu_fail(err, PRELU_E_ARG, "view %zu is %d x %d", i, p->views[i].width,
                              p->views[i].height);
        one_size = one_size && same_size(&p->views[i], &p->views[0]);
    }
    for (size_t i = 0; i < p->n; i++) {
        const prelu_view *v = &p->views[i];
        if (!one_size && (i == 0 || !same_size(v, v - 1)))
            PRELU_TRY(prelu_plan_measure(plan, v->height, v->width, &cost, err));
        p->first[i + 1] = p->first[i] + cost.rows;
    }
    if (p->first[p->n] != p->rows)
        return prelu_fail(err, PRELU_E_FORMAT, "%zu views give %zu rows, not %zu", p->n,
                          p->first[p->n], p->rows);
    return PRELU_OK;
}

static bool all_done(const prelu_passes *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (!p->done[i])
            return false;
    return true;
}

/* The first view that has not run, of which there is one, and others of its size. */
static void pick_views(prelu_passes *p)
{
    size_t i = 0;
    while (p->done[i])
        i++;
    const prelu_view *v = &p->views[i];
    size_t most = PRELU_PASS_PIXELS / ((size_t)v->width * (size_t)v->height);
    most = most < 1 ? 1 : most > PASS_VIEWS ? PASS_VIEWS : most;
    for (; i < p->n && p->n_now < most; i++)
        if (!p->done[i] && same_size(v, &p->views[i])) {
            p->done[i] = true;
            p->pick[p->n_now] = i;
            p->now[p->n_now++] = p->views[i];
        }
}

static prelu_status begin_pass(prelu_passes *p, prelu_err *err)
{
    prelu_session *s = p->session;
    PRELU_TRY(prelu_session_reshape(s, (int64_t)p->n_now, p->now[0].height, p->now[0].width, err));
    PRELU_TRY(prelu_session_set_views(s, p->now, p->n_now, err));
    return prelu_session_begin(s, err);
}

static prelu_status end_pass(prelu_passes *p, prelu_err *err)
{
    const size_t n = p->n_now,
                 each = (p->first[p->pick[0] + 1] - p->first[p->pick[0]]) * p->classes;
    size_t count;
    PRELU_TRY(prelu_shape_count(prelu_session_output_shape(p->session, p->output), &count, err));
    if (count != n * each)
        return prelu_fail(err, PRELU_E_FORMAT, "%zu scores of %zu views, not %zu", count, n,
                          n * each);
    const float *from = prelu_session_output(p->session, p->output);
    for (size_t i = 0; i < n; i++)
        memcpy(p->scores + p->first[p->pick[i]] * p->classes, from + i * each, each * sizeof *from);
    p->n_now = 0;
    return PRELU_OK;
}

int prelu_average_width(const prelu_model *m, prelu_average average)
{
    return average == PRELU_AVERAGE_FEATURES ? m->n_features : m->classes;
}

static int output_of(prelu_average average)
{
    return average == PRELU_AVERAGE_LOGIT      ? PRELU_OUTPUT_LOGITS
           : average == PRELU_AVERAGE_FEATURES ? PRELU_OUTPUT_FEATURES
                                               : PRELU_OUTPUT_PROB;
}

prelu_status prelu_passes_create(prelu_passes **out, prelu_session *s, const prelu_view *views,
                                 size_t n, prelu_average average, int classes, float *scores,
                                 size_t rows, prelu_err *err)
{
    prelu_status st;
    if (n < 1)
        return prelu_fail(err, PRELU_E_ARG, "%zu views to run", n);
    prelu_passes *p = prelu_calloc(1, sizeof *p);
    if (!p)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu views", n);
    p->session = s;
    p->views = views;
    p->output = output_of(average);
    p->n = n;
    p->classes = (size_t)classes;
    p->rows = rows;
    p->scores = scores;
    p->first = prelu_calloc(n + 1, sizeof *p->first);
    p->done = prelu_calloc(n, sizeof *p->done);
    if (p->first && p->done)
        st = place_rows(p, prelu_session_plan(s), err);
    else
        st = prelu_fail(err, PRELU_E_NOMEM, "%zu views", n);
    if (st)
        prelu_passes_destroy(&p);
    else
        *out = p;
    return st;
}

/* A brief step ends with its pass at the latest. */
prelu_status prelu_passes_step(prelu_passes *p, prelu_pause pause, bool *done, prelu_err *err)
{
    *done = all_done(p) && p->n_now == 0;
    while (!*done) {
        bool passed;
        if (p->n_now == 0) {
            pick_views(p);
            PRELU_TRY(begin_pass(p, err));
        }
        PRELU_TRY(prelu_session_step(p->session, pause, &passed, err));
        if (!passed)
            return PRELU_OK;
        PRELU_TRY(end_pass(p, err));
        *done = all_done(p);
        if (pause.brief)
            break;
    }
    return PRELU_OK;
}

void prelu_passes_destroy(prelu_passes **passes)
{
    prelu_passes *p = *passes;
    if (!p)
        return;
    prelu_free(p->first);
    prelu_free(p->done);
    prelu_free(p);
    *passes = NULL;
}

prelu_status prelu_views_run(prelu_session *s, const prelu_view *views, size_t n,
                             prelu_average average, int classes, float *scores, size_t rows,
                             prelu_err *err)
{
    prelu_passes *p = NULL;
    bool done;
    PRELU_TRY(prelu_passes_create(&p, s, views, n, average, classes, scores, rows, err));
    const prelu_status st = prelu_passes_step(p, (prelu_pause){.brief = false}, &done, err);
    prelu_passes_destroy(&p);
    return st;
}

prelu_status prelu_tensors_run(prelu_session *s, const float *data, size_t n, int side,
                               prelu_average average, int width, float *scores, prelu_err *err)
{
    const int output = output_of(average);
    const size_t pixels = (size_t)side * (size_t)side;
    size_t most = PRELU_PASS_PIXELS / pixels, count;
    most = most < 1 ? 1 : most > PASS_VIEWS ? PASS_VIEWS : most;
    for (size_t i = 0; i < n; i += most) {
        const size_t now = n - i < most ? n - i : most, row = now * (size_t)width;
        PRELU_TRY(prelu_session_reshape(s, (int64_t)now, side, side, err));
        PRELU_TRY(prelu_session_set_input(s, 0, data + i * 3 * pixels, now * 3 * pixels, err));
        PRELU_TRY(prelu_session_run(s, err));
        PRELU_TRY(prelu_shape_count(prelu_session_output_shape(s, output), &count, err));
        if (count != row)
            return prelu_fail(err, PRELU_E_FORMAT, "%zu scores of %zu pictures, not %zu", count,
                              now, row);
        memcpy(scores + i * (size_t)width, prelu_session_output(s, output), row * sizeof *scores);
    }
    return PRELU_OK;
}

/* Put (c, score) into the first `n` of `top`, best first; an equal score goes behind. */
static void top_insert(prelu_prediction *top, size_t n, size_t room, int c, double score)
{
    size_t at = n;
    while (at > 0 && top[at - 1].score < score)
        at--;
    if (at >= room)
        return;
    if (n == room)
        n--;
    memmove(top + at + 1, top + at, (n - at) * sizeof *top);
    top[at] = (prelu_prediction){.class_index = c, .score = score};
}

/* The mean over groups of rows of the groups' means, for class c. */
static double mean_of(const float *scores, size_t classes, size_t c, const size_t *rows, size_t n)
{
    double all = 0;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t r = 0; r < rows[i]; r++, scores += classes)
            sum += (double)scores[c];
        all += sum / (double)rows[i];
    }
    return all / (double)n;
}

static prelu_status mean_groups(double *mean, const float *scores, size_t classes,
                                const size_t *rows, size_t n_groups, prelu_err *err)
{
    bool empty = n_groups < 1;
    for (size_t i = 0; i < n_groups; i++)
        empty = empty || rows[i] < 1;
    if (empty)
        return prelu_fail(err, PRELU_E_ARG, "the mean over no rows of scores");
    for (size_t c = 0; c < classes; c++)
        mean[c] = mean_of(scores, classes, c, rows, n_groups);
    return PRELU_OK;
}

static void softmax(double *x, size_t n)
{
    double most = x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < n; i++)
        sum += x[i] = exp(x[i] - most);
    for (size_t i = 0; i < n; i++)
        x[i] /= sum;
}

/* The mean is carried along, not summed: of equal members it is their bits, however many. */
prelu_status prelu_ensemble_rank(const double *const *means, size_t n, int classes,
                                 prelu_average average, size_t top_k, prelu_prediction *top,
                                 double *mean, prelu_err *err)
{
    const size_t count = (size_t)classes;
    size_t found = 0;
    if (n < 1 || top_k < 1 || top_k > count)
        return prelu_fail(err, PRELU_E_ARG, "top %zu of %zu classes of %zu models", top_k, count,
                          n);
    for (size_t c = 0; c < count; c++) {
        double m = means[0][c];
        for (size_t i = 1; i < n; i++)
            m += (means[i][c] - m) / (double)(i + 1);
        mean[c] = m;
    }
    if (average == PRELU_AVERAGE_LOGIT)
        softmax(mean, count);
    for (size_t c = 0; c < count; c++) {
        if (!isfinite(mean[c]))
            return prelu_fail(err, PRELU_E_FORMAT, "the score of class %zu is not finite", c);
        top_insert(top, found, top_k, (int)c, mean[c]);
        found += found < top_k;
    }
    return PRELU_OK;
}

prelu_status prelu_model_rank(const prelu_model *m, const float *scores, size_t rows, size_t top_k,
                              prelu_prediction *top, double *mean, prelu_err *err)
{
    const double *const means[1] = {mean};
    PRELU_TRY(mean_groups(mean, scores, (size_t)m->classes, &rows, 1, err));
    return prelu_ensemble_rank(means, 1, m->classes, PRELU_AVERAGE_PROB, top_k, top, mean, err);
}

prelu_status prelu_prepared_mean(const prelu_prepared *p, const prelu_model *m, const float *scores,
                                 double *mean, prelu_err *err)
{
    return mean_groups(mean, scores, (size_t)prelu_average_width(m, p->average), p->rows,
                       (size_t)p->n_images, err);
}

prelu_status prelu_prepared_rank(const prelu_prepared *p, const prelu_model *m, const float *scores,
                                 size_t top_k, prelu_prediction *top, double *mean, prelu_err *err)
{
    const double *const means[1] = {mean};
    PRELU_TRY(prelu_prepared_mean(p, m, scores, mean, err));
    return prelu_ensemble_rank(means, 1, m->classes, p->average, top_k, top, mean, err);
}

prelu_status prelu_ensemble_check(const prelu_model *const *models, size_t n, prelu_err *err)
{
    for (size_t i = 1; i < n; i++) {
        const prelu_model *a = models[0], *b = models[i];
        if (a->classes != b->classes)
            return prelu_fail(err, PRELU_E_FORMAT, "model %zu has %d classes, the first %d", i + 1,
                              b->classes, a->classes);
        for (int c = 0; c < a->classes; c++)
            if (strcmp(a->labels[c].id, b->labels[c].id) != 0 ||
                strcmp(a->labels[c].label, b->labels[c].label) != 0)
                return prelu_fail(err, PRELU_E_FORMAT,
                                  "class %d is '%.40s' (%.20s) in model %zu and '%.40s' (%.20s) in "
                                  "the first",
                                  c, b->labels[c].label, b->labels[c].id, i + 1, a->labels[c].label,
                                  a->labels[c].id);
    }
    return PRELU_OK;
}
