#ifndef MDL_IDX_H
#define MDL_IDX_H
#include "prelu/status.h"
#include <stddef.h>
#include <stdint.h>

/** The IDX format of MNIST and its kin, plain or gzip: big-endian magic 0x0000TTDD (type, number of
 *  dimensions), the dimensions, then the elements. Only type 0x08 (u8) is read. */

#define MDL_IDX_MAX_SIDE 4096
#define MDL_IDX_MAX_BYTES ((size_t)8 << 30)

typedef struct mdl_idx {
    uint8_t *data; /* count * height * width; labels: count bytes */
    size_t count;
    int height, width; /* 1, 1 for labels */
} mdl_idx;

/** @param dims 3 for pictures, 1 for labels; a file of another rank is E_FORMAT.
 *  @param out  on PRELU_OK release with mdl_idx_deinit, else untouched.
 *  @return E_NOTFOUND, E_PERM, E_IO; E_FORMAT magic, zero sizes, data shorter or longer than the
 *  header says; E_LIMIT side or bytes; E_NOMEM. Memory grows with what the file really holds, so a
 *  lying header costs nothing. */
PRELU_MUST_CHECK prelu_status mdl_idx_read(mdl_idx *out, const char *path, int dims,
                                           prelu_err *err);
void mdl_idx_deinit(mdl_idx *idx);
#endif
