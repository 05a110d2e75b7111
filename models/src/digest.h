#ifndef MDL_DIGEST_H
#define MDL_DIGEST_H
#include "prelu/sha256.h"
#include "prelu/status.h"

/** SHA-256 of a file's contents, read in pieces. @param size NULL, or its length in bytes.
 *  @return E_NOTFOUND, E_PERM, E_FORMAT not a regular file, E_IO. Thread-safe. */
PRELU_MUST_CHECK prelu_status mdl_digest_file(const char *path, char text[PRELU_SHA256_TEXT],
                                              uint64_t *size, prelu_err *err);
#endif
