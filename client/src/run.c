#define _POSIX_C_SOURCE 200809L
#include "run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connect.h"
#include "files.h"
#include "heatmap.h"
#include "http_client.h"
#include "meter.h"
#include "output.h"
#include "result.h"
#include "termtext.h"

#define MAX_PICTURE_LEN ((size_t)256 << 20) /* bytes; a server's own limit is far lower */
#define WINDOW_PER_JOB 4 /* finished results that may wait for a slow one before them */
#define BACKOFF_S 0.25
#define WAIT_MIN_S 0.1 /* for a Retry-After of 0 */
#define BROKEN_TRIES 2 /* a picture that kills the server must not kill it often */
#define POLL_S 1.0
#define POLL_METER_S 0.1

typedef enum job_state { JOB_FLYING, JOB_WAITING, JOB_DONE } job_state;

typedef struct job {
    job_state state;
    size_t index;      /* into the file list */
    unsigned tries;    /* that came back */
    double due_s;      /* JOB_WAITING: clock of the next try */
    cli_bytes picture; /* kept until done, for a further try */
    cli_result result; /* JOB_DONE */
} job;

typedef struct runner {
    const cli_options *o;
    FILE *err;
    cli_http *http;
    cli_file_list files;
    cli_output output;
    cli_meter meter;
    job *window; /* ring: picture i is at i % window_len, for i in printed..next-1 */
    size_t window_len;
    size_t next;    /* first picture not started */
    size_t printed; /* first picture not printed */
    size_t active;  /* flying or waiting, at most o->jobs */
    size_t finished;
    size_t failed;
    bool reached; /* the server accepted a connection once */
    bool unreachable;
    char why[320]; /* why unreachable */
} runner;

double cli_retry_wait(double retry_after_s, unsigned tries, size_t index)
{
    double wait = retry_after_s;

    if (wait < 0)
        wait = fmin(ldexp(BACKOFF_S, (int)tries - 1), CLI_RETRY_AFTER_MAX_S);
    if (!(wait <= CLI_RETRY_AFTER_MAX_S))
        return -1;
    wait = fmax(wait, WAIT_MIN_S);
    /* Fibonacci hashing: neighbours land far apart, and a run can be repeated. */
    return wait * (1 + 0.25 * (double)((uint32_t)index * 2654435769u) / 4294967296.0);
}

static void finish(runner *r, job *j)
{
    j->state = JOB_DONE;
    cli_bytes_deinit(&j->picture);
    r->finished++;
    r->failed += !j->result.ok;
}

static void settle(runner *r, job *j)
{
    r->active--;
    finish(r, j);
}

static bool try_later(job *j, double retry_after_s, unsigned max_tries)
{
    double wait = cli_retry_wait(retry_after_s, j->tries, j->index);

    if (wait < 0 || j->tries >= max_tries)
        return false;
    j->state = JOB_WAITING;
    j->due_s = cli_clock() + wait;
    return true;
}

static void on_answer(runner *r, job *j, const cli_http_reply *reply)
{
    bool busy = reply->status == 429 || reply->status == 503;

    if (busy && try_later(j, reply->retry_after_s, r->o->retries + 1))
        return;
    cli_result_from_reply(&j->result, reply->status, reply->body, reply->body_len, reply->type);
    settle(r, j);
}

static void on_done(void *ctx, size_t tag, const cli_http_reply *reply)
{
    runner *r = ctx;
    job *j = &r->window[tag % r->window_len];
    unsigned tries = r->o->retries + 1;
    const char *code = "internal";

    j->tries++;
    if (reply->outcome != CLI_HTTP_UNREACHABLE && reply->outcome != CLI_HTTP_INTERNAL)
        r->reached = true;
    switch (reply->outcome) {
    case CLI_HTTP_ANSWERED:
        on_answer(r, j, reply);
        return;
    case CLI_HTTP_UNREACHABLE:
        /* A server that has answered before may be restarting; one that never did is not there. */
        if (r->reached && try_later(j, -1, tries))
            return;
        r->unreachable = true;
        snprintf(r->why, sizeof r->why, "%s", reply->error);
        return;
    case CLI_HTTP_BROKEN:
        if (try_later(j, -1, tries < BROKEN_TRIES ? tries : BROKEN_TRIES))
            return;
        code = "connection_lost";
        break;
    case CLI_HTTP_TIMEOUT:
        cli_result_fail(&j->result, 0, "timeout", "no answer within %g s (--timeout)",
                        r->o->timeout_s);
        settle(r, j);
        return;
    case CLI_HTTP_TOO_LARGE:
        cli_result_fail(&j->result, 0, "reply_too_large",
                        "the server's answer is longer than %zu bytes", CLI_MAX_REPLY_LEN);
        settle(r, j);
        return;
    case CLI_HTTP_GARBLED:
        code = "bad_reply";
        break;
    case CLI_HTTP_INTERNAL:
        break;
    }
    cli_result_fail(&j->result, 0, code, "%s", reply->error);
    settle(r, j);
}

static void post(runner *r, job *j)
{
    j->state = JOB_FLYING;
    if (cli_http_post(r->http, j->index, j->picture.data, j->picture.len))
        return;
    cli_result_fail(&j->result, 0, "internal", "the request could not be started");
    settle(r, j);
}

static void start_job(runner *r, size_t index)
{
    const cli_file *file = &r->files.items[index];
    job *j = &r->window[index % r->window_len];
    const char *code = file->code;
    char why[256] = "";

    *j = (job){.index = index};
    cli_result_init(&j->result, file->path);
    cli_bytes_init(&j->picture, MAX_PICTURE_LEN);
    if (code) {
        cli_result_fail(&j->result, 0, code, "%s", file->error);
    } else {
        code = cli_files_read(&j->picture, file->path, why, sizeof why);
        if (code)
            cli_result_fail(&j->result, 0, code, "%s", why);
    }
    if (code) {
        finish(r, j);
        return;
    }
    r->active++;
    post(r, j);
}

/* Due retries first: they hold pictures in memory and others wait behind them. */
static void start_jobs(runner *r)
{
    double now = cli_clock();

    for (size_t i = r->printed; i < r->next; i++) {
        job *j = &r->window[i % r->window_len];
        if (j->state == JOB_WAITING && j->due_s <= now)
            post(r, j);
    }
    while (r->next < r->files.count && r->next - r->printed < r->window_len &&
           r->active < r->o->jobs)
        start_job(r, r->next++);
}

static void print_ready(runner *r)
{
    while (r->printed < r->next) {
        job *j = &r->window[r->printed % r->window_len];

        if (j->state != JOB_DONE)
            return;
        cli_meter_clear(&r->meter);
        cli_output_add(&r->output, &j->result);
        cli_result_deinit(&j->result);
        r->printed++;
    }
}

static double wait_time(const runner *r)
{
    double wait = r->meter.on ? POLL_METER_S : POLL_S;
    double now = cli_clock();

    for (size_t i = r->printed; i < r->next; i++) {
        const job *j = &r->window[i % r->window_len];
        if (j->state == JOB_WAITING)
            wait = fmin(wait, fmax(j->due_s - now, 0.001));
    }
    return wait;
}

/* What is not finished will not be: each such picture gets the reason in JSON and CSV; a table
 * has it once, from report(). */
static void abandon_rest(runner *r)
{
    cli_http_destroy(&r->http);
    for (; r->printed < r->files.count; r->printed++) {
        job *j = &r->window[r->printed % r->window_len];
        bool started = r->printed < r->next;
        cli_result lost;

        if (started && j->state == JOB_DONE) {
            cli_output_add(&r->output, &j->result);
            cli_result_deinit(&j->result);
            continue;
        }
        r->failed++;
        if (started) {
            cli_bytes_deinit(&j->picture);
            cli_result_deinit(&j->result);
        }
        if (r->o->format == CLI_TABLE)
            continue;
        cli_result_init(&lost, r->files.items[r->printed].path);
        cli_result_fail(&lost, 0, "unreachable", "server unreachable: %s", r->why);
        cli_output_add(&r->output, &lost);
        cli_result_deinit(&lost);
    }
}

static void classify_all(runner *r)
{
    cli_output_begin(&r->output);
    r->meter.start_s = cli_clock();
    while (r->printed < r->files.count && !r->unreachable && !ferror(r->output.out)) {
        start_jobs(r);
        print_ready(r);
        cli_meter_draw(&r->meter, r->finished, r->failed, cli_clock());
        if (r->active)
            cli_http_poll(r->http, wait_time(r), on_done, r);
        print_ready(r);
    }
    cli_meter_clear(&r->meter);
}

/* Says what went wrong as a whole, and sums up. @return the exit code. */
static int report(runner *r, bool written, const char *url)
{
    double seconds = cli_clock() - r->meter.start_s;
    size_t ok = r->files.count - r->failed;
    int code = r->failed ? CLI_EXIT_FAILED : CLI_EXIT_OK;

    if (!written) {
        fputs("prelu-classify: the results could not be written\n", r->err);
        return CLI_EXIT_OUTPUT;
    }
    if (r->unreachable) {
        fprintf(r->err, "prelu-classify: cannot reach %s: %s\n", url, r->why);
        if (!r->reached && !r->o->quiet)
            fputs("Is prelu-serve running there? --server URL or PRELU_SERVER names another.\n",
                  r->err);
        code = CLI_EXIT_UNREACHABLE;
    }
    if (!r->o->quiet && (r->meter.on || (r->failed && r->files.count > 1)))
        fprintf(r->err, "%zu classified, %zu failed in %.1f s (%.*f/s)\n", ok, r->failed, seconds,
                (double)ok < 10 * seconds ? 1 : 0, seconds > 0 ? (double)ok / seconds : 0);
    return code;
}

/* A second request: an answer is either JSON or a picture. */
static int save_heatmap(runner *r)
{
    char why[512] = "";
    const char *to = r->o->heatmap;
    int code = cli_connect(&r->http, r->o, 1, "&heatmap=top1&format=png", r->err);

    if (!code && !cli_heatmap_save(r->http, r->files.items[0].path, to, why, sizeof why)) {
        fprintf(r->err, "prelu-classify: --heatmap: %s\n", why);
        code = CLI_EXIT_FAILED;
    }
    if (!code && !r->o->quiet)
        fprintf(r->err, "wrote %s\n", to);
    return code;
}

static size_t widest_name(const cli_file_list *files, bool utf8)
{
    size_t widest = 0;
    cli_bytes name;

    cli_bytes_init(&name, 0);
    for (size_t i = 0; i < files->count; i++) {
        size_t width;

        cli_bytes_clear(&name);
        cli_text_clean(&name, files->items[i].path, utf8);
        width = cli_text_width(cli_bytes_str(&name));
        widest = width > widest ? width : widest;
    }
    cli_bytes_deinit(&name);
    return widest;
}

/* Mode auto adds what was chosen. */
static size_t name_room(const runner *r, bool utf8)
{
    const size_t chosen = r->o->budget_ms ? strlen(" (multiscale)") : 0;

    return r->o->format == CLI_TABLE ? widest_name(&r->files, utf8) + chosen : 0;
}

static void setup_output(runner *r, bool utf8, FILE *out)
{
    bool out_tty = isatty(fileno(out));
    bool err_tty = isatty(fileno(r->err));

    r->output = (cli_output){
        .format = r->o->format,
        .out = out,
        .err = r->err,
        .utf8 = utf8,
        .escape = out_tty,
        .columns = cli_text_columns(fileno(out)),
        .name_width = name_room(r, utf8),
    };
    r->meter = (cli_meter){
        .err = r->err,
        .on = err_tty && !r->o->quiet && r->files.from_dir,
        .utf8 = utf8,
        .total = r->files.count,
    };
}

/* Someone who typed - by habit would otherwise wait for nothing. */
static void note_terminal_input(const cli_options *o, FILE *err)
{
    for (size_t i = 0; i < o->input_count && !o->quiet; i++) {
        if (strcmp(o->inputs[i], "-") == 0 && isatty(STDIN_FILENO))
            fputs("prelu-classify: reading a picture from the terminal; Ctrl-C ends\n", err);
    }
}

int cli_run(const cli_options *o, bool utf8, FILE *out, FILE *err)
{
    runner r = {.o = o, .err = err};
    char why[128] = "";
    char url[512] = "";
    bool written;
    int code;

    if (!cli_files_list(&r.files, o->inputs, o->input_count, why, sizeof why)) {
        fprintf(err, "prelu-classify: %s\n", why);
        return CLI_EXIT_SOFTWARE;
    }
    if (o->heatmap && (r.files.count != 1 || strcmp(r.files.items[0].path, "-") == 0)) {
        fputs("prelu-classify: --heatmap is of one picture, in a file\n", err);
        code = CLI_EXIT_USAGE;
        goto out;
    }
    r.window_len = (size_t)o->jobs * WINDOW_PER_JOB;
    code = cli_connect(&r.http, o, o->jobs < r.files.count ? o->jobs : (unsigned)r.files.count, "",
                       err);
    if (code)
        goto out;
    r.window = calloc(r.window_len, sizeof *r.window);
    if (!r.window) {
        fputs("prelu-classify: out of memory\n", err);
        code = CLI_EXIT_SOFTWARE;
        goto out;
    }
    snprintf(url, sizeof url, "%s", cli_http_display(r.http));
    setup_output(&r, utf8, out);
    note_terminal_input(o, err);
    classify_all(&r);
    abandon_rest(&r);
    written = cli_output_end(&r.output);
    code = report(&r, written, url);
    if (o->heatmap && !code)
        code = save_heatmap(&r);
out:
    cli_http_destroy(&r.http);
    free(r.window);
    cli_files_deinit(&r.files);
    return code;
}
