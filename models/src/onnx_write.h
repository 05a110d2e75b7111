#ifndef ONNX_WRITE_H
#define ONNX_WRITE_H
#include "prelu/model.h"

/** prelu_model_save with the size of a file above which weights go to `<path>.<hash>.data`. */
PRELU_MUST_CHECK prelu_status onnx_write(const prelu_model *m, const char *path,
                                         size_t external_above, prelu_err *err);
#endif
