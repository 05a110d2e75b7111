#ifndef OP_POOL_H
#define OP_POOL_H
#include "ops/util.h"

/** Geometry of a pool over (n,c,h,w); arrays are [h, w]. All numbers are at most 2^48. */
typedef struct pool {
    int64_t in[2], out[2];
    int64_t kernel[2], stride[2], dilation[2], before[2], after[2]; /* padding before and after */
    bool count_padding; /* AveragePool: padding counts as zeros */
    size_t n, c;
} pool;

/** Indices in the map that one window covers along an axis: first, first + step, ... */
typedef struct pool_window {
    int64_t first, step;
    int64_t taps;    /* 0 when the window lies in the padding */
    int64_t counted; /* taps within map and padding */
} pool_window;

/** From kernel_shape, strides, pads, dilations, ceil_mode, auto_pad, count_include_pad. `x` may
 * have free dims: so may out[]. A window that would start behind the map and its left padding does
 * not exist (ceil_mode), as in PyTorch and ONNX since opset 22. */
prelu_status op_pool_init(pool *p, const prelu_node *n, const prelu_shape *x, prelu_err *err);
/** The same for a node that the shape rule has accepted. */
pool op_pool_of(const prelu_node *n, const prelu_shape *x);
/** One window over the whole map. */
pool op_pool_global(const prelu_shape *x);
pool_window op_pool_window_at(const pool *p, int axis, int64_t o);
/** Outputs o0..o1-1 along the axis whose windows may touch indices i0..i1-1 of the map. */
void op_pool_touching(const pool *p, int axis, int64_t i0, int64_t i1, int64_t *o0, int64_t *o1);

/** Rows of the map (of all pictures, one after another) that a task of a gradient op takes. */
size_t op_pool_grad_rows(const pool *p);
#endif
