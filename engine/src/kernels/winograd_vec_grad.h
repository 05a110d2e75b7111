#ifndef KRN_WINOGRAD_VEC_GRAD_H
#define KRN_WINOGRAD_VEC_GRAD_H
#include "kernels/winograd_vec.h"

/* The transforms of winograd_grad.h over vectors; included like winograd_vec.h, after it. */

INLINE void spread_1d(vec o[N], const vec d[MOST], const int taps)
{
    const vec d1 = taps == 3 ? d[2] : FMA(SET(0.5), d[4], d[2]);
    const vec d2 = taps == 3 ? d[2] : FMA(SET(2.0), d[4], d[2]);
    const vec e1 = MUL(SET(S1), FMA(SET(0.5), d1, d[0]));
    const vec e2 = MUL(SET(S2), FMA(SET(2.0), d2, d[0]));
    const vec o1 = FMA(SET(0.5), d[3], d[1]), o2 = FMA(SET(2.0), d[3], d[1]);
    o[0] = d[0];
    o[1] = FMA(SET(S1 * P1), o1, e1);
    o[2] = FNMA(SET(S1 * P1), o1, e1);
    o[3] = FMA(SET(S2 * P2), o2, e2);
    o[4] = FNMA(SET(S2 * P2), o2, e2);
    o[5] = d[N - taps];
}

INLINE void gather_1d(vec o[3], const vec m[N], const int taps)
{
    const vec e1 = ADD(m[1], m[2]), e2 = ADD(m[3], m[4]);
    const vec odd = FMA(SET(P1), SUB(m[1], m[2]), MUL(SET(P2), SUB(m[3], m[4])));
    o[0] = ADD(ADD(m[0], e1), e2);
    o[1] = taps == 3 ? odd : ADD(odd, m[5]);
    o[2] = taps == 3 ? FMA(SET(0.5), e1, FMA(SET(2.0), e2, m[5])) : ZERO;
}

INLINE void spread_vec(float *y, size_t step, const krn_winograd_window *w, size_t channel,
                       bool inside, lanes mask, const int taps)
{
    const float *x = w->x + w->at + channel;
    const int side = N + 1 - taps;
    vec t[N][MOST];
#pragma GCC unroll 5
    for (int j = 0; j < side; j++) {
        vec d[MOST], o[N];
#pragma GCC unroll 5
        for (int i = 0; i < side; i++) {
            const bool in = inside || (i >= w->i0 && i < w->i1 && j >= w->j0 && j < w->j1);
            d[i] = in ? MLOAD(mask, x + i * w->row + j * w->col) : ZERO;
        }
        spread_1d(o, d, taps);
#pragma GCC unroll 6
        for (int i = 0; i < N; i++)
            t[i][j] = o[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < N; i++) {
        vec o[N];
        spread_1d(o, t[i], taps);
#pragma GCC unroll 6
        for (int j = 0; j < N; j++, y += step)
            MSTORE(y, mask, o[j]);
    }
}

INLINE void spread_any(float *y, size_t step, const krn_winograd_window *w, size_t channels,
                       const int taps)
{
    const int side = N + 1 - taps;
    const bool inside = w->i0 <= 0 && w->i1 >= side && w->j0 <= 0 && w->j1 >= side;
    for (size_t k = 0; k < channels; k += LANES) {
        const lanes mask = FIRST(channels - k < LANES ? channels - k : LANES);
        if (inside)
            spread_vec(y + k, step, w, k, true, mask, taps);
        else
            spread_vec(y + k, step, w, k, false, mask, taps);
    }
}

INLINE void gather_any(float *g, size_t tap, const float *m, size_t step, size_t n, const int taps)
{
    for (size_t k = 0; k < n; k += LANES) {
        const lanes mask = FIRST(n - k < LANES ? n - k : LANES);
        vec t[3][N];
#pragma GCC unroll 6
        for (int j = 0; j < N; j++) {
            vec d[N], o[3];
#pragma GCC unroll 6
            for (int i = 0; i < N; i++)
                d[i] = MLOAD(mask, m + (size_t)(N * i + j) * step + k);
            gather_1d(o, d, taps);
#pragma GCC unroll 3
            for (int i = 0; i < taps; i++)
                t[i][j] = o[i];
        }
#pragma GCC unroll 3
        for (int i = 0; i < taps; i++) {
            vec o[3];
            gather_1d(o, t[i], taps);
#pragma GCC unroll 3
            for (int j = 0; j < taps; j++)
                MSTORE(g + (size_t)(taps * i + j) * tap + k, mask, o[j]);
        }
    }
}

static void spread(float *y, size_t step, const krn_winograd_window *w, size_t channels)
{
    spread_any(y, step, w, channels, 3);
}

static void spread_2x2(float *y, size_t step, const krn_winograd_window *w, size_t channels)
{
    spread_any(y, step, w, channels, 2);
}

static void gather(float *g, size_t tap, const float *m, size_t step, size_t n)
{
    gather_any(g, tap, m, step, n, 3);
}

static void gather_2x2(float *g, size_t tap, const float *m, size_t step, size_t n)
{
    gather_any(g, tap, m, step, n, 2);
}
#endif
