#define _POSIX_C_SOURCE 200809L
#include "oip.h"
#include "query.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

void srv_oip_path_part(char out[129], const char *path, int n)
{
    size_t len = 0;
    out[0] = 0;
    for (int i = 0; path && i <= n; i++)
        path = i == 0 && *path != '/' ? NULL : strchr(path, '/') ? strchr(path, '/') + 1 : NULL;
    if (path)
        len = strcspn(path, "/");
    if (path && len < 129) {
        memcpy(out, path, len);
        out[len] = 0;
    }
}

/* Parts: v2, models, NAME, and perhaps versions, V. */
prelu_status srv_oip_entry(srv_entry **out, srv_table *t, const char *path, prelu_err *err)
{
    char name[129], versions[129], version[129], full[2 * 129];
    srv_oip_path_part(name, path, 2);
    srv_oip_path_part(versions, path, 3);
    srv_oip_path_part(version, path, 4);
    *out = srv_name_ok(name) ? srv_table_find(t, name) : NULL;
    if (!*out)
        return prelu_fail(err, PRELU_E_NOTFOUND, "no model of that name is served");
    if (strcmp(versions, "versions") == 0) {
        snprintf(full, sizeof full, "%s@%s", name, version);
        *out = srv_table_find(t, full);
    }
    return *out ? PRELU_OK
                : prelu_fail(err, PRELU_E_NOTFOUND, "the model is not served in that version");
}

/* @param table  to be released with an entry. @return NULL with the reply filled and no table. */
static srv_entry *find(srv_app *app, const srv_request_info *info, srv_table **table, srv_reply *r)
{
    prelu_err err = {0};
    srv_entry *e;
    *table = NULL;
    if (atomic_load(&app->state) == SRV_LOADING) {
        srv_reply_error(r, 503, "loading", "the models are being loaded", info->id);
        srv_reply_header(r, "Retry-After", "1");
        return NULL;
    }
    *table = srv_registry_hold(&app->registry);
    if (srv_oip_entry(&e, *table, info->path, &err) == PRELU_OK)
        return e;
    srv_reply_error(r, 404, "unknown_model", err.text, info->id);
    srv_table_release(*table);
    *table = NULL;
    return NULL;
}

static srv_json *texts(const char *const *list, size_t n)
{
    srv_json *a = srv_json_array();
    for (size_t i = 0; i < n; i++)
        srv_json_append_text(a, list[i]);
    return a;
}

static srv_json *numbers(const int64_t *list, size_t n)
{
    srv_json *a = srv_json_array();
    for (size_t i = 0; i < n; i++)
        srv_json_append_int(a, list[i]);
    return a;
}

static srv_json *one(srv_json *o)
{
    srv_json *a = srv_json_array();
    srv_json_append(a, o);
    return a;
}

void srv_oip_server(srv_app *app, const srv_request_info *info, srv_reply *r)
{
    static const char *const extensions[] = {"binary_tensor_data", "classification",
                                             "model_configuration", "statistics"};
    srv_json *o = srv_json_object();
    (void)app, (void)info;
    srv_json_set_text(o, "name", "prelu-serve");
    srv_json_set_text(o, "version", PRELU_VERSION);
    srv_json_set(o, "extensions", texts(extensions, sizeof extensions / sizeof *extensions));
    srv_reply_json(r, 200, o);
}

static srv_json *tensor(const char *name, const int64_t *shape, size_t rank)
{
    srv_json *o = srv_json_object();
    srv_json_set_text(o, "name", name);
    srv_json_set_text(o, "datatype", "FP32");
    srv_json_set(o, "shape", numbers(shape, rank));
    return o;
}

void srv_oip_model(srv_app *app, const srv_request_info *info, srv_reply *r)
{
    srv_table *t;
    const srv_entry *e = find(app, info, &t, r);
    if (!e)
        return;
    const prelu_model *m = e->members[0]->model;
    const int64_t crop = m->preprocess.crop, in[] = {-1, 3, crop, crop}, out[] = {-1, m->classes};
    const char *versions[SRV_MAX_MODELS];
    size_t n = 0;
    for (int i = t->n_entries - 1; i >= 0; i--)
        if (strcmp(t->entries[i].name, e->name) == 0)
            versions[n++] = t->entries[i].version;
    srv_json *o = srv_json_object();
    srv_json_set_text(o, "name", e->name);
    srv_json_set(o, "versions", texts(versions, n));
    srv_json_set_text(o, "platform", "onnx_onnxv1");
    srv_json_set(o, "inputs", one(tensor(SRV_OIP_INPUT, in, 4)));
    srv_json_set(o, "outputs", one(tensor(SRV_OIP_OUTPUT, out, 2)));
    srv_reply_json(r, 200, o);
    srv_table_release(t);
}

void srv_oip_ready(srv_app *app, const srv_request_info *info, srv_reply *r)
{
    srv_table *t;
    const srv_entry *e = find(app, info, &t, r);
    const bool ready = atomic_load(&app->state) == SRV_READY;
    if (!e)
        return;
    srv_json *o = srv_json_object();
    srv_json_set_text(o, "name", e->name);
    srv_json_set_bool(o, "ready", ready);
    srv_reply_json(r, ready ? 200 : 503, o);
    srv_table_release(t);
}

static srv_json *config_tensor(const char *name, const int64_t *dims, size_t rank)
{
    srv_json *o = srv_json_object();
    srv_json_set_text(o, "name", name);
    srv_json_set_text(o, "data_type", "TYPE_FP32");
    if (rank == 3)
        srv_json_set_text(o, "format", "FORMAT_NCHW");
    srv_json_set(o, "dims", numbers(dims, rank));
    return o;
}

void srv_oip_config(srv_app *app, const srv_request_info *info, srv_reply *r)
{
    srv_table *t;
    const srv_entry *e = find(app, info, &t, r);
    if (!e)
        return;
    const prelu_model *m = e->members[0]->model;
    const int64_t crop = m->preprocess.crop, in[] = {3, crop, crop}, out[] = {m->classes};
    srv_json *o = srv_json_object();
    srv_json_set_text(o, "name", e->name);
    srv_json_set_text(o, "platform", "onnx_onnxv1");
    srv_json_set_text(o, "backend", "prelu");
    srv_json_set_int(o, "max_batch_size", app->config->max_images);
    srv_json_set(o, "input", one(config_tensor(SRV_OIP_INPUT, in, 3)));
    srv_json_set(o, "output", one(config_tensor(SRV_OIP_OUTPUT, out, 1)));
    srv_reply_json(r, 200, o);
    srv_table_release(t);
}

static void set_duration(srv_json *o, const char *key, uint_fast64_t count, uint_fast64_t ns)
{
    srv_json *d = srv_json_object();
    srv_json_set_int(d, "count", (int64_t)count);
    srv_json_set_int(d, "ns", (int64_t)ns);
    srv_json_set(o, key, d);
}

static srv_json *stats(srv_entry *e)
{
    const srv_usage *u = &e->usage;
    const uint_fast64_t ok = atomic_load(&u->ok), pictures = atomic_load(&u->pictures);
    srv_json *o = srv_json_object(), *s = srv_json_object();
    srv_json_set_text(o, "name", e->name);
    srv_json_set_text(o, "version", e->version);
    srv_json_set_int(o, "last_inference", (int64_t)atomic_load(&u->last_ms));
    srv_json_set_int(o, "inference_count", (int64_t)pictures);
    srv_json_set_int(o, "execution_count", (int64_t)ok);
    set_duration(s, "success", ok, atomic_load(&u->ok_ns));
    set_duration(s, "fail", atomic_load(&u->failed), atomic_load(&u->failed_ns));
    set_duration(s, "queue", pictures, atomic_load(&u->queue_ns));
    set_duration(s, "compute_input", pictures, atomic_load(&u->prepare_ns));
    set_duration(s, "compute_infer", pictures, atomic_load(&u->infer_ns));
    set_duration(s, "compute_output", pictures, 0);
    srv_json_set(o, "inference_stats", s);
    srv_json_set(o, "batch_stats", srv_json_array());
    return o;
}

static void reply_stats(srv_reply *r, srv_json *list)
{
    srv_json *o = srv_json_object();
    srv_json_set(o, "model_stats", list);
    srv_reply_json(r, 200, o);
}

void srv_oip_stats(srv_app *app, const srv_request_info *info, srv_reply *r)
{
    srv_table *t;
    srv_entry *e = find(app, info, &t, r);
    if (e)
        reply_stats(r, one(stats(e)));
    srv_table_release(t);
}

/* What is served, held; NULL while it is being loaded. */
static srv_table *held(srv_app *app)
{
    return atomic_load(&app->state) == SRV_LOADING ? NULL : srv_registry_hold(&app->registry);
}

void srv_oip_all_stats(srv_app *app, const srv_request_info *info, srv_reply *r)
{
    srv_table *t = held(app);
    srv_json *list = srv_json_array();
    (void)info;
    for (int i = 0; t && i < t->n_entries; i++)
        srv_json_append(list, stats(&t->entries[i]));
    srv_table_release(t);
    reply_stats(r, list);
}

void srv_oip_index(srv_app *app, const srv_request_info *info, srv_reply *r)
{
    srv_table *t = held(app);
    srv_json *list = srv_json_array();
    (void)info;
    for (int i = 0; t && i < t->n_entries; i++) {
        const srv_entry *e = &t->entries[i];
        srv_json *o = srv_json_object();
        srv_json_set_text(o, "name", e->name);
        srv_json_set_text(o, "version", e->version);
        srv_json_set_text(o, "state", "READY");
        srv_json_set_text(o, "reason", "");
        srv_json_append(list, o);
    }
    srv_table_release(t);
    srv_reply_json(r, 200, list);
}

static uint_fast64_t nanoseconds(double ms) { return ms > 0 ? (uint_fast64_t)(ms * 1e6) : 0; }

void srv_usage_add(srv_usage *u, const srv_task *tasks, size_t n, double total_ms)
{
    struct timespec now;
    bool failed = false;
    for (size_t i = 0; i < n; i++) {
        const srv_task *t = &tasks[i];
        failed = failed || t->err.code;
        if (t->err.code)
            continue;
        atomic_fetch_add(&u->pictures, 1);
        atomic_fetch_add(&u->queue_ns, nanoseconds(t->queue_ms));
        atomic_fetch_add(&u->prepare_ns, nanoseconds(t->decode_ms + t->prepare_ms));
        atomic_fetch_add(&u->infer_ns, nanoseconds(t->infer_ms));
    }
    atomic_fetch_add(failed ? &u->failed : &u->ok, 1);
    atomic_fetch_add(failed ? &u->failed_ns : &u->ok_ns, nanoseconds(total_ms));
    clock_gettime(CLOCK_REALTIME, &now);
    atomic_store(&u->last_ms,
                 (uint_fast64_t)now.tv_sec * 1000 + (uint_fast64_t)now.tv_nsec / 1000000);
}
