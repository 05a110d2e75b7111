#ifndef SRV_QUEUE_H
#define SRV_QUEUE_H
#include "prelu/status.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/** What waits for a worker: first come, first served, bounded in units of work. Knows neither HTTP
 *  nor JPEG.
 *
 *  Units are promised before the costly part (reserve), long before the work is ready to be pushed,
 *  so a full queue refuses at the door. Thread-safe. */

/** One piece of work, inside its owner's struct. */
typedef struct srv_work {
    struct srv_work *next;
    const void *group; /* works of one batch share it: the model */
    size_t units;
    int64_t pushed; /* srv_now clock */
} srv_work;

typedef struct srv_queue {
    pthread_mutex_t lock;
    srv_work *head, *tail;
    size_t depth;    /* works that wait */
    size_t waiting;  /* their units */
    size_t reserved; /* units promised: being decoded or waiting */
    size_t limit;    /* most `reserved` */
} srv_queue;

void srv_queue_init(srv_queue *q, size_t limit);
void srv_queue_deinit(srv_queue *q); /* must be empty */

/** Promise `units`. One request above the whole limit is let in when nothing else is there, so
 *  that every legal request can be served. @return E_BUSY, with the figures. */
PRELU_MUST_CHECK prelu_status srv_queue_reserve(srv_queue *q, size_t units, prelu_err *err);
/** Give back a promise whose work is not pushed. */
void srv_queue_release(srv_queue *q, size_t units);
/** Append work whose units were reserved. Sets work->pushed. */
void srv_queue_push(srv_queue *q, srv_work *work);
/** Take the batch that should run next: the oldest work, and whatever waits of the same group, in
 *  order, up to max_units in all and max works; the oldest is taken whatever its size. Their units
 *  are no longer reserved.
 *  @param works  filled. @return how many; 0 when nothing waits. */
size_t srv_queue_take(srv_queue *q, srv_work **works, size_t max, size_t max_units);

typedef struct srv_queue_state {
    size_t depth, waiting, reserved, limit;
    int64_t oldest;    /* when the oldest work was pushed; 0 when none waits */
    const void *group; /* of the oldest; NULL when none waits */
} srv_queue_state;
srv_queue_state srv_queue_look(srv_queue *q);
#endif
