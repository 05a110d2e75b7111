#ifndef SRV_QUERY_H
#define SRV_QUERY_H
#include "prelu/status.h"
#include <stdbool.h>

/** The query of a URL, split and percent-decoded. Hostile input: everything has a limit. */
enum { SRV_MAX_QUERY = 16, SRV_MAX_QUERY_LEN = 1024 };

typedef struct srv_query {
    int n;
    const char *key[SRV_MAX_QUERY]; /* NUL-terminated, into `text` */
    const char *value[SRV_MAX_QUERY];
    char text[SRV_MAX_QUERY_LEN + 1];
} srv_query;

/** @param text  what follows '?', or NULL. `+` is a space. The result points into *q: do not copy
 * it.
 *  @return E_FORMAT longer than SRV_MAX_QUERY_LEN, more than SRV_MAX_QUERY pairs, a bad %xx,
 *  a NUL, the same key twice. */
PRELU_MUST_CHECK prelu_status srv_query_parse(srv_query *q, const char *text, prelu_err *err);
/** NULL if absent. */
const char *srv_query_get(const srv_query *q, const char *key);
/** A plain decimal number lo..hi. @return E_ARG, naming `key` and the range. */
PRELU_MUST_CHECK prelu_status srv_query_number(long *out, const char *key, const char *text,
                                               long lo, long hi, prelu_err *err);
/** Names of models: [A-Za-z0-9._-]{1,128}. */
bool srv_name_ok(const char *text);
#endif
