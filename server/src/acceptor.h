#ifndef SRV_ACCEPTOR_H
#define SRV_ACCEPTOR_H
#include "prelu/status.h"
#include <stdbool.h>

/** The listening socket and the thread that accepts from it. The HTTP library is handed accepted
 *  sockets only, so that limits and the drain are ours: a stop first takes in what the kernel has
 *  already accepted, then closes the door. */
typedef struct srv_acceptor srv_acceptor;

typedef struct srv_acceptor_hooks {
    void *ctx;
    void (*take)(void *ctx, int fd); /* owns fd; its address is asked with getpeername */
    bool (*full)(void *ctx);         /* true: make room, or accept later */
} srv_acceptor_hooks;

/** Bind and listen. @param path  of a socket for this machine only, which its owner and group may
 * use; one that nobody listens on any more is replaced. NULL: host and port count.
 *  @param host  name or address; @param port  0 = any free one; *port is set.
 *  @return E_BUSY in use; E_PERM; E_ARG no such host, or a path too long; E_IO. */
PRELU_MUST_CHECK prelu_status srv_acceptor_create(srv_acceptor **out, const char *path,
                                                  const char *host, int *port, prelu_err *err);
/** Begin to accept. */
PRELU_MUST_CHECK prelu_status srv_acceptor_start(srv_acceptor *a, const srv_acceptor_hooks *hooks,
                                                 prelu_err *err);
/** Take in what waits, close the socket, end the thread. NULLs *a; NULL is fine. */
void srv_acceptor_destroy(srv_acceptor **a);
#endif
