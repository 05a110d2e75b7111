#ifndef SRV_WATCH_H
#define SRV_WATCH_H
#include "prelu/status.h"
#include <stdbool.h>

/** Notices that the peers of sockets stop sending or leave. A thread of its own, because the HTTP
 *  library does not look at a suspended connection, and waits for an edge that has passed when the
 *  end of a stream comes together with its last bytes. */
typedef struct srv_watch srv_watch;

/** @param gone  the connection is dead; false: the peer only said that it sends no more.
 *  Called on the watch's thread with its lock held, at most once for each of the two. */
typedef void srv_watch_fn(void *ctx, bool gone);

PRELU_MUST_CHECK prelu_status srv_watch_create(srv_watch **out, srv_watch_fn *fn, prelu_err *err);
/** NULLs *w; NULL is fine. */
void srv_watch_destroy(srv_watch **w);
/** Thread-safe. Without memory the socket is not watched. */
void srv_watch_add(srv_watch *w, int fd, void *ctx);
/** Afterwards `fn` is not called for it and not running. Before the socket is closed. */
void srv_watch_remove(srv_watch *w, int fd);
#endif
