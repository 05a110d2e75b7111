#ifndef GR_LAYOUT_H
#define GR_LAYOUT_H
#include "prelu/status.h"
#include <stdint.h>

/** A block of memory needed from step `first` to step `last`, both included. */
typedef struct gr_block {
    size_t size, offset;
    int first, last;
} gr_block;

/** Give every block an offset (multiples of 64) so that blocks alive at the same step do not
 *  overlap: largest first, each at the lowest place that is free during its life.
 *  @param total  bytes of the whole. @return E_NOMEM, E_LIMIT. */
PRELU_MUST_CHECK prelu_status gr_layout(gr_block *blocks, size_t n, size_t *total, prelu_err *err);
#endif
