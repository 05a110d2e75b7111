#ifndef SRV_TEXT_H
#define SRV_TEXT_H
#include "prelu/status.h"
#include <stdbool.h>

/** A growing, NUL-terminated text with a ceiling. Errors stick: append freely, then look at
 *  `failed` once. Zero-initialise and set `limit`. Not thread-safe. */
typedef struct srv_text {
    char *data; /* NULL while empty; prelu_free, or srv_text_deinit */
    size_t len, cap;
    size_t limit; /* most bytes of text, without the NUL */
    bool failed;  /* out of memory or above the limit; `data` then holds a part */
} srv_text;

void srv_text_add(srv_text *t, const void *bytes, size_t len);
void srv_text_printf(srv_text *t, const char *fmt, ...) PRELU_PRINTF(2, 3);
void srv_text_deinit(srv_text *t);
#endif
