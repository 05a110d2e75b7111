#define _GNU_SOURCE /* pthread_setname_np */
#include "timer.h"
#include "prelu/mem.h"
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

/* Alarms stand in a list in no order. A ring scans the whole list; the thread wakes only when an
 * alarm is due (or was, before it was cancelled or moved), which for deadlines of seconds is rare,
 * while arming and cancelling happen with every request and cost a few pointers. */
struct srv_timer {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    srv_alarm list;   /* ring of armed alarms */
    int64_t earliest; /* what the thread sleeps for; INT64_MAX = for good */
    bool stop;
};

int64_t srv_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void take_out(srv_alarm *a)
{
    a->prev->next = a->next;
    a->next->prev = a->prev;
    a->next = a->prev = NULL;
}

/* Ring what is due; set `earliest`. Called and returns with the lock. */
static void ring_due(srv_timer *t)
{
    int64_t now = srv_now();
    t->earliest = INT64_MAX;
    for (srv_alarm *a = t->list.next, *next; a != &t->list; a = next) {
        next = a->next;
        if (a->when <= now) {
            take_out(a);
            a->ring(a->ctx);
        } else if (a->when < t->earliest) {
            t->earliest = a->when;
        }
    }
}

static void *timer_main(void *arg)
{
    srv_timer *t = arg;
    pthread_setname_np(pthread_self(), "prelu-timer");
    pthread_mutex_lock(&t->lock);
    while (!t->stop) {
        ring_due(t);
        if (t->earliest == INT64_MAX) {
            pthread_cond_wait(&t->wake, &t->lock);
        } else {
            struct timespec until = {.tv_sec = (time_t)(t->earliest / 1000000000),
                                     .tv_nsec = (long)(t->earliest % 1000000000)};
            pthread_cond_timedwait(&t->wake, &t->lock, &until);
        }
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

prelu_status srv_timer_create(srv_timer **out, prelu_err *err)
{
    pthread_condattr_t attr;
    srv_timer *t = prelu_calloc(1, sizeof *t);
    if (!t)
        return prelu_fail(err, PRELU_E_NOMEM, "timer: no memory");
    t->list.next = t->list.prev = &t->list;
    t->earliest = INT64_MAX;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->wake, &attr);
    pthread_condattr_destroy(&attr);
    int e = pthread_create(&t->thread, NULL, timer_main, t);
    if (e) {
        pthread_cond_destroy(&t->wake);
        pthread_mutex_destroy(&t->lock);
        prelu_free(t);
        return prelu_fail(err, PRELU_E_NOMEM, "timer thread: %s", strerror(e));
    }
    *out = t;
    return PRELU_OK;
}

void srv_timer_destroy(srv_timer **timer)
{
    srv_timer *t = *timer;
    if (!t)
        return;
    *timer = NULL;
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    prelu_free(t);
}

void srv_timer_arm(srv_timer *t, srv_alarm *a, int64_t when)
{
    pthread_mutex_lock(&t->lock);
    if (a->next)
        take_out(a);
    a->when = when;
    a->next = &t->list;
    a->prev = t->list.prev;
    a->prev->next = a->next->prev = a;
    if (when < t->earliest) {
        t->earliest = when;
        pthread_cond_signal(&t->wake);
    }
    pthread_mutex_unlock(&t->lock);
}

void srv_timer_cancel(srv_timer *t, srv_alarm *a)
{
    pthread_mutex_lock(&t->lock);
    if (a->next)
        take_out(a);
    pthread_mutex_unlock(&t->lock);
}
