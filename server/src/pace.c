#define _POSIX_C_SOURCE 200809L
#include "pace.h"
#include <math.h>
#include <string.h>

#define SECOND 1e9
#define SLOT 50000000    /* nanoseconds */
#define WINDOW 20e6      /* of a measurement */
#define MEMORY 200e6     /* a measured time this long outweighs what was known */
#define LEAST_SPEED 1e-3 /* a machine that does nothing is a loaded one */
enum { LONGEST = 60 };   /* seconds */

/* Refusals at most so long apart are of one overload; which is expected to last as long again as it
 * has lasted, but no longer than this; nanoseconds. */
#define APART INT64_C(1000000000)
#define MORE 4e9

/* How far from its prediction an end may be: so far that LATE of all are later. A stochastic
 * approximation, whose steps are 1 to 49, rests there. */
#define LATE 0.02
#define STEP 0.05
#define LEAST_SLACK 1.05
#define MOST_SLACK 1.5

void srv_pace_init(srv_pace *p)
{
    memset(p, 0, sizeof *p);
    p->speed = 1;
    p->slack = 1.2;
    pthread_mutex_init(&p->lock, NULL);
}

void srv_pace_deinit(srv_pace *p) { pthread_mutex_destroy(&p->lock); }

void srv_pace_add(srv_pace *p, double cost, int64_t now)
{
    pthread_mutex_lock(&p->lock);
    if (p->since == 0) {
        p->since = now;
        p->done = 0;
    }
    p->backlog += cost;
    pthread_mutex_unlock(&p->lock);
}

/* Only time in which there was work counts, and the more the longer it was: a lone request, which
 * uses less than the whole machine, says little. */
void srv_pace_done(srv_pace *p, double cost, double worth, int64_t now)
{
    pthread_mutex_lock(&p->lock);
    const double busy = (double)(now - p->since);
    p->backlog -= cost;
    p->done += worth;
    const int idle = p->backlog < 1;
    if (busy >= WINDOW || (idle && busy > 0)) {
        const double weight = 1 - exp(-busy / MEMORY);
        p->speed = fmax(p->speed + weight * (p->done / busy - p->speed), LEAST_SPEED);
        p->since = now;
        p->done = 0;
    }
    if (idle) {
        p->backlog = 0; /* what rounding left */
        p->since = 0;
    }
    pthread_mutex_unlock(&p->lock);
}

double srv_pace_wait(srv_pace *p, double cost)
{
    pthread_mutex_lock(&p->lock);
    const double wait = p->backlog > 0 ? (p->backlog + cost) / p->speed : 0;
    pthread_mutex_unlock(&p->lock);
    return wait;
}

double srv_pace_surely(srv_pace *p, double cost)
{
    const double wait = srv_pace_wait(p, cost);
    pthread_mutex_lock(&p->lock);
    const double slack = p->slack;
    pthread_mutex_unlock(&p->lock);
    return wait * slack;
}

void srv_pace_learn(srv_pace *p, double predicted, double took)
{
    pthread_mutex_lock(&p->lock);
    p->slack += took > predicted * p->slack ? STEP * (1 - LATE) : -STEP * LATE;
    p->slack = fmin(fmax(p->slack, LEAST_SLACK), MOST_SLACK);
    pthread_mutex_unlock(&p->lock);
}

/* Forget what was promised for times that are over. */
static void turn_ring(srv_pace *p, int64_t slot)
{
    if (slot - p->slot >= SRV_PACE_SLOTS)
        memset(p->promised, 0, sizeof p->promised);
    else
        for (; p->slot < slot; p->slot++)
            p->promised[p->slot % SRV_PACE_SLOTS] = 0;
    p->slot = slot;
}

/* Of the slots that have room in the queue at the same time as `slot`. */
static double promised_near(const srv_pace *p, int64_t slot, int64_t reach)
{
    double sum = 0;
    for (int64_t i = slot - reach; i <= slot + reach; i++)
        if (i >= p->slot && i < p->slot + SRV_PACE_SLOTS)
            sum += p->promised[i % SRV_PACE_SLOTS];
    return sum;
}

/* Of the overload that one is refused in. */
static double age(srv_pace *p, int64_t now)
{
    if (p->refused == 0 || now - p->refused > APART)
        p->overloaded = now;
    p->refused = now;
    return fmin((double)(now - p->overloaded), MORE);
}

int srv_pace_retry_after(srv_pace *p, size_t units, double cost, size_t room, int64_t deadline,
                         int64_t now)
{
    pthread_mutex_lock(&p->lock);
    const double rate = p->speed * (double)units / fmax(cost, 1); /* units in a nanosecond */
    const double span = fmin((double)room / fmax(rate, 1e-12), (double)deadline / p->slack);
    const double most = fmin((double)room, rate * span) * 0.8;
    const int64_t reach = (int64_t)fmin(span / SLOT, SECOND / SLOT);
    const double drained = (p->backlog + cost) / p->speed - span;
    int64_t slot = 0;
    int s = (int)fmin(fmax(ceil(drained / SECOND), 1) + ceil(age(p, now) / SECOND), LONGEST);
    turn_ring(p, now / SLOT);
    for (;; s++) {
        slot = (now + s * (int64_t)SECOND) / SLOT;
        const double near = promised_near(p, slot, reach);
        if (s >= LONGEST || near <= 0 || near + (double)units <= most)
            break;
    }
    p->promised[slot % SRV_PACE_SLOTS] += (double)units;
    pthread_mutex_unlock(&p->lock);
    return s;
}
