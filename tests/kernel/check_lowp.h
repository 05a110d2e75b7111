#ifndef PRELU_TEST_CHECK_LOWP_H
#define PRELU_TEST_CHECK_LOWP_H
#include "kernels/kernels.h"

/** The contracts of the bf16 and int8-weight products and of the rounding: against sums in double
 * of the rounded operands, sizes around the tile, accumulating in parts, epilogues, guard bands, a
 * row's bits alone and among others; integers exact. NULL, or what is wrong (static text). */
const char *check_gemm_bf16_text(const krn_gemm_bf16 *v);
const char *check_gemm_i8_text(const krn_gemm_i8 *v);
const char *check_to_bf16_text(krn_to_bf16_fn *fn);
void check_gemm_bf16(const krn_gemm_bf16 *v, const char *name);
void check_gemm_i8(const krn_gemm_i8 *v, const char *name);
void check_to_bf16(krn_to_bf16_fn *fn, const char *name);
#endif
