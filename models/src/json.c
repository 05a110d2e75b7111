/* The module's only user of jansson: what stands as JSON in a model's metadata. */
#include "json.h"
#include "model_private.h"
#include "prelu/mem.h"
#include <jansson.h>
#include <math.h>
#include <string.h>

#define MAX_SIDE 4096
#define MAX_CLASS_JSON ((size_t)256 << 20)

static prelu_status parse(json_t **out, const char *what, const char *text, prelu_err *err)
{
    json_error_t e;
    if (strlen(text) > MAX_CLASS_JSON)
        return prelu_fail(err, PRELU_E_LIMIT, "%s: %zu bytes of JSON", what, strlen(text));
    *out = json_loads(text, JSON_REJECT_DUPLICATES, &e);
    if (!*out)
        return prelu_fail(err, PRELU_E_FORMAT, "%s: line %d column %d: %s", what, e.line, e.column,
                          e.text);
    return PRELU_OK;
}

static prelu_status get_side(const json_t *v, const char *key, int *out, prelu_err *err)
{
    json_int_t i = json_integer_value(v);
    if (!json_is_integer(v) || i < 1 || i > MAX_SIDE)
        return prelu_fail(err, PRELU_E_FORMAT, "preprocess: %s is no integer in 1..%d", key,
                          MAX_SIDE);
    *out = (int)i;
    return PRELU_OK;
}

static prelu_status get_bool(const json_t *v, const char *key, bool *out, prelu_err *err)
{
    if (!json_is_boolean(v))
        return prelu_fail(err, PRELU_E_FORMAT, "preprocess: %s is neither true nor false", key);
    *out = json_is_true(v);
    return PRELU_OK;
}

static prelu_status get_float(const json_t *v, const char *key, bool positive, float *out,
                              prelu_err *err)
{
    float f = (float)json_number_value(v);
    if (!json_is_number(v) || !isfinite(f) || (positive && !(f > 0)))
        return prelu_fail(err, PRELU_E_FORMAT, "preprocess: %s is no %snumber", key,
                          positive ? "positive " : "");
    *out = f;
    return PRELU_OK;
}

static prelu_status get_three(const json_t *v, const char *key, bool positive, float out[3],
                              prelu_err *err)
{
    if (!json_is_array(v) || json_array_size(v) != 3)
        return prelu_fail(err, PRELU_E_FORMAT, "preprocess: %s is no array of 3 numbers", key);
    for (size_t i = 0; i < 3; i++)
        PRELU_TRY(get_float(json_array_get(v, i), key, positive, &out[i], err));
    return PRELU_OK;
}

static prelu_status get_scales(const json_t *v, prelu_preprocess *p, prelu_err *err)
{
    size_t n = json_array_size(v);
    if (n < 1 || n > sizeof p->scales / sizeof *p->scales)
        return prelu_fail(err, PRELU_E_FORMAT, "preprocess: scales is no array of 1..8 sizes");
    for (size_t i = 0; i < n; i++)
        PRELU_TRY(get_side(json_array_get(v, i), "scales", &p->scales[i], err));
    p->n_scales = (int)n;
    return PRELU_OK;
}

/* A text that must be one of two; *second tells which. */
static prelu_status get_choice(const json_t *v, const char *key, const char *a, const char *b,
                               bool *second, prelu_err *err)
{
    const char *s = json_string_value(v);
    if (!s || (strcmp(s, a) != 0 && strcmp(s, b) != 0))
        return prelu_fail(err, PRELU_E_FORMAT, "preprocess: %s is neither \"%s\" nor \"%s\"", key,
                          a, b);
    *second = !strcmp(s, b);
    return PRELU_OK;
}

static prelu_status get_key(prelu_preprocess *p, const char *key, const json_t *v, bool strict,
                            prelu_err *err)
{
    if (!strcmp(key, "resize"))
        return get_side(v, key, &p->resize, err);
    if (!strcmp(key, "crop"))
        return get_side(v, key, &p->crop, err);
    if (!strcmp(key, "scales"))
        return get_scales(v, p, err);
    if (!strcmp(key, "draft"))
        return get_bool(v, key, &p->draft, err);
    if (!strcmp(key, "color"))
        return get_choice(v, key, "RGB", "BGR", &p->bgr, err);
    if (!strcmp(key, "output"))
        return get_choice(v, key, "prob", "logits", &p->logits, err);
    if (!strcmp(key, "mean"))
        return get_three(v, key, false, p->mean, err);
    if (!strcmp(key, "std"))
        return get_three(v, key, true, p->std, err);
    if (!strcmp(key, "scale"))
        return get_float(v, key, true, &p->scale, err);
    if (!strcmp(key, "antialias")) {
        PRELU_TRY(get_bool(v, key, &p->antialias, err));
        if (!p->antialias)
            return prelu_fail(err, PRELU_E_UNSUPPORTED, "preprocess: antialias false");
        return PRELU_OK;
    }
    if (!strcmp(key, "interpolation")) {
        const char *s = json_string_value(v);
        if (!s || strcmp(s, "bilinear") != 0)
            return prelu_fail(err, PRELU_E_UNSUPPORTED,
                              "preprocess: interpolation is not bilinear");
        return PRELU_OK;
    }
    if (strict)
        return prelu_fail(err, PRELU_E_FORMAT, "preprocess: unknown key '%.40s'", key);
    return PRELU_OK;
}

prelu_status mdl_preprocess_parse(prelu_preprocess *p, const char *text, bool strict,
                                  prelu_err *err)
{
    prelu_preprocess q = *p;
    json_t *root = NULL, *v;
    const char *key;
    prelu_status st;
    PRELU_TRY(parse(&root, "preprocess", text, err));
    st = json_is_object(root) ? PRELU_OK
                              : prelu_fail(err, PRELU_E_FORMAT, "preprocess: no JSON object");
    if (st)
        goto out;
    json_object_foreach(root, key, v)
    {
        st = get_key(&q, key, v, strict, err);
        if (st)
            goto out;
    }
    if (q.crop > q.resize)
        st = prelu_fail(err, PRELU_E_FORMAT, "preprocess: crop %d is above resize %d", q.crop,
                        q.resize);
out:
    json_decref(root);
    if (!st)
        *p = q;
    return st;
}

/* Dump, move to memory of ours, and drop `root`, which may be NULL after a failed build. */
static prelu_status finish(char **out, json_t *root, const char *what, prelu_err *err)
{
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    *out = text ? prelu_strdup(text) : NULL;
    free(text);
    json_decref(root);
    return *out ? PRELU_OK : prelu_fail(err, PRELU_E_NOMEM, "%s: no memory for its JSON", what);
}

prelu_status mdl_preprocess_text(char **out, const prelu_preprocess *p, prelu_err *err)
{
    json_t *scales = json_array();
    for (int i = 0; i < p->n_scales; i++)
        json_array_append_new(scales, json_integer(p->scales[i]));
    return finish(out,
                  json_pack("{s:s, s:i, s:i, s:s, s:b, s:o, s:b}", "color", p->bgr ? "BGR" : "RGB",
                            "resize", p->resize, "crop", p->crop, "interpolation", "bilinear",
                            "antialias", p->antialias, "scales", scales, "draft", p->draft),
                  "preprocess", err);
}

static prelu_status label_from_json(prelu_label *l, const json_t *v, size_t i, prelu_err *err)
{
    const char *id = "", *label = json_string_value(v);
    if (json_is_object(v)) {
        const json_t *j = json_object_get(v, "id");
        label = json_string_value(json_object_get(v, "label"));
        id = j ? json_string_value(j) : "";
    }
    if (!label || !id)
        return prelu_fail(err, PRELU_E_FORMAT, "labels: entry %zu is no {\"id\",\"label\"}", i);
    PRELU_TRY(mdl_text_set(&l->label, label, err));
    return mdl_text_set(&l->id, id, err);
}

prelu_status mdl_labels_parse(prelu_label **out, int classes, const char *text, prelu_err *err)
{
    prelu_label *labels = NULL;
    json_t *root = NULL;
    prelu_status st;
    PRELU_TRY(parse(&root, "labels", text, err));
    if (!json_is_array(root) || json_array_size(root) != (size_t)classes)
        st = prelu_fail(err, PRELU_E_FORMAT, "labels: %zu entries, but the model has %d classes",
                        json_array_size(root), classes);
    else
        st = mdl_labels_empty(&labels, classes, err);
    for (size_t i = 0; !st && i < (size_t)classes; i++)
        st = label_from_json(&labels[i], json_array_get(root, i), i, err);
    json_decref(root);
    if (st)
        mdl_labels_free(labels, classes);
    else
        *out = labels;
    return st;
}

prelu_status mdl_labels_text(char **out, const prelu_label *labels, int classes, prelu_err *err)
{
    json_t *root = json_array();
    for (int i = 0; i < classes; i++)
        if (json_array_append_new(
                root, json_pack("{s:s, s:s}", "id", labels[i].id, "label", labels[i].label))) {
            json_decref(root);
            return prelu_fail(err, PRELU_E_FORMAT, "labels: entry %d is not UTF-8", i);
        }
    return finish(out, root, "labels", err);
}

prelu_status mdl_check_text(char **out, const char *digest, const float *scores, int classes,
                            prelu_err *err)
{
    json_t *list = json_array();
    for (int i = 0; i < classes; i++)
        json_array_append_new(list, json_real((double)scores[i]));
    return finish(out,
                  json_pack("{s:s, s:s, s:o}", "sha256", digest, "mode", "center", "scores", list),
                  "check", err);
}

static prelu_status check_from_json(const json_t *root, int classes, char digest[PRELU_SHA256_TEXT],
                                    double *scores, prelu_err *err)
{
    const char *sha = json_string_value(json_object_get(root, "sha256"));
    const char *mode = json_string_value(json_object_get(root, "mode"));
    const json_t *list = json_object_get(root, "scores");
    if (!sha || strlen(sha) != PRELU_SHA256_TEXT - 1 || !mode || !json_is_array(list))
        return prelu_fail(err, PRELU_E_FORMAT,
                          "prelu.check: not {\"sha256\": 64 digits, \"mode\", \"scores\": [...]}");
    if (strcmp(mode, "center") != 0)
        return prelu_fail(err, PRELU_E_UNSUPPORTED, "prelu.check: mode '%.20s', not center", mode);
    if (json_array_size(list) != (size_t)classes)
        return prelu_fail(err, PRELU_E_FORMAT, "prelu.check: %zu scores of %d classes",
                          json_array_size(list), classes);
    for (size_t i = 0; i < (size_t)classes; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_number(v))
            return prelu_fail(err, PRELU_E_FORMAT, "prelu.check: score %zu is no number", i);
        scores[i] = json_number_value(v);
    }
    memcpy(digest, sha, PRELU_SHA256_TEXT);
    return PRELU_OK;
}

prelu_status mdl_check_parse(const char *text, int classes, char digest[PRELU_SHA256_TEXT],
                             double *scores, prelu_err *err)
{
    json_t *root = NULL;
    prelu_status st;
    PRELU_TRY(parse(&root, "prelu.check", text, err));
    st = check_from_json(root, classes, digest, scores, err);
    json_decref(root);
    return st;
}

prelu_status mdl_precision_parse(const char *text, double *int8fc_agrees, prelu_err *err)
{
    json_t *root = NULL;
    const json_t *v;
    double part;
    PRELU_TRY(parse(&root, "prelu.precision", text, err));
    v = json_object_get(root, "int8fc_agrees");
    part = v ? json_number_value(v) : 0.0;
    const bool fits = json_is_object(root) && (!v || json_is_number(v)) && part >= 0 && part <= 1;
    json_decref(root);
    if (!fits)
        return prelu_fail(err, PRELU_E_FORMAT,
                          "prelu.precision: no object whose int8fc_agrees is in 0..1");
    *int8fc_agrees = part;
    return PRELU_OK;
}

double mdl_figure_top1(const char *training, const char *mode)
{
    char key[64];
    snprintf(key, sizeof key, "val_top1_%s", mode);
    json_t *root = training ? json_loads(training, 0, NULL) : NULL;
    const json_t *v = json_object_get(json_object_get(root, "figures"), key);
    const double top1 = json_is_number(v) ? json_number_value(v) : -1;
    json_decref(root);
    return top1;
}

prelu_status mdl_json_parse(mdl_json **out, const char *what, const char *text, prelu_err *err)
{
    json_t *root = NULL;
    PRELU_TRY(parse(&root, what, text, err));
    *out = (mdl_json *)root;
    return PRELU_OK;
}

void mdl_json_free(mdl_json *root) { json_decref((json_t *)root); }

const mdl_json *mdl_json_get(const mdl_json *object, const char *key)
{
    return (const mdl_json *)json_object_get((const json_t *)object, key);
}

size_t mdl_json_count(const mdl_json *array) { return json_array_size((const json_t *)array); }

const mdl_json *mdl_json_at(const mdl_json *array, size_t i)
{
    return (const mdl_json *)json_array_get((const json_t *)array, i);
}

double mdl_json_number(const mdl_json *v)
{
    return json_is_number((const json_t *)v) ? json_number_value((const json_t *)v) : NAN;
}

const char *mdl_json_text(const mdl_json *v)
{
    const char *text = json_string_value((const json_t *)v);
    return text ? text : "";
}
