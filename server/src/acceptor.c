#define _GNU_SOURCE /* accept4 */
#include "acceptor.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct srv_acceptor {
    int fd, stop; /* listening socket; eventfd */
    bool running;
    pthread_t thread;
    srv_acceptor_hooks hooks;
};

/* SENDING: of replies that a client does not read, the kernel holds so much, not megabytes. */
enum { BACKLOG = 1024, RETRY_MS = 10, SENDING = 65536 };

static prelu_status bind_one(const struct addrinfo *ai, int *out, prelu_err *err)
{
    const int one = 1;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return prelu_fail(err, PRELU_E_IO, "socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, BACKLOG)) {
        int e = errno;
        close(fd);
        prelu_status st = e == EADDRINUSE || e == EADDRNOTAVAIL ? PRELU_E_BUSY
                          : e == EACCES                         ? PRELU_E_PERM
                                                                : PRELU_E_IO;
        return prelu_fail(err, st, "cannot listen: %s", strerror(e));
    }
    *out = fd;
    return PRELU_OK;
}

/* A socket file outlives a process that was killed: nobody answers on it then. */
static void remove_stale(const struct sockaddr_un *sa)
{
    struct stat s;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (lstat(sa->sun_path, &s) == 0 && S_ISSOCK(s.st_mode) &&
        connect(fd, (const struct sockaddr *)sa, sizeof *sa) && errno == ECONNREFUSED)
        unlink(sa->sun_path);
    close(fd);
}

static prelu_status listen_on_path(const char *path, int *fd, prelu_err *err)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    prelu_err why = {0};
    if (!*path || strlen(path) >= sizeof sa.sun_path)
        return prelu_fail(err, PRELU_E_ARG, "--unix-socket: a path has 1 to %zu bytes",
                          sizeof sa.sun_path - 1);
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    remove_stale(&sa);
    struct addrinfo ai = {
        .ai_family = AF_UNIX, .ai_addr = (struct sockaddr *)&sa, .ai_addrlen = sizeof sa};
    mode_t before = umask(S_IXUSR | S_IXGRP | S_IRWXO);
    prelu_status st = bind_one(&ai, fd, &why);
    umask(before);
    return st ? prelu_fail(err, st, "--unix-socket %s: %s", path, why.text) : PRELU_OK;
}

static int port_of(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    if (getsockname(fd, (struct sockaddr *)&sa, &len))
        return 0;
    return sa.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&sa)->sin6_port)
                                    : ntohs(((struct sockaddr_in *)&sa)->sin_port);
}

static prelu_status listen_on(const char *host, int *port, int *fd, prelu_err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char service[16];
    snprintf(service, sizeof service, "%d", *port);
    int e = getaddrinfo(host, service, &hints, &list);
    if (e)
        return prelu_fail(err, PRELU_E_ARG, "--host %s: %s", host, gai_strerror(e));
    prelu_err why = {0};
    prelu_status st = bind_one(list, fd, &why);
    freeaddrinfo(list);
    if (st)
        return prelu_fail(err, st, "%s port %d: %s", host, *port, why.text);
    *port = port_of(*fd);
    return PRELU_OK;
}

prelu_status srv_acceptor_create(srv_acceptor **out, const char *path, const char *host, int *port,
                                 prelu_err *err)
{
    srv_acceptor *a = prelu_calloc(1, sizeof *a);
    if (!a)
        return prelu_fail(err, PRELU_E_NOMEM, "acceptor: no memory");
    a->fd = -1;
    a->stop = eventfd(0, EFD_CLOEXEC);
    prelu_status st = PRELU_OK;
    if (a->stop < 0)
        st = prelu_fail(err, PRELU_E_IO, "eventfd: %s", strerror(errno));
    else if (path)
        st = listen_on_path(path, &a->fd, err);
    else
        st = listen_on(host, port, &a->fd, err);
    if (st)
        srv_acceptor_destroy(&a);
    *out = a;
    return st;
}

static void bound_sending(int fd)
{
    const int most = SENDING;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &most, sizeof most))
        prelu_log(PRELU_LOG_DEBUG, "SO_SNDBUF: %s", strerror(errno));
}

/* Accept until nothing waits. @return false when it stopped for want of room or descriptors. */
static bool accept_all(srv_acceptor *a, bool always)
{
    for (;;) {
        if (!always && a->hooks.full(a->hooks.ctx))
            return false;
        int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            bound_sending(fd);
            a->hooks.take(a->hooks.ctx, fd);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno == EAGAIN)
            return true;
        prelu_log(PRELU_LOG_WARN, "accept: %s", strerror(errno));
        return false;
    }
}

/* From here on the kernel completes no new connection: one that it completed between our last
 * accept and close would be reset, though its client was told that it is connected. A SYN that is
 * dropped is sent again and then refused. Where the filter cannot be set, that small window stays.
 */
static void shut_door(int fd)
{
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    const struct sock_fprog all = {.len = 1, .filter = &drop};
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof all))
        prelu_log(PRELU_LOG_DEBUG, "SO_ATTACH_FILTER: %s", strerror(errno));
}

static void *acceptor_main(void *arg)
{
    srv_acceptor *a = arg;
    bool room = true;
    pthread_setname_np(pthread_self(), "prelu-accept");
    for (;;) {
        struct pollfd p[2] = {{.fd = a->stop, .events = POLLIN},
                              {.fd = room ? a->fd : -1, .events = POLLIN}};
        if (poll(p, 2, room ? -1 : RETRY_MS) < 0 && errno != EINTR)
            break;
        if (p[0].revents)
            break;
        room = accept_all(a, false);
    }
    shut_door(a->fd);
    accept_all(a, true); /* their clients have been told that they are connected */
    return NULL;
}

prelu_status srv_acceptor_start(srv_acceptor *a, const srv_acceptor_hooks *hooks, prelu_err *err)
{
    a->hooks = *hooks;
    int e = pthread_create(&a->thread, NULL, acceptor_main, a);
    if (e)
        return prelu_fail(err, PRELU_E_NOMEM, "acceptor thread: %s", strerror(e));
    a->running = true;
    return PRELU_OK;
}

static void remove_path(int fd)
{
    struct sockaddr_un sa = {0};
    socklen_t len = sizeof sa;
    if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0 && sa.sun_family == AF_UNIX &&
        sa.sun_path[0])
        unlink(sa.sun_path);
}

void srv_acceptor_destroy(srv_acceptor **acceptor)
{
    srv_acceptor *a = *acceptor;
    if (!a)
        return;
    *acceptor = NULL;
    if (a->running) {
        eventfd_t one = 1;
        eventfd_write(a->stop, one);
        pthread_join(a->thread, NULL);
    }
    if (a->fd >= 0) {
        remove_path(a->fd);
        close(a->fd);
    }
    if (a->stop >= 0)
        close(a->stop);
    prelu_free(a);
}
