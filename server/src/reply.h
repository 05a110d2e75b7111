#ifndef SRV_REPLY_H
#define SRV_REPLY_H
#include "srvjson.h"
#include "text.h"
#include "prelu/status.h"
#include <stdbool.h>
#include <stddef.h>

/** One HTTP reply, made anywhere, sent by http.c. Zero-initialise. */
enum { SRV_MAX_HEADERS = 8 };
typedef struct srv_reply {
    int status;
    const char *content_type; /* static text; NULL with an empty body */
    char *body;               /* of prelu_alloc, unless body_static */
    size_t body_len;
    bool body_static;
    bool close;       /* say Connection: close and do so */
    bool cacheable;   /* leave out Cache-Control: no-store */
    const char *code; /* the error's code, static; NULL for success */
    int n_headers;
    struct {
        const char *name; /* static */
        char value[240];
    } headers[SRV_MAX_HEADERS];
} srv_reply;

void srv_reply_deinit(srv_reply *r);
/** Add a header; characters that would end its line are dropped. Above SRV_MAX_HEADERS: ignored. */
void srv_reply_header(srv_reply *r, const char *name, const char *fmt, ...) PRELU_PRINTF(3, 4);

/** What a prelu_status means in HTTP. */
typedef struct srv_verdict {
    int status;
    const char *code; /* stable, for programs */
    bool show;        /* whether the text is for the client (else: the log only) */
} srv_verdict;
/** What the status is about: codes of pictures say more. */
typedef enum srv_subject { SRV_OF_REQUEST, SRV_OF_IMAGE } srv_subject;
srv_verdict srv_verdict_of(prelu_status st, srv_subject of);

/** The one error shape. @param text  a sentence without client bytes, paths or keys.
 *  Without memory for the body the reply is empty, with the status. */
void srv_reply_error(srv_reply *r, int status, const char *code, const char *text,
                     const char *request_id);
/** The same from a status; texts of internal errors are logged, not sent. */
void srv_reply_failure(srv_reply *r, const prelu_err *err, srv_subject of, const char *request_id);
/** The fields of a picture's error inside a list of results: error, code, status. */
void srv_json_set_failure(srv_json *object, const prelu_err *err);
/** Takes `body`. */
void srv_reply_json(srv_reply *r, int status, srv_json *body);
/** The whole message as it goes over the wire, with Connection: close. @param head  no body. */
void srv_reply_wire(const srv_reply *r, const char *request_id, bool head, srv_text *out);
/** Bytes that live as long as the program. */
void srv_reply_static(srv_reply *r, const char *content_type, const void *body, size_t len);
#endif
