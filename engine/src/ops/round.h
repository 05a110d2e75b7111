#ifndef OP_ROUND_H
#define OP_ROUND_H
#include "ops/op.h"

/** Training in bf16: operands of products are rounded to bf16; their sums and all else are f32. */

/** Inputs of node n of g (bit i = input i) that are to be rounded before it: operands of products
 * of variable filters and weights, and of their gradients, which do not round themselves.
 * Convolutions that stay f32 in testing (op_conv_bf16_fits) do so here. */
uint64_t op_round_operands(const prelu_graph *g, const prelu_node *n, const krn_table *krn);
/** Does this product round its operands on the way into tiles, where op_instance.round asks for
 *  rounded ones? @param w shape of a convolution's filters. */
bool op_rounds_itself(const prelu_node *n, const prelu_shape *w, const krn_table *krn);
#endif
