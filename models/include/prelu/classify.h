#ifndef PRELU_CLASSIFY_H
#define PRELU_CLASSIFY_H
#include "prelu/image.h"
#include "prelu/model.h"
#include "prelu/session.h"

/** The two ends of the data path: prepare (JPEG -> pictures and views) and rank (scores -> top-k).
 *  Between them stands prelu_session_run, or prelu_views_run that batches for it. */

typedef enum prelu_mode { PRELU_MODE_CENTER, PRELU_MODE_10VIEW } prelu_mode;
/** "center", "10view"; parse: E_ARG with the list. */
const char *prelu_mode_name(prelu_mode mode);
PRELU_MUST_CHECK prelu_status prelu_mode_parse(prelu_mode *out, const char *text, prelu_err *err);

#define PRELU_MAX_IMAGES_PREPARED 8
/** One request's u8 pictures and the views into them. */
typedef struct prelu_prepared {
    prelu_image images[PRELU_MAX_IMAGES_PREPARED]; /* one per scale, owned */
    int n_images;
    prelu_view *views; /* into images; owned */
    size_t n_views;
    prelu_jpeg_info info; /* of the original, upright */
    double decode_ms, prepare_ms;
} prelu_prepared;

/** Decode, resize to each scale, cut views as `mode` asks; geometry from m->preprocess.
 *  @param limits NULL = defaults. @param out on PRELU_OK release with prelu_prepared_deinit.
 *  Thread-safe. Status as prelu_jpeg_decode, prelu_resized_size. */
PRELU_MUST_CHECK prelu_status prelu_model_prepare(prelu_prepared *out, const prelu_model *m,
                                                  prelu_mode mode, const void *jpeg, size_t len,
                                                  const prelu_image_limits *limits, prelu_err *err);
/** The same from pixels: a picture that is no JPEG (IDX). @param image (h,w,3) u8 RGB, borrowed for
 *  the call. decode_ms is 0. */
PRELU_MUST_CHECK prelu_status prelu_model_prepare_image(prelu_prepared *out, const prelu_model *m,
                                                        prelu_mode mode, const prelu_image *image,
                                                        const prelu_image_limits *limits,
                                                        prelu_err *err);
void prelu_prepared_deinit(prelu_prepared *p);

/** Work of a prepared or planned request in units: MACs of its views / MACs of one centre view,
 *  rounded up. center 1, 10view 10. */
size_t prelu_mode_units(const prelu_model *m, prelu_mode mode);

/** Run n views (all of crop size) through the session and copy their softmax scores.
 *  @param scores (n, classes) f32, row i belongs to views[i]. */
PRELU_MUST_CHECK prelu_status prelu_views_run(prelu_session *s, const prelu_view *views, size_t n,
                                              int classes, float *scores, prelu_err *err);

typedef struct prelu_prediction {
    int class_index;
    double score; /* mean over the views, in double, in view order */
} prelu_prediction;

/** Mean over rows, then the top_k classes, best first; ties by lower class index.
 *  @param scores (rows, classes). @param mean NULL, or `classes` doubles for all the means.
 *  @param top    top_k entries. @param top_k 1..classes. */
PRELU_MUST_CHECK prelu_status prelu_model_rank(const prelu_model *m, const float *scores,
                                               size_t rows, size_t top_k, prelu_prediction *top,
                                               double *mean, prelu_err *err);
#endif
