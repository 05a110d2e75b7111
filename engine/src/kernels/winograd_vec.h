#ifndef KRN_WINOGRAD_VEC_H
#define KRN_WINOGRAD_VEC_H
#include "kernels/vec_finish.h"

/* The transforms of winograd.h over vectors; included by one file for each instruction set, after
 * its vec_*.h. */
enum { N = KRN_WINOGRAD_N, MOST = KRN_WINOGRAD_MOST_SIDE };

#define P1 0.70710678118654752440 /* the points; P1^2 = 1/2, P2^2 = 2, (P1 P2)^2 = 1 */
#define P2 1.41421356237309504880
#define S1 (-2.0 / 3.0) /* 1/M'(+-P1) */
#define S2 (1.0 / 6.0)  /* 1/M'(+-P2) */

INLINE void input_1d(vec o[N], const vec d[N])
{
    const vec e1 = FNMA(SET(2.0), d[2], d[4]), o1 = FNMA(SET(2.0), d[1], d[3]);
    const vec e2 = FNMA(SET(0.5), d[2], d[4]), o2 = FNMA(SET(0.5), d[1], d[3]);
    o[0] = FNMA(SET(2.5), d[2], ADD(d[0], d[4]));
    o[1] = FMA(SET(P1), o1, e1);
    o[2] = FNMA(SET(P1), o1, e1);
    o[3] = FMA(SET(P2), o2, e2);
    o[4] = FNMA(SET(P2), o2, e2);
    o[5] = FNMA(SET(2.5), d[3], ADD(d[1], d[5]));
}

/* A short tile: elements 3 and 4 do not exist. */
INLINE void input_1d_short(vec o[N], const vec d[N])
{
    o[0] = FNMA(SET(0.5), d[0], d[2]);
    o[1] = FMA(SET(P1), d[1], d[2]);
    o[2] = FNMA(SET(P1), d[1], d[2]);
    o[3] = o[4] = ZERO;
    o[5] = FNMA(SET(0.5), d[1], d[3]);
}

/* The outputs that a short tile has: the first 2, or 3. */
INLINE void output_1d_short(vec o[MOST], const vec m[N], const int taps)
{
    o[0] = FNMA(SET(2.0), m[0], ADD(m[1], m[2]));
    o[1] = taps == 3 ? FMA(SET(P1), SUB(m[1], m[2]), m[5]) : MUL(SET(P1), SUB(m[1], m[2]));
    o[2] = taps == 3 ? ZERO : FMA(SET(0.5), ADD(m[1], m[2]), m[5]);
    o[3] = o[4] = ZERO;
}

/* Is there an element i in this direction? */
INLINE bool exists(int i, bool is_short) { return !is_short || i < 3 || i == 5; }

/* Row `row` of G times the taps of one column, `by` floats apart. */
INLINE vec filter_in(const float *g, size_t by, int row, bool whole, lanes mask, const int taps)
{
    if (taps == 2) {
        const vec a = row == 5 ? ZERO : whole ? LOAD(g) : MLOAD(mask, g);
        const vec b = row == 0 ? ZERO : whole ? LOAD(g + by) : MLOAD(mask, g + by);
        const vec p = SET(row <= 2 ? P1 : P2);
        return row == 0 ? a : row == 5 ? b : row % 2 ? FMA(p, b, a) : FNMA(p, b, a);
    }
    const vec g0 = row == 5 ? ZERO : whole ? LOAD(g) : MLOAD(mask, g);
    const vec g2 = row == 0 ? ZERO : whole ? LOAD(g + 2 * by) : MLOAD(mask, g + 2 * by);
    if (row == 0)
        return g0;
    if (row == 5)
        return g2;
    const vec g1 = whole ? LOAD(g + by) : MLOAD(mask, g + by);
    const vec p = SET(row <= 2 ? P1 : P2), e = FMA(SET(row <= 2 ? 0.5 : 2.0), g2, g0);
    return row % 2 ? FMA(p, g1, e) : FNMA(p, g1, e);
}

INLINE void filter_1d(vec o[N], const vec g[3], const int taps)
{
    const vec e1 = taps == 3 ? FMA(SET(0.5), g[2], g[0]) : g[0];
    const vec e2 = taps == 3 ? FMA(SET(2.0), g[2], g[0]) : g[0];
    o[0] = g[0];
    o[1] = FMA(SET(P1), g[1], e1);
    o[2] = FNMA(SET(P1), g[1], e1);
    o[3] = FMA(SET(P2), g[1], e2);
    o[4] = FNMA(SET(P2), g[1], e2);
    o[5] = g[taps - 1];
}

INLINE void output_1d(vec o[MOST], const vec m[N], const int taps)
{
    const vec e1 = ADD(m[1], m[2]), o1 = SUB(m[1], m[2]), e2 = ADD(m[3], m[4]),
              o2 = SUB(m[3], m[4]);
    o[0] = FMA(SET(S1), e1, FMA(SET(S2), e2, m[0]));
    o[1] = FMA(SET(S1 * P1), o1, MUL(SET(S2 * P2), o2));
    o[2] = FMA(SET(S1 * 0.5), e1, MUL(SET(S2 * 2.0), e2));
    if (taps == 3) {
        o[3] = FMA(SET(S1 * 0.5 * P1), o1, FMA(SET(S2 * 2.0 * P2), o2, m[5]));
        o[4] = ZERO;
    } else {
        o[3] = FMA(SET(S1 * 0.5 * P1), o1, MUL(SET(S2 * 2.0 * P2), o2));
        o[4] = FMA(SET(S1 * 0.25), e1, FMA(SET(S2 * 4.0), e2, m[5]));
    }
}

/* ---- input ---------------------------------------------------------------------------------- */

/* From the transformed columns of the window: 36 stores in rising order. */
INLINE void input_rows(float *v, size_t step, const vec t[N][N])
{
#pragma GCC unroll 6
    for (int i = 0; i < N; i++) {
        const vec d[N] = {t[0][i], t[1][i], t[2][i], t[3][i], t[4][i], t[5][i]};
        vec o[N];
        input_1d(o, d);
#pragma GCC unroll 6
        for (int j = 0; j < N; j++, v += step)
            STORE(v, o[j]);
    }
}

/* What the picture's values are: krn_winograd_window's x, x rounded, or x16. */
typedef enum operand { F32, ROUNDED, BF16 } operand;

INLINE vec pixels(const krn_winograd_window *w, const operand kind, ptrdiff_t at)
{
    if (kind == BF16)
        return LOAD16(w->x16 + at);
    return kind == ROUNDED ? ROUND16(LOAD(w->x + at)) : LOAD(w->x + at);
}

INLINE vec some_pixels(const krn_winograd_window *w, const operand kind, ptrdiff_t at, lanes mask)
{
    if (kind == BF16)
        return MLOAD16(mask, w->x16 + at);
    return kind == ROUNDED ? ROUND16(MLOAD(mask, w->x + at)) : MLOAD(mask, w->x + at);
}

/* All 36 pixels inside; `at` is the first. */
INLINE void input_inner(float *v, size_t step, const krn_winograd_window *w, const operand kind,
                        ptrdiff_t at)
{
    vec t[N][N];
#pragma GCC unroll 6
    for (int j = 0; j < N; j++, at += w->col) {
        vec d[N];
#pragma GCC unroll 6
        for (int i = 0; i < N; i++)
            d[i] = pixels(w, kind, at + i * w->row);
        input_1d(t[j], d);
    }
    input_rows(v, step, t);
}

/* At the border of the picture, and the last channels. */
INLINE void input_border(float *v, size_t step, const krn_winograd_window *w, const operand kind,
                         ptrdiff_t at, lanes mask)
{
    vec t[N][N];
#pragma GCC unroll 6
    for (int j = 0; j < N; j++) {
        vec d[N];
#pragma GCC unroll 6
        for (int i = 0; i < N; i++) {
            const bool in = i >= w->i0 && i < w->i1 && j >= w->j0 && j < w->j1;
            d[i] = in ? some_pixels(w, kind, at + i * w->row + j * w->col, mask) : ZERO;
        }
        if (w->short_i)
            input_1d_short(t[j], d);
        else
            input_1d(t[j], d);
    }
    for (int i = 0; i < N; i++) {
        vec d[N], o[N];
        for (int j = 0; j < N; j++)
            d[j] = t[j][i];
        if (w->short_j)
            input_1d_short(o, d);
        else
            input_1d(o, d);
        for (int j = 0; j < N; j++, v += step)
            if (exists(i, w->short_i) && exists(j, w->short_j))
                MSTORE(v, mask, o[j]);
    }
}

INLINE void input_of(float *v, size_t step, const krn_winograd_window *w, const operand kind,
                     size_t channels)
{
    const bool inside =
        w->i0 <= 0 && w->i1 >= N && w->j0 <= 0 && w->j1 >= N && !w->short_i && !w->short_j;
    size_t k = 0;
    for (; inside && k + LANES <= channels; k += LANES)
        input_inner(v + k, step, w, kind, w->at + (ptrdiff_t)k);
    for (; k < channels; k += LANES)
        input_border(v + k, step, w, kind, w->at + (ptrdiff_t)k,
                     FIRST(channels - k < LANES ? channels - k : LANES));
}

static void input(float *v, size_t step, const krn_winograd_window *w, size_t channels)
{
    if (w->x16)
        input_of(v, step, w, BF16, channels);
    else if (w->round)
        input_of(v, step, w, ROUNDED, channels);
    else
        input_of(v, step, w, F32, channels);
}

/* ---- filter --------------------------------------------------------------------------------- */

/* Nine (or four) streams in and six out by five (four) moving pointers, with base, base + d and
 * base + 2*d; KEEP makes the compiler hold them so instead of spilling fifteen. */
#define KEEP(p) __asm__("" : "+r"(p))

INLINE void filter_vec(float *const u[2], size_t step, const float *const g[3], size_t by, int row,
                       bool whole, lanes mask, const int taps)
{
    vec t[3], o[N];
#pragma GCC unroll 3
    for (int j = 0; j < taps; j++)
        t[j] = filter_in(g[j], by, row, whole, mask, taps);
    filter_1d(o, t, taps);
#pragma GCC unroll 6
    for (int j = 0; j < N; j++) {
        float *to = u[j / 3] + (size_t)(j % 3) * step;
        if (whole)
            STORE(to, o[j]);
        else
            MSTORE(to, mask, o[j]);
    }
}

INLINE void filter_row(float *u, size_t step, const float *g, size_t tap, size_t n, int row,
                       const int taps)
{
    const size_t by = (size_t)taps * tap;
    const float *from[3] = {g, g + tap, taps == 3 ? g + 2 * tap : g};
    float *to[2] = {u, u + 3 * step};
    size_t left = n;
    for (; left >= LANES; left -= LANES) {
        filter_vec(to, step, from, by, row, true, FIRST(LANES), taps);
#pragma GCC unroll 3
        for (int j = 0; j < taps; j++) {
            from[j] += LANES;
            KEEP(from[j]);
        }
        to[0] += LANES;
        to[1] += LANES;
        KEEP(to[0]);
        KEEP(to[1]);
    }
    if (left)
        filter_vec(to, step, from, by, row, false, FIRST(left), taps);
}

INLINE void filter_any(float *u, size_t step, const float *g, size_t tap, size_t n, int row,
                       const int taps)
{
    switch (row) {
    case 0:
        filter_row(u, step, g, tap, n, 0, taps);
        break;
    case 1:
        filter_row(u, step, g, tap, n, 1, taps);
        break;
    case 2:
        filter_row(u, step, g, tap, n, 2, taps);
        break;
    case 3:
        filter_row(u, step, g, tap, n, 3, taps);
        break;
    case 4:
        filter_row(u, step, g, tap, n, 4, taps);
        break;
    default:
        filter_row(u, step, g, tap, n, 5, taps);
    }
}

static void filter(float *u, size_t step, const float *g, size_t tap, size_t n, int row)
{
    filter_any(u, step, g, tap, n, row, 3);
}

static void filter_2x2(float *u, size_t step, const float *g, size_t tap, size_t n, int row)
{
    filter_any(u, step, g, tap, n, row, 2);
}
#endif
