#ifndef SRV_WORKER_PRIVATE_H
#define SRV_WORKER_PRIVATE_H
/* Shared by task.c (a picture's beginning and end), batch.c (a run of several in steps) and
 * worker.c (which of them goes on when). */
#include "pace.h"
#include "worker.h"

enum { SRV_MAX_BATCH_RUNS = 1024 };

/** Pictures of one model and plan that run together, in steps; used by one thread at a time but for
 *  `stop`. */
typedef struct srv_batch {
    struct srv_batch *next; /* of all of them, or of the free ones */
    srv_workers *w;
    double got; /* time on a thread by its weight, in the scheduler's virtual time; nanoseconds */
    double weight; /* short ones get more of the time that several want */
    bool stepping;
    bool lengthy;     /* worth interrupting */
    atomic_bool stop; /* somebody else may have something better to do */
    srv_model *model;
    bool dense;
    srv_run *runs[SRV_MAX_BATCH_RUNS];
    size_t n;
    size_t at, count; /* those that run now: all, or after a failure one after another */
    prelu_session *session;
    prelu_passes *passes; /* NULL: not begun */
    int64_t ran;          /* nanoseconds of its steps */
    prelu_view *views;
    float *scores;
    size_t cap_views, cap_scores;
} srv_batch;

struct srv_workers {
    prelu_pool *pool;
    srv_timer *timer;
    srv_metrics *metrics;
    srv_worker_options opt;
    srv_queue queue;
    srv_pace pace;
    pthread_mutex_t lock;
    /* Under it: */
    srv_batch *batches, *free; /* that run; that may be used again */
    double now;                /* virtual time of batches */
    int turns;                 /* threads that step batches, or are about to */
    int running[2];            /* batches of views; of whole pictures */
    double weights;            /* of all batches */
    /* Not: */
    atomic_size_t unbegun; /* prepare jobs in the pool's queue */
    atomic_size_t active;
    _Atomic int64_t pixel_ps; /* to decode and resize a pixel, smoothed, picoseconds; 0 = not yet */
    _Atomic int64_t prepare_ns; /* a picture; so too */
    srv_alarm delay;
};

/* task.c */

/** Decode, resize and cut; learn how long that takes. On failure the task's error is set. */
void srv_task_prepare(srv_task *t);
/** The end of a task, before which nothing ran or all runs are done. */
void srv_task_finish(srv_task *t);
/** A run has its mean, or an error: the last one ends the task. */
void srv_run_done(srv_run *r);
/** Of a row of its scores. */
size_t srv_run_width(const srv_run *r);
/** Nobody waits for its answer: its end. */
void srv_run_drop(srv_run *r, srv_stage stage);
/** More tasks than a few, which are in nobody's way, for they are shared in steps: only now is one
 *  turned away because it is predicted to be late. */
bool srv_workers_crowded(const srv_workers *w);
/** Predicted, of preparing and all runs; nanoseconds. */
double srv_task_cost(const srv_workers *w, const srv_task *t);
void srv_smooth(_Atomic int64_t *old, int64_t now);

/* batch.c */

/** Runs of one model and plan; none may be dropped yet. */
void srv_batch_begin(srv_batch *b, size_t n);
/** Go on. @return true when all its runs are done; then it may begin anew. */
bool srv_batch_step(srv_batch *b, bool brief);
void srv_batch_free(srv_batch *b);
/** A session for a plan of the model, kept from an earlier batch or new, and back. */
PRELU_MUST_CHECK prelu_status srv_session_get(srv_workers *w, srv_model *m, bool dense,
                                              prelu_session **out, prelu_err *err);
void srv_session_put(srv_workers *w, srv_model *m, bool dense, prelu_session **s);
#endif
