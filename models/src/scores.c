/* From views to scores, and from scores to what is answered. */
#include "prelu/classify.h"
#include "prelu/mem.h"
#include <math.h>
#include <string.h>

/* Views of one pass, however small. */
enum { PASS_VIEWS = 64 };

/* Which views run together, and where their rows go. */
typedef struct passes {
    const prelu_view *views;
    int output; /* of the plan: whose rows are copied */
    size_t n, classes, rows;
    size_t *first; /* row of each view's first score, and the number of all rows */
    bool *done;
    float *scores;
} passes;

static bool same_size(const prelu_view *a, const prelu_view *b)
{
    return a->width == b->width && a->height == b->height;
}

/* Views of one size have as many rows each; only different sizes need to be looked at. */
static prelu_status place_rows(passes *p, const prelu_plan *plan, prelu_err *err)
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

/* The views of number pick[0..n-1], which have one size. */
static prelu_status run_pass(prelu_session *s, const passes *p, const size_t *pick, size_t n,
                             prelu_err *err)
{
    prelu_view views[PASS_VIEWS];
    size_t count, each = (p->first[pick[0] + 1] - p->first[pick[0]]) * p->classes;
    for (size_t i = 0; i < n; i++)
        views[i] = p->views[pick[i]];
    PRELU_TRY(prelu_session_reshape(s, (int64_t)n, views[0].height, views[0].width, err));
    PRELU_TRY(prelu_session_set_views(s, views, n, err));
    PRELU_TRY(prelu_session_run(s, err));
    PRELU_TRY(prelu_shape_count(prelu_session_output_shape(s, p->output), &count, err));
    if (count != n * each)
        return prelu_fail(err, PRELU_E_FORMAT, "%zu scores of %zu views, not %zu", count, n,
                          n * each);
    const float *from = prelu_session_output(s, p->output);
    for (size_t i = 0; i < n; i++)
        memcpy(p->scores + p->first[pick[i]] * p->classes, from + i * each, each * sizeof *from);
    return PRELU_OK;
}

static prelu_status run_passes(prelu_session *s, const passes *p, prelu_err *err)
{
    for (size_t i = 0; i < p->n; i++) {
        const prelu_view *v = &p->views[i];
        size_t pick[PASS_VIEWS], n = 0;
        size_t most = PRELU_PASS_PIXELS / ((size_t)v->width * (size_t)v->height);
        most = most < 1 ? 1 : most > PASS_VIEWS ? PASS_VIEWS : most;
        for (size_t k = i; k < p->n && n < most && !p->done[i]; k++)
            if (!p->done[k] && same_size(v, &p->views[k]))
                pick[n++] = k;
        for (size_t k = 0; k < n; k++)
            p->done[pick[k]] = true;
        if (n)
            PRELU_TRY(run_pass(s, p, pick, n, err));
    }
    return PRELU_OK;
}

prelu_status prelu_views_run(prelu_session *s, const prelu_view *views, size_t n,
                             prelu_average average, int classes, float *scores, size_t rows,
                             prelu_err *err)
{
    const bool logits = average == PRELU_AVERAGE_LOGIT;
    passes p = {.views = views,
                .output = logits ? PRELU_OUTPUT_LOGITS : PRELU_OUTPUT_PROB,
                .n = n,
                .classes = (size_t)classes,
                .rows = rows,
                .scores = scores};
    prelu_status st;
    if (n < 1)
        return prelu_fail(err, PRELU_E_ARG, "%zu views to run", n);
    p.first = prelu_calloc(n + 1, sizeof *p.first);
    p.done = prelu_calloc(n, sizeof *p.done);
    if (p.first && p.done)
        st = place_rows(&p, prelu_session_plan(s), err);
    else
        st = prelu_fail(err, PRELU_E_NOMEM, "%zu views", n);
    if (!st)
        st = run_passes(s, &p, err);
    prelu_free(p.first);
    prelu_free(p.done);
    return st;
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
    return mean_groups(mean, scores, (size_t)m->classes, p->rows, (size_t)p->n_images, err);
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
