#ifndef KRN_VERIFY_H
#define KRN_VERIFY_H
#include "kernels/kernels.h"

/** A look at a kernel before it is trusted with a model: one small product, with its tails, against
 *  the plain C variant of the slot. It costs microseconds, and finds a library or a CPU that
 * computes something else; tests/kernel looks closer. */

bool krn_gemm_f32_fits(const krn_gemm *k);
bool krn_gemm_bf16_fits(const krn_gemm_bf16 *k);
bool krn_gemm_narrow_fits(const krn_gemm_narrow *k);
bool krn_to_bf16_fits(krn_to_bf16_fn *fn);
bool krn_round_bf16_fits(krn_round_bf16_fn *fn);

/** fits, and a warning when not. */
bool krn_trusted(bool fits, const char *name);
#endif
