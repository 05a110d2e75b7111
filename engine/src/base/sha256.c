/* The only user of nettle's SHA-256. */
#include "prelu/sha256.h"
#include "prelu/mem.h"
#include <nettle/sha2.h>

struct prelu_sha256 {
    struct sha256_ctx ctx;
};

_Static_assert(PRELU_SHA256_LEN == SHA256_DIGEST_SIZE, "a digest's bytes");

static void write_text(char *text, const uint8_t *digest)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < PRELU_SHA256_LEN; i++) {
        text[2 * i] = hex[digest[i] >> 4];
        text[2 * i + 1] = hex[digest[i] & 15];
    }
    text[2 * PRELU_SHA256_LEN] = 0;
}

void prelu_sha256_text(char text[PRELU_SHA256_TEXT], const void *data, size_t len)
{
    struct sha256_ctx ctx;
    uint8_t digest[PRELU_SHA256_LEN];
    sha256_init(&ctx);
    sha256_update(&ctx, len, data);
    sha256_digest(&ctx, sizeof digest, digest);
    write_text(text, digest);
}

prelu_sha256 *prelu_sha256_begin(void)
{
    prelu_sha256 *sha = prelu_alloc(sizeof *sha);
    if (sha)
        sha256_init(&sha->ctx);
    return sha;
}

void prelu_sha256_add(prelu_sha256 *sha, const void *data, size_t len)
{
    sha256_update(&sha->ctx, len, data);
}

void prelu_sha256_end(prelu_sha256 **sha, uint8_t digest[PRELU_SHA256_LEN],
                      char text[PRELU_SHA256_TEXT])
{
    uint8_t own[PRELU_SHA256_LEN];
    uint8_t *to = digest ? digest : own;
    sha256_digest(&(*sha)->ctx, PRELU_SHA256_LEN, to);
    if (text)
        write_text(text, to);
    prelu_sha256_destroy(sha);
}

void prelu_sha256_destroy(prelu_sha256 **sha)
{
    prelu_free(*sha);
    *sha = NULL;
}
