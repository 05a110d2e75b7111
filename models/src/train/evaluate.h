#ifndef TRAIN_EVALUATE_H
#define TRAIN_EVALUATE_H
#include "dataset.h"
#include "prelu/classify.h"

/** Classes of a data set's pictures, by the same calls that the server makes. */

#define TRAIN_MAX_TESTS 16
#define TRAIN_MAX_MEMBERS PRELU_MAX_MEMBERS
#define TRAIN_TOP 5

/** One picture in one test. Plain bytes, so that processes can exchange it. */
typedef struct train_record {
    uint32_t picture; /* index in the data set */
    int32_t label;
    int32_t n;              /* entries of top: 5, or the classes if they are fewer; 0 = skipped */
    int32_t top[TRAIN_TOP]; /* class indexes, best first */
    double score[TRAIN_TOP];
    double own;          /* score of the label */
    int32_t mode;        /* prelu_mode: mode auto's choice, or as asked */
    int32_t over_budget; /* 1: no mode fits into auto's budget */
} train_record;

typedef struct train_result {
    uint64_t images;     /* classified */
    uint64_t top1, top5; /* how many of them are right; top5 means classes if there are fewer */
    uint64_t skipped;    /* damaged pictures */
    uint64_t modes[PRELU_MODES]; /* images by mode */
    uint64_t over_budget;
} train_result;
/** Add one record to the counts. */
void train_count(train_result *r, const train_record *one);

/** Milliseconds, summed over the pictures. */
typedef struct train_timing {
    double prepare; /* one thread's time for resizing and cutting */
    double infer;   /* time of all threads together for the scores */
} train_timing;

/** A model and its sessions; several make an ensemble. */
typedef struct train_member {
    const prelu_model *model;
    prelu_session *session, *dense;    /* of its plans; dense only where a test asks for it */
    prelu_test tests[TRAIN_MAX_TESTS]; /* resolved for this model */
    const prelu_plan *dense_plan;      /* where mode auto may use it, else NULL */
    prelu_rate rate;                   /* for mode auto */
} train_member;

/** What mode auto goes by, picture by picture, as the server does. */
typedef struct train_auto {
    bool
        tests[TRAIN_MAX_TESTS]; /* those that are auto; of them the members' tests give `average` */
    double budget_ms, pixel_ms; /* of which decoding and resizing a pixel takes so much */
    prelu_mode order[PRELU_MODES];
} train_auto;

typedef struct train_evaluation {
    const train_member *members; /* with the same classes */
    int n_members, n_tests;
    const train_auto *choice; /* NULL: no test is auto */
    prelu_pool *pool;
    const mdl_dataset *data; /* labels are the models' class indexes */
    size_t first, n;         /* the pictures to take */
    train_record *records;   /* NULL, or n_tests times n, test by test */
    /** After each block, with the counts of the first test; false stops. May be NULL. */
    bool (*progress)(void *ctx, const train_result *so_far);
    /** A picture that cannot be prepared for some test, once. May be NULL. */
    void (*bad)(void *ctx, size_t picture, const char *why);
    void *ctx;
} train_evaluation;

/** One pass: a picture is decoded once for all tests and models (but for those that ask for scaled
 *  decoding, by test). The result does not depend on the number of threads, nor on the other tests.
 *  @param out n_tests results. @param timing NULL, or n_tests and, last, the time of decoding.
 *  @return E_CANCELLED; E_NOMEM and failures of the session. A picture that cannot be prepared is
 *  skipped. */
PRELU_MUST_CHECK prelu_status train_evaluate(const train_evaluation *e, train_result *out,
                                             train_timing *timing, prelu_err *err);
#endif
