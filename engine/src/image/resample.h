#ifndef PRELU_RESAMPLE_H
#define PRELU_RESAMPLE_H
#include "kernels/kernels.h"
#include "prelu/status.h"
#include <stdint.h>

/* The arithmetic of the resize, along one axis: output i is the sum over t < taps of
 * weight[i * taps + t] * input[first[i] + t], in fixed point, rounded and clipped to 0..255.
 * Windows lie inside the input and first[] never falls; unused taps have weight 0. */

struct img_axis {
    int *first;      /* and up to KRN_ROW_PIXELS - 1 times the last one */
    int32_t *weight; /* 0..2^22, a window's sum is 2^22 but for rounding */
    int16_t *halves; /* the same for krn_resample_row, or NULL */
    int taps;        /* >= 1; 0 only while zeroed */
};

/** Weights of the triangle filter from `in` samples to `out`, for outputs at .. at+n-1 only.
 *  @param in,out  1..PRELU_MAX_SIDE. @param axis  zeroed; img_axis_deinit it, also after an error.
 *  @return E_NOMEM, E_LIMIT. */
PRELU_MUST_CHECK prelu_status img_axis_init(struct img_axis *axis, int in, int out, int at, int n,
                                            prelu_err *err);
/** Add `halves` to an axis of n outputs. @return E_NOMEM. */
PRELU_MUST_CHECK prelu_status img_axis_split(struct img_axis *axis, int n, prelu_err *err);
void img_axis_deinit(struct img_axis *axis);
#endif
