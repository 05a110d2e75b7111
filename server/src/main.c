#define _POSIX_C_SOURCE 200809L
#include "app.h"
#include "logger.h"
#include "notify.h"
#include "prelu/sha256.h"
#include "tls.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* prelu-serve: options, signals, drain. */

static int exit_code(prelu_status st)
{
    switch (st) {
    case PRELU_OK:
        return 0;
    case PRELU_E_ARG:
        return SRV_EX_USAGE;
    case PRELU_E_FORMAT:
    case PRELU_E_LIMIT:
    case PRELU_E_UNSUPPORTED:
        return SRV_EX_DATA;
    case PRELU_E_NOTFOUND:
        return SRV_EX_NOINPUT;
    case PRELU_E_BUSY:
        return SRV_EX_UNAVAILABLE;
    case PRELU_E_IO:
        return SRV_EX_IOERR;
    case PRELU_E_PERM:
        return SRV_EX_NOPERM;
    case PRELU_E_NOMEM:
    case PRELU_E_TIMEOUT:
    case PRELU_E_CANCELLED:
    case PRELU_E_INTERNAL:
        break;
    }
    return SRV_EX_SOFTWARE;
}

static int fail(const char *what, const prelu_err *err)
{
    prelu_log(PRELU_LOG_ERROR, "%s%s", what, err->text);
    return exit_code(err->code);
}

/* Wait for one of `set`, at most `ns` nanoseconds (< 0: for ever). @return its number, or 0. */
static int wait_signal(const sigset_t *set, int64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    int sig;
    do
        sig = ns < 0 ? sigwaitinfo(set, NULL) : sigtimedwait(set, NULL, &t);
    while (sig < 0 && errno == EINTR);
    return sig > 0 ? sig : 0;
}

/* Both phases. A second signal ends the process at once: with 75 if that loses a request. */
static int drain(srv_app *app, const sigset_t *set)
{
    const int64_t tick = 5000000;
    prelu_log(PRELU_LOG_INFO, "draining: %zu requests in flight", srv_app_active(app));
    srv_notify("STOPPING=1");
    srv_app_retire(app);
    if (app->config->drain_delay && wait_signal(set, app->config->drain_delay))
        _exit(srv_app_active(app) ? SRV_EX_TEMPFAIL : 0);
    srv_app_drain(app);
    int64_t until = srv_now() + app->config->drain_timeout;
    while (!srv_app_drained(app)) {
        if (wait_signal(set, tick) || srv_now() > until) {
            size_t lost = srv_app_active(app);
            prelu_log(lost ? PRELU_LOG_ERROR : PRELU_LOG_INFO, "%zu requests lost", lost);
            _exit(lost ? SRV_EX_TEMPFAIL : 0); /* threads may be deep in a run */
        }
    }
    prelu_log(PRELU_LOG_INFO, "drained, nothing lost");
    return 0;
}

/* Keys and certificate. @return 0 or an exit code. */
static int load_secrets(srv_app *app, const srv_config *config)
{
    prelu_err err = {0};
    prelu_status st = PRELU_OK;
    if (!config->tls_cert != !config->tls_key)
        st = prelu_fail(&err, PRELU_E_FORMAT, "--tls-cert and --tls-key need each other");
    if (!st && config->api_key_file)
        st = srv_keys_load(&app->keys, config->api_key_file, &err);
    if (!st && config->tls_cert)
        st = srv_tls_load(config->tls_cert, config->tls_key, &err);
    int code = st ? fail("", &err) : 0;
    return code == SRV_EX_DATA ? SRV_EX_CONFIG : code;
}

/* What a line of --api-key-file holds, for a key on standard input. Its end is not part of it. */
static int hash_key(void)
{
    char key[SRV_MAX_KEY_LEN + 2], hex[PRELU_SHA256_TEXT];
    if (!fgets(key, sizeof key, stdin)) {
        fputs("prelu-serve: hash-key reads a key from standard input\n", stderr);
        return SRV_EX_USAGE;
    }
    size_t len = strcspn(key, "\r\n");
    if (len == 0 || len > SRV_MAX_KEY_LEN) {
        fprintf(stderr, "prelu-serve: a key has 1 to %d bytes\n", SRV_MAX_KEY_LEN);
        return SRV_EX_USAGE;
    }
    prelu_sha256_text(hex, key, len);
    puts(hex);
    return 0;
}

static int serve(srv_app *app, const srv_config *config, const sigset_t *set)
{
    prelu_err err = {0};
    if (srv_app_open(app, config, &err))
        return fail("", &err);
    const char *scheme = config->tls_cert ? "https" : "http";
    if (config->unix_socket)
        prelu_log(PRELU_LOG_INFO, "listening on %s, %s", config->unix_socket, scheme);
    else
        prelu_log(PRELU_LOG_INFO, "listening on %s://%s:%d", scheme, config->host,
                  srv_http_port(app->http));
    if (config->port_file && srv_app_write_port(app, &err)) {
        fail("", &err);
        return SRV_EX_CANTCREAT;
    }
    if (srv_app_load(app, &err))
        return fail("cannot serve: ", &err);
    prelu_log(PRELU_LOG_INFO, "ready: prelu-serve %s, %s", PRELU_VERSION, prelu_cpu_text());
    sigset_t with_hangup = *set;
    sigaddset(&with_hangup, SIGHUP);
    const int64_t interval = srv_notify_interval();
    int sig;
    srv_notify("READY=1");
    while ((sig = wait_signal(&with_hangup, interval)) == SIGHUP || !sig) {
        if (sig)
            srv_app_reload(app);
        else
            srv_notify("WATCHDOG=1");
    }
    return drain(app, set);
}

static int check(srv_app *app, const srv_config *config)
{
    prelu_err err = {0};
    if (srv_app_check(app, config, &err))
        return fail("check failed: ", &err);
    const int n = app->registry.table->n;
    printf("ok: %d model%s\n", n, n == 1 ? "" : "s");
    return 0;
}

extern char **environ;

static const char *env(const char *name) { return getenv(name); }

int main(int argc, char **argv)
{
    srv_config config;
    static srv_app app;
    prelu_err err = {0};
    sigset_t set;
    const bool hash = argc == 2 && strcmp(argv[1], "hash-key") == 0;
    int code = srv_config_read(&config, hash ? 1 : argc, argv, env, &err);
    if (code) {
        fprintf(stderr, "prelu-serve: %s\n", err.text);
    } else if (hash) {
        code = hash_key();
    } else if (config.help) {
        srv_config_help(stdout);
    } else if (config.version) {
        printf("prelu-serve %s\n", PRELU_VERSION);
    } else if (config.print_config) {
        srv_config_print(&config, stdout);
    } else {
        /* Blocked before any thread starts, so that only wait_signal sees them. */
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        sigdelset(&set, SIGHUP);
        signal(SIGPIPE, SIG_IGN);
        srv_logger_start((srv_log_format)config.log_format, (prelu_log_level)config.log_level);
        srv_config_warn(environ);
        code = load_secrets(&app, &config);
        if (!code)
            code = config.check ? check(&app, &config) : serve(&app, &config, &set);
        srv_app_close(&app);
    }
    srv_config_deinit(&config);
    if ((fflush(stdout) || ferror(stdout)) && !code) {
        fputs("prelu-serve: writing to standard output failed\n", stderr);
        code = SRV_EX_IOERR;
    }
    return code;
}
