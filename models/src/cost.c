/* What a test costs on this machine, and which one a budget pays for. */
#define _POSIX_C_SOURCE 200809L
#include "model_private.h"
#include "prelu/classify.h"
#include "prelu/mem.h"
#include <math.h>
#include <string.h>
#include <time.h>

/* Rows that reuse the weights of fc layers once they are read: the session's block of windows. */
enum { BLOCK_ROWS = 256, RATE_VIEWS = 4, RATE_ROUNDS = 3, RATE_ENOUGH = 100 };

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
        *out = (prelu_work){views, ceil(views / fmax(1, most))};
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
    return r->unit_ms * w->units + r->pass_ms * w->passes;
}

/* The fastest of some runs of n gray views: what disturbs them only adds, and little to a run of
 * RATE_ENOUGH ms, which is not repeated: a server starts while this runs. */
static prelu_status time_views(double *ms, prelu_session *s, const prelu_view *gray, size_t n,
                               prelu_err *err)
{
    prelu_view views[RATE_VIEWS];
    *ms = INFINITY;
    for (size_t i = 0; i < n; i++)
        views[i] = *gray;
    PRELU_TRY(prelu_session_reshape(s, (int64_t)n, gray->height, gray->width, err));
    for (int i = 0; i < RATE_ROUNDS && (i == 0 || *ms < RATE_ENOUGH); i++) {
        const double start = now_ms();
        PRELU_TRY(prelu_session_set_views(s, views, n, err));
        PRELU_TRY(prelu_session_run(s, err));
        *ms = fmin(*ms, now_ms() - start);
    }
    return PRELU_OK;
}

/* What a pass takes besides its views, chiefly reading the weights, is what one view takes above
 * its share of several. */
prelu_status prelu_rate_measure(prelu_rate *out, prelu_session *s, const prelu_model *m,
                                prelu_err *err)
{
    const int crop = m->preprocess.crop;
    const size_t stride = (size_t)crop * 3, len = stride * (size_t)crop;
    uint8_t *gray = prelu_alloc(len);
    double one = 0, several = 0;
    prelu_status st;
    if (!gray)
        return prelu_fail(err, PRELU_E_NOMEM, "a picture of %zu bytes", len);
    memset(gray, 128, len);
    const prelu_view view = {.data = gray, .stride = stride, .width = crop, .height = crop};
    st = time_views(&several, s, &view, RATE_VIEWS, err);
    if (!st)
        st = time_views(&one, s, &view, 1, err);
    prelu_free(gray);
    if (st)
        return st;
    const double unit = fmin(fmax(several - one, 0) / (RATE_VIEWS - 1), one);
    *out = (prelu_rate){.unit_ms = unit, .pass_ms = one - unit};
    return PRELU_OK;
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
