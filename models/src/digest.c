/* The only user of nettle in this module. */
#define _POSIX_C_SOURCE 200809L
#include "digest.h"
#include "prelu/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)64 * 1024)

static void finish(struct sha256_ctx *sha, char text[MDL_DIGEST_TEXT])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t bytes[SHA256_DIGEST_SIZE];
    sha256_digest(sha, sizeof bytes, bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        text[2 * i] = hex[bytes[i] >> 4];
        text[2 * i + 1] = hex[bytes[i] & 15];
    }
    text[2 * sizeof bytes] = 0;
}

void mdl_digest_block(const void *data, size_t len, char text[MDL_DIGEST_TEXT])
{
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, len, data);
    finish(&sha, text);
}

prelu_status mdl_digest_file(const char *path, char text[MDL_DIGEST_TEXT], uint64_t *size,
                             prelu_err *err)
{
    struct sha256_ctx sha;
    prelu_status st = PRELU_OK;
    uint64_t total = 0;
    uint8_t *piece = NULL;
    struct stat s;
    /* non-blocking, so that a FIFO with a picture's name cannot hang us */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return prelu_fail(err, prelu_status_from_errno(errno), "%s: %s", path, strerror(errno));
    if (fstat(fd, &s)) {
        st = prelu_fail(err, PRELU_E_IO, "%s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(s.st_mode)) {
        st = prelu_fail(err, PRELU_E_FORMAT, "%s: not a regular file", path);
        goto out;
    }
    piece = prelu_alloc(PIECE);
    if (!piece) {
        st = prelu_fail(err, PRELU_E_NOMEM, "digest: %zu bytes", PIECE);
        goto out;
    }
    sha256_init(&sha);
    for (;;) {
        ssize_t n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            st = prelu_fail(err, PRELU_E_IO, "%s: %s", path, strerror(errno));
            goto out;
        }
        if (n == 0)
            break;
        sha256_update(&sha, (size_t)n, piece);
        total += (uint64_t)n;
    }
    finish(&sha, text);
    if (size)
        *size = total;
out:
    prelu_free(piece);
    close(fd);
    return st;
}
