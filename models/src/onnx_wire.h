#ifndef ONNX_WIRE_H
#define ONNX_WIRE_H
#include "prelu/status.h"
#include <stdint.h>

/** protobuf-c copies every bytes field and recurses without limit. So a file is first walked here:
 *  lengths, wire types, nesting (<= 64) and the number of items are checked, and a reduced copy is
 *  made that holds only the fields that the reader looks at, with each TensorProto.raw_data
 * replaced by where it lies in the file. */

#define ONNX_MAX_DEPTH 64
#define ONNX_MAX_ITEMS 1000000 /* fields kept: bounds protobuf-c's memory per field */

/** Content of raw_data in the reduced copy, in this machine's byte order. */
typedef struct onnx_raw {
    uint64_t offset, len; /* offset + len <= the file's length */
} onnx_raw;

/** @param out  reduced ModelProto, owned by the caller (prelu_free).
 *  @return E_FORMAT cut or malformed (the text gives the byte offset); E_LIMIT nesting, items,
 * size; E_NOMEM. Thread-safe. */
PRELU_MUST_CHECK prelu_status onnx_wire_reduce(uint8_t **out, size_t *out_len, const uint8_t *file,
                                               size_t len, prelu_err *err);
#endif
