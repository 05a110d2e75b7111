#ifndef KRN_WINOGRAD_VEC_OUTPUT_H
#define KRN_WINOGRAD_VEC_OUTPUT_H
#include "kernels/winograd_vec.h"

/* ---- output --------------------------------------------------------------------------------- */

INLINE void output_vec(const krn_winograd_place *p, const float *m, size_t step, size_t k,
                       bool whole, lanes mask, const bool short_i, const bool short_j,
                       const int taps)
{
    const krn_epilogue *ep = p->ep;
    const vec bias = ep && ep->bias ? MLOAD(mask, ep->bias + k) : ZERO;
    const vec slope = ep && ep->act == KRN_ACT_PRELU ? MLOAD(mask, ep->slope + k) : ZERO;
    const int side = N + 1 - taps;
    vec t[MOST][N];
#pragma GCC unroll 6
    for (int j = 0; j < N; j++) {
        vec d[N], o[MOST];
#pragma GCC unroll 6
        for (int i = 0; i < N; i++) {
            const float *from = m + (size_t)(N * i + j) * step + k;
            if (!exists(i, short_i) || !exists(j, short_j))
                d[i] = ZERO;
            else
                d[i] = whole ? LOAD(from) : MLOAD(mask, from);
        }
        if (short_i)
            output_1d_short(o, d, taps);
        else
            output_1d(o, d, taps);
#pragma GCC unroll 5
        for (int i = 0; i < side; i++)
            t[i][j] = o[i];
    }
#pragma GCC unroll 5
    for (int i = 0; i < side; i++) {
        vec o[MOST];
        if (i >= p->rows)
            break;
        if (short_j)
            output_1d_short(o, t[i], taps);
        else
            output_1d(o, t[i], taps);
#pragma GCC unroll 5
        for (int j = 0; j < side; j++) {
            const size_t at = (size_t)i * p->row + (size_t)j * p->col;
            if (j >= p->cols)
                break;
            if (ep)
                o[j] = finish(o[j], ep, at + k, mask, bias, slope);
            if (p->y16 && whole)
                STORE16(p->y16 + at + k, ROUND16(o[j]));
            else if (p->y16)
                MSTORE16(p->y16 + at + k, mask, ROUND16(o[j]));
            else if (whole)
                STORE(p->y + at + k, o[j]);
            else
                MSTORE(p->y + at + k, mask, o[j]);
        }
    }
}

INLINE void output_tile(const krn_winograd_place *p, const float *m, size_t step, size_t channels,
                        const bool short_i, const bool short_j, const int taps)
{
    size_t k = 0;
    for (; k + LANES <= channels; k += LANES)
        output_vec(p, m, step, k, true, FIRST(LANES), short_i, short_j, taps);
    if (k < channels)
        output_vec(p, m, step, k, false, FIRST(channels - k), short_i, short_j, taps);
}

INLINE void output_any(const krn_winograd_place *p, const float *m, size_t step, size_t channels,
                       const int taps)
{
    const size_t side = (size_t)(N + 1 - taps);
    const bool i = krn_winograd_short(side, (size_t)p->rows);
    const bool j = krn_winograd_short(side, (size_t)p->cols);
    if (i && j)
        output_tile(p, m, step, channels, true, true, taps);
    else if (i)
        output_tile(p, m, step, channels, true, false, taps);
    else if (j)
        output_tile(p, m, step, channels, false, true, taps);
    else
        output_tile(p, m, step, channels, false, false, taps);
}

static void output(const krn_winograd_place *p, const float *m, size_t step, size_t channels)
{
    output_any(p, m, step, channels, 3);
}

static void output_2x2(const krn_winograd_place *p, const float *m, size_t step, size_t channels)
{
    output_any(p, m, step, channels, 2);
}
#endif
