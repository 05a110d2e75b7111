#ifndef SRV_FINGERPRINT_H
#define SRV_FINGERPRINT_H
#include <stdbool.h>
#include <stddef.h>

/** SHA-256 in hexadecimal. fingerprint.c is the only file that knows nettle. */
void srv_sha256_hex(char out[65], const void *data, size_t len);
/** The same piece by piece. */
typedef struct srv_sha256 srv_sha256;
srv_sha256 *srv_sha256_begin(void); /* NULL = no memory */
void srv_sha256_add(srv_sha256 *sha, const void *data, size_t len);
/** Frees it; NULL is fine. */
void srv_sha256_end(srv_sha256 *sha, char out[65]);
/** Takes as long whether or where they differ. */
bool srv_equal_in_constant_time(const void *a, const void *b, size_t len);
#endif
