#ifndef TRAIN_BENCH_H
#define TRAIN_BENCH_H
#include "options.h"
#include "prelu/image.h"
#include "prelu/model.h"

/** What `bench` measures on. */
typedef struct train_benchmark {
    prelu_model *m;
    prelu_pool *pool;
    int threads;
    int64_t batch, height, width, runs;
    prelu_precision precision;
    uint8_t *pixels;   /* batch * height * width * 3, random */
    prelu_view *views; /* batch */
} train_benchmark;

/** bench --train: images per second of one SGD step on b->views with random labels; median of
 *  b->runs steps. */
PRELU_MUST_CHECK prelu_status train_bench_step(const train_benchmark *b, double *images_per_s,
                                               prelu_err *err);

/** bench --loader: images per second that the loader alone gives from DIR's train pictures,
 * decoding each (no cache), resizing and cutting as fit does; over b->runs batches. */
PRELU_MUST_CHECK prelu_status train_bench_loader(const train_benchmark *b, const char *dir,
                                                 double *images_per_s, prelu_err *err);
#endif
