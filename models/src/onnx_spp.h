#ifndef ONNX_SPP_H
#define ONNX_SPP_H
#include <stdint.h>

#define ONNX_SPP_MAX_LEVELS 16

/** Columns (or rows) [begin, end) of bin i of n over a side of `size`: floor and ceil, so bins may
 *  overlap (He et al. 2015; the form of PReLU nets' SPP in training and testing alike). */
typedef struct onnx_bin {
    int64_t begin, end;
} onnx_bin;

static inline onnx_bin onnx_spp_bin(int64_t size, int64_t n, int64_t i)
{
    onnx_bin b = {i * size / n, ((i + 1) * size + n - 1) / n};
    return b;
}
#endif
