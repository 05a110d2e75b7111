#include "image/resample.h"
#include "prelu/mem.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define ONE (1 << IMG_WEIGHT_BITS)
#define HALF (1 << (IMG_WEIGHT_BITS - 1))

/* The fixed-point weights of one output before they are packed: out of `raw` possible taps those
 * that are not 0. All doubles are rounded as Pillow rounds them, so the integers are its own. */
struct window {
    int first, count;
};

static struct window fill_window(int32_t *weight, double *exact, int in, double center,
                                 double support)
{
    int begin = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
    begin = begin < 0 ? 0 : begin;
    end = end > in ? in : end;
    int count = end - begin;
    double sum = 0, inverse = 1.0 / support;
    for (int t = 0; t < count; t++) {
        double distance = fabs((t + begin - center + 0.5) * inverse);
        exact[t] = distance < 1.0 ? 1.0 - distance : 0.0;
        sum += exact[t];
    }
    for (int t = 0; t < count; t++)
        weight[t] = (int32_t)(0.5 + (sum != 0.0 ? exact[t] / sum : exact[t]) * ONE);
    return (struct window){begin, count};
}

/* Drop taps of weight 0 at both ends, but keep the window's begin <= limit. */
static struct window trim(int32_t *weight, struct window w, int limit)
{
    int lead = 0;
    while (w.count > 1 && weight[w.count - 1] == 0)
        w.count--;
    while (lead < w.count - 1 && weight[lead] == 0 && w.first + lead < limit)
        lead++;
    w.count -= lead;
    memmove(weight, weight + lead, (size_t)w.count * sizeof *weight);
    w.first += lead;
    return w;
}

/* From rows of `raw` weights to rows of axis->taps, in place: every window gets the same number of
 * taps; one that would then stick out of the input is moved back. */
static void pack(struct img_axis *axis, const int *count, size_t raw, int in, int n)
{
    size_t taps = (size_t)axis->taps;
    for (int i = 0; i < n; i++) {
        int begin = axis->first[i] < in - axis->taps ? axis->first[i] : in - axis->taps;
        size_t shift = (size_t)(axis->first[i] - begin), used = (size_t)count[i];
        int32_t *to = axis->weight + (size_t)i * taps;
        memmove(to + shift, axis->weight + (size_t)i * raw, used * sizeof *to);
        memset(to, 0, shift * sizeof *to);
        memset(to + shift + used, 0, (taps - shift - used) * sizeof *to);
        axis->first[i] = begin;
    }
}

prelu_status img_axis_init(struct img_axis *axis, int in, int out, int at, int n, prelu_err *err)
{
    double scale = (double)in / out, support = scale < 1.0 ? 1.0 : scale;
    size_t raw = (size_t)ceil(support) * 2 + 1, len;
    PRELU_TRY(prelu_mul((size_t)n, raw, &len, err));
    double *exact = prelu_calloc(raw, sizeof *exact);
    int *count = prelu_calloc((size_t)n, sizeof *count);
    axis->first = prelu_calloc((size_t)n, sizeof *axis->first);
    axis->weight = prelu_calloc(len, sizeof *axis->weight);
    prelu_status st = PRELU_OK;
    if (!exact || !count || !axis->first || !axis->weight) {
        st = prelu_fail(err, PRELU_E_NOMEM, "resize: %zu weights", len);
        goto out;
    }
    for (int i = n - 1, limit = in - 1; i >= 0; i--) {
        int32_t *weight = axis->weight + (size_t)i * raw;
        double center = (at + i + 0.5) * scale;
        struct window w = trim(weight, fill_window(weight, exact, in, center, support), limit);
        axis->first[i] = limit = w.first;
        count[i] = w.count;
        axis->taps = w.count > axis->taps ? w.count : axis->taps;
    }
    pack(axis, count, raw, in, n);
out:
    prelu_free(exact);
    prelu_free(count);
    return st;
}

void img_axis_deinit(struct img_axis *axis)
{
    prelu_free(axis->first);
    prelu_free(axis->weight);
    *axis = (struct img_axis){0};
}

/* Rounded weights may sum to more than 1, so a white pixel can come out above 255. The sums
 * themselves stay below 255 * (2^22 + taps / 2) + 2^21 < 2^31, for any taps <= 2 * MAX_SIDE + 1. */
static inline uint8_t to_byte(int32_t sum)
{
    int32_t v = sum >> IMG_WEIGHT_BITS;
    return (uint8_t)(v < 255 ? v : 255);
}

static inline __attribute__((always_inline)) void row_of_taps(uint8_t *restrict dst,
                                                              const uint8_t *restrict src,
                                                              const struct img_axis *axis, int n,
                                                              int taps)
{
    const int32_t *k = axis->weight;
    for (int i = 0; i < n; i++, dst += 3, k += taps) {
        const uint8_t *p = src + 3 * (size_t)axis->first[i];
        int32_t r = HALF, g = HALF, b = HALF;
        for (int t = 0; t < taps; t++) {
            r += p[3 * t] * k[t];
            g += p[3 * t + 1] * k[t];
            b += p[3 * t + 2] * k[t];
        }
        dst[0] = to_byte(r);
        dst[1] = to_byte(g);
        dst[2] = to_byte(b);
    }
}

void img_resample_row(uint8_t *restrict dst, const uint8_t *restrict src,
                      const struct img_axis *axis, int n)
{
    switch (axis->taps) { /* a constant number of taps unrolls */
    case 2:
        row_of_taps(dst, src, axis, n, 2);
        break;
    case 3:
        row_of_taps(dst, src, axis, n, 3);
        break;
    case 4:
        row_of_taps(dst, src, axis, n, 4);
        break;
    case 5:
        row_of_taps(dst, src, axis, n, 5);
        break;
    default:
        row_of_taps(dst, src, axis, n, axis->taps);
        break;
    }
}

static inline __attribute__((always_inline)) void column_of_taps(uint8_t *restrict dst,
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

void img_resample_column(uint8_t *restrict dst, const uint8_t *const *rows, const int32_t *weight,
                         int taps, size_t len)
{
    switch (taps) {
    case 2:
        column_of_taps(dst, rows, weight, 2, len);
        break;
    case 3:
        column_of_taps(dst, rows, weight, 3, len);
        break;
    default:
        column_of_taps(dst, rows, weight, taps, len);
        break;
    }
}
