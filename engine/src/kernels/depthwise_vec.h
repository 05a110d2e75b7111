#ifndef KRN_DEPTHWISE_VEC_H
#define KRN_DEPTHWISE_VEC_H
#include "kernels/vec_finish.h"

/* depthwise.h over vectors; included once for each instruction set, after its vec_*.h. WIDE pixels
 * side by side share the loads of the filter; pixels at the picture's sides go one by one. */
enum { WIDE = 6 };

/* A vector of channels from k on, of P pixels from p on that have the same taps. */
INLINE void channels(const krn_depthwise_args *g, size_t p, const int P, krn_taps in, size_t k,
                     bool whole, lanes mask)
{
    const krn_epilogue *ep = g->ep;
    const size_t by = g->stride * g->c, dil = g->dilation * g->c;
    const ptrdiff_t at = (ptrdiff_t)g->first + (ptrdiff_t)(p * g->stride + in.from * g->dilation);
    const float *from = g->x + at * (ptrdiff_t)g->c + k, *f = g->f + in.from * g->c + k;
    vec sum[WIDE];
    for (int q = 0; q < P; q++)
        sum[q] = ZERO;
    for (size_t i = 0; i < g->kh; i++, from += g->row, f += g->kw * g->c)
        for (size_t j = 0; j < in.to - in.from; j++) {
            const vec w = whole ? LOAD(f + j * g->c) : MLOAD(mask, f + j * g->c);
#pragma GCC unroll 6
            for (int q = 0; q < P; q++) {
                const float *x = from + j * dil + (size_t)q * by;
                sum[q] = FMA(whole ? LOAD(x) : MLOAD(mask, x), w, sum[q]);
            }
        }
    const vec bias = ep && ep->bias ? MLOAD(mask, ep->bias + k) : ZERO;
    const vec slope = ep && ep->act == KRN_ACT_PRELU ? MLOAD(mask, ep->slope + k) : ZERO;
#pragma GCC unroll 6
    for (int q = 0; q < P; q++) {
        const size_t to = (p + (size_t)q) * g->c + k;
        if (ep)
            sum[q] = finish(sum[q], ep, to, mask, bias, slope);
        if (whole)
            STORE(g->y + to, sum[q]);
        else
            MSTORE(g->y + to, mask, sum[q]);
    }
}

INLINE void pixels(const krn_depthwise_args *g, size_t p, const int P, krn_taps in)
{
    size_t k = 0;
    for (; k + LANES <= g->c; k += LANES)
        channels(g, p, P, in, k, true, FIRST(LANES));
    if (k < g->c)
        channels(g, p, P, in, k, false, FIRST(g->c - k));
}

static void inner(const krn_depthwise_args *g, size_t p, krn_taps in) { pixels(g, p, WIDE, in); }

static void single(const krn_depthwise_args *g, size_t p, krn_taps in) { pixels(g, p, 1, in); }

static void row_of_pixels(const krn_depthwise_args *g)
{
    for (size_t p = 0; p < g->ow;) {
        const krn_taps in = krn_depthwise_taps(g, p);
        const krn_taps last = krn_depthwise_taps(g, p + WIDE - 1);
        const bool same = in.from == last.from && in.to == last.to;
        if (p + WIDE <= g->ow && same && in.from == 0 && in.to == g->kw) {
            inner(g, p, in);
            p += WIDE;
        } else {
            single(g, p, in);
            p++;
        }
    }
}
#endif
