#ifndef PRELU_TEST_CHECK_WINOGRAD_H
#define PRELU_TEST_CHECK_WINOGRAD_H
#include "kernels/kernels.h"

/** The contracts of kernels/winograd.h, tried: NULL, or what a variant did wrong (static text). The
 *  transforms against B', G and A' made here from the interpolation points, in double, within some
 *  roundings of the sum of |terms|; every border, channel counts 1, 2, vector +- 1 and odd, every
 *  epilogue; the product on integers, bit-equal. Nothing outside is read (NaN lies there) or
 *  written; an element's bits are the same alone. */
const char *check_winograd_f32_text(const krn_winograd *v);
#endif
