#define _GNU_SOURCE
#include "prelu/threads.h"
#include "prelu/mem.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/* A running loop lies on its caller's stack; helpers reach it only through a slot:
 *
 *   caller: slot.loop = &loop … work … slot.loop = NULL, wait until slot.users == 0
 *   helper: slot.users++, l = slot.loop, if l: claim and run tasks, slot.users--
 *
 * so the loop cannot vanish while a helper looks at it. Parking follows Dekker: a thread announces
 * that it parks, then looks for work once more; a caller publishes work, then looks for parked. */
enum { SLOTS = 64, MAX_THREADS = 256 };
#define SPIN_NS 30000 /* tens of microseconds, about one small step of a run */

typedef struct loop {
    prelu_task_fn *fn;
    void *ctx;
    size_t tasks;
    atomic_size_t next;
    const atomic_bool *stop;
} loop;

static bool stopped(const atomic_bool *stop)
{
    return stop && atomic_load_explicit(stop, memory_order_relaxed);
}

typedef struct slot {
    _Alignas(64) atomic_bool taken;
    atomic_int users;
    atomic_bool waiting; /* the caller parks until users == 0 */
    _Atomic(loop *) current;
} slot;

typedef struct job {
    prelu_job_fn *fn;
    void *ctx;
    struct job *next;
} job;

struct prelu_pool {
    slot slots[SLOTS];
    atomic_int used; /* slots ever taken: how far helpers look */
    atomic_int parked;
    atomic_size_t queued;
    atomic_bool stop;
    bool roomy;            /* there is a CPU for every thread */
    atomic_int caller_cpu; /* where the last loop was published; -1 = none yet */
    pthread_mutex_t lock;  /* jobs, parking */
    pthread_cond_t wake;   /* work for parked threads */
    pthread_cond_t idle;   /* a waiting caller's helpers are done */
    job *head, **tail;
    int threads;
    pthread_t thread[MAX_THREADS];
};

static _Thread_local const prelu_pool *my_pool;
static _Thread_local int my_worker;

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    sched_yield();
#endif
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int worker_in(const prelu_pool *pool) { return my_pool == pool ? my_worker : 0; }

static void work_on(loop *l, int worker)
{
    while (!stopped(l->stop)) {
        const size_t task = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);
        if (task >= l->tasks)
            return;
        l->fn(l->ctx, task, worker);
    }
}

static void leave(prelu_pool *p, slot *s)
{
    if (atomic_fetch_sub(&s->users, 1) == 1 && atomic_load(&s->waiting)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->idle);
        pthread_mutex_unlock(&p->lock);
    }
}

/* One loop with tasks left, helped to its end; false if there was none. */
static bool help(prelu_pool *p, int worker)
{
    const int used = atomic_load(&p->used);
    for (int i = 0; i < used; i++) {
        slot *s = &p->slots[i];
        bool helped = false;
        if (!atomic_load(&s->current))
            continue;
        atomic_fetch_add(&s->users, 1);
        loop *l = atomic_load(&s->current);
        if (l) {
            helped = atomic_load_explicit(&l->next, memory_order_relaxed) < l->tasks;
            work_on(l, worker);
            /* used up: take it off the board, so that nobody spins for its last tasks */
            atomic_compare_exchange_strong(&s->current, &l, NULL);
        }
        leave(p, s);
        if (helped)
            return true;
    }
    return false;
}

static job *take_job(prelu_pool *p)
{
    job *j = NULL;
    if (atomic_load(&p->queued) == 0)
        return NULL;
    pthread_mutex_lock(&p->lock);
    j = p->head;
    if (j) {
        p->head = j->next;
        if (!p->head)
            p->tail = &p->head;
        atomic_fetch_sub(&p->queued, 1);
    }
    pthread_mutex_unlock(&p->lock);
    return j;
}

/* Own jobs come before helping others: a deep queue gives every thread its own session. */
static bool work_once(prelu_pool *p, int worker)
{
    job *j = take_job(p);
    if (j) {
        j->fn(j->ctx);
        prelu_free(j);
        return true;
    }
    return help(p, worker);
}

static bool has_work(prelu_pool *p)
{
    const int used = atomic_load(&p->used);
    if (atomic_load(&p->queued) || atomic_load(&p->stop))
        return true;
    for (int i = 0; i < used; i++)
        if (atomic_load(&p->slots[i].current))
            return true;
    return false;
}

/* Announced before the look under the lock, so whoever publishes after that look sees parked > 0
 * and, signalling under the same lock, finds this thread waiting. */
static void park(prelu_pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->parked, 1);
    if (!has_work(p))
        pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->parked, 1);
    pthread_mutex_unlock(&p->lock);
}

/* The kernel may put a woken thread on its waker's CPU and leave it there until it balances,
 * milliseconds later; the waker, which does not block, then does all the work alone. So a thread
 * that wakes there goes elsewhere, and is then free again to go where it likes: the kernel prefers
 * the CPU that a thread was on. */
static void part_from_caller(const prelu_pool *p)
{
    const int cpu = atomic_load(&p->caller_cpu);
    cpu_set_t allowed, others;
    if (!p->roomy || cpu < 0 || sched_getcpu() != cpu ||
        sched_getaffinity(0, sizeof allowed, &allowed))
        return;
    others = allowed;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        (void)sched_setaffinity(0, sizeof allowed, &allowed);
}

typedef struct start {
    prelu_pool *pool;
    int worker;
} start;

static void *thread_main(void *arg)
{
    start *s = arg;
    prelu_pool *p = s->pool;
    const int worker = s->worker;
    my_pool = p;
    my_worker = worker;
    prelu_free(s);
    uint64_t last = now_ns();
    for (;;) {
        if (work_once(p, worker)) {
            last = now_ns();
            continue;
        }
        if (atomic_load(&p->stop))
            return NULL;
        if (now_ns() - last < SPIN_NS) {
            for (int i = 0; i < 16; i++)
                relax();
            continue;
        }
        park(p);
        part_from_caller(p);
        last = now_ns();
    }
}

static void wake(prelu_pool *p, size_t wanted)
{
    if (atomic_load(&p->parked) == 0)
        return;
    pthread_mutex_lock(&p->lock);
    if (wanted == 1)
        pthread_cond_signal(&p->wake);
    else
        pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

/* More CPUs than a cpu_set_t holds count as none: threads then stay where they are put. */
static bool has_room(int threads)
{
    cpu_set_t allowed;
    return sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) >= threads;
}

prelu_status prelu_pool_create(prelu_pool **out, int threads, prelu_err *err)
{
    prelu_status st = PRELU_OK;
    prelu_pool *p;
    if (threads < 0 || threads > MAX_THREADS)
        return prelu_fail(err, PRELU_E_ARG, "pool of %d threads; 0..%d", threads, MAX_THREADS);
    p = prelu_calloc(1, sizeof *p);
    if (!p)
        return prelu_fail(err, PRELU_E_NOMEM, "pool: %zu bytes", sizeof *p);
    p->tail = &p->head;
    p->roomy = has_room(threads);
    atomic_init(&p->caller_cpu, -1);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->idle, NULL);
    for (int i = 0; i < threads; i++) {
        start *s = prelu_alloc(sizeof *s);
        if (!s) {
            st = prelu_fail(err, PRELU_E_NOMEM, "pool: thread %d", i);
            break;
        }
        s->pool = p;
        s->worker = i + 1;
        if (pthread_create(&p->thread[i], NULL, thread_main, s) != 0) {
            prelu_free(s);
            st = prelu_fail(err, PRELU_E_NOMEM, "pool: cannot start thread %d of %d", i, threads);
            break;
        }
        p->threads = i + 1;
    }
    if (st)
        prelu_pool_destroy(&p);
    else
        *out = p;
    return st;
}

void prelu_pool_destroy(prelu_pool **pool)
{
    prelu_pool *p = *pool;
    if (!p)
        return;
    atomic_store(&p->stop, true);
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->threads; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->idle);
    pthread_mutex_destroy(&p->lock);
    prelu_free(p);
    *pool = NULL;
}

static slot *take_slot(prelu_pool *p)
{
    for (int i = 0; i < SLOTS; i++) {
        bool expected = false;
        if (!atomic_load(&p->slots[i].taken) &&
            atomic_compare_exchange_strong(&p->slots[i].taken, &expected, true)) {
            int used = atomic_load(&p->used);
            while (used < i + 1 && !atomic_compare_exchange_weak(&p->used, &used, i + 1)) {
            }
            return &p->slots[i];
        }
    }
    return NULL; /* more loops at once than slots: the caller works alone */
}

/* The loop is out of reach for new helpers; wait for those inside: spin a little, then park. */
static void wait_helpers(prelu_pool *p, slot *s)
{
    const uint64_t from = now_ns();
    while (atomic_load(&s->users) > 0) {
        if (now_ns() - from < SPIN_NS) {
            for (int i = 0; i < 16; i++)
                relax();
            continue;
        }
        pthread_mutex_lock(&p->lock);
        atomic_store(&s->waiting, true);
        while (atomic_load(&s->users) > 0)
            pthread_cond_wait(&p->idle, &p->lock);
        atomic_store(&s->waiting, false);
        pthread_mutex_unlock(&p->lock);
    }
}

size_t prelu_pool_run_until(prelu_pool *pool, size_t tasks, prelu_task_fn *fn, void *ctx,
                            const atomic_bool *stop)
{
    slot *s;
    loop l = {.fn = fn, .ctx = ctx, .tasks = tasks, .stop = stop};
    const int worker = pool ? worker_in(pool) : 0;
    if (!pool || tasks <= 1 || pool->threads == 0 || !(s = take_slot(pool))) {
        size_t i = 0;
        for (; i < tasks && !stopped(stop); i++)
            fn(ctx, i, worker);
        return i;
    }
    atomic_store(&pool->caller_cpu, sched_getcpu());
    atomic_store(&s->current, &l);
    wake(pool, tasks - 1);
    work_on(&l, worker);
    atomic_store(&s->current, NULL);
    wait_helpers(pool, s);
    atomic_store(&s->taken, false);
    const size_t begun = atomic_load(&l.next); /* each thread's last claim may be beyond the end */
    return begun < tasks ? begun : tasks;
}

void prelu_pool_run(prelu_pool *pool, size_t tasks, prelu_task_fn *fn, void *ctx)
{
    (void)prelu_pool_run_until(pool, tasks, fn, ctx, NULL);
}

prelu_status prelu_pool_submit(prelu_pool *pool, prelu_job_fn *fn, void *ctx, prelu_err *err)
{
    job *j;
    if (!pool || pool->threads == 0)
        return prelu_fail(err, PRELU_E_ARG, "submit to a pool without threads");
    j = prelu_alloc(sizeof *j);
    if (!j)
        return prelu_fail(err, PRELU_E_NOMEM, "job: %zu bytes", sizeof *j);
    *j = (job){.fn = fn, .ctx = ctx};
    pthread_mutex_lock(&pool->lock);
    *pool->tail = j;
    pool->tail = &j->next;
    atomic_fetch_add(&pool->queued, 1);
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    return PRELU_OK;
}

int prelu_pool_slots(const prelu_pool *pool) { return pool ? pool->threads + 1 : 1; }
