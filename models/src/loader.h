#ifndef MDL_LOADER_H
#define MDL_LOADER_H
#include "augment.h"
#include "dataset.h"

/** Batches of augmented u8 views for training. While one batch is trained on, pool threads decode
 *  and cut the next. What a batch holds is a function of (data, options, epoch, step) only. Decoded
 *  pictures stay in memory up to `cache_bytes`. A picture that cannot be decoded is left out of its
 *  batch, counted and reported once. Used by one thread. */
typedef struct mdl_loader mdl_loader;

/** Called by mdl_loader_next, in batch order, once per damaged picture. */
typedef void mdl_loader_bad_fn(void *ctx, const char *name, const char *why);

typedef struct mdl_loader_options {
    const mdl_dataset *data; /* borrowed */
    prelu_pool *pool;        /* borrowed; NULL works in the caller only */
    size_t batch;            /* 1.. ; clipped to the number of pictures */
    /* of each batch only part `part` of `parts`, for several processes; parts 0 = all of it */
    size_t part, parts;
    mdl_augment augment;
    bool draft; /* JPEGs may be decoded scaled, down to twice the largest scale */
    size_t cache_bytes;
    mdl_loader_bad_fn *bad; /* may be NULL */
    void *ctx;
} mdl_loader_options;

typedef struct mdl_batch {
    const prelu_view *views; /* crop x crop each; valid until the next call */
    const int32_t *labels;
    size_t n; /* may be below the batch size, even 0, where pictures were damaged */
    uint64_t epoch, step;
} mdl_batch;

/** @return as mdl_augment_check; E_NOMEM. */
PRELU_MUST_CHECK prelu_status mdl_loader_create(mdl_loader **out, const mdl_loader_options *options,
                                                prelu_err *err);
void mdl_loader_destroy(mdl_loader **l);

/** Whole batches per epoch; what does not fill one is left out (others each epoch). */
size_t mdl_loader_steps(const mdl_loader *l);
/** The next batch will be (epoch, step); behind an epoch's last step lies the next epoch. */
void mdl_loader_seek(mdl_loader *l, uint64_t epoch, uint64_t step);
/** The next batch; the one after it is begun in the background.
 *  @return E_NOMEM. */
PRELU_MUST_CHECK prelu_status mdl_loader_next(mdl_loader *l, mdl_batch *out, prelu_err *err);
size_t mdl_loader_bad(const mdl_loader *l); /* damaged pictures met so far */
#endif
