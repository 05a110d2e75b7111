#ifndef SRV_GATE_H
#define SRV_GATE_H
#include "prelu/status.h"
#include <stdbool.h>
#include <stdint.h>

/** What a request's headers say about its framing, judged more strictly than the HTTP library
 *  does. Zero-initialise, feed every header, then ask for the verdict. */
typedef struct srv_gate {
    int hosts, lengths, encodings;
    bool bad_length;  /* not a number, or above 2^63 - 1 */
    bool not_chunked; /* a transfer coding other than exactly "chunked" */
    bool deflated;    /* Content-Encoding gzip or deflate */
    bool encoded;     /* another one, or several */
    uint64_t length;  /* Content-Length */
} srv_gate;

/** @param name,value  of one header; any bytes, any case. */
void srv_gate_header(srv_gate *g, const char *name, size_t name_len, const char *value,
                     size_t value_len);

/** @param http_1_0  the request line says HTTP/1.0 (no Host needed, no chunked allowed).
 *  @return E_FORMAT: answer 400 and close, the framing cannot be trusted; E_UNSUPPORTED: a
 *  Content-Encoding that is not read (415). */
PRELU_MUST_CHECK prelu_status srv_gate_verdict(const srv_gate *g, bool http_1_0, prelu_err *err);

/** Decimal digits only, no sign, no spaces, at most 2^63 - 1. */
bool srv_parse_length(const char *text, size_t len, uint64_t *out);
/** A client's X-Request-Id is used when it is [A-Za-z0-9._-]{1,64}. */
bool srv_request_id_ok(const char *text, size_t len);
#endif
