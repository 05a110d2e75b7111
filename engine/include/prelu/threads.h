#ifndef PRELU_THREADS_H
#define PRELU_THREADS_H
#include "prelu/status.h"
#include <stdatomic.h>
#include <stdbool.h>

/** The one pool of compute threads of a process: decode, resize and arithmetic alike.
 *
 *  Two ways in. prelu_pool_run is a parallel loop: the calling thread works too, idle pool threads
 *  help, tasks are claimed from an atomic counter. prelu_pool_submit queues a job to be run by one
 *  pool thread, which may call prelu_pool_run inside it. So with a deep queue each thread works on
 *  its own job (one session per core), and with a shallow one all help the same job; never more
 *  threads than the pool has. Idle threads spin some tens of microseconds while a loop is active
 *  and then park. */
typedef struct prelu_pool prelu_pool;

/** One task of a loop. @param worker slot of the running thread, 0 <= worker <
 *  prelu_pool_slots(pool); two tasks of one loop that run at the same time have different slots. */
typedef void prelu_task_fn(void *ctx, size_t task, int worker);
typedef void prelu_job_fn(void *ctx);

/** CPUs this process may really use: physical cores within its affinity mask (SMT siblings share
 *  the matrix unit), at most the cgroup (v1, v2) quota rounded up; >= 1. */
int prelu_cpu_count(void);

/** @param threads pool threads to start, 0..256. A program whose own thread calls prelu_pool_run
 *  (a command-line tool) starts prelu_cpu_count() - 1; a server that only submits starts
 *  prelu_cpu_count(). @param out owned by the caller. @return E_ARG, E_NOMEM. */
PRELU_MUST_CHECK prelu_status prelu_pool_create(prelu_pool **out, int threads, prelu_err *err);
/** Runs what was submitted, then ends the threads. NULLs *pool; NULL is fine. */
void prelu_pool_destroy(prelu_pool **pool);

/** fn(ctx, 0..tasks-1, worker), each once, in any order; returns when all are done. The caller's
 *  writes before are seen by the tasks, theirs by the caller after. pool NULL runs them here.
 *  Thread-safe, also from inside tasks and jobs; one thread outside the pool at a time. */
void prelu_pool_run(prelu_pool *pool, size_t tasks, prelu_task_fn *fn, void *ctx);
/** The same, but once *stop is set no further task is begun. stop NULL: never.
 *  @return how many ran: the first of them, each to its end. */
size_t prelu_pool_run_until(prelu_pool *pool, size_t tasks, prelu_task_fn *fn, void *ctx,
                            const atomic_bool *stop);

/** Queue fn(ctx) to run once on a pool thread, first come first served. The pool must have a
 *  thread. @return E_NOMEM. Thread-safe. */
PRELU_MUST_CHECK prelu_status prelu_pool_submit(prelu_pool *pool, prelu_job_fn *fn, void *ctx,
                                                prelu_err *err);

/** Threads of the pool + 1 (slot 0 is a caller from outside); 1 for NULL. */
int prelu_pool_slots(const prelu_pool *pool);
#endif
