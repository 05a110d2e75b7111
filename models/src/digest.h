#ifndef MDL_DIGEST_H
#define MDL_DIGEST_H
#include "prelu/status.h"
#include <stddef.h>
#include <stdint.h>

#define MDL_DIGEST_TEXT 65 /* 64 hex digits and the end */

/** SHA-256 of a block as lower-case hex. Thread-safe. */
void mdl_digest_block(const void *data, size_t len, char text[MDL_DIGEST_TEXT]);

/** SHA-256 of a file's contents, read in pieces. @param size NULL, or its length in bytes.
 *  @return E_NOTFOUND, E_PERM, E_FORMAT not a regular file, E_IO. Thread-safe. */
PRELU_MUST_CHECK prelu_status mdl_digest_file(const char *path, char text[MDL_DIGEST_TEXT],
                                              uint64_t *size, prelu_err *err);
#endif
