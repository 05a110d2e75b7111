/** Load on a server: closed loop, random arrivals at a rate, the search for the highest rate. */
#ifndef PRELU_CLIENT_BENCH_H
#define PRELU_CLIENT_BENCH_H

#include <stdint.h>
#include <stdio.h>

#include "histogram.h"
#include "http_client.h"
#include "options.h"

#define CLI_BENCH_TRIES 4 /* counted one by one; the last entry takes all later ones */

/** What one run measured: the requests that were due in its time (in the closed loop: begun),
 * however late they ended. requests = ok + refused + rejected + errors. */
typedef struct cli_bench_run {
    double rate;    /* asked; 0: closed loop */
    double seconds; /* closed loop: up to the last answer */
    uint64_t requests;
    uint64_t ok;        /* 200 */
    uint64_t refused;   /* in the end: 429, 503, 504 */
    uint64_t rejected;  /* other 4xx: the picture or the request is to blame */
    uint64_t errors;    /* other answers, none, or never sent */
    uint64_t unsent;    /* of the errors: due, but all connections were taken to the end */
    uint64_t differing; /* of the ok and rejected: --same does not hold */
    uint64_t sent[CLI_BENCH_TRIES];  /* requests that made a 1st, 2nd, ... try */
    uint64_t taken[CLI_BENCH_TRIES]; /* of these: 200 to that try */
    uint64_t statuses[1000];         /* answers by status, every try */
    uint64_t outcomes[CLI_HTTP_INTERNAL + 1];
    cli_histogram latency; /* of the ok: from when due to the answer */
    cli_histogram refusal; /* of each refusal: from sending */
    cli_histogram lag;     /* from when due to the first try */
} cli_bench_run;

/** Runs what the options say and writes the report. @return an exit code (options.h). */
int cli_bench(const cli_options *o, FILE *out, FILE *err);

/** @return whether 99 % of the requests, refused and failed ones included, were answered with 200
 *  within the bound. */
bool cli_bench_in_time(const cli_bench_run *run, double bound_s);

#endif
