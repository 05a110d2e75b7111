#ifndef OP_CONV_H
#define OP_CONV_H
#include "ops/patch.h"
#include "ops/product.h"

/** Implicit GEMM over packed filters, shared by Conv and its gradient with respect to x: for each
 *  block of output pixels the patches' part kc is laid out in scratch (L2) and multiplied with the
 *  panels. Output pixel = row, output channel = column, reduction order (kh, kw, c). */
typedef struct op_conv_plan {
    op_patch g;
    size_t k, panels, panel_len; /* of one group; floats of a panel */
    size_t pixel_blocks, col_blocks, lda, part;
    krn_round_bf16_fn *round; /* of the patches, or NULL; set after op_conv_cut */
} op_conv_plan;

op_conv_plan op_conv_cut(const op_patch *g, const krn_gemm *krn);
/** Fill tasks, flops, scratch of one phase. */
void op_conv_work(const op_conv_plan *p, const krn_gemm *krn, op_work *work, int phase);
/** What one task covers. */
typedef struct op_conv_block {
    size_t image, group;
    op_range col, pix; /* output channels within the group, output pixels of the image */
    size_t first, at;  /* first output channel of all; where the block's first value lies in y */
} op_conv_block;
op_conv_block op_conv_block_of(const op_conv_plan *p, const krn_gemm *krn, size_t task);
/** The layer's epilogue, moved to a block; ldr = channels of y. */
krn_epilogue op_conv_epilogue(const krn_epilogue *ep, const op_conv_block *b, size_t ldr);
/** @param ep of all output channels, or NULL; residual has y's layout. */
void op_conv_task(const op_conv_plan *p, const krn_gemm *krn, const float *x, const float *panels,
                  float *y, const krn_epilogue *ep, size_t task, float *scratch);
/** Floats of all packed panels. */
size_t op_conv_packed(const op_conv_plan *p);
#endif
