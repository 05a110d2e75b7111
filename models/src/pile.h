#ifndef MDL_PILE_H
#define MDL_PILE_H
#include "prelu/status.h"

/** Many blocks freed together. Zero-initialise; not thread-safe. */
typedef struct mdl_pile {
    struct mdl_pile_chunk *chunks;
    size_t used, size; /* of the first chunk */
} mdl_pile;

/** `count` zeroed elements of `size` bytes, 64-byte aligned above 4 KiB, else 16-byte aligned.
 *  @param what  named in the error. @return NULL with *err filled: E_LIMIT on overflow, E_NOMEM. */
void *mdl_pile_alloc(mdl_pile *pile, size_t count, size_t size, const char *what, prelu_err *err);
void mdl_pile_deinit(mdl_pile *pile);
#endif
