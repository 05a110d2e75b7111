#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

/* A weight of 22 bits does not fit a 16-bit multiply-add, its halves do: w = hi * 2^11 + lo, so
 * sum p*w = (sum p*hi) * 2^11 + sum p*lo, exactly. */
#define HALF (1 << (KRN_WEIGHT_BITS - 1))

/* Four RGB pixels (12 bytes) as words r0 r1 g0 g1 b0 b1 0 0 | r2 r3 g2 g3 b2 b3 0 0. */
static inline __m256i pairs(const uint8_t *p)
{
    const __m128i order = _mm_setr_epi8(0, 3, 1, 4, 2, 5, -1, -1, 6, 9, 7, 10, 8, 11, -1, -1);
    return _mm256_cvtepu8_epi16(_mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)p), order));
}

/* The last groups of a row, of which 16 bytes cannot be read. */
static __m256i pairs_at_end(const uint8_t *p, size_t left)
{
    uint8_t bytes[16] = {0};
    memcpy(bytes, p, left < 16 ? left : 16);
    return pairs(bytes);
}

static inline uint32_t pixel(__m256i hi, __m256i lo)
{
    const __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(hi, KRN_WEIGHT_LOW), lo);
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    s = _mm_srai_epi32(_mm_add_epi32(s, _mm_set1_epi32(HALF)), KRN_WEIGHT_BITS);
    s = _mm_packus_epi32(s, s);
    return (uint32_t)_mm_cvtsi128_si32(_mm_packus_epi16(s, s));
}

void krn_resample_row_u8__avx2(uint8_t *dst, const uint8_t *src, size_t src_len,
                               const krn_resample_row *r, int n)
{
    const int groups = (r->taps + 3) / 4;
    const int16_t *k = r->halves;
    for (int i = 0; i < n; i++, dst += 3) {
        size_t at = 3 * (size_t)r->first[i];
        __m256i hi = _mm256_setzero_si256(), lo = hi;
        for (int g = 0; g < groups; g++, at += 12, k += 32) {
            const __m256i v =
                at + 16 <= src_len ? pairs(src + at) : pairs_at_end(src + at, src_len - at);
            const __m256i kh = _mm256_load_si256((const __m256i *)(const void *)k);
            const __m256i kl = _mm256_load_si256((const __m256i *)(const void *)(k + 16));
            hi = _mm256_add_epi32(hi, _mm256_madd_epi16(v, kh));
            lo = _mm256_add_epi32(lo, _mm256_madd_epi16(v, kl));
        }
        const uint32_t rgb = pixel(hi, lo);
        memcpy(dst, &rgb, i + 1 < n ? 4 : 3); /* the next pixel overwrites the fourth byte */
    }
}

/* Two words beside each other, as one multiply-add takes them. */
static inline __m256i both(int32_t first, int32_t second)
{
    return _mm256_set1_epi32((int32_t)((uint32_t)first | (uint32_t)second << 16));
}

static inline __m256i finish(__m256i hi, __m256i lo)
{
    const __m256i s = _mm256_add_epi32(_mm256_slli_epi32(hi, KRN_WEIGHT_LOW), lo);
    return _mm256_srai_epi32(_mm256_add_epi32(s, _mm256_set1_epi32(HALF)), KRN_WEIGHT_BITS);
}

/* 32 bytes: the bytes of two rows interleave to words of a pair, four registers of sums. */
static void column_32(uint8_t *dst, const uint8_t *const *rows, const int32_t *weight, int taps,
                      size_t at)
{
    const __m256i zero = _mm256_setzero_si256();
    const int low = (1 << KRN_WEIGHT_LOW) - 1;
    __m256i hi[4] = {zero, zero, zero, zero}, lo[4] = {zero, zero, zero, zero};
    for (int t = 0; t < taps; t += 2) {
        const bool two = t + 1 < taps;
        const int32_t w0 = weight[t], w1 = two ? weight[t + 1] : 0;
        const __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(rows[t] + at));
        const __m256i b =
            two ? _mm256_loadu_si256((const __m256i *)(const void *)(rows[t + 1] + at)) : zero;
        const __m256i kh = both(w0 >> KRN_WEIGHT_LOW, w1 >> KRN_WEIGHT_LOW);
        const __m256i kl = both(w0 & low, w1 & low);
        const __m256i ab[2] = {_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)};
        for (int i = 0; i < 4; i++) {
            const __m256i v = i % 2 ? _mm256_unpackhi_epi8(ab[i / 2], zero)
                                    : _mm256_unpacklo_epi8(ab[i / 2], zero);
            hi[i] = _mm256_add_epi32(hi[i], _mm256_madd_epi16(v, kh));
            lo[i] = _mm256_add_epi32(lo[i], _mm256_madd_epi16(v, kl));
        }
    }
    /* unpack and pack both work within 128-bit lanes, so the order comes back by itself */
    const __m256i first = _mm256_packus_epi32(finish(hi[0], lo[0]), finish(hi[1], lo[1]));
    const __m256i second = _mm256_packus_epi32(finish(hi[2], lo[2]), finish(hi[3], lo[3]));
    _mm256_storeu_si256((__m256i *)(void *)(dst + at), _mm256_packus_epi16(first, second));
}

void krn_resample_column_u8__avx2(uint8_t *dst, const uint8_t *const *rows, const int32_t *weight,
                                  int taps, size_t len)
{
    size_t i = 0;
    for (; i + 32 <= len; i += 32)
        column_32(dst, rows, weight, taps, i);
    for (; i < len; i++) {
        int32_t s = HALF;
        for (int t = 0; t < taps; t++)
            s += rows[t][i] * weight[t];
        s >>= KRN_WEIGHT_BITS;
        dst[i] = (uint8_t)(s < 255 ? s : 255);
    }
}
