#include "kernels/kernels.h"

#define HALF (1 << (KRN_WEIGHT_BITS - 1))

/* Rounded weights may sum to more than 1, so a white pixel can come out above 255. The sums
 * themselves stay below 255 * (2^22 + taps / 2) + 2^21 < 2^31, for any taps <= 2 * 65500 + 1. */
static inline uint8_t to_byte(int32_t sum)
{
    int32_t v = sum >> KRN_WEIGHT_BITS;
    return (uint8_t)(v < 255 ? v : 255);
}

void krn_resample_row_u8__ref(uint8_t *dst, const uint8_t *src, size_t src_len,
                              const krn_resample_row *r, int n)
{
    const int32_t *k = r->weight;
    (void)src_len;
    for (int i = 0; i < n; i++, dst += 3, k += r->taps) {
        const uint8_t *p = src + 3 * (size_t)r->first[i];
        int32_t sum[3] = {HALF, HALF, HALF};
        for (int t = 0; t < r->taps; t++)
            for (int c = 0; c < 3; c++)
                sum[c] += p[3 * t + c] * k[t];
        for (int c = 0; c < 3; c++)
            dst[c] = to_byte(sum[c]);
    }
}

static inline __attribute__((always_inline)) void column(uint8_t *restrict dst,
                                                         const uint8_t *const *rows,
                                                         const int32_t *weight, int taps,
                                                         size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int32_t s = HALF;
        for (int t = 0; t < taps; t++)
            s += rows[t][i] * weight[t];
        dst[i] = to_byte(s);
    }
}

void krn_resample_column_u8__ref(uint8_t *dst, const uint8_t *const *rows, const int32_t *weight,
                                 int taps, size_t len)
{
    if (taps == 2) /* a constant number of taps unrolls */
        column(dst, rows, weight, 2, len);
    else if (taps == 3)
        column(dst, rows, weight, 3, len);
    else
        column(dst, rows, weight, taps, len);
}
