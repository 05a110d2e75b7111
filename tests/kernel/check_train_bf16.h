#ifndef CHECK_TRAIN_BF16_H
#define CHECK_TRAIN_BF16_H
#include "kernels/kernels.h"

/** Products of training in bf16 by krn->gemm_bf16 with its `tiles` set, forward and backward, on
 * operands that they have to round: against double. */
void check_train_bf16(const krn_table *krn, const char *name);
#endif
