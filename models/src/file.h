#ifndef MDL_FILE_H
#define MDL_FILE_H
#include "prelu/status.h"

/** A whole regular file with a zero byte after it, owned by the caller (prelu_free).
 *  @param limit most bytes the file may have. @param len without the zero.
 *  @return E_NOTFOUND, E_PERM, E_IO; E_FORMAT not a regular file; E_LIMIT; E_NOMEM. Thread-safe. */
PRELU_MUST_CHECK prelu_status mdl_file_read(const char *path, size_t limit, char **text,
                                            size_t *len, prelu_err *err);
#endif
