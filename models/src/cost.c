/* What a test costs on this machine, and which one a budget pays for. */
#define _POSIX_C_SOURCE 200809L
#include "model_private.h"
#include "prelu/classify.h"
#include "prelu/mem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Rows that reuse the weights of fc layers once they are read: the session's block of windows. */
enum { BLOCK_ROWS = 256, RATE_VIEWS = 10, RATE_ROUNDS = 9 };
/* Time for a measurement, of which there are a few at start. */
#define RATE_MS 40.0
#define RATE_TWICE_MS 100.0
/* A head's unit against a trunk's, whose convolutions save multiplications by Winograd. */
#define HEAD_GUESS 3

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Of one size, tested densely: a pass for both views or one for each. */
static prelu_status add_dense(prelu_work *w, const prelu_test *t, int width, int height, double one,
                              prelu_err *err)
{
    const size_t pixels = (size_t)width * (size_t)height;
    const double runs = 2 * pixels <= PRELU_PASS_PIXELS ? 1 : 2;
    prelu_plan_cost cost;
    PRELU_TRY(prelu_plan_measure(t->dense, height, width, &cost, err));
    w->units += 2 * cost.macs / one;
    w->head += 2 * cost.head / one;
    w->passes += runs * ceil(2 * (double)cost.rows / runs / BLOCK_ROWS);
    return PRELU_OK;
}

prelu_status prelu_test_work(prelu_work *out, const prelu_test *t, const prelu_model *m, int width,
                             int height, prelu_err *err)
{
    const int crop = m->preprocess.crop;
    const double views = t->mode == PRELU_MODE_10VIEW ? 10 : 1;
    prelu_plan_cost one;
    *out = (prelu_work){.units = 0};
    if (!t->dense) {
        const double most = floor((double)PRELU_PASS_PIXELS / ((double)crop * crop));
        *out = (prelu_work){.units = views, .passes = ceil(views / fmax(1, most))};
        return PRELU_OK;
    }
    /* a picture of crop size is one window: the work of a centre view */
    PRELU_TRY(prelu_plan_measure(t->dense, crop, crop, &one, err));
    for (int i = 0; i < t->n_scales; i++) {
        int w, h;
        PRELU_TRY(prelu_resized_size(width, height, t->scales[i], NULL, &w, &h, err));
        PRELU_TRY(add_dense(out, t, w, h, fmax(1, one.macs), err));
    }
    return PRELU_OK;
}

size_t prelu_test_units(const prelu_test *t, const prelu_model *m, int width, int height)
{
    prelu_work w;
    if (prelu_test_work(&w, t, m, width, height, NULL))
        return 1;
    return w.units <= 1 ? 1 : (size_t)ceil(w.units);
}

double prelu_rate_ms(const prelu_rate *r, const prelu_work *w)
{
    return r->unit_ms * (w->units - w->head) + r->head_ms * w->head + r->pass_ms * w->passes;
}

/* A head does without Winograd's savings, but not without filters and gathering. */
double prelu_rate_head(const prelu_rate *r, const prelu_work *w, double ms)
{
    const double others = r->unit_ms * (w->units - w->head) + r->pass_ms * w->passes;
    return w->head > 0 ? fmin(fmax((ms - others) / w->head, r->unit_ms / 4), 64 * r->unit_ms)
                       : r->unit_ms;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median time of the views, over as many rounds as a start-up can wait for; the first one,
 * which touches the memory, counts only if there is no time for another. */
static prelu_status time_views(double *ms, prelu_session *s, const prelu_view *views, size_t n,
                               const prelu_model *m, size_t rows, prelu_err *err)
{
    double took[RATE_ROUNDS], all = 0;
    size_t count, k = 0;
    prelu_status st = PRELU_OK;
    PRELU_TRY(prelu_mul(rows, (size_t)m->classes, &count, err));
    float *scores = prelu_calloc(count, sizeof *scores);
    if (!scores)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu scores", count);
    while (k < RATE_ROUNDS && all < (k == 1 ? RATE_TWICE_MS : RATE_MS) && !st) {
        const double start = now_ms();
        st = prelu_views_run(s, views, n, PRELU_AVERAGE_PROB, m->classes, scores, rows, err);
        took[k] = now_ms() - start;
        all += took[k++];
    }
    took[0] = k > 1 ? took[--k] : took[0];
    prelu_free(scores);
    qsort(took, k, sizeof *took, by_value);
    *ms = took[k / 2];
    return st;
}

/* A gray picture that the model would resize to itself, in one allocation. */
static prelu_status make_gray(prelu_image *out, const prelu_model *m, prelu_err *err)
{
    const int h = m->preprocess.resize, w = h + h / 3;
    *out = (prelu_image){.width = w, .height = h, .stride = (size_t)w * 3};
    out->data = prelu_alloc(out->stride * (size_t)h);
    if (!out->data)
        return prelu_fail(err, PRELU_E_NOMEM, "a picture of %d x %d", w, h);
    memset(out->data, 128, out->stride * (size_t)h);
    return PRELU_OK;
}

static prelu_status time_dense(prelu_rate *r, prelu_session *s, const prelu_model *m,
                               const prelu_image *gray, prelu_err *err)
{
    prelu_test t = {.mode = PRELU_MODE_DENSE};
    prelu_prepared p = {.n_images = 0};
    prelu_work w;
    double ms = 0;
    PRELU_TRY(prelu_test_resolve(&t, m, prelu_session_plan(s), err));
    PRELU_TRY(prelu_test_work(&w, &t, m, gray->width, gray->height, err));
    PRELU_TRY(prelu_model_prepare_image(&p, m, &t, gray, NULL, err));
    prelu_status st = time_views(&ms, s, p.views, p.n_views, m, p.n_rows, err);
    if (!st)
        r->head_ms = prelu_rate_head(r, &w, ms);
    prelu_prepared_deinit(&p);
    return st;
}

/* What a pass takes besides its views, chiefly reading the weights, is what one view takes above
 * its share of several. A slow network runs few times, and its head counts as its views do: runs
 * will tell. */
prelu_status prelu_rate_measure(prelu_rate *out, prelu_session *s, prelu_session *dense,
                                const prelu_model *m, prelu_err *err)
{
    prelu_rate r = {.pass_ms = 0};
    prelu_image gray;
    prelu_view views[RATE_VIEWS];
    double one = 0, several = 0;
    PRELU_TRY(make_gray(&gray, m, err));
    prelu_status st = prelu_view_center(&views[0], &gray, m->preprocess.crop, err);
    for (size_t i = 1; i < RATE_VIEWS; i++)
        views[i] = views[0];
    if (!st)
        st = time_views(&one, s, views, 1, m, 1, err);
    const bool slow = one > RATE_MS / RATE_VIEWS;
    const size_t n = slow ? 2 : RATE_VIEWS;
    if (!st)
        st = time_views(&several, s, views, n, m, n, err);
    r.unit_ms = fmin(fmax(several - one, one / 4) / (double)(n - 1), one);
    r.pass_ms = one - r.unit_ms;
    r.head_ms = HEAD_GUESS * r.unit_ms;
    if (!st && dense && !slow)
        st = time_dense(&r, dense, m, &gray, err);
    prelu_image_deinit(&gray);
    *out = r;
    return st;
}

void prelu_model_mode_order(const prelu_model *m, prelu_mode order[PRELU_MODES])
{
    double top1[PRELU_MODES];
    bool all = true;
    for (int i = 0; i < PRELU_MODES; i++) {
        order[i] = (prelu_mode)(PRELU_MODES - 1 - i);
        top1[i] = mdl_figure_top1(m->training, prelu_mode_name((prelu_mode)i));
        all = all && top1[i] >= 0;
    }
    for (int i = 1; i < PRELU_MODES && all; i++)
        for (int k = i; k > 0 && top1[order[k]] > top1[order[k - 1]]; k--) {
            const prelu_mode better = order[k];
            order[k] = order[k - 1];
            order[k - 1] = better;
        }
}

/* Every member's test in that mode, and their time together. */
static prelu_status try_mode(prelu_test *tests, prelu_mode mode, const prelu_costed *members,
                             size_t n, int width, int height, double *ms, prelu_err *err)
{
    *ms = 0;
    for (size_t i = 0; i < n; i++) {
        prelu_work w;
        tests[i] = (prelu_test){.mode = mode, .average = tests[i].average};
        PRELU_TRY(prelu_test_resolve(&tests[i], members[i].model, members[i].dense, err));
        PRELU_TRY(prelu_test_work(&w, &tests[i], members[i].model, width, height, err));
        *ms += prelu_rate_ms(&members[i].rate, &w);
    }
    return PRELU_OK;
}

prelu_status prelu_test_choose(prelu_test *tests, const prelu_costed *members, size_t n,
                               const prelu_mode order[PRELU_MODES], double budget_ms, int width,
                               int height, prelu_choice *out, prelu_err *err)
{
    for (int i = 0; i < PRELU_MODES; i++) {
        prelu_err ignored = {0}; /* a mode that the model or the picture does not allow */
        if (try_mode(tests, order[i], members, n, width, height, &out->ms, &ignored) == PRELU_OK &&
            out->ms <= budget_ms) {
            out->fits = true;
            return PRELU_OK;
        }
    }
    out->fits = false;
    return try_mode(tests, PRELU_MODE_CENTER, members, n, width, height, &out->ms, err);
}
