#ifndef SRV_PACE_H
#define SRV_PACE_H
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/** How much predicted work is admitted and not done, how fast it gets done, and so when there will
 *  be room. A cost is predicted time in nanoseconds of a lone run; how much of that a busy machine
 *  does in a nanosecond (batches, several threads, other processes) is measured. Thread-safe; `now`
 *  is srv_now's. */
enum { SRV_PACE_SLOTS = 2400 };
typedef struct srv_pace {
    pthread_mutex_t lock;
    double backlog; /* cost admitted and not done */
    double speed;   /* cost done in a nanosecond */
    int64_t since;  /* of the window that is being measured; 0 = idle */
    double done;    /* in it */
    double slack;   /* what a prediction is to be multiplied with to hold nearly always */
    int64_t overloaded, refused; /* since when; the last time */
    /* Units that were told to come back then: by slot of 50 ms, a ring of two minutes. */
    double promised[SRV_PACE_SLOTS];
    int64_t slot; /* the ring's first: earlier ones are empty */
} srv_pace;

void srv_pace_init(srv_pace *p);
void srv_pace_deinit(srv_pace *p);
void srv_pace_add(srv_pace *p, double cost, int64_t now);
/** @param cost  as it was added. @param worth  what was done of it, as it would be predicted now.
 */
void srv_pace_done(srv_pace *p, double cost, double worth, int64_t now);
/** Nanoseconds until all that is admitted is done, and `cost` more. 0 when nothing is admitted: the
 *  first is never in anybody's way. */
double srv_pace_wait(srv_pace *p, double cost);
/** The same, but nearly always enough: predictions are not exact, and what is late after all was
 *  work for nothing. */
double srv_pace_surely(srv_pace *p, double cost);
/** What was to be done in time `predicted` took that long: how far predictions may be trusted. */
void srv_pace_learn(srv_pace *p, double predicted, double took);
/** Seconds, 1..60, after which a request that is refused now will find room. So many come back at a
 *  time as can be let in then.
 *  @param units,cost  of the request. @param room  units that may be admitted at once.
 *  @param deadline    nanoseconds within which one must be done. */
int srv_pace_retry_after(srv_pace *p, size_t units, double cost, size_t room, int64_t deadline,
                         int64_t now);
#endif
