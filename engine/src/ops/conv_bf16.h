#ifndef OP_CONV_BF16_H
#define OP_CONV_BF16_H
#include "ops/conv.h"
#include "prelu/threads.h"

/** Convolution with bf16 operands and f32 sums: the implicit product of conv.h on rounded patches
 * and filters. Activations stay f32 in memory and are rounded as their patches are laid out. */
typedef struct op_conv_bf16 {
    op_conv_plan p;
    size_t kp;        /* patch length filled up to KRN_BF16_K */
    size_t lda, ld16; /* row strides of the f32 and the rounded patches, elements */
} op_conv_bf16;

op_conv_bf16 op_conv_bf16_cut(const op_patch *g, const krn_table *krn);
/** Bytes of all panels for filters (o, c, taps) in groups. */
size_t op_conv_bf16_packed(const krn_table *krn, size_t o, size_t groups, size_t k);
/** Fill panels from filters as in the file. */
void op_conv_bf16_pack(const krn_table *krn, uint16_t *panels, const op_file_f32 *w, size_t o,
                       size_t groups, size_t c, size_t taps, prelu_pool *pool);
void op_conv_bf16_work(const op_conv_bf16 *p, const krn_table *krn, op_work *work);
void op_conv_bf16_task(const op_conv_bf16 *p, const krn_table *krn, const float *x,
                       const uint16_t *panels, float *y, const krn_epilogue *ep, size_t task,
                       void *scratch);
#endif
