#include "ops/patch.h"
#include "ops/util.h"
#include <string.h>

enum { MAX_KERNEL = 4096, MAX_STRIDE = 1 << 20 };

static prelu_status pair(const prelu_node *n, const char *name, int64_t out[2], prelu_err *err)
{
    const int64_t *v;
    size_t len;
    PRELU_TRY(op_ints(n, name, 2, 1, MAX_STRIDE, &v, &len, err));
    out[0] = v ? v[0] : 1;
    out[1] = v ? v[1] : 1;
    return PRELU_OK;
}

/* SAME_UPPER / SAME_LOWER: the output is ceil(in / stride); the odd pixel goes below / above. */
static int64_t same_pad(int64_t in, int64_t k, int64_t s, int64_t d, bool upper, int64_t *total)
{
    const int64_t out = (in + s - 1) / s, need = (out - 1) * s + (k - 1) * d + 1 - in;
    *total = need > 0 ? need : 0;
    return upper ? *total / 2 : (*total + 1) / 2;
}

static prelu_status pads(const prelu_node *n, const prelu_shape *x, const int64_t k[2],
                         const int64_t s[2], const int64_t d[2], int64_t begin[2], int64_t total[2],
                         prelu_err *err)
{
    const prelu_attr *mode = prelu_node_attr(n, "auto_pad");
    const char *text = mode && mode->s ? mode->s : "NOTSET";
    const int64_t *v;
    size_t len;
    PRELU_TRY(op_ints(n, "pads", 4, -MAX_STRIDE, MAX_STRIDE, &v, &len, err));
    for (int i = 0; i < 2; i++) {
        begin[i] = v ? v[i] : 0;
        total[i] = v ? v[i] + v[i + 2] : 0;
        if (strcmp(text, "VALID") == 0)
            begin[i] = total[i] = 0;
        else if (strcmp(text, "SAME_UPPER") == 0 || strcmp(text, "SAME_LOWER") == 0)
            begin[i] = same_pad(x->dim[2 + i], k[i], s[i], d[i], text[5] == 'U', &total[i]);
        else if (strcmp(text, "NOTSET") != 0)
            return prelu_fail(err, PRELU_E_FORMAT, "auto_pad '%.32s'", text);
    }
    return PRELU_OK;
}

prelu_status op_patch_of_conv(op_patch *g, const prelu_node *n, const prelu_shape *x,
                              const prelu_shape *w, prelu_err *err)
{
    int64_t s[2], d[2], begin[2], total[2], out[2];
    const int64_t groups = prelu_node_int(n, "group", 1);
    const int64_t *k_attr;
    size_t len;
    PRELU_TRY(op_need_rank(x, 4, "input", err));
    PRELU_TRY(op_need_rank(w, 4, "filter", err));
    PRELU_TRY(op_ints(n, "kernel_shape", 2, 1, MAX_KERNEL, &k_attr, &len, err));
    PRELU_TRY(pair(n, "strides", s, err));
    PRELU_TRY(pair(n, "dilations", d, err));
    if (!op_known(x) || !op_known(w))
        return prelu_fail(err, PRELU_E_ARG, "sizes are not known");
    if (groups < 1 || groups > w->dim[0] || w->dim[0] % groups || w->dim[1] < 0 ||
        w->dim[1] > INT64_MAX / groups || x->dim[1] != w->dim[1] * groups)
        return prelu_fail(
            err, PRELU_E_FORMAT, "%lld channels do not fit filters (%lld,%lld,..) in %lld groups",
            (long long)x->dim[1], (long long)w->dim[0], (long long)w->dim[1], (long long)groups);
    for (int i = 0; i < 2; i++) {
        if (w->dim[2 + i] < 1 || w->dim[2 + i] > MAX_KERNEL ||
            (k_attr && k_attr[i] != w->dim[2 + i]))
            return prelu_fail(err, PRELU_E_FORMAT, "kernel of %lld; 1..%d and as kernel_shape says",
                              (long long)w->dim[2 + i], MAX_KERNEL);
    }
    PRELU_TRY(op_check_size(x, err)); /* so that no sum below overflows */
    PRELU_TRY(op_check_size(w, err));
    PRELU_TRY(pads(n, x, w->dim + 2, s, d, begin, total, err));
    for (int i = 0; i < 2; i++) {
        const int64_t room = x->dim[2 + i] + total[i] - (w->dim[2 + i] - 1) * d[i] - 1;
        if (room < 0)
            return prelu_fail(err, PRELU_E_FORMAT, "kernel %lld does not fit into %lld pixels",
                              (long long)w->dim[2 + i], (long long)x->dim[2 + i]);
        out[i] = room / s[i] + 1;
    }
    *g = (op_patch){.n = (size_t)x->dim[0],
                    .h = (size_t)x->dim[2],
                    .w = (size_t)x->dim[3],
                    .c = (size_t)x->dim[1],
                    .oh = (size_t)out[0],
                    .ow = (size_t)out[1],
                    .o = (size_t)w->dim[0],
                    .kh = (size_t)w->dim[2],
                    .kw = (size_t)w->dim[3],
                    .groups = (size_t)groups,
                    .sh = s[0],
                    .sw = s[1],
                    .dh = d[0],
                    .dw = d[1],
                    .uh = 1,
                    .uw = 1,
                    .pt = begin[0],
                    .pl = begin[1]};
    return PRELU_OK;
}

op_patch op_patch_transposed(const op_patch *g)
{
    return (op_patch){.n = g->n,
                      .h = g->oh,
                      .w = g->ow,
                      .c = g->o,
                      .oh = g->h,
                      .ow = g->w,
                      .o = g->c,
                      .kh = g->kh,
                      .kw = g->kw,
                      .groups = g->groups,
                      .sh = 1,
                      .sw = 1,
                      .dh = g->dh,
                      .dw = g->dw,
                      .uh = g->sh,
                      .uw = g->sw,
                      .pt = ((int64_t)g->kh - 1) * g->dh - g->pt,
                      .pl = ((int64_t)g->kw - 1) * g->dw - g->pl};
}

/* Input row or column of a tap, or -1. */
static int64_t source(int64_t t, int64_t up, size_t size)
{
    if (t < 0 || t % up)
        return -1;
    t /= up;
    return t < (int64_t)size ? t : -1;
}

/* dst[0..len) = the part from..from+len of a row of `total` floats that starts at float `at` of the
 * padded row; floats outside 0..total are 0. */
static void copy_run(float *dst, const float *row, int64_t at, int64_t total, size_t len)
{
    int64_t i = 0;
    const int64_t end = (int64_t)len, lead = at < 0 ? -at : 0;
    for (; i < lead && i < end; i++)
        dst[i] = 0.0f;
    const int64_t left = total - (at + i), n = left < end - i ? left : end - i;
    if (n > 0) {
        memcpy(dst + i, row + at + i, (size_t)n * sizeof *dst);
        i += n;
    }
    for (; i < end; i++)
        dst[i] = 0.0f;
}

/* Elements of a patch that lie side by side in a row of x: a tap's channels, or a whole filter
 * row's taps. For output column ow they start at float at + ow * step of a row of `total` floats.
 */
typedef struct segment {
    size_t len;
    int64_t kh, kw, at, step, total;
    bool run; /* of taps: at a border a part of it may be inside */
} segment;

static segment segment_at(const op_patch *g, size_t group, size_t k, size_t k1)
{
    const size_t c = g->c / g->groups;
    segment s = {.run = g->groups == 1 && g->dw == 1 && g->uh == 1 && g->uw == 1,
                 .step = g->sw * (int64_t)g->c,
                 .total = (int64_t)(g->w * g->c)};
    const size_t unit = s.run ? g->kw * c : c, in = k % unit;
    s.len = unit - in < k1 - k ? unit - in : k1 - k;
    s.kh = (int64_t)(s.run ? k / unit : k / unit / g->kw);
    s.kw = (int64_t)(s.run ? 0 : k / unit % g->kw);
    s.at = (s.kw * g->dw - g->pl) * (int64_t)g->c + (int64_t)(group * c + in);
    return s;
}

static void copy_pixels(float *restrict dst, size_t ld, const float *restrict src, size_t step,
                        size_t len, size_t n)
{
    if (len == 32) /* a panel's width, where a call would cost more than the copy */
        for (size_t i = 0; i < n; i++)
            memcpy(dst + i * ld, src + i * step, 32 * sizeof *dst);
    else
        for (size_t i = 0; i < n; i++)
            memcpy(dst + i * ld, src + i * step, len * sizeof *dst);
}

/* The segment for n output columns from ow on; `row` of x. */
static void segment_of_row(float *dst, size_t ld, const segment *s, const float *row, size_t ow,
                           size_t n)
{
    const int64_t at = s->at + (int64_t)ow * s->step, room = s->total - (int64_t)s->len - at;
    size_t lo = at < 0 ? (size_t)((-at + s->step - 1) / s->step) : 0;
    size_t hi = room < 0 ? 0 : (size_t)(room / s->step) + 1; /* lo..hi-1 lie inside as a whole */
    lo = lo < n ? lo : n;
    hi = hi < lo ? lo : hi < n ? hi : n;
    if (lo < hi)
        copy_pixels(dst + lo * ld, ld, row + at + (int64_t)lo * s->step, (size_t)s->step, s->len,
                    hi - lo);
    for (size_t i = 0; i < n; i++) {
        if (i == lo)
            i = hi;
        if (i < n && s->run)
            copy_run(dst + i * ld, row, at + (int64_t)i * s->step, s->total, s->len);
        else if (i < n)
            memset(dst + i * ld, 0, s->len * sizeof *dst);
    }
}

/* The same where x is spread. */
static void segment_of_spread(float *dst, size_t ld, const op_patch *g, const segment *s,
                              const float *row, size_t ow, size_t n)
{
    const int64_t in = s->at - (s->kw * g->dw - g->pl) * (int64_t)g->c;
    for (size_t i = 0; i < n; i++) {
        const int64_t iw = source((int64_t)(ow + i) * g->sw - g->pl + s->kw * g->dw, g->uw, g->w);
        if (iw < 0)
            memset(dst + i * ld, 0, s->len * sizeof *dst);
        else
            memcpy(dst + i * ld, row + iw * (int64_t)g->c + in, s->len * sizeof *dst);
    }
}

void op_patch_rows(float *dst, size_t ld, const op_patch *g, const float *x, size_t group,
                   size_t pix, size_t count, size_t k0, size_t k1)
{
    segment s;
    for (size_t k = k0; k < k1; k += s.len) {
        s = segment_at(g, group, k, k1);
        for (size_t i = 0, n; i < count; i += n) {
            const size_t oh = (pix + i) / g->ow, ow = (pix + i) % g->ow;
            const int64_t ih = source((int64_t)oh * g->sh - g->pt + s.kh * g->dh, g->uh, g->h);
            float *to = dst + i * ld + (k - k0);
            n = g->ow - ow < count - i ? g->ow - ow : count - i;
            if (ih < 0)
                for (size_t j = 0; j < n; j++)
                    memset(to + j * ld, 0, s.len * sizeof *to);
            else if (g->uw > 1)
                segment_of_spread(to, ld, g, &s, x + (size_t)ih * g->w * g->c, ow, n);
            else
                segment_of_row(to, ld, &s, x + (size_t)ih * g->w * g->c, ow, n);
        }
    }
}
