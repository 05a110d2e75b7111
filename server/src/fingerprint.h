#ifndef SRV_FINGERPRINT_H
#define SRV_FINGERPRINT_H
#include <stddef.h>

/** SHA-256 in hexadecimal. fingerprint.c is the only file that knows nettle. */
void srv_sha256_hex(char out[65], const void *data, size_t len);
#endif
