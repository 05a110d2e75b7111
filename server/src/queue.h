#ifndef SRV_QUEUE_H
#define SRV_QUEUE_H
#include "prelu/status.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/** What waits for a worker, bounded in units of work. Knows neither HTTP nor JPEG.
 *
 *  Works wait in groups, of which a batch is formed: those of a model. Each group gets as much work
 *  done as any other that waits, however many works it has; and within a group each flow, which is
 *  a request, gets as much as any other. What comes first goes first where that decides nothing.
 *
 *  Units are promised before the costly part (reserve), long before the work is ready to be pushed,
 *  so a full queue refuses at the door. Thread-safe. */

typedef struct srv_flow {
    double until;   /* virtual time at which its last work should be over */
    size_t waiting; /* its works */
} srv_flow;

/** One piece of work, inside its owner's struct. */
typedef struct srv_work {
    struct srv_work *next, *prev;
    struct srv_group *group;
    srv_flow *flow;
    size_t units;
    double cost;    /* predicted time, nanoseconds */
    int64_t pushed; /* srv_now clock */
    double start;   /* the queue's own: virtual time; a group's works are in its order */
} srv_work;

/** Zero-initialised by its owner; outlives its works. */
typedef struct srv_group {
    struct srv_group *next; /* while works wait */
    srv_work *head, *tail;
    size_t waiting; /* units */
    size_t flows;   /* that have works waiting */
    double now;     /* virtual time of its flows: what each of them has got, in units */
    double served;  /* virtual time of groups: cost of what was taken */
} srv_group;

typedef struct srv_queue {
    pthread_mutex_t lock;
    srv_group *groups; /* with works */
    double now;        /* virtual time of groups */
    size_t depth;      /* works that wait */
    size_t waiting;    /* their units */
    size_t reserved;   /* units promised: being decoded or waiting */
    size_t limit;      /* most `reserved` */
} srv_queue;

void srv_queue_init(srv_queue *q, size_t limit);
void srv_queue_deinit(srv_queue *q); /* must be empty */

/** Promise `units`. One request above the whole limit is let in when nothing else is there, so
 *  that every legal request can be served. @return E_BUSY, with the figures. */
PRELU_MUST_CHECK prelu_status srv_queue_reserve(srv_queue *q, size_t units, prelu_err *err);
/** Give back a promise whose work is not pushed. */
void srv_queue_release(srv_queue *q, size_t units);
/** Add work whose units were reserved. Sets work->pushed. */
void srv_queue_push(srv_queue *q, srv_work *work);

/** Which group a batch may be of now, and what may be in it; called with the queue's lock held.
 *  @return units, 0 = none now. */
typedef size_t srv_queue_rule(void *ctx, const srv_group *group);
/** Take the batch that should run next: of the group that got least among those that may run, its
 *  works in order while they fit, at most max; the first is taken whatever its size. Their units
 * are no longer reserved. @return how many; 0 when nothing may run. */
size_t srv_queue_take(srv_queue *q, srv_work **works, size_t max, srv_queue_rule *rule, void *ctx);

typedef struct srv_queue_state {
    size_t depth, waiting, reserved, limit;
} srv_queue_state;
srv_queue_state srv_queue_look(srv_queue *q);
#endif
