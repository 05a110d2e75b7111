/* prelu-train fit: train a network on a folder of labelled pictures. */
#include "command.h"
#include "dist.h"
#include "fit.h"
#include "prelu/mem.h"
#include "stop.h"
#include <stdlib.h>
#include <string.h>

/* "--lr-steps 20,65" */
static prelu_status parse_lr_steps(fit_options *o, const char *text, prelu_err *err)
{
    while (text && *text) {
        char *end;
        double v = strtod(text, &end);
        if (end == text || (*end && *end != ',') || !(v > 0 && v < 1e9))
            return prelu_fail(err, PRELU_E_ARG, "--lr-steps '%.40s': epochs with commas", text);
        if (o->n_lr_steps == FIT_MAX_LR_STEPS)
            return prelu_fail(err, PRELU_E_ARG, "--lr-steps: more than %d", FIT_MAX_LR_STEPS);
        o->lr_steps[o->n_lr_steps++] = v;
        text = *end ? end + 1 : end;
    }
    return PRELU_OK;
}

static prelu_status parse_schedule(fit_options *o, const char *text, prelu_err *err)
{
    static const char *const names[] = {"step", "cosine", "plateau"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, names[i])) {
            o->schedule = (train_schedule)i;
            return PRELU_OK;
        }
    return prelu_fail(err, PRELU_E_ARG, "--lr-schedule '%.20s' is none of: step, cosine, plateau",
                      text);
}

/* The network with BatchNorm bears a larger rate; the paper's own take its schedule. */
static prelu_status parse_rates(fit_options *o, const train_args *a, prelu_err *err)
{
    const bool compact = o->net.arch && prelu_net_is_compact(o->net.arch);
    int64_t patience = 5;
    PRELU_TRY(train_double(a, "lr", 0, 1000, compact ? 0.1 : 0.01, &o->lr, err));
    PRELU_TRY(train_double(a, "momentum", 0, 0.9999, 0.9, &o->momentum, err));
    o->nesterov = train_flag(a, "nesterov");
    PRELU_TRY(train_double(a, "weight-decay", 0, 1, 0.0005, &o->weight_decay, err));
    PRELU_TRY(train_double(a, "label-smoothing", 0, 0.99, 0, &o->label_smoothing, err));
    PRELU_TRY(train_double(a, "warmup", 0, 1e6, 0, &o->warmup, err));
    PRELU_TRY(parse_schedule(o, train_text(a, "lr-schedule", compact ? "cosine" : "step"), err));
    PRELU_TRY(train_int(a, "patience", 1, 1000000, 5, &patience, err));
    o->patience = (int)patience;
    PRELU_TRY(parse_lr_steps(o, train_text(a, "lr-steps", NULL), err));
    if (!o->n_lr_steps) {
        o->lr_steps[o->n_lr_steps++] = 0.6 * (double)o->epochs;
        o->lr_steps[o->n_lr_steps++] = 0.85 * (double)o->epochs;
    }
    return PRELU_OK;
}

static prelu_status parse_geometry(fit_options *o, const train_args *a, prelu_err *err)
{
    const char *flip = train_text(a, "flip", "random");
    const bool paper = o->net.arch && !prelu_net_is_compact(o->net.arch);
    int64_t crop, resize, lo, hi, translate, cutout;
    PRELU_TRY(train_int(a, "crop", 8, 4096, 0, &crop, err));
    PRELU_TRY(train_int(a, "resize", 8, 4096, 0, &resize, err));
    PRELU_TRY(train_int(a, "scale-min", 8, 4096, 0, &lo, err));
    PRELU_TRY(train_int(a, "scale-max", 8, 4096, 0, &hi, err));
    PRELU_TRY(train_int(a, "translate", 0, 4096, 0, &translate, err));
    PRELU_TRY(train_int(a, "cutout", 0, 4096, 0, &cutout, err));
    o->draft = train_flag(a, "draft");
    o->crop = (int)crop;
    o->resize = (int)resize;
    o->scale_min = (int)lo;
    o->scale_max = (int)hi;
    o->translate = (int)translate;
    o->cutout = (int)cutout;
    PRELU_TRY(train_double(a, "colour", 0, 100, paper ? 0.1 : 0, &o->colour, err));
    o->flip = strcmp(flip, "none") != 0;
    o->alternate = !strcmp(flip, "alternate");
    if (o->flip && !o->alternate && strcmp(flip, "random") != 0)
        return prelu_fail(err, PRELU_E_ARG, "--flip '%.20s' is none of: random, alternate, none",
                          flip);
    return PRELU_OK;
}

static prelu_status parse_net(fit_options *o, const train_args *a, prelu_err *err)
{
    int64_t seed = 1;
    o->init = train_text(a, "init", NULL);
    o->freeze = train_text(a, "freeze", NULL);
    o->preprocess = train_text(a, "preprocess", NULL);
    o->whiten = train_flag(a, "whiten");
    o->mean_image = !strcmp(train_text(a, "mean", "channel"), "pixel");
    if (!o->mean_image && strcmp(train_text(a, "mean", "channel"), "channel") != 0)
        return prelu_fail(err, PRELU_E_ARG, "--mean '%.20s' is none of: channel, pixel",
                          train_text(a, "mean", ""));
    if (!o->init && (o->freeze || o->preprocess))
        return prelu_fail(err, PRELU_E_ARG, "--%s goes with --init",
                          o->freeze ? "freeze" : "preprocess");
    if (o->init && (o->whiten || o->mean_image))
        return prelu_fail(err, PRELU_E_ARG, "--%s begins a network, --init goes on with one",
                          o->whiten ? "whiten" : "mean");
    if (train_text(a, "arch", NULL) || !o->init) {
        PRELU_TRY(train_net_options(a, &o->net, err));
        o->net.dropout_set = train_text(a, "dropout", NULL) != NULL;
        return train_double(a, "dropout", 0, 0.99, 0, &o->net.dropout, err);
    }
    PRELU_TRY(train_int(a, "seed", 0, INT64_MAX, 1, &seed, err));
    o->net.seed = (uint64_t)seed;
    return PRELU_OK;
}

static prelu_status parse_fc(fit_options *o, const train_args *a, prelu_err *err)
{
    const char *fc = train_text(a, "fc", "replicated");
    o->fc_one_rank = !strcmp(fc, "one-rank");
    if (!o->fc_one_rank && strcmp(fc, "replicated") != 0)
        return prelu_fail(err, PRELU_E_ARG, "--fc '%.20s' is none of: replicated, one-rank", fc);
    return PRELU_OK;
}

static prelu_status parse(fit_options *o, const train_args *a, char *run, size_t run_len,
                          prelu_err *err)
{
    const bool small = prelu_net_is_compact(train_text(a, "arch", ""));
    PRELU_TRY(parse_net(o, a, err));
    PRELU_TRY(train_need(a, "data", &o->data, err));
    PRELU_TRY(train_need(a, "out", &o->out, err));
    PRELU_TRY(train_int(a, "epochs", 0, 1000000, small ? 30 : 80, &o->epochs, err));
    PRELU_TRY(train_int(a, "batch", 1, 65536, 128, &o->batch, err));
    PRELU_TRY(train_int(a, "micro-batch", 1, 65536, 0, &o->micro_batch, err));
    PRELU_TRY(train_int(a, "limit", 1, INT64_MAX, 0, &o->limit, err));
    PRELU_TRY(train_int(a, "cache-mb", 0, 1 << 20, 2048, &o->cache_mb, err));
    PRELU_TRY(train_double(a, "checkpoint-minutes", 0, 1e6, 5, &o->checkpoint_minutes, err));
    PRELU_TRY(train_bf16(a, &o->bf16, err));
    PRELU_TRY(parse_fc(o, a, err));
    PRELU_TRY(parse_rates(o, a, err));
    PRELU_TRY(parse_geometry(o, a, err));
    o->quiet = train_flag(a, "quiet") || train_dist_rank();
    if (o->batch < train_dist_size())
        return prelu_fail(err, PRELU_E_ARG, "--batch %lld for %d processes", (long long)o->batch,
                          train_dist_size());
    o->resume = train_flag(a, "resume");
    int n = snprintf(run, run_len, "%s.run", o->out);
    if (n < 0 || (size_t)n >= run_len)
        return prelu_fail(err, PRELU_E_ARG, "--out: path of %d bytes", n);
    o->run = train_text(a, "run", run);
    return PRELU_OK;
}

static prelu_status run(const train_args *a, int *exit_code, prelu_err *err)
{
    char dir[4096], quoted[2048];
    prelu_status st;
    fit *f = prelu_calloc(1, sizeof *f);
    if (!f)
        return prelu_fail(err, PRELU_E_NOMEM, "fit: %zu bytes", sizeof *f);
    f->run.lock = f->run.log = -1;
    train_stop_watch();
    st = parse(&f->o, a, dir, sizeof dir, err);
    if (!st)
        st = train_pool(a, &f->pool, &f->threads, err);
    if (!st)
        st = train_fit_setup(f, err);
    if (!st)
        st = train_fit_loop(f, err);
    if (!st)
        st = train_fit_write_model(f, err);
    if (st == PRELU_E_CANCELLED)
        *exit_code = train_stop_code();
    else if (st && f->run.log >= 0)
        train_run_log(&f->run, "{\"event\":\"failed\",\"error\":%s}",
                      train_quote(err->text, quoted, sizeof quoted));
    train_fit_deinit(f);
    prelu_free(f);
    return st;
}

static const train_option options[] = {
    TRAIN_NET_OPTIONS,
    {"data", "DIR", "train/<class>/*.jpg and val/..., or IDX files", false},
    {"out", "FILE", "ONNX file to write", false},
    {"run", "DIR", "config.json, log.jsonl, checkpoint (default FILE.run)", false},
    {"resume", NULL, "go on from the run's checkpoint", false},
    {"init", "FILE", "start from this model; other classes get a new last layer", false},
    {"preprocess", "HOW", "of a foreign --init: imagenet, caffe, raw or a JSON file", false},
    {"freeze", "LAYER", "with --init: do not train LAYER and what feeds it", false},
    {"epochs", "N", "passes over the data (default 80, compact nets 30)", false},
    {"batch", "N", "pictures per step (default 128)", false},
    {"micro-batch", "N", "pictures per pass, gradients add up (default: what fits)", false},
    {"precision", "NAME", "of products: fp32 (default), bf16, auto (the faster on this CPU)",
     false},
    {"lr", "F", "learning rate (default 0.01, compact nets 0.1)", false},
    {"lr-schedule", "NAME", "step (default), cosine (default of compact nets) or plateau", false},
    {"lr-steps", "LIST", "epochs after which lr is divided by 10 (60 and 85 % of all)", false},
    {"patience", "N", "plateau: epochs without a better val top-1 before lr / 10 (5)", false},
    {"warmup", "F", "epochs in which lr rises from 0 (default 0)", false},
    {"momentum", "F", "default 0.9", false},
    {"dropout", "F", "of a new network's fc layers (paper's nets 0.5, cifar 0.3, 0 = none)", false},
    {"weight-decay", "F", "of weights only, never of slopes (default 0.0005)", false},
    {"nesterov", NULL, "momentum looks ahead", false},
    {"mean", "HOW", "subtracted: of each channel (default) or each pixel: a mean picture", false},
    {"whiten", NULL, "the first convolution starts as whitening filters of the data", false},
    {"label-smoothing", "F", "default 0", false},
    {"crop", "N", "side of a view (default: the network's)", false},
    {"resize", "N", "shorter side when testing (default: the network's)", false},
    {"scale-min", "N", "least shorter side when training (256; 32x32 nets: crop)", false},
    {"scale-max", "N", "largest (default 512; 32x32 nets: 5/4 crop)", false},
    {"colour", "F", "altering along the data's principal colours (paper's nets 0.1, others 0)",
     false},
    {"flip", "HOW", "mirrored pictures: random (default), alternate or none", false},
    {"translate", "N", "the crop reaches up to N pixels out of the picture, reflected (default 0)",
     false},
    {"cutout", "N", "a square of side N of each view takes the mean colour (default 0)", false},
    {"draft", NULL, "decode large JPEGs scaled, here and wherever the model is used", false},
    {"fc", "HOW", "several processes: fc layers replicated (default), or all in one-rank", false},
    {"limit", "N", "only N pictures of each split, evenly spaced", false},
    {"cache-mb", "N", "memory for decoded pictures (default 2048)", false},
    {"checkpoint-minutes", "F", "also between epochs (default 5)", false},
    {"threads", "N", "compute threads (default: the CPUs this process may use)", false},
    {"quiet", NULL, "no progress", false},
    TRAIN_OPTION_END,
};

const train_command train_fit = {"fit", "Train a network on labelled pictures",
                                 "--arch NAME --data DIR --out FILE [--resume]", options, run};
