/* bench --loader: what training would wait for if its steps took no time. */
#include "bench.h"
#include "common.h"
#include "loader.h"

static prelu_status time_batches(const train_benchmark *b, mdl_loader *l, double *images_per_s,
                                 prelu_err *err)
{
    size_t images = 0;
    double start = 0;
    for (int64_t i = -1; i < b->runs; i++) { /* one to warm up */
        mdl_batch batch;
        if (!i)
            start = train_now_ms();
        PRELU_TRY(mdl_loader_next(l, &batch, err));
        images += i < 0 ? 0 : batch.n;
    }
    *images_per_s = (double)images * 1000 / (train_now_ms() - start + 1e-6);
    return PRELU_OK;
}

prelu_status train_bench_loader(const train_benchmark *b, const char *dir, double *images_per_s,
                                prelu_err *err)
{
    const prelu_preprocess *p = &b->m->preprocess;
    const int resize = (int)(p->resize * b->height / p->crop);
    mdl_dataset *d = NULL;
    mdl_loader *l = NULL;
    if (b->height != b->width)
        return prelu_fail(err, PRELU_E_ARG, "--loader cuts squares, not %lldx%lld",
                          (long long)b->height, (long long)b->width);
    PRELU_TRY(mdl_dataset_open(&d, dir, "train", NULL, 0, err));
    const mdl_loader_options o = {.data = d,
                                  .pool = b->pool,
                                  .batch = (size_t)b->batch,
                                  .draft = p->draft,
                                  .augment = {.crop = (int)b->height,
                                              .scale_min = resize,
                                              .scale_max = 2 * resize,
                                              .flip = true,
                                              .seed = 1}};
    prelu_status st = mdl_loader_create(&l, &o, err);
    if (!st)
        st = time_batches(b, l, images_per_s, err);
    mdl_loader_destroy(&l);
    mdl_dataset_destroy(&d);
    return st;
}
