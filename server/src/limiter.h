#ifndef SRV_LIMITER_H
#define SRV_LIMITER_H
#include "prelu/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** So many requests a second of each client, with a second's worth at once: a bucket of tokens for
 *  each of those seen last. Memory is fixed: beyond some thousand clients at a time, the bucket
 * that is nearest to full makes room. Thread-safe. */
typedef struct srv_limiter srv_limiter;

/** @param rate requests a second, from 1 on. */
PRELU_MUST_CHECK prelu_status srv_limiter_create(srv_limiter **out, int64_t rate, prelu_err *err);
void srv_limiter_destroy(srv_limiter **l);
/** @param client  what tells it from others. @param now  srv_now.
 *  @return false: the client has had its share; *retry_after seconds until it has one more. */
bool srv_limiter_take(srv_limiter *l, const void *client, size_t len, int64_t now,
                      int *retry_after);
#endif
