#ifndef TRAIN_COMPARE_PRECISION_H
#define TRAIN_COMPARE_PRECISION_H
#include "dataset.h"
#include "prelu/classify.h"

/** What reduced precision changes of a model's answers, on real pictures. */
typedef struct train_comparison {
    const prelu_model *model;
    const mdl_dataset *data; /* labels are the model's class indexes */
    prelu_pool *pool;
    const char *path; /* of the model: its prelu.precision is set; NULL = only print */
    bool json, quiet;
} train_comparison;

/** Classify every picture (center) in fp32, bf16 and int8fc and print, for each, the accuracy, the
 *  part whose top-1 is fp32's - of all pictures, and of those whose fp32 margin (score of the first
 *  class less that of the second) is at least 0.02 - and what is asked of it.
 *  @return as train_evaluate; E_FORMAT no picture can be read; of prelu_model_annotate. */
PRELU_MUST_CHECK prelu_status train_compare_precision(const train_comparison *c, prelu_err *err);
#endif
