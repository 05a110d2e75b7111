#ifndef PRELU_GRAPH_H
#define PRELU_GRAPH_H
#include "prelu/tensor.h"
#include <stdbool.h>

/** One graph type for everything: networks build it, the ONNX reader and writer translate it, the
 *  trainer differentiates it, the plan compiles it.
 *
 *  Ops bear ONNX names and mean what opset 13 means, with two differences: what opset 13 passes as
 *  small constant inputs (Slice starts/ends/axes/steps, Reshape shape, Squeeze axes, Clip min/max,
 *  Dropout ratio) are attributes here, and there are ops of our own (SPP, SoftmaxCrossEntropy and
 *  the gradient ops). docs/ops.md lists them all. Reader and writer translate at the edge.
 *
 *  Nodes stand in topological order: a node may only use values that exist already.
 *  The structs are public to be read; change them through the functions only. Not thread-safe. */

typedef int prelu_value; /* index into prelu_graph.values; PRELU_NONE = absent optional input */
#define PRELU_NONE (-1)

typedef enum prelu_attr_kind {
    PRELU_ATTR_INT,
    PRELU_ATTR_FLOAT,
    PRELU_ATTR_STRING,
    PRELU_ATTR_INTS,
    PRELU_ATTR_FLOATS
} prelu_attr_kind;

/** A named attribute; `name` and what it points to are copied by prelu_graph_add. */
typedef struct prelu_attr {
    const char *name;
    prelu_attr_kind kind;
    int64_t i;
    float f;
    const char *s;
    const int64_t *ints;
    const float *floats;
    size_t len; /* of ints or floats, at most 64 */
} prelu_attr;

#define PRELU_INT(n, v) ((prelu_attr){.name = (n), .kind = PRELU_ATTR_INT, .i = (v)})
#define PRELU_FLOAT(n, v) ((prelu_attr){.name = (n), .kind = PRELU_ATTR_FLOAT, .f = (v)})
#define PRELU_STRING(n, v) ((prelu_attr){.name = (n), .kind = PRELU_ATTR_STRING, .s = (v)})
#define PRELU_INTS(n, p, l)                                                                        \
    ((prelu_attr){.name = (n), .kind = PRELU_ATTR_INTS, .ints = (p), .len = (l)})

/** What a constant is to the trainer and to `describe`. */
typedef enum prelu_role {
    PRELU_ROLE_NONE,     /* fixed: a mean, an index */
    PRELU_ROLE_WEIGHT,   /* trained, with weight decay */
    PRELU_ROLE_BIAS,     /* trained, bias policy */
    PRELU_ROLE_SLOPE,    /* trained, never decayed (PReLU's a) */
    PRELU_ROLE_SCALE,    /* trained: BatchNorm gamma and beta, not decayed */
    PRELU_ROLE_STATISTIC /* BatchNorm running mean and variance: updated, no gradient */
} prelu_role;

typedef struct prelu_value_info {
    char *name;
    prelu_dtype dtype;
    prelu_shape shape; /* logical; of constants and inputs. Others: see prelu_graph_infer */
    bool is_input;
    bool is_constant;
    const void *data; /* constants: row-major in logical order; need not be aligned */
    bool owns_data;
    prelu_role role;
    int producer; /* node that writes it, or PRELU_NONE */
} prelu_value_info;

#define PRELU_MAX_INPUTS 64 /* of one node */
#define PRELU_MAX_OUTPUTS 8

typedef struct prelu_node {
    char *name;
    const char *op; /* static text from the op table */
    prelu_value *in, *out;
    int n_in, n_out;
    prelu_attr *attrs;
    size_t n_attrs;
} prelu_node;

typedef struct prelu_graph {
    prelu_value_info *values;
    prelu_node *nodes;
    int n_values, n_nodes;
    prelu_value *outputs;
    int n_outputs;
    int cap_values, cap_nodes, cap_outputs;
} prelu_graph;

PRELU_MUST_CHECK prelu_status prelu_graph_create(prelu_graph **out, prelu_err *err);
void prelu_graph_destroy(prelu_graph **g); /* frees copied data, not borrowed data */

/** A fed value. dim -1 = free. Pictures are (-1,3,-1,-1) or with sizes. */
PRELU_MUST_CHECK prelu_status prelu_graph_input(prelu_graph *g, const char *name, prelu_dtype dtype,
                                                const prelu_shape *shape, prelu_value *out,
                                                prelu_err *err);

/** A constant. @param data row-major in logical order, `shape` elements of `dtype`.
 *  @param copy  true: copied; false: borrowed, must outlive the graph (a mapped file). */
PRELU_MUST_CHECK prelu_status prelu_graph_constant(prelu_graph *g, const char *name,
                                                   prelu_dtype dtype, const prelu_shape *shape,
                                                   const void *data, bool copy, prelu_role role,
                                                   prelu_value *out, prelu_err *err);

/** A node with its output values, named out_names[i] or, where that is NULL, "<name>" for the first
 *  and "<name>:i" for others. Arity and that `op` is known are checked here, shapes by infer.
 *  @return E_UNSUPPORTED unknown op (the text names op and node); E_ARG arity, value index. */
PRELU_MUST_CHECK prelu_status prelu_graph_add(prelu_graph *g, const char *op, const char *name,
                                              const prelu_value *in, int n_in,
                                              const prelu_attr *attrs, size_t n_attrs,
                                              const char *const *out_names, prelu_value *out,
                                              int n_out, prelu_err *err);

/** Mark a value as output of the graph, in order of the calls. */
PRELU_MUST_CHECK prelu_status prelu_graph_output(prelu_graph *g, prelu_value v, prelu_err *err);
/** Name of a value; names are unique in ONNX, the writer relies on it. */
PRELU_MUST_CHECK prelu_status prelu_graph_rename(prelu_graph *g, prelu_value v, const char *name,
                                                 prelu_err *err);
/** Give a constant another shape, and zeros. Borrowed data stay their owner's. */
PRELU_MUST_CHECK prelu_status prelu_graph_set_zero(prelu_graph *g, prelu_value v,
                                                   const prelu_shape *shape, prelu_err *err);
void prelu_graph_set_role(prelu_graph *g, prelu_value v, prelu_role role);
/** First value of that name, or PRELU_NONE. */
prelu_value prelu_graph_find(const prelu_graph *g, const char *name);
/** A deep copy; constants' data borrowed from `src`, which must outlive it. */
PRELU_MUST_CHECK prelu_status prelu_graph_clone(prelu_graph **out, const prelu_graph *src,
                                                prelu_err *err);
/** A clone for dense testing: the trunk takes pictures of any size (from h x w on), and what
 * follows its last feature map - SPP, global pooling, or flatten and fc - runs on every window that
 * has the size which that map has for a picture of h x w, stride 1. Outputs keep their numbers and
 * get a row for each window: picture by picture, windows row by row. A picture of h x w has one.
 * A mean picture that is subtracted from the input is stretched to the size of each picture.
 *  @return E_UNSUPPORTED when trunk and head cannot be told apart, or a node of the trunk does not
 *  mean the same on a larger map (global pooling beside the main path): the text
 *  names it. */
PRELU_MUST_CHECK prelu_status prelu_graph_dense(prelu_graph **out, const prelu_graph *src,
                                                int64_t h, int64_t w, prelu_err *err);
bool prelu_op_known(const char *op);

const prelu_attr *prelu_node_attr(const prelu_node *n, const char *name); /* NULL if absent */
int64_t prelu_node_int(const prelu_node *n, const char *name, int64_t otherwise);
float prelu_node_float(const prelu_node *n, const char *name, float otherwise);

/** Shapes of all values when the first input is (n,c,h,w) with the free dims filled in (n, h, w <=
 * 0 leave a dim as it is; for inputs after the first only n is filled in). Checks every node.
 *  @param shapes  g->n_values elements, filled.
 *  @return E_FORMAT or E_ARG naming the node when shapes do not fit; E_LIMIT on overflow. */
PRELU_MUST_CHECK prelu_status prelu_graph_infer(const prelu_graph *g, int64_t n, int64_t h,
                                                int64_t w, prelu_shape *shapes, prelu_err *err);

/** Multiply-accumulates of one node given the shapes of prelu_graph_infer: conv and fc only, the
 *  counting of PAPER.md; 0 for the rest. */
double prelu_node_macs(const prelu_graph *g, int node, const prelu_shape *shapes);

/** Add the gradient of scalar `loss` with respect to wrt[0..n-1] (constants made inputs, or any
 *  value): dloss/dwrt[i] is grads[i], same logical shape. PRELU_NONE where loss does not depend on
 * it.
 *  @return E_UNSUPPORTED names an op without gradient on the path. */
PRELU_MUST_CHECK prelu_status prelu_graph_gradient(prelu_graph *g, prelu_value loss,
                                                   const prelu_value *wrt, int n,
                                                   prelu_value *grads, prelu_err *err);

/** The same of a value `y` that is no scalar, given dloss/dy. */
PRELU_MUST_CHECK prelu_status prelu_graph_gradient_from(prelu_graph *g, prelu_value y,
                                                        prelu_value dy, const prelu_value *wrt,
                                                        int n, prelu_value *grads, prelu_err *err);

/** Turn a constant into an input to be bound by the trainer (prelu_session_bind); keeps its role.
 */
PRELU_MUST_CHECK prelu_status prelu_graph_make_variable(prelu_graph *g, prelu_value v,
                                                        prelu_err *err);
#endif
