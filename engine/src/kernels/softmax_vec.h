#ifndef KRN_SOFTMAX_VEC_H
#define KRN_SOFTMAX_VEC_H
#include "kernels/vec_finish.h"

/* Softmax over vectors; included by one file for each instruction set, after its vec_*.h. NaN and
 * infinities come out as in softmax_ref.c: MAX(a, b) is b where either is NaN. */

/* exp(d) of d <= 0, within 2 ulp: d = n ln 2 + r, |r| <= ln 2 / 2, and r's power series, of which
 * the first term left out is below 2^-27. 2^n comes in two factors, so that denormals come out. */
INLINE vec exp_vec(vec d)
{
    static const float series[] = {1 / 5040.0f, 1 / 720.0f, 1 / 120.0f, 1 / 24.0f,
                                   1 / 6.0f,    0.5f,       1.0f,       1.0f};
    d = MAX(SET(-105.0f), d); /* where it is 0 */
    const vec n = NEAREST(MUL(d, SET(1.44269504f))), half = NEAREST(MUL(n, SET(0.5f)));
    const vec r = FNMA(n, SET(-2.12194440e-4f), FNMA(n, SET(0.693359375f), d));
    vec p = SET(series[0]);
    for (size_t i = 1; i < sizeof series / sizeof *series; i++)
        p = FMA(p, r, SET(series[i]));
    return MUL(MUL(p, POWER2(half)), POWER2(SUB(n, half)));
}

static double row_sum(const float *y, size_t c)
{
    enum { PARTS = 8 };
    double part[PARTS] = {0}, sum = 0;
    size_t j = 0;
    for (; j + PARTS <= c; j += PARTS)
        for (size_t k = 0; k < PARTS; k++)
            part[k] += (double)y[j + k];
    for (size_t k = 0; k < PARTS; k++)
        sum += part[k];
    for (; j < c; j++)
        sum += (double)y[j];
    return sum;
}

static float row_max(const float *x, size_t c)
{
    float lane[LANES];
    vec most = SET(x[0]);
    size_t j = 0;
    for (; j + LANES <= c; j += LANES)
        most = MAX(LOAD(x + j), most);
    STORE(lane, most);
    float max = lane[0];
    for (size_t k = 1; k < LANES; k++)
        max = lane[k] > max ? lane[k] : max;
    for (; j < c; j++)
        max = x[j] > max ? x[j] : max;
    return max;
}

INLINE void softmax(float *y, const float *x, size_t rows, size_t c)
{
    const size_t whole = c / LANES * LANES;
    const lanes tail = FIRST(c - whole);
    for (size_t r = 0; r < rows; r++, x += c, y += c) {
        const vec max = SET(row_max(x, c));
        for (size_t j = 0; j < whole; j += LANES)
            STORE(y + j, exp_vec(SUB(LOAD(x + j), max)));
        if (whole < c)
            MSTORE(y + whole, tail, exp_vec(SUB(MLOAD(tail, x + whole), max)));
        const vec scale = SET(1.0 / row_sum(y, c));
        for (size_t j = 0; j < whole; j += LANES)
            STORE(y + j, MUL(LOAD(y + j), scale));
        if (whole < c)
            MSTORE(y + whole, tail, MUL(MLOAD(tail, y + whole), scale));
    }
}
#endif
