#include "fingerprint.h"
#include "prelu/mem.h"
#include <nettle/memops.h>
#include <nettle/sha2.h>
#include <stdint.h>
#include <stdio.h>

struct srv_sha256 {
    struct sha256_ctx ctx;
};

static void finish(struct sha256_ctx *ctx, char out[65])
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(ctx, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

void srv_sha256_hex(char out[65], const void *data, size_t len)
{
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    sha256_update(&ctx, len, data);
    finish(&ctx, out);
}

srv_sha256 *srv_sha256_begin(void)
{
    srv_sha256 *sha = prelu_alloc(sizeof *sha);
    if (sha)
        sha256_init(&sha->ctx);
    return sha;
}

void srv_sha256_add(srv_sha256 *sha, const void *data, size_t len)
{
    sha256_update(&sha->ctx, len, data);
}

void srv_sha256_end(srv_sha256 *sha, char out[65])
{
    if (sha)
        finish(&sha->ctx, out);
    prelu_free(sha);
}

bool srv_equal_in_constant_time(const void *a, const void *b, size_t len)
{
    return memeql_sec(a, b, len) == 1;
}
