/** Several POSTs in flight to one URL. The only file that knows libcurl. */
#ifndef PRELU_CLIENT_HTTP_CLIENT_H
#define PRELU_CLIENT_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#define CLI_MAX_REPLY_LEN ((size_t)4 << 20) /* bytes of one answer */
#define CLI_CONNECT_TIMEOUT_S 10.0          /* or the request's own timeout if shorter */

typedef struct cli_http cli_http;

typedef struct cli_http_config {
    const char *server;      /* http[s]://host[:port][/prefix]; no scheme means http */
    const char *path;        /* appended to the server's path, such as "classify" */
    const char *query;       /* without '?', already URL-encoded; NULL or "" for none */
    const char *unix_socket; /* NULL: TCP */
    const char *cacert;      /* NULL: the system's */
    const char *bearer;      /* API key, printable ASCII; NULL: none */
    const char *user_agent;
    double timeout_s;
    unsigned slots; /* requests in flight at most, > 0 */
} cli_http_config;

typedef enum cli_http_outcome {
    CLI_HTTP_ANSWERED,    /* a complete answer with `status` */
    CLI_HTTP_UNREACHABLE, /* no connection: name, address, TLS, certificate */
    CLI_HTTP_TIMEOUT,     /* connected, but no complete answer in time */
    CLI_HTTP_BROKEN,      /* the connection ended before the answer did */
    CLI_HTTP_TOO_LARGE,   /* the answer exceeds CLI_MAX_REPLY_LEN */
    CLI_HTTP_GARBLED,     /* what came is not HTTP */
    CLI_HTTP_INTERNAL,    /* out of memory or misuse of libcurl */
} cli_http_outcome;

/** Borrowed by the callback for the time of the call. */
typedef struct cli_http_reply {
    cli_http_outcome outcome;
    int status;           /* 100..599; 0 if there was none */
    double retry_after_s; /* Retry-After, as seconds or as a date; < 0 if absent */
    const char *type;     /* Content-Type, "" if absent */
    const char *body;     /* body_len bytes, NUL-terminated */
    size_t body_len;
    const char *error; /* libcurl's words unless ANSWERED */
} cli_http_reply;

typedef void cli_http_done(void *ctx, size_t tag, const cli_http_reply *reply);

/** Once per process, before any other call. @return false if libcurl cannot start. */
bool cli_http_global_init(void);
void cli_http_global_deinit(void);

/** @return NULL with the reason in `why` and *usage = whether the URL or key is to blame.
 *  Strings of `cfg` are copied. */
cli_http *cli_http_create(const cli_http_config *cfg, bool *usage, char *why, size_t why_len);

/** Drops what is in flight (no callbacks). NULL inside is fine. */
void cli_http_destroy(cli_http **h);

/** @return the server's URL for messages, without user and password. */
const char *cli_http_display(const cli_http *h);

/** @return true if an API key would cross a network unencrypted. */
bool cli_http_key_exposed(const cli_http *h);

/** Starts one POST. `body` is borrowed until `done` has been called with `tag`.
 *  @return false: all slots are taken, or out of memory. */
bool cli_http_post(cli_http *h, size_t tag, const void *body, size_t body_len);

/** Waits up to `wait_s`, to the microsecond, for news, then calls `done` for each finished request.
 *  `done` may post. */
void cli_http_poll(cli_http *h, double wait_s, cli_http_done *done, void *ctx);

#endif
