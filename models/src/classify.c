#define _POSIX_C_SOURCE 200809L
#include "prelu/classify.h"
#include "prelu/mem.h"
#include <string.h>
#include <time.h>

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
    const size_t pixels = (size_t)o->width[i] * (size_t)o->height[i];
    if (pixels > PRELU_MAX_DENSE_PIXELS)
        return prelu_fail(err, PRELU_E_LIMIT,
                          "%zu pixels at %d x %d; limit %zu for dense testing: it is too long",
                          pixels, o->width[i], o->height[i], PRELU_MAX_DENSE_PIXELS);
    PRELU_TRY(prelu_plan_measure(t->dense, o->height[i], o->width[i], &cost, err));
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
    r->average = t->average;
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

static void deinit_all(prelu_prepared *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        prelu_prepared_deinit(&p[i]);
}

/* All sizes are checked before anything of them exists. */
static prelu_status outline_all(outline *o, const prelu_member *members, size_t n,
                                const prelu_jpeg_info *info, const prelu_image_limits *limits,
                                prelu_err *err)
{
    if (n < 1 || n > PRELU_MAX_MEMBERS)
        return prelu_fail(err, PRELU_E_ARG, "%zu models; 1..%d", n, PRELU_MAX_MEMBERS);
    for (size_t i = 0; i < n; i++)
        PRELU_TRY(outline_of(&o[i], members[i].test, members[i].model, info->width, info->height,
                             limits, err));
    return PRELU_OK;
}

/* Models whose drafts ask for different sizes get decodings of their own, as each would alone. */
static prelu_status decode_all(prelu_prepared *r, const outline *o, const prelu_member *members,
                               size_t n, const void *jpeg, size_t len,
                               const prelu_image_limits *limits, prelu_err *err)
{
    prelu_image decoded = {.data = NULL};
    prelu_status st = PRELU_OK;
    int have = -1;
    for (size_t i = 0; i < n && !st; i++) {
        const prelu_model *m = members[i].model;
        const int side = draft_side(&o[i], &m->preprocess);
        const double start = now_ms();
        if (side != have) {
            prelu_image_deinit(&decoded);
            st = prelu_jpeg_decode(&decoded, jpeg, len, side, limits, &r[i].info, err);
            r[i].decode_ms = now_ms() - start;
            have = side;
        } else {
            r[i].info = r[i - 1].info;
        }
        if (!st)
            st = prepare_decoded(&r[i], &o[i], m, members[i].test, &decoded, err);
    }
    prelu_image_deinit(&decoded);
    return st;
}

prelu_status prelu_ensemble_prepare(prelu_prepared *out, const prelu_member *members, size_t n,
                                    const void *jpeg, size_t len, const prelu_image_limits *limits,
                                    prelu_err *err)
{
    prelu_prepared r[PRELU_MAX_MEMBERS] = {{.n_images = 0}};
    prelu_jpeg_info info;
    outline o[PRELU_MAX_MEMBERS];
    PRELU_TRY(prelu_jpeg_probe(&info, jpeg, len, limits, err));
    PRELU_TRY(outline_all(o, members, n, &info, limits, err));
    const prelu_status st = decode_all(r, o, members, n, jpeg, len, limits, err);
    if (st)
        deinit_all(r, n);
    else
        memcpy(out, r, n * sizeof *r);
    return st;
}

prelu_status prelu_ensemble_prepare_image(prelu_prepared *out, const prelu_member *members,
                                          size_t n, const prelu_image *image,
                                          const prelu_image_limits *limits, prelu_err *err)
{
    const prelu_jpeg_info info = {image->width, image->height, 1, 3, false};
    prelu_prepared r[PRELU_MAX_MEMBERS] = {{.n_images = 0}};
    outline o[PRELU_MAX_MEMBERS];
    prelu_status st = outline_all(o, members, n, &info, limits, err);
    for (size_t i = 0; i < n && !st; i++) {
        r[i].info = info;
        st = prepare_decoded(&r[i], &o[i], members[i].model, members[i].test, image, err);
    }
    if (st)
        deinit_all(r, n <= PRELU_MAX_MEMBERS ? n : 0);
    else
        memcpy(out, r, n * sizeof *r);
    return st;
}

prelu_status prelu_model_prepare(prelu_prepared *out, const prelu_model *m, const prelu_test *test,
                                 const void *jpeg, size_t len, const prelu_image_limits *limits,
                                 prelu_err *err)
{
    const prelu_member one = {m, test};
    return prelu_ensemble_prepare(out, &one, 1, jpeg, len, limits, err);
}

prelu_status prelu_model_prepare_image(prelu_prepared *out, const prelu_model *m,
                                       const prelu_test *test, const prelu_image *image,
                                       const prelu_image_limits *limits, prelu_err *err)
{
    const prelu_member one = {m, test};
    return prelu_ensemble_prepare_image(out, &one, 1, image, limits, err);
}

void prelu_prepared_deinit(prelu_prepared *p)
{
    for (int i = 0; i < p->n_images; i++)
        prelu_image_deinit(&p->images[i]);
    prelu_free(p->views);
    memset(p, 0, sizeof *p);
}
