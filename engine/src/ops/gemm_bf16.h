#ifndef OP_GEMM_BF16_H
#define OP_GEMM_BF16_H
#include "ops/product.h"

/** Variable operands of a product, rounded to bf16 into what krn_gemm_bf16 takes. */

/** k filled up with zeros to whole steps. */
static inline size_t op_bf16_depth(size_t k)
{
    return (k + KRN_BF16_K - 1) / KRN_BF16_K * KRN_BF16_K;
}
/** Row stride of a: off the powers of two, as op_lda. */
static inline size_t op_bf16_lda(size_t depth) { return depth + KRN_BF16_K; }

/** Columns first.. of b as one panel; b is (n,k) if `rows`, else (k,n). */
void op_bf16_panel(uint16_t *panel, const krn_table *krn, const float *b, bool rows, size_t n,
                   size_t k, size_t first);
/** Rows row.from..row.to-1 of a, op_bf16_lda apart; a is (k,m) if `turned`, else (m,k).
 *  @param dst  of row 0. */
void op_bf16_rows(uint16_t *dst, const krn_table *krn, const float *a, bool turned, size_t m,
                  size_t k, op_range row);
#endif
