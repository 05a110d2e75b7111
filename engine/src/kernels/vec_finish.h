#ifndef KRN_VEC_FINISH_H
#define KRN_VEC_FINISH_H
#include "kernels/kernels.h"

/* Included after vec_avx2.h or vec_avx512.h. */
#define INLINE static inline __attribute__((always_inline))

/** The epilogue on one vector of finished sums; its residual begins at `at`. */
INLINE vec finish(vec v, const krn_epilogue *ep, size_t at, lanes mask, vec bias, vec slope)
{
    v = ADD(v, bias);
    if (ep->residual && !ep->residual_last)
        v = ADD(v, MLOAD(mask, ep->residual + at));
    if (ep->act == KRN_ACT_RELU)
        v = MAX(v, ZERO);
    else if (ep->act == KRN_ACT_PRELU)
        v = PICK_LOW(v, MUL(v, slope));
    if (ep->residual && ep->residual_last)
        v = ADD(v, MLOAD(mask, ep->residual + at));
    return v;
}
#endif
