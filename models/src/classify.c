#define _POSIX_C_SOURCE 200809L
#include "prelu/classify.h"
#include "prelu/mem.h"
#include <math.h>
#include <string.h>
#include <time.h>

/* One pass of prelu_views_run: ten 224x224 views, or as many smaller ones as have their pixels, so
 * that weights are reused and activations stay bounded. Scores do not depend on it. */
#define PASS_PIXELS ((size_t)10 * 224 * 224)
enum { PASS_VIEWS = 64 };
/* prelu_image_limits' default, here for all sizes together. */
#define MAX_RESIZED_PIXELS ((size_t)16000000)

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* The offset of prelu_view_center, halves to even. */
static int center_offset(int slack)
{
    int half = slack / 2;
    return slack % 2 ? half + half % 2 : half;
}

/* What a picture becomes: its sizes, checked before anything of them exists. */
typedef struct outline {
    int n, side[PRELU_MAX_SCALES], width[PRELU_MAX_SCALES], height[PRELU_MAX_SCALES];
    size_t windows[PRELU_MAX_SCALES]; /* of a dense view */
} outline;

static bool is_dense(const prelu_test *t)
{
    return t->mode == PRELU_MODE_DENSE || t->mode == PRELU_MODE_MULTISCALE;
}

static prelu_status count_windows(outline *o, const prelu_test *t, int i, prelu_err *err)
{
    prelu_plan_cost cost;
    PRELU_TRY(prelu_plan_measure(t->dense, o->height[i], o->width[i], &cost, err));
    if (cost.rows > PRELU_MAX_WINDOWS)
        return prelu_fail(err, PRELU_E_LIMIT,
                          "%zu windows of the picture at %d x %d; limit %zu: it is too long",
                          cost.rows, o->width[i], o->height[i], PRELU_MAX_WINDOWS);
    o->windows[i] = cost.rows;
    return PRELU_OK;
}

static prelu_status outline_of(outline *o, const prelu_test *t, const prelu_model *m, int width,
                               int height, const prelu_image_limits *limits, prelu_err *err)
{
    const bool dense = is_dense(t);
    const size_t most =
        limits && limits->max_resized_pixels ? limits->max_resized_pixels : MAX_RESIZED_PIXELS;
    size_t pixels = 0;
    *o = (outline){.n = dense ? t->n_scales : 1};
    if (dense && (!t->dense || t->n_scales < 1 || t->n_scales > PRELU_MAX_SCALES))
        return prelu_fail(err, PRELU_E_ARG, "mode %s without its plan and sizes",
                          prelu_mode_name(t->mode));
    for (int i = 0; i < o->n; i++) {
        o->side[i] = dense ? t->scales[i] : m->preprocess.resize;
        PRELU_TRY(prelu_resized_size(width, height, o->side[i], limits, &o->width[i], &o->height[i],
                                     err));
        pixels += (size_t)o->width[i] * (size_t)o->height[i];
        if (pixels > most)
            return prelu_fail(err, PRELU_E_LIMIT, "%zu pixels in %d sizes; limit %zu", pixels,
                              i + 1, most);
        if (dense)
            PRELU_TRY(count_windows(o, t, i, err));
    }
    return PRELU_OK;
}

/* One picture for each size. The centre view needs only its own part computed. */
static prelu_status resize_all(prelu_prepared *out, const outline *o, const prelu_model *m,
                               const prelu_test *t, const prelu_image *decoded, prelu_err *err)
{
    const int crop = m->preprocess.crop;
    for (int i = 0; i < o->n; i++) {
        prelu_rect part = {center_offset(o->width[i] - crop), center_offset(o->height[i] - crop),
                           crop, crop};
        bool whole = t->mode != PRELU_MODE_CENTER;
        PRELU_TRY(prelu_image_resize(&out->images[i], decoded, o->width[i], o->height[i],
                                     whole ? NULL : &part, err));
        out->n_images = i + 1;
    }
    return PRELU_OK;
}

/* A picture whole, and its mirror image. */
static void view_whole(prelu_view view[2], const prelu_image *img)
{
    for (int i = 0; i < 2; i++)
        view[i] = (prelu_view){.data = img->data,
                               .stride = img->stride,
                               .width = img->width,
                               .height = img->height,
                               .mirror = i == 1};
}

static prelu_status cut_views(prelu_prepared *out, const outline *o, const prelu_model *m,
                              const prelu_test *t, prelu_err *err)
{
    const size_t each = t->mode == PRELU_MODE_CENTER ? 1 : t->mode == PRELU_MODE_10VIEW ? 10 : 2;
    out->n_views = each * (size_t)out->n_images;
    out->views = prelu_calloc(out->n_views, sizeof *out->views);
    if (!out->views)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu views", out->n_views);
    for (int i = 0; i < out->n_images; i++) {
        out->rows[i] = is_dense(t) ? 2 * o->windows[i] : each;
        out->n_rows += out->rows[i];
    }
    switch (t->mode) {
    case PRELU_MODE_CENTER:
        return prelu_view_center(out->views, &out->images[0], m->preprocess.crop, err);
    case PRELU_MODE_10VIEW:
        return prelu_view_ten(out->views, &out->images[0], m->preprocess.crop, err);
    case PRELU_MODE_DENSE:
    case PRELU_MODE_MULTISCALE:
        for (int i = 0; i < out->n_images; i++)
            view_whole(out->views + 2 * i, &out->images[i]);
        return PRELU_OK;
    }
    return prelu_fail(err, PRELU_E_ARG, "mode %d", (int)t->mode);
}

/* From pixels on: r->info has been filled. */
static prelu_status prepare_decoded(prelu_prepared *r, const outline *o, const prelu_model *m,
                                    const prelu_test *t, const prelu_image *decoded, prelu_err *err)
{
    double start = now_ms();
    prelu_status st = resize_all(r, o, m, t, decoded, err);
    if (!st)
        st = cut_views(r, o, m, t, err);
    r->prepare_ms = now_ms() - start;
    return st;
}

/* A scaled decoding must serve the largest size. */
static int draft_side(const outline *o, const prelu_preprocess *p)
{
    int side = 0;
    for (int i = 0; i < o->n && p->draft; i++)
        side = o->side[i] > side ? o->side[i] : side;
    return side;
}

prelu_status prelu_model_prepare(prelu_prepared *out, const prelu_model *m, const prelu_test *test,
                                 const void *jpeg, size_t len, const prelu_image_limits *limits,
                                 prelu_err *err)
{
    prelu_prepared r = {.n_images = 0};
    prelu_image decoded = {.data = NULL};
    double start = now_ms();
    outline o;
    prelu_status st;
    PRELU_TRY(prelu_jpeg_probe(&r.info, jpeg, len, limits, err));
    PRELU_TRY(outline_of(&o, test, m, r.info.width, r.info.height, limits, err));
    st = prelu_jpeg_decode(&decoded, jpeg, len, draft_side(&o, &m->preprocess), limits, &r.info,
                           err);
    if (st)
        goto out;
    r.decode_ms = now_ms() - start;
    st = prepare_decoded(&r, &o, m, test, &decoded, err);
out:
    prelu_image_deinit(&decoded);
    if (st)
        prelu_prepared_deinit(&r);
    else
        *out = r;
    return st;
}

prelu_status prelu_model_prepare_image(prelu_prepared *out, const prelu_model *m,
                                       const prelu_test *test, const prelu_image *image,
                                       const prelu_image_limits *limits, prelu_err *err)
{
    prelu_prepared r = {.n_images = 0};
    outline o;
    prelu_status st;
    r.info = (prelu_jpeg_info){image->width, image->height, 1, 3, false};
    PRELU_TRY(outline_of(&o, test, m, image->width, image->height, limits, err));
    st = prepare_decoded(&r, &o, m, test, image, err);
    if (st)
        prelu_prepared_deinit(&r);
    else
        *out = r;
    return st;
}

void prelu_prepared_deinit(prelu_prepared *p)
{
    for (int i = 0; i < p->n_images; i++)
        prelu_image_deinit(&p->images[i]);
    prelu_free(p->views);
    memset(p, 0, sizeof *p);
}

/* Which views run together, and where their rows go. */
typedef struct passes {
    const prelu_view *views;
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
    PRELU_TRY(prelu_shape_count(prelu_session_output_shape(s, PRELU_OUTPUT_PROB), &count, err));
    if (count != n * each)
        return prelu_fail(err, PRELU_E_FORMAT, "%zu scores of %zu views, not %zu", count, n,
                          n * each);
    const float *from = prelu_session_output(s, PRELU_OUTPUT_PROB);
    for (size_t i = 0; i < n; i++)
        memcpy(p->scores + p->first[pick[i]] * p->classes, from + i * each, each * sizeof *from);
    return PRELU_OK;
}

static prelu_status run_passes(prelu_session *s, const passes *p, prelu_err *err)
{
    for (size_t i = 0; i < p->n; i++) {
        const prelu_view *v = &p->views[i];
        size_t pick[PASS_VIEWS], n = 0;
        size_t most = PASS_PIXELS / ((size_t)v->width * (size_t)v->height);
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

prelu_status prelu_views_run(prelu_session *s, const prelu_view *views, size_t n, int classes,
                             float *scores, size_t rows, prelu_err *err)
{
    passes p = {.views = views, .n = n, .classes = (size_t)classes, .rows = rows, .scores = scores};
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

static prelu_status rank_groups(const prelu_model *m, const float *scores, const size_t *rows,
                                size_t n_groups, size_t top_k, prelu_prediction *top, double *mean,
                                prelu_err *err)
{
    size_t classes = (size_t)m->classes, n = 0;
    bool empty = n_groups < 1;
    for (size_t i = 0; i < n_groups; i++)
        empty = empty || rows[i] < 1;
    if (empty || top_k < 1 || top_k > classes)
        return prelu_fail(err, PRELU_E_ARG, "top %zu of %zu classes over %s rows", top_k, classes,
                          empty ? "no" : "some");
    for (size_t c = 0; c < classes; c++) {
        double score = mean_of(scores, classes, c, rows, n_groups);
        if (!isfinite(score))
            return prelu_fail(err, PRELU_E_FORMAT, "the score of class %zu is not finite", c);
        if (mean)
            mean[c] = score;
        top_insert(top, n, top_k, (int)c, score);
        n += n < top_k;
    }
    return PRELU_OK;
}

prelu_status prelu_model_rank(const prelu_model *m, const float *scores, size_t rows, size_t top_k,
                              prelu_prediction *top, double *mean, prelu_err *err)
{
    return rank_groups(m, scores, &rows, 1, top_k, top, mean, err);
}

prelu_status prelu_prepared_rank(const prelu_prepared *p, const prelu_model *m, const float *scores,
                                 size_t top_k, prelu_prediction *top, double *mean, prelu_err *err)
{
    return rank_groups(m, scores, p->rows, (size_t)p->n_images, top_k, top, mean, err);
}
