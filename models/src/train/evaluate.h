#ifndef TRAIN_EVALUATE_H
#define TRAIN_EVALUATE_H
#include "dataset.h"
#include "prelu/classify.h"

/** Accuracy of a model on a data set, by the same calls that the server makes. */
typedef struct train_result {
    uint64_t images;     /* classified */
    uint64_t top1, top5; /* how many of them are right; top5 means classes if there are fewer */
    uint64_t skipped;    /* damaged pictures */
} train_result;

typedef struct train_evaluation {
    const prelu_model *model;
    prelu_session *session; /* of the model's plan; of its dense one if the test asks for that */
    prelu_pool *pool;
    const mdl_dataset *data; /* labels are the model's class indexes */
    prelu_test test;         /* resolved */
    /** After each block; false stops (E_CANCELLED). May be NULL. */
    bool (*progress)(void *ctx, const train_result *so_far);
    void (*bad)(void *ctx, const char *name, const char *why); /* may be NULL */
    void *ctx;
} train_evaluation;

/** @return E_CANCELLED; E_NOMEM and failures of the session. A picture that cannot be prepared is
 *  skipped. The result does not depend on the number of threads. */
PRELU_MUST_CHECK prelu_status train_evaluate(const train_evaluation *e, train_result *out,
                                             prelu_err *err);
#endif
