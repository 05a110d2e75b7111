#ifndef PRELU_TEST_CHECK_CONV_BF16_H
#define PRELU_TEST_CHECK_CONV_BF16_H
#include "kernels/kernels.h"

/** Convolutions of random geometry at precision bf16, with this table's kernels: against sums in
 *  double over the rounded operands, and each picture's bits against the same alone. */
void check_conv_bf16(const krn_table *krn, const char *name);
#endif
