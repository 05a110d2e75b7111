#ifndef PRELU_MODEL_H
#define PRELU_MODEL_H
#include "prelu/graph.h"
#include "prelu/plan.h"

/** Geometry of preprocessing; its arithmetic is the graph's own first nodes. */
typedef struct prelu_preprocess {
    int resize;    /* shorter side, pixels */
    int crop;      /* square */
    int scales[8]; /* of multiscale testing */
    int n_scales;
    bool antialias;               /* always true in files of ours */
    bool draft;                   /* DCT-scaled decoding was used in training */
    bool logits;                  /* a foreign file that ends in logits: softmax is added */
    bool bgr;                     /* foreign: colour order */
    float mean[3], std[3], scale; /* foreign: (x * scale - mean) / std; 0, 1, 1 in files of ours */
} prelu_preprocess;

typedef struct prelu_label {
    char *id;    /* e.g. "n03028079"; "" if none */
    char *label; /* UTF-8 */
} prelu_label;

/** A classifier: graph, weights, preprocessing and labels. Owned by whoever loaded it. */
typedef struct prelu_model {
    prelu_graph *graph;       /* input `data` (N,3,H,W) raw 0..255 RGB; outputs `logits`, `prob` */
    prelu_value logits, prob; /* in graph; PRELU_NONE in a file that is no classifier */
    prelu_value features;     /* what the last layer with weights reads; PRELU_NONE: not found */
    int n_features;           /* its length; 0: not found. Stays when the graph is dropped */
    prelu_preprocess preprocess;
    prelu_label *labels;  /* `classes` entries; ids and labels "" when the file has none */
    int classes;          /* 0 in a file that is no classifier */
    char *arch;           /* prelu.arch or NULL */
    char *training;       /* prelu.training JSON text or NULL */
    char *check;          /* prelu.check JSON text or NULL */
    char *precision;      /* prelu.precision JSON text or NULL */
    double int8fc_agrees; /* measured top-1 agreement of int8fc with fp32, from it; 0 = none */
    void *map;            /* the mapped file the graph's constants point into; NULL if built */
    size_t map_len;
    /* NULL, or files of external data mapped too */
    struct prelu_model_extra *extra;
} prelu_model;

typedef struct prelu_model_options {
    const char *preprocess; /* NULL, or imagenet|caffe|raw, or the path of a JSON file */
    const char *labels; /* NULL, or the path of a labels file: `label` or `id<TAB>label` a line */
} prelu_model_options;

/** Read an ONNX file (opsets 6..21): the file is mapped, weights are borrowed from the map.
 *  Foreign files get a softmax when they end in logits, and the preprocessing asked for.
 *  @return E_NOTFOUND, E_PERM, E_IO; E_FORMAT damaged file or wrong shapes; E_UNSUPPORTED op
 * (named, with its node), type or opset; E_LIMIT; E_NOMEM. The text names tensor and node. */
PRELU_MUST_CHECK prelu_status prelu_model_load(prelu_model **out, const char *path,
                                               const prelu_model_options *options, prelu_err *err);
/** A model around a graph made in memory; takes ownership of `g` on success. */
PRELU_MUST_CHECK prelu_status prelu_model_take(prelu_model **out, prelu_graph *g, int classes,
                                               prelu_err *err);
void prelu_model_destroy(prelu_model **m);

/** Write ONNX opset 13, IR 7 (DESIGN.md "ONNX file"), atomically (temporary file, fsync, rename).
 *  Shapes of ops lowered to ONNX (SPP) are those at preprocess.crop. Above 2 GiB: external data. */
PRELU_MUST_CHECK prelu_status prelu_model_save(const prelu_model *m, const char *path,
                                               prelu_err *err);

/** Set one entry of an ONNX file's metadata, atomically; the rest of the file stays byte for byte.
 *  @return E_NOTFOUND, E_PERM, E_IO; E_FORMAT no ONNX file: it is left as it is; E_NOMEM. */
PRELU_MUST_CHECK prelu_status prelu_model_annotate(const char *path, const char *key,
                                                   const char *value, prelu_err *err);

/** Top-1 agreement from which on auto may use int8 weights. */
#define PRELU_INT8FC_AGREEMENT 0.995
/** Plan for prob, logits and, if they were found, features; afterwards the weights' map may be
 *  dropped. */
PRELU_MUST_CHECK prelu_status prelu_model_plan(prelu_plan **out, const prelu_model *m,
                                               prelu_precision precision, prelu_pool *pool,
                                               prelu_err *err);
/** The same for any values of m->graph. */
PRELU_MUST_CHECK prelu_status prelu_model_plan_values(prelu_plan **out, const prelu_model *m,
                                                      const prelu_value *values, int n_values,
                                                      prelu_precision precision, prelu_pool *pool,
                                                      prelu_err *err);
/** The same for whole pictures (prelu_graph_dense). @param views the model's plan of the same
 *  precision, whose weights it shares: must outlive it.
 *  @return E_UNSUPPORTED when the graph cannot be tested densely; the text names the node. */
PRELU_MUST_CHECK prelu_status prelu_model_plan_dense(prelu_plan **out, const prelu_model *m,
                                                     const prelu_plan *views,
                                                     prelu_precision precision, prelu_pool *pool,
                                                     prelu_err *err);
/** Unmap the file and destroy the graph (labels and preprocessing stay); after planning. */
void prelu_model_drop_weights(prelu_model *m);

/** Set m->check: JSON {"sha256","mode":"center","scores"}, the centre scores, in fp32, of a picture
 *  that the program draws, and the digest of the weights. That is the SHA-256 of a text with a line
 *  for each constant in order of its first use by a node: "<SHA-256 of its bytes> <type> <shape>
 *  <name>\n", bytes row-major and little-endian, type as "f32", shape as "(64,3,7,7)".
 *  Call it last before saving. Scores that are not finite leave m->check NULL, with a warning.
 *  @param pool  may be NULL. @return as prelu_model_plan and a run. */
PRELU_MUST_CHECK prelu_status prelu_model_make_check(prelu_model *m, prelu_pool *pool,
                                                     prelu_err *err);
/** Compare weights and scores with m->check; OK when the file has none. Before drop_weights.
 *  @param plan  of m, from prelu_model_plan. @param precision what the plan was made with; it
 * decides how far scores may be off. @return E_FORMAT they do not fit, or the text is damaged;
 * E_UNSUPPORTED a check of another mode; statuses of a run. */
PRELU_MUST_CHECK prelu_status prelu_model_verify_check(const prelu_model *m, const prelu_plan *plan,
                                                       prelu_precision precision, prelu_pool *pool,
                                                       prelu_err *err);

/** Indexes into the plan's outputs. */
enum { PRELU_OUTPUT_PROB = 0, PRELU_OUTPUT_LOGITS = 1, PRELU_OUTPUT_FEATURES = 2 };
#endif
