/** One run of the load generator. */
#ifndef PRELU_CLIENT_BENCH_RUN_H
#define PRELU_CLIENT_BENCH_RUN_H

#include <signal.h>

#include "bench.h"
#include "bytes.h"

typedef struct cli_bench_picture {
    cli_bytes bytes; /* owned */
    bool answered;   /* once; then what the first answer was: */
    int status;
    uint64_t predictions; /* a hash of them */
} cli_bench_picture;

/** @param http with `connections` slots, none in flight; some may be left in flight if the server
 *  hangs. @param rate 0: closed loop. */
typedef struct cli_bench_load {
    cli_http *http;
    unsigned connections;
    double rate, warmup_s, duration_s;
    double timeout_s; /* after the end: what is not answered by then is an error */
    unsigned retries;
    unsigned seed;
    bool same; /* compare answers */
    cli_bench_picture *pictures;
    size_t picture_count;              /* > 0 */
    const volatile sig_atomic_t *stop; /* not 0: the measured time ends now */
} cli_bench_load;

/** @return false if memory ran out. *run is set anew. */
bool cli_bench_load_run(const cli_bench_load *load, cli_bench_run *run);

#endif
