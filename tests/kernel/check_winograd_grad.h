#ifndef PRELU_TEST_CHECK_WINOGRAD_GRAD_H
#define PRELU_TEST_CHECK_WINOGRAD_GRAD_H
#include "kernels/kernels.h"

/** The contracts of kernels/winograd_grad.h, tried: NULL, or what a variant did wrong (static
 *  text). The transforms against A and G' made from the interpolation points, in double, within
 *  some roundings of the sum of |terms|; every border; channel counts 1, 2, vector +- 1 and odd;
 *  nothing outside is read (NaN lies there) or written; an element's bits are the same alone. */
const char *check_winograd_grad_f32_text(const krn_winograd_grad *v);
#endif
