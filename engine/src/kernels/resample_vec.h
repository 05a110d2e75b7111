#ifndef KRN_RESAMPLE_VEC_H
#define KRN_RESAMPLE_VEC_H
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

/* Resampling over vectors of LANES lanes of 128 bits; included once for each instruction set, after
 * its vocabulary (AVX2 and AVX-512 know the same operations by other names):
 * words; ZERO, LOAD STORE (any address), SET32(i); ADD32 SHL32(v, n) SAR32(v, n) MADD (as
 * integers); SHUFFLE8(v, order), UNPACK_LOW8 UNPACK_HIGH8, PACK32 PACK16 (unsigned), all within
 * lanes; EACH_LANE(v128); LANES_OF(f): lane i is f(i); IN_ORDER(v): from lane i holding pixels i, i
 * + LANES, i + 2 LANES, i + 3 LANES, four bytes each, to all in their order; STORE_PIXELS(p, v):
 * the first 12 bytes of each lane side by side.
 *
 * A weight of 22 bits does not fit a 16-bit multiply-add, its halves do: w = hi * 2^11 + lo, so
 * sum p*w = (sum p*hi) * 2^11 + sum p*lo, exactly. */
#define HALF (1 << (KRN_WEIGHT_BITS - 1))
#define INLINE static inline __attribute__((always_inline))
enum { BLOCK = 4 * LANES }; /* pixels that a row is made in */

INLINE words finish(words hi, words lo)
{
    const words sum = ADD32(ADD32(SHL32(hi, KRN_WEIGHT_LOW), lo), SET32(HALF));
    return SAR32(sum, KRN_WEIGHT_BITS);
}

/* Four RGB pixels and four bytes more. At the end of a row of 16 bytes or more, where `left` bytes
 * are left, 0 beyond. */
INLINE __m128i pixels_at(const uint8_t *p, size_t left, const bool end)
{
    static const int8_t order[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                     11, 12, 13, 14, 15, -1, -1, -1, -1, -1, -1,
                                     -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    const size_t back = end && left < 16 ? 16 - left : 0;
    const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p - back));
    if (!end)
        return v;
    return _mm_shuffle_epi8(v, _mm_loadu_si128((const __m128i *)(const void *)(order + back)));
}

/* LANES output pixels, a lane each, as 32-bit r g b 0. @param k their weights. */
INLINE words pixels(const uint8_t *src, size_t len, const int *first, const int16_t *k,
                    const size_t groups, const bool end)
{
    const __m128i order01 = _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
    const __m128i order23 =
        _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    words hi = ZERO, lo = ZERO;
    for (size_t g = 0; g < groups; g++, k += 4 * KRN_QUAD) {
#define PIXELS(i)                                                                                  \
    pixels_at(src + 3 * (size_t)first[i] + 12 * g, len - 3 * (size_t)first[i] - 12 * g, end)
        const words v = LANES_OF(PIXELS);
#undef PIXELS
        const words v01 = SHUFFLE8(v, EACH_LANE(order01)), v23 = SHUFFLE8(v, EACH_LANE(order23));
        hi = ADD32(hi, ADD32(MADD(v01, LOAD(k)), MADD(v23, LOAD(k + KRN_QUAD))));
        lo = ADD32(lo, ADD32(MADD(v01, LOAD(k + 2 * KRN_QUAD)), MADD(v23, LOAD(k + 3 * KRN_QUAD))));
    }
    return finish(hi, lo);
}

INLINE words block(const uint8_t *src, size_t len, const int *first, const int16_t *k,
                   const size_t groups, const bool end)
{
    const __m128i packed = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    words sum[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const size_t at = (size_t)i * LANES; /* pixels of a quad have lanes beside each other */
        sum[i] = pixels(src, len, first + at, k + at / 4 * groups * 4 * KRN_QUAD + at % 4 * 8,
                        groups, end);
    }
    return SHUFFLE8(IN_ORDER(PACK16(PACK32(sum[0], sum[1]), PACK32(sum[2], sum[3]))),
                    EACH_LANE(packed));
}

INLINE void row(uint8_t *restrict dst, const uint8_t *restrict src, size_t len,
                const krn_resample_row *r, int n, const size_t groups)
{
    const size_t step = groups * BLOCK * KRN_QUAD;
    const int16_t *k = r->halves;
    const int *first = r->first;
    /* windows move to the right only, so what a block reads is bounded by its last one */
    for (; n > BLOCK && 3 * (size_t)first[BLOCK - 1] + 12 * groups + 4 <= len; n -= BLOCK) {
        STORE_PIXELS(dst, block(src, len, first, k, groups, false));
        dst += 3 * BLOCK;
        first += BLOCK;
        k += step;
    }
    for (; n > 0; n -= BLOCK) {
        uint8_t last[3 * BLOCK];
        STORE_PIXELS(last, block(src, len, first, k, groups, true));
        memcpy(dst, last, 3 * (size_t)(n < BLOCK ? n : BLOCK));
        dst += 3 * BLOCK;
        first += BLOCK;
        k += step;
    }
}

INLINE void all_rows(uint8_t *dst, const uint8_t *src, size_t len, const krn_resample_row *r, int n)
{
    const size_t groups = ((size_t)r->taps + 3) / 4;
    if (len < 16)
        krn_resample_row_u8__ref(dst, src, len, r, n);
    else if (groups == 1) /* up to half the size */
        row(dst, src, len, r, n, 1);
    else
        row(dst, src, len, r, n, groups);
}

/* Two words beside each other, as one multiply-add takes them. */
INLINE words both(int32_t first, int32_t second)
{
    return SET32((int32_t)((uint32_t)first | (uint32_t)second << 16));
}

/* The bytes of two rows interleave to words of a pair, four registers of sums. */
INLINE void column_block(uint8_t *restrict dst, const uint8_t *const *rows, const int32_t *weight,
                         const int taps, size_t at)
{
    const int low = (1 << KRN_WEIGHT_LOW) - 1;
    words hi[4] = {ZERO, ZERO, ZERO, ZERO}, lo[4] = {ZERO, ZERO, ZERO, ZERO};
    for (int t = 0; t < taps; t += 2) {
        const bool two = t + 1 < taps;
        const int32_t w0 = weight[t], w1 = two ? weight[t + 1] : 0;
        const words a = LOAD(rows[t] + at), b = two ? LOAD(rows[t + 1] + at) : ZERO;
        const words kh = both(w0 >> KRN_WEIGHT_LOW, w1 >> KRN_WEIGHT_LOW);
        const words kl = both(w0 & low, w1 & low);
        const words ab[2] = {UNPACK_LOW8(a, b), UNPACK_HIGH8(a, b)};
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const words v = i % 2 ? UNPACK_HIGH8(ab[i / 2], ZERO) : UNPACK_LOW8(ab[i / 2], ZERO);
            hi[i] = ADD32(hi[i], MADD(v, kh));
            lo[i] = ADD32(lo[i], MADD(v, kl));
        }
    }
    /* unpack and pack both work within 128-bit lanes, so the order comes back by itself */
    const words head = PACK32(finish(hi[0], lo[0]), finish(hi[1], lo[1]));
    const words tail = PACK32(finish(hi[2], lo[2]), finish(hi[3], lo[3]));
    STORE(dst + at, PACK16(head, tail));
}

INLINE void columns(uint8_t *restrict dst, const uint8_t *const *rows, const int32_t *weight,
                    const int taps, size_t len)
{
    for (size_t i = 0; i + sizeof(words) <= len; i += sizeof(words))
        column_block(dst, rows, weight, taps, i);
    if (len % sizeof(words)) /* some bytes are made twice */
        column_block(dst, rows, weight, taps, len - sizeof(words));
}

INLINE void all_columns(uint8_t *dst, const uint8_t *const *rows, const int32_t *weight, int taps,
                        size_t len)
{
    if (len < sizeof(words))
        krn_resample_column_u8__ref(dst, rows, weight, taps, len);
    else if (taps == 2) /* a constant number of taps unrolls */
        columns(dst, rows, weight, 2, len);
    else if (taps == 3)
        columns(dst, rows, weight, 3, len);
    else if (taps == 4)
        columns(dst, rows, weight, 4, len);
    else
        columns(dst, rows, weight, taps, len);
}
#endif
