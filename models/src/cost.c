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
enum { BLOCK_ROWS = 256, RATE_VIEWS = 10, RATE_ROUNDS = 9, RATE_LEAST = 3 };
/* Time for a measurement, of which there are a few at start, and for RATE_LEAST rounds of it. */
#define RATE_MS 40.0
#define RATE_LONG_MS 120.0

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
    w->whole += 2 * (cost.macs - cost.head) / one;
    w->windows += 2 * (double)cost.rows;
    w->passes += runs * ceil(2 * (double)cost.rows / runs / BLOCK_ROWS);
    return PRELU_OK;
}

void prelu_work_add(prelu_work *sum, const prelu_work *w)
{
    sum->units += w->units;
    sum->whole += w->whole;
    sum->head += w->head;
    sum->windows += w->windows;
    sum->passes += w->passes;
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

prelu_status prelu_test_bytes(size_t *out, const prelu_test *t, const prelu_model *m,
                              const prelu_plan *plan, prelu_pool *pool, int width, int height,
                              prelu_err *err)
{
    const size_t picture = (size_t)width * (size_t)height, crop = (size_t)m->preprocess.crop;
    const size_t rgb = 3, coefficients = 2 * rgb;
    size_t pixels = 0, rows = t->mode == PRELU_MODE_10VIEW ? 10 : 1, most = 0;
    for (int i = 0; i < (t->dense ? t->n_scales : 1); i++) {
        size_t bytes, n;
        int w, h;
        prelu_plan_cost cost;
        PRELU_TRY(prelu_resized_size(width, height, t->dense ? t->scales[i] : m->preprocess.resize,
                                     NULL, &w, &h, err));
        pixels += (size_t)w * (size_t)h;
        if (t->dense) {
            n = 2 * (size_t)w * (size_t)h <= PRELU_PASS_PIXELS ? 2 : 1;
            PRELU_TRY(prelu_plan_measure(t->dense, h, w, &cost, err));
            rows += 2 * cost.rows;
            PRELU_TRY(prelu_session_measure(t->dense, pool, (int64_t)n, h, w, &bytes, err));
        } else {
            n = PRELU_PASS_PIXELS / (crop * crop);
            n = n < 1 ? 1 : n < rows ? n : rows;
            PRELU_TRY(prelu_session_measure(plan, pool, (int64_t)n, (int64_t)crop, (int64_t)crop,
                                            &bytes, err));
        }
        most = bytes > most ? bytes : most;
    }
    *out = picture * (rgb + coefficients) + pixels * rgb + most +
           rows * (size_t)m->classes * sizeof(float);
    return PRELU_OK;
}

double prelu_rate_ms(const prelu_rate *r, const prelu_work *w)
{
    return r->unit_ms * (w->units - w->whole - w->head) + r->whole_ms * w->whole +
           r->window_ms * w->windows + r->pass_ms * w->passes;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Some views, run several times. */
typedef struct trial {
    prelu_session *s;
    const prelu_view *views;
    size_t n, rows;
    double ms;   /* median */
    double head; /* which part of it the layers on windows take */
} trial;

static prelu_status run_trial(trial *t, const prelu_model *m, float *scores, double *seconds,
                              prelu_err *err)
{
    const prelu_plan *plan = prelu_session_plan(t->s);
    double took[RATE_ROUNDS], all = 0, head = 0;
    size_t k = 0;
    prelu_status st = PRELU_OK;
    prelu_session_clock(t->s, seconds);
    while (k < RATE_ROUNDS && all < (k < RATE_LEAST ? RATE_LONG_MS : RATE_MS) && !st) {
        const double start = now_ms();
        st = prelu_views_run(t->s, t->views, t->n, PRELU_AVERAGE_PROB, m->classes, scores, t->rows,
                             err);
        took[k] = now_ms() - start;
        all += took[k++];
    }
    prelu_session_clock(t->s, NULL);
    for (int i = prelu_plan_head(plan); i < prelu_plan_layers(plan); i++)
        head += 1e3 * seconds[i];
    qsort(took, k, sizeof *took, by_value);
    t->ms = took[k / 2];
    t->head = fmin(head / all, 1);
    return st;
}

static prelu_status try_views(trial *t, const prelu_model *m, prelu_err *err)
{
    size_t count, layers = (size_t)prelu_plan_layers(prelu_session_plan(t->s)) + 1;
    PRELU_TRY(prelu_mul(t->rows, (size_t)m->classes, &count, err));
    float *scores = prelu_calloc(count, sizeof *scores);
    double *seconds = prelu_calloc(layers, sizeof *seconds);
    prelu_status st = PRELU_OK;
    if (!scores || !seconds)
        st = prelu_fail(err, PRELU_E_NOMEM, "%zu scores", count);
    if (!st)
        st = run_trial(t, m, scores, seconds, err);
    prelu_free(scores);
    prelu_free(seconds);
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

static size_t few_views(double ms)
{
    return RATE_VIEWS * ms <= RATE_MS ? RATE_VIEWS : 2 * ms <= RATE_LONG_MS ? 4 : 2;
}

/* What a pass takes besides its views, chiefly reading the weights, is what one view takes above
 * its share of several. The first run touches the memory and tells how many that may be. */
static prelu_status time_views(prelu_rate *r, prelu_session *s, const prelu_model *m,
                               const prelu_image *gray, prelu_err *err)
{
    prelu_view views[RATE_VIEWS];
    trial first = {.s = s, .views = views, .n = 1, .rows = 1}, one = first, several = first;
    PRELU_TRY(prelu_view_center(&views[0], gray, m->preprocess.crop, err));
    for (size_t i = 1; i < RATE_VIEWS; i++)
        views[i] = views[0];
    PRELU_TRY(try_views(&first, m, err));
    several.n = several.rows = few_views(first.ms);
    PRELU_TRY(try_views(&several, m, err));
    PRELU_TRY(try_views(&one, m, err));
    r->unit_ms = fmin(fmax(several.ms - one.ms, one.ms / 4) / (double)(several.n - 1), one.ms);
    r->pass_ms = one.ms - r->unit_ms;
    return PRELU_OK;
}

/* A fully connected layer on a block of windows, as wide as takes a few milliseconds. */
enum { FC_IN = 4096, FC_OUT = 512 };

static prelu_status make_fc(prelu_graph **out, const float *weights, prelu_err *err)
{
    const prelu_shape x = {2, {-1, FC_IN}}, w = {2, {FC_OUT, FC_IN}};
    const prelu_attr turned = PRELU_INT("transB", 1);
    prelu_value in[2], y;
    PRELU_TRY(prelu_graph_create(out, err));
    PRELU_TRY(prelu_graph_input(*out, "x", PRELU_F32, &x, &in[0], err));
    PRELU_TRY(prelu_graph_constant(*out, "w", PRELU_F32, &w, weights, false, PRELU_ROLE_WEIGHT,
                                   &in[1], err));
    PRELU_TRY(prelu_graph_add(*out, "Gemm", "fc", in, 2, &turned, 1, NULL, &y, 1, err));
    return prelu_graph_output(*out, y, err);
}

/* The median time of a block through a session that is ready. */
static prelu_status time_block(double *ms, prelu_session *s, const float *rows, prelu_err *err)
{
    double took[RATE_ROUNDS], all = 0;
    size_t k = 0;
    PRELU_TRY(prelu_session_reshape(s, BLOCK_ROWS, 1, 1, err));
    PRELU_TRY(prelu_session_set_input(s, 0, rows, (size_t)BLOCK_ROWS * FC_IN, err));
    PRELU_TRY(prelu_session_run(s, err));
    while (k < RATE_ROUNDS && all < RATE_MS) {
        const double start = now_ms();
        PRELU_TRY(prelu_session_run(s, err));
        took[k] = now_ms() - start;
        all += took[k++];
    }
    qsort(took, k, sizeof *took, by_value);
    *ms = took[k / 2];
    return PRELU_OK;
}

static prelu_status time_fc(double *mac_ms, prelu_precision precision, prelu_pool *pool,
                            prelu_err *err)
{
    const size_t count = (size_t)FC_IN * (FC_OUT + BLOCK_ROWS);
    const prelu_plan_options o = {.precision = precision, .pool = pool};
    float *data = prelu_alloc(count * sizeof *data);
    prelu_graph *g = NULL;
    prelu_plan *plan = NULL;
    prelu_session *s = NULL;
    double ms = 0;
    if (!data)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu numbers", count);
    for (size_t i = 0; i < count; i++)
        data[i] = (float)(i % 251) / 251 - 0.5f;
    prelu_status st = make_fc(&g, data, err);
    if (!st)
        st = prelu_plan_create(&plan, g, &o, err);
    if (!st)
        st = prelu_session_create(&s, plan, pool, 0, err);
    if (!st)
        st = time_block(&ms, s, data + (size_t)FC_IN * FC_OUT, err);
    *mac_ms = ms / ((double)BLOCK_ROWS * FC_IN * FC_OUT);
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
    prelu_graph_destroy(&g);
    prelu_free(data);
    return st;
}

/* By a whole picture and its mirror image. The first run touches the memory. */
static prelu_status time_whole(prelu_rate *r, prelu_session *s, const prelu_model *m,
                               const prelu_test *t, const prelu_work *w, const prelu_image *gray,
                               prelu_err *err)
{
    prelu_prepared p = {.n_images = 0};
    PRELU_TRY(prelu_model_prepare_image(&p, m, t, gray, NULL, err));
    trial whole = {.s = s, .views = p.views, .n = p.n_views, .rows = p.n_rows};
    prelu_status st = try_views(&whole, m, err);
    if (!st)
        st = try_views(&whole, m, err);
    prelu_prepared_deinit(&p);
    const double head = whole.head * whole.ms, rest = whole.ms - head - r->pass_ms * w->passes;
    r->window_ms = head / w->windows;
    r->whole_ms = fmax(rest, whole.ms / 4) / w->whole;
    return st;
}

static prelu_status time_dense(prelu_rate *r, prelu_session *s, const prelu_model *m,
                               const prelu_image *gray, prelu_pool *pool, prelu_err *err)
{
    const prelu_plan *plan = prelu_session_plan(s);
    const int crop = m->preprocess.crop;
    prelu_test t = {.mode = PRELU_MODE_DENSE};
    prelu_plan_cost one;
    prelu_work w;
    double mac_ms = 0;
    PRELU_TRY(prelu_test_resolve(&t, m, plan, err));
    PRELU_TRY(prelu_test_work(&w, &t, m, gray->width, gray->height, err));
    if (r->unit_ms * w.units <= RATE_LONG_MS)
        return time_whole(r, s, m, &t, &w, gray, err);
    PRELU_TRY(prelu_plan_measure(plan, crop, crop, &one, err));
    PRELU_TRY(time_fc(&mac_ms, prelu_plan_fc_precision(plan), pool, err));
    r->window_ms = mac_ms * one.head;
    return PRELU_OK;
}

prelu_status prelu_rate_measure(prelu_rate *out, prelu_session *s, prelu_session *dense,
                                const prelu_model *m, prelu_pool *pool, prelu_err *err)
{
    prelu_rate r = {.pass_ms = 0};
    prelu_image gray;
    PRELU_TRY(make_gray(&gray, m, err));
    prelu_status st = time_views(&r, s, m, &gray, err);
    r.whole_ms = r.unit_ms;
    if (!st && dense)
        st = time_dense(&r, dense, m, &gray, pool, err);
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
