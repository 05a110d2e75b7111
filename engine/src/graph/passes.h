#ifndef GR_PASSES_H
#define GR_PASSES_H
#include "kernels/kernels.h"
#include "prelu/graph.h"

/** Passes over a plan's own copy of a graph. Value numbers stay what they were; nodes go away. */

/** Dropout and Identity do nothing in testing: their users read their input. */
prelu_status gr_drop_identities(prelu_graph *g, prelu_err *err);
/** Zeros that Pad puts around a map become padding of the convolution or average that reads it. */
prelu_status gr_fold_pads(prelu_graph *g, prelu_err *err);
/** BatchNormalization after a convolution of constant filters goes into filters and bias. */
prelu_status gr_fold_batchnorm(prelu_graph *g, prelu_err *err);
/** Relu, LeakyRelu or PRelu with a slope per channel goes into the store of the Conv or Gemm
 * before. */
prelu_status gr_fuse_activations(prelu_graph *g, prelu_err *err);
/** Add of two maps that are of one size for every picture goes into the store of the Conv that made
 *  one of them last: before its activation, or behind an activation that it has already. */
prelu_status gr_fuse_residuals(prelu_graph *g, prelu_err *err);
/** Training in bf16: what products take, but those that round it themselves, is rounded, each value
 *  once, before its first reader. */
prelu_status gr_round_operands(prelu_graph *g, const krn_table *krn, prelu_err *err);
/** Nodes that no output needs go away. */
prelu_status gr_prune(prelu_graph *g, prelu_err *err);

/** Arithmetic of preprocessing at the head of the graph, y = (x - shift) * scale by channel, taken
 *  off the graph: what feeds the first input does it on the way in. Without such nodes shift 0 and
 *  scale 1. */
typedef struct gr_input_affine {
    float shift[4], scale[4];
} gr_input_affine;
prelu_status gr_take_input_affine(prelu_graph *g, gr_input_affine *a, prelu_err *err);
#endif
