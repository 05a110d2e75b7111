/* prelu.check: what the network says of a picture that the program draws itself. A file that was
 * damaged, and a CPU or a precision that computes something else, show before the first request. */
#include "model_private.h"
#include "prelu/classify.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include "prelu/sha256.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* One line of the manifest without its name: digest, type, rank <= 8 dims of at most 20 digits. */
#define LINE_ROOM ((size_t)320)

typedef struct constant_digest {
    prelu_value value;
    char text[PRELU_SHA256_TEXT];
} constant_digest;

typedef struct digesting {
    const prelu_graph *g;
    constant_digest *constants;
    size_t n;
} digesting;

static void digest_task(void *ctx, size_t i, int worker)
{
    const digesting *d = ctx;
    constant_digest *c = &d->constants[i];
    const prelu_value_info *v = &d->g->values[c->value];
    size_t len = prelu_dtype_size(v->dtype);
    (void)worker;
    for (int k = 0; k < v->shape.rank; k++)
        len *= (size_t)v->shape.dim[k]; /* they exist in memory, so this does not overflow */
    prelu_sha256_text(c->text, v->data, len);
}

/* The constants that nodes read, in order of their first use: writing and reading keep it, while
 * a value's number depends on how the graph came about. */
static prelu_status list_constants(digesting *d, prelu_err *err)
{
    const prelu_graph *g = d->g;
    bool *seen = prelu_calloc((size_t)g->n_values + 1, sizeof *seen);
    d->constants = prelu_calloc((size_t)g->n_values + 1, sizeof *d->constants);
    if (!seen || !d->constants) {
        prelu_free(seen);
        return prelu_fail(err, PRELU_E_NOMEM, "check: %d values", g->n_values);
    }
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++) {
            prelu_value v = g->nodes[i].in[k];
            if (v == PRELU_NONE || seen[v] || !g->values[v].is_constant || !g->values[v].data)
                continue;
            seen[v] = true;
            d->constants[d->n++].value = v;
        }
    prelu_free(seen);
    return PRELU_OK;
}

prelu_status mdl_weights_digest(const prelu_graph *g, prelu_pool *pool, char out[PRELU_SHA256_TEXT],
                                prelu_err *err)
{
    digesting d = {.g = g};
    size_t room = 1, at = 0;
    char *manifest = NULL;
    prelu_status st = list_constants(&d, err);
    if (st)
        goto out;
    for (size_t i = 0; i < d.n; i++)
        room += strlen(g->values[d.constants[i].value].name) + LINE_ROOM;
    manifest = prelu_alloc(room);
    if (!manifest) {
        st = prelu_fail(err, PRELU_E_NOMEM, "check: %zu bytes", room);
        goto out;
    }
    prelu_pool_run(pool, d.n, digest_task, &d);
    for (size_t i = 0; i < d.n; i++) {
        const prelu_value_info *v = &g->values[d.constants[i].value];
        char shape[200];
        at += (size_t)snprintf(manifest + at, room - at, "%s %s %s %s\n", d.constants[i].text,
                               prelu_dtype_name(v->dtype),
                               prelu_shape_text(&v->shape, shape, sizeof shape), v->name);
    }
    prelu_sha256_text(out, manifest, at);
out:
    prelu_free(manifest);
    prelu_free(d.constants);
    return st;
}

/* Integers only, so that every machine draws the same. */
static uint8_t check_pixel(int x, int y, int side, int channel)
{
    unsigned u = (unsigned)x * 512u / (unsigned)side, v = (unsigned)y * 512u / (unsigned)side;
    unsigned wave = (u * (unsigned)(channel + 1) + v * (unsigned)(3 - channel)) & 511u;
    unsigned level = wave < 256 ? wave : 511 - wave;
    return (uint8_t)((u >> 5 ^ v >> 5) & 1 ? 255 - level : level);
}

prelu_status mdl_check_picture(prelu_image *out, const prelu_preprocess *p, prelu_err *err)
{
    const int height = p->resize, width = p->resize + p->resize / 3;
    prelu_image img = {.width = width, .height = height, .stride = (size_t)width * 3};
    size_t len;
    PRELU_TRY(prelu_mul(img.stride, (size_t)height, &len, err));
    img.data = prelu_alloc(len);
    if (!img.data)
        return prelu_fail(err, PRELU_E_NOMEM, "check: a picture of %zu bytes", len);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                img.data[(size_t)y * img.stride + (size_t)x * 3 + (size_t)c] =
                    check_pixel(x, y, height, c);
    *out = img;
    return PRELU_OK;
}

/* Centre scores of the drawn picture. @param largest  NULL, or max |logit|. */
static prelu_status run_check(const prelu_model *m, const prelu_plan *plan, prelu_pool *pool,
                              float *scores, double *largest, prelu_err *err)
{
    prelu_image img = {.data = NULL};
    prelu_session *s = NULL;
    prelu_view view;
    prelu_status st = mdl_check_picture(&img, &m->preprocess, err);
    if (!st)
        st = prelu_view_center(&view, &img, m->preprocess.crop, err);
    if (!st)
        st = prelu_session_create(&s, plan, pool, 0, err);
    if (!st)
        st = prelu_views_run(s, &view, 1, PRELU_AVERAGE_PROB, m->classes, scores, 1, err);
    if (!st && largest) {
        const float *logits = prelu_session_output(s, PRELU_OUTPUT_LOGITS);
        *largest = 0;
        for (int i = 0; i < m->classes; i++)
            *largest = fmax(*largest, fabs((double)logits[i]));
    }
    prelu_session_destroy(&s);
    prelu_image_deinit(&img);
    return st;
}

static bool all_finite(const float *x, int n)
{
    for (int i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

prelu_status prelu_model_make_check(prelu_model *m, prelu_pool *pool, prelu_err *err)
{
    char digest[PRELU_SHA256_TEXT], *text = NULL;
    prelu_plan *plan = NULL;
    float *scores = prelu_calloc((size_t)m->classes + 1, sizeof *scores);
    prelu_status st;
    if (!scores)
        return prelu_fail(err, PRELU_E_NOMEM, "check: %d scores", m->classes);
    st = prelu_model_plan(&plan, m, PRELU_PRECISION_FP32, pool, err);
    if (!st)
        st = run_check(m, plan, pool, scores, NULL, err);
    if (!st)
        st = mdl_weights_digest(m->graph, pool, digest, err);
    if (!st && !all_finite(scores, m->classes))
        prelu_log(PRELU_LOG_WARN, "the network's scores are not finite: no prelu.check is kept");
    else if (!st)
        st = mdl_check_text(&text, digest, scores, m->classes, err);
    if (!st) {
        prelu_free(m->check);
        m->check = text;
    }
    prelu_plan_destroy(&plan);
    prelu_free(scores);
    return st;
}

/* How far logits may lie from fp32's, as a share of the largest. Measured on untrained nets: bf16
 * up to 0.015, int8fc up to 0.022 (the thirty layers of deep30). `auto` may choose bf16. */
static double logit_tolerance(prelu_precision precision)
{
    switch (precision) {
    case PRELU_PRECISION_FP32:
        return 2e-4;
    case PRELU_PRECISION_AUTO:
    case PRELU_PRECISION_BF16:
        return 0.05;
    case PRELU_PRECISION_INT8FC:
        return 0.1;
    }
    return 0;
}

/* Logits that are off by at most e move a softmax score p by at most 2e p (1 - p) <= e / 2. Logits
 * that are huge because the arithmetic is wrong must not excuse themselves: hence the cap. */
static double score_tolerance(prelu_precision precision, double largest_logit)
{
    double cap = precision == PRELU_PRECISION_FP32 ? 0.01 : 0.5;
    return fmin(logit_tolerance(precision) * largest_logit / 2, cap) + 1e-6;
}

static prelu_status compare(const float *now, const double *then, int n, double tolerance,
                            prelu_err *err)
{
    int worst = 0;
    for (int i = 1; i < n; i++) /* a NaN is worse than anything */
        if (!(fabs((double)now[i] - then[i]) <= fabs((double)now[worst] - then[worst])))
            worst = i;
    if (fabs((double)now[worst] - then[worst]) <= tolerance)
        return PRELU_OK;
    return prelu_fail(err, PRELU_E_FORMAT,
                      "prelu.check: the drawn picture's score of class %d is %.6g, but %.6g when "
                      "the file was written; tolerance %.2g",
                      worst, (double)now[worst], then[worst], tolerance);
}

static prelu_status check_digest(const prelu_model *m, const char *want, prelu_pool *pool,
                                 prelu_err *err)
{
    char digest[PRELU_SHA256_TEXT];
    PRELU_TRY(mdl_weights_digest(m->graph, pool, digest, err));
    if (!strcmp(digest, want))
        return PRELU_OK;
    return prelu_fail(err, PRELU_E_FORMAT,
                      "prelu.check: the weights' SHA-256 is %.12s..., but %.12s... when the file "
                      "was written",
                      digest, want);
}

prelu_status prelu_model_verify_check(const prelu_model *m, const prelu_plan *plan,
                                      prelu_precision precision, prelu_pool *pool, prelu_err *err)
{
    char digest[PRELU_SHA256_TEXT];
    double *then = NULL, largest = 0;
    float *now = NULL;
    prelu_status st;
    if (!m->check)
        return PRELU_OK;
    if (!m->graph || m->classes < 1)
        return prelu_fail(err, PRELU_E_ARG, "prelu.check: the weights are not there any more");
    then = prelu_calloc((size_t)m->classes, sizeof *then);
    now = prelu_calloc((size_t)m->classes, sizeof *now);
    if (then && now)
        st = mdl_check_parse(m->check, m->classes, digest, then, err);
    else
        st = prelu_fail(err, PRELU_E_NOMEM, "check: %d scores", m->classes);
    if (!st)
        st = check_digest(m, digest, pool, err);
    if (!st)
        st = run_check(m, plan, pool, now, &largest, err);
    if (!st)
        st = compare(now, then, m->classes, score_tolerance(precision, largest), err);
    prelu_free(then);
    prelu_free(now);
    return st;
}
