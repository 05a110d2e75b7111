#ifndef OP_UTIL_H
#define OP_UTIL_H
#include "ops/op.h"

/* The loop's iterations are independent although gcc cannot see it; clang checks at run time. */
#if defined(__GNUC__) && !defined(__clang__)
#define OP_IVDEP _Pragma("GCC ivdep")
#else
#define OP_IVDEP
#endif

/** What the ops share: attributes, layout, walking over broadcast operands. */

/** Elements of an element-wise task: 256 KiB, some tens of microseconds. */
#define OP_CHUNK ((size_t)1 << 16)

/** No value has more elements; bytes, and sums of a few such counts, cannot overflow. */
#define OP_MAX_COUNT ((size_t)1 << 48)

/** Parts of `count` things when a part has at most `chunk`; at least 1. */
size_t op_parts(size_t count, size_t chunk);
/** Part i of them as [*begin, *end). */
void op_part(size_t count, size_t chunk, size_t i, size_t *begin, size_t *end);
/** Product of dims from..to-1 of a shape that the session has checked. */
size_t op_span(const prelu_shape *s, int from, int to);
size_t op_count(const prelu_shape *s);
/** No dim is free. */
bool op_known(const prelu_shape *s);
/** Of the known dims: E_FORMAT when one is 0, E_LIMIT above OP_MAX_COUNT elements. */
prelu_status op_check_size(const prelu_shape *s, prelu_err *err);
/** op_check_size of a (n,c,h,w), and that an int32_t can number the places of a map. */
prelu_status op_check_map(const prelu_shape *s, prelu_err *err);

/** Attribute of kind INTS; absent: *v = NULL, *len = 0. @param want its length, 0 = any;
 *  each number must lie in lo..hi. */
prelu_status op_ints(const prelu_node *n, const char *name, size_t want, int64_t lo, int64_t hi,
                     const int64_t **v, size_t *len, prelu_err *err);
/** Axis -rank..rank-1 to 0..rank-1. */
prelu_status op_axis(int64_t axis, int rank, int *out, prelu_err *err);
prelu_status op_need_rank(const prelu_shape *s, int rank, const char *what, prelu_err *err);
/** All present inputs are f32, but those of the bit mask `other`. */
prelu_status op_need_f32(const op_instance *inst, const op_tensor *in, uint64_t other,
                         prelu_err *err);
/** Equal, where both are known. */
bool op_dim_fits(int64_t a, int64_t b);
bool op_shape_fits(const prelu_shape *a, const prelu_shape *b);
/** E_FORMAT unless the two fit; names are what the text calls them. */
prelu_status op_need_same(const prelu_shape *a, const char *a_name, const prelu_shape *b,
                          const char *b_name, prelu_err *err);

/** order[p] = logical axis that lies at place p in memory, outermost first. */
void op_order(const prelu_shape *s, int order[PRELU_MAX_RANK]);
/** Elements from one index to the next, by logical axis. */
void op_strides(const prelu_shape *s, ptrdiff_t stride[PRELU_MAX_RANK]);
/** Channels-last view of a value whose axis 1 is the channel: (n,c,h,w) or (n,c). */
typedef struct op_channels {
    size_t rows, c;
} op_channels;
op_channels op_channels_of(const prelu_shape *s);

/** A nest of loops over a tensor in its memory order, with the strides that other tensors have
 * along it. Loops of one step are left out and loops that run on without a gap are joined, so that
 * equal shapes become one loop and a per-channel operand two. */
#define OP_WALK_MAX 2
typedef struct op_walk {
    int rank; /* >= 1 */
    int n;    /* operands */
    size_t size[PRELU_MAX_RANK];
    ptrdiff_t stride[OP_WALK_MAX][PRELU_MAX_RANK];
} op_walk;

/** Over `base`, where every operand is numpy-broadcast to base. */
void op_walk_broadcast(op_walk *w, const prelu_shape *base, const prelu_shape *const *operands,
                       int n);
/** Leave out and join loops; sizes and strides are set. */
void op_walk_merge(op_walk *w);
/** Offset of operand k at the start of row `row`, rows counted over all but the last loop. */
ptrdiff_t op_walk_at(const op_walk *w, int k, size_t row);

/** numpy's rule; -1 meets 1 gives -1, -1 meets more gives more. */
prelu_status op_broadcast(const prelu_shape *a, const prelu_shape *b, prelu_shape *out,
                          prelu_err *err);
/** May `small` be broadcast to `big`? */
bool op_broadcasts_to(const prelu_shape *small, const prelu_shape *big);

/** Work of an element-wise op over `count` elements of `bytes` each (all operands together). */
void op_work_elementwise(op_work *work, size_t count, double bytes);

/** Part `task` (of op_parts by OP_CHUNK) of sum[i] = part[i] + part[n + i] + ..., `shares` of them,
 *  in order. */
void op_sum_shares(float *sum, const float *part, size_t n, size_t shares, size_t task);

/** Part `task` of an element-wise op whose operands all have the output's shape. */
typedef struct op_piece {
    float *y;
    const float *a, *b; /* inputs 0 and 1; NULL where there is none */
    size_t n;
} op_piece;
op_piece op_piece_of(const op_exec *x, size_t task);

/** Shape rule "output 0 is like input 0" (of a known size that does not overflow). */
prelu_status op_shape_like_first(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                 prelu_err *err);
/** The same, where input 1 must have that shape as well. */
prelu_status op_shape_like_both(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                prelu_err *err);
/** Prepare rule of element-wise ops with f32 operands. */
prelu_status op_prepare_elementwise(const op_instance *inst, const op_tensor *in,
                                    const op_tensor *out, op_work *work, prelu_err *err);
/** One gradient node for input `i`, if that is needed and a gradient flows into output 0. */
prelu_status op_grad_one(op_grad_ctx *c, int i, const char *op, const char *tag,
                         const prelu_value *in, int n_in, const prelu_attr *attrs, size_t n_attrs,
                         prelu_err *err);
#endif
