#ifndef OP_CONV_BF16_H
#define OP_CONV_BF16_H
#include "ops/conv.h"
#include "prelu/threads.h"

/** Convolution with bf16 operands and f32 sums: implicit product on a rounded picture.
 *
 *  Phase 0 rounds the picture, once, into the layout that phase 1 reads in place: blocks of 32
 *  channels (the last filled up with zeros); in a block a plane for each remainder of row and
 * column by the strides, so that neighbouring outputs read neighbouring pixels; in a plane rows of
 * `pitch` pixels that end in zeros, which are the next row's left border as well. So output pixels
 * lie at one distance from each other all over the plane, also from row to row: a product takes
 * many rows at once and drops the pitch - ow pixels between them.
 *
 *  A picture that comes in bf16 is only laid out; the result is written as its tensor's type says.
 *
 *      left | row -top: zeros        pitch pixels |  ...  | row 0: wide pixels, zeros | row 1 ...
 */
typedef struct op_conv_bf16 {
    op_patch g;
    size_t blocks, steps; /* blocks of channels; steps of k: blocks * kh * kw */
    size_t top, left, rows, wide, pitch;
    size_t plane, block, image;    /* elements */
    size_t row_blocks, col_blocks; /* tasks of an image */
    size_t nr;                     /* columns of a panel */
} op_conv_bf16;

/** Is this layer done so? Not depthwise and grouped ones, nor with few channels: a block would be
 *  empty for the most part, and a picture's own values lose by rounding what they gain in time. */
bool op_conv_bf16_fits(const prelu_node *n, const prelu_shape *w);
op_conv_bf16 op_conv_bf16_cut(const op_patch *g, const krn_table *krn);
/** Bytes of all panels for filters (o, c, taps). */
size_t op_conv_bf16_packed(const krn_table *krn, size_t o, size_t c, size_t taps);
/** Fill panels from filters as in the file. */
void op_conv_bf16_pack(const krn_table *krn, uint16_t *panels, const op_file_f32 *w, size_t o,
                       size_t c, size_t taps, prelu_pool *pool);
prelu_status op_conv_bf16_work(const op_conv_bf16 *p, op_work *work, prelu_err *err);
void op_conv_bf16_task(const op_conv_bf16 *p, const krn_table *krn, const op_exec *x,
                       const uint16_t *panels, const krn_epilogue *ep, int phase, size_t task,
                       void *scratch);
#endif
