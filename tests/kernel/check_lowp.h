#ifndef PRELU_TEST_CHECK_LOWP_H
#define PRELU_TEST_CHECK_LOWP_H
#include "kernels/kernels.h"

/** The contracts of the bf16 product, of those with narrow weights and of the rounding: against
 * sums in double of the rounded operands, sizes around the tile, accumulating in parts, epilogues,
 * guard bands, a row's bits alone and among others; integers exact. With narrow weights, the bits
 * of `wide` on widened panels too, unless that is NULL. NULL, or what is wrong (static text). */
const char *check_gemm_bf16_text(const krn_gemm_bf16 *v);
const char *check_gemm_narrow_text(const krn_gemm_narrow *v, const krn_gemm *wide);
const char *check_to_bf16_text(krn_to_bf16_fn *fn);
void check_gemm_bf16(const krn_gemm_bf16 *v, const char *name);
void check_gemm_i8(const krn_gemm_narrow *v, const char *name);
void check_gemm_w16(const krn_gemm_narrow *v, const char *name);
const char *check_round_bf16_text(krn_round_bf16_fn *fn);
void check_to_bf16(krn_to_bf16_fn *fn, const char *name);
void check_round_bf16(krn_round_bf16_fn *fn, const char *name);
#endif
