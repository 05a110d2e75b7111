#ifndef OP_PATCH_H
#define OP_PATCH_H
#include "ops/op.h"

/** Where a convolution reads: output pixel (oh,ow), filter tap (kh,kw) reads input row
 *  t = oh*sh - pt + kh*dh of an input spread by uh (rows between the real ones are zero): it exists
 *  if t >= 0, t % uh == 0 and t / uh < h; columns alike. uh = uw = 1 for Conv; for its gradient
 * with respect to x they are the strides. */
typedef struct op_patch {
    size_t n, h, w, c; /* input (n,h,w,c), c over all groups */
    size_t oh, ow, o;  /* output (n,oh,ow,o) */
    size_t kh, kw, groups;
    int64_t sh, sw, dh, dw, uh, uw, pt, pl;
} op_patch;

/** Geometry of Conv from its attributes and shapes; checks all. E_FORMAT. */
prelu_status op_patch_of_conv(op_patch *g, const prelu_node *n, const prelu_shape *x,
                              const prelu_shape *w, prelu_err *err);
/** Geometry of the convolution of dy that gives dx. */
op_patch op_patch_transposed(const op_patch *g);

/** Length of one patch of one group: kh*kw*c/groups, in that order (c fastest). */
static inline size_t op_patch_len(const op_patch *g) { return g->kh * g->kw * (g->c / g->groups); }

/** Elements k0..k1-1 of the patches of output pixels pix..pix+count-1 (of one image, row by row) of
 *  one group into rows of dst, ld floats apart; outside the picture reads 0.
 *  @param x that image, (h,w,c). */
void op_patch_rows(float *dst, size_t ld, const op_patch *g, const float *x, size_t group,
                   size_t pix, size_t count, size_t k0, size_t k1);
#endif
