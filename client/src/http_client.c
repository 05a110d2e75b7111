#define _POSIX_C_SOURCE 200809L
#include "http_client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "bytes.h"

typedef struct slot {
    CURL *easy;
    bool busy;
    size_t tag;
    cli_bytes body; /* of the answer */
    char error[CURL_ERROR_SIZE];
} slot;

struct cli_http {
    CURLM *multi;
    struct curl_slist *headers;
    slot *slots;
    unsigned slot_count;
    slot **idle; /* the slots that are not busy */
    unsigned idle_count;
    int timer;     /* -1 until made */
    char *url;     /* curl_free */
    char *display; /* curl_free */
    bool local;    /* loopback or unix socket: no proxy, and a plain key stays on this machine */
    bool plain;    /* http */
    bool keyed;
};

bool cli_http_global_init(void) { return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK; }

void cli_http_global_deinit(void) { curl_global_cleanup(); }

static bool is_loopback(const char *host)
{
    unsigned char address[4];

    if (inet_pton(AF_INET, host, address) == 1)
        return address[0] == 127; /* a mere prefix test would take 127.example.com */
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

/* Appends the configured path to the one of the URL. */
static CURLUcode extend_path(CURLU *u, const char *tail)
{
    cli_bytes path;
    char *old = NULL;
    CURLUcode rc = curl_url_get(u, CURLUPART_PATH, &old, 0);

    if (rc)
        return rc;
    cli_bytes_init(&path, 0);
    cli_bytes_add_str(&path, old);
    if (path.len == 0 || path.data[path.len - 1] != '/')
        cli_bytes_add_char(&path, '/');
    if (cli_bytes_add_str(&path, tail))
        rc = curl_url_set(u, CURLUPART_PATH, cli_bytes_str(&path), 0);
    else
        rc = CURLUE_OUT_OF_MEMORY;
    cli_bytes_deinit(&path);
    curl_free(old);
    return rc;
}

static bool has_part(CURLU *u, CURLUPart part)
{
    char *value = NULL;
    bool there = curl_url_get(u, part, &value, 0) == CURLUE_OK;

    curl_free(value);
    return there;
}

/* Fills url, display, local, plain. @return NULL or what is wrong with the URL. */
static const char *parse_server(cli_http *h, const cli_http_config *cfg, CURLU *u)
{
    char *scheme = NULL;
    char *host = NULL;
    bool http;
    CURLUcode rc = curl_url_set(u, CURLUPART_URL, cfg->server, CURLU_GUESS_SCHEME);

    if (rc)
        return curl_url_strerror(rc);
    if (has_part(u, CURLUPART_QUERY) || has_part(u, CURLUPART_FRAGMENT))
        return "a server's URL ends before ? and #";
    if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) ||
        curl_url_get(u, CURLUPART_HOST, &host, 0)) {
        curl_free(scheme);
        return "no host in it";
    }
    h->plain = strcasecmp(scheme, "http") == 0;
    http = h->plain || strcasecmp(scheme, "https") == 0;
    h->local = cfg->unix_socket || is_loopback(host);
    curl_free(scheme);
    curl_free(host);
    if (!http)
        return "only http and https are spoken";
    rc = extend_path(u, cfg->path);
    if (!rc && cfg->query && *cfg->query)
        rc = curl_url_set(u, CURLUPART_QUERY, cfg->query, 0);
    if (!rc)
        rc = curl_url_get(u, CURLUPART_URL, &h->url, 0);
    if (!rc)
        rc = curl_url_set(u, CURLUPART_USER, NULL, 0);
    if (!rc)
        rc = curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
    if (!rc)
        rc = curl_url_set(u, CURLUPART_QUERY, NULL, 0);
    if (!rc)
        rc = curl_url_get(u, CURLUPART_URL, &h->display, 0);
    return rc ? curl_url_strerror(rc) : NULL;
}

static bool add_header(cli_http *h, const char *name, const char *value)
{
    cli_bytes line;
    struct curl_slist *grown = NULL;

    cli_bytes_init(&line, 0);
    if (cli_bytes_add_fmt(&line, "%s: %s", name, value))
        grown = curl_slist_append(h->headers, cli_bytes_str(&line));
    cli_bytes_deinit(&line);
    if (grown)
        h->headers = grown;
    return grown != NULL;
}

static size_t on_body(char *data, size_t one, size_t len, void *ctx)
{
    slot *s = ctx;

    (void)one; /* always 1 */
    return cli_bytes_add(&s->body, data, len) ? len : 0;
}

/* libcurl copies strings except the header list and the error buffer, which live as long as h. */
static bool setup_easy(cli_http *h, slot *s, const cli_http_config *cfg)
{
    CURL *e = s->easy = curl_easy_init();
    long timeout_ms = (long)(cfg->timeout_s * 1000);
    long connect_ms = (long)(CLI_CONNECT_TIMEOUT_S * 1000);
    CURLcode rc = e ? CURLE_OK : CURLE_OUT_OF_MEMORY;

    cli_bytes_init(&s->body, CLI_MAX_REPLY_LEN);
#define SET(option, value)                                                                         \
    if (!rc)                                                                                       \
    rc = curl_easy_setopt(e, option, value)
    SET(CURLOPT_URL, h->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_HTTPHEADER, h->headers);
    SET(CURLOPT_USERAGENT, cfg->user_agent);
    SET(CURLOPT_ERRORBUFFER, s->error);
    SET(CURLOPT_PRIVATE, (void *)s);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, (void *)s);
    SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)CLI_MAX_REPLY_LEN);
    SET(CURLOPT_TIMEOUT_MS, timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, timeout_ms < connect_ms ? timeout_ms : connect_ms);
    SET(CURLOPT_FOLLOWLOCATION, 0L); /* the key must not follow a redirect to another host */
    SET(CURLOPT_POST, 1L);
    if (h->local)
        SET(CURLOPT_PROXY, "");
    if (cfg->unix_socket)
        SET(CURLOPT_UNIX_SOCKET_PATH, cfg->unix_socket);
    if (cfg->cacert)
        SET(CURLOPT_CAINFO, cfg->cacert);
#undef SET
    return rc == CURLE_OK;
}

static bool setup_slots(cli_http *h, const cli_http_config *cfg)
{
    /* image/jpeg would be a claim we have not checked; the server goes by the bytes. */
    if (!add_header(h, "Content-Type", "application/octet-stream") ||
        !add_header(h, "Accept", "application/json"))
        return false;
    if (cfg->bearer) {
        cli_bytes value;
        bool ok;

        cli_bytes_init(&value, 0);
        ok = cli_bytes_add_fmt(&value, "Bearer %s", cfg->bearer) &&
             add_header(h, "Authorization", cli_bytes_str(&value));
        cli_bytes_deinit(&value);
        h->keyed = true;
        if (!ok)
            return false;
    }
    h->multi = curl_multi_init();
    h->slots = calloc(cfg->slots, sizeof *h->slots);
    h->idle = calloc(cfg->slots, sizeof *h->idle);
    h->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (!h->multi || !h->slots || !h->idle || h->timer < 0 ||
        curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)cfg->slots) != CURLM_OK)
        return false;
    h->slot_count = cfg->slots;
    for (unsigned i = 0; i < cfg->slots; i++) {
        if (!setup_easy(h, &h->slots[i], cfg))
            return false;
        h->idle[h->idle_count++] = &h->slots[i];
    }
    return true;
}

cli_http *cli_http_create(const cli_http_config *cfg, bool *usage, char *why, size_t why_len)
{
    cli_http *h = calloc(1, sizeof *h);
    CURLU *u = curl_url();
    const char *wrong = NULL;

    *usage = false;
    if (h)
        h->timer = -1;
    if (!h || !u) {
        snprintf(why, why_len, "out of memory");
        goto fail;
    }
    wrong = parse_server(h, cfg, u);
    if (wrong) {
        *usage = true;
        snprintf(why, why_len, "%s", wrong);
        goto fail;
    }
    if (!setup_slots(h, cfg)) {
        snprintf(why, why_len, "libcurl cannot be set up");
        goto fail;
    }
    curl_url_cleanup(u);
    return h;
fail:
    curl_url_cleanup(u);
    cli_http_destroy(&h);
    return NULL;
}

void cli_http_destroy(cli_http **hp)
{
    cli_http *h = *hp;

    if (!h)
        return;
    for (unsigned i = 0; i < h->slot_count; i++) {
        slot *s = &h->slots[i];
        if (s->busy)
            curl_multi_remove_handle(h->multi, s->easy);
        curl_easy_cleanup(s->easy);
        cli_bytes_deinit(&s->body);
    }
    free(h->slots);
    free(h->idle);
    if (h->timer >= 0)
        close(h->timer);
    curl_multi_cleanup(h->multi);
    curl_slist_free_all(h->headers);
    curl_free(h->url);
    curl_free(h->display);
    free(h);
    *hp = NULL;
}

const char *cli_http_display(const cli_http *h) { return h->display; }

bool cli_http_key_exposed(const cli_http *h) { return h->keyed && h->plain && !h->local; }

bool cli_http_post(cli_http *h, size_t tag, const void *body, size_t body_len)
{
    slot *s;

    if (!h->idle_count)
        return false;
    s = h->idle[h->idle_count - 1];
    cli_bytes_clear(&s->body);
    s->error[0] = '\0';
    s->tag = tag;
    /* A NULL pointer would make libcurl ask a read callback instead of sending nothing. */
    if (curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, body_len ? body : "") != CURLE_OK ||
        curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_len) != CURLE_OK ||
        curl_multi_add_handle(h->multi, s->easy) != CURLM_OK)
        return false;
    s->busy = true;
    h->idle_count--;
    return true;
}

static cli_http_outcome classify_error(CURLcode rc, const slot *s)
{
    curl_off_t ready_us = 0;

    curl_easy_getinfo(s->easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
    if (s->body.no_mem)
        return CLI_HTTP_INTERNAL;
    if (s->body.too_long || rc == CURLE_FILESIZE_EXCEEDED)
        return CLI_HTTP_TOO_LARGE;
    if (rc == CURLE_OPERATION_TIMEDOUT)
        return ready_us ? CLI_HTTP_TIMEOUT : CLI_HTTP_UNREACHABLE;
    if (rc == CURLE_SEND_ERROR || rc == CURLE_RECV_ERROR || rc == CURLE_GOT_NOTHING ||
        rc == CURLE_PARTIAL_FILE)
        return CLI_HTTP_BROKEN;
    if (rc == CURLE_WEIRD_SERVER_REPLY || rc == CURLE_UNSUPPORTED_PROTOCOL ||
        rc == CURLE_BAD_CONTENT_ENCODING)
        return CLI_HTTP_GARBLED;
    if (rc == CURLE_OUT_OF_MEMORY || rc == CURLE_BAD_FUNCTION_ARGUMENT || rc == CURLE_FAILED_INIT)
        return CLI_HTTP_INTERNAL;
    return ready_us ? CLI_HTTP_BROKEN : CLI_HTTP_UNREACHABLE;
}

/* Seconds are read as a double: a number of any length is just large. Dates are libcurl's. */
static double read_retry_after(CURL *easy)
{
    struct curl_header *header = NULL;
    curl_off_t seconds = 0;

    if (curl_easy_header(easy, "Retry-After", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return -1;
    if (header->value[0] && !header->value[strspn(header->value, "0123456789")])
        return strtod(header->value, NULL);
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
    return seconds > 0 ? (double)seconds : -1;
}

static void deliver(cli_http *h, slot *s, CURLcode rc, cli_http_done *done, void *ctx)
{
    cli_http_reply reply = {.retry_after_s = -1, .type = ""};
    cli_bytes body = s->body; /* the callback may post again into this slot */
    char error[CURL_ERROR_SIZE];
    char *type = NULL;
    char type_copy[128];
    long status = 0;
    long os_error = 0;

    curl_easy_getinfo(s->easy, CURLINFO_OS_ERRNO, &os_error);
    if (rc == CURLE_COULDNT_CONNECT && os_error > 0) /* libcurl's own words lack the reason */
        snprintf(error, sizeof error, "%s", strerror((int)os_error));
    else
        snprintf(error, sizeof error, "%s", s->error[0] ? s->error : curl_easy_strerror(rc));
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(s->easy, CURLINFO_CONTENT_TYPE, &type);
    snprintf(type_copy, sizeof type_copy, "%s", type ? type : "");
    reply.outcome = rc == CURLE_OK ? CLI_HTTP_ANSWERED : classify_error(rc, s);
    reply.status = status >= 100 && status <= 999 ? (int)status : 0;
    reply.retry_after_s = read_retry_after(s->easy);
    reply.type = type_copy;
    reply.body = cli_bytes_str(&body);
    reply.body_len = body.len;
    reply.error = error;
    cli_bytes_init(&s->body, CLI_MAX_REPLY_LEN);
    s->busy = false;
    h->idle[h->idle_count++] = s;
    done(ctx, s->tag, &reply);
    cli_bytes_deinit(&body);
}

/* libcurl waits whole milliseconds only: a timer among its descriptors ends the wait in time. */
static void wait_for_news(cli_http *h, double wait_s)
{
    struct curl_waitfd timer = {.fd = h->timer, .events = CURL_WAIT_POLLIN};
    struct itimerspec t = {.it_value.tv_sec = (time_t)wait_s};

    t.it_value.tv_nsec = (long)((wait_s - (double)t.it_value.tv_sec) * 1e9);
    if (t.it_value.tv_sec || t.it_value.tv_nsec) { /* a timer of 0 would never ring */
        timerfd_settime(h->timer, 0, &t, NULL);
        curl_multi_poll(h->multi, &timer, 1, (int)ceil(wait_s * 1000), NULL);
    }
}

void cli_http_poll(cli_http *h, double wait_s, cli_http_done *done, void *ctx)
{
    CURLMsg *message;
    int running = 0;
    int left = 0;

    curl_multi_perform(h->multi, &running);
    message = curl_multi_info_read(h->multi, &left);
    if (!message) {
        wait_for_news(h, wait_s);
        curl_multi_perform(h->multi, &running);
        message = curl_multi_info_read(h->multi, &left);
    }
    for (; message; message = curl_multi_info_read(h->multi, &left)) {
        CURL *easy = message->easy_handle;
        CURLcode rc = message->data.result; /* message dies with the handle's removal */
        char *private = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
        curl_multi_remove_handle(h->multi, easy);
        deliver(h, (slot *)(void *)private, rc, done, ctx);
    }
}
