#ifndef KRN_WINOGRAD_GRAD_H
#define KRN_WINOGRAD_GRAD_H
#include "kernels/winograd.h"

/** Gradient of F(4x4, 3x3) (F(5x5, 2x2)) with respect to the filter, with B', G and A' of
 * winograd.h:
 *
 *      dg = G' [ sum over tiles of (A dy A') * (B' d B) ] G,   * by element,
 *
 *  so that for each of the 36 elements xi the sum over tiles is a matrix product, (o,tiles) by
 *  (tiles,c). The windows d go through krn_winograd's `input`; these are the two other transforms.
 *  Each 1-d transform is a fixed formula by lane: an element's bits depend on its own inputs only.
 */

/** y[xi*step + k] = (A dy A')[xi] of channel k, 0 <= k < channels. The window is of side x side
 * pixels. */
typedef void krn_winograd_spread_fn(float *y, size_t step, const krn_winograd_window *w,
                                    size_t channels);
/** g[(taps*i + j)*tap + k] = (G' m G)[i][j] of filter k, whose element xi is m[xi*step + k],
 *  0 <= k < n. */
typedef void krn_winograd_gather_fn(float *g, size_t tap, const float *m, size_t step, size_t n);

typedef struct krn_winograd_grad {
    size_t taps, side; /* as krn_winograd's */
    krn_winograd_spread_fn *spread;
    krn_winograd_gather_fn *gather;
    const char *name;
} krn_winograd_grad;
typedef const krn_winograd_grad krn_winograd_grad_f32_fn; /* the slot holds a pointer */
typedef const krn_winograd_grad krn_winograd_2x2_grad_f32_fn;
#endif
