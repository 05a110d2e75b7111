#ifndef ONNX_OUT_H
#define ONNX_OUT_H
#include "prelu/status.h"
#include <stdint.h>

/** protobuf's wire, written: small messages grow in memory, weights go straight to the file. */

/** A message under construction. The first failure sticks in `st`. Zero-initialise, with `err`. */
typedef struct onnx_buf {
    uint8_t *p;
    size_t n, cap;
    prelu_status st;
    prelu_err *err;
} onnx_buf;

void onnx_buf_deinit(onnx_buf *b);
void onnx_put_int(onnx_buf *b, unsigned field, int64_t v);
void onnx_put_float(onnx_buf *b, unsigned field, float v);
void onnx_put_bytes(onnx_buf *b, unsigned field, const void *data, size_t len);
void onnx_put_text(onnx_buf *b, unsigned field, const char *text);
/** The finished `child` as a field of b; empties it for the next. */
void onnx_put_message(onnx_buf *b, unsigned field, onnx_buf *child);
/** Tag and length of a field whose `len` bytes follow elsewhere. */
void onnx_put_head(onnx_buf *b, unsigned field, size_t len);
/** Bytes that onnx_put_head would write. */
size_t onnx_head_len(unsigned field, size_t len);

/** A file that appears under its name only when it is complete: written beside it, fsynced,
 * renamed. */
typedef struct onnx_file {
    int fd; /* -1 = closed */
    char *path, *temp;
    size_t at; /* bytes written */
    uint8_t *buffer;
    size_t pending;
} onnx_file;

/** @return E_IO: no such folder, no space, or `path` is something else than a regular file; E_PERM,
 *          E_NOMEM. Always followed by onnx_file_deinit. */
PRELU_MUST_CHECK prelu_status onnx_file_open(onnx_file *f, const char *path, prelu_err *err);
PRELU_MUST_CHECK prelu_status onnx_file_write(onnx_file *f, const void *data, size_t len,
                                              prelu_err *err);
/** Zeros up to a multiple of `align`. */
PRELU_MUST_CHECK prelu_status onnx_file_align(onnx_file *f, size_t align, prelu_err *err);
/** Write out and fsync: after it the file can no longer fail but in its rename. */
PRELU_MUST_CHECK prelu_status onnx_file_sync(onnx_file *f, prelu_err *err);
/** Rename into place. @param path NULL = the one given to open. */
PRELU_MUST_CHECK prelu_status onnx_file_commit(onnx_file *f, const char *path, prelu_err *err);
/** Removes the temporary file unless committed. Zeroed and NULLed is fine. */
void onnx_file_deinit(onnx_file *f);
#endif
