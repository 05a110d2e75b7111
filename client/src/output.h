/** Results as a table for people, one JSON document, or CSV. */
#ifndef PRELU_CLIENT_OUTPUT_H
#define PRELU_CLIENT_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "options.h"
#include "result.h"

typedef struct cli_output {
    cli_format format;
    FILE *out;         /* results; borrowed */
    FILE *err;         /* failures, table only; borrowed */
    bool utf8;         /* the terminal takes UTF-8 */
    bool escape;       /* CSV: `out` is a terminal, so controls are escaped; else bytes are kept */
    size_t columns;    /* of the table, 20..200 */
    size_t name_width; /* of the widest clean file name */
    size_t written;    /* results so far */
    bool no_mem;       /* a result could not be put together */
} cli_output;

/** Writes what stands before the first result. */
void cli_output_begin(cli_output *o);

/** Writes one result. A failure goes to `err` in a table, into the document otherwise. */
void cli_output_add(cli_output *o, const cli_result *r);

/** Writes what stands after the last result and flushes.
 *  @return false if any of it could not be written (disk full, memory). */
bool cli_output_end(cli_output *o);

/** Appends a score: "93.1%" within 0..1, "<0.1%" for a little, else as a plain number. */
void cli_score_text(cli_bytes *out, double score);

/** Appends a bar of `width` columns filled by `share` (clamped to 0..1), blanks included. */
void cli_bar_text(cli_bytes *out, double share, size_t width, bool utf8);

#endif
