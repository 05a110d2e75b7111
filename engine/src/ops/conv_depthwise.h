#ifndef OP_CONV_DEPTHWISE_H
#define OP_CONV_DEPTHWISE_H
#include "ops/patch.h"

/** Depthwise convolution (one filter for each channel) by rows of output pixels, without patches.
 */

/** Floats of the filters as the kernel wants them, [kh*kw][o]. */
void op_depthwise_pack(float *dst, const op_file_f32 *w, size_t o, size_t taps);
void op_depthwise_work(const op_patch *g, op_work *work);
/** @param ep of all channels, or NULL; residual has y's layout. */
void op_depthwise_task(const op_patch *g, const krn_table *krn, const float *x,
                       const float *filters, float *y, const krn_epilogue *ep, size_t task);
#endif
