#ifndef ONNX_FOLD_H
#define ONNX_FOLD_H
#include "onnx_build.h"

/** Stands for "as many as pictures" in a constant list of sizes: PyTorch's x.view(x.size(0), -1)
 *  becomes Shape, Gather, Unsqueeze, Concat and Reshape, which are evaluated while reading. */
#define ONNX_BATCH INT64_MIN

/** Evaluate b->node if it is Constant, or an operation on constant lists of sizes.
 *  @param done  set if its output is now a constant; else the node is to be translated. */
PRELU_MUST_CHECK prelu_status onnx_fold(onnx_build *b, bool *done);
#endif
