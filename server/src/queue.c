#define _POSIX_C_SOURCE 200809L
#include "queue.h"
#include "timer.h"
#include <assert.h>
#include <math.h>
#include <string.h>

/* Fair queueing twice over. Groups: one that begins to wait starts where the others are (`now`),
 * and the one that has got least is next; so none collects claims while it has nothing to do.
 * Flows: a work's start is where its flow's last work ends; a new flow starts at the group's
 * virtual time, which passes as fast as each waiting flow is served. A request of many works thus
 * has them spread between those of others. */

void srv_queue_init(srv_queue *q, size_t limit)
{
    memset(q, 0, sizeof *q);
    q->limit = limit;
    pthread_mutex_init(&q->lock, NULL);
}

void srv_queue_deinit(srv_queue *q)
{
    assert(!q->groups);
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

static void insert(srv_group *g, srv_work *work)
{
    srv_work *before = g->tail; /* mostly that: starts grow */
    while (before && before->start > work->start)
        before = before->prev;
    work->prev = before;
    work->next = before ? before->next : g->head;
    *(before ? &before->next : &g->head) = work;
    *(work->next ? &work->next->prev : &g->tail) = work;
}

void srv_queue_push(srv_queue *q, srv_work *work)
{
    srv_group *g = work->group;
    work->pushed = srv_now();
    pthread_mutex_lock(&q->lock);
    if (!g->head) {
        g->next = q->groups;
        q->groups = g;
        g->served = fmax(g->served, q->now);
    }
    work->start = fmax(g->now, work->flow->until);
    work->flow->until = work->start + (double)work->units;
    g->flows += work->flow->waiting++ == 0;
    insert(g, work);
    g->waiting += work->units;
    q->depth++;
    q->waiting += work->units;
    pthread_mutex_unlock(&q->lock);
}

static void remove_group(srv_queue *q, const srv_group *g)
{
    srv_group **link = &q->groups;
    while (*link != g)
        link = &(*link)->next;
    *link = g->next;
}

/* The first works of the group while they fit; later ones must not overtake one that does not. */
static size_t take_from(srv_queue *q, srv_group *g, srv_work **works, size_t max, size_t most)
{
    const double flows = (double)g->flows;
    size_t n = 0, units = 0;
    double cost = 0;
    for (srv_work *w = g->head; w && n < max; w = g->head) {
        if (n > 0 && (units > most || w->units > most - units))
            break;
        g->head = w->next;
        *(w->next ? &w->next->prev : &g->tail) = NULL;
        g->flows -= --w->flow->waiting == 0;
        works[n++] = w;
        units += w->units;
        cost += w->cost;
    }
    g->waiting -= units;
    g->now = fmax(works[n - 1]->start, g->now + (double)units / flows);
    q->now = fmax(q->now, g->served);
    g->served += cost;
    q->depth -= n;
    q->waiting -= units;
    q->reserved -= units;
    if (!g->head)
        remove_group(q, g);
    return n;
}

size_t srv_queue_take(srv_queue *q, srv_work **works, size_t max, srv_queue_rule *rule, void *ctx)
{
    srv_group *best = NULL;
    size_t most = 0, n = 0;
    pthread_mutex_lock(&q->lock);
    for (srv_group *g = q->groups; g; g = g->next) {
        const size_t may = rule(ctx, g);
        const bool less = !best || g->served < best->served ||
                          (g->served <= best->served && g->head->pushed < best->head->pushed);
        if (may && less) {
            best = g;
            most = may;
        }
    }
    if (best)
        n = take_from(q, best, works, max, most);
    pthread_mutex_unlock(&q->lock);
    return n;
}

srv_queue_state srv_queue_look(srv_queue *q)
{
    pthread_mutex_lock(&q->lock);
    srv_queue_state s = {
        .depth = q->depth, .waiting = q->waiting, .reserved = q->reserved, .limit = q->limit};
    pthread_mutex_unlock(&q->lock);
    return s;
}
