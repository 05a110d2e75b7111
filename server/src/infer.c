/* POST /v2/models/NAME/infer: the Open Inference Protocol, with its binary and classification
 * extensions. */
#include "base64.h"
#include "door.h"
#include "gate.h"
#include "jsonscan.h"
#include "oip.h"
#include "prelu/mem.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_ID = 256 };

typedef struct infer {
    size_t json_len; /* of the body; the rest is binary */
    bool tested;     /* the request says how its pictures are to be tested */
    bool raw;        /* all of the body is the only input */
    char id[MAX_ID + 1];
    bool binary; /* the output goes out as bytes */
    size_t k;    /* of classification; 0: scores of all classes */
} infer;

/* What a request says of its input. */
typedef struct tensor {
    bool bytes; /* pictures as JPEGs; else FP32 */
    size_t n, count;
    unsigned char *data; /* binary; or */
    size_t len;
    const struct srv_json_span *span; /* JSON */
} tensor;

static prelu_status bad(prelu_err *err, const char *what)
{
    return prelu_fail(err, PRELU_E_FORMAT, "%s", what);
}

static size_t crop_of(const request *r)
{
    return (size_t)r->entry->members[0]->model->preprocess.crop;
}

/* ---- before the body ---- */

static prelu_status infer_query(request *r, const srv_query *q, const srv_request_info *info,
                                prelu_err *err)
{
    const srv_query none = {.n = 0};
    uint64_t len = UINT64_MAX;
    infer *in = prelu_calloc(1, sizeof *in);
    if (!in)
        return prelu_fail(err, PRELU_E_NOMEM, "a request");
    r->extra = in;
    PRELU_TRY(srv_oip_entry(&r->entry, r->table, info->path, err));
    if (q->n)
        return prelu_fail(err, PRELU_E_ARG, "no query parameters are known here");
    if (info->json_length && !srv_parse_length(info->json_length, strlen(info->json_length), &len))
        return bad(err, "Inference-Header-Content-Length is not a number in range");
    in->json_len = len < SIZE_MAX ? (size_t)len : SIZE_MAX;
    in->raw = len == 0;
    return srv_request_test(r, &none, err);
}

/* ---- the JSON ---- */

/* mode, average, scales and budget_ms may stand among the request's parameters, and mean what they
 * mean in a query. Others are ignored: clients send what other servers know. */
static prelu_status read_parameters(request *r, srv_json *o, prelu_err *err)
{
    static const char *const keys[] = {"mode", "average", "scales", "budget_ms"};
    infer *in = r->extra;
    srv_query q = {.n = 0};
    char number[24];
    bool binary;
    int64_t ms;
    if (!o)
        return PRELU_OK;
    if (!srv_json_is_object(o))
        return bad(err, "\"parameters\" is not an object");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        srv_json *v = srv_json_get(o, keys[i]);
        q.key[q.n] = keys[i];
        q.value[q.n] = srv_json_text(v);
        if (v && srv_json_int(v, &ms)) {
            snprintf(number, sizeof number, "%lld", (long long)ms);
            q.value[q.n] = number;
        }
        if (v && !q.value[q.n])
            return prelu_fail(err, PRELU_E_FORMAT, "parameter \"%s\" is not text", keys[i]);
        q.n += v != NULL;
    }
    if (srv_json_bool(srv_json_get(o, "binary_data_output"), &binary))
        in->binary = binary;
    in->tested = q.n > 0;
    return q.n ? srv_request_test(r, &q, err) : PRELU_OK;
}

static prelu_status read_output(infer *in, srv_json *o, int classes, prelu_err *err)
{
    const char *name = srv_json_text(srv_json_get(o, "name"));
    srv_json *p = srv_json_get(o, "parameters"), *k = srv_json_get(p, "classification");
    bool binary;
    int64_t n;
    if (!name || strcmp(name, SRV_OIP_OUTPUT) != 0)
        return prelu_fail(err, PRELU_E_FORMAT, "the only output is \"%s\"", SRV_OIP_OUTPUT);
    if (srv_json_bool(srv_json_get(p, "binary_data"), &binary))
        in->binary = binary;
    if (!k)
        return PRELU_OK;
    if (!srv_json_int(k, &n) || n < 0)
        return bad(err, "\"classification\" is not a number of classes");
    in->k = n < classes ? (size_t)n : (size_t)classes; /* 0, as without */
    return PRELU_OK;
}

/* @param n  pictures; @param count  elements of the tensor. */
static prelu_status read_shape(tensor *t, const request *r, srv_json *shape, prelu_err *err)
{
    const size_t rank = srv_json_count(shape), crop = crop_of(r);
    const size_t want[4] = {0, 3, crop, crop};
    int64_t d[4] = {0};
    bool fits = rank == 4 || (t->bytes && (rank == 1 || rank == 2));
    for (size_t i = 0; fits && i < rank; i++)
        fits = srv_json_int(srv_json_at(shape, i), &d[i]) && d[i] > 0 &&
               (i == 0 || d[i] == (t->bytes ? 1 : (int64_t)want[i]));
    if (!fits && t->bytes)
        return bad(err, "the shape of BYTES is not [N] or [N,1]");
    if (!fits)
        return prelu_fail(err, PRELU_E_FORMAT, "the shape of FP32 is not [N,3,%zu,%zu]", crop,
                          crop);
    if (d[0] > r->app->config->max_images)
        return prelu_fail(err, PRELU_E_LIMIT, "more than %lld pictures (--max-images)",
                          (long long)r->app->config->max_images);
    t->n = (size_t)d[0];
    t->count = t->bytes ? t->n : t->n * 3 * crop * crop; /* at most 1024 * 3 * 65500^2 */
    return PRELU_OK;
}

static prelu_status read_input(tensor *t, request *r, srv_json *o, const srv_json_cut *cut,
                               prelu_err *err)
{
    const infer *in = r->extra;
    const char *name = srv_json_text(srv_json_get(o, "name")),
               *type = srv_json_text(srv_json_get(o, "datatype"));
    srv_json *data = srv_json_get(o, "data"),
             *size = srv_json_get(srv_json_get(o, "parameters"), "binary_data_size");
    const size_t follows = r->body_len - in->json_len;
    int64_t v;
    if (!name || strcmp(name, SRV_OIP_INPUT) != 0)
        return prelu_fail(err, PRELU_E_FORMAT, "the only input is \"%s\"", SRV_OIP_INPUT);
    if (!type || (strcmp(type, "FP32") != 0 && strcmp(type, "BYTES") != 0))
        return bad(err, "datatype is neither FP32 nor BYTES");
    t->bytes = type[0] == 'B';
    PRELU_TRY(read_shape(t, r, srv_json_get(o, "shape"), err));
    if ((data != NULL) == (size != NULL))
        return bad(err,
                   data ? "both data and binary_data_size" : "neither data nor binary_data_size");
    if (size) {
        if (!srv_json_int(size, &v) || v < 0 || (uint64_t)v != follows)
            return prelu_fail(err, PRELU_E_FORMAT,
                              "binary_data_size is not the %zu bytes that follow the JSON",
                              follows);
        t->data = r->body + in->json_len;
        t->len = follows;
        return PRELU_OK;
    }
    if (follows)
        return prelu_fail(err, PRELU_E_FORMAT, "%zu bytes follow the JSON, and no binary_data_size",
                          follows);
    if (!srv_json_int(data, &v) || v < 0 || (uint64_t)v >= cut->n)
        return bad(err, "\"data\" is not an array");
    t->span = &cut->span[v];
    return PRELU_OK;
}

static prelu_status read_root(tensor *t, request *r, srv_json *root, const srv_json_cut *cut,
                              prelu_err *err)
{
    infer *in = r->extra;
    const int classes = r->entry->members[0]->model->classes;
    srv_json *id = srv_json_get(root, "id"), *outputs = srv_json_get(root, "outputs"),
             *inputs = srv_json_get(root, "inputs");
    const char *text = srv_json_text(id);
    if (!srv_json_is_object(root))
        return bad(err, "the JSON is not an object");
    if (id && (!text || strlen(text) > MAX_ID))
        return prelu_fail(err, PRELU_E_FORMAT, "\"id\" is not text of at most %d bytes", MAX_ID);
    snprintf(in->id, sizeof in->id, "%s", text ? text : "");
    if (!srv_json_is_array(inputs) || srv_json_count(inputs) != 1)
        return bad(err, "\"inputs\" is not an array of one input");
    if (outputs && (!srv_json_is_array(outputs) || srv_json_count(outputs) > 1))
        return bad(err, "\"outputs\" is not an array of one output");
    PRELU_TRY(read_parameters(r, srv_json_get(root, "parameters"), err));
    if (srv_json_count(outputs))
        PRELU_TRY(read_output(in, srv_json_at(outputs, 0), classes, err));
    return read_input(t, r, srv_json_at(inputs, 0), cut, err);
}

static prelu_status read_json(tensor *t, request *r, srv_json_cut *cut, prelu_err *err)
{
    infer *in = r->extra;
    if (in->json_len == SIZE_MAX)
        in->json_len = r->body_len;
    if (in->json_len > r->body_len)
        return prelu_fail(err, PRELU_E_FORMAT,
                          "Inference-Header-Content-Length is %zu, the body %zu bytes",
                          in->json_len, r->body_len);
    if (in->json_len > SRV_MAX_JSON)
        return prelu_fail(err, PRELU_E_LIMIT, "%zu bytes of JSON; limit %d", in->json_len,
                          SRV_MAX_JSON);
    char *tree = prelu_alloc(in->json_len + 1);
    if (!tree)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu bytes of JSON", in->json_len);
    srv_json *root = NULL;
    prelu_status st = srv_json_scan((char *)r->body, in->json_len, tree, cut, err);
    if (!st)
        st = srv_json_parse(&root, tree, in->json_len, err);
    if (!st)
        st = read_root(t, r, root, cut, err);
    srv_json_free(root);
    prelu_free(tree);
    return st;
}

/* ---- the tensor ---- */

static prelu_status take_text(void *ctx, size_t i, char *text, size_t len, prelu_err *err)
{
    srv_task *task = &((request *)ctx)->tasks[i];
    prelu_err why = {0};
    task->jpeg = text;
    const prelu_status st = srv_base64_decode(text, len, &task->len, &why);
    return st ? prelu_fail(err, st, "picture %zu is %s", i, why.text) : PRELU_OK;
}

/* Each is a length of 4 bytes and as many bytes. */
static prelu_status take_pictures(request *r, const tensor *t, prelu_err *err)
{
    const unsigned char *p = t->data;
    size_t left = t->len;
    if (t->span)
        return srv_span_texts(t->span, t->n, take_text, r, err);
    for (size_t i = 0; i < t->n; i++) {
        size_t len =
            left < 4 ? 0
                     : (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
        if (left < 4 || len > left - 4)
            return prelu_fail(err, PRELU_E_FORMAT, "BYTES ends within picture %zu of %zu", i, t->n);
        r->tasks[i].jpeg = p + 4;
        r->tasks[i].len = len;
        p += 4 + len;
        left -= 4 + len;
    }
    if (left)
        return prelu_fail(err, PRELU_E_FORMAT, "%zu bytes behind the last of %zu pictures", left,
                          t->n);
    return PRELU_OK;
}

static prelu_status take_floats(request *r, const tensor *t, prelu_err *err)
{
    const srv_query center = {.n = 1, .key = {"mode"}, .value = {"center"}};
    const size_t one = t->count / t->n, bytes = t->count * sizeof(float);
    if (!((const infer *)r->extra)->tested)
        PRELU_TRY(srv_request_test(r, &center, err));
    if (r->tests[0].mode != PRELU_MODE_CENTER || r->budget_ms > 0 || r->entry->n > 1)
        return bad(err, "FP32 is for one model in mode center: other modes and ensembles need "
                        "pictures (BYTES)");
    if (!t->span && t->len != bytes)
        return prelu_fail(err, PRELU_E_FORMAT, "%zu bytes of FP32 are not the %zu of the shape",
                          t->len, bytes);
    if (t->span && t->count > t->span->len / 2)
        return prelu_fail(err, PRELU_E_FORMAT, "data has fewer numbers than the shape (%zu)",
                          t->count);
    r->tensors = prelu_alloc(bytes);
    if (!r->tensors)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu bytes of FP32", bytes);
    if (t->span)
        PRELU_TRY(srv_span_floats(t->span, r->tensors, t->count, err));
    else
        memcpy(r->tensors, t->data, bytes);
    for (size_t i = 0; i < t->count; i++)
        if (!isfinite(r->tensors[i]))
            return prelu_fail(err, PRELU_E_FORMAT, "element %zu of FP32 is not finite", i);
    for (size_t i = 0; i < t->n; i++)
        r->tasks[i].tensor = r->tensors + i * one;
    return PRELU_OK;
}

/* Without JSON the bytes decide: one JPEG, or as many FP32 pictures as it has the length of. */
static prelu_status read_raw(tensor *t, const request *r, prelu_err *err)
{
    const size_t one = 3 * crop_of(r) * crop_of(r) * sizeof(float);
    const bool jpeg = r->body_len > 2 && r->body[0] == 0xff && r->body[1] == 0xd8;
    if (r->body_len == 0)
        return bad(err, "the body is empty");
    t->bytes = jpeg || r->body_len % one != 0;
    t->n = t->bytes ? 1 : r->body_len / one;
    t->count = t->n * one / sizeof(float);
    t->data = r->body;
    t->len = r->body_len;
    if (t->n > (size_t)r->app->config->max_images)
        return prelu_fail(err, PRELU_E_LIMIT, "more than %lld pictures (--max-images)",
                          (long long)r->app->config->max_images);
    return PRELU_OK;
}

static prelu_status infer_split(request *r, prelu_err *err)
{
    infer *in = r->extra;
    srv_json_cut cut = {.n = 0};
    tensor t = {.n = 0};
    PRELU_TRY(in->raw ? read_raw(&t, r, err) : read_json(&t, r, &cut, err));
    r->top_k = in->k ? in->k : 1;
    PRELU_TRY(srv_request_tasks(r, t.n, err));
    if (t.bytes && !in->raw)
        return take_pictures(r, &t, err);
    if (!t.bytes)
        return take_floats(r, &t, err);
    r->tasks[0].jpeg = t.data;
    r->tasks[0].len = t.len;
    return PRELU_OK;
}

/* ---- the reply ---- */

static void class_text(char *out, size_t room, const request *r, const prelu_prediction *p)
{
    const char *label = r->entry->members[0]->model->labels[p->class_index].label;
    snprintf(out, room, "%f:%d%s%s", p->score, p->class_index, *label ? ":" : "", label);
}

/* The output's bytes behind the JSON, or its values in it. */
static void add_output(const request *r, srv_json *o, srv_text *bytes)
{
    const infer *in = r->extra;
    const int classes = r->entry->members[0]->model->classes;
    srv_json *data = in->binary ? NULL : srv_json_array();
    char text[600];
    for (size_t i = 0; i < r->n; i++)
        for (size_t k = 0; k < (in->k ? in->k : (size_t)classes); k++) {
            if (in->k)
                class_text(text, sizeof text, r, &r->tasks[i].top[k]);
            const uint32_t len = in->k ? (uint32_t)strlen(text) : 0;
            const float score = in->k ? 0 : (float)r->tasks[i].means[k];
            if (in->k && in->binary) {
                srv_text_add(bytes, &len, sizeof len);
                srv_text_add(bytes, text, len);
            } else if (in->k) {
                srv_json_append_text(data, text);
            } else if (in->binary) {
                srv_text_add(bytes, &score, sizeof score);
            } else {
                srv_json_append_real(data, (double)score);
            }
        }
    if (data) {
        srv_json_set(o, "data", data);
        return;
    }
    srv_json *p = srv_json_object();
    srv_json_set_int(p, "binary_data_size", (int64_t)bytes->len);
    srv_json_set(o, "parameters", p);
}

static srv_json *describe(const request *r, srv_text *bytes)
{
    const infer *in = r->extra;
    const int classes = r->entry->members[0]->model->classes;
    srv_json *root = srv_json_object(), *list = srv_json_array(), *o = srv_json_object(),
             *shape = srv_json_array();
    srv_json_set_text(root, "model_name", r->entry->name);
    srv_json_set_text(root, "model_version", r->entry->version);
    if (in->id[0])
        srv_json_set_text(root, "id", in->id);
    srv_json_set_text(o, "name", SRV_OIP_OUTPUT);
    srv_json_set_text(o, "datatype", in->k ? "BYTES" : "FP32");
    srv_json_append_int(shape, (int64_t)r->n);
    srv_json_append_int(shape, in->k ? (int64_t)in->k : classes);
    srv_json_set(o, "shape", shape);
    add_output(r, o, bytes);
    srv_json_append(list, o);
    srv_json_set(root, "outputs", list);
    return root;
}

static void infer_write(request *r, srv_reply *reply, double total_ms)
{
    const infer *in = r->extra;
    srv_text bytes = {.limit = SIZE_MAX / 2};
    (void)total_ms;
    if (srv_request_failed(r, reply))
        return;
    srv_reply_json(reply, 200, describe(r, &bytes));
    if (in->binary && reply->status == 200) {
        srv_text whole = {.limit = SIZE_MAX / 2};
        const size_t json_len = reply->body_len;
        srv_text_add(&whole, reply->body, json_len);
        srv_text_add(&whole, bytes.data, bytes.len);
        prelu_free(reply->body);
        reply->body = whole.data;
        reply->body_len = whole.len;
        reply->content_type = "application/octet-stream";
        srv_reply_header(reply, "Inference-Header-Content-Length", "%zu", json_len);
        if (whole.failed || bytes.failed) {
            prelu_err err = {0};
            srv_reply_deinit(reply);
            (void)prelu_fail(&err, PRELU_E_NOMEM, "a reply");
            srv_reply_failure(reply, &err, SRV_OF_REQUEST, r->id);
        }
    }
    srv_text_deinit(&bytes);
}

const srv_door srv_infer_door = {infer_query, infer_split, infer_write, true};

void srv_infer_headers(srv_app *app, srv_exchange *x, srv_reply *reply)
{
    srv_request_headers(app, x, reply, &srv_infer_door);
}
