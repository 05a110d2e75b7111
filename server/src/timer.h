#ifndef SRV_TIMER_H
#define SRV_TIMER_H
#include "prelu/status.h"
#include <stdint.h>

/** Deadlines: one thread that sleeps until the earliest of them. With none armed it sleeps for
 *  good, so an idle server costs nothing. */
typedef struct srv_timer srv_timer;

/** Monotonic clock, nanoseconds. */
int64_t srv_now(void);

/** One deadline, inside its owner's struct. Zero-initialise. */
typedef struct srv_alarm {
    struct srv_alarm *next, *prev; /* while armed */
    int64_t when;
    /** Called on the timer thread, once per arming, with the timer's lock held: be short, do not
     *  call srv_timer functions and take no lock that is held around them elsewhere. */
    void (*ring)(void *ctx);
    void *ctx;
} srv_alarm;

PRELU_MUST_CHECK prelu_status srv_timer_create(srv_timer **out, prelu_err *err);
/** Ends the thread; armed alarms never ring. NULLs *timer; NULL is fine. */
void srv_timer_destroy(srv_timer **timer);
/** Arm, or move, to ring at `when` (srv_now clock). Thread-safe. */
void srv_timer_arm(srv_timer *timer, srv_alarm *alarm, int64_t when);
/** Afterwards the alarm is not armed and not ringing. Thread-safe; not from `ring`. */
void srv_timer_cancel(srv_timer *timer, srv_alarm *alarm);
#endif
