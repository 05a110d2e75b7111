#define _POSIX_C_SOURCE 200809L
#include "reload.h"
#include "oip.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include <stdio.h>
#include <string.h>

enum { MAX_CHANGES = 16 }; /* that wait */

typedef struct change {
    bool unload;
    char name[129];  /* "" = every model */
    char id[65];     /* of the request */
    srv_exchange *x; /* to be answered; NULL: a signal */
} change;

struct srv_reloader {
    srv_app *app;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    change changes[MAX_CHANGES];
    int n;
    bool stop;
};

static prelu_status try_model(void *ctx, srv_model *m, prelu_err *err)
{
    const srv_app *app = ctx;
    return srv_workers_warm_up(app->workers, m, err);
}

static void answer(const change *c, prelu_status st, const prelu_err *err)
{
    srv_reply reply = {0};
    if (st == PRELU_E_NOTFOUND)
        srv_reply_error(&reply, 404, "unknown_model", err->text, c->id);
    else if (st == PRELU_E_NOMEM)
        srv_reply_failure(&reply, err, SRV_OF_REQUEST, c->id);
    else if (st)
        srv_reply_error(&reply, 400, "load_failed", err->text, c->id);
    else
        srv_reply_json(&reply, 200, srv_json_object());
    srv_exchange_reply(c->x, &reply);
}

static void make(srv_app *app, const change *c)
{
    const int64_t start = srv_now();
    prelu_err err = {0};
    const prelu_status st = c->unload
                                ? srv_registry_unload(&app->registry, c->name, &err)
                                : srv_registry_reload(&app->registry, c->name[0] ? c->name : NULL,
                                                      try_model, app, &err);
    srv_metrics_reload(&app->metrics, st == PRELU_OK);
    if (st)
        prelu_log(PRELU_LOG_ERROR, "reload: %s", err.text);
    else
        prelu_log(PRELU_LOG_INFO, "reload: models %s in %.1f ms", c->unload ? "unloaded" : "read",
                  (double)(srv_now() - start) * 1e-6);
    if (c->x)
        answer(c, st, &err);
}

static void *reload_thread(void *ctx)
{
    srv_reloader *r = ctx;
    pthread_mutex_lock(&r->lock);
    while (!r->stop) {
        if (r->n == 0) {
            pthread_cond_wait(&r->wake, &r->lock);
            continue;
        }
        const change c = r->changes[0];
        memmove(r->changes, r->changes + 1, (size_t)--r->n * sizeof c);
        pthread_mutex_unlock(&r->lock);
        make(r->app, &c);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

prelu_status srv_reloader_create(srv_reloader **out, srv_app *app, prelu_err *err)
{
    srv_reloader *r = prelu_calloc(1, sizeof *r);
    if (!r)
        return prelu_fail(err, PRELU_E_NOMEM, "reloader: no memory");
    r->app = app;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->wake, NULL);
    const int e = pthread_create(&r->thread, NULL, reload_thread, r);
    if (e) {
        prelu_free(r);
        return prelu_fail(err, prelu_status_from_errno(e), "a thread: %s", strerror(e));
    }
    *out = r;
    return PRELU_OK;
}

void srv_reloader_destroy(srv_reloader **reloader)
{
    srv_reloader *r = *reloader;
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    prelu_free(r);
    *reloader = NULL;
}

/* @return false when too many wait. */
static bool post(srv_reloader *r, const change *c)
{
    pthread_mutex_lock(&r->lock);
    const bool room = r->n < MAX_CHANGES;
    if (room)
        r->changes[r->n++] = *c;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    return room;
}

void srv_reloader_look(srv_reloader *r)
{
    if (!post(r, &(change){.x = NULL}))
        prelu_log(PRELU_LOG_WARN, "reload: %d changes wait already", MAX_CHANGES);
}

static void change_by_request(srv_app *app, srv_exchange *x, bool unload)
{
    const srv_request_info *info = srv_exchange_info(x);
    change c = {.unload = unload, .x = x};
    srv_reply reply = {0};
    snprintf(c.id, sizeof c.id, "%s", info->id);
    srv_oip_path_part(c.name, info->path, 3);
    if (atomic_load(&app->state) != SRV_READY) {
        srv_reply_error(&reply, 503, "not_ready",
                        "models are loaded only while the server is ready", c.id);
    } else if (!c.name[0]) {
        srv_reply_error(&reply, 404, "unknown_model", "no model of that name is served", c.id);
    } else {
        srv_exchange_defer(x);
        if (post(app->reloader, &c))
            return;
        srv_reply_error(&reply, 503, "busy", "too many changes wait already", c.id);
        srv_reply_header(&reply, "Retry-After", "1");
    }
    srv_exchange_reply(x, &reply);
}

void srv_admin_load(srv_app *app, srv_exchange *x) { change_by_request(app, x, false); }

void srv_admin_unload(srv_app *app, srv_exchange *x) { change_by_request(app, x, true); }

/* The change is made all the same; its reply goes nowhere. */
void srv_admin_left(srv_app *app, srv_exchange *x) { (void)app, (void)x; }
