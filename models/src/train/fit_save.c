/* What a run leaves behind: config.json, the checkpoint's own text, the model with its metadata. */
#define _POSIX_C_SOURCE 200809L
#include "dist.h"
#include "fit.h"
#include "model_private.h"
#include "prelu/cpu.h"
#include "prelu/mem.h"
#include <stdlib.h>
#include <string.h>

/* A growing text in memory of ours: stdio writes it, then it is copied. */
typedef struct text {
    FILE *f;
    char *data;
    size_t len;
} text;

static prelu_status text_begin(text *t, prelu_err *err)
{
    *t = (text){.f = NULL};
    t->f = open_memstream(&t->data, &t->len);
    return t->f ? PRELU_OK : prelu_fail(err, PRELU_E_NOMEM, "fit: text");
}

/* @param out  owned by the caller (prelu_free). */
static prelu_status text_end(text *t, char **out, prelu_err *err)
{
    bool good = !ferror(t->f);
    good = !fclose(t->f) && good;
    *out = good ? prelu_strdup(t->data) : NULL;
    free(t->data);
    return *out ? PRELU_OK : prelu_fail(err, PRELU_E_NOMEM, "fit: text");
}

static const char *activation_name(prelu_activation a)
{
    switch (a) {
    case PRELU_ACT_RELU:
        return "relu";
    case PRELU_ACT_LRELU:
        return "lrelu";
    case PRELU_ACT_PRELU_SHARED:
        return "prelu-shared";
    case PRELU_ACT_PRELU:
        return "prelu";
    }
    return "?";
}

static const char *init_name(prelu_init i)
{
    switch (i) {
    case PRELU_INIT_HE_BACKWARD:
        return "he-backward";
    case PRELU_INIT_HE_FORWARD:
        return "he-forward";
    case PRELU_INIT_XAVIER:
        return "xavier";
    }
    return "?";
}

static const char *schedule_name(train_schedule s)
{
    switch (s) {
    case FIT_STEP:
        return "step";
    case FIT_COSINE:
        return "cosine";
    case FIT_PLATEAU:
        return "plateau";
    }
    return "?";
}

static const char *flip_name(const fit_options *o)
{
    if (!o->flip)
        return "none";
    return o->alternate ? "alternate" : "random";
}

static const char *precision_name(const fit_options *o) { return o->bf16 ? "bf16" : "fp32"; }

static const char *arch_of(const fit *f) { return f->model->arch ? f->model->arch : "foreign"; }

/* Members common to config.json and prelu.training: all that the result depends on. */
static void put_recipe(FILE *out, const fit *f)
{
    const fit_options *o = &f->o;
    fprintf(out, "\"arch\":");
    train_json_text(out, arch_of(f));
    fprintf(out, ",\"classes\":%d,\"width\":%g,\"activation\":\"%s\"", f->model->classes,
            o->net.width, activation_name(o->net.activation));
    if (o->init) {
        fputs(",\"init\":", out);
        train_json_text(out, o->init);
        fputs(",\"freeze\":", out);
        train_json_text(out, o->freeze ? o->freeze : "");
    } else {
        fprintf(out, ",\"init_method\":\"%s\"", init_name(o->net.init));
    }
    fprintf(out,
            ",\"precision\":\"%s\",\"seed\":%llu,\"epochs\":%lld,\"batch\":%lld,\"micro_batch\":%d,"
            "\"lr\":%g,"
            "\"lr_schedule\":\"%s\",\"lr_steps\":[",
            precision_name(o), (unsigned long long)o->net.seed, (long long)o->epochs,
            (long long)o->batch, f->micro_batch, o->lr, schedule_name(o->schedule));
    for (int i = 0; i < o->n_lr_steps; i++)
        fprintf(out, "%s%g", i ? "," : "", o->lr_steps[i]);
    fprintf(out,
            "],\"warmup\":%g,\"momentum\":%g,\"weight_decay\":%g,\"label_smoothing\":%g,"
            "\"crop\":%d,\"resize\":%d,\"scale_min\":%d,\"scale_max\":%d,\"flip\":\"%s\","
            "\"nesterov\":%s,\"whiten\":%s,\"colour\":%g,\"patience\":%d,"
            "\"translate\":%d,\"cutout\":%d,\"draft\":%s,"
            "\"mean\":\"%s\",",
            o->warmup, o->momentum, o->weight_decay, o->label_smoothing, o->crop, o->resize,
            o->scale_min, o->scale_max, flip_name(o), o->nesterov ? "true" : "false",
            o->whiten ? "true" : "false", o->colour, o->patience, o->translate, o->cutout,
            f->model->preprocess.draft ? "true" : "false", o->mean_image ? "pixel" : "channel");
    if (o->net.dropout_set)
        fprintf(out, "\"dropout\":%g,", o->net.dropout);
    fprintf(out, "\"data_sha256\":\"%s\",\"train_pictures\":%zu,\"val_pictures\":%zu", f->digest,
            f->train->n_pictures, f->val ? f->val->n_pictures : 0);
}

prelu_status train_fit_write_config(fit *f, prelu_err *err)
{
    text t;
    char *config = NULL;
    if (train_dist_rank())
        return PRELU_OK;
    PRELU_TRY(text_begin(&t, err));
    fputs("{", t.f);
    put_recipe(t.f, f);
    fputs(",\"data\":", t.f);
    train_json_text(t.f, f->o.data);
    fputs(",\"out\":", t.f);
    train_json_text(t.f, f->o.out);
    fprintf(
        t.f,
        ",\"processes\":%d,\"fc\":\"%s\",\"threads\":%d,\"cpu\":\"%s\",\"version\":\"" PRELU_VERSION
        "\"}",
        train_dist_size(), f->o.fc_one_rank ? "one-rank" : "replicated", f->threads,
        prelu_cpu_text());
    PRELU_TRY(text_end(&t, &config, err));
    prelu_status st = train_run_write(&f->run, "config.json", config, err);
    if (!st)
        train_run_log(&f->run, "{\"event\":\"%s\",\"config\":%s}",
                      f->at.epoch || f->at.step ? "resumed" : "started", config);
    prelu_free(config);
    return st;
}

/* ---- checkpoint: lines of `key value` ---- */

/* What must not change between the parts of a run. */
static void put_fingerprint(FILE *out, const fit *f)
{
    const fit_options *o = &f->o;
    fprintf(out,
            "arch %s\nclasses %d\nwidth %g\nactivation %s\nprecision %s\nseed %llu\nbatch %lld\n"
            "crop %d\ndata %s\npictures %zu\ntranslate %d\ncutout %d\ndraft %d\n"
            "mean_image %d\n",
            arch_of(f), f->model->classes, o->net.width, activation_name(o->net.activation),
            precision_name(o), (unsigned long long)o->net.seed, (long long)o->batch, o->crop,
            f->digest, f->train->n_pictures, o->translate, o->cutout, f->model->preprocess.draft,
            o->mean_image);
}

static prelu_status position_text(const fit *f, char **out, prelu_err *err)
{
    text t;
    PRELU_TRY(text_begin(&t, err));
    put_fingerprint(t.f, f);
    /* %a keeps every bit of the sums: a resumed run logs what an unbroken one does */
    fprintf(t.f,
            "epoch %llu\nstep %llu\nloss_sum %a\nimages %llu\ncorrect %llu\nskipped %llu\n"
            "seconds %a\ntrain_loss %a\ntrain_top1 %a\nval_top1 %a\nval_top5 %a\nval_images %llu\n"
            "val_skipped %llu\nimages_per_s %a\nbest_top1 %a\nbest_epoch %llu\ndrops %llu\n",
            (unsigned long long)f->at.epoch, (unsigned long long)f->at.step, f->at.loss_sum,
            (unsigned long long)f->at.images, (unsigned long long)f->at.correct,
            (unsigned long long)f->at.skipped, f->at.seconds, f->last.train_loss,
            f->last.train_top1, f->last.val_top1, f->last.val_top5,
            (unsigned long long)f->last.val_images, (unsigned long long)f->last.val_skipped,
            f->last.images_per_s, f->at.best_top1, (unsigned long long)f->at.best_epoch,
            (unsigned long long)f->at.drops);
    return text_end(&t, out, err);
}

void train_fit_checkpoint(fit *f)
{
    char *extra = NULL, quoted[1024];
    prelu_err err = {0};
    const prelu_exchange *exchange = train_dist_exchange(f->pool);
    if (exchange)
        prelu_trainer_collect(f->trainer, exchange);
    if (train_dist_rank())
        return; /* now the processes hold the same; one writes */
    prelu_status st = position_text(f, &extra, &err);
    if (!st)
        st = prelu_checkpoint_save(f->trainer, f->run.checkpoint, extra, &err);
    prelu_free(extra);
    f->saved_ms = train_now_ms();
    f->save_error = err;
    if (!st)
        return;
    train_progress_line(&f->bar, true, "the checkpoint could not be written: %s", err.text);
    train_run_log(&f->run, "{\"event\":\"checkpoint_failed\",\"error\":%s}",
                  train_quote(err.text, quoted, sizeof quoted));
}

/* The value behind `key ` in lines of text, or NULL; ends at the line's end. */
static const char *find_line(const char *lines, const char *key, size_t *len)
{
    size_t n = strlen(key);
    for (const char *s = lines; *s; s += strcspn(s, "\n"), s += *s == '\n')
        if (!strncmp(s, key, n) && s[n] == ' ') {
            *len = strcspn(s + n + 1, "\n");
            return s + n + 1;
        }
    return NULL;
}

/* Compare every line of `want` with the checkpoint's. */
static prelu_status same_run(const char *want, const char *have, prelu_err *err)
{
    for (const char *s = want; *s; s += strcspn(s, "\n") + 1) {
        char key[32];
        size_t n = strcspn(s, " "), len = 0, want_len = strcspn(s + n + 1, "\n");
        snprintf(key, sizeof key, "%.*s", (int)n, s);
        const char *value = find_line(have, key, &len);
        if (!value) { /* an option that is newer than the run was not used */
            value = strcmp(key, "precision") ? "0" : "fp32";
            len = strlen(value);
        }
        if (len != want_len || memcmp(value, s + n + 1, len) != 0)
            return prelu_fail(err, PRELU_E_ARG, "--resume: the run has %s %.*s, not %.*s", key,
                              (int)(len > 64 ? 64 : len), value,
                              (int)(want_len > 64 ? 64 : want_len), s + n + 1);
    }
    return PRELU_OK;
}

static double get_number(const char *lines, const char *key, bool *good)
{
    size_t len;
    const char *v = find_line(lines, key, &len);
    char *end;
    double x = v ? strtod(v, &end) : 0;
    if (!v || end == v || *end != '\n')
        *good = false;
    return x;
}

static uint64_t get_count(const char *lines, const char *key, bool *good)
{
    double x = get_number(lines, key, good);
    if (!(x >= 0 && x < 0x1p53))
        *good = false;
    return *good ? (uint64_t)x : 0;
}

static prelu_status parse_position(fit *f, const char *s, prelu_err *err)
{
    bool good = true;
    f->at = (fit_position){.epoch = get_count(s, "epoch", &good),
                           .step = get_count(s, "step", &good),
                           .loss_sum = get_number(s, "loss_sum", &good),
                           .images = get_count(s, "images", &good),
                           .correct = get_count(s, "correct", &good),
                           .skipped = get_count(s, "skipped", &good),
                           .seconds = get_number(s, "seconds", &good),
                           .best_top1 = get_number(s, "best_top1", &good),
                           .best_epoch = get_count(s, "best_epoch", &good),
                           .drops = get_count(s, "drops", &good)};
    f->last = (fit_figures){.train_loss = get_number(s, "train_loss", &good),
                            .train_top1 = get_number(s, "train_top1", &good),
                            .val_top1 = get_number(s, "val_top1", &good),
                            .val_top5 = get_number(s, "val_top5", &good),
                            .val_images = get_count(s, "val_images", &good),
                            .val_skipped = get_count(s, "val_skipped", &good),
                            .images_per_s = get_number(s, "images_per_s", &good)};
    if (!good || f->at.step > mdl_loader_steps(f->loader))
        return prelu_fail(err, PRELU_E_FORMAT, "%s: its position is damaged, or of another version",
                          f->run.checkpoint);
    return PRELU_OK;
}

/* The fingerprint is asked first: it says "arch small14" where the tensors say a name and shape. */
prelu_status train_fit_restore(fit *f, prelu_err *err)
{
    text t;
    char *want = NULL, *extra = NULL;
    prelu_err tensors = {0};
    prelu_status loaded = prelu_checkpoint_load(f->trainer, f->run.checkpoint, &extra, &tensors);
    prelu_status st = PRELU_OK;
    if (loaded)
        return prelu_fail(err, loaded, "--resume: %s", tensors.text);
    st = text_begin(&t, err);
    if (st)
        goto out;
    put_fingerprint(t.f, f);
    st = text_end(&t, &want, err);
    if (!st)
        st = same_run(want, extra, err);
    if (!st)
        st = parse_position(f, extra, err);
    if (!st)
        train_progress_line(&f->bar, false, "resumed at epoch %llu, step %llu",
                            (unsigned long long)f->at.epoch + 1, (unsigned long long)f->at.step);
out:
    prelu_free(want);
    prelu_free(extra);
    return st;
}

/* ---- model ---- */

static prelu_status set_labels(fit *f, prelu_err *err)
{
    for (int i = 0; i < f->model->classes; i++) {
        PRELU_TRY(mdl_text_set(&f->model->labels[i].id, f->train->classes[i].id, err));
        PRELU_TRY(mdl_text_set(&f->model->labels[i].label, f->train->classes[i].label, err));
    }
    return PRELU_OK;
}

static prelu_status set_training(fit *f, prelu_err *err)
{
    text t;
    const fit_figures *l = &f->last;
    PRELU_TRY(text_begin(&t, err));
    fputs("{", t.f);
    put_recipe(t.f, f);
    fprintf(t.f,
            ",\"steps\":%llu,\"seconds\":%.0f,\"figures\":{\"train_loss\":%.6f,"
            "\"train_top1\":%.6f",
            (unsigned long long)prelu_trainer_steps(f->trainer), f->at.seconds, l->train_loss,
            l->train_top1);
    if (f->val)
        fprintf(t.f, ",\"val_top1_center\":%.6f,\"val_top5_center\":%.6f,\"val_images\":%llu",
                l->val_top1, l->val_top5, (unsigned long long)l->val_images);
    fprintf(t.f, "},\"cpu\":\"%s\",\"versions\":{\"prelu\":\"" PRELU_VERSION "\"}}",
            prelu_cpu_text());
    prelu_free(f->model->training);
    f->model->training = NULL;
    return text_end(&t, &f->model->training, err);
}

prelu_status train_fit_write_model(fit *f, prelu_err *err)
{
    if (train_dist_rank())
        return PRELU_OK;
    PRELU_TRY(prelu_trainer_export(f->trainer, f->model->graph, err));
    PRELU_TRY(set_labels(f, err));
    PRELU_TRY(set_training(f, err));
    PRELU_TRY(prelu_model_make_check(f->model, f->pool, err));
    PRELU_TRY(prelu_model_save(f->model, f->o.out, err));
    train_run_log(&f->run, "{\"event\":\"finished\",\"seconds\":%.1f}", f->at.seconds);
    train_progress_line(&f->bar, false, "wrote %s", f->o.out);
    return PRELU_OK;
}
