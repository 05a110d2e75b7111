#define _POSIX_C_SOURCE 200809L
#include "http.h"
#include "acceptor.h"
#include "gate.h"
#include "inflate.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include "text.h"
#include "trace.h"
#include "watch.h"
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* One exchange, seen from here:
 *
 *   uri_seen ── headers_in ──┬── body_piece … ── body_end ──┬── queue_reply ── completed
 *                            │                              └─ deferred, resumed ─┘
 *                            └── refuse: small body ── discard, queue_reply at its end
 *                                        large body ── raw reply, discard, close
 *
 * libmicrohttpd can queue a reply before the body or after it, not in between; so a refusal that
 * must be heard while the client is still sending is written to the socket by us (nothing else is
 * being written then), and the connection ends with it. With TLS only the library can write: there
 * a body of at most 4 MiB is read before its refusal, a larger one cut short by it, and what is too
 * slow is closed unheard. */

enum {
    URI_MOST = 8192,
    SMALL_BODY = 65536, /* a refused body that is read to its end for the sake of keep-alive */
    DISCARD_MOST = 4 << 20,
    FIRST_ROOM = 65536,        /* of a body's buffer; Content-Length is not trusted with more */
    CONNECTION_MEMORY = 65536, /* libmicrohttpd's, per connection: headers and reading */
    READ_STEP = 16384,
    EVICT_AT_ONCE = 64,
    LIMIT_SLACK = 256 /* connections the library may briefly hold above our limit */
};
#define SECOND INT64_C(1000000000)
static char tls_versions[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
static const int64_t discard_time = 2 * SECOND, reply_time = 30 * SECOND, probe_delay = SECOND / 50;

typedef enum phase {
    PHASE_NEW,     /* accepted, no request line yet */
    PHASE_HEADERS, /* request line seen */
    PHASE_BODY,
    PHASE_DISCARD, /* of a refused body */
    PHASE_WORK,    /* deferred: bounded by the handler */
    PHASE_REPLY,
    PHASE_IDLE /* between requests */
} phase;

typedef struct srv_conn {
    struct srv_conn *next, *prev; /* all connections, oldest first; under http->lock */
    srv_http *http;
    int fd;
    srv_alarm alarm;
    atomic_int phase;
    _Atomic int64_t since; /* beginning of the phase */
    atomic_bool too_slow;  /* 408 was said */
    atomic_bool http_1_1;  /* of the request that is being worked on */
    srv_exchange *x;       /* deferred, or NULL; under http->lock */
    bool shut;             /* by peer_changed; under http->lock */
} srv_conn;

typedef enum step { STEP_NEW, STEP_READING, STEP_DISCARDING, STEP_DEFERRED, STEP_DONE } step;

struct srv_exchange {
    srv_http *http;
    srv_conn *conn;
    struct MHD_Connection *mhd;
    srv_request_info info;
    char id[65];
    char trace[SRV_TRACE_LEN + 1];
    char *uri;
    step step;
    bool too_long; /* of the URI */
    bool raw;      /* the reply was written by us: nothing may follow */
    srv_gate gate;
    srv_inflate *inflate; /* of a compressed body; NULL */
    unsigned char *body;
    size_t len, cap, most, discarded;
    srv_reply reply;
    int status; /* of the reply, once it is decided */
    int64_t replied;
    void *user;
    int route;
};

struct srv_http {
    srv_http_options opt;
    srv_timer *timer;
    srv_acceptor *acceptor;
    srv_watch *watch;
    struct MHD_Daemon *daemon;
    int port;
    pthread_mutex_t lock; /* of the list */
    srv_conn all;
    atomic_size_t connections, active, buffered;
    atomic_size_t pending; /* with the library, not begun: it locks up above its own limit */
    atomic_bool draining;
    atomic_uint_fast64_t next_id;
    uint64_t id_seed;
};

/* ---- connections ---- */

/* Write a whole reply to a socket on which nothing else is being written. It is small and the
 * socket's buffer empty, so it is written in one piece or the peer is gone. */
static void raw_send(const srv_conn *c, const srv_reply *r, const char *id, bool head)
{
    srv_text t = {.limit = 16384};
    srv_reply_wire(r, id, head, &t);
    if (!t.failed && send(c->fd, t.data, t.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        prelu_log(PRELU_LOG_DEBUG, "a refusal could not be sent: %s", strerror(errno));
    srv_text_deinit(&t);
}

/* splitmix64 of a counter: unique in this process, and not to be guessed from outside */
static uint64_t next_number(srv_http *h)
{
    uint64_t z = h->id_seed + 0x9e3779b97f4a7c15u * atomic_fetch_add(&h->next_id, 1);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void make_id(srv_http *h, char id[65])
{
    snprintf(id, 65, "%016llx", (unsigned long long)next_number(h));
}

/* A deadline passed. On the timer's thread, under its lock: so the connection cannot go away. */
static void conn_late(void *ctx)
{
    static const char probe[] = "HTTP/1.1 100 Continue\r\n\r\n";
    srv_conn *c = ctx;
    int p = atomic_load(&c->phase);
    if (p == PHASE_WORK) { /* see peer_changed; never with TLS */
        (void)!send(c->fd, probe, sizeof probe - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        return;
    }
    if (!c->http->opt.tls && (p == PHASE_NEW || p == PHASE_HEADERS || p == PHASE_BODY)) {
        char id[65];
        srv_reply r = {0};
        make_id(c->http, id);
        srv_reply_error(&r, 408, "too_slow", "the request did not arrive in time", id);
        raw_send(c, &r, id, false);
        srv_reply_deinit(&r);
        atomic_store(&c->too_slow, true);
    }
    shutdown(c->fd, SHUT_RDWR);
}

/* @param limit  nanoseconds the phase may take; 0 = not bounded here. */
static void conn_phase(srv_conn *c, phase p, int64_t limit)
{
    int64_t now = srv_now();
    if (limit)
        srv_timer_arm(c->http->timer, &c->alarm, now + limit);
    else
        srv_timer_cancel(c->http->timer, &c->alarm);
    atomic_store(&c->phase, p);
    atomic_store(&c->since, now);
}

/* A peer sends no more, or is gone. What it still has to get decides:
 *  - It waits for an answer: if it is gone, nobody does. If it only closed its sending side it may
 *    wait or have left; the kernel will know as soon as something is sent. So after a moment, which
 *    short work does not last, an interim reply is sent: one that waits skips it (RFC 9110 §15.2),
 *    the kernel of one that left answers with a reset, and we are called again.
 *  - Otherwise no request of it can become complete: the library is woken to see the end. */
static void peer_changed(void *ctx, bool gone)
{
    srv_conn *c = ctx;
    srv_http *h = c->http;
    pthread_mutex_lock(&h->lock);     /* the work cannot end meanwhile */
    if (c->x && (gone || h->opt.tls)) /* with TLS nothing can be sent past the library */
        h->opt.handler.left(h->opt.handler.ctx, c->x);
    else if (c->x && atomic_load(&c->http_1_1))
        srv_timer_arm(h->timer, &c->alarm, srv_now() + probe_delay);
    else if (!c->x && !c->shut)
        c->shut = !shutdown(c->fd, SHUT_RD); /* which is an event of the watch again */
    pthread_mutex_unlock(&h->lock);
}

static void conn_notify(void *cls, struct MHD_Connection *mhd, void **socket_context,
                        enum MHD_ConnectionNotificationCode what)
{
    srv_http *h = cls;
    srv_conn *c = *socket_context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        atomic_fetch_sub(&h->pending, 1);
        c = prelu_calloc(1, sizeof *c);
        *socket_context = c;
        if (!c)
            return; /* its request is refused in uri_seen */
        c->http = h;
        c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        c->alarm.ring = conn_late;
        c->alarm.ctx = c;
        atomic_fetch_add(&h->connections, 1);
        pthread_mutex_lock(&h->lock);
        c->next = &h->all;
        c->prev = h->all.prev;
        c->prev->next = c->next->prev = c;
        pthread_mutex_unlock(&h->lock);
        conn_phase(c, PHASE_NEW, h->opt.header_timeout);
        srv_watch_add(h->watch, c->fd, c);
    } else if (c) {
        srv_watch_remove(h->watch, c->fd);
        srv_timer_cancel(h->timer, &c->alarm);
        pthread_mutex_lock(&h->lock);
        c->prev->next = c->next;
        c->next->prev = c->prev;
        pthread_mutex_unlock(&h->lock);
        atomic_fetch_sub(&h->connections, 1);
        prelu_free(c);
        *socket_context = NULL;
    }
}

/* Waits for a request, or for the rest of one's headers. */
static bool conn_waits(const srv_conn *c, int64_t before)
{
    int p = atomic_load(&c->phase);
    return (p == PHASE_NEW || p == PHASE_IDLE || p == PHASE_HEADERS) &&
           atomic_load(&c->since) < before;
}

void srv_http_close_idle(srv_http *h, int64_t idle)
{
    int64_t before = srv_now() - idle;
    pthread_mutex_lock(&h->lock);
    for (srv_conn *c = h->all.next; c != &h->all; c = c->next)
        if (conn_waits(c, before) && atomic_load(&c->phase) != PHASE_HEADERS)
            shutdown(c->fd, SHUT_RDWR);
    pthread_mutex_unlock(&h->lock);
}

/* At the limit, those who hold a connection without asking anything make room. */
static bool http_full(void *ctx)
{
    srv_http *h = ctx;
    if (atomic_load(&h->connections) + atomic_load(&h->pending) < h->opt.max_connections)
        return false;
    int64_t before = srv_now() - SECOND;
    int n = 0;
    pthread_mutex_lock(&h->lock);
    for (srv_conn *c = h->all.next; c != &h->all && n < EVICT_AT_ONCE; c = c->next)
        if (conn_waits(c, before)) {
            shutdown(c->fd, SHUT_RDWR);
            atomic_store(&c->since, INT64_MAX); /* once is enough */
            n++;
        }
    pthread_mutex_unlock(&h->lock);
    return true;
}

static void http_take(void *ctx, int fd)
{
    srv_http *h = ctx;
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    if (getpeername(fd, (struct sockaddr *)&sa, &len)) {
        close(fd); /* gone already */
        return;
    }
    atomic_fetch_add(&h->pending, 1);
    if (MHD_add_connection(h->daemon, fd, (struct sockaddr *)&sa, len) == MHD_YES)
        return;
    atomic_fetch_sub(&h->pending, 1);
    prelu_log(PRELU_LOG_WARN, "a connection was refused: %s", strerror(errno));
}

/* ---- exchanges ---- */

const srv_request_info *srv_exchange_info(const srv_exchange *x) { return &x->info; }

void srv_exchange_set_user(srv_exchange *x, void *user, int route)
{
    x->user = user;
    x->route = route;
}

void *srv_exchange_user(const srv_exchange *x) { return x->user; }

int srv_exchange_route(const srv_exchange *x) { return x->route; }

void *srv_exchange_take_body(srv_exchange *x)
{
    void *body = x->body;
    x->body = NULL;
    x->info.body = NULL;
    return body;
}

void srv_exchange_defer(srv_exchange *x)
{
    x->step = STEP_DEFERRED;
    MHD_suspend_connection(x->mhd);
    conn_phase(x->conn, PHASE_WORK, 0);
    pthread_mutex_lock(&x->http->lock);
    x->conn->x = x;
    pthread_mutex_unlock(&x->http->lock);
}

void srv_exchange_reply(srv_exchange *x, srv_reply *reply)
{
    bool deferred = x->step == STEP_DEFERRED;
    x->reply = *reply;
    memset(reply, 0, sizeof *reply);
    x->replied = srv_now();
    if (deferred)
        MHD_resume_connection(x->mhd);
}

/* The path and query of a request target; an absolute one (RFC 9112 §3.2.2) loses its authority. */
static void split_uri(srv_exchange *x)
{
    char *p = x->uri, *scheme = strstr(p, "://"), *query;
    if (*p != '/' && scheme) {
        p = strpbrk(scheme + 3, "/?");
        if (!p)
            p = (char *)"/";
    }
    query = strchr(p, '?');
    if (query)
        *query++ = 0;
    x->info.path = p;
    x->info.query = query;
}

/* Called with every request line; what it returns becomes the exchange's *con_cls. */
static void *uri_seen(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    srv_http *h = cls;
    const union MHD_ConnectionInfo *ci =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    srv_conn *c = ci ? ci->socket_context : NULL;
    srv_exchange *x = c ? prelu_calloc(1, sizeof *x) : NULL;
    if (!x)
        return NULL;
    size_t len = strlen(uri);
    x->too_long = len > URI_MOST;
    x->uri = prelu_strndup(uri, x->too_long ? 0 : len);
    if (!x->uri) {
        prelu_free(x);
        return NULL;
    }
    x->http = h;
    x->conn = c;
    x->mhd = mhd;
    x->route = -1;
    x->info.id = x->id;
    x->info.started = srv_now();
    split_uri(x);
    make_id(h, x->id);
    atomic_fetch_add(&h->active, 1);
    /* A first request has had its time since the connection was accepted. */
    if (atomic_load(&c->phase) == PHASE_NEW)
        atomic_store(&c->phase, PHASE_HEADERS);
    else
        conn_phase(c, PHASE_HEADERS, h->opt.header_timeout);
    return x;
}

static enum MHD_Result see_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                  size_t name_len, const char *value, size_t value_len)
{
    srv_exchange *x = cls;
    (void)kind;
    if (!value)
        value_len = 0;
    srv_gate_header(&x->gate, name, name_len, value ? value : "", value_len);
    if (name_len == 12 && strncasecmp(name, "X-Request-Id", 12) == 0 &&
        srv_request_id_ok(value, value_len)) {
        memcpy(x->id, value, value_len);
        x->id[value_len] = 0;
    }
    return MHD_YES;
}

static void see_trace(srv_exchange *x)
{
    const uint64_t random[3] = {next_number(x->http), next_number(x->http), next_number(x->http)};
    srv_trace_make(x->trace, MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, "traceparent"),
                   random);
    x->info.trace = x->trace;
}

/* Whoever has one IPv6 address mostly has the 2^64 of its network. */
static void see_peer(srv_exchange *x)
{
    const union MHD_ConnectionInfo *ci =
        MHD_get_connection_info(x->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *a = ci ? ci->client_addr : NULL;
    if (a && a->sa_family == AF_INET)
        memcpy(x->info.peer, &((const struct sockaddr_in *)(const void *)a)->sin_addr, 4);
    else if (a && a->sa_family == AF_INET6)
        memcpy(x->info.peer, &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, 8);
}

static srv_method method_of(const char *m)
{
    return strcmp(m, "GET") == 0       ? SRV_GET
           : strcmp(m, "HEAD") == 0    ? SRV_HEAD
           : strcmp(m, "POST") == 0    ? SRV_POST
           : strcmp(m, "OPTIONS") == 0 ? SRV_OPTIONS
                                       : SRV_OTHER;
}

static struct MHD_Response *make_response(srv_exchange *x)
{
    srv_reply *r = &x->reply;
    static char nothing[1];
    struct MHD_Response *m =
        r->body_static || !r->body
            ? MHD_create_response_from_buffer(r->body ? r->body_len : 0,
                                              r->body ? r->body : nothing, MHD_RESPMEM_PERSISTENT)
            : MHD_create_response_from_buffer_with_free_callback(r->body_len, r->body, prelu_free);
    if (!m)
        return NULL;
    r->body = NULL; /* the response's now, or static */
    bool ok = MHD_add_response_header(m, "X-Request-Id", x->id) == MHD_YES &&
              MHD_add_response_header(m, "traceparent", x->trace) == MHD_YES;
    if (r->content_type)
        ok = ok && MHD_add_response_header(m, "Content-Type", r->content_type) == MHD_YES;
    if (!r->cacheable)
        ok = ok && MHD_add_response_header(m, "Cache-Control", "no-store") == MHD_YES;
    for (int i = 0; i < r->n_headers; i++)
        ok = ok && MHD_add_response_header(m, r->headers[i].name, r->headers[i].value) == MHD_YES;
    if (r->close || atomic_load(&x->http->draining))
        ok = ok && MHD_add_response_header(m, "Connection", "close") == MHD_YES;
    if (!ok) {
        MHD_destroy_response(m);
        m = NULL;
    }
    return m;
}

/* From here on peer_changed does not see it: no probe is armed, `left` neither runs nor will. */
static void forget_deferred(srv_exchange *x)
{
    pthread_mutex_lock(&x->http->lock);
    x->conn->x = NULL;
    pthread_mutex_unlock(&x->http->lock);
}

static enum MHD_Result queue_reply(srv_exchange *x)
{
    if (x->step == STEP_DEFERRED)
        forget_deferred(x);
    x->step = STEP_DONE;
    x->status = x->reply.status;
    if (!x->replied)
        x->replied = srv_now();
    conn_phase(x->conn, PHASE_REPLY, reply_time);
    struct MHD_Response *m = make_response(x);
    if (!m)
        return MHD_NO; /* no memory even for this: the connection closes */
    enum MHD_Result ok = MHD_queue_response(x->mhd, (unsigned)x->status, m);
    MHD_destroy_response(m);
    return ok;
}

static bool expects_continue(const srv_exchange *x)
{
    const char *e = MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, "Expect");
    return e && strcasecmp(e, "100-continue") == 0;
}

/* x->reply says no. @param early  no byte of the body was read yet. */
static enum MHD_Result refuse(srv_exchange *x, bool early)
{
    bool has_body = x->gate.length > 0 || x->gate.bad_length || x->gate.encodings > 0;
    bool small = early && x->gate.encodings == 0 && x->gate.length <= SMALL_BODY &&
                 !x->gate.bad_length && !x->reply.close;
    x->status = x->reply.status;
    x->replied = srv_now();
    bool large = x->gate.encodings > 0 || x->gate.bad_length || x->gate.length > DISCARD_MOST;
    if (early && has_body && !small && ((x->http->opt.tls && large) || expects_continue(x))) {
        x->reply.close = true;
        return queue_reply(x); /* the body is not on its way; or, with TLS, must be cut short */
    }
    conn_phase(x->conn, PHASE_DISCARD, discard_time);
    x->step = STEP_DISCARDING;
    prelu_free(x->body);
    x->body = NULL;
    if (has_body && !small && !x->http->opt.tls) {
        x->raw = true;
        raw_send(x->conn, &x->reply, x->id, x->info.method == SRV_HEAD);
        /* Whatever the library may want to say about the rest must not follow it. */
        shutdown(x->conn->fd, SHUT_WR);
    }
    return MHD_YES;
}

static enum MHD_Result refuse_with(srv_exchange *x, bool early, int status, const char *code,
                                   const char *text)
{
    srv_reply_deinit(&x->reply);
    srv_reply_error(&x->reply, status, code, text, x->id);
    return refuse(x, early);
}

static enum MHD_Result refuse_size(srv_exchange *x, bool early)
{
    char text[96];
    snprintf(text, sizeof text, "the body is larger than %zu bytes (--max-body)", x->most);
    return refuse_with(x, early, 413, "body_too_large", text);
}

static enum MHD_Result headers_in(srv_exchange *x, const char *method, const char *version)
{
    prelu_err err = {0};
    srv_http *h = x->http;
    x->step = STEP_READING;
    see_trace(x);
    see_peer(x);
    x->info.method = method_of(method);
    x->info.content_type = MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, "Content-Type");
    x->info.authorization = MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, "Authorization");
    x->info.api_key = MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, "X-API-Key");
    x->info.accept = MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, "Accept");
    x->info.json_length =
        MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, "Inference-Header-Content-Length");
    MHD_get_connection_values_n(x->mhd, MHD_HEADER_KIND, see_header, x);
    conn_phase(x->conn, PHASE_BODY, h->opt.body_timeout);
    atomic_store(&x->conn->http_1_1, strcmp(version, "HTTP/1.1") == 0);
    if (srv_gate_verdict(&x->gate, strcmp(version, "HTTP/1.0") == 0, &err)) {
        srv_reply_failure(&x->reply, &err, SRV_OF_REQUEST, x->id);
        x->reply.close = err.code == PRELU_E_FORMAT;
        return refuse(x, true);
    }
    if (x->too_long)
        return refuse_with(x, true, 414, "uri_too_long", "the request target is too long");
    x->most = h->opt.handler.headers(h->opt.handler.ctx, x, &x->reply);
    if (x->reply.status)
        return refuse(x, true);
    if (x->most && x->gate.length > x->most)
        return refuse_size(x, true);
    return MHD_YES;
}

/* Room for `more` bytes of body. The budget counts what is allocated. */
static bool body_grow(srv_exchange *x, size_t more)
{
    size_t cap = x->cap                                          ? x->cap
                 : x->gate.length && x->gate.length < FIRST_ROOM ? (size_t)x->gate.length
                                                                 : FIRST_ROOM;
    while (cap < x->len + more)
        cap *= 2;
    if (cap > x->most)
        cap = x->most; /* len + more is not above it */
    if (cap == x->cap)
        return true;
    const size_t extra = cap - x->cap;
    unsigned char *body = NULL;
    if (atomic_fetch_add(&x->http->buffered, extra) + extra <= x->http->opt.max_buffered)
        body = prelu_realloc(x->body, cap);
    if (!body) {
        atomic_fetch_sub(&x->http->buffered, extra);
        return false;
    }
    x->body = body;
    x->cap = cap;
    return true;
}

/* body_store says no by false, and how in `refused`. */
typedef struct storing {
    srv_exchange *x;
    enum MHD_Result refused;
} storing;

static bool body_store(void *ctx, const void *data, size_t len)
{
    storing *s = ctx;
    srv_exchange *x = s->x;
    if (len > x->most - x->len) {
        s->refused = refuse_size(x, false);
        return false;
    }
    if (!body_grow(x, len)) {
        srv_reply_header(&x->reply, "Retry-After", "1");
        s->refused = refuse_with(x, false, 503, "out_of_memory",
                                 "too many request bodies are in memory, try again later");
        return false;
    }
    memcpy(x->body + x->len, data, len);
    x->len += len;
    return true;
}

static enum MHD_Result refuse_failure(srv_exchange *x, const prelu_err *err)
{
    srv_reply_deinit(&x->reply);
    srv_reply_failure(&x->reply, err, SRV_OF_REQUEST, x->id);
    return refuse(x, false);
}

static enum MHD_Result body_inflate(srv_exchange *x, const char *data, size_t len)
{
    storing s = {x, MHD_YES};
    prelu_err err = {0};
    prelu_status st = x->inflate ? PRELU_OK : srv_inflate_create(&x->inflate, &err);
    if (!st)
        st = srv_inflate_feed(x->inflate, data, len, body_store, &s, &err);
    return st == PRELU_OK || st == PRELU_E_CANCELLED ? s.refused : refuse_failure(x, &err);
}

static enum MHD_Result body_piece(srv_exchange *x, const char *data, size_t len)
{
    if (x->step == STEP_DISCARDING || x->most == 0) {
        x->discarded += len;
        if (x->step == STEP_DISCARDING)
            return x->discarded > DISCARD_MOST ? MHD_NO : MHD_YES;
        if (x->discarded > SMALL_BODY)
            return refuse_with(x, false, 413, "body_too_large", "no body is expected here");
        return MHD_YES;
    }
    if (x->gate.deflated)
        return body_inflate(x, data, len);
    storing s = {x, MHD_YES};
    (void)body_store(&s, data, len);
    return s.refused;
}

static enum MHD_Result body_end(srv_exchange *x)
{
    prelu_err err = {0};
    srv_http *h = x->http;
    if (x->step == STEP_DISCARDING)
        return x->raw ? MHD_NO : queue_reply(x);
    if (x->inflate && srv_inflate_finish(x->inflate, &err)) {
        srv_reply_failure(&x->reply, &err, SRV_OF_REQUEST, x->id);
        return queue_reply(x);
    }
    conn_phase(x->conn, PHASE_REPLY, reply_time); /* unless it is deferred */
    x->info.received = srv_now();
    x->info.body = x->body;
    x->info.body_len = x->len;
    h->opt.handler.request(h->opt.handler.ctx, x);
    return x->step == STEP_DEFERRED ? MHD_YES : queue_reply(x);
}

static enum MHD_Result on_call(void *cls, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *len, void **con_cls)
{
    srv_exchange *x = *con_cls;
    (void)cls, (void)mhd, (void)url;
    if (!x)
        return MHD_NO; /* there was no memory for it */
    switch (x->step) {
    case STEP_NEW:
        return headers_in(x, method, version);
    case STEP_READING:
    case STEP_DISCARDING: {
        size_t n = *len;
        *len = 0;
        return n ? body_piece(x, data, n) : body_end(x);
    }
    case STEP_DEFERRED:
        return queue_reply(x);
    case STEP_DONE:
        break;
    }
    *len = 0;
    return MHD_YES;
}

static void completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                      enum MHD_RequestTerminationCode how)
{
    srv_http *h = cls;
    srv_exchange *x = *con_cls;
    (void)mhd;
    if (!x)
        return;
    *con_cls = NULL;
    if (x->step == STEP_DEFERRED) /* resumed, and found broken before its reply was queued */
        forget_deferred(x);
    conn_phase(x->conn, PHASE_IDLE, h->opt.idle_timeout);
    srv_outcome o = {.status = x->status,
                     .code = x->reply.code,
                     .complete = how == MHD_REQUEST_TERMINATED_COMPLETED_OK || x->raw,
                     .ended = srv_now(),
                     .replied = x->replied};
    if (!o.status && atomic_load(&x->conn->too_slow)) {
        o.status = 408;
        o.code = "too_slow";
    }
    h->opt.handler.finished(h->opt.handler.ctx, x, &o);
    atomic_fetch_sub(&h->buffered, x->cap);
    atomic_fetch_sub(&h->active, 1);
    srv_inflate_destroy(&x->inflate);
    prelu_free(x->body);
    prelu_free(x->uri);
    srv_reply_deinit(&x->reply);
    prelu_free(x);
}

/* ---- the whole ---- */

static void mhd_log(void *cls, const char *fmt, va_list ap) PRELU_PRINTF(2, 0);
static void mhd_log(void *cls, const char *fmt, va_list ap)
{
    char text[256];
    (void)cls;
    int n = vsnprintf(text, sizeof text, fmt, ap);
    while (n > 0 && (size_t)n < sizeof text && text[n - 1] == '\n')
        text[--n] = 0;
    prelu_log(PRELU_LOG_DEBUG, "http: %s", text);
}

static prelu_status start_daemon(srv_http *h, prelu_err *err)
{
    unsigned flags = MHD_USE_EPOLL | MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_ITC | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG |
                     (h->opt.tls ? MHD_USE_TLS : 0u);
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_CERT_CALLBACK, 0, h->opt.tls},
                                   {MHD_OPTION_HTTPS_PRIORITIES, 0, tls_versions},
                                   {MHD_OPTION_END, 0, NULL}};
    unsigned threads = (unsigned)h->opt.threads;
    h->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_call, h, MHD_OPTION_EXTERNAL_LOGGER, mhd_log, h,
        MHD_OPTION_THREAD_POOL_SIZE, threads > 1 ? threads : 0u, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(h->opt.max_connections + LIMIT_SLACK) * threads,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)READ_STEP, MHD_OPTION_CONNECTION_TIMEOUT,
        0u, MHD_OPTION_NOTIFY_CONNECTION, conn_notify, h, MHD_OPTION_URI_LOG_CALLBACK, uri_seen, h,
        MHD_OPTION_NOTIFY_COMPLETED, completed, h, MHD_OPTION_ARRAY, h->opt.tls ? tls : &tls[2],
        MHD_OPTION_END);
    if (!h->daemon)
        return prelu_fail(err, PRELU_E_INTERNAL, "libmicrohttpd did not start");
    return PRELU_OK;
}

prelu_status srv_http_create(srv_http **out, const srv_http_options *options, srv_timer *timer,
                             prelu_err *err)
{
    srv_http *h = prelu_calloc(1, sizeof *h);
    if (!h)
        return prelu_fail(err, PRELU_E_NOMEM, "http: no memory");
    h->opt = *options;
    h->timer = timer;
    h->all.next = h->all.prev = &h->all;
    h->port = options->port;
    pthread_mutex_init(&h->lock, NULL);
    if (getrandom(&h->id_seed, sizeof h->id_seed, 0) != sizeof h->id_seed)
        h->id_seed = (uint64_t)srv_now();
    srv_acceptor_hooks hooks = {h, http_take, http_full};
    prelu_status st = srv_acceptor_create(&h->acceptor, h->opt.path, h->opt.host, &h->port, err);
    if (!st)
        st = srv_watch_create(&h->watch, peer_changed, err);
    if (!st)
        st = start_daemon(h, err);
    if (!st)
        st = srv_acceptor_start(h->acceptor, &hooks, err);
    if (st)
        srv_http_destroy(&h);
    *out = h;
    return st;
}

int srv_http_port(const srv_http *h) { return h->port; }

size_t srv_http_active(const srv_http *h) { return atomic_load(&h->active); }

size_t srv_http_connections(const srv_http *h) { return atomic_load(&h->connections); }

void srv_http_drain(srv_http *h)
{
    atomic_store(&h->draining, true);
    srv_acceptor_destroy(&h->acceptor);
}

void srv_http_destroy(srv_http **http)
{
    srv_http *h = *http;
    if (!h)
        return;
    *http = NULL;
    srv_acceptor_destroy(&h->acceptor);
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    srv_watch_destroy(&h->watch);
    pthread_mutex_destroy(&h->lock);
    prelu_free(h);
}
