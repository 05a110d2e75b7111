#define _POSIX_C_SOURCE 200809L
#include "app.h"
#include "prelu/log.h"
#include "reload.h"
#include "routes.h"
#include "tls.h"
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Room for the connections and for what else is open; a hard limit below that is reported. */
static void raise_nofile(size_t connections)
{
    struct rlimit l;
    rlim_t need = connections + 320;
    if (getrlimit(RLIMIT_NOFILE, &l) || l.rlim_cur >= need)
        return;
    l.rlim_cur = l.rlim_max < need ? l.rlim_max : need;
    if (setrlimit(RLIMIT_NOFILE, &l) || l.rlim_cur < need)
        prelu_log(PRELU_LOG_WARN, "only %llu file descriptors are allowed, --max-connections %zu",
                  (unsigned long long)l.rlim_cur, connections);
}

static int thread_count(const srv_config *c)
{
    return c->threads ? (int)c->threads : prelu_cpu_count();
}

/* What both a server and a check need. */
static prelu_status prepare(srv_app *app, const srv_config *config, prelu_err *err)
{
    static const char *const modes[SRV_METRIC_MODES] = {"center", "10view", "dense", "multiscale"};
    const char *const *names;
    int n = srv_routes_names(&names);
    app->config = config;
    app->sides[0] = (srv_side){.app = app};
    app->sides[1] = (srv_side){.app = app, .admin = true};
    srv_metrics_init(&app->metrics, names, n, modes);
    PRELU_TRY(prelu_cpu_init(err));
    PRELU_TRY(srv_timer_create(&app->timer, err));
    return prelu_pool_create(&app->pool, thread_count(config), err);
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* [HOST:]PORT or unix:PATH. Whoever reaches it can change what is served, so no other machine may.
 */
static prelu_status open_admin(srv_app *app, prelu_err *err)
{
    const srv_config *c = app->config;
    const char *text = c->admin_listen, *colon = strrchr(text, ':');
    char host[64] = "127.0.0.1", *end = NULL;
    srv_http_options o = {.threads = 1,
                          .host = host,
                          .max_connections = 64,
                          .max_buffered = 1 << 20,
                          .header_timeout = c->header_timeout,
                          .body_timeout = c->request_timeout,
                          .idle_timeout = c->idle_timeout,
                          .handler = srv_routes_handler(&app->sides[1])};
    if (strncmp(text, "unix:", 5) == 0) {
        o.path = text + 5;
    } else {
        const char *port = colon ? colon + 1 : text;
        const long n = strtol(port, &end, 10);
        if (colon)
            snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
        if (*port < '0' || *port > '9' || *end || n > 65535)
            return prelu_fail(err, PRELU_E_ARG, "--admin-listen: \"%.80s\" ends in no port", text);
        if (!is_loopback(host))
            return prelu_fail(err, PRELU_E_ARG,
                              "--admin-listen: %.63s is not a loopback address (127.0.0.1, ::1)",
                              host);
        o.port = (int)n;
    }
    PRELU_TRY(srv_http_create(&app->admin, &o, app->timer, err));
    if (o.path)
        prelu_log(PRELU_LOG_INFO, "admin listening on %s", o.path);
    else
        prelu_log(PRELU_LOG_INFO, "admin listening on http://%s:%d", host,
                  srv_http_port(app->admin));
    return PRELU_OK;
}

prelu_status srv_app_open(srv_app *app, const srv_config *config, prelu_err *err)
{
    PRELU_TRY(prepare(app, config, err));
    if (config->rate_limit)
        PRELU_TRY(srv_limiter_create(&app->limiter, config->rate_limit, err));
    raise_nofile((size_t)config->max_connections);
    int http = config->http_threads ? (int)config->http_threads : (thread_count(config) + 7) / 8;
    srv_http_options o = {.path = config->unix_socket,
                          .host = config->host,
                          .port = (int)config->port,
                          .threads = http,
                          .tls = srv_tls_callback(),
                          .max_connections = (size_t)config->max_connections,
                          .max_buffered = (size_t)config->max_buffered,
                          .header_timeout = config->header_timeout,
                          .body_timeout = config->request_timeout,
                          .idle_timeout = config->idle_timeout,
                          .handler = srv_routes_handler(&app->sides[0])};
    PRELU_TRY(srv_http_create(&app->http, &o, app->timer, err));
    return config->admin_listen ? open_admin(app, err) : PRELU_OK;
}

prelu_status srv_app_write_port(const srv_app *app, prelu_err *err)
{
    const char *path = app->config->port_file;
    char name[4096];
    int n = snprintf(name, sizeof name, "%s.%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof name)
        return prelu_fail(err, PRELU_E_ARG, "--port-file: a path of more than %zu bytes",
                          sizeof name - 1);
    FILE *f = fopen(name, "w");
    bool bad = !f || fprintf(f, "%d\n", srv_http_port(app->http)) < 0;
    if (f)
        bad = fclose(f) != 0 || bad;
    if (!bad && rename(name, path) == 0)
        return PRELU_OK;
    prelu_status st = prelu_status_from_errno(errno);
    (void)prelu_fail(err, st, "--port-file %s: %s", path, strerror(errno));
    if (f)
        unlink(name);
    return st;
}

/* The bound on a picture's memory at the limit of pixels, 3 to 2, and of the longest one that is
 * tested densely. */
static void say_memory(const srv_app *app, const srv_model *m)
{
    const double most = (double)app->config->max_pixels;
    prelu_test t = {.mode = m->dense ? PRELU_MODE_MULTISCALE : PRELU_MODE_10VIEW};
    double aspect[2] = {1.5, 1.5};
    size_t bytes[2] = {0};
    prelu_err err = {0};
    if (prelu_test_resolve(&t, m->model, m->dense, &err))
        return;
    int side = 1;
    for (int i = 0; i < t.n_scales; i++)
        side = t.scales[i] > side ? t.scales[i] : side;
    if (t.dense)
        aspect[1] = fmin((double)PRELU_MAX_DENSE_PIXELS / side, PRELU_MAX_SIDE / 2) / side;
    for (int i = 0; i < 2; i++) {
        const double height = sqrt(most / aspect[i]),
                     width = fmin(height * aspect[i], PRELU_MAX_SIDE);
        if (prelu_test_bytes(&bytes[i], &t, m->model, m->plan, app->pool, (int)width, (int)height,
                             &err))
            return;
    }
    prelu_log(PRELU_LOG_INFO,
              "model %s: a picture of %.0f MP takes at most %zu MiB (%s), the longest %zu MiB",
              m->from.name, most * 1e-6, (bytes[0] >> 20) + 1, prelu_mode_name(t.mode),
              (bytes[1] >> 20) + 1);
}

prelu_status srv_app_load(srv_app *app, prelu_err *err)
{
    const srv_config *c = app->config;
    int threads = thread_count(c);
    srv_worker_options o = {.threads = threads,
                            .max_batch = (size_t)c->max_batch,
                            .max_batch_delay = c->max_batch_delay,
                            .queue_limit =
                                c->queue_limit ? (size_t)c->queue_limit : 256 * (size_t)threads,
                            .limits = {.max_pixels = (size_t)c->max_pixels}};
    PRELU_TRY(srv_registry_load(&app->registry, c, app->pool, err));
    PRELU_TRY(srv_workers_create(&app->workers, app->pool, app->timer, &app->metrics, &o, err));
    for (int i = 0; i < app->registry.table->n; i++) {
        PRELU_TRY(srv_workers_warm_up(app->workers, app->registry.table->models[i], err));
        say_memory(app, app->registry.table->models[i]);
    }
    PRELU_TRY(srv_reloader_create(&app->reloader, app, err));
    atomic_store(&app->state, SRV_READY);
    return PRELU_OK;
}

prelu_status srv_app_check(srv_app *app, const srv_config *config, prelu_err *err)
{
    PRELU_TRY(prepare(app, config, err));
    return srv_app_load(app, err);
}

void srv_app_reload(srv_app *app)
{
    const srv_config *c = app->config;
    prelu_err err = {0};
    if (app->keys && srv_keys_reload(app->keys, &err))
        prelu_log(PRELU_LOG_ERROR, "reload: the old keys stay: %s", err.text);
    else if (app->keys)
        prelu_log(PRELU_LOG_INFO, "reload: keys read");
    if (c->tls_cert && srv_tls_load(c->tls_cert, c->tls_key, &err))
        prelu_log(PRELU_LOG_ERROR, "reload: the old certificate stays: %s", err.text);
    else if (c->tls_cert)
        prelu_log(PRELU_LOG_INFO, "reload: certificate read");
    srv_reloader_look(app->reloader);
}

void srv_app_retire(srv_app *app) { atomic_store(&app->state, SRV_DRAINING); }

void srv_app_drain(srv_app *app)
{
    srv_http_drain(app->http);
    if (app->admin)
        srv_http_drain(app->admin);
}

/* A client may just be sending on a connection that looks idle, or have been accepted a moment ago:
 * so idle ones are given a moment, in which a request still gets its reply. */
static bool drained(srv_http *h)
{
    srv_http_close_idle(h, INT64_C(300000000));
    return srv_http_active(h) == 0 && srv_http_connections(h) == 0;
}

bool srv_app_drained(srv_app *app)
{
    const bool admin = !app->admin || drained(app->admin);
    return drained(app->http) && admin && srv_workers_active(app->workers) == 0;
}

size_t srv_app_active(srv_app *app) { return srv_http_active(app->http); }

void srv_app_close(srv_app *app)
{
    srv_reloader_destroy(&app->reloader); /* what it should answer is answered */
    srv_http_destroy(&app->admin);
    srv_http_destroy(&app->http);   /* no request comes any more */
    prelu_pool_destroy(&app->pool); /* no job runs any more */
    srv_workers_destroy(&app->workers);
    srv_registry_deinit(&app->registry);
    srv_keys_destroy(&app->keys);
    srv_limiter_destroy(&app->limiter);
    srv_tls_unload();
    srv_timer_destroy(&app->timer);
}
