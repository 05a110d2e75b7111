/* What a client decides about a request: query, framing headers, multipart type and body. The input
 * is a query, a line of header, a Content-Type, each up to its newline, then the body. */
#include "gate.h"
#include "multipart.h"
#include "query.h"
#include "utf8.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Up to a newline, as a string; *data and *len are moved behind it. */
static char *take_line(const uint8_t **data, size_t *len)
{
    const uint8_t *end = *len ? memchr(*data, '\n', *len) : NULL;
    size_t n = end ? (size_t)(end - *data) : *len;
    char *line = malloc(n + 1);
    if (!line)
        abort();
    if (n)
        memcpy(line, *data, n);
    line[n] = 0;
    *data += n + (end != NULL);
    *len -= n + (end != NULL);
    return line;
}

static void try_query(const char *text)
{
    srv_query q;
    long v = 3;
    if (srv_query_parse(&q, text, NULL))
        return;
    for (int i = 0; i < q.n; i++) {
        const char *value = srv_query_get(&q, q.key[i]);
        if (value != q.value[i] || value + strlen(value) > q.text + sizeof q.text)
            __builtin_trap();
        if (srv_query_number(&v, "k", value, 3, 77777, NULL) == PRELU_OK && (v < 3 || v > 77777))
            __builtin_trap();
        (void)srv_name_ok(value);
    }
}

static void try_header(const char *line)
{
    srv_gate g = {0};
    const char *colon = strchr(line, ':');
    uint64_t v;
    size_t n = colon ? (size_t)(colon - line) : strlen(line);
    const char *value = colon ? colon + 1 : "";
    srv_gate_header(&g, "Host", 4, "x", 1);
    srv_gate_header(&g, line, n, value, strlen(value));
    if (srv_gate_verdict(&g, false, NULL) == PRELU_OK && (g.lengths > 1 || g.not_chunked))
        __builtin_trap();
    if (srv_parse_length(value, strlen(value), &v) && v > INT64_MAX)
        __builtin_trap();
    (void)srv_request_id_ok(value, strlen(value));
}

static void try_body(const char *type, const uint8_t *body, size_t len)
{
    enum { MAX = 8 };
    char boundary[SRV_MAX_BOUNDARY + 1];
    srv_part parts[MAX];
    size_t n = 0;
    if (!srv_is_multipart(type) || srv_multipart_boundary(boundary, type, NULL))
        return;
    uint8_t *copy = malloc(len ? len : 1); /* exactly its length: reads past it are seen */
    if (!copy)
        abort();
    if (len)
        memcpy(copy, body, len);
    if (srv_multipart_parse(boundary, copy, len, parts, MAX, &n, NULL) == PRELU_OK) {
        if (n < 1 || n > MAX)
            __builtin_trap();
        const uint8_t *last = copy;
        for (size_t i = 0; i < n; last = parts[i].data + parts[i].len, i++) {
            char again[SRV_MAX_PART_NAME];
            if (parts[i].data < last || parts[i].data + parts[i].len > copy + len)
                __builtin_trap();
            snprintf(again, sizeof again, "%s", parts[i].name);
            srv_utf8_clean(again);
            if (strcmp(again, parts[i].name) != 0 || strchr(again, '/'))
                __builtin_trap(); /* the name was not clean */
        }
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *query = take_line(&data, &len);
    char *header = take_line(&data, &len);
    char *type = take_line(&data, &len);
    try_query(query);
    try_header(header);
    try_body(type, data, len);
    free(query);
    free(header);
    free(type);
    return 0;
}
