/* bench --train: one SGD step, median over some. */
#include "bench.h"
#include "common.h"
#include "prelu/mem.h"
#include "prelu/train.h"
#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static prelu_status time_steps(const train_benchmark *b, prelu_trainer *t, const int32_t *labels,
                               double *ms, prelu_err *err)
{
    prelu_step_result result;
    for (int64_t i = -1; i < b->runs; i++) { /* one to warm up */
        double start = train_now_ms();
        PRELU_TRY(prelu_trainer_step(t, b->views, labels, (size_t)b->batch, 1e-5f, &result, err));
        if (i >= 0)
            ms[i] = train_now_ms() - start;
    }
    return PRELU_OK;
}

prelu_status train_bench_step(const train_benchmark *b, double *images_per_s, prelu_err *err)
{
    prelu_trainer_options o = {.micro_batch = (int)b->batch,
                               .height = (int)b->height,
                               .width = (int)b->width,
                               .momentum = 0.9f,
                               .weight_decay = 0.0005f,
                               .bf16 = b->precision == PRELU_PRECISION_BF16,
                               .seed = 1};
    int32_t *labels = prelu_calloc((size_t)b->batch, sizeof *labels);
    double *ms = prelu_calloc((size_t)b->runs, sizeof *ms);
    prelu_trainer *t = NULL;
    prelu_status st;
    if (!labels || !ms) {
        st = prelu_fail(err, PRELU_E_NOMEM, "%lld labels", (long long)b->batch);
        goto out;
    }
    if (b->m->logits == PRELU_NONE) {
        st = prelu_fail(err, PRELU_E_UNSUPPORTED, "not a picture classifier");
        goto out;
    }
    for (int64_t i = 0; i < b->batch; i++)
        labels[i] = (int32_t)(i % b->m->classes);
    st = prelu_trainer_create(&t, b->m->graph, b->m->logits, &o, b->pool, err);
    if (st)
        goto out;
    st = time_steps(b, t, labels, ms, err);
    if (st)
        goto out;
    qsort(ms, (size_t)b->runs, sizeof *ms, by_value);
    *images_per_s = (double)b->batch * 1000 / ms[b->runs / 2];
out:
    prelu_trainer_destroy(&t);
    prelu_free(labels);
    prelu_free(ms);
    return st;
}
