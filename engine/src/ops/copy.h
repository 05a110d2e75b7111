#ifndef OP_COPY_H
#define OP_COPY_H
#include "ops/util.h"

/** Rearranging copies: the result is written in memory order, the source read at strides. */
typedef struct op_copy {
    op_walk walk;   /* over the result; operand 0 is the source */
    ptrdiff_t base; /* where in the source the first element lies */
} op_copy;

/** Result of shape `out`, whose axis i runs through the source in steps of stride[i]. */
op_copy op_copy_strided(const prelu_shape *out, const ptrdiff_t *stride, ptrdiff_t base);
/** `count` elements, one after another. */
op_copy op_copy_flat(size_t count);
/** Elements of x in logical (row-major) order. */
op_copy op_copy_to_logical(const prelu_shape *x);
/** A tensor y of which the source has the elements in logical order. */
op_copy op_copy_from_logical(const prelu_shape *y);

/** Tasks and cost of a phase that makes the copy. */
void op_copy_work(const op_copy *c, op_work *work, int phase);
void op_copy_run(const op_copy *c, float *to, const float *from, size_t task);
#endif
