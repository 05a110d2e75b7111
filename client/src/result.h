/** What became of one picture; numbers of a JSON file. The only file that knows jansson. */
#ifndef PRELU_CLIENT_RESULT_H
#define PRELU_CLIENT_RESULT_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"

typedef struct cli_prediction {
    long long class_index; /* -1 if the server named none */
    const char *id;        /* "" if none */
    const char *label;     /* the id if the server named none; "" only with a class_index */
    double score;          /* finite */
} cli_prediction;

/* Strings are UTF-8 where they come from JSON, any bytes where they are file names. */
typedef struct cli_result {
    bool ok;                     /* classified: count > 0 */
    char *file;                  /* owned; NULL only if memory ran out */
    char *error;                 /* owned; read through cli_result_error */
    char *code;                  /* owned; read through cli_result_code */
    int status;                  /* HTTP status, 0 if there was no answer */
    cli_prediction *predictions; /* owned; count of them, their strings in one block behind them */
    size_t count;
    char *chosen; /* owned; the mode that the server chose for mode auto, or NULL */
    char *json;   /* owned; the answer as cli_result_json writes it, or NULL */
} cli_result;

/** Starts with a copy of `file`, failed as out of memory until something better is known. */
void cli_result_init(cli_result *r, const char *file);

/** Frees; a zeroed struct is fine. */
void cli_result_deinit(cli_result *r);

/** @return why it failed, in words and as a constant-like code; "" if ok. Never NULL. */
const char *cli_result_error(const cli_result *r);
const char *cli_result_code(const cli_result *r);

/** Makes it a failure found on this side (status 0) or in the answer's form. */
void cli_result_fail(cli_result *r, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/** Judges a complete HTTP answer: predictions, the server's error, or code "bad_reply".
 *  @param body len bytes, hostile. @param type its Content-Type, for the message. */
void cli_result_from_reply(cli_result *r, int status, const char *body, size_t len,
                           const char *type);

/** Appends {"file":…} with the server's members, or {"file","error","code","status",…}.
 *  One line of UTF-8 without anything that steers a terminal. */
void cli_result_json(cli_bytes *out, const cli_result *r);

/** Finds the number at a path of members, such as {"summary", "p99", NULL}.
 *  @param path NULL at its end. @return false: no JSON (path[0] NULL asks just that), or no number.
 */
bool cli_json_number(double *out, const char *text, size_t len, const char *const *path);

#endif
