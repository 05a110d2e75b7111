#define _GNU_SOURCE
#include "runlog.h"
#include "common.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LINE 65536 /* two paths of 4096 bytes, six bytes of JSON for each, and the rest */

static prelu_status fail_errno(prelu_err *err, const char *path)
{
    return prelu_fail(err, prelu_status_from_errno(errno), "%s: %s", path, strerror(errno));
}

static prelu_status join(char **out, const char *dir, const char *name, prelu_err *err)
{
    size_t len = strlen(dir) + strlen(name) + 2;
    *out = prelu_alloc(len);
    if (!*out)
        return prelu_fail(err, PRELU_E_NOMEM, "run: %zu bytes", len);
    snprintf(*out, len, "%s/%s", dir, name);
    return PRELU_OK;
}

static prelu_status open_file(int *fd, const char *dir, const char *name, int flags, prelu_err *err)
{
    char *path = NULL;
    prelu_status st = join(&path, dir, name, err);
    if (st)
        return st;
    *fd = open(path, flags | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0)
        st = fail_errno(err, path);
    prelu_free(path);
    return st;
}

prelu_status train_run_open(train_run *r, const char *dir, prelu_err *err)
{
    prelu_status st = PRELU_OK;
    *r = (train_run){.lock = -1, .log = -1};
    if (mkdir(dir, 0777) && errno != EEXIST)
        return fail_errno(err, dir);
    r->dir = prelu_strdup(dir);
    if (!r->dir)
        return prelu_fail(err, PRELU_E_NOMEM, "run: %zu bytes", strlen(dir));
    st = join(&r->checkpoint, dir, "checkpoint", err);
    if (!st)
        st = open_file(&r->lock, dir, "lock", O_RDWR, err);
    if (!st && flock(r->lock, LOCK_EX | LOCK_NB))
        st = errno == EWOULDBLOCK
                 ? prelu_fail(err, PRELU_E_BUSY, "%s is in use by another training run", dir)
                 : fail_errno(err, dir);
    if (!st)
        st = open_file(&r->log, dir, "log.jsonl", O_WRONLY | O_APPEND, err);
    if (st)
        train_run_close(r);
    return st;
}

prelu_status train_run_attach(train_run *r, const char *dir, prelu_err *err)
{
    *r = (train_run){.lock = -1, .log = -1, .dir = prelu_strdup(dir)};
    if (!r->dir)
        return prelu_fail(err, PRELU_E_NOMEM, "run: %zu bytes", strlen(dir));
    return join(&r->checkpoint, dir, "checkpoint", err);
}

void train_run_close(train_run *r)
{
    if (r->log >= 0)
        close(r->log);
    if (r->lock >= 0)
        close(r->lock); /* gives the lock up */
    prelu_free(r->dir);
    prelu_free(r->checkpoint);
    *r = (train_run){.lock = -1, .log = -1};
}

bool train_run_has_checkpoint(const train_run *r) { return access(r->checkpoint, F_OK) == 0; }

static prelu_status write_all(int fd, const char *path, const char *text, size_t len,
                              prelu_err *err)
{
    while (len) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, path);
        text += n;
        len -= (size_t)n;
    }
    return PRELU_OK;
}

prelu_status train_run_write(const train_run *r, const char *name, const char *text, prelu_err *err)
{
    char *path = NULL, *temporary = NULL;
    int fd = -1;
    prelu_status st = join(&path, r->dir, name, err);
    if (!st)
        st = join(&temporary, r->dir, "config.tmp", err);
    if (st)
        goto out;
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        st = fail_errno(err, temporary);
        goto out;
    }
    st = write_all(fd, temporary, text, strlen(text), err);
    if (!st && fsync(fd))
        st = fail_errno(err, temporary);
    if (close(fd) && !st)
        st = fail_errno(err, temporary);
    if (!st && rename(temporary, path))
        st = fail_errno(err, path);
    if (st)
        unlink(temporary);
out:
    prelu_free(path);
    prelu_free(temporary);
    return st;
}

void train_run_log(train_run *r, const char *fmt, ...)
{
    char line[MAX_LINE];
    va_list ap;
    prelu_err err = {0};
    if (r->log < 0)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line - 1, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof line - 1)
        return; /* never happens: every text in a line is bounded by its writer */
    line[n++] = '\n';
    if (write_all(r->log, "log.jsonl", line, (size_t)n, &err) && !r->log_failed) {
        r->log_failed = true;
        prelu_log(PRELU_LOG_WARN, "%s", err.text);
    }
}

const char *train_quote(const char *text, char *buf, size_t len)
{
    char part[512];
    FILE *f;
    /* six bytes of JSON for one of text at most, two quotes and the end */
    size_t most = (len - 3) / 6;
    snprintf(part, sizeof part, "%.*s", (int)(most < sizeof part ? most : sizeof part - 1), text);
    memset(buf, 0, len);
    f = fmemopen(buf, len, "w");
    if (!f)
        return "\"\"";
    train_json_text(f, part);
    fclose(f);
    return buf;
}
