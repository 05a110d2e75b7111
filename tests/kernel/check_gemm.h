#ifndef PRELU_TEST_CHECK_GEMM_H
#define PRELU_TEST_CHECK_GEMM_H
#include "kernels/kernels.h"

/** The contract of krn_gemm, tried: NULL, or what a variant did wrong (static text). Sizes 1, 2,
 *  tile - 1, tile, tile + 1 and odd; both ways of striding a; accumulate and not; every epilogue;
 *  integers -8..8 bit-equal, reals within (k + 1) 2^-24 sum |a b|; guard bands; a row's bits the
 * same alone and among others, and with k cut in parts (not for OpenBLAS, see `invariant`). */
const char *check_gemm_f32_text(const krn_gemm *v, bool invariant);
#endif
