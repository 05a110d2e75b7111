#ifndef PRELU_SHA256_H
#define PRELU_SHA256_H
#include <stddef.h>
#include <stdint.h>

#define PRELU_SHA256_LEN 32  /* bytes */
#define PRELU_SHA256_TEXT 65 /* lower-case hexadecimal digits and the end */

/** SHA-256 of a block, as text. Thread-safe. */
void prelu_sha256_text(char text[PRELU_SHA256_TEXT], const void *data, size_t len);

/** The same piece by piece. */
typedef struct prelu_sha256 prelu_sha256;
prelu_sha256 *prelu_sha256_begin(void); /* NULL = no memory */
void prelu_sha256_add(prelu_sha256 *sha, const void *data, size_t len);
/** Frees it. @param digest  NULL where a text will do; @param text  NULL where the bytes will. */
void prelu_sha256_end(prelu_sha256 **sha, uint8_t digest[PRELU_SHA256_LEN],
                      char text[PRELU_SHA256_TEXT]);
/** For one that was not ended; NULL is fine. */
void prelu_sha256_destroy(prelu_sha256 **sha);
#endif
