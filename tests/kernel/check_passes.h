#ifndef PRELU_TEST_CHECK_PASSES_H
#define PRELU_TEST_CHECK_PASSES_H
#include "kernels/kernels.h"

/** The contract of kernels/passes.h, tried: NULL, or what a variant did wrong (static text). Every
 *  function against plain loops in double, within a few roundings of its terms; 1, 2, vector +- 1
 *  and odd channels; with and without slopes; in place where that is allowed; sums are added to;
 *  nothing outside is written; the same bits as the reference variant. */
const char *check_passes_f32_text(const krn_passes *v);
#endif
