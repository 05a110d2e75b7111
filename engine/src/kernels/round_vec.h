#ifndef KRN_ROUND_VEC_H
#define KRN_ROUND_VEC_H
#include "kernels/vec_finish.h"

/* to_bf16 and round_bf16 over vectors; included by one file for each instruction set, after its
 * vec_*.h. */
INLINE void to_bf16(uint16_t *dst, const float *src, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        STORE16(dst + i, ROUND16(LOAD(src + i)));
    if (i < n)
        MSTORE16(dst + i, FIRST(n - i), ROUND16(MLOAD(FIRST(n - i), src + i)));
}

INLINE void round_bf16(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        STORE(y + i, ROUND16(LOAD(x + i)));
    if (i < n)
        MSTORE(y + i, FIRST(n - i), ROUND16(MLOAD(FIRST(n - i), x + i)));
}

INLINE void widen_bf16(float *dst, const uint16_t *src, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        STORE(dst + i, LOAD16(src + i));
    if (i < n)
        MSTORE(dst + i, FIRST(n - i), MLOAD16(FIRST(n - i), src + i));
}
#endif
