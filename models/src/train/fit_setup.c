#define _POSIX_C_SOURCE 200809L
#include "dist.h"
#include "fit.h"
#include "mean_image.h"
#include "model_private.h"
#include "transfer.h"
#include "whiten.h"
#include "prelu/mem.h"
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#define STATISTICS_SAMPLE 5000
#define SHARED_SHOWN 5 /* of the pictures that are in train and val; log.jsonl has all */
#define SMALL_CROP 64  /* below: a net for small pictures, whose jitter begins at the crop */

/* A class that is never shown would be a unit that is only ever pushed down. */
static prelu_status check_classes(const mdl_dataset *d, prelu_err *err)
{
    int missing = 0;
    bool *seen = prelu_calloc((size_t)d->n_classes, sizeof *seen);
    if (!seen)
        return prelu_fail(err, PRELU_E_NOMEM, "%d classes", d->n_classes);
    for (size_t i = 0; i < d->n_pictures; i++)
        seen[d->pictures[i].label] = true;
    while (missing < d->n_classes && seen[missing])
        missing++;
    prelu_free(seen);
    if (missing < d->n_classes)
        return prelu_fail(err, PRELU_E_FORMAT, "%s/train: class %s has no pictures", d->dir,
                          d->classes[missing].id);
    return PRELU_OK;
}

static prelu_status open_data(fit *f, prelu_err *err)
{
    prelu_err none = {0};
    prelu_status st;
    PRELU_TRY(mdl_dataset_open(&f->train, f->o.data, "train", NULL, 0, err));
    if (f->train->n_classes < 2)
        return prelu_fail(err, PRELU_E_FORMAT, "%s/train has one class (%s); training needs two",
                          f->o.data, f->train->classes[0].id);
    PRELU_TRY(check_classes(f->train, err));
    st = mdl_dataset_open_like(&f->val, "val", f->train, &none);
    if (st && st != PRELU_E_NOTFOUND)
        return prelu_fail(err, st, "%s", none.text);
    if (f->train->ignored)
        train_progress_line(&f->bar, true, "%zu files in %s/train are no .jpg and are left out",
                            f->train->ignored, f->o.data);
    mdl_dataset_limit(f->train, (size_t)f->o.limit);
    if (f->val)
        mdl_dataset_limit(f->val, (size_t)f->o.limit);
    else
        train_progress_line(&f->bar, true, "%s has no val pictures: no accuracy is measured",
                            f->o.data);
    return PRELU_OK;
}

/* A picture that is trained on and judged by. */
static void on_shared(void *ctx, const char *first, const char *later)
{
    fit *f = ctx;
    char quoted_first[1024], quoted_later[1024];
    if (train_dist_rank())
        return;
    if (f->shared++ < SHARED_SHOWN)
        train_progress_line(&f->bar, true, "%s is the same file as %s", later, first);
    train_run_log(&f->run, "{\"event\":\"shared\",\"file\":%s,\"train\":%s}",
                  train_quote(later, quoted_later, sizeof quoted_later),
                  train_quote(first, quoted_first, sizeof quoted_first));
}

static prelu_status digest_data(fit *f, prelu_err *err)
{
    const mdl_dataset *sets[2] = {f->train, f->val};
    PRELU_TRY(mdl_dataset_digest(sets, f->val ? 2 : 1, f->pool, f->digest, on_shared, f, err));
    if (f->shared)
        train_progress_line(&f->bar, true,
                            "%zu of %zu val pictures are train pictures too: val figures flatter",
                            f->shared, f->val->n_pictures);
    return train_dist_same("the data", f->digest, sizeof f->digest, err);
}

/* Does the model know the data's classes, in the data's order? */
static bool knows_classes(const fit *f)
{
    const prelu_model *m = f->model;
    if (m->classes != f->train->n_classes)
        return false;
    for (int i = 0; i < m->classes; i++)
        if (m->labels[i].id[0] && strcmp(m->labels[i].id, f->train->classes[i].id) != 0)
            return false;
    return true;
}

/* The weights of another model, with a new last layer if its classes are others. */
static prelu_status load_init(fit *f, prelu_err *err)
{
    const prelu_model_options how = {.preprocess = f->o.preprocess};
    PRELU_TRY(prelu_model_load(&f->model, f->o.init, &how, err));
    const prelu_model *m = f->model;
    if (f->o.net.arch && (!m->arch || strcmp(m->arch, f->o.net.arch) != 0))
        return prelu_fail(err, PRELU_E_ARG, "--init %s is of architecture %s, not %s", f->o.init,
                          m->arch ? m->arch : "unknown", f->o.net.arch);
    if (!m->classes)
        return prelu_fail(err, PRELU_E_ARG, "--init %s is no classifier", f->o.init);
    if (!knows_classes(f)) {
        train_progress_line(&f->bar, false, "%d new classes: %s gets a new last layer",
                            f->train->n_classes, f->o.init);
        PRELU_TRY(mdl_new_head(f->model, f->train->n_classes, err));
    }
    return f->o.freeze ? mdl_freeze(f->model, f->o.freeze, err) : PRELU_OK;
}

static prelu_status build_net(fit *f, prelu_err *err)
{
    prelu_net_options net = f->o.net;
    mdl_statistics *s = &f->statistics;
    if (!f->o.init || f->o.colour > 0 || f->o.cutout)
        PRELU_TRY(mdl_dataset_statistics(f->train, STATISTICS_SAMPLE, f->pool, s, err));
    if (f->o.init)
        return load_init(f, err);
    if (net.classes && net.classes != f->train->n_classes)
        return prelu_fail(err, PRELU_E_ARG, "--classes %d, but the data has %d", net.classes,
                          f->train->n_classes);
    net.classes = f->train->n_classes;
    net.mean = s->mean;
    if (prelu_net_is_compact(net.arch)) {
        for (int c = 0; c < 3; c++) /* a channel that never changes still needs a divisor */
            s->std[c] = s->std[c] < 1 ? 1 : s->std[c];
        net.std = s->std;
    }
    PRELU_TRY(prelu_net_build(&f->model, &net, err));
    return f->o.whiten ? mdl_whiten(f->model->graph, f->train, s->mean, s->std, err) : PRELU_OK;
}

/* All sizes are of a view of `crop`: those of testing follow it. */
static void set_crop(prelu_preprocess *p, int crop)
{
    for (int i = 0; i < p->n_scales; i++)
        p->scales[i] = (int)(((int64_t)p->scales[i] * crop + p->crop / 2) / p->crop);
    p->resize = (int)((int64_t)p->resize * crop / p->crop);
    p->crop = crop;
}

static prelu_status set_geometry(fit *f, prelu_err *err)
{
    fit_options *o = &f->o;
    prelu_preprocess *p = &f->model->preprocess;
    if (o->crop)
        set_crop(p, o->crop);
    if (o->resize)
        p->resize = o->resize;
    if (p->resize < p->crop)
        return prelu_fail(err, PRELU_E_ARG, "--resize %d is below the crop of %d", p->resize,
                          p->crop);
    p->draft = p->draft || o->draft;
    o->crop = p->crop;
    o->resize = p->resize;
    const bool is_small = p->crop < SMALL_CROP;
    if (!o->scale_min)
        o->scale_min = is_small ? p->crop : p->resize;
    if (!o->scale_max)
        o->scale_max = is_small ? p->crop * 5 / 4 : 2 * p->resize;
    if (o->mean_image)
        PRELU_TRY(mdl_mean_image(f->model->graph, f->train, p->resize, p->crop, STATISTICS_SAMPLE,
                                 f->pool, err));
    return PRELU_OK;
}

/* A pass takes the whole batch, or the largest halving of it that fits the session's ceiling. The
 * ceiling and the shapes decide, not the machine's load: the same run is the same everywhere. */
static prelu_status make_trainer(fit *f, prelu_err *err)
{
    size_t batch =
        (size_t)f->o.batch < f->train->n_pictures ? (size_t)f->o.batch : f->train->n_pictures;
    batch = (batch + (size_t)train_dist_size() - 1) / (size_t)train_dist_size();
    int micro =
        f->o.micro_batch && (size_t)f->o.micro_batch < batch ? (int)f->o.micro_batch : (int)batch;
    for (;;) {
        prelu_err why = {0};
        prelu_trainer_options o = {.micro_batch = micro,
                                   .height = f->o.crop,
                                   .width = f->o.crop,
                                   .momentum = (float)f->o.momentum,
                                   .weight_decay = (float)f->o.weight_decay,
                                   .bf16 = f->o.bf16,
                                   .nesterov = f->o.nesterov,
                                   .fc_one_rank = f->o.fc_one_rank && train_dist_size() > 1,
                                   .label_smoothing = (float)f->o.label_smoothing,
                                   .seed = f->o.net.seed};
        prelu_status st =
            prelu_trainer_create(&f->trainer, f->model->graph, f->model->logits, &o, f->pool, &why);
        f->micro_batch = micro;
        if (!st)
            return PRELU_OK;
        if (st != PRELU_E_LIMIT || f->o.micro_batch || micro == 1)
            return prelu_fail(err, st, "%s", why.text);
        micro = (micro + 1) / 2;
    }
}

static void on_bad(void *ctx, const char *name, const char *why)
{
    fit *f = ctx;
    char quoted_name[1024], quoted_why[1024];
    train_progress_line(&f->bar, true, "skipped %s: %s", name, why);
    train_run_log(&f->run, "{\"event\":\"skipped\",\"file\":%s,\"error\":%s}",
                  train_quote(name, quoted_name, sizeof quoted_name),
                  train_quote(why, quoted_why, sizeof quoted_why));
}

static prelu_status make_loader(fit *f, prelu_err *err)
{
    mdl_loader_options o = {.data = f->train,
                            .pool = f->pool,
                            .batch = (size_t)f->o.batch,
                            .part = (size_t)train_dist_rank(),
                            .parts = (size_t)train_dist_size(),
                            .augment = {.crop = f->o.crop,
                                        .scale_min = f->o.scale_min,
                                        .scale_max = f->o.scale_max,
                                        .translate = f->o.translate,
                                        .cutout = f->o.cutout,
                                        .flip = f->o.flip,
                                        .alternate = f->o.alternate,
                                        .seed = f->o.net.seed},
                            .draft = f->model->preprocess.draft,
                            .cache_bytes = (size_t)f->o.cache_mb << 20,
                            .bad = on_bad,
                            .ctx = f};
    o.augment.colour = f->o.colour;
    memcpy(o.augment.directions, f->statistics.colour, sizeof o.augment.directions);
    for (int c = 0; c < 3; c++)
        o.augment.mean[c] = (uint8_t)lroundf(f->statistics.mean[c]);
    return mdl_loader_create(&f->loader, &o, err);
}

static prelu_status check_schedule(const fit *f, prelu_err *err)
{
    if (f->o.schedule == FIT_PLATEAU && !f->val)
        return prelu_fail(err, PRELU_E_ARG, "--lr-schedule plateau needs val pictures to watch");
    return PRELU_OK;
}

static prelu_status open_run(fit *f, prelu_err *err)
{
    prelu_status st = train_dist_rank() ? PRELU_OK : train_run_open(&f->run, f->o.run, err);
    PRELU_TRY(train_dist_agree(st, err)); /* the folder is there */
    if (train_dist_rank())
        PRELU_TRY(train_run_attach(&f->run, f->o.run, err));
    if (train_run_has_checkpoint(&f->run) && !f->o.resume)
        return prelu_fail(err, PRELU_E_ARG,
                          "%s holds a checkpoint: --resume goes on, --run DIR begins another",
                          f->o.run);
    return PRELU_OK;
}

/* Found out now rather than after the last epoch. */
static prelu_status check_out(const fit *f, prelu_err *err)
{
    struct stat s;
    char folder[4096];
    const char *slash = strrchr(f->o.out, '/');
    size_t len = slash ? (size_t)(slash - f->o.out) : 1;
    if (len >= sizeof folder)
        return prelu_fail(err, PRELU_E_ARG, "--out: path of %zu bytes", strlen(f->o.out));
    memcpy(folder, slash ? f->o.out : ".", len);
    folder[len] = 0;
    if (len && (stat(folder, &s) || !S_ISDIR(s.st_mode)))
        return prelu_fail(err, PRELU_E_NOTFOUND, "--out: %s is no folder", folder);
    if (!stat(f->o.out, &s) && !S_ISREG(s.st_mode))
        return prelu_fail(err, PRELU_E_ARG, "--out: %s is no regular file", f->o.out);
    return PRELU_OK;
}

prelu_status train_fit_setup(fit *f, prelu_err *err)
{
    train_progress_begin(&f->bar, stderr, f->o.quiet, "data", 0, 0);
    PRELU_TRY(check_out(f, err));
    PRELU_TRY(open_data(f, err));
    PRELU_TRY(check_schedule(f, err));
    PRELU_TRY(open_run(f, err));
    PRELU_TRY(digest_data(f, err));
    PRELU_TRY(build_net(f, err));
    PRELU_TRY(set_geometry(f, err));
    PRELU_TRY(make_loader(f, err));
    PRELU_TRY(make_trainer(f, err));
    if (f->o.resume && train_run_has_checkpoint(&f->run))
        PRELU_TRY(train_fit_restore(f, err));
    else if (f->o.resume)
        train_progress_line(&f->bar, true, "%s holds no checkpoint: beginning anew", f->o.run);
    return train_fit_write_config(f, err);
}

void train_fit_deinit(fit *f)
{
    mdl_loader_destroy(&f->loader);
    prelu_trainer_destroy(&f->trainer);
    prelu_model_destroy(&f->model);
    mdl_dataset_destroy(&f->train);
    mdl_dataset_destroy(&f->val);
    prelu_pool_destroy(&f->pool);
    train_run_close(&f->run);
}
