#ifndef ONNX_BUILD_H
#define ONNX_BUILD_H
#include "onnx_doc.h"

/** onnx_doc -> prelu_graph: names are resolved, each node is brought to the form of opset 13 that
 *  graph.h describes, and constants get the role that their use gives them. */

/** What a name of the file stands for. */
typedef struct onnx_slot {
    const char *name;
    onnx_tensor *t; /* a constant, put into the graph when a node first computes with it */
    prelu_value v;  /* PRELU_NONE: a constant not in the graph yet */
    int rank;       /* -1 unknown */
} onnx_slot;

typedef struct onnx_build {
    const onnx_doc *doc;
    const onnx_node *node; /* being translated */
    prelu_graph *g;
    mdl_pile *pile; /* of the model: converted constants */
    onnx_slot *slots;
    size_t n_slots, cap_slots;
    uint32_t *table; /* open addressing over the slots' names; entry = slot + 1 */
    size_t table_len;
    int crop;            /* side at which shapes are inferred where the file leaves them free */
    int infers;          /* left: inference is linear in the graph, and the file is hostile */
    bool batch_free;     /* of an input, as the file has it or because we free it */
    int64_t fixed_batch; /* what the file fixes it to; 0 = it does not */
    size_t filled;       /* elements that ConstantOfShape has made */
    int made;            /* nodes of our own, for their names */
    prelu_err *err;
} onnx_build;

/** Build the graph of `doc`; its constants borrow from the mapped file and from `pile`.
 *  @param crop  side of pictures where the file leaves it free.
 *  @return E_FORMAT missing or doubled names, wrong attributes; E_UNSUPPORTED op, named with its
 * node. */
PRELU_MUST_CHECK prelu_status onnx_graph_build(prelu_graph **out, const onnx_doc *doc, int crop,
                                               mdl_pile *pile, prelu_err *err);

/** Replace what stands for SPP in ONNX (see onnx_write.c) by one SPP node, and drop nodes and
 *  constants that no output needs; put the arithmetic that `p` asks for in front of the first
 * input. *g is replaced. The input's size becomes free where SPP makes that possible.
 *  @return also E_UNSUPPORTED arithmetic for an input that is no picture. */
PRELU_MUST_CHECK prelu_status onnx_graph_tidy(prelu_graph **g, const prelu_preprocess *p,
                                              prelu_err *err);

/* --- for the op translations in onnx_ops.c --- */

/** The slot of input i: NULL if absent or unknown. */
onnx_slot *onnx_in(onnx_build *b, int i);
/** Input i as a value; a constant gets `role` when it enters the graph. PRELU_NONE if absent.
 *  @return E_FORMAT a name that nothing defines. */
PRELU_MUST_CHECK prelu_status onnx_operand(onnx_build *b, int i, prelu_role role, prelu_value *out);
/** Put the constant of a slot into the graph with another shape of the same count. */
PRELU_MUST_CHECK prelu_status onnx_constant_as(onnx_build *b, onnx_slot *s,
                                               const prelu_shape *shape, prelu_role role,
                                               prelu_value *out);
/** The small integers of attribute `attr`, or of constant input i (-1: attribute only); *n = 0 when
 *  neither is there. @param v room for 2 * PRELU_MAX_RANK. @return E_UNSUPPORTED not constant. */
PRELU_MUST_CHECK prelu_status onnx_ints(onnx_build *b, const char *attr, int i, int64_t *v,
                                        size_t *n);
int64_t onnx_int(const onnx_build *b, const char *attr, int64_t otherwise);
float onnx_float(const onnx_build *b, const char *attr, float otherwise);
/** Add the node under its own name with its own first output. */
PRELU_MUST_CHECK prelu_status onnx_emit(onnx_build *b, const char *op, const prelu_value *in,
                                        int n_in, const prelu_attr *attrs, size_t n_attrs,
                                        int rank);
/** Add a helper node in front of it. */
PRELU_MUST_CHECK prelu_status onnx_emit_helper(onnx_build *b, const char *op, const prelu_value *in,
                                               int n_in, const prelu_attr *attrs, size_t n_attrs,
                                               prelu_value *out);
/** Let output 0 be another name of a slot. */
PRELU_MUST_CHECK prelu_status onnx_alias(onnx_build *b, const onnx_slot *of);
/** Let output 0 be a constant. */
PRELU_MUST_CHECK prelu_status onnx_define_constant(onnx_build *b, onnx_tensor *t);
/** Shape of a value at batch 1 and the crop's size. */
PRELU_MUST_CHECK prelu_status onnx_shape_of(onnx_build *b, prelu_value v, prelu_shape *out);
/** E_FORMAT / E_UNSUPPORTED with "node 'x' (Op): " in front. */
prelu_status onnx_fail(onnx_build *b, prelu_status code, const char *fmt, ...) PRELU_PRINTF(3, 4);

/** Translate b->node. */
PRELU_MUST_CHECK prelu_status onnx_op_translate(onnx_build *b);
#endif
