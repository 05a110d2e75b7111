#ifndef SRV_HTTP_H
#define SRV_HTTP_H
#include "prelu/status.h"
#include "reply.h"
#include "timer.h"
#include <stdbool.h>
#include <stdint.h>

/** HTTP/1.1 over libmicrohttpd (http.c is the only file that knows it): connections, limits,
 *  deadlines, framing. Its few threads only read and write; a handler that needs time defers the
 *  exchange and replies later from any thread.
 *
 *  Deadlines are totals, not pauses: headers within header_timeout, body within body_timeout, or
 *  408. A refused upload is answered at once, then read and discarded up to 4 MiB or 2 s, so that
 *  a client that is still sending sees the reply. */
typedef struct srv_http srv_http;
/** One request and its reply. Lives until the handler's `finished` returns. */
typedef struct srv_exchange srv_exchange;

typedef enum srv_method {
    SRV_GET = 1,
    SRV_HEAD = 2,
    SRV_POST = 4,
    SRV_OPTIONS = 8,
    SRV_OTHER = 16
} srv_method;

/** What a handler may read; valid as long as the exchange. Strings are the client's bytes. */
typedef struct srv_request_info {
    srv_method method;
    const char *path;                             /* still percent-encoded */
    const char *query;                            /* behind '?', or NULL */
    const char *content_type;                     /* or NULL */
    const char *accept, *authorization, *api_key; /* headers; or NULL */
    const char *json_length;                      /* Inference-Header-Content-Length, or NULL */
    const char *trace;                            /* ours: srv_trace_make */
    unsigned char peer[16]; /* its address; of IPv6 the network, of a unix socket 0 */
    const char *id;         /* X-Request-Id: the client's if harmless, else our own */
    const unsigned char *body;
    size_t body_len;
    int64_t started, received; /* srv_now: request line seen, body complete */
} srv_request_info;

/** How an exchange ended. */
typedef struct srv_outcome {
    int status;       /* sent, or meant to be sent; 0 when nothing was */
    const char *code; /* of an error, or NULL */
    bool complete;    /* the reply was written to the end */
    int64_t ended;
    int64_t replied; /* when the reply was ready; 0 = never */
} srv_outcome;

typedef struct srv_handler {
    void *ctx;
    /** Headers are in. @return the most bytes of body to read (0: no body expected, a small one is
     *  discarded), or fill *reply and return with reply->status set to refuse. */
    size_t (*headers)(void *ctx, srv_exchange *x, srv_reply *reply);
    /** The request is complete: srv_exchange_reply at once, or srv_exchange_defer. */
    void (*request)(void *ctx, srv_exchange *x);
    /** The client of a deferred exchange has left; a reply is still due, but nobody will read it.
     *  On a thread that must not wait. */
    void (*left)(void *ctx, srv_exchange *x);
    /** The end of every exchange, on an HTTP thread. */
    void (*finished)(void *ctx, srv_exchange *x, const srv_outcome *outcome);
} srv_handler;

typedef struct srv_http_options {
    const char *path; /* of a unix socket; NULL: host and port */
    const char *host;
    int port;
    int threads;
    void *tls; /* srv_tls_callback; NULL: no TLS */
    size_t max_connections;
    size_t max_buffered; /* bytes of bodies held at once; above: 503 */
    int64_t header_timeout, body_timeout, idle_timeout; /* nanoseconds */
    srv_handler handler;
} srv_http_options;

/** Listen and serve. @param timer  borrowed. @return as srv_acceptor_create; E_NOMEM. */
PRELU_MUST_CHECK prelu_status srv_http_create(srv_http **out, const srv_http_options *options,
                                              srv_timer *timer, prelu_err *err);
int srv_http_port(const srv_http *h);
/** Exchanges in flight; open connections. */
size_t srv_http_active(const srv_http *h);
size_t srv_http_connections(const srv_http *h);
/** No new connections; every further reply says Connection: close. */
void srv_http_drain(srv_http *h);
/** Close connections on which nothing has happened for `idle` nanoseconds. */
void srv_http_close_idle(srv_http *h, int64_t idle);
/** No exchange may be deferred any more. NULLs *h; NULL is fine. */
void srv_http_destroy(srv_http **h);

const srv_request_info *srv_exchange_info(const srv_exchange *x);
/** Something of the handler's to keep with the exchange; NULL at first. */
void srv_exchange_set_user(srv_exchange *x, void *user, int route);
void *srv_exchange_user(const srv_exchange *x);
int srv_exchange_route(const srv_exchange *x); /* -1 until set */
/** The body, to be freed by the caller (prelu_free); info->body is NULL afterwards. Its bytes leave
 *  the budget of buffered ones when the exchange ends. */
void *srv_exchange_take_body(srv_exchange *x);
/** Only inside `request`, before anything that may reply from another thread. */
void srv_exchange_defer(srv_exchange *x);
/** Once per exchange; takes *reply and zeroes it. After a defer: from any thread, and `x` belongs
 *  to the HTTP threads from then on. */
void srv_exchange_reply(srv_exchange *x, srv_reply *reply);
#endif
