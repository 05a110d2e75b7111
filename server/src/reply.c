#define _POSIX_C_SOURCE 200809L
#include "reply.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void srv_reply_deinit(srv_reply *r)
{
    if (!r->body_static)
        prelu_free(r->body);
    memset(r, 0, sizeof *r);
}

void srv_reply_header(srv_reply *r, const char *name, const char *fmt, ...)
{
    va_list ap;
    if (r->n_headers == SRV_MAX_HEADERS)
        return;
    char *value = r->headers[r->n_headers].value, *to = value;
    va_start(ap, fmt);
    vsnprintf(value, sizeof r->headers[0].value, fmt, ap);
    va_end(ap);
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p >= 0x20 && *p != 0x7f)
            *to++ = *p;
    *to = 0;
    r->headers[r->n_headers++].name = name;
}

/* No default: a new status breaks the build until it is mapped. */
srv_verdict srv_verdict_of(prelu_status st, srv_subject of)
{
    bool image = of == SRV_OF_IMAGE;
    switch (st) {
    case PRELU_OK:
        return (srv_verdict){200, "ok", true};
    case PRELU_E_ARG:
        return (srv_verdict){400, "bad_request", true};
    case PRELU_E_FORMAT:
        return (srv_verdict){400, image ? "corrupt_image" : "malformed_request", true};
    case PRELU_E_LIMIT:
        return (srv_verdict){413, image ? "image_too_large" : "request_too_large", true};
    case PRELU_E_UNSUPPORTED:
        return (srv_verdict){415, image ? "unsupported_image" : "unsupported_encoding", true};
    case PRELU_E_BUSY:
        return (srv_verdict){503, "queue_full", true};
    case PRELU_E_NOMEM:
        return (srv_verdict){503, "out_of_memory", false};
    case PRELU_E_TIMEOUT:
        return (srv_verdict){504, "deadline_exceeded", true};
    case PRELU_E_NOTFOUND:
    case PRELU_E_IO:
    case PRELU_E_PERM:
    case PRELU_E_CANCELLED:
    case PRELU_E_INTERNAL:
        break;
    }
    return (srv_verdict){500, "internal", false};
}

static const char *shown_text(srv_verdict v, const prelu_err *err)
{
    if (v.show && err->text[0])
        return err->text;
    prelu_log(PRELU_LOG_ERROR, "request failed: %s: %s", prelu_status_text(err->code), err->text);
    return v.status == 503 ? "out of memory, try again later" : "internal error";
}

void srv_json_set_failure(srv_json *object, const prelu_err *err)
{
    srv_verdict v = srv_verdict_of(err->code, SRV_OF_IMAGE);
    srv_json_set_text(object, "error", shown_text(v, err));
    srv_json_set_text(object, "code", v.code);
    srv_json_set_int(object, "status", v.status);
}

void srv_reply_json(srv_reply *r, int status, srv_json *body)
{
    r->status = status;
    r->content_type = "application/json";
    r->body = srv_json_dump(body, &r->body_len);
    if (!r->body) {
        r->body_len = 0;
        if (status < 400)
            r->status = 503;
    }
}

void srv_reply_error(srv_reply *r, int status, const char *code, const char *text,
                     const char *request_id)
{
    srv_json *body = srv_json_object();
    srv_json_set_text(body, "error", text);
    srv_json_set_text(body, "code", code);
    srv_json_set_int(body, "status", status);
    srv_json_set_text(body, "request_id", request_id);
    srv_reply_json(r, status, body);
    r->code = code;
}

void srv_reply_failure(srv_reply *r, const prelu_err *err, srv_subject of, const char *request_id)
{
    srv_verdict v = srv_verdict_of(err->code, of);
    srv_reply_error(r, v.status, v.code, shown_text(v, err), request_id);
}

void srv_reply_static(srv_reply *r, const char *content_type, const void *body, size_t len)
{
    r->status = 200;
    r->content_type = content_type;
    r->body = (char *)body; /* body_static: never written, never freed */
    r->body_len = len;
    r->body_static = true;
}

static const char *status_words(int status)
{
    switch (status) {
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 429:
        return "Too Many Requests";
    case 503:
        return "Service Unavailable";
    default:
        return "Error";
    }
}

void srv_reply_wire(const srv_reply *r, const char *request_id, bool head, srv_text *out)
{
    srv_text_printf(out, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %zu\r\n",
                    r->status, status_words(r->status), r->body_len);
    if (r->body_len)
        srv_text_printf(out, "Content-Type: %s\r\n", r->content_type);
    srv_text_printf(out, "Cache-Control: no-store\r\nX-Request-Id: %s\r\n", request_id);
    for (int i = 0; i < r->n_headers; i++)
        srv_text_printf(out, "%s: %s\r\n", r->headers[i].name, r->headers[i].value);
    srv_text_add(out, "\r\n", 2);
    if (!head)
        srv_text_add(out, r->body, r->body_len);
}
