#ifndef SRV_WORKER_H
#define SRV_WORKER_H
#include "metrics.h"
#include "prelu/heatmap.h"
#include "queue.h"
#include "registry.h"
#include "timer.h"

/** From bytes to scores, on the compute pool only: prepare jobs (decode, resize) feed a bounded
 *  queue; what waits in it is formed into batches, which run in steps.
 *
 *  A deep queue runs one batch per core, and a shallow one runs one batch on all of them, for the
 *  session's own loops use the pool too. Batches take turns: one short piece of work beside a long
 *  one does not wait for its end. */
typedef struct srv_workers srv_workers;

/** A picture's way through one model. */
typedef struct srv_run {
    srv_work work; /* its units are to be filled in: prelu_test_units */
    srv_model *model;
    prelu_test test;     /* resolved */
    prelu_work computes; /* all 0: not known */

    /* The workers' own. */
    struct srv_task *task;
    prelu_prepared prepared;
    double *mean;  /* of the model's scores, by class; in srv_task.means */
    float *scores; /* of all rows, for a heatmap */
    prelu_err err;
    double queue_ms, infer_ms;
} srv_run;

/** One picture, or one that is a tensor already. Zero-initialise, fill in the first part, submit;
 * owned by whoever waits for it. */
typedef struct srv_task {
    srv_run runs[PRELU_MAX_MEMBERS]; /* more than one: an ensemble, of the same classes */
    size_t n_runs;
    size_t top_k;
    srv_flow *flow;      /* shared by the tasks of a request, zeroed; NULL: it is alone */
    bool heat, paint;    /* make a heatmap, and lay it over the picture */
    prelu_choice choice; /* of mode auto, for the reply */
    int heat_class;      /* -1: the best one, which it then is */
    const void *jpeg;    /* borrowed until done; or */
    const float *tensor; /* (3,crop,crop), borrowed until done: mode center, of one model */
    size_t len;          /* of jpeg */
    void *owner;
    /** Whether anyone still wants an answer that takes as many nanoseconds more at least; asked
     * before each costly part. */
    bool (*wanted)(struct srv_task *task, double more);
    /** Once, on a pool thread; afterwards the task is its owner's again. */
    void (*done)(struct srv_task *task);

    /* Results. */
    prelu_err err;         /* code PRELU_OK on success */
    prelu_prediction *top; /* top_k, best first; prelu_free. None of features */
    double *means;         /* of every class, or the features; prelu_free */
    size_t n_rows;         /* views, or windows of them, whose scores were averaged */
    prelu_jpeg_info info;
    double decode_ms, prepare_ms, queue_ms, infer_ms;
    prelu_heatmap heatmap; /* prelu_heatmap_deinit */
    prelu_image painted;   /* prelu_image_deinit */

    /* The workers' own. */
    double cost;      /* predicted, nanoseconds */
    double predicted; /* time from then to its end; 0: nothing is to be learnt of it */
    int64_t admitted;
    srv_flow own_flow;
    atomic_size_t left; /* runs that are not done */
    srv_workers *workers;
} srv_task;

typedef struct srv_worker_options {
    int threads; /* of the pool */
    size_t max_batch;
    int64_t max_batch_delay; /* nanoseconds */
    size_t queue_limit;
    prelu_image_limits limits;
} srv_worker_options;

/** Everything is borrowed for the workers' life. */
PRELU_MUST_CHECK prelu_status srv_workers_create(srv_workers **out, prelu_pool *pool,
                                                 srv_timer *timer, srv_metrics *metrics,
                                                 const srv_worker_options *options, prelu_err *err);
/** Nothing may be in flight. NULLs *w; NULL is fine. */
void srv_workers_destroy(srv_workers **w);
/** Run a few pictures of the model on a pool thread, so that the first request finds memory touched
 *  and its time known. Blocks. */
PRELU_MUST_CHECK prelu_status srv_workers_warm_up(srv_workers *w, srv_model *m, prelu_err *err);

/** Promise room for the tasks of a request; each of them is then to be submitted.
 *  @param deadline     nanoseconds within which they must be done.
 *  @param retry_after  set on refusal: seconds after which there should be room, 1..60.
 *  @return E_BUSY: the queue has no room, or what is in it will take too long. */
PRELU_MUST_CHECK prelu_status srv_workers_admit(srv_workers *w, srv_task *tasks, size_t n,
                                                int64_t deadline, int *retry_after, prelu_err *err);
/** Would a single view be admitted now? Nothing is promised. */
PRELU_MUST_CHECK prelu_status srv_workers_room(srv_workers *w, const srv_model *m, int64_t deadline,
                                               int *retry_after, prelu_err *err);
/** Begin a task that was admitted. `done` is called in any case. Thread-safe. */
void srv_workers_submit(srv_workers *w, srv_task *task);
/** Some task is not wanted any more: long runs look whether it is theirs. Does not wait. */
void srv_workers_interrupt(srv_workers *w);
/** Until all that is admitted is done, as things go; milliseconds. */
double srv_workers_wait_ms(srv_workers *w);
/** What the model's work takes now, by its rate at start and how that held since. */
prelu_rate srv_model_rate(const srv_model *m);
/** About the time to decode and resize a picture; 0 before the first one. */
double srv_workers_prepare_ms(const srv_workers *w, int width, int height);
srv_queue_state srv_workers_look(srv_workers *w);
/** Tasks submitted and not done. */
size_t srv_workers_active(srv_workers *w);
#endif
