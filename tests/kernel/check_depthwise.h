#ifndef PRELU_TEST_CHECK_DEPTHWISE_H
#define PRELU_TEST_CHECK_DEPTHWISE_H
#include "kernels/kernels.h"

/** The contract of kernels/depthwise.h, tried: NULL, or what a variant did wrong (static text).
 *  Integers, bit-equal to a sum made here; channels 1, 2, vector +- 1 and odd, every border,
 * stride, dilation and epilogue; nothing outside is read (NaN lies there) or written; a pixel's
 * bits are the same alone. */
const char *check_depthwise_f32_text(krn_depthwise_f32_fn *fn);
void check_depthwise_f32(krn_depthwise_f32_fn *fn, const char *name);
#endif
