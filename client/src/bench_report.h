/** What bench measured, as a table for people and as JSON. */
#ifndef PRELU_CLIENT_BENCH_REPORT_H
#define PRELU_CLIENT_BENCH_REPORT_H

#include "bench.h"
#include "bytes.h"

typedef struct cli_bench_report {
    const cli_options *o;
    FILE *out, *err;
    char url[512];  /* for the title; set by the owner */
    cli_bytes runs; /* JSON of each, with commas */
    cli_bytes old;  /* --compare: the file */
} cli_bench_report;

/** Reads what is to be compared with. @return an exit code, the reason printed. */
int cli_report_begin(cli_bench_report *r, const cli_options *o, FILE *out, FILE *err);
void cli_report_deinit(cli_bench_report *r);

/** Writes what stands above the table. */
void cli_report_title(const cli_bench_report *r, size_t picture_count);

/** Adds a run, as a line of the table at once. @param verdict of a search's step, or NULL. */
void cli_report_run(cli_bench_report *r, const cli_bench_run *run, const char *verdict);

/** Writes the details of the run that counts (requests 0: none does), the comparison and the JSON.
 *  @return CLI_EXIT_OUTPUT if anything could not be written. */
int cli_report_end(cli_bench_report *r, const cli_bench_run *best);

/** Writes a server's text, harmless for a terminal. */
void cli_report_put_clean(FILE *to, const char *text);

#endif
