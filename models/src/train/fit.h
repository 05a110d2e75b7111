#ifndef TRAIN_FIT_H
#define TRAIN_FIT_H
#include "common.h"
#include "evaluate.h"
#include "loader.h"
#include "prelu/train.h"
#include "progress.h"
#include "runlog.h"

/** prelu-train fit, in parts: cmd_fit.c options, train_fit_setup.c data and network,
 * train_fit_loop.c epochs, fit_save.c what is written. */

#define FIT_MAX_LR_STEPS 16

typedef enum train_schedule { FIT_STEP, FIT_COSINE, FIT_PLATEAU } train_schedule;

typedef struct fit_options {
    prelu_net_options net;
    const char *data, *out, *run, *init, *freeze, *preprocess;
    int64_t epochs, batch, micro_batch, limit;
    double lr, momentum, weight_decay, label_smoothing, warmup; /* warmup in epochs */
    train_schedule schedule;
    double lr_steps[FIT_MAX_LR_STEPS]; /* epochs after which lr is divided by 10 */
    int n_lr_steps;
    int crop, resize, scale_min, scale_max; /* 0 = by the network */
    int translate, cutout;
    double checkpoint_minutes;
    int64_t cache_mb;
    double colour;
    int patience; /* of the plateau schedule, epochs */
    bool flip, alternate, nesterov, whiten, mean_image, bf16, draft, quiet, resume;
    bool fc_one_rank;
} fit_options;

/** Where training stands; saved in the checkpoint with the sums of the epoch so far. */
typedef struct fit_position {
    uint64_t epoch, step; /* next to do, from 0 */
    double loss_sum;      /* over the pictures of this epoch */
    uint64_t images, correct, skipped;
    double seconds;   /* of training, all epochs */
    double best_top1; /* on val, of all epochs; which one, and how often lr was divided for it */
    uint64_t best_epoch, drops;
} fit_position;

/** One line of the curve. */
typedef struct fit_figures {
    double train_loss, train_top1, val_top1, val_top5;
    uint64_t val_images, val_skipped;
    double images_per_s;
    double waited_s; /* of the epoch, for pictures */
} fit_figures;

typedef struct fit {
    fit_options o;
    prelu_pool *pool;
    int threads;
    mdl_dataset *train, *val; /* val NULL: the folder has none */
    prelu_model *model;
    prelu_trainer *trainer;
    mdl_loader *loader;
    train_run run;
    train_progress bar;
    char digest[65];
    size_t shared;             /* val pictures that are train pictures too, byte for byte */
    mdl_statistics statistics; /* of the training pictures; zero when neither net nor views need
                                  them */
    int micro_batch;           /* really used */
    fit_position at;
    fit_figures last;
    bool stopped;         /* asked to stop, and all processes know */
    bool save_due;        /* time for a checkpoint, and all processes know */
    double saved_ms;      /* when the checkpoint was written */
    prelu_err save_error; /* of the last checkpoint; clear if it was written */
} fit;

/** Everything up to the first step: data, network, run folder, checkpoint if resumed. */
PRELU_MUST_CHECK prelu_status train_fit_setup(fit *f, prelu_err *err);
/** Train to the end, or until stopped (E_CANCELLED, after a checkpoint). */
PRELU_MUST_CHECK prelu_status train_fit_loop(fit *f, prelu_err *err);
void train_fit_deinit(fit *f);

/** The learning rate of a step; `progress` in epochs, `drops` of the plateau schedule. */
double train_fit_lr(const fit_options *o, double progress, uint64_t drops);

/** A line of the log: slopes of the layers; if `probed` also, on a few pictures, the deviation of
 *  each layer's output and of the loss' derivative by it, and the mean response of each activation.
 *  What goes wrong is a warning. */
void train_fit_log_layers(fit *f, uint64_t epoch, bool probed);
/** A line with the confusion matrix of the validation data (up to 64 classes) and the worst errors.
 *  @param records  of all its pictures. */
PRELU_MUST_CHECK prelu_status train_fit_log_val(fit *f, const train_record *records,
                                                prelu_err *err);
/** config.json. */
PRELU_MUST_CHECK prelu_status train_fit_write_config(fit *f, prelu_err *err);
/** All processes: write the checkpoint; a failure is kept in f->save_error, printed and logged. */
void train_fit_checkpoint(fit *f);
/** Read it. @return E_ARG it is of another network, data set or batch size. */
PRELU_MUST_CHECK prelu_status train_fit_restore(fit *f, prelu_err *err);
/** Trained parameters, labels and metadata into the model, and the model to --out. */
PRELU_MUST_CHECK prelu_status train_fit_write_model(fit *f, prelu_err *err);
#endif
