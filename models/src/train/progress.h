#ifndef TRAIN_PROGRESS_H
#define TRAIN_PROGRESS_H
#include "prelu/status.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/** Progress of one long loop over pictures: on a terminal a bar that is drawn over itself with
 *  images/s and ETA; elsewhere a plain line now and then. Quiet: nothing. */
typedef struct train_progress {
    FILE *f;
    bool terminal, quiet;
    char what[48];               /* e.g. "epoch 3/30" */
    uint64_t done, total, first; /* pictures; `first` were done before the start */
    double start_ms, drawn_ms;
    bool drawn;
} train_progress;

/** @param f usually stderr; borrowed. */
void train_progress_begin(train_progress *p, FILE *f, bool quiet, const char *what, uint64_t first,
                          uint64_t total);
/** @param more e.g. "loss 1.234", or "". Draws at most ten times a second. */
void train_progress_update(train_progress *p, uint64_t done, const char *more);
/** Take the bar away. */
void train_progress_end(train_progress *p);
/** A line of its own, above the bar. Printed even when quiet if `always`. */
void train_progress_line(train_progress *p, bool always, const char *fmt, ...) PRELU_PRINTF(3, 4);

/** Pictures per second since the start; 0 before the first. */
double train_progress_rate(const train_progress *p);
/** "1:02:03" or "4:05"; returns buf. */
const char *train_duration(double seconds, char *buf, size_t len);
#endif
