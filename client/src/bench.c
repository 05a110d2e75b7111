#define _POSIX_C_SOURCE 200809L
#include "bench.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "bench_report.h"
#include "bench_run.h"
#include "connect.h"
#include "files.h"
#include "result.h"

#define MAX_PICTURES_LEN ((size_t)1 << 30) /* bytes of all of them: they stay in memory */
#define SEARCH_STEPS 16
#define SEARCH_RATIO 1.03      /* stop when the bounds are as near */
#define PROBE_S 3.0            /* closed loop that tells where to begin */
#define SHARE_IN_TIME 0.99     /* of --p99 */
#define LEAST_SEARCH_RATE 0.05 /* requests per second */

typedef struct bench {
    const cli_options *o;
    FILE *err;
    cli_bench_picture *pictures;
    size_t picture_count;
    cli_bench_report report;
} bench;

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* Ctrl-C ends the measuring and reports; a second one ends the program. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int load_pictures(bench *b)
{
    cli_file_list files;
    char why[256] = "";
    size_t total = 0;
    int code = CLI_EXIT_OK;

    if (!cli_files_list(&files, b->o->inputs, b->o->input_count, why, sizeof why)) {
        fprintf(b->err, "prelu-classify: %s\n", why);
        return CLI_EXIT_SOFTWARE;
    }
    b->pictures = calloc(files.count, sizeof *b->pictures);
    for (size_t i = 0; b->pictures && i < files.count && !code; i++) {
        const cli_file *f = &files.items[i];
        cli_bytes *bytes = &b->pictures[b->picture_count++].bytes;

        cli_bytes_init(bytes, MAX_PICTURES_LEN - total);
        if (f->code || cli_files_read(bytes, f->path, why, sizeof why)) {
            fprintf(b->err, "prelu-classify: %s: %s\n", f->path, f->code ? f->error : why);
            code = CLI_EXIT_USAGE;
        }
        total += bytes->len;
    }
    if (!b->pictures)
        code = CLI_EXIT_SOFTWARE;
    cli_files_deinit(&files);
    return code;
}

static void unload_pictures(bench *b)
{
    for (size_t i = 0; i < b->picture_count; i++)
        cli_bytes_deinit(&b->pictures[i].bytes);
    free(b->pictures);
}

typedef struct greeting {
    FILE *err;
    const char *url;
    bool done;
    int code;
} greeting;

static void on_greeting(void *ctx, size_t tag, const cli_http_reply *reply)
{
    greeting *g = ctx;
    cli_result r;

    (void)tag;
    g->done = true;
    if (reply->outcome == CLI_HTTP_UNREACHABLE) {
        fprintf(g->err, "prelu-classify: cannot reach %s: %s\n", g->url, reply->error);
        g->code = CLI_EXIT_UNREACHABLE;
    } else if (reply->outcome != CLI_HTTP_ANSWERED) {
        fprintf(g->err, "prelu-classify: %s: %s\n", g->url, reply->error);
        g->code = CLI_EXIT_FAILED;
    } else if (reply->status >= 401 && reply->status <= 405) { /* so would be all others */
        cli_result_init(&r, "");
        cli_result_from_reply(&r, reply->status, reply->body, reply->body_len, reply->type);
        fprintf(g->err, "prelu-classify: %s: ", g->url);
        cli_report_put_clean(g->err, cli_result_error(&r));
        fprintf(g->err, " (%d)\n", reply->status);
        cli_result_deinit(&r);
        g->code = CLI_EXIT_FAILED;
    }
}

/* Asks once, so that a wrong address or key is said in words and not measured. */
static int greet(bench *b)
{
    greeting g = {.err = b->err};
    cli_http *http = NULL;
    int code = cli_connect(&http, b->o, 1, "", b->err);

    if (code)
        return code;
    snprintf(b->report.url, sizeof b->report.url, "%s", cli_http_display(http));
    g.url = b->report.url;
    if (cli_http_post(http, 0, b->pictures[0].bytes.data, b->pictures[0].bytes.len)) {
        while (!g.done)
            cli_http_poll(http, 1.0, on_greeting, &g);
    } else {
        g.code = CLI_EXIT_SOFTWARE;
    }
    cli_http_destroy(&http);
    return g.code;
}

/* One run on connections of its own. */
static int run_once(bench *b, double rate, double seconds, unsigned connections, cli_bench_run *run)
{
    cli_options quiet = *b->o; /* the greeting has warned */
    cli_http *http = NULL;
    bool ran;
    int code;

    quiet.quiet = true;
    code = cli_connect(&http, &quiet, connections, "", b->err);
    if (code)
        return code;
    ran = cli_bench_load_run(&(cli_bench_load){.http = http,
                                               .connections = connections,
                                               .rate = rate,
                                               .warmup_s = b->o->warmup_s,
                                               .duration_s = seconds,
                                               .timeout_s = b->o->timeout_s,
                                               .retries = b->o->retries,
                                               .seed = b->o->seed,
                                               .same = b->o->same,
                                               .pictures = b->pictures,
                                               .picture_count = b->picture_count,
                                               .stop = &stopped},
                             run);
    cli_http_destroy(&http);
    if (!ran)
        fputs("prelu-classify: out of memory\n", b->err);
    return ran ? CLI_EXIT_OK : CLI_EXIT_SOFTWARE;
}

bool cli_bench_in_time(const cli_bench_run *run, double bound_s)
{
    double needed = SHARE_IN_TIME * (double)run->requests;

    return run->ok > 0 && (double)run->ok >= needed &&
           cli_histogram_quantile(&run->latency, needed / (double)run->ok) <= bound_s;
}

/* Bisects the rate, by ratios; the closed loop's is where to begin. The best run is in *best. */
static int search(bench *b, cli_bench_run *run, cli_bench_run *best)
{
    double low = 0, high = INFINITY; /* the highest that passed, the lowest that failed */
    unsigned probes = b->o->connections < 32 ? b->o->connections : 32;
    double rate;
    int code = run_once(b, 0, fmin(b->o->duration_s, PROBE_S), probes, run);

    if (code)
        return code;
    cli_report_run(&b->report, run, NULL);
    rate = 0.8 * (double)run->ok / run->seconds;
    for (int i = 0;
         i < SEARCH_STEPS && high > low * SEARCH_RATIO && rate >= LEAST_SEARCH_RATE && !stopped;
         i++) {
        bool in_time;

        code = run_once(b, rate, b->o->duration_s, b->o->connections, run);
        if (code)
            return code;
        if (stopped)
            break; /* too short a step to judge */
        in_time = cli_bench_in_time(run, b->o->p99_s);
        cli_report_run(&b->report, run, in_time ? "in time" : "late");
        if (in_time) {
            *best = *run;
            low = rate;
            rate = isinf(high) ? rate * 1.25 : sqrt(low * high);
        } else {
            high = rate;
            rate = low > 0 ? sqrt(low * high) : rate / 2;
        }
    }
    return CLI_EXIT_OK;
}

static int verdict(const bench *b, const cli_bench_run *run)
{
    if (b->o->p99_s > 0 && !run->requests) {
        fprintf(b->err, "prelu-classify: no rate keeps the bound of %g ms\n", b->o->p99_s * 1e3);
        return CLI_EXIT_FAILED;
    }
    return run->errors || run->differing || !run->ok ? CLI_EXIT_FAILED : CLI_EXIT_OK;
}

int cli_bench(const cli_options *o, FILE *out, FILE *err)
{
    bench b = {.o = o, .err = err};
    cli_bench_run *runs = calloc(2, sizeof *runs); /* some 50 KB each */
    cli_bench_run *counts = runs;                  /* the one that the summary is about */
    int code = CLI_EXIT_SOFTWARE;

    if (!runs)
        fputs("prelu-classify: out of memory\n", err);
    else
        code = cli_report_begin(&b.report, o, out, err);
    if (!code)
        code = load_pictures(&b);
    if (!code)
        code = greet(&b);
    if (code)
        goto out;
    catch_signals();
    cli_report_title(&b.report, b.picture_count);
    if (o->p99_s > 0) {
        counts = &runs[1];
        code = search(&b, &runs[0], counts);
    } else {
        code = run_once(&b, o->rate, o->duration_s, o->connections, counts);
        if (!code)
            cli_report_run(&b.report, counts, NULL);
    }
    if (!code) {
        code = cli_report_end(&b.report, counts);
        code = code ? code : verdict(&b, counts);
    }
out:
    cli_report_deinit(&b.report);
    unload_pictures(&b);
    free(runs);
    return code;
}
