#define _GNU_SOURCE /* EPOLLRDHUP */
#include "watch.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* An event may have been fetched when its socket is removed, and its number used again: so events
 * carry the number and a stamp that changes with every use of it. */
typedef struct entry {
    uint32_t stamp; /* 0 = not watched */
    void *ctx;
} entry;

struct srv_watch {
    int epoll, stop;
    bool running;
    pthread_t thread;
    srv_watch_fn *fn;
    pthread_mutex_t lock;
    entry *entries; /* by descriptor */
    size_t n;
    uint32_t next;
};

static void ring(srv_watch *w, uint64_t key, uint32_t events)
{
    size_t fd = key & UINT32_MAX;
    pthread_mutex_lock(&w->lock);
    if (fd < w->n && w->entries[fd].stamp == key >> 32)
        w->fn(w->entries[fd].ctx, (events & (EPOLLHUP | EPOLLERR)) != 0);
    pthread_mutex_unlock(&w->lock);
}

static void *watch_main(void *arg)
{
    srv_watch *w = arg;
    struct epoll_event ev[64];
    pthread_setname_np(pthread_self(), "prelu-watch");
    for (;;) {
        int n = epoll_wait(w->epoll, ev, 64, -1);
        if (n < 0 && errno != EINTR)
            break;
        for (int i = 0; i < n; i++) {
            if (ev[i].data.u64 == UINT64_MAX)
                return NULL;
            ring(w, ev[i].data.u64, ev[i].events);
        }
    }
    prelu_log(PRELU_LOG_ERROR, "epoll_wait: %s", strerror(errno));
    return NULL;
}

prelu_status srv_watch_create(srv_watch **out, srv_watch_fn *fn, prelu_err *err)
{
    srv_watch *w = prelu_calloc(1, sizeof *w);
    if (!w)
        return prelu_fail(err, PRELU_E_NOMEM, "watch: no memory");
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
    int e = 0;
    w->fn = fn;
    pthread_mutex_init(&w->lock, NULL);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->stop = eventfd(0, EFD_CLOEXEC);
    if (w->epoll < 0 || w->stop < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->stop, &ev))
        e = errno;
    if (!e)
        e = pthread_create(&w->thread, NULL, watch_main, w);
    w->running = !e;
    *out = w;
    if (e) {
        srv_watch_destroy(out);
        return prelu_fail(err, PRELU_E_IO, "watch: %s", strerror(e));
    }
    return PRELU_OK;
}

void srv_watch_destroy(srv_watch **watch)
{
    srv_watch *w = *watch;
    if (!w)
        return;
    *watch = NULL;
    if (w->running) {
        eventfd_write(w->stop, 1);
        pthread_join(w->thread, NULL);
    }
    if (w->epoll >= 0)
        close(w->epoll);
    if (w->stop >= 0)
        close(w->stop);
    pthread_mutex_destroy(&w->lock);
    prelu_free(w->entries);
    prelu_free(w);
}

/* Room for descriptor fd; under the lock. */
static bool grow(srv_watch *w, size_t fd)
{
    if (fd < w->n)
        return true;
    size_t n = fd + 64;
    entry *more = prelu_realloc(w->entries, n * sizeof *more);
    if (!more)
        return false;
    memset(more + w->n, 0, (n - w->n) * sizeof *more);
    w->entries = more;
    w->n = n;
    return true;
}

void srv_watch_add(srv_watch *w, int fd, void *ctx)
{
    pthread_mutex_lock(&w->lock);
    if (grow(w, (size_t)fd)) {
        if (++w->next == 0)
            w->next = 1;
        w->entries[fd] = (entry){.stamp = w->next, .ctx = ctx};
        struct epoll_event ev = {.events = EPOLLRDHUP | EPOLLET,
                                 .data.u64 = (uint64_t)w->next << 32 | (uint32_t)fd};
        if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &ev))
            w->entries[fd].stamp = 0;
    }
    pthread_mutex_unlock(&w->lock);
}

void srv_watch_remove(srv_watch *w, int fd)
{
    struct epoll_event ev = {0};
    pthread_mutex_lock(&w->lock);
    if ((size_t)fd < w->n && w->entries[fd].stamp) {
        w->entries[fd].stamp = 0;
        epoll_ctl(w->epoll, EPOLL_CTL_DEL, fd, &ev);
    }
    pthread_mutex_unlock(&w->lock);
}
