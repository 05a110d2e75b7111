/** Progress on a terminal: one line at the bottom, redrawn in place. */
#ifndef PRELU_CLIENT_METER_H
#define PRELU_CLIENT_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "bytes.h"

typedef struct cli_meter {
    FILE *err; /* a terminal; borrowed */
    bool on;   /* false: every call is a no-op */
    bool utf8;
    bool shown; /* the line is on the screen */
    size_t total;
    double start_s; /* clock when the first request went out */
    double drawn_s; /* clock of the last drawing */
} cli_meter;

/** Draws, at most ten times a second unless the line was wiped. */
void cli_meter_draw(cli_meter *m, size_t done, size_t failed, double now_s);

/** Wipes the line, so that other text can be written. */
void cli_meter_clear(cli_meter *m);

/** Appends the line, at most `columns` - 1 wide. @param elapsed_s since the first request. */
void cli_meter_text(cli_bytes *out, size_t done, size_t total, size_t failed, double elapsed_s,
                    size_t columns, bool utf8);

/** @return seconds of a clock that never goes back. */
double cli_clock(void);

#endif
