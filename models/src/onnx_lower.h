#ifndef ONNX_LOWER_H
#define ONNX_LOWER_H
#include "onnx_out.h"
#include "prelu/graph.h"

/** A graph's nodes as NodeProtos of operator set 13, and the small tensors that this form needs. */
typedef struct onnx_lowering {
    const prelu_graph *g;
    const prelu_shape *shapes;   /* at the crop's size */
    const char **names;          /* per value; what a dropped Dropout makes has its input's */
    bool spp;                    /* one was lowered: the file runs at the crop's size only */
    onnx_buf node, attr, tensor; /* scratch */
    onnx_buf *graph;             /* GraphProto under construction */
    prelu_err *err;
} onnx_lowering;

/** Append node i to l->graph. @return E_UNSUPPORTED an op that ONNX does not have. */
PRELU_MUST_CHECK prelu_status onnx_lower_node(onnx_lowering *l, int i);
/** Inference does without this node: it is left out, and its output named as its input. */
bool onnx_lower_drops(const prelu_node *n);
void onnx_lowering_deinit(onnx_lowering *l);
#endif
