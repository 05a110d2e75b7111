#ifndef TRAIN_RUNLOG_H
#define TRAIN_RUNLOG_H
#include "prelu/status.h"
#include <stdbool.h>
#include <stdio.h>

/** A run's folder: config.json, log.jsonl, checkpoint. One process at a time: it holds a lock on
 *  the file `lock` in it. */
typedef struct train_run {
    char *dir;
    char *checkpoint; /* path */
    int lock;         /* descriptor, -1 none */
    int log;
    bool log_failed; /* reported already */
} train_run;

/** Make the folder if it is not there, and lock it.
 *  @return E_BUSY another process has it; E_NOTFOUND its parent is missing; E_IO, E_PERM, E_NOMEM.
 */
PRELU_MUST_CHECK prelu_status train_run_open(train_run *r, const char *dir, prelu_err *err);
/** Know the folder of another process' run without holding it: no lock, log lines go nowhere. */
PRELU_MUST_CHECK prelu_status train_run_attach(train_run *r, const char *dir, prelu_err *err);
void train_run_close(train_run *r); /* zeroed with lock = log = -1 is fine */
bool train_run_has_checkpoint(const train_run *r);
/** Write a whole file of the folder, atomically. @return E_IO, E_PERM. */
PRELU_MUST_CHECK prelu_status train_run_write(const train_run *r, const char *name,
                                              const char *text, prelu_err *err);
/** Append one line of JSON (printf's format, without the line end) in one write. What goes wrong is
 *  logged once: a full disk does not end a training run. */
void train_run_log(train_run *r, const char *fmt, ...) PRELU_PRINTF(2, 3);
/** `text` as a JSON string, quotes included, cut to fit; returns buf. */
const char *train_quote(const char *text, char *buf, size_t len);
#endif
