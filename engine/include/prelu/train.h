#ifndef PRELU_TRAIN_H
#define PRELU_TRAIN_H
#include "prelu/session.h"

/** SGD on a classifier's graph: loss, backward pass (a graph pass), update, checkpoint.
 *  Equations: momentum 0.9, weight decay 0.0005 not on slopes (He et al. 2015, section 3). */
typedef struct prelu_trainer prelu_trainer;

typedef struct prelu_trainer_options {
    int micro_batch;       /* pictures per pass, gradients are accumulated up to a step's batch */
    int height, width;     /* of a training view */
    float momentum;        /* 0.9 */
    float weight_decay;    /* 0.0005; on weights only, never on slopes, biases and BatchNorm */
    float label_smoothing; /* 0 */
    bool bf16;             /* operands of products, forward and backward, are rounded to bf16;
                              parameters, momentum, sums and all else stay f32 */
    bool nesterov;         /* w -= lr * (g + momentum * v) with the new v */
    bool fc_one_rank;      /* all from the first fully connected layer on is process 0's alone, on
                              the pictures of all (He et al. 2015, section 3.3): steps need an
                              exchange */
    uint64_t seed;         /* of Dropout, with the step's number */
} prelu_trainer_options;

typedef struct prelu_step_result {
    double loss;    /* mean over the batch */
    size_t correct; /* top-1 */
} prelu_step_result;

/** Is bf16 the faster way to train on this CPU? It is where it has matrix tiles. */
bool prelu_trainer_prefers_bf16(void);

/** Trained are the constants that have a role; a BatchNormalization whose mean has none keeps its
 *  statistics.
 *  @return also E_UNSUPPORTED for fc_one_rank where that layer is not all that leads to the logits.
 *  @param net    graph whose output `logits` is value `logits`; cloned, borrowed constants are
 *                copied into the trainer's own parameters. */
PRELU_MUST_CHECK prelu_status prelu_trainer_create(prelu_trainer **out, const prelu_graph *net,
                                                   prelu_value logits,
                                                   const prelu_trainer_options *options,
                                                   prelu_pool *pool, prelu_err *err);
void prelu_trainer_destroy(prelu_trainer **t);

/** One step on n views with their class numbers: v = momentum * v + g + decay * w; w -= lr * v.
 *  @return E_FORMAT when loss or a gradient is not finite: the text names the layer, and parameters
 *  are as before the step. */
PRELU_MUST_CHECK prelu_status prelu_trainer_step(prelu_trainer *t, const prelu_view *views,
                                                 const int32_t *labels, size_t n, float lr,
                                                 prelu_step_result *result, prelu_err *err);
/** Copy the parameters into the constants of `net` (the graph given to create, or its clone with
 * the same value numbers); constants become owned copies. */
PRELU_MUST_CHECK prelu_status prelu_trainer_export(const prelu_trainer *t, prelu_graph *net,
                                                   prelu_err *err);
/** What processes tell each other in a step whose pictures are spread over them, each with a
 * trainer of its own that began alike. Every process makes the same calls in the same order; one
 * that cannot go on ends all. Of n numbers process `rank` owns those from prelu_owned(n, rank,
 * size) up to prelu_owned(n, rank + 1, size). */
typedef struct prelu_exchange {
    int rank, size;
    void *ctx;
    /** Begin to sum x[0..n-1] over the processes: after finish_sums each has the sums of what it
     *  owns, until then x is left alone. */
    void (*begin_sum)(void *ctx, float *x, size_t n);
    void (*finish_sums)(void *ctx);
    /** Begin to give all processes what each owns of x; complete after finish_spreads. */
    void (*begin_spread)(void *ctx, float *x, size_t n);
    void (*finish_spreads)(void *ctx);
    /** Let what has begun go on; does not wait. */
    void (*progress)(void *ctx);
    /** Sum x[0..n-1] over the processes, in place, to the same bits on each. */
    void (*sum)(void *ctx, float *x, size_t n);
    /** Process 0 gets len bytes of each process, in their order, into `all`. @return how many. */
    size_t (*gather)(void *ctx, const void *mine, size_t len, void *all);
    /** The way back: each process gets its len bytes of process 0's `all`. */
    void (*scatter)(void *ctx, const void *all, void *mine, size_t len);
    /** Process 0's x goes to all. */
    void (*broadcast)(void *ctx, float *x, size_t n);
    /** OK if every process says OK. */
    prelu_status (*agree)(void *ctx, prelu_status st, prelu_err *err);
} prelu_exchange;
static inline size_t prelu_owned(size_t n, int rank, int size)
{
    const size_t lines = (n + 15) / 16, at = lines * (size_t)rank / (size_t)size * 16;
    return at < n ? at : n;
}

typedef struct prelu_step_share {
    size_t first, all; /* pictures of the processes before this one, and of all; all > 0 */
    size_t most;       /* of the process that has most of them */
    const prelu_exchange *exchange; /* NULL: one process */
} prelu_step_share;
/** This process' part of such a step; n may be 0. Each gradient is summed over the processes while
 *  the backward pass goes on; each process keeps the momentum of the parameters that it owns and
 *  updates those. result->loss and correct are this part's summands.
 *  @return also what the exchange agrees on. After a failure the processes are no longer alike. */
PRELU_MUST_CHECK prelu_status prelu_trainer_step_shared(prelu_trainer *t, const prelu_view *views,
                                                        const int32_t *labels, size_t n,
                                                        const prelu_step_share *share, float lr,
                                                        prelu_step_result *result, prelu_err *err);
/** Before a checkpoint, all: momentum that other processes own comes here. */
void prelu_trainer_collect(prelu_trainer *t, const prelu_exchange *e);
/** Before an export by other processes than 0, all: what process 0 alone trains comes here. */
void prelu_trainer_share(prelu_trainer *t, const prelu_exchange *e);
/** Steps taken. */
uint64_t prelu_trainer_steps(const prelu_trainer *t);

/** Parameters, momentum, statistics, step number and the caller's `extra` text, written atomically
 *  (write, fsync, rename) and checksummed. A failed save leaves the old file whole. */
PRELU_MUST_CHECK prelu_status prelu_checkpoint_save(const prelu_trainer *t, const char *path,
                                                    const char *extra, prelu_err *err);
/** @return E_FORMAT damaged or truncated, E_ARG another architecture (says which tensor differs).
 *  @param extra  owned by the caller (prelu_free). The trainer is untouched on failure. */
PRELU_MUST_CHECK prelu_status prelu_checkpoint_load(prelu_trainer *t, const char *path,
                                                    char **extra, prelu_err *err);
#endif
