#define _POSIX_C_SOURCE 200809L
#include "gate.h"
#include <string.h>
#include <strings.h>

bool srv_parse_length(const char *text, size_t len, uint64_t *out)
{
    uint64_t v = 0;
    if (len == 0 || len > 19) /* 2^63 - 1 has 19 digits */
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(text[i] - '0');
    }
    if (v > INT64_MAX)
        return false;
    *out = v;
    return true;
}

bool srv_request_id_ok(const char *text, size_t len)
{
    if (len == 0 || len > 64)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static bool is(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

void srv_gate_header(srv_gate *g, const char *name, size_t name_len, const char *value,
                     size_t value_len)
{
    if (is(name, name_len, "Host")) {
        g->hosts++;
    } else if (is(name, name_len, "Content-Length")) {
        g->lengths++;
        if (!srv_parse_length(value, value_len, &g->length))
            g->bad_length = true;
    } else if (is(name, name_len, "Transfer-Encoding")) {
        g->encodings++;
        if (!is(value, value_len, "chunked"))
            g->not_chunked = true;
    } else if (is(name, name_len, "Content-Encoding")) {
        if (is(value, value_len, "identity"))
            return;
        if (g->deflated || !(is(value, value_len, "gzip") || is(value, value_len, "x-gzip") ||
                             is(value, value_len, "deflate")))
            g->encoded = true;
        g->deflated = true;
    }
}

prelu_status srv_gate_verdict(const srv_gate *g, bool http_1_0, prelu_err *err)
{
    const char *why = NULL;
    if (g->hosts == 0 && !http_1_0)
        why = "the Host header is missing";
    else if (g->hosts > 1)
        why = "more than one Host header";
    else if (g->lengths > 1)
        why = "more than one Content-Length header";
    else if (g->bad_length)
        why = "Content-Length is not a number in range";
    else if (g->encodings > 0 && g->lengths > 0)
        why = "Content-Length together with Transfer-Encoding";
    else if (g->encodings > 1 || g->not_chunked)
        why = "a Transfer-Encoding other than \"chunked\"";
    else if (g->encodings > 0 && http_1_0)
        why = "Transfer-Encoding in an HTTP/1.0 request";
    if (why)
        return prelu_fail(err, PRELU_E_FORMAT, "%s", why);
    if (g->encoded)
        return prelu_fail(err, PRELU_E_UNSUPPORTED,
                          "a Content-Encoding other than gzip or deflate");
    return PRELU_OK;
}
