#ifndef PRELU_CLASSIFY_H
#define PRELU_CLASSIFY_H
#include "prelu/image.h"
#include "prelu/model.h"
#include "prelu/session.h"

/** The two ends of the data path: prepare (JPEG -> pictures and views) and rank (scores -> top-k).
 *  Between them stands prelu_session_run, or prelu_views_run that batches for it. */

typedef enum prelu_mode {
    PRELU_MODE_CENTER,
    PRELU_MODE_10VIEW,
    PRELU_MODE_DENSE,     /* every window of the whole picture and of its mirror image */
    PRELU_MODE_MULTISCALE /* dense at several sizes, which weigh alike */
} prelu_mode;
#define PRELU_MODES 4
/** "center", "10view", "dense", "multiscale"; parse: E_ARG with the list. */
const char *prelu_mode_name(prelu_mode mode);
PRELU_MUST_CHECK prelu_status prelu_mode_parse(prelu_mode *out, const char *text, prelu_err *err);

/** What is averaged over views, windows, sizes and models: the scores after softmax, as the paper
 *  does, or the logits before it (softmax of the mean follows). */
typedef enum prelu_average {
    PRELU_AVERAGE_PROB,
    PRELU_AVERAGE_LOGIT,
    PRELU_AVERAGE_FEATURES /* of single views; a mean, and nothing to rank */
} prelu_average;
#define PRELU_AVERAGES 3
/** Length of a row of it: classes, or features (0: the model has none). */
int prelu_average_width(const prelu_model *m, prelu_average average);
/** "prob", "logit"; E_ARG with the list. */
PRELU_MUST_CHECK prelu_status prelu_average_parse(prelu_average *out, const char *text,
                                                  prelu_err *err);

#define PRELU_MAX_SCALES 8
/** How a picture is to be tested. {.mode = PRELU_MODE_CENTER} and 10VIEW are complete; the others
 *  are completed by prelu_test_resolve. */
typedef struct prelu_test {
    prelu_mode mode;
    prelu_average average;
    int scales[PRELU_MAX_SCALES]; /* shorter sides */
    int n_scales;                 /* 0 = the model's own */
    const prelu_plan *dense;      /* borrowed: prelu_model_plan_dense */
} prelu_test;
/** A mode, with sizes if they are not to be the model's: "dense@384", "multiscale@256+384+480". */
PRELU_MUST_CHECK prelu_status prelu_test_parse(prelu_test *out, const char *text, prelu_err *err);
/** The same back. @return buf, at least 64 bytes. */
const char *prelu_test_text(const prelu_test *t, char *buf, size_t len);
/** Fill in the model's sizes and its dense plan, and check that they go together.
 *  @param dense  NULL if the model has none.
 *  @return E_UNSUPPORTED no dense plan; E_ARG sizes for a mode that takes none, several for dense,
 *  one below the model's crop (the picture would hold no window). */
PRELU_MUST_CHECK prelu_status prelu_test_resolve(prelu_test *t, const prelu_model *m,
                                                 const prelu_plan *dense, prelu_err *err);
/** One pass of prelu_views_run: a picture of 640 x 480 and its mirror image, or ten views of 224 x
 *  224, or as many smaller ones as have the pixels, so that weights are reused and activations stay
 *  bounded. Scores do not depend on it. */
#define PRELU_PASS_PIXELS ((size_t)2 * 640 * 480)
/** What a test computes. Work of several adds up. */
typedef struct prelu_work {
    double units;       /* MACs, in those of one centre view */
    double whole, head; /* of them, those of dense testing: before the windows, and on them */
    double windows;     /* of dense testing */
    double passes;      /* how often weights are read */
} prelu_work;
void prelu_work_add(prelu_work *sum, const prelu_work *w);
/** @param t resolved; @param width,height of the picture. @return as prelu_plan_measure. */
PRELU_MUST_CHECK prelu_status prelu_test_work(prelu_work *out, const prelu_test *t,
                                              const prelu_model *m, int width, int height,
                                              prelu_err *err);
/** Work in units: MACs of all views / MACs of one centre view, rounded up. center 1, 10view 10.
 *  @param t resolved; @param width,height of the picture. 1 for a picture that will be refused. */
size_t prelu_test_units(const prelu_test *t, const prelu_model *m, int width, int height);

/** A bound on what a test of one picture takes beside the model and the file's bytes: the decoded
 *  picture, twice as much for the coefficients of a progressive one, its sizes, the activations of
 *  the largest of them, scores.
 *  @param plan  for views. @param pool  that sessions run on. @return as prelu_plan_measure. */
PRELU_MUST_CHECK prelu_status prelu_test_bytes(size_t *out, const prelu_test *t,
                                               const prelu_model *m, const prelu_plan *plan,
                                               prelu_pool *pool, int width, int height,
                                               prelu_err *err);

#define PRELU_MAX_IMAGES_PREPARED PRELU_MAX_SCALES
/** Pixels of one size that is tested densely: bounds the memory of a run. At 480 pixels a panorama
 *  may be 17 times as long as it is high. */
#define PRELU_MAX_DENSE_PIXELS ((size_t)4000000)
/** One request's u8 pictures and the views into them. */
typedef struct prelu_prepared {
    prelu_image images[PRELU_MAX_IMAGES_PREPARED]; /* one per scale, owned */
    int n_images;
    prelu_view *views;                      /* into images; owned */
    size_t n_views;                         /* n_images times the same number */
    size_t rows[PRELU_MAX_IMAGES_PREPARED]; /* of scores, of the views of each picture */
    size_t n_rows;                          /* of all of them */
    prelu_average average;                  /* the test's */
    prelu_jpeg_info info;                   /* of the original, upright */
    double decode_ms, prepare_ms;
} prelu_prepared;

/** Decode, resize to each scale, cut views as `test` (resolved) asks; geometry from m->preprocess.
 *  @param limits NULL = defaults. @param out on PRELU_OK release with prelu_prepared_deinit.
 *  Thread-safe. Status as prelu_jpeg_decode, prelu_resized_size; E_LIMIT also when all sizes
 *  together exceed max_resized_pixels, or one that is tested densely PRELU_MAX_DENSE_PIXELS. */
PRELU_MUST_CHECK prelu_status prelu_model_prepare(prelu_prepared *out, const prelu_model *m,
                                                  const prelu_test *test, const void *jpeg,
                                                  size_t len, const prelu_image_limits *limits,
                                                  prelu_err *err);
/** The same from pixels: a picture that is no JPEG (IDX). @param image (h,w,3) u8 RGB, borrowed for
 *  the call. decode_ms is 0. */
PRELU_MUST_CHECK prelu_status prelu_model_prepare_image(prelu_prepared *out, const prelu_model *m,
                                                        const prelu_test *test,
                                                        const prelu_image *image,
                                                        const prelu_image_limits *limits,
                                                        prelu_err *err);
void prelu_prepared_deinit(prelu_prepared *p);

#define PRELU_MAX_MEMBERS 8
/** A model of an ensemble and how it is tested; borrowed. */
typedef struct prelu_member {
    const prelu_model *model;
    const prelu_test *test; /* resolved with that model */
} prelu_member;
/** Prepare one picture for n models, decoded once. @param out  n, as of prelu_model_prepare.
 *  @param n  1..PRELU_MAX_MEMBERS. */
PRELU_MUST_CHECK prelu_status prelu_ensemble_prepare(prelu_prepared *out,
                                                     const prelu_member *members, size_t n,
                                                     const void *jpeg, size_t len,
                                                     const prelu_image_limits *limits,
                                                     prelu_err *err);
PRELU_MUST_CHECK prelu_status prelu_ensemble_prepare_image(prelu_prepared *out,
                                                           const prelu_member *members, size_t n,
                                                           const prelu_image *image,
                                                           const prelu_image_limits *limits,
                                                           prelu_err *err);
/** Do the models have the same classes? @return E_FORMAT, naming the first label that differs. */
PRELU_MUST_CHECK prelu_status prelu_ensemble_check(const prelu_model *const *models, size_t n,
                                                   prelu_err *err);

/** Run n views, those of one size together, and copy their scores.
 *  @param average whether that is the softmax's output or its input: as the pictures' tests say.
 *  @param rows   how many rows they give in all (of prepared pictures, the sum of their n_rows; in
 *                a plan for views, n). E_FORMAT if it is another number.
 *  @param width  prelu_average_width of the model.
 *  @param scores (rows, width) f32, view by view; of a dense plan, window by window. */
PRELU_MUST_CHECK prelu_status prelu_views_run(prelu_session *s, const prelu_view *views, size_t n,
                                              prelu_average average, int width, float *scores,
                                              size_t rows, prelu_err *err);
/** The same for n pictures that are tensors already: (n,3,side,side) f32, as the ONNX file's own
 *  input; in a plan for views. @param scores (n, width). */
PRELU_MUST_CHECK prelu_status prelu_tensors_run(prelu_session *s, const float *data, size_t n,
                                                int side, prelu_average average, int width,
                                                float *scores, prelu_err *err);

/** The same in steps, so that others may run between them, or the rest be dropped. */
typedef struct prelu_passes prelu_passes;
/** Everything is borrowed until it is destroyed; the session is in use until then. */
PRELU_MUST_CHECK prelu_status prelu_passes_create(prelu_passes **out, prelu_session *s,
                                                  const prelu_view *views, size_t n,
                                                  prelu_average average, int classes, float *scores,
                                                  size_t rows, prelu_err *err);
/** As prelu_session_step, until *done; the layout for a new size is not interrupted. */
PRELU_MUST_CHECK prelu_status prelu_passes_step(prelu_passes *p, prelu_pause pause, bool *done,
                                                prelu_err *err);
void prelu_passes_destroy(prelu_passes **p);

typedef struct prelu_prediction {
    int class_index;
    double score; /* mean over the views, in double, in view order */
} prelu_prediction;

/** Mean over rows, then the top_k classes, best first; ties by lower class index.
 *  @param scores (rows, classes). @param mean `classes` doubles, for all the means.
 *  @param top    top_k entries. @param top_k 1..classes. */
PRELU_MUST_CHECK prelu_status prelu_model_rank(const prelu_model *m, const float *scores,
                                               size_t rows, size_t top_k, prelu_prediction *top,
                                               double *mean, prelu_err *err);
/** The same for the rows of one prepared picture: the mean of its sizes' means. */
PRELU_MUST_CHECK prelu_status prelu_prepared_rank(const prelu_prepared *p, const prelu_model *m,
                                                  const float *scores, size_t top_k,
                                                  prelu_prediction *top, double *mean,
                                                  prelu_err *err);
/** Its first half: what the test averages (scores, or logits), for one model of an ensemble.
 *  @param mean `classes` doubles, or as many as the model has features. */
PRELU_MUST_CHECK prelu_status prelu_prepared_mean(const prelu_prepared *p, const prelu_model *m,
                                                  const float *scores, double *mean,
                                                  prelu_err *err);
/** Its second half: the mean of n models' means, equal weights; softmax if logits were averaged;
 *  the top_k. n equal means give the bits of one.
 *  @param means n of `classes` doubles; @param mean `classes` doubles, may be means[0]. */
PRELU_MUST_CHECK prelu_status prelu_ensemble_rank(const double *const *means, size_t n, int classes,
                                                  prelu_average average, size_t top_k,
                                                  prelu_prediction *top, double *mean,
                                                  prelu_err *err);

/** What this machine takes for work of one model; milliseconds. */
typedef struct prelu_rate {
    double unit_ms, whole_ms; /* of a unit: in views; of a whole picture, before the windows */
    double window_ms, pass_ms;
} prelu_rate;
/** Measured with a few gray views, and one whole picture or, for a slow network, a fully connected
 *  layer. A network that is slow runs three times.
 *  @param s of the plan for views. @param dense NULL, or of the dense plan. @param pool theirs. */
PRELU_MUST_CHECK prelu_status prelu_rate_measure(prelu_rate *out, prelu_session *s,
                                                 prelu_session *dense, const prelu_model *m,
                                                 prelu_pool *pool, prelu_err *err);
double prelu_rate_ms(const prelu_rate *r, const prelu_work *w);

/** Modes, the most accurate first: by the file's own figures (prelu.training, figures,
 *  val_top1_<mode>) if it has one for each, else multiscale, dense, 10view, center. */
void prelu_model_mode_order(const prelu_model *m, prelu_mode order[PRELU_MODES]);

/** A model that mode auto may use. */
typedef struct prelu_costed {
    const prelu_model *model;
    const prelu_plan *dense; /* NULL if it has none */
    prelu_rate rate;
} prelu_costed;
typedef struct prelu_choice {
    double ms; /* predicted */
    bool fits; /* false: nothing does, the choice is center */
} prelu_choice;
/** Mode auto: the first mode of `order` that the n models of an ensemble (or one) can do and whose
 *  predicted time is within the budget.
 *  @param tests n, of which `average` is kept; filled with the choice, resolved. */
PRELU_MUST_CHECK prelu_status prelu_test_choose(prelu_test *tests, const prelu_costed *members,
                                                size_t n, const prelu_mode order[PRELU_MODES],
                                                double budget_ms, int width, int height,
                                                prelu_choice *out, prelu_err *err);
#endif
