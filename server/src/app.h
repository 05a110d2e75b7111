#ifndef SRV_APP_H
#define SRV_APP_H
#include "config.h"
#include "http.h"
#include "keys.h"
#include "limiter.h"
#include "metrics.h"
#include "registry.h"
#include "worker.h"

/** A running server: what the routes need, in one place. Zero-initialise; `keys` may be set before
 * it is opened, and then belongs to it. */
typedef enum srv_state { SRV_LOADING, SRV_READY, SRV_DRAINING } srv_state;

/** One of the listeners: what it serves differs. */
typedef struct srv_side {
    struct srv_app *app;
    bool admin;
} srv_side;

typedef struct srv_app {
    const srv_config *config;
    srv_registry registry;
    prelu_pool *pool;
    srv_timer *timer;
    srv_workers *workers;
    srv_http *http, *admin; /* admin: NULL unless asked for */
    srv_side sides[2];      /* theirs */
    struct srv_reloader *reloader;
    srv_metrics metrics;
    srv_keys *keys;       /* NULL: no key is asked for */
    srv_limiter *limiter; /* NULL: any rate */
    atomic_int state;     /* srv_state; models and workers are there from SRV_READY on */
} srv_app;

/** Open the port: from now on /healthz answers, and /readyz says "loading".
 *  @return as srv_http_create; *app is to be closed either way. */
PRELU_MUST_CHECK prelu_status srv_app_open(srv_app *app, const srv_config *config, prelu_err *err);
/** Write the port to --port-file, atomically: whoever waits for the file never reads half a number.
 */
PRELU_MUST_CHECK prelu_status srv_app_write_port(const srv_app *app, prelu_err *err);
/** Load the models, warm up, become ready. @return as srv_registry_load. */
PRELU_MUST_CHECK prelu_status srv_app_load(srv_app *app, prelu_err *err);
/** Load and try the models without opening a port. */
PRELU_MUST_CHECK prelu_status srv_app_check(srv_app *app, const srv_config *config, prelu_err *err);
/** Read again what may change while serving: keys and certificate, at once, and models, in the
 * background. What cannot be read stays as it was, and the log says why. */
void srv_app_reload(srv_app *app);
/** First phase of the drain: not ready any more, still accepting. */
void srv_app_retire(srv_app *app);
/** Second phase begun: no new connections. */
void srv_app_drain(srv_app *app);
/** @return true when nothing is in flight and no connection is left; closes idle ones. */
bool srv_app_drained(srv_app *app);
/** Requests in flight. */
size_t srv_app_active(srv_app *app);
/** Free everything; nothing may be in flight. */
void srv_app_close(srv_app *app);
#endif
