#include "image/resample.h"
#include "prelu/mem.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define ONE (1 << KRN_WEIGHT_BITS)

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

static size_t blocks(int n) { return ((size_t)n + KRN_ROW_PIXELS - 1) / KRN_ROW_PIXELS; }

prelu_status img_axis_split(struct img_axis *axis, int n, prelu_err *err)
{
    const size_t taps = (size_t)axis->taps, groups = (taps + 3) / 4;
    const size_t quads = blocks(n) * KRN_ROW_PIXELS / 4;
    const int32_t *weight = axis->weight;
    axis->halves = prelu_calloc(quads * groups, 4 * KRN_QUAD * sizeof *axis->halves);
    if (!axis->halves)
        return prelu_fail(err, PRELU_E_NOMEM, "resize: weights of %d pixels", n);
    for (size_t i = 0; i < (size_t)n; i++, weight += taps) {
        int16_t *quad = axis->halves + i / 4 * groups * 4 * KRN_QUAD + i % 4 * 8;
        for (size_t t = 0; t < taps; t++) {
            int16_t *hi = quad + (t / 4 * 4 + t % 4 / 2) * KRN_QUAD + t % 2,
                    *lo = hi + 2 * KRN_QUAD;
            for (size_t c = 0; c < 3; c++) {
                hi[2 * c] = (int16_t)(weight[t] >> KRN_WEIGHT_LOW);
                lo[2 * c] = (int16_t)(weight[t] & ((1 << KRN_WEIGHT_LOW) - 1));
            }
        }
    }
    return PRELU_OK;
}

prelu_status img_axis_init(struct img_axis *axis, int in, int out, int at, int n, prelu_err *err)
{
    double scale = (double)in / out, support = scale < 1.0 ? 1.0 : scale;
    size_t raw = (size_t)ceil(support) * 2 + 1, len;
    PRELU_TRY(prelu_mul((size_t)n, raw, &len, err));
    double *exact = prelu_calloc(raw, sizeof *exact);
    int *count = prelu_calloc((size_t)n, sizeof *count);
    axis->first = prelu_calloc(blocks(n), KRN_ROW_PIXELS * sizeof *axis->first);
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
    for (size_t i = (size_t)n; i < blocks(n) * KRN_ROW_PIXELS; i++)
        axis->first[i] = axis->first[n - 1];
out:
    prelu_free(exact);
    prelu_free(count);
    return st;
}

void img_axis_deinit(struct img_axis *axis)
{
    prelu_free(axis->first);
    prelu_free(axis->weight);
    prelu_free(axis->halves);
    *axis = (struct img_axis){0};
}
