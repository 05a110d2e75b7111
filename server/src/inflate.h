#ifndef SRV_INFLATE_H
#define SRV_INFLATE_H
#include "prelu/status.h"
#include <stdbool.h>

/** Bodies with Content-Encoding gzip or deflate (zlib's format), expanded as they arrive. inflate.c
 *  is the only file of the server that knows zlib. */
typedef struct srv_inflate srv_inflate;

/** A body above SRV_INFLATE_FREE bytes (a tensor of 224 x 224, even of one colour) may be at most
 *  SRV_INFLATE_RATIO times what it was made of so far: what expands more is noticed there, however
 *  much was sent, and costs the thread that reads about as much as a picture. */
enum { SRV_INFLATE_FREE = 640 << 10, SRV_INFLATE_RATIO = 100 };

PRELU_MUST_CHECK prelu_status srv_inflate_create(srv_inflate **out, prelu_err *err);
void srv_inflate_destroy(srv_inflate **s);
/** The next piece of the body. @param take  gets what it expands to, piece by piece; false ends it.
 *  @return E_FORMAT damaged, or more after its end; E_LIMIT the ratio; E_CANCELLED `take` said no.
 */
PRELU_MUST_CHECK prelu_status srv_inflate_feed(srv_inflate *s, const void *data, size_t len,
                                               bool (*take)(void *ctx, const void *bytes, size_t n),
                                               void *ctx, prelu_err *err);
/** @return E_FORMAT the body ended before what was compressed did. */
PRELU_MUST_CHECK prelu_status srv_inflate_finish(const srv_inflate *s, prelu_err *err);
#endif
