/** Text of strangers (file names, labels, server messages) on its way to a terminal, CSV or JSON.
 *  Nothing that steers a terminal passes: controls, bidirectional overrides and bytes that are no
 *  UTF-8 are written as visible escapes. */
#ifndef PRELU_CLIENT_TERMTEXT_H
#define PRELU_CLIENT_TERMTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

/* What cli_utf8_next reports for a byte that does not start a well-formed sequence. */
#define CLI_UTF8_BAD UINT32_MAX

/** Sets LC_CTYPE from the environment; the plain C locale becomes C.UTF-8, as Python does it.
 *  Numbers keep their point. @return true if the terminal takes UTF-8. Once, before any thread. */
bool cli_text_locale(void);

/** Decodes one code point strictly (no overlong forms, surrogates, or values above U+10FFFF).
 *  @param s,len at least one byte. @return bytes consumed, 1 with *cp = CLI_UTF8_BAD if ill-formed.
 */
size_t cli_utf8_next(const char *s, size_t len, uint32_t *cp);

/** Appends `s`, safe for a terminal: `\n \r \t \xNN \u{NNNN}` stand for what is not printable.
 *  @param utf8 false: everything above ASCII is escaped too. */
void cli_text_clean(cli_bytes *out, const char *s, bool utf8);

/** Appends `s` with ill-formed bytes replaced by U+FFFD, for JSON. */
void cli_text_repair(cli_bytes *out, const char *s);

/** Appends JSON text with every code point that could steer a terminal as \uNNNN. In well-formed
 *  JSON such a code point can only stand inside a string, so the meaning is unchanged. */
void cli_text_json_safe(cli_bytes *out, const char *json);

/** Appends one CSV field as RFC 4180 has it, quoted only if it must be. */
void cli_text_csv(cli_bytes *out, const char *s);

/** @return columns that clean text takes on a terminal. */
size_t cli_text_width(const char *clean);

/** Appends clean text cut to `width` columns (ending in an ellipsis if cut), padded with blanks up
 *  to `width`. width 0 appends nothing. */
void cli_text_fit(cli_bytes *out, const char *clean, size_t width, bool utf8);

/** @return columns of the terminal on `fd`, else COLUMNS, else 80; within 20..200. */
size_t cli_text_columns(int fd);

#endif
