#ifndef PRELU_TENSOR_H
#define PRELU_TENSOR_H
#include "prelu/status.h"
#include <stdint.h>

#define PRELU_MAX_RANK 6

typedef enum prelu_dtype {
    PRELU_F32,
    PRELU_BF16,
    PRELU_F16,
    PRELU_U8,
    PRELU_I8,
    PRELU_I32,
    PRELU_I64,
    PRELU_F64,
    PRELU_BOOL
} prelu_dtype;

/** Arithmetic of a plan: fp32; bf16 = bf16 operands, f32 sums, in convolutions and fully connected
 *  layers; int8fc = int8 weights (a scale per unit) in fully connected layers, convolutions as auto
 *  has them; auto = what is fastest on this CPU within the accuracy contract: convolutions in bf16
 *  with AMX, else fp32; fully connected layers in int8 if the file allows it (AVX-512), else in
 * bf16 with AVX512_BF16, else fp32. */
typedef enum prelu_precision {
    PRELU_PRECISION_AUTO,
    PRELU_PRECISION_FP32,
    PRELU_PRECISION_BF16,
    PRELU_PRECISION_INT8FC
} prelu_precision;

/** Bytes of one element. */
size_t prelu_dtype_size(prelu_dtype t);
const char *prelu_dtype_name(prelu_dtype t);

/** Logical shape in ONNX order (n,c,h,w for pictures, o,c/group,kh,kw for filters); -1 = free,
 *  known only once a session is reshaped. rank 0 is a scalar.
 *
 *  Layout rule of the engine: a value of rank 4 lies in memory channels-last, (n,h,w,c) for
 *  pictures and (o,kh,kw,c/group) for filters; every other rank is row-major. Constants of a graph
 *  are row-major in logical order, as ONNX has them, until the plan packs them. */
typedef struct prelu_shape {
    int rank;
    int64_t dim[PRELU_MAX_RANK];
} prelu_shape;

/** Product of the dims into *count; E_LIMIT on overflow, E_ARG if a dim is < 0 (free). */
PRELU_MUST_CHECK prelu_status prelu_shape_count(const prelu_shape *s, size_t *count,
                                                prelu_err *err);
/** "(1,3,224,224)", free dims as "?"; returns buf. */
const char *prelu_shape_text(const prelu_shape *s, char *buf, size_t len);
int prelu_shape_equal(const prelu_shape *a, const prelu_shape *b);
#endif
