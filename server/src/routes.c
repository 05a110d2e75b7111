#define _POSIX_C_SOURCE 200809L
#include "routes.h"
#include "assets.h"
#include "logger.h"
#include "oip.h"
#include "prelu/mem.h"
#include "reload.h"
#include "request.h"
#include <assert.h>
#include <string.h>

/* Which listeners a route is on; where there is no admin listener, METRICS are on the public one.
 */
typedef enum on { PUBLIC, METRICS, BOTH, ADMIN } on;

typedef struct route {
    const char *path; /* a template: "{...}" stands for one part */
    on on;
    unsigned methods; /* srv_method bits; OPTIONS and, with GET, HEAD come by themselves */
    const char *asset, *content_type; /* of a file that is served as it is */
    /** Fills the reply at once. */
    void (*answer)(srv_app *app, const srv_request_info *info, srv_reply *reply);
    /** Or these, for what is posted and takes time. */
    void (*headers)(srv_app *app, srv_exchange *x, srv_reply *reply);
    void (*request)(srv_app *app, srv_exchange *x);
    void (*left)(srv_app *app, srv_exchange *x);
    void (*finished)(srv_app *app, srv_exchange *x);
} route;

static void answer_text(srv_reply *r, int status, const char *text)
{
    srv_reply_static(r, "text/plain; charset=utf-8", text, strlen(text));
    r->status = status;
}

/* ---- health ---- */

static void healthz(srv_app *app, const srv_request_info *info, srv_reply *r)
{
    (void)app, (void)info;
    answer_text(r, 200, "ok\n");
}

static void readyz(srv_app *app, const srv_request_info *info, srv_reply *r)
{
    int state = atomic_load(&app->state);
    if (state == SRV_READY) {
        answer_text(r, 200, "ready\n");
        return;
    }
    if (state == SRV_LOADING)
        srv_reply_error(r, 503, "loading", "the models are being loaded", info->id);
    else
        srv_reply_error(r, 503, "draining", "the server is shutting down", info->id);
    srv_reply_header(r, "Retry-After", "1");
}

static void v2_live(srv_app *app, const srv_request_info *info, srv_reply *r)
{
    static const char live[] = "{\"live\":true}";
    (void)app, (void)info;
    srv_reply_static(r, "application/json", live, sizeof live - 1);
}

static void v2_ready(srv_app *app, const srv_request_info *info, srv_reply *r)
{
    static const char yes[] = "{\"ready\":true}";
    if (atomic_load(&app->state) != SRV_READY) {
        readyz(app, info, r);
        return;
    }
    srv_reply_static(r, "application/json", yes, sizeof yes - 1);
}

/* ---- metrics ---- */

/* @param t  what is served, held; NULL while it is being loaded. */
static void fill_gauges(srv_app *app, const srv_table *t, srv_gauges *g)
{
    g->ready = atomic_load(&app->state) == SRV_READY;
    g->in_flight = srv_http_active(app->http);
    g->connections = srv_http_connections(app->http);
    g->version = PRELU_VERSION;
    if (!t)
        return; /* nor are workers there */
    srv_queue_state q = srv_workers_look(app->workers);
    g->queue_depth = q.depth;
    g->queue_units = q.reserved;
    g->queue_capacity = q.limit;
    g->n_models = t->n;
    for (int i = 0; i < g->n_models; i++) {
        const srv_model *m = t->models[i];
        g->models[i] =
            (struct srv_model_gauge){.name = m->from.name,
                                     .version = m->from.version,
                                     .sha256 = srv_registry_digest(&app->registry, m->sha256),
                                     .precision = m->precision,
                                     .load_seconds = m->load_seconds};
    }
}

static void metrics(srv_app *app, const srv_request_info *info, srv_reply *r)
{
    srv_gauges g = {0};
    srv_text text = {.limit = 1 << 20};
    srv_table *t =
        atomic_load(&app->state) == SRV_LOADING ? NULL : srv_registry_hold(&app->registry);
    fill_gauges(app, t, &g);
    srv_metrics_write(&app->metrics, &g, &text);
    srv_table_release(t);
    if (text.failed) {
        srv_text_deinit(&text);
        srv_reply_error(r, 503, "out_of_memory", "out of memory, try again later", info->id);
        return;
    }
    r->status = 200;
    r->content_type = "text/plain; version=0.0.4; charset=utf-8";
    r->body = text.data;
    r->body_len = text.len;
}

/* ---- the table ---- */

/* What there is below a model, and below one of its versions. */
#define MODEL_ROUTES(base)                                                                         \
    {.path = base, .methods = SRV_GET, .answer = srv_oip_model},                                   \
        {.path = base "/ready", .methods = SRV_GET, .answer = srv_oip_ready},                      \
        {.path = base "/config", .methods = SRV_GET, .answer = srv_oip_config},                    \
        {.path = base "/stats", .methods = SRV_GET, .answer = srv_oip_stats},                      \
    {                                                                                              \
        .path = base "/infer", .methods = SRV_POST, .headers = srv_infer_headers,                  \
        .request = srv_request_body, .left = srv_request_left, .finished = srv_request_finished    \
    }

static const route table[] = {
    {.path = "/classify",
     .methods = SRV_POST,
     .headers = srv_classify_headers,
     .request = srv_request_body,
     .left = srv_request_left,
     .finished = srv_request_finished},
    {.path = "/embed",
     .methods = SRV_POST,
     .headers = srv_embed_headers,
     .request = srv_request_body,
     .left = srv_request_left,
     .finished = srv_request_finished},
    {.path = "/",
     .methods = SRV_GET | SRV_POST,
     .asset = "index.html",
     .content_type = "text/html; charset=utf-8",
     .headers = srv_hf_headers,
     .request = srv_request_body,
     .left = srv_request_left,
     .finished = srv_request_finished},
    {.path = "/app.js",
     .methods = SRV_GET,
     .asset = "app.js",
     .content_type = "text/javascript; charset=utf-8"},
    {.path = "/app.css",
     .methods = SRV_GET,
     .asset = "app.css",
     .content_type = "text/css; charset=utf-8"},
    {.path = "/openapi.json",
     .methods = SRV_GET,
     .asset = "openapi.json",
     .content_type = "application/json"},
    {.path = "/healthz", .on = BOTH, .methods = SRV_GET, .answer = healthz},
    {.path = "/readyz", .on = BOTH, .methods = SRV_GET, .answer = readyz},
    {.path = "/metrics", .on = METRICS, .methods = SRV_GET, .answer = metrics},
    {.path = "/v2/health/live", .methods = SRV_GET, .answer = v2_live},
    {.path = "/v2/health/ready", .methods = SRV_GET, .answer = v2_ready},
    {.path = "/v2", .methods = SRV_GET, .answer = srv_oip_server},
    {.path = "/v2/models/stats", .methods = SRV_GET, .answer = srv_oip_all_stats},
    {.path = "/v2/repository/index", .on = BOTH, .methods = SRV_POST, .answer = srv_oip_index},
    {.path = "/v2/repository/models/{model}/load",
     .on = ADMIN,
     .methods = SRV_POST,
     .request = srv_admin_load,
     .left = srv_admin_left},
    {.path = "/v2/repository/models/{model}/unload",
     .on = ADMIN,
     .methods = SRV_POST,
     .request = srv_admin_unload,
     .left = srv_admin_left},
    MODEL_ROUTES("/v2/models/{model}"),
    MODEL_ROUTES("/v2/models/{model}/versions/{version}"),
};
enum { N_ROUTES = sizeof table / sizeof *table };
static_assert((int)N_ROUTES < SRV_MAX_ROUTES, "raise SRV_MAX_ROUTES");

int srv_routes_names(const char *const **names)
{
    static const char *list[N_ROUTES];
    for (int i = 0; i < N_ROUTES; i++)
        list[i] = table[i].path;
    *names = list;
    return N_ROUTES;
}

static bool is_page(const route *r) { return r->asset && strcmp(r->asset, "openapi.json") != 0; }

/* A slash at the end changes nothing below /v2, as its clients expect. */
static bool matches(const char *pattern, const char *path)
{
    const bool slash = strncmp(path, "/v2", 3) == 0;
    for (; *pattern; pattern++, path++) {
        if (*pattern == '{') {
            const size_t part = strcspn(path, "/");
            if (part == 0)
                return false;
            path += part - 1;
            pattern += strcspn(pattern, "}");
        } else if (*pattern != *path) {
            return false;
        }
    }
    return *path == 0 || (slash && strcmp(path, "/") == 0);
}

/* Without the page, what is posted to its path remains. */
static bool is_on(const route *r, const srv_side *side, srv_method method)
{
    const srv_config *c = side->app->config;
    switch (r->on) {
    case PUBLIC:
        return !side->admin && !(c->no_ui && is_page(r) && !(r->methods & method & SRV_POST));
    case METRICS:
        return side->admin || !c->admin_listen;
    case BOTH:
        return true;
    case ADMIN:
        break;
    }
    return side->admin;
}

static int find(const srv_side *side, const char *path, srv_method method)
{
    for (int i = 0; i < N_ROUTES; i++)
        if (matches(table[i].path, path))
            return is_on(&table[i], side, method) ? i : -1;
    return -1;
}

static unsigned allowed(const route *r)
{
    return r->methods | SRV_OPTIONS | (r->methods & SRV_GET ? SRV_HEAD : 0u);
}

static void allow_header(srv_reply *reply, unsigned methods)
{
    srv_reply_header(reply, "Allow", "%s%s%sOPTIONS", methods & SRV_GET ? "GET, " : "",
                     methods & SRV_HEAD ? "HEAD, " : "", methods & SRV_POST ? "POST, " : "");
}

/* The page may load its own files and talk to its own server; nothing else, from nowhere else. */
static void page_headers(srv_reply *r)
{
    srv_reply_header(r, "Content-Security-Policy",
                     "default-src 'none'; script-src 'self'; style-src 'self'; "
                     "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
                     "form-action 'none'; frame-ancestors 'none'");
    srv_reply_header(r, "X-Content-Type-Options", "nosniff");
    srv_reply_header(r, "Referrer-Policy", "no-referrer");
}

static void answer_asset(const route *r, const srv_request_info *info, srv_reply *reply)
{
    const srv_asset *a = srv_asset_find(r->asset);
    if (a) {
        srv_reply_static(reply, r->content_type, a->data, a->len);
        page_headers(reply);
    } else {
        srv_reply_error(reply, 404, "not_found", "there is nothing at this path", info->id);
    }
}

/* Orchestrators that ask for health have no key. */
static bool needs_key(const char *path)
{
    return strcmp(path, "/healthz") != 0 && strcmp(path, "/readyz") != 0 &&
           strncmp(path, "/v2/health/", 11) != 0;
}

/* @return false with the reply filled. Neither it nor the log shows what was presented. */
static bool admitted(srv_app *app, const srv_request_info *info, srv_reply *reply)
{
    const char *key = srv_keys_presented(info->authorization, info->api_key);
    if (key && srv_keys_known(app->keys, key, strlen(key)))
        return true;
    srv_metrics_rejected(&app->metrics, SRV_REJECT_KEY);
    if (key)
        srv_reply_error(reply, 403, "wrong_key", "the key is not known here", info->id);
    else
        srv_reply_error(reply, 401, "key_missing",
                        "a key is needed: Authorization: Bearer KEY, or X-API-Key: KEY", info->id);
    srv_reply_header(reply, "WWW-Authenticate", "Bearer");
    return false;
}

/* Its share of requests, by the key it showed, else by where it is. */
static bool within_rate(srv_app *app, const srv_request_info *info, srv_reply *reply)
{
    const char *key = app->keys ? srv_keys_presented(info->authorization, info->api_key) : NULL;
    int seconds;
    if (key ? srv_limiter_take(app->limiter, key, strlen(key), info->started, &seconds)
            : srv_limiter_take(app->limiter, info->peer, sizeof info->peer, info->started,
                               &seconds))
        return true;
    srv_metrics_rejected(&app->metrics, SRV_REJECT_RATE);
    srv_reply_error(reply, 429, "too_many_requests",
                    "more requests a second than a client may send (--rate-limit)", info->id);
    srv_reply_header(reply, "Retry-After", "%d", seconds);
    return false;
}

/* Key, path and method. @return the route, or NULL with the reply filled. */
static const route *gate(const srv_side *side, srv_exchange *x, srv_reply *reply)
{
    srv_app *app = side->app;
    const srv_request_info *info = srv_exchange_info(x);
    if (info->method == SRV_OPTIONS && strcmp(info->path, "*") == 0) {
        reply->status = 204;
        allow_header(reply, SRV_GET | SRV_HEAD | SRV_POST);
        return NULL;
    }
    if (app->keys && needs_key(info->path) && !admitted(app, info, reply))
        return NULL;
    if (app->limiter && !side->admin && needs_key(info->path) && !within_rate(app, info, reply))
        return NULL;
    int i = find(side, info->path, info->method);
    if (i < 0) {
        srv_reply_error(reply, 404, "not_found", "there is nothing at this path", info->id);
        return NULL;
    }
    srv_exchange_set_user(x, NULL, i);
    if (info->method == SRV_OPTIONS) {
        reply->status = 204;
        allow_header(reply, allowed(&table[i]));
        return NULL;
    }
    if (!(info->method & allowed(&table[i]))) {
        srv_reply_error(reply, 405, "method_not_allowed", "the path does not take this method",
                        info->id);
        allow_header(reply, allowed(&table[i]));
        return NULL;
    }
    return &table[i];
}

static size_t on_headers(void *ctx, srv_exchange *x, srv_reply *reply)
{
    const srv_side *side = ctx;
    const route *r = gate(side, x, reply);
    if (!r || !r->headers || srv_exchange_info(x)->method != SRV_POST)
        return 0;
    r->headers(side->app, x, reply);
    return (size_t)side->app->config->max_body;
}

static void on_request(void *ctx, srv_exchange *x)
{
    srv_app *app = ((const srv_side *)ctx)->app;
    const route *r = &table[srv_exchange_route(x)]; /* else on_headers refused */
    if (r->request && srv_exchange_info(x)->method == SRV_POST) {
        r->request(app, x);
        return;
    }
    srv_reply reply = {0};
    if (r->asset)
        answer_asset(r, srv_exchange_info(x), &reply);
    else
        r->answer(app, srv_exchange_info(x), &reply);
    srv_exchange_reply(x, &reply);
}

static void on_left(void *ctx, srv_exchange *x)
{
    const route *r = &table[srv_exchange_route(x)]; /* only routes with `request` defer */
    r->left(((const srv_side *)ctx)->app, x);
}

static void on_finished(void *ctx, srv_exchange *x, const srv_outcome *o)
{
    srv_app *app = ((const srv_side *)ctx)->app;
    const srv_request_info *info = srv_exchange_info(x);
    int i = srv_exchange_route(x);
    srv_metrics_request(&app->metrics, i < 0 ? N_ROUTES : i, o->status,
                        (double)(o->ended - info->started) * 1e-9);
    if (o->replied && i >= 0 && table[i].request)
        srv_metrics_stage(&app->metrics, SRV_STAGE_REPLY, (double)(o->ended - o->replied) * 1e-9);
    if (o->code && strcmp(o->code, "body_too_large") == 0)
        srv_metrics_rejected(&app->metrics, SRV_REJECT_BODY);
    if (o->status == 408)
        srv_metrics_rejected(&app->metrics, SRV_REJECT_SLOW);
    srv_logger_access(info, i < 0 ? "other" : table[i].path, o);
    if (i >= 0 && table[i].finished)
        table[i].finished(app, x);
}

srv_handler srv_routes_handler(srv_side *side)
{
    return (srv_handler){.ctx = side,
                         .headers = on_headers,
                         .request = on_request,
                         .left = on_left,
                         .finished = on_finished};
}
