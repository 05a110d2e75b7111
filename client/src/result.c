#define _POSIX_C_SOURCE 200809L
#include "result.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "termtext.h"

/* Real numbers of 15 digits survive the way through a double unchanged; the server sends 9. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(15))

static void drop_verdict(cli_result *r)
{
    free(r->error);
    free(r->code);
    free(r->predictions);
    free(r->chosen);
    free(r->json);
    r->ok = false;
    r->error = NULL;
    r->code = NULL;
    r->status = 0;
    r->predictions = NULL;
    r->count = 0;
    r->chosen = NULL;
    r->json = NULL;
}

void cli_result_init(cli_result *r, const char *file) { *r = (cli_result){.file = strdup(file)}; }

void cli_result_deinit(cli_result *r)
{
    drop_verdict(r);
    free(r->file);
    *r = (cli_result){0};
}

/* A failure whose words could not be stored can only be one of memory. */
const char *cli_result_error(const cli_result *r)
{
    return r->ok ? "" : r->error && r->code ? r->error : "out of memory";
}

const char *cli_result_code(const cli_result *r)
{
    return r->ok ? "" : r->error && r->code ? r->code : "out_of_memory";
}

static void set_failure(cli_result *r, int status, const char *code, const char *error)
{
    drop_verdict(r);
    r->status = status;
    r->error = strdup(error);
    r->code = strdup(code);
}

void cli_result_fail(cli_result *r, int status, const char *code, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    set_failure(r, status, code, text);
}

static const char *string_or(const json_t *object, const char *key, const char *other)
{
    const json_t *value = json_object_get(object, key);

    return json_is_string(value) ? json_string_value(value) : other;
}

/* Strings are borrowed from the row. @return false if the row is no usable prediction. */
static bool read_prediction(cli_prediction *p, const json_t *row)
{
    const json_t *index = json_object_get(row, "class");
    const json_t *score = json_object_get(row, "score");

    if (!json_is_number(score) || !isfinite(json_number_value(score)))
        return false;
    p->score = json_number_value(score);
    p->class_index = json_is_integer(index) && json_integer_value(index) >= 0
                         ? (long long)json_integer_value(index)
                         : -1;
    p->id = string_or(row, "id", "");
    p->label = string_or(row, "label", p->id);
    return *p->label || p->class_index >= 0;
}

static const char *move_string(char **to, const char *s)
{
    size_t len = strlen(s) + 1;
    char *copy = memcpy(*to, s, len);

    *to += len;
    return copy;
}

static void take_predictions(cli_result *r, const json_t *root)
{
    const json_t *rows = json_object_get(root, "predictions");
    size_t count = json_array_size(rows); /* of at most CLI_MAX_REPLY_LEN bytes: sums cannot wrap */
    size_t len = count * sizeof(cli_prediction);
    cli_prediction p;
    char *strings;

    for (size_t i = 0; i < count; i++) {
        if (!read_prediction(&p, json_array_get(rows, i))) {
            set_failure(r, 200, "bad_reply", "the server sent a prediction without label or score");
            return;
        }
        len += strlen(p.id) + strlen(p.label) + 2;
    }
    if (count == 0) {
        set_failure(r, 200, "bad_reply", "the server's answer holds no predictions");
        return;
    }
    r->predictions = malloc(len);
    if (!r->predictions)
        return;
    strings = (char *)(r->predictions + count);
    for (size_t i = 0; i < count; i++) {
        read_prediction(&p, json_array_get(rows, i));
        p.id = move_string(&strings, p.id);
        p.label = move_string(&strings, p.label);
        r->predictions[i] = p;
    }
    r->count = count;
    r->ok = true;
}

/* Sets a string member, ill-formed UTF-8 replaced. */
static bool put_string(json_t *object, const char *key, const char *value)
{
    cli_bytes text;
    bool ok;

    cli_bytes_init(&text, 0);
    cli_text_repair(&text, value);
    ok = !text.no_mem && !text.too_long &&
         json_object_set_new(object, key, json_string(cli_bytes_str(&text))) == 0;
    cli_bytes_deinit(&text);
    return ok;
}

/* Our members come first and stand: the server's own "file" or "status" does not replace them. */
static void write_json(cli_bytes *out, const cli_result *r, json_t *reply)
{
    json_t *object = json_object();
    char *dump = NULL;
    bool ok = object && put_string(object, "file", r->file ? r->file : "");

    if (ok && !r->ok)
        ok = put_string(object, "error", cli_result_error(r)) &&
             put_string(object, "code", cli_result_code(r)) &&
             json_object_set_new(object, "status", json_integer(r->status)) == 0;
    if (ok && reply)
        ok = json_object_update_missing(object, reply) == 0;
    if (ok)
        dump = json_dumps(object, DUMP_FLAGS);
    if (dump)
        cli_text_json_safe(out, dump);
    else
        out->no_mem = true;
    free(dump);
    json_decref(object);
}

void cli_result_from_reply(cli_result *r, int status, const char *body, size_t len,
                           const char *type)
{
    json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
    bool object = json_is_object(root);
    const char *error = status == 200 ? NULL : string_or(root, "error", NULL);
    cli_bytes text;

    drop_verdict(r);
    r->status = status;
    if (status == 200 && object)
        take_predictions(r, root);
    else if (error)
        set_failure(r, status, string_or(root, "code", "http_error"), error);
    else
        cli_result_fail(r, status, "bad_reply", "the server answered %d with %s%s%.80s", status,
                        object ? "JSON that is no result" : "no JSON object",
                        *type ? ", Content-Type " : "", type);
    if (r->ok && json_object_get(root, "auto"))
        r->chosen = strdup(string_or(root, "mode", ""));
    if (r->ok || error) {
        cli_bytes_init(&text, 0);
        write_json(&text, r, root);
        r->json = cli_bytes_take(&text);
    }
    json_decref(root);
}

void cli_result_json(cli_bytes *out, const cli_result *r)
{
    if (r->json)
        cli_bytes_add_str(out, r->json);
    else
        write_json(out, r, NULL);
}

bool cli_json_number(double *out, const char *text, size_t len, const char *const *path)
{
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *at = root;
    bool found;

    for (size_t i = 0; at && path[i]; i++)
        at = json_object_get(at, path[i]);
    found = path[0] ? json_is_number(at) : json_is_object(at);
    if (found && path[0])
        *out = json_number_value(at);
    json_decref(root);
    return found;
}
