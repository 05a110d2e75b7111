#ifndef OP_REDUCE_H
#define OP_REDUCE_H
#include "ops/util.h"

/** Reductions of a tensor over some of its axes, in double and in an order that shapes alone fix.
 *
 *  The outermost loop, where it is kept, cuts the tensor into slices (the images of a batch). What
 *  is done to a slice depends on the slice's shape only, so an op on the inference path may use
 * this too. A long slice is cut into parts whose partial results are combined in a second phase. */
typedef enum op_reduction { OP_REDUCE_SUM, OP_REDUCE_MAX /* NaN wins */ } op_reduction;

/** Values to reduce: elements at..at+n-1 (memory order, n <= OP_REDUCE_FETCH); returns `buffer`,
 *  filled, or a pointer to them. */
#define OP_REDUCE_FETCH 1024
typedef const float *op_reduce_fetch(const op_exec *x, float *buffer, size_t at, size_t n);

/** Strides of the result along the axes of the operand: 0 where it is reduced. */
typedef struct op_reduce_map {
    ptrdiff_t stride[PRELU_MAX_RANK];
} op_reduce_map;
/** For a result that could be broadcast to the operand. */
op_reduce_map op_reduce_to(const prelu_shape *from, const prelu_shape *to);
/** For reduced axes (bit mask), kept with size 1 or left out in `to`. */
op_reduce_map op_reduce_axes(const prelu_shape *from, unsigned axes, const prelu_shape *to);

/** Phases, tasks and memory. */
void op_reduce_prepare(const prelu_shape *from, const op_reduce_map *map, op_work *work);
/** out[0] = scale * reduced. */
void op_reduce_run(const op_exec *x, const prelu_shape *from, const op_reduce_map *map,
                   op_reduction kind, double scale, op_reduce_fetch *fetch, int phase, size_t task,
                   void *scratch);

/** Shape rules of the global pools and of their gradient ops (dy, x). */
prelu_status op_global_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                             prelu_err *err);
prelu_status op_global_grad_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                  prelu_err *err);
#endif
