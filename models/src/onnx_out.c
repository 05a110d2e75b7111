#define _POSIX_C_SOURCE 200809L
#include "onnx_out.h"
#include "prelu/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_LEN ((size_t)1 << 20)

void onnx_buf_deinit(onnx_buf *b)
{
    prelu_free(b->p);
    memset(b, 0, sizeof *b);
}

static void put(onnx_buf *b, const void *data, size_t len)
{
    if (b->st)
        return;
    if (len > b->cap - b->n) {
        size_t want = b->cap ? b->cap : 256;
        uint8_t *grown;
        while (want - b->n < len)
            want *= 2;
        grown = prelu_realloc(b->p, want);
        if (!grown) {
            b->st = prelu_fail(b->err, PRELU_E_NOMEM, "ONNX message: %zu bytes", want);
            return;
        }
        b->p = grown;
        b->cap = want;
    }
    if (len)
        memcpy(b->p + b->n, data, len);
    b->n += len;
}

static size_t varint(uint8_t out[10], uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    return n;
}

static void put_varint(onnx_buf *b, uint64_t v)
{
    uint8_t bytes[10];
    put(b, bytes, varint(bytes, v));
}

void onnx_put_int(onnx_buf *b, unsigned field, int64_t v)
{
    put_varint(b, field << 3);
    put_varint(b, (uint64_t)v);
}

void onnx_put_float(onnx_buf *b, unsigned field, float v)
{
    put_varint(b, field << 3 | 5);
    put(b, &v, sizeof v);
}

void onnx_put_head(onnx_buf *b, unsigned field, size_t len)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, len);
}

size_t onnx_head_len(unsigned field, size_t len)
{
    uint8_t bytes[10];
    return varint(bytes, field << 3 | 2) + varint(bytes, len);
}

void onnx_put_bytes(onnx_buf *b, unsigned field, const void *data, size_t len)
{
    onnx_put_head(b, field, len);
    put(b, data, len);
}

void onnx_put_text(onnx_buf *b, unsigned field, const char *text)
{
    onnx_put_bytes(b, field, text, strlen(text));
}

void onnx_put_message(onnx_buf *b, unsigned field, onnx_buf *child)
{
    if (!b->st)
        b->st = child->st;
    onnx_put_bytes(b, field, child->p, child->n);
    child->n = 0;
}

static prelu_status failed(const onnx_file *f, const char *what, prelu_err *err)
{
    int e = errno;
    prelu_status st = prelu_status_from_errno(e);
    /* A folder that is missing is a write that failed, not an input that is absent. */
    return prelu_fail(err, st == PRELU_E_NOTFOUND ? PRELU_E_IO : st, "%s %.120s: %s", what, f->path,
                      strerror(e));
}

prelu_status onnx_file_open(onnx_file *f, const char *path, prelu_err *err)
{
    size_t len = strlen(path) + 32;
    struct stat s;
    memset(f, 0, sizeof *f);
    f->fd = -1;
    /* The rename at the end would put a file in a device's or FIFO's place. */
    if (!stat(path, &s) && !S_ISREG(s.st_mode))
        return prelu_fail(err, PRELU_E_IO, "writing %.120s: it is there and not a regular file",
                          path);
    f->path = prelu_strdup(path);
    f->temp = prelu_alloc(len);
    f->buffer = prelu_alloc(BUFFER_LEN);
    if (!f->path || !f->temp || !f->buffer)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu bytes to write a file", BUFFER_LEN);
    snprintf(f->temp, len, "%s.tmp%ld", path, (long)getpid());
    unlink(f->temp); /* left by a process of our number that was killed */
    f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return f->fd < 0 ? failed(f, "creating", err) : PRELU_OK;
}

static prelu_status write_all(onnx_file *f, const uint8_t *data, size_t len, prelu_err *err)
{
    while (len) {
        ssize_t n = write(f->fd, data, len < ((size_t)1 << 30) ? len : (size_t)1 << 30);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return failed(f, "writing", err);
        data += n;
        len -= (size_t)n;
    }
    return PRELU_OK;
}

static prelu_status drain(onnx_file *f, prelu_err *err)
{
    size_t len = f->pending;
    f->pending = 0;
    return write_all(f, f->buffer, len, err);
}

prelu_status onnx_file_write(onnx_file *f, const void *data, size_t len, prelu_err *err)
{
    f->at += len;
    if (len > BUFFER_LEN - f->pending)
        PRELU_TRY(drain(f, err));
    if (len > BUFFER_LEN)
        return write_all(f, data, len, err);
    if (len)
        memcpy(f->buffer + f->pending, data, len);
    f->pending += len;
    return PRELU_OK;
}

prelu_status onnx_file_align(onnx_file *f, size_t align, prelu_err *err)
{
    static const uint8_t zeros[64];
    while (f->at % align) {
        size_t n = align - f->at % align;
        PRELU_TRY(onnx_file_write(f, zeros, n < sizeof zeros ? n : sizeof zeros, err));
    }
    return PRELU_OK;
}

prelu_status onnx_file_sync(onnx_file *f, prelu_err *err)
{
    int fd = f->fd;
    PRELU_TRY(drain(f, err));
    if (fsync(fd))
        return failed(f, "writing", err);
    f->fd = -1;
    return close(fd) ? failed(f, "writing", err) : PRELU_OK;
}

/* Make the rename itself last. File systems that cannot fsync a folder are no failure. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? prelu_strndup(path, (size_t)(slash - path) + 1) : prelu_strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    prelu_free(folder);
}

prelu_status onnx_file_commit(onnx_file *f, const char *path, prelu_err *err)
{
    path = path ? path : f->path;
    if (rename(f->temp, path))
        return failed(f, "renaming to", err);
    prelu_free(f->temp);
    f->temp = NULL;
    sync_folder(path);
    return PRELU_OK;
}

void onnx_file_deinit(onnx_file *f)
{
    if (f->buffer && f->fd >= 0)
        close(f->fd);
    if (f->temp)
        unlink(f->temp);
    prelu_free(f->path);
    prelu_free(f->temp);
    prelu_free(f->buffer);
    memset(f, 0, sizeof *f);
    f->fd = -1;
}
