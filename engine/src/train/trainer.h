#ifndef TR_TRAINER_H
#define TR_TRAINER_H
#include "prelu/graph.h"
#include "prelu/plan.h"
#include "prelu/train.h"

/** A parameter: a constant of the net that became a variable of the training graph. Its floats lie
 *  at `offset` of the trainer's blocks, in the engine's layout (rank 4: channels-last). */
typedef struct tr_param {
    prelu_value net; /* in the net's graph */
    prelu_value var; /* in the training graph */
    char *name;
    prelu_role role;
    prelu_shape shape;
    size_t count, offset;
    int output; /* of the plan: its gradient; -1 if the loss does not depend on it */
    size_t first_chunk, n_chunks;
} tr_param;

/** One BatchNormalization: where its running statistics live. */
typedef struct tr_norm {
    prelu_value net_mean, net_var; /* constants in the net's graph */
    prelu_value x;                 /* its input in the training graph */
    prelu_value batch_mean, batch_var;
    char *name;
    size_t count, offset; /* mean at offset, variance at offset + tr_padded(count) */
    size_t positions;     /* h * w of x: values per channel and picture */
    int output;           /* of the plan: batch mean; batch variance is the next */
} tr_norm;

/** A piece of a parameter that one task works on. */
typedef struct tr_chunk {
    int param;
    size_t begin, end; /* within the parameter */
} tr_chunk;

struct prelu_trainer {
    prelu_trainer_options o;
    prelu_pool *pool;
    prelu_graph *graph; /* of training; its first n_forward nodes are the network */
    int n_forward;
    prelu_plan *plan;
    prelu_session *session;
    tr_param *params;
    tr_norm *norms;
    int n_params, n_norms;
    tr_chunk *chunks;
    size_t n_chunks;
    int *ready; /* parameters with a gradient, in the order in which the plan makes those */
    int n_ready;
    /* blocks of `total` and `norm_total` floats; gaps between parameters are zero */
    size_t total, norm_total;
    float *weights, *velocity, *gradient;
    bool one_pass;           /* nothing was added up: a step's gradients are the plan's outputs, and
                                `gradient` is not used */
    float *statistics;       /* running */
    float *batch_statistics; /* sums over the micro-batches of one step */
    uint8_t *finite;         /* one per chunk */
    uint64_t steps;
    int classes;
};

/** The plan's outputs 0 and 1; gradients and statistics follow. */
enum { TR_OUTPUT_LOSS, TR_OUTPUT_PROB, TR_OUTPUT_FIRST };

/** Floats a tensor takes in a block: whole cache lines. */
static inline size_t tr_padded(size_t count) { return (count + 15) / 16 * 16; }

static inline prelu_precision tr_precision(const prelu_trainer *t)
{
    return t->o.bf16 ? PRELU_PRECISION_BF16 : PRELU_PRECISION_FP32;
}

/** Copy between row-major logical order and the engine's layout. */
void tr_to_engine(float *dst, const void *src, const prelu_shape *shape);
void tr_from_engine(float *dst, const float *src, const prelu_shape *shape);

/** Build the training graph (forward without what only inference needs, loss, backward), fill
 *  t->params and t->norms, plan it into t->plan. build.c */
prelu_status tr_build(prelu_trainer *t, const prelu_graph *net, prelu_value logits, prelu_err *err);

/** Gradient blocks: t->gradient = (first ? 0 : t->gradient) + factor * outputs. sgd.c */
void tr_accumulate(prelu_trainer *t, float factor, bool first);
/** The same of one parameter. */
void tr_accumulate_param(prelu_trainer *t, const tr_param *p, float factor, bool first);
/** A parameter's, which the loss depends on: of one pass over a step's pictures it is used where
 * the plan left it. */
const float *tr_gradient(const prelu_trainer *t, const tr_param *p);
/** E_FORMAT naming the first parameter whose gradient is not finite. @param e  NULL, or of what
 *  this process owns. */
prelu_status tr_check_finite(prelu_trainer *t, const prelu_exchange *e, prelu_err *err);
/** Where a pass that gave no finite loss went wrong: the name of the first layer whose output is
 * not finite, run again with all of them kept; "the loss" if all are. blame.c */
const char *tr_blame(prelu_trainer *t, const prelu_view *views, size_t n, uint64_t seed);
/** v = momentum * v + g + decay * w; w -= lr * v. */
void tr_update(prelu_trainer *t, float lr);
/** The same of what this process owns, which then goes to the others. */
void tr_update_owned(prelu_trainer *t, float lr, const prelu_exchange *e);
prelu_status tr_chunks_make(prelu_trainer *t, prelu_err *err);
/** t->ready. */
prelu_status tr_order_make(prelu_trainer *t, prelu_err *err);
#endif
