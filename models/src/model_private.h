#ifndef MDL_MODEL_PRIVATE_H
#define MDL_MODEL_PRIVATE_H
#include "prelu/sha256.h"
#include "pile.h"
#include "prelu/image.h"
#include "prelu/model.h"

#define MDL_MAX_FILES 16
#define MDL_MAX_SCORES 1000000

/** A file mapped for reading; zero-initialised = none. */
typedef struct mdl_map {
    const uint8_t *data;
    size_t len;
} mdl_map;

/** What else a loaded model's constants point into. */
struct prelu_model_extra {
    mdl_map maps[MDL_MAX_FILES]; /* external data */
    int n_maps;
    mdl_pile pile; /* tensors converted while reading */
};

/** @return E_NOTFOUND, E_PERM, E_IO; E_FORMAT an empty file or no regular one. */
PRELU_MUST_CHECK prelu_status mdl_map_file(mdl_map *out, const char *path, prelu_err *err);
/** The same of an open file, which stays the caller's; `name` is for messages. */
PRELU_MUST_CHECK prelu_status mdl_map_fd(mdl_map *out, int fd, const char *name, prelu_err *err);
void mdl_map_deinit(mdl_map *map);
/** *dst = copy of s (NULL: none); the old text is freed. */
PRELU_MUST_CHECK prelu_status mdl_text_set(char **dst, const char *s, prelu_err *err);

/** Defaults: resize 256, crop 224, scales {256,384,480}, RGB, no arithmetic. */
void mdl_preprocess_defaults(prelu_preprocess *p);
/** Read prelu.preprocess. Absent keys keep what *p holds. @param strict unknown keys are an error.
 *  @return E_FORMAT, E_UNSUPPORTED (interpolation); *p is untouched on failure. */
PRELU_MUST_CHECK prelu_status mdl_preprocess_parse(prelu_preprocess *p, const char *json,
                                                   bool strict, prelu_err *err);
/** The JSON of prelu.preprocess; owned by the caller (prelu_free). */
PRELU_MUST_CHECK prelu_status mdl_preprocess_text(char **json, const prelu_preprocess *p,
                                                  prelu_err *err);
/** imagenet|caffe|raw, else the path of a JSON file, into *p, which holds the defaults. */
PRELU_MUST_CHECK prelu_status mdl_preprocess_named(prelu_preprocess *p, const char *name,
                                                   prelu_err *err);

void mdl_labels_free(prelu_label *labels, int classes);
/** `classes` empty labels. */
PRELU_MUST_CHECK prelu_status mdl_labels_empty(prelu_label **out, int classes, prelu_err *err);
/** Read prelu.labels: [{"id","label"},...], exactly `classes`. */
PRELU_MUST_CHECK prelu_status mdl_labels_parse(prelu_label **out, int classes, const char *json,
                                               prelu_err *err);
PRELU_MUST_CHECK prelu_status mdl_labels_text(char **json, const prelu_label *labels, int classes,
                                              prelu_err *err);
/** `label` or `id<TAB>label` a line, UTF-8, exactly `classes` lines. */
PRELU_MUST_CHECK prelu_status mdl_labels_lines(prelu_label **out, int classes, const char *text,
                                               prelu_err *err);

/** figures.val_top1_<mode> of prelu.training; below 0 if it is not there. @param training or NULL
 */
double mdl_figure_top1(const char *training, const char *mode);

/** The digest of prelu_model_make_check. @param pool may be NULL. @return E_NOMEM. */
PRELU_MUST_CHECK prelu_status mdl_weights_digest(const prelu_graph *g, prelu_pool *pool,
                                                 char out[PRELU_SHA256_TEXT], prelu_err *err);
/** The picture of prelu_model_make_check: resize + resize / 3 wide, resize high; red, green, blue
 *  waves of three slopes, inverted in every other tile. @param out owned by the caller. */
PRELU_MUST_CHECK prelu_status mdl_check_picture(prelu_image *out, const prelu_preprocess *p,
                                                prelu_err *err);
/** The JSON of prelu.check; owned by the caller (prelu_free). */
PRELU_MUST_CHECK prelu_status mdl_check_text(char **json, const char *digest, const float *scores,
                                             int classes, prelu_err *err);
/** @param digest, scores  filled; `classes` scores. @return E_FORMAT; E_UNSUPPORTED the mode. */
PRELU_MUST_CHECK prelu_status mdl_check_parse(const char *json, int classes,
                                              char digest[PRELU_SHA256_TEXT], double *scores,
                                              prelu_err *err);

/** The agreement in prelu.precision: {"images","bf16_agrees","int8fc_agrees"}; 0 if it has none.
 *  @return E_FORMAT no JSON object, or a number outside 0..1. */
PRELU_MUST_CHECK prelu_status mdl_precision_parse(const char *json, double *int8fc_agrees,
                                                  prelu_err *err);

/** prelu_model_load from memory. @param file must outlive the model. @param folder where external
 *  data may lie; NULL = nowhere. */
PRELU_MUST_CHECK prelu_status mdl_model_read(prelu_model **out, const mdl_map *file,
                                             const char *folder, const prelu_model_options *options,
                                             prelu_err *err);
/** Shapes of all values for one picture, or as many as the graph fixes: sizes that it leaves free
 *  are `crop`. */
PRELU_MUST_CHECK prelu_status mdl_graph_infer(const prelu_graph *g, int crop, prelu_shape *shapes,
                                              prelu_err *err);
/** Set m->logits, m->prob and m->classes from the graph's outputs at the crop's size.
 *  A picture classifier without Softmax gets one. Leaves them none in other graphs. */
PRELU_MUST_CHECK prelu_status mdl_find_scores(prelu_model *m, prelu_err *err);
#endif
