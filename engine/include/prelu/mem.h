#ifndef PRELU_MEM_H
#define PRELU_MEM_H
#include <stddef.h>

/** Heap memory for every module, so that one hook can fail any allocation in tests.
 *  All return NULL when there is none (the caller reports E_NOMEM with the size). Thread-safe. */

/** `len` bytes, 64-byte aligned, contents undefined; len 0 gives a valid pointer. Large blocks ask
 *  for transparent huge pages. */
void *prelu_alloc(size_t len);
/** n * size zeroed bytes, 64-byte aligned; NULL on overflow. */
void *prelu_calloc(size_t n, size_t size);
/** Grow or shrink a block of prelu_alloc; ptr NULL allocates; on failure the old block stays. */
void *prelu_realloc(void *ptr, size_t len);
char *prelu_strdup(const char *s);
char *prelu_strndup(const char *s, size_t len);
/** NULL is fine. Only for memory from this header. */
void prelu_free(void *ptr);

/** Test hook: the nth allocation from now (1 = the next) and all after it fail; 0 = never.
 *  Returns how many allocations were made since the last call. Not for use beside other threads
 *  that allocate. */
size_t prelu_alloc_fail_from(size_t nth);
#endif
