#define _POSIX_C_SOURCE 200809L
#include "prelu/classify.h"
#include "prelu/mem.h"
#include <math.h>
#include <string.h>
#include <time.h>

/* One pass of prelu_views_run: ten 224x224 views, or as many smaller ones as have their pixels, so
 * that weights are reused and activations stay bounded. Scores do not depend on it. */
#define PASS_PIXELS ((size_t)10 * 224 * 224)
#define PASS_VIEWS ((size_t)64)

const char *prelu_mode_name(prelu_mode mode)
{
    switch (mode) {
    case PRELU_MODE_CENTER:
        return "center";
    case PRELU_MODE_10VIEW:
        return "10view";
    }
    return "?";
}

prelu_status prelu_mode_parse(prelu_mode *out, const char *text, prelu_err *err)
{
    static const prelu_mode modes[] = {PRELU_MODE_CENTER, PRELU_MODE_10VIEW};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(text, prelu_mode_name(modes[i]))) {
            *out = modes[i];
            return PRELU_OK;
        }
    return prelu_fail(err, PRELU_E_ARG, "mode '%.20s' is none of: center, 10view", text);
}

static size_t view_count(prelu_mode mode)
{
    switch (mode) {
    case PRELU_MODE_CENTER:
        return 1;
    case PRELU_MODE_10VIEW:
        return 10;
    }
    return 1;
}

size_t prelu_mode_units(const prelu_model *m, prelu_mode mode)
{
    (void)m; /* every view has the model's crop size, so views count alike in all models */
    return view_count(mode);
}

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

/* One picture at shorter side `resize`. The centre view needs only its own part computed. */
static prelu_status resize_for(prelu_prepared *out, const prelu_preprocess *p, prelu_mode mode,
                               const prelu_image *decoded, int width, int height, prelu_err *err)
{
    prelu_rect part = {center_offset(width - p->crop), center_offset(height - p->crop), p->crop,
                       p->crop};
    bool whole = mode != PRELU_MODE_CENTER;
    PRELU_TRY(
        prelu_image_resize(&out->images[0], decoded, width, height, whole ? NULL : &part, err));
    out->n_images = 1;
    return PRELU_OK;
}

static prelu_status cut_views(prelu_prepared *out, const prelu_preprocess *p, prelu_mode mode,
                              prelu_err *err)
{
    out->n_views = view_count(mode);
    out->views = prelu_calloc(out->n_views, sizeof *out->views);
    if (!out->views)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu views", out->n_views);
    switch (mode) {
    case PRELU_MODE_CENTER:
        return prelu_view_center(out->views, &out->images[0], p->crop, err);
    case PRELU_MODE_10VIEW:
        return prelu_view_ten(out->views, &out->images[0], p->crop, err);
    }
    return prelu_fail(err, PRELU_E_ARG, "mode %d", (int)mode);
}

/* From pixels on: r->info has been filled. */
static prelu_status prepare_decoded(prelu_prepared *r, const prelu_preprocess *p, prelu_mode mode,
                                    const prelu_image *decoded, int width, int height,
                                    prelu_err *err)
{
    double start = now_ms();
    prelu_status st = resize_for(r, p, mode, decoded, width, height, err);
    if (!st)
        st = cut_views(r, p, mode, err);
    r->prepare_ms = now_ms() - start;
    return st;
}

prelu_status prelu_model_prepare(prelu_prepared *out, const prelu_model *m, prelu_mode mode,
                                 const void *jpeg, size_t len, const prelu_image_limits *limits,
                                 prelu_err *err)
{
    const prelu_preprocess *p = &m->preprocess;
    prelu_prepared r = {.n_images = 0};
    prelu_image decoded = {.data = NULL};
    double start = now_ms();
    int width, height;
    prelu_status st;
    /* The size after resizing is refused here, before anything of the picture's size exists. */
    PRELU_TRY(prelu_jpeg_probe(&r.info, jpeg, len, limits, err));
    PRELU_TRY(
        prelu_resized_size(r.info.width, r.info.height, p->resize, limits, &width, &height, err));
    st = prelu_jpeg_decode(&decoded, jpeg, len, p->draft ? p->resize : 0, limits, &r.info, err);
    if (st)
        goto out;
    r.decode_ms = now_ms() - start;
    st = prepare_decoded(&r, p, mode, &decoded, width, height, err);
out:
    prelu_image_deinit(&decoded);
    if (st)
        prelu_prepared_deinit(&r);
    else
        *out = r;
    return st;
}

prelu_status prelu_model_prepare_image(prelu_prepared *out, const prelu_model *m, prelu_mode mode,
                                       const prelu_image *image, const prelu_image_limits *limits,
                                       prelu_err *err)
{
    prelu_prepared r = {.n_images = 0};
    int width, height;
    prelu_status st;
    r.info = (prelu_jpeg_info){image->width, image->height, 1, 3, false};
    PRELU_TRY(prelu_resized_size(image->width, image->height, m->preprocess.resize, limits, &width,
                                 &height, err));
    st = prepare_decoded(&r, &m->preprocess, mode, image, width, height, err);
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

static prelu_status check_views(const prelu_view *views, size_t n, prelu_err *err)
{
    if (n < 1 || views[0].width < 1 || views[0].height < 1)
        return prelu_fail(err, PRELU_E_ARG, "%zu views to run", n);
    for (size_t i = 1; i < n; i++)
        if (views[i].width != views[0].width || views[i].height != views[0].height)
            return prelu_fail(err, PRELU_E_ARG, "view %zu is %dx%d, the first is %dx%d", i,
                              views[i].width, views[i].height, views[0].width, views[0].height);
    return PRELU_OK;
}

static prelu_status run_pass(prelu_session *s, const prelu_view *views, size_t n, int classes,
                             float *scores, prelu_err *err)
{
    size_t count;
    PRELU_TRY(prelu_session_reshape(s, (int64_t)n, views[0].height, views[0].width, err));
    PRELU_TRY(prelu_session_set_views(s, views, n, err));
    PRELU_TRY(prelu_session_run(s, err));
    PRELU_TRY(prelu_shape_count(prelu_session_output_shape(s, PRELU_OUTPUT_PROB), &count, err));
    if (count != n * (size_t)classes)
        return prelu_fail(err, PRELU_E_FORMAT, "%zu scores of %zu views in %d classes", count, n,
                          classes);
    memcpy(scores, prelu_session_output(s, PRELU_OUTPUT_PROB), count * sizeof *scores);
    return PRELU_OK;
}

prelu_status prelu_views_run(prelu_session *s, const prelu_view *views, size_t n, int classes,
                             float *scores, prelu_err *err)
{
    size_t most;
    PRELU_TRY(check_views(views, n, err));
    most = PASS_PIXELS / ((size_t)views[0].width * (size_t)views[0].height);
    most = most < 1 ? 1 : most > PASS_VIEWS ? PASS_VIEWS : most;
    for (size_t i = 0; i < n; i += most)
        PRELU_TRY(run_pass(s, views + i, n - i < most ? n - i : most, classes,
                           scores + i * (size_t)classes, err));
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

prelu_status prelu_model_rank(const prelu_model *m, const float *scores, size_t rows, size_t top_k,
                              prelu_prediction *top, double *mean, prelu_err *err)
{
    size_t classes = (size_t)m->classes, n = 0;
    if (rows < 1 || top_k < 1 || top_k > classes)
        return prelu_fail(err, PRELU_E_ARG, "top %zu of %zu classes over %zu rows", top_k, classes,
                          rows);
    for (size_t c = 0; c < classes; c++) {
        double sum = 0;
        for (size_t r = 0; r < rows; r++)
            sum += (double)scores[r * classes + c];
        sum /= (double)rows;
        if (!isfinite(sum))
            return prelu_fail(err, PRELU_E_FORMAT, "the score of class %zu is not finite", c);
        if (mean)
            mean[c] = sum;
        top_insert(top, n, top_k, (int)c, sum);
        n += n < top_k;
    }
    return PRELU_OK;
}
