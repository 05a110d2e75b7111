#include "srvjson.h"
#include "prelu/mem.h"
#include "utf8.h"
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_FILE = 1 << 20 };

/* Set when a value could not be stored, read and cleared by the dump: a reply with a key missing
 * would be worse than none. One thread builds and dumps one document at a time. */
static _Thread_local bool incomplete;

static json_t *in(srv_json *v) { return (json_t *)v; }

static srv_json *out(json_t *v) { return (srv_json *)v; }

srv_json *srv_json_object(void) { return out(json_object()); }

srv_json *srv_json_array(void) { return out(json_array()); }

void srv_json_set(srv_json *object, const char *key, srv_json *value)
{
    if (json_object_set_new(in(object), key, in(value))) /* takes NULL, frees on failure */
        incomplete = true;
}

static json_t *string(const char *value)
{
    json_t *text = json_string(value);
    if (!text) { /* not UTF-8, or no memory: then the copy fails as well */
        char *clean = prelu_strdup(value);
        if (clean) {
            srv_utf8_clean(clean);
            text = json_string(clean);
        }
        prelu_free(clean);
    }
    return text;
}

void srv_json_set_text(srv_json *object, const char *key, const char *value)
{
    srv_json_set(object, key, out(string(value)));
}

void srv_json_set_int(srv_json *object, const char *key, int64_t value)
{
    srv_json_set(object, key, out(json_integer(value)));
}

void srv_json_set_bool(srv_json *object, const char *key, bool value)
{
    srv_json_set(object, key, out(json_boolean(value)));
}

static json_t *real(double value) { return isfinite(value) ? json_real(value) : json_null(); }

void srv_json_set_real(srv_json *object, const char *key, double value)
{
    srv_json_set(object, key, out(real(value)));
}

void srv_json_append(srv_json *array, srv_json *value)
{
    if (json_array_append_new(in(array), in(value)))
        incomplete = true;
}

void srv_json_append_real(srv_json *array, double value)
{
    srv_json_append(array, out(real(value)));
}

void srv_json_append_int(srv_json *array, int64_t value)
{
    srv_json_append(array, out(json_integer(value)));
}

void srv_json_append_text(srv_json *array, const char *value)
{
    srv_json_append(array, out(string(value)));
}

char *srv_json_dump(srv_json *value, size_t *len)
{
    const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(9);
    char *text = NULL;
    size_t size = value ? json_dumpb(in(value), NULL, 0, flags) : 0;
    bool whole = !incomplete;
    incomplete = false;
    if (size && whole)
        text = prelu_alloc(size + 1);
    if (text) {
        if (json_dumpb(in(value), text, size, flags) != size) {
            prelu_free(text);
            text = NULL;
        } else {
            text[size] = 0;
            if (len)
                *len = size;
        }
    }
    srv_json_free(value);
    return text;
}

void srv_json_free(srv_json *value) { json_decref(in(value)); }

prelu_status srv_json_parse(srv_json **value, const char *text, size_t len, prelu_err *err)
{
    json_error_t where;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (!root && json_error_code(&where) == json_error_out_of_memory)
        return prelu_fail(err, PRELU_E_NOMEM, "JSON of %zu bytes", len);
    if (!root)
        return prelu_fail(err, PRELU_E_FORMAT, "%s in JSON, before byte %d",
                          json_error_code(&where) == json_error_duplicate_key ? "a key given twice"
                                                                              : "an error",
                          where.position);
    *value = out(root);
    return PRELU_OK;
}

srv_json *srv_json_get(srv_json *object, const char *key)
{
    return out(json_object_get(in(object), key));
}

srv_json *srv_json_at(srv_json *array, size_t i) { return out(json_array_get(in(array), i)); }

size_t srv_json_count(srv_json *array) { return json_array_size(in(array)); }

const char *srv_json_text(srv_json *value) { return json_string_value(in(value)); }

bool srv_json_int(srv_json *value, int64_t *number)
{
    *number = json_integer_value(in(value));
    return json_is_integer(in(value));
}

bool srv_json_is_object(srv_json *value) { return json_is_object(in(value)); }

bool srv_json_is_array(srv_json *value) { return json_is_array(in(value)); }

bool srv_json_is_null(srv_json *value) { return json_is_null(in(value)); }

bool srv_json_bool(srv_json *value, bool *yes)
{
    *yes = json_is_true(in(value));
    return json_is_boolean(in(value));
}

typedef prelu_status each_fn(void *ctx, const char *key, const char *value, prelu_err *err);

static prelu_status visit(const char *key, const json_t *v, each_fn *each, void *ctx,
                          prelu_err *err)
{
    char number[40];
    if (json_is_string(v))
        return each(ctx, key, json_string_value(v), err);
    if (json_is_boolean(v))
        return each(ctx, key, json_is_true(v) ? "on" : "off", err);
    if (json_is_integer(v))
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        snprintf(number, sizeof number, "%.9g", json_real_value(v));
    else
        return prelu_fail(err, PRELU_E_FORMAT, "\"%s\" is not text, a number, true or false", key);
    return each(ctx, key, number, err);
}

static prelu_status visit_all(json_t *root, each_fn *each, void *ctx, prelu_err *err)
{
    const char *key;
    json_t *v;
    if (!json_is_object(root))
        return prelu_fail(err, PRELU_E_FORMAT, "not a JSON object");
    json_object_foreach(root, key, v)
    {
        if (!json_is_array(v)) {
            PRELU_TRY(visit(key, v, each, ctx, err));
            continue;
        }
        for (size_t i = 0; i < json_array_size(v); i++)
            PRELU_TRY(visit(key, json_array_get(v, i), each, ctx, err));
    }
    return PRELU_OK;
}

static prelu_status read_all(const char *path, char *buf, size_t *len, prelu_err *err)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return prelu_fail(err, prelu_status_from_errno(errno), "%s: %s", path, strerror(errno));
    *len = fread(buf, 1, MAX_FILE + 1, f);
    int bad = ferror(f);
    fclose(f);
    if (bad)
        return prelu_fail(err, PRELU_E_IO, "%s: reading failed", path);
    if (*len > MAX_FILE)
        return prelu_fail(err, PRELU_E_LIMIT, "%s: longer than %d bytes", path, MAX_FILE);
    return PRELU_OK;
}

prelu_status srv_json_flat(const char *path, each_fn *each, void *ctx, prelu_err *err)
{
    json_error_t where;
    json_t *root = NULL;
    size_t len = 0;
    char *buf = prelu_alloc(MAX_FILE + 1);
    prelu_status st = buf ? read_all(path, buf, &len, err)
                          : prelu_fail(err, PRELU_E_NOMEM, "%s: no memory", path);
    if (st)
        goto out;
    root = json_loadb(buf, len, JSON_REJECT_DUPLICATES, &where);
    if (!root) {
        st = prelu_fail(err, PRELU_E_FORMAT, "%s:%d: %s", path, where.line, where.text);
        goto out;
    }
    st = visit_all(root, each, ctx, err);
out:
    json_decref(root);
    prelu_free(buf);
    return st;
}
