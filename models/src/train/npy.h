#ifndef TRAIN_NPY_H
#define TRAIN_NPY_H
#include "prelu/tensor.h"

/** NumPy's .npy files, versions 1 to 3: little-endian f4, or u1 turned into floats. */
typedef struct train_npy {
    prelu_shape shape;
    float *data; /* row-major, owned */
    size_t count;
} train_npy;

/** @return E_FORMAT malformed or cut; E_UNSUPPORTED another type, Fortran order, rank above 6;
 *  E_LIMIT size overflows; E_NOMEM. *out is zero on failure. */
PRELU_MUST_CHECK prelu_status train_npy_parse(train_npy *out, const void *bytes, size_t len,
                                              prelu_err *err);
/** The same of a file. @return also E_NOTFOUND, E_PERM, E_IO. */
PRELU_MUST_CHECK prelu_status train_npy_read(train_npy *out, const char *path, prelu_err *err);
/** Write floats as version 1, complete or not at all. */
PRELU_MUST_CHECK prelu_status train_npy_write(const char *path, const prelu_shape *shape,
                                              const float *data, prelu_err *err);
void train_npy_deinit(train_npy *a);
#endif
