#ifndef TRAIN_BENCH_LAYERS_H
#define TRAIN_BENCH_LAYERS_H
#include "bench.h"
#include "prelu/session.h"

/** bench --layers: medians over runs of the seconds that each layer of a plan took. */
typedef struct train_layer_times {
    double *seconds; /* layers + 1 of each run, one run after another; the last is the feeds */
    double *macs;    /* of a picture */
    size_t layers, runs;
} train_layer_times;

/** Room for b->runs runs. @param t  to be deinited either way. */
PRELU_MUST_CHECK prelu_status train_layers_init(train_layer_times *t, const prelu_plan *plan,
                                                const train_benchmark *b, prelu_err *err);
/** Have the next run of s fill in times of run i. */
void train_layers_clock(train_layer_times *t, prelu_session *s, size_t i);
/** A table, or with `json` an array. */
void train_layers_print(train_layer_times *t, const prelu_plan *plan, const train_benchmark *b,
                        bool json);
void train_layers_deinit(train_layer_times *t);
#endif
