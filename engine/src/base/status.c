#include "prelu/status.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

const char *prelu_status_text(prelu_status st)
{
    switch (st) {
#define X(name, num, text)                                                                         \
    case PRELU_##name:                                                                             \
        return text;
        PRELU_STATUS_MAP(X)
#undef X
    }
    return "unknown";
}

prelu_status prelu_fail(prelu_err *err, prelu_status code, const char *fmt, ...)
{
    if (err && err->code == PRELU_OK) {
        va_list ap;
        va_start(ap, fmt);
        err->code = code;
        vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
    }
    return code;
}

prelu_status prelu_status_from_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
    case ENOTDIR:
        return PRELU_E_NOTFOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return PRELU_E_PERM;
    case ENOMEM:
        return PRELU_E_NOMEM;
    default:
        return PRELU_E_IO;
    }
}

prelu_status prelu_mul(size_t a, size_t b, size_t *out, prelu_err *err)
{
    if (__builtin_mul_overflow(a, b, out))
        return prelu_fail(err, PRELU_E_LIMIT, "%zu x %zu overflows", a, b);
    return PRELU_OK;
}

prelu_status prelu_add(size_t a, size_t b, size_t *out, prelu_err *err)
{
    if (__builtin_add_overflow(a, b, out))
        return prelu_fail(err, PRELU_E_LIMIT, "%zu + %zu overflows", a, b);
    return PRELU_OK;
}
