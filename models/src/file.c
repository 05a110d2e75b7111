#define _POSIX_C_SOURCE 200809L
#include "file.h"
#include "prelu/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

prelu_status mdl_file_read(const char *path, size_t limit, char **text, size_t *len, prelu_err *err)
{
    prelu_status st = PRELU_OK;
    struct stat s;
    char *data = NULL;
    size_t done = 0;
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
    if ((uint64_t)s.st_size > limit) {
        st = prelu_fail(err, PRELU_E_LIMIT, "%s: %lld bytes, above %zu", path, (long long)s.st_size,
                        limit);
        goto out;
    }
    data = prelu_alloc((size_t)s.st_size + 1);
    if (!data) {
        st = prelu_fail(err, PRELU_E_NOMEM, "%s: %zu bytes", path, (size_t)s.st_size + 1);
        goto out;
    }
    while (done < (size_t)s.st_size) {
        ssize_t n = read(fd, data + done, (size_t)s.st_size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            st = prelu_fail(err, PRELU_E_IO, "%s: %s", path, strerror(errno));
            goto out;
        }
        if (n == 0)
            break;
        done += (size_t)n;
    }
    data[done] = 0;
    *text = data;
    *len = done;
    data = NULL;
out:
    prelu_free(data);
    close(fd);
    return st;
}
