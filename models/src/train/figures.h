#ifndef TRAIN_FIGURES_H
#define TRAIN_FIGURES_H
#include "evaluate.h"

/** What the records of one test say. */

#define TRAIN_BINS 15
/** Classes up to which the matrix is kept. */
#define TRAIN_MAX_CONFUSION 2000
#define TRAIN_WORST 24

/** Pictures whose best score lies in ((i)/15, (i+1)/15]; 0 belongs to the first. */
typedef struct train_bin {
    uint64_t images, correct;
    double score; /* sum */
} train_bin;

typedef struct train_class_figures {
    uint64_t images, predicted, correct; /* recall = correct / images, precision = / predicted */
} train_class_figures;

typedef struct train_figures {
    train_result result;
    double low, high; /* 95 % of Wilson's score interval of the top-1 fraction */
    train_bin bins[TRAIN_BINS];
    double ece; /* expected calibration error: mean over pictures of |accuracy - score| of bins */
    int n_classes;
    train_class_figures *classes;
    uint32_t *confusion;                    /* (class, predicted); NULL above TRAIN_MAX_CONFUSION */
    const train_record *worst[TRAIN_WORST]; /* wrong ones, surest first; borrowed records */
    int n_worst;
} train_figures;

/** @param records  of one test, borrowed as long as the figures live. */
PRELU_MUST_CHECK prelu_status train_figures_make(train_figures *f, const train_record *records,
                                                 size_t n, int classes, prelu_err *err);
void train_figures_deinit(train_figures *f);
/** part / whole, 0 of nothing. */
double train_fraction(uint64_t part, uint64_t whole);
#endif
