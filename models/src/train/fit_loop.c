#include "dist.h"
#include "figures.h"
#include "fit.h"
#include "prelu/mem.h"
#include "stop.h"
#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

double train_fit_lr(const fit_options *o, double progress, uint64_t drops)
{
    double lr = o->lr;
    if (progress < o->warmup)
        return lr * (progress + 1e-3) / (o->warmup + 1e-3); /* never quite 0 */
    if (o->schedule == FIT_PLATEAU)
        return lr * pow(10, -(double)drops);
    if (o->schedule == FIT_COSINE) {
        double span = (double)o->epochs - o->warmup;
        double part = span > 0 ? (progress - o->warmup) / span : 1;
        return lr * 0.5 * (1 + cos(PI * (part > 1 ? 1 : part)));
    }
    for (int i = 0; i < o->n_lr_steps; i++)
        if (progress >= o->lr_steps[i])
            lr /= 10;
    return lr;
}

static bool on_val(void *ctx, const train_result *r)
{
    fit *f = ctx;
    train_progress_update(&f->bar, r->images + r->skipped, "");
    return !train_stopped();
}

/* Every process judges its share; the records of all come to process 0, their counts to each. */
static prelu_status gather(fit *f, const train_record *mine, size_t n, train_result *r, bool last,
                           prelu_err *err)
{
    const size_t all = f->val->n_pictures;
    double counts[] = {(double)r->images, (double)r->top1, (double)r->top5, (double)r->skipped};
    train_record *records = train_dist_rank() ? NULL : prelu_calloc(all, sizeof *records);
    prelu_status st = records || train_dist_rank()
                          ? PRELU_OK
                          : prelu_fail(err, PRELU_E_NOMEM, "fit: %zu records", all);
    if (!st)
        st = train_dist_gather(mine, n * sizeof *mine, records, all * sizeof *records, err);
    if (!st && records && last)
        st = train_fit_log_val(f, records, err);
    prelu_free(records);
    train_dist_sum_doubles(counts, 4);
    *r = (train_result){.images = (uint64_t)counts[0],
                        .top1 = (uint64_t)counts[1],
                        .top5 = (uint64_t)counts[2],
                        .skipped = (uint64_t)counts[3]};
    return st;
}

static prelu_status judge(fit *f, prelu_session *session, train_result *r, bool last,
                          prelu_err *err)
{
    const size_t all = f->val->n_pictures, size = (size_t)train_dist_size();
    const size_t first = all * (size_t)train_dist_rank() / size;
    const size_t n = all * ((size_t)train_dist_rank() + 1) / size - first;
    const train_member member = {.model = f->model, .session = session};
    train_record *mine = prelu_calloc(n + 1, sizeof *mine);
    if (!mine)
        return prelu_fail(err, PRELU_E_NOMEM, "fit: %zu records", n);
    const train_evaluation e = {.members = &member,
                                .n_members = 1,
                                .n_tests = 1, /* center */
                                .pool = f->pool,
                                .data = f->val,
                                .first = first,
                                .n = n,
                                .records = mine,
                                .progress = on_val,
                                .ctx = f};
    train_progress_begin(&f->bar, stderr, f->o.quiet, "val", 0, n);
    prelu_status st = train_dist_agree(train_evaluate(&e, r, NULL, err), err);
    train_progress_end(&f->bar);
    if (!st)
        st = gather(f, mine, n, r, last, err);
    prelu_free(mine);
    return st;
}

static prelu_status measure(fit *f, bool last, prelu_err *err)
{
    prelu_plan *plan = NULL;
    prelu_session *session = NULL;
    train_result r = {0};
    const prelu_exchange *exchange = train_dist_exchange(f->pool);
    if (exchange)
        prelu_trainer_share(f->trainer, exchange);
    prelu_status st = prelu_trainer_export(f->trainer, f->model->graph, err);
    if (!st)
        st = prelu_model_plan(&plan, f->model, PRELU_PRECISION_FP32, f->pool, err);
    if (!st)
        st = prelu_session_create(&session, plan, f->pool, 0, err);
    if (!st)
        st = judge(f, session, &r, last, err);
    if (!st) {
        f->last.val_images = r.images;
        f->last.val_skipped = r.skipped;
        f->last.val_top1 = train_fraction(r.top1, r.images);
        f->last.val_top5 = train_fraction(r.top5, r.images);
    }
    prelu_session_destroy(&session);
    prelu_plan_destroy(&plan);
    return st;
}

static void log_epoch(fit *f, double lr, double seconds)
{
    const fit_figures *l = &f->last;
    char val[160] = "", text[64] = "";
    if (f->val) {
        snprintf(val, sizeof val,
                 ",\"val_top1\":%.6f,\"val_top5\":%.6f,\"val_images\":%llu,\"val_skipped\":%llu",
                 l->val_top1, l->val_top5, (unsigned long long)l->val_images,
                 (unsigned long long)l->val_skipped);
        snprintf(text, sizeof text, ", val top-1 %.2f%%", 100 * l->val_top1);
    }
    train_run_log(&f->run,
                  "{\"event\":\"epoch\",\"epoch\":%llu,\"lr\":%.6g,\"train_loss\":%.6f,"
                  "\"train_top1\":%.6f%s,\"images\":%llu,\"skipped\":%llu,\"images_per_s\":%.1f,"
                  "\"waited_s\":%.2f,\"seconds\":%.1f}",
                  (unsigned long long)f->at.epoch + 1, lr, l->train_loss, l->train_top1, val,
                  (unsigned long long)f->at.images, (unsigned long long)f->at.skipped,
                  l->images_per_s, l->waited_s, seconds);
    train_progress_line(&f->bar, false,
                        "epoch %llu/%lld: loss %.4f, train top-1 %.2f%%%s, %.0f images/s",
                        (unsigned long long)f->at.epoch + 1, (long long)f->o.epochs, l->train_loss,
                        100 * l->train_top1, text, l->images_per_s);
}

static void begin_epoch(fit *f, size_t steps)
{
    char what[48];
    uint64_t batch =
        (uint64_t)f->o.batch < f->train->n_pictures ? (uint64_t)f->o.batch : f->train->n_pictures;
    snprintf(what, sizeof what, "epoch %llu/%lld", (unsigned long long)f->at.epoch + 1,
             (long long)f->o.epochs);
    train_progress_begin(&f->bar, stderr, f->o.quiet, what, f->at.step * batch, steps * batch);
}

/* Process 0's clock decides for all. */
static bool checkpoint_is_due(const fit *f)
{
    return !train_dist_rank() && f->o.checkpoint_minutes > 0 &&
           train_now_ms() - f->saved_ms > f->o.checkpoint_minutes * 60e3;
}

/* This process' part of a step, with the sums of all: pictures, loss, right answers. */
static prelu_status shared_step(fit *f, const mdl_batch *batch, double lr, size_t *images,
                                prelu_step_result *r, prelu_err *err)
{
    const prelu_step_share share = {.first = train_dist_before(batch->n),
                                    .all = train_dist_total(batch->n),
                                    .most = train_dist_most(batch->n),
                                    .exchange = train_dist_exchange(f->pool)};
    double sums[4];
    *images = share.all;
    if (share.all)
        PRELU_TRY(prelu_trainer_step_shared(f->trainer, batch->views, batch->labels, batch->n,
                                            &share, (float)lr, r, err));
    sums[0] = r->loss;
    sums[1] = (double)r->correct;
    sums[2] = train_stopped();
    sums[3] = checkpoint_is_due(f);
    train_dist_sum_doubles(sums, 4);
    r->loss = sums[0];
    r->correct = (size_t)sums[1];
    f->stopped = sums[2] > 0;
    f->save_due = sums[3] > 0;
    return PRELU_OK;
}

static prelu_status one_step(fit *f, size_t steps, double *lr, prelu_err *err)
{
    mdl_batch batch;
    prelu_step_result r = {0};
    size_t images;
    char more[64];
    double before = train_now_ms();
    PRELU_TRY(mdl_loader_next(f->loader, &batch, err));
    f->last.waited_s += (train_now_ms() - before) / 1e3;
    uint64_t wanted =
        (uint64_t)f->o.batch < f->train->n_pictures ? (uint64_t)f->o.batch : f->train->n_pictures;
    *lr =
        train_fit_lr(&f->o, (double)f->at.epoch + (double)f->at.step / (double)steps, f->at.drops);
    PRELU_TRY(shared_step(f, &batch, *lr, &images, &r, err));
    f->at.step++;
    f->at.loss_sum += r.loss * (double)images;
    f->at.images += images;
    f->at.correct += r.correct;
    f->at.skipped += wanted - images;
    snprintf(more, sizeof more, "loss %.3f top-1 %.1f%% lr %.2g", r.loss,
             f->at.images ? 100 * (double)f->at.correct / (double)f->at.images : 0.0, *lr);
    train_progress_update(&f->bar, f->at.step * wanted, more);
    return PRELU_OK;
}

/* Where the run stands is in the checkpoint, so nothing of it is lost. */
static prelu_status stop_here(fit *f, prelu_err *err)
{
    train_progress_end(&f->bar);
    train_fit_checkpoint(f);
    train_run_log(&f->run, "{\"event\":\"interrupted\",\"epoch\":%llu,\"step\":%llu}",
                  (unsigned long long)f->at.epoch + 1, (unsigned long long)f->at.step);
    if (f->save_error.code)
        return prelu_fail(err, f->save_error.code, "interrupted, and the checkpoint failed: %s",
                          f->save_error.text);
    return prelu_fail(err, PRELU_E_CANCELLED,
                      "interrupted in epoch %llu; --resume goes on from here",
                      (unsigned long long)f->at.epoch + 1);
}

static prelu_status train_epoch(fit *f, double *lr, prelu_err *err)
{
    size_t steps = mdl_loader_steps(f->loader);
    double start = train_now_ms();
    uint64_t images = f->at.images;
    f->last.waited_s = 0;
    begin_epoch(f, steps);
    while (f->at.step < steps) {
        double before = train_now_ms();
        PRELU_TRY(one_step(f, steps, lr, err));
        f->at.seconds += (train_now_ms() - before) / 1e3;
        if (f->stopped)
            return stop_here(f, err);
        if (f->save_due && f->at.step < steps)
            train_fit_checkpoint(f);
    }
    train_progress_end(&f->bar);
    if (!f->at.images)
        return prelu_fail(err, PRELU_E_FORMAT, "none of %zu training pictures can be read",
                          f->train->n_pictures);
    double seconds = (train_now_ms() - start) / 1e3;
    f->last.train_loss = f->at.loss_sum / (double)f->at.images;
    f->last.train_top1 = (double)f->at.correct / (double)f->at.images;
    if (f->at.images > images) /* nothing was left of an epoch resumed at its end */
        f->last.images_per_s = (double)(f->at.images - images) / (seconds > 0 ? seconds : 1);
    return PRELU_OK;
}

/* Measured by val; the smoothed error on the training pictures hardly ever stands still. */
static void watch_plateau(fit *f)
{
    if (f->last.val_top1 > f->at.best_top1) {
        f->at.best_top1 = f->last.val_top1;
        f->at.best_epoch = f->at.epoch;
    } else if (f->at.epoch - f->at.best_epoch >= (uint64_t)f->o.patience) {
        f->at.best_epoch = f->at.epoch; /* patience begins anew */
        f->at.drops++;
    }
}

prelu_status train_fit_loop(fit *f, prelu_err *err)
{
    f->saved_ms = train_now_ms();
    mdl_loader_seek(f->loader, f->at.epoch, f->at.step);
    if (!f->at.epoch && !f->at.step)
        train_fit_log_layers(f, 0, true);
    while (f->at.epoch < (uint64_t)f->o.epochs) {
        double lr = 0, start = f->at.seconds;
        const bool last = f->at.epoch + 1 == (uint64_t)f->o.epochs;
        PRELU_TRY(train_epoch(f, &lr, err));
        if (f->val) {
            prelu_status st = measure(f, last, err);
            if (st == PRELU_E_CANCELLED) {
                if (err)
                    memset(err, 0, sizeof *err);
                return stop_here(f, err); /* the epoch's measurement is repeated on --resume */
            }
            if (!st && !f->last.val_images)
                st = prelu_fail(err, PRELU_E_FORMAT, "none of %zu val pictures can be read",
                                f->val->n_pictures);
            if (st) {
                train_fit_checkpoint(f); /* the epoch is not lost; --resume measures it */
                return st;
            }
        }
        log_epoch(f, lr, f->at.seconds - start);
        train_fit_log_layers(f, f->at.epoch + 1, last);
        watch_plateau(f);
        f->at = (fit_position){.epoch = f->at.epoch + 1,
                               .seconds = f->at.seconds,
                               .best_top1 = f->at.best_top1,
                               .best_epoch = f->at.best_epoch,
                               .drops = f->at.drops};
        train_fit_checkpoint(f);
        /* Training on without a place to put it could only be lost. */
        if (f->save_error.code)
            return prelu_fail(err, f->save_error.code, "%s", f->save_error.text);
    }
    return PRELU_OK;
}
