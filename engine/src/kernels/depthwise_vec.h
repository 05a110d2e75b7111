#ifndef KRN_DEPTHWISE_VEC_H
#define KRN_DEPTHWISE_VEC_H
#include "kernels/vec_finish.h"

/* depthwise.h over vectors; included once for each instruction set, after its vec_*.h. Up to WIDE
 * pixels side by side share the loads of the filter. Sums wait four cycles for themselves: enough
 * of them are under way when WIDE pixels take two vectors of channels, a pixel at the picture's
 * side alone takes DEEP. */
enum { WIDE = 6, DEEP = 4 };

/* V vectors of channels from k on, of P pixels from p on that have the same taps. */
INLINE void channels(const krn_depthwise_args *g, size_t p, const int P, const int V, krn_taps in,
                     size_t k, bool whole, lanes mask)
{
    const krn_epilogue *ep = g->ep;
    const size_t by = g->stride * g->c, dil = g->dilation * g->c;
    const ptrdiff_t at = (ptrdiff_t)g->first + (ptrdiff_t)(p * g->stride + in.from * g->dilation);
    const float *from = g->x + at * (ptrdiff_t)g->c + k, *f = g->f + in.from * g->c + k;
    vec sum[WIDE][DEEP];
#pragma GCC unroll 6
    for (int q = 0; q < P; q++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++)
            sum[q][v] = ZERO;
    for (size_t i = 0; i < g->kh; i++, from += g->row, f += g->kw * g->c) {
        const float *x = from, *w = f;
        for (size_t j = in.from; j < in.to; j++, x += dil, w += g->c) {
            vec tap[DEEP];
#pragma GCC unroll 4
            for (int v = 0; v < V; v++)
                tap[v] = whole ? LOAD(w + v * LANES) : MLOAD(mask, w + v * LANES);
#pragma GCC unroll 6
            for (int q = 0; q < P; q++)
#pragma GCC unroll 4
                for (int v = 0; v < V; v++) {
                    const float *here = x + (size_t)q * by + v * LANES;
                    sum[q][v] = FMA(whole ? LOAD(here) : MLOAD(mask, here), tap[v], sum[q][v]);
                }
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; v++, k += LANES) {
        const vec bias = ep && ep->bias ? MLOAD(mask, ep->bias + k) : ZERO;
        const vec slope = ep && ep->act == KRN_ACT_PRELU ? MLOAD(mask, ep->slope + k) : ZERO;
#pragma GCC unroll 6
        for (int q = 0; q < P; q++) {
            const size_t to = (p + (size_t)q) * g->c + k;
            if (ep)
                sum[q][v] = finish(sum[q][v], ep, to, mask, bias, slope);
            if (whole)
                STORE(g->y + to, sum[q][v]);
            else
                MSTORE(g->y + to, mask, sum[q][v]);
        }
    }
}

/* Channels k..to-1 of P pixels. */
INLINE void pixels(const krn_depthwise_args *g, size_t p, const int P, krn_taps in, size_t k,
                   size_t to)
{
    const int V = P == 1 ? DEEP : 2;
    const size_t most = (size_t)V * LANES;
    for (; k + most <= to; k += most)
        channels(g, p, P, V, in, k, true, FIRST(LANES));
    for (; k + LANES <= to; k += LANES)
        channels(g, p, P, 1, in, k, true, FIRST(LANES));
    if (k < to)
        channels(g, p, P, 1, in, k, false, FIRST(to - k));
}

typedef void pixels_fn(const krn_depthwise_args *g, size_t p, krn_taps in, size_t k, size_t to);
#define MAKE(n)                                                                                    \
    static void pixels_##n(const krn_depthwise_args *g, size_t p, krn_taps in, size_t k,           \
                           size_t to)                                                              \
    {                                                                                              \
        pixels(g, p, n, in, k, to);                                                                \
    }
MAKE(1)
MAKE(2)
MAKE(3)
MAKE(4)
MAKE(5)
MAKE(6)
#undef MAKE
static pixels_fn *const so_many[WIDE] = {pixels_1, pixels_2, pixels_3,
                                         pixels_4, pixels_5, pixels_6};

static int64_t up(int64_t a, int64_t b) { return a <= 0 ? 0 : (a + b - 1) / b; }

/* The pixels from..to-1 have all their taps in the picture. */
static krn_taps inner_pixels(const krn_depthwise_args *g)
{
    const int64_t stride = (int64_t)g->stride, ow = (int64_t)g->ow;
    const int64_t span = (int64_t)((g->kw - 1) * g->dilation);
    const int64_t from = up(-g->first, stride), to = up((int64_t)g->w - span - g->first, stride);
    const int64_t last = to < ow ? to : ow;
    return from < last ? (krn_taps){(size_t)from, (size_t)last} : (krn_taps){0, 0};
}

/* All pixels for some channels, then for the next: the taps' rows and the filter's part stay in L1
 * while neighbours share them. */
static void row_of_pixels(const krn_depthwise_args *g)
{
    const size_t chunk = 4 * LANES;
    const krn_taps inner = inner_pixels(g), all = {0, g->kw};
    for (size_t k = 0; k < g->c; k += chunk) {
        const size_t to = g->c - k < chunk ? g->c : k + chunk;
        for (size_t p = 0, n; p < g->ow; p += n) {
            const bool whole = p >= inner.from && p < inner.to;
            n = !whole ? 1 : inner.to - p < WIDE ? inner.to - p : WIDE;
            so_many[n - 1](g, p, whole ? all : krn_depthwise_taps(g, p), k, to);
        }
    }
}
#endif
