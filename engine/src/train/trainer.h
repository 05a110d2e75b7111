#ifndef TR_TRAINER_H
#define TR_TRAINER_H
#include "prelu/graph.h"
#include "prelu/plan.h"
#include "prelu/train.h"

/** A network, or a part of one, with its backward pass. With fc_one_rank it has two parts: the body
 *  gives the features that the first fully connected layer reads, and takes their gradient as an
 *  input; the head takes features and labels and gives loss and gradients. Else all is body. */
typedef enum tr_part { TR_BODY, TR_HEAD, TR_PARTS } tr_part;
typedef struct tr_net {
    prelu_graph *graph; /* of training; its first n_forward nodes are the network */
    int n_forward;
    prelu_plan *plan;
    prelu_session *session;
} tr_net;

/** A parameter: a constant of the net that became a variable of the training graph. Its floats lie
 *  at `offset` of the trainer's blocks, in the engine's layout (rank 4: channels-last). */
typedef struct tr_param {
    prelu_value net; /* in the net's graph */
    tr_part part;
    prelu_value var; /* in the training graph of its part */
    char *name;
    prelu_role role;
    prelu_shape shape;
    size_t count, offset;
    int output; /* of the plan: its gradient; -1 if the loss does not depend on it */
    size_t first_chunk, n_chunks;
} tr_param;

/** One BatchNormalization: where its running statistics live. */
typedef struct tr_norm {
    tr_part part;
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
    tr_net nets[TR_PARTS];
    size_t features; /* of a picture, between body and head; 0 = there is no head */
    float *rows;     /* process 0: features of all, then their gradients */
    int32_t *row_labels;
    size_t rows_room;
    float *returned; /* gradients of this process' features in a pass */
    size_t returned_room;
    tr_param *params;
    tr_norm *norms;
    int n_params, n_norms;
    tr_chunk *chunks;
    size_t n_chunks;
    int *ready; /* parameters with a gradient that all processes train, in the order in which the
                   plan makes those */
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

/** The first outputs of the plan that has the loss; gradients and statistics follow. */
enum { TR_OUTPUT_LOSS, TR_OUTPUT_PROB, TR_OUTPUT_FEATURES_GRADIENT /* a head's */ };
/** The first output of a body that has a head; its input 1 is their gradient. */
enum { TR_OUTPUT_FEATURES };

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
 *  t->params and t->norms, plan it into t->nets. build.c */
prelu_status tr_build(prelu_trainer *t, const prelu_graph *net, prelu_value logits, prelu_err *err);

/** What Dropout's masks hang on: the place in the whole step keeps its passes apart. */
static inline uint64_t tr_seed(const prelu_trainer *t, size_t place)
{
    return t->o.seed + t->steps * 0x9e3779b97f4a7c15u + place * 0xd1342543de82ef95u;
}

/** After a pass of the part that has the loss: E_FORMAT if that is not finite, else into *r.
 *  @param share  of the pass in its step. trainer.c */
prelu_status tr_take_loss(prelu_trainer *t, tr_part part, const int32_t *labels, size_t n,
                          double share, prelu_step_result *r);
/** Batch statistics of one pass of a part, weighted by its share of the step's pictures. */
void tr_add_statistics(prelu_trainer *t, tr_part part, size_t n, float share);

/** A pass of a step whose head is process 0's. split.c */
typedef struct tr_round {
    prelu_trainer *t;
    const prelu_step_share *step;
    const prelu_view *views; /* of this process in this round; n may be 0 */
    const int32_t *labels;
    size_t n, place; /* of its first picture in the step */
    size_t judged;   /* process 0: pictures of the rounds before */
    prelu_step_result *r;
    bool exchanged;
    prelu_status st;
    prelu_err *err;
} tr_round;
/** Rows for a step's pictures. */
prelu_status tr_split_prepare(prelu_trainer *t, const prelu_step_share *step, prelu_err *err);
/** All processes: their features to process 0, its head's pass on them, gradients back. What goes
 *  wrong is in r->st, and the others get what they wait for. */
void tr_split_exchange(tr_round *r);

/** Gradient blocks of a part: t->gradient = (first ? 0 : t->gradient) + factor * outputs. sgd.c */
void tr_accumulate(prelu_trainer *t, tr_part part, float factor, bool first);
/** The same of one parameter. */
void tr_accumulate_param(prelu_trainer *t, const tr_param *p, float factor, bool first);
/** A parameter's, which the loss depends on: of one pass over a step's pictures it is used where
 * the plan left it. */
const float *tr_gradient(const prelu_trainer *t, const tr_param *p);
/** E_FORMAT naming the first parameter whose gradient is not finite. @param e  NULL, or of what
 *  this process owns. */
prelu_status tr_check_finite(prelu_trainer *t, const prelu_exchange *e, prelu_err *err);
/** Where a pass that gave no finite loss went wrong: the name of the first layer whose output is
 * not finite, run again with all of them kept; "the loss" if all are. A head's input is t->rows.
 * blame.c */
const char *tr_blame(prelu_trainer *t, tr_part part, const prelu_view *views, size_t n,
                     uint64_t seed);
/** v = momentum * v + g + decay * w; w -= lr * v. */
void tr_update(prelu_trainer *t, float lr);
/** The same of what this process owns, which then goes to the others. */
void tr_update_owned(prelu_trainer *t, float lr, const prelu_exchange *e);
prelu_status tr_chunks_make(prelu_trainer *t, prelu_err *err);
/** t->ready. */
prelu_status tr_order_make(prelu_trainer *t, prelu_err *err);
#endif
