#ifndef ONNX_OPERATORS_H
#define ONNX_OPERATORS_H
#include "onnx_build.h"

/** An ONNX operator that the reader takes, in operator sets 6 to 21. docs/operators.md is this
 *  table; tests compare the two. */
typedef struct onnx_operator {
    const char *op;
    int since; /* first operator set that has it, or 6 */
    prelu_status (*translate)(onnx_build *b);
    const char *limits; /* in words, "" = none */
} onnx_operator;

extern const onnx_operator onnx_operators[];
extern const size_t onnx_operators_len;
#endif
