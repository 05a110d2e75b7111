#ifndef OP_CONV_BF16_TRAIN_H
#define OP_CONV_BF16_TRAIN_H
#include "ops/conv_bf16.h"

/** Variable filters (o,kh,kw,c) for op_conv_bf16, one panel from column `first` on. */
typedef void op_conv_bf16_pack_fn(uint16_t *panel, const op_patch *g, const krn_table *krn,
                                  const float *w, size_t first);
/** Of the convolution g. */
op_conv_bf16_pack_fn op_conv_bf16_pack_filters;
/** Of a transposed convolution g: turned by 180 degrees, its inputs being the filters' outputs. */
op_conv_bf16_pack_fn op_conv_bf16_pack_turned;

/** The filters' gradient, dw (o,kh,kw,c) = sum over images and pixels of dy * x, with strides of 1,
 *  as products whose depth is the pixels. Maps are laid out with one pitch, so that a tap is an
 *  offset into x:
 *
 *      phase 0   dy  -> rows [image][output][pixel], zeros between and after the picture's rows
 *                x   -> pairs of pixels [image][panel of channels][pair][nr][2], once from pixel 0
 *                       on and once from pixel 1 on: a tap may lie at an odd offset
 *      phase 1   a tap x some channels x a share of the images:  dw[o][tap][c] += dy x
 *      phase 2   the shares are added up in order, if there are several
 *
 *  What stands beyond the picture's columns in x is multiplied with zeros of dy, or is zero. */
typedef struct op_conv_bf16_grad {
    op_patch g;
    const krn_table *krn;
    size_t pitch, top, lead; /* zeros before x's first row: `top` rows and `lead` pixels */
    size_t pixels, lda;      /* depth of a product of one image; elements of a row of dy */
    size_t plane;            /* pixels of x with all that taps reach, even */
    size_t panels, col_blocks, shares;
    size_t rows_image, pairs_image; /* elements */
} op_conv_bf16_grad;

op_conv_bf16_grad op_conv_bf16_grad_cut(const op_patch *g, const krn_table *krn);
prelu_status op_conv_bf16_grad_work(const op_conv_bf16_grad *p, op_work *work, prelu_err *err);
void op_conv_bf16_grad_task(const op_conv_bf16_grad *p, const float *x, const float *dy, float *dw,
                            void *shared, int phase, size_t task, void *scratch);
#endif
