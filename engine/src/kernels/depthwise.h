#ifndef KRN_DEPTHWISE_H
#define KRN_DEPTHWISE_H
#include <stddef.h>
#include <stdint.h>

struct krn_epilogue;
/** Depthwise convolution of one row of output pixels, channels-last:
 *
 *      y[p*c + k] = epilogue of sum over i < kh, j < kw of  x[i*row + col*c + k] * f[(i*kw + j)*c +
 * k], col = first + p*stride + j*dilation, where 0 <= col < w (a tap outside counts 0),
 *
 *  each sum one chain over i, j in rising order: a pixel's bits depend on its own taps only. */
typedef struct krn_depthwise_args {
    size_t c, w, ow, kh, kw; /* kh: the tap rows that lie in the picture; may be 0 */
    const float *x;          /* the first of them, column 0 */
    size_t row;              /* floats from the pixels of one tap row to those of the next */
    const float *f;
    int64_t first;
    size_t stride, dilation;
    float *y;
    const struct krn_epilogue *ep; /* or NULL; its residual has y's layout, ldr is not used */
} krn_depthwise_args;
typedef void krn_depthwise_f32_fn(const krn_depthwise_args *g);

/** Taps from <= j < to of `count` lie in the picture: 0 <= first + j*dilation < size. */
typedef struct krn_taps {
    size_t from, to;
} krn_taps;
static inline krn_taps krn_taps_inside(int64_t first, size_t dilation, size_t size, size_t count)
{
    const int64_t d = (int64_t)dilation, n = (int64_t)count, end = (int64_t)size - first;
    const int64_t from = first < 0 ? (d - 1 - first) / d : 0, to = end > 0 ? (end + d - 1) / d : 0;
    const int64_t last = to < n ? to : n;
    return from < last ? (krn_taps){(size_t)from, (size_t)last} : (krn_taps){0, 0};
}
static inline krn_taps krn_depthwise_taps(const krn_depthwise_args *g, size_t p)
{
    return krn_taps_inside(g->first + (int64_t)(p * g->stride), g->dilation, g->w, g->kw);
}
#endif
