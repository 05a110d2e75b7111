#define _POSIX_C_SOURCE 200809L
#include "digest.h"
#include "prelu/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)64 * 1024)

prelu_status mdl_digest_file(const char *path, char text[PRELU_SHA256_TEXT], uint64_t *size,
                             prelu_err *err)
{
    prelu_sha256 *sha = NULL;
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
    sha = prelu_sha256_begin();
    if (!piece || !sha) {
        st = prelu_fail(err, PRELU_E_NOMEM, "digest: %zu bytes", PIECE);
        goto out;
    }
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
        prelu_sha256_add(sha, piece, (size_t)n);
        total += (uint64_t)n;
    }
    prelu_sha256_end(&sha, NULL, text);
    if (size)
        *size = total;
out:
    prelu_sha256_destroy(&sha);
    prelu_free(piece);
    close(fd);
    return st;
}
