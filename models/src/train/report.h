#ifndef TRAIN_REPORT_H
#define TRAIN_REPORT_H
#include "json.h"
#include "prelu/status.h"
#include <stdio.h>

/** prelu-train report: what runs have logged. cmd_report.c reads, report_html.c writes. */

#define REPORT_MAX_RUNS 16

typedef struct report_run {
    const char *dir, *name; /* folder as given, and its last part */
    mdl_json **lines;       /* of log.jsonl that could be read */
    size_t n_lines, damaged;
    /* NULL where the log has none; borrowed from the lines */
    const mdl_json *config; /* of the last start */
    const mdl_json *begin;  /* layers before the first step */
    const mdl_json *end; /* layers after the last epoch, with signals if that was the run's end */
    const mdl_json *val; /* confusion and worst errors */
    /* by epoch; NaN where the log has none */
    size_t epochs;
    double *epoch, *train_loss, *train_error, *val_error, *val_error5; /* errors in % */
} report_run;

typedef struct report {
    report_run runs[REPORT_MAX_RUNS];
    int n;
} report;

PRELU_MUST_CHECK prelu_status train_report_write(const report *r, const char *path, prelu_err *err);
#endif
