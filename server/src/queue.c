#define _POSIX_C_SOURCE 200809L
#include "queue.h"
#include "timer.h"
#include <assert.h>
#include <string.h>

void srv_queue_init(srv_queue *q, size_t limit)
{
    memset(q, 0, sizeof *q);
    q->limit = limit;
    pthread_mutex_init(&q->lock, NULL);
}

void srv_queue_deinit(srv_queue *q)
{
    assert(!q->head);
    pthread_mutex_destroy(&q->lock);
}

prelu_status srv_queue_reserve(srv_queue *q, size_t units, prelu_err *err)
{
    prelu_status st = PRELU_OK;
    pthread_mutex_lock(&q->lock);
    if (q->reserved > 0 && (units > q->limit || q->reserved > q->limit - units))
        st = prelu_fail(err, PRELU_E_BUSY, "the queue is full: %zu of %zu units, %zu more asked",
                        q->reserved, q->limit, units);
    else
        q->reserved += units;
    pthread_mutex_unlock(&q->lock);
    return st;
}

void srv_queue_release(srv_queue *q, size_t units)
{
    pthread_mutex_lock(&q->lock);
    assert(q->reserved >= units);
    q->reserved -= units;
    pthread_mutex_unlock(&q->lock);
}

void srv_queue_push(srv_queue *q, srv_work *work)
{
    work->next = NULL;
    work->pushed = srv_now();
    pthread_mutex_lock(&q->lock);
    if (q->tail)
        q->tail->next = work;
    else
        q->head = work;
    q->tail = work;
    q->depth++;
    q->waiting += work->units;
    pthread_mutex_unlock(&q->lock);
}

size_t srv_queue_take(srv_queue *q, srv_work **works, size_t max, size_t max_units)
{
    size_t n = 0, units = 0;
    pthread_mutex_lock(&q->lock);
    srv_work **link = &q->head, *last = NULL;
    while (*link && n < max) {
        srv_work *w = *link;
        bool fits = units <= max_units && w->units <= max_units - units;
        if (n > 0 && w->group == works[0]->group && !fits)
            break; /* later ones must not overtake it */
        if (n > 0 && w->group != works[0]->group) {
            last = w;
            link = &w->next;
            continue;
        }
        *link = w->next;
        if (q->tail == w)
            q->tail = last;
        works[n++] = w;
        units += w->units;
    }
    q->depth -= n;
    q->waiting -= units;
    q->reserved -= units;
    pthread_mutex_unlock(&q->lock);
    return n;
}

srv_queue_state srv_queue_look(srv_queue *q)
{
    pthread_mutex_lock(&q->lock);
    srv_queue_state s = {.depth = q->depth,
                         .waiting = q->waiting,
                         .reserved = q->reserved,
                         .limit = q->limit,
                         .oldest = q->head ? q->head->pushed : 0,
                         .group = q->head ? q->head->group : NULL};
    pthread_mutex_unlock(&q->lock);
    return s;
}
