#ifndef PRELU_STATUS_H
#define PRELU_STATUS_H
#include <stddef.h>

/** The one table of results: code, number, text. Numbers are never reused. */
#define PRELU_STATUS_MAP(X)                                                                        \
    X(OK, 0, "success")                                                                            \
    X(E_ARG, 1, "argument out of range")                                                           \
    X(E_NOMEM, 2, "out of memory")                                                                 \
    X(E_FORMAT, 3, "malformed input")                                                              \
    X(E_LIMIT, 4, "input above a set limit")                                                       \
    X(E_UNSUPPORTED, 5, "input of a kind that is not supported")                                   \
    X(E_NOTFOUND, 6, "no such file or name")                                                       \
    X(E_IO, 7, "reading or writing failed")                                                        \
    X(E_PERM, 8, "permission denied")                                                              \
    X(E_BUSY, 9, "busy, try again later")                                                          \
    X(E_TIMEOUT, 10, "deadline passed")                                                            \
    X(E_CANCELLED, 11, "cancelled")                                                                \
    X(E_INTERNAL, 12, "internal error")

typedef enum prelu_status {
#define X(name, num, text) PRELU_##name = num,
    PRELU_STATUS_MAP(X)
#undef X
} prelu_status;

#if defined(__GNUC__)
#define PRELU_MUST_CHECK __attribute__((warn_unused_result))
#define PRELU_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define PRELU_MUST_CHECK
#define PRELU_PRINTF(f, a)
#endif

/** What went wrong, in words: what, where, value and limit. Zero-initialise it; the first error
 *  wins; a NULL prelu_err * is accepted everywhere. */
typedef struct prelu_err {
    prelu_status code;
    char text[256];
} prelu_err;

/** Static text of a code; "unknown" for a number that is none. Thread-safe. */
const char *prelu_status_text(prelu_status st);

/** Fill *err unless it holds an earlier error; always returns `code`. */
prelu_status prelu_fail(prelu_err *err, prelu_status code, const char *fmt, ...) PRELU_PRINTF(3, 4);

/** Status for an errno of open/read/write: ENOENT E_NOTFOUND, EACCES/EPERM E_PERM, ENOMEM
 *  E_NOMEM, the rest E_IO. */
prelu_status prelu_status_from_errno(int errnum);

/** a * b (a + b) into *out; E_LIMIT on overflow. */
prelu_status prelu_mul(size_t a, size_t b, size_t *out, prelu_err *err) PRELU_MUST_CHECK;
prelu_status prelu_add(size_t a, size_t b, size_t *out, prelu_err *err) PRELU_MUST_CHECK;

/** Only in functions that own nothing. */
#define PRELU_TRY(call)                                                                            \
    do {                                                                                           \
        prelu_status try_st_ = (call);                                                             \
        if (try_st_)                                                                               \
            return try_st_;                                                                        \
    } while (0)
#endif
