/** A growing byte string with a ceiling. Failure is sticky, so a chain of appends is checked once.
 */
#ifndef PRELU_CLIENT_BYTES_H
#define PRELU_CLIENT_BYTES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cli_bytes {
    char *data;    /* owned; always NUL-terminated once anything was appended, NULL before */
    size_t len;    /* without the NUL */
    size_t cap;    /* allocated, with the NUL */
    size_t max;    /* ceiling of len; 0 = CLI_BYTES_MAX */
    bool too_long; /* the ceiling was hit */
    bool no_mem;   /* malloc failed */
} cli_bytes;

/* Ceiling where the owner names none: far above any text this program builds. */
#define CLI_BYTES_MAX ((size_t)1 << 30)

/** Starts empty with ceiling `max` (0 = CLI_BYTES_MAX). Allocates nothing. */
void cli_bytes_init(cli_bytes *b, size_t max);

/** Frees and empties; a zeroed struct is fine. Keeps the ceiling. */
void cli_bytes_deinit(cli_bytes *b);

/** Drops the content and the failure, keeps the memory. */
void cli_bytes_clear(cli_bytes *b);

/** Makes room for `extra` more bytes. @return false after a failure, now or earlier. */
bool cli_bytes_reserve(cli_bytes *b, size_t extra);

/** Appends `len` bytes. @return false after a failure, now or earlier; b is then unchanged. */
bool cli_bytes_add(cli_bytes *b, const void *data, size_t len);
bool cli_bytes_add_str(cli_bytes *b, const char *s);
bool cli_bytes_add_char(cli_bytes *b, char c);
bool cli_bytes_add_fmt(cli_bytes *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** @return the string, never NULL ("" if empty); borrowed until the next change. */
const char *cli_bytes_str(const cli_bytes *b);

/** @return the string, owned by the caller (free), or NULL after a failure; b is empty after it. */
char *cli_bytes_take(cli_bytes *b);

#endif
