#include "query.h"
#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* In place; the result is never longer. */
static prelu_status decode(char *text, prelu_err *err)
{
    char *to = text;
    for (const char *p = text; *p; p++) {
        if (*p == '+') {
            *to++ = ' ';
        } else if (*p == '%') {
            int hi = hex(p[1]), lo = hi < 0 ? -1 : hex(p[2]);
            if (lo < 0 || hi * 16 + lo == 0)
                return prelu_fail(err, PRELU_E_FORMAT, "the query has a malformed %%xx");
            *to++ = (char)(hi * 16 + lo);
            p += 2;
        } else {
            *to++ = *p;
        }
    }
    *to = 0;
    return PRELU_OK;
}

static prelu_status add_pair(srv_query *q, char *pair, prelu_err *err)
{
    static const char empty[] = "";
    char *value = strchr(pair, '=');
    if (value)
        *value++ = 0;
    PRELU_TRY(decode(pair, err));
    if (value)
        PRELU_TRY(decode(value, err));
    if (q->n == SRV_MAX_QUERY)
        return prelu_fail(err, PRELU_E_FORMAT, "the query has more than %d parameters",
                          SRV_MAX_QUERY);
    if (srv_query_get(q, pair))
        return prelu_fail(err, PRELU_E_FORMAT, "the query gives one parameter twice");
    q->key[q->n] = pair;
    q->value[q->n++] = value ? value : empty;
    return PRELU_OK;
}

prelu_status srv_query_parse(srv_query *q, const char *text, prelu_err *err)
{
    q->n = 0;
    q->text[0] = 0;
    if (!text)
        return PRELU_OK;
    size_t len = strlen(text);
    if (len > SRV_MAX_QUERY_LEN)
        return prelu_fail(err, PRELU_E_FORMAT, "the query has %zu bytes; limit %d", len,
                          SRV_MAX_QUERY_LEN);
    memcpy(q->text, text, len + 1);
    for (char *pair = q->text, *next; pair; pair = next) {
        next = strchr(pair, '&');
        if (next)
            *next++ = 0;
        if (*pair)
            PRELU_TRY(add_pair(q, pair, err));
    }
    return PRELU_OK;
}

const char *srv_query_get(const srv_query *q, const char *key)
{
    for (int i = 0; i < q->n; i++)
        if (strcmp(q->key[i], key) == 0)
            return q->value[i];
    return NULL;
}

prelu_status srv_query_number(long *out, const char *key, const char *text, long lo, long hi,
                              prelu_err *err)
{
    long v = 0;
    size_t n = strlen(text);
    bool ok = n > 0 && n <= 9;
    for (size_t i = 0; ok && i < n; i++) {
        ok = text[i] >= '0' && text[i] <= '9';
        v = v * 10 + (text[i] - '0');
    }
    if (!ok || v < lo || v > hi)
        return prelu_fail(err, PRELU_E_ARG, "%s is not a number in %ld..%ld", key, lo, hi);
    *out = v;
    return PRELU_OK;
}

bool srv_name_ok(const char *text)
{
    size_t n = strlen(text);
    return n >= 1 && n <= 128 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}
