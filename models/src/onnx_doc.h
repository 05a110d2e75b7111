#ifndef ONNX_DOC_H
#define ONNX_DOC_H
#include "model_private.h"

/** An ONNX file as plain structs: protobuf's types stop at onnx_read.c. Everything points into the
 *  document, the mapped files or the model's pile. */

typedef struct onnx_tensor {
    const char *name;
    prelu_dtype dtype;
    prelu_shape shape;
    const void *data; /* row-major, little-endian, perhaps unaligned; checked to be complete */
    size_t count;
    const void *floats; /* NULL, or converted once for all uses */
} onnx_tensor;

typedef struct onnx_attr {
    prelu_attr a; /* name NULL: of a kind that has no prelu_attr */
    const char *name;
    onnx_tensor *t; /* a tensor attribute, else NULL */
} onnx_attr;

typedef struct onnx_node {
    const char *name, *op, *domain; /* name may be "" */
    const char **in, **out;         /* "" = absent */
    int n_in, n_out;
    onnx_attr *attrs;
    size_t n_attrs;
} onnx_node;

typedef struct onnx_port {
    const char *name;
    prelu_dtype dtype;
    prelu_shape shape; /* -1 = symbolic or unknown; rank -1: no shape given */
} onnx_port;

typedef struct onnx_entry {
    const char *key, *value;
} onnx_entry;

typedef struct onnx_doc {
    int64_t ir_version, opset;
    onnx_node *nodes;
    onnx_tensor *tensors; /* initialisers */
    onnx_port *inputs, *outputs;
    onnx_entry *metadata;
    size_t n_nodes, n_tensors, n_inputs, n_outputs, n_metadata;
    mdl_pile pile;
    void *message; /* protobuf-c's, freed with the document */
} onnx_doc;

/** @param file   the mapped model; must outlive the document and what is built from it.
 *  @param folder where external data may lie: NULL = nowhere (E_UNSUPPORTED).
 *  @param extra  takes maps of external data, and tensors that had to be converted.
 *  @param doc    zero-initialised; release with onnx_doc_deinit, also on failure.
 *  @return E_FORMAT, E_LIMIT, E_UNSUPPORTED, E_NOTFOUND, E_NOMEM; the text names the tensor. */
PRELU_MUST_CHECK prelu_status onnx_doc_read(onnx_doc *doc, const mdl_map *file, const char *folder,
                                            struct prelu_model_extra *extra, prelu_err *err);
void onnx_doc_deinit(onnx_doc *doc);

/** Map `location` inside `folder`: relative, no "..", no symbolic link on its way below the folder.
 *  @return E_FORMAT a path that leaves the folder; as mdl_map_file. */
PRELU_MUST_CHECK prelu_status onnx_external_map(mdl_map *out, const char *folder,
                                                const char *location, prelu_err *err);

/** The attribute of that name, or NULL. */
const onnx_attr *onnx_node_attr(const onnx_node *n, const char *name);
/** Element i of a tensor as an integer / float; types that do not hold such give 0. */
int64_t onnx_tensor_int(const onnx_tensor *t, size_t i);
float onnx_tensor_float(const onnx_tensor *t, size_t i);
/** All elements as f32: the tensor's own memory if it is f32, else converted into `pile`.
 *  @return E_UNSUPPORTED a type that is no float. */
PRELU_MUST_CHECK prelu_status onnx_tensor_floats(onnx_tensor *t, mdl_pile *pile, const void **out,
                                                 prelu_err *err);
#endif
