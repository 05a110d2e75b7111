#include "bench_report.h"

#include <errno.h>
#include <string.h>

#include "files.h"
#include "result.h"
#include "termtext.h"

#define MAX_REPORT_LEN ((size_t)1 << 20)
#define N_QUANTILES 4
#define N_FIGURES (N_QUANTILES + 2)
#define MS 1e3

static const struct {
    const char *name;
    double q;
} quantiles[N_QUANTILES] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};

/* The figures of the summary, in the order of the table. */
static const char *const figures[N_FIGURES] = {"ok_per_s", "p50", "p90", "p99", "p99.9", "max"};

static const char *const outcome_names[] = {
    [CLI_HTTP_ANSWERED] = "answered",   [CLI_HTTP_UNREACHABLE] = "unreachable",
    [CLI_HTTP_TIMEOUT] = "timeout",     [CLI_HTTP_BROKEN] = "connection_lost",
    [CLI_HTTP_TOO_LARGE] = "too_large", [CLI_HTTP_GARBLED] = "bad_reply",
    [CLI_HTTP_INTERNAL] = "internal"};

void cli_report_put_clean(FILE *to, const char *text)
{
    cli_bytes clean;

    cli_bytes_init(&clean, 0);
    cli_text_clean(&clean, text, false);
    fputs(cli_bytes_str(&clean), to);
    cli_bytes_deinit(&clean);
}

int cli_report_begin(cli_bench_report *r, const cli_options *o, FILE *out, FILE *err)
{
    char why[256] = "";
    double number;

    r->o = o;
    r->out = out;
    r->err = err;
    cli_bytes_init(&r->runs, 0);
    cli_bytes_init(&r->old, MAX_REPORT_LEN);
    if (!o->compare)
        return CLI_EXIT_OK;
    if (cli_files_read(&r->old, o->compare, why, sizeof why)) {
        fprintf(err, "prelu-classify: --compare: %s\n", why);
        return CLI_EXIT_USAGE;
    }
    if (!cli_json_number(&number, cli_bytes_str(&r->old), r->old.len,
                         (const char *const[]){"summary", "ok_per_s", NULL})) {
        fputs("prelu-classify: --compare: the file is no report of bench with a result\n", err);
        return CLI_EXIT_USAGE;
    }
    return CLI_EXIT_OK;
}

void cli_report_deinit(cli_bench_report *r)
{
    cli_bytes_deinit(&r->runs);
    cli_bytes_deinit(&r->old);
}

void cli_report_title(const cli_bench_report *r, size_t picture_count)
{
    const cli_options *o = r->o;

    if (o->format == CLI_JSON)
        return;
    cli_report_put_clean(r->out, r->url);
    fprintf(r->out, ", %zu picture%s, mode %s\n", picture_count, picture_count == 1 ? "" : "s",
            o->mode ? o->mode : "as the server chooses");
    if (o->p99_s > 0)
        fprintf(r->out, "highest rate with 99 %% answered within %g ms", o->p99_s * MS);
    else if (o->rate > 0)
        fprintf(r->out, "random arrivals, %g a second", o->rate);
    else
        fputs("closed loop", r->out);
    fprintf(r->out, ", %s%u connections, %g s after %g s of warm-up\n\n",
            o->rate > 0 || o->p99_s > 0 ? "at most " : "", o->connections, o->duration_s,
            o->warmup_s);
    fprintf(r->out, "%9s %9s %8s %7s %8s %8s %8s %8s %8s\n", "asked/s", "ok/s", "refused", "failed",
            "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms");
    fflush(r->out);
}

static void add_latency(cli_bytes *json, const char *name, const cli_histogram *h)
{
    cli_bytes_add_fmt(json, ",\"%s\":{\"mean\":%.4f", name, cli_histogram_mean(h) * MS);
    for (size_t i = 0; i < N_QUANTILES; i++)
        cli_bytes_add_fmt(json, ",\"%s\":%.4f", quantiles[i].name,
                          cli_histogram_quantile(h, quantiles[i].q) * MS);
    cli_bytes_add_fmt(json, ",\"max\":%.4f}", h->max * MS);
}

static void add_run(cli_bytes *json, const cli_bench_run *run)
{
    const char *comma = "";

    if (run->rate > 0)
        cli_bytes_add_fmt(json, "{\"rate\":%.6g", run->rate);
    else
        cli_bytes_add_str(json, "{\"rate\":null");
    cli_bytes_add_fmt(json, ",\"seconds\":%.6g", run->seconds);
#define ADD(member)                                                                                \
    cli_bytes_add_fmt(json, ",\"" #member "\":%llu", (unsigned long long)run->member)
    ADD(requests), ADD(ok), ADD(refused), ADD(rejected), ADD(errors), ADD(unsent), ADD(differing);
#undef ADD
    cli_bytes_add_fmt(json, ",\"ok_per_s\":%.6g", (double)run->ok / run->seconds);
    add_latency(json, "latency_ms", &run->latency);
    add_latency(json, "refusal_ms", &run->refusal);
    add_latency(json, "send_delay_ms", &run->lag);
    cli_bytes_add_str(json, ",\"tries\":[");
    for (size_t i = 0; i < CLI_BENCH_TRIES && (i == 0 || run->sent[i]); i++)
        cli_bytes_add_fmt(json, "%s{\"sent\":%llu,\"ok\":%llu}", i ? "," : "",
                          (unsigned long long)run->sent[i], (unsigned long long)run->taken[i]);
    cli_bytes_add_str(json, "],\"status\":{");
    for (size_t i = 1; i < sizeof run->statuses / sizeof run->statuses[0]; i++) {
        if (run->statuses[i])
            cli_bytes_add_fmt(json, "%s\"%zu\":%llu", comma, i,
                              (unsigned long long)run->statuses[i]),
                comma = ",";
    }
    cli_bytes_add_str(json, "},\"no_answer\":{");
    comma = "";
    for (size_t i = CLI_HTTP_ANSWERED + 1; i <= CLI_HTTP_INTERNAL; i++) {
        if (run->outcomes[i])
            cli_bytes_add_fmt(json, "%s\"%s\":%llu", comma, outcome_names[i],
                              (unsigned long long)run->outcomes[i]),
                comma = ",";
    }
    cli_bytes_add_str(json, "}}");
}

/* @param of figure i. */
static double figure(const cli_bench_run *run, size_t i)
{
    if (i == 0)
        return (double)run->ok / run->seconds;
    if (i <= N_QUANTILES)
        return cli_histogram_quantile(&run->latency, quantiles[i - 1].q) * MS;
    return run->latency.max * MS;
}

static void put_row(FILE *out, const char *asked, double ok, const char *refused,
                    const char *failed, const double *ms, const char *format)
{
    fprintf(out, "%9s %9.*f %8s %7s", asked, ok < 1000 ? 1 : 0, ok, refused, failed);
    for (size_t i = 0; i < N_FIGURES - 1; i++)
        fprintf(out, format, ms[i]);
}

void cli_report_run(cli_bench_report *r, const cli_bench_run *run, const char *verdict)
{
    char asked[32] = "closed", refused[32], failed[32];
    double ms[N_FIGURES - 1];

    if (r->runs.len)
        cli_bytes_add_str(&r->runs, ",\n");
    add_run(&r->runs, run);
    if (r->o->format == CLI_JSON)
        return;
    if (run->rate > 0)
        snprintf(asked, sizeof asked, "%.*f", run->rate < 1000 ? 1 : 0, run->rate);
    snprintf(refused, sizeof refused, "%.1f%%",
             run->requests ? 100 * (double)run->refused / (double)run->requests : 0);
    snprintf(failed, sizeof failed, "%llu", (unsigned long long)(run->errors + run->rejected));
    for (size_t i = 1; i < N_FIGURES; i++)
        ms[i - 1] = figure(run, i);
    put_row(r->out, asked, figure(run, 0), refused, failed, ms, " %8.2f");
    fprintf(r->out, "%s%s\n", verdict ? "  " : "", verdict ? verdict : "");
    fflush(r->out);
}

static void put_comparison(const cli_bench_report *r, const cli_bench_run *best)
{
    double before[N_FIGURES] = {0}, ratio[N_FIGURES];

    for (size_t i = 0; i < N_FIGURES; i++) {
        cli_json_number(&before[i], cli_bytes_str(&r->old), r->old.len,
                        (const char *const[]){"summary", figures[i], NULL});
        ratio[i] = before[i] > 0 ? figure(best, i) / before[i] : 0;
    }
    put_row(r->out, "before", before[0], "", "", before + 1, " %8.2f");
    fprintf(r->out, "\n%9s %8.2fx %16s", "change", ratio[0], "");
    for (size_t i = 1; i < N_FIGURES; i++)
        fprintf(r->out, " %7.2fx", ratio[i]);
    fputc('\n', r->out);
}

/* What the table has no column for. */
static void put_details(const cli_bench_report *r, const cli_bench_run *run)
{
    FILE *out = r->out;

    fputs("\nanswers:", out);
    for (size_t i = 1; i < sizeof run->statuses / sizeof run->statuses[0]; i++) {
        if (run->statuses[i])
            fprintf(out, "  %zu: %llu", i, (unsigned long long)run->statuses[i]);
    }
    for (size_t i = CLI_HTTP_ANSWERED + 1; i <= CLI_HTTP_INTERNAL; i++) {
        if (run->outcomes[i])
            fprintf(out, "  %s: %llu", outcome_names[i], (unsigned long long)run->outcomes[i]);
    }
    if (run->unsent)
        fprintf(out, "  never sent: %llu", (unsigned long long)run->unsent);
    fputc('\n', out);
    if (run->refusal.count)
        fprintf(out, "refusals: answered in %.2f ms (p50), %.2f ms (p99)\n",
                cli_histogram_quantile(&run->refusal, 0.5) * MS,
                cli_histogram_quantile(&run->refusal, 0.99) * MS);
    for (size_t i = 1; i < CLI_BENCH_TRIES && run->sent[i]; i++)
        fprintf(out, "try %zu%s: %llu, %.1f%% of them classified\n", i + 1,
                i + 1 == CLI_BENCH_TRIES ? " and later" : "", (unsigned long long)run->sent[i],
                100 * (double)run->taken[i] / (double)run->sent[i]);
    if (run->differing)
        fprintf(out, "DIFFERENT: %llu answers are not the picture's first one\n",
                (unsigned long long)run->differing);
    if (run->rate > 0 && cli_histogram_quantile(&run->lag, 0.99) > 0.002 && !r->o->quiet)
        fprintf(
            r->err,
            "note: requests were sent up to %.1f ms (p99) late; the latencies include that. More "
            "--connections or a CPU of its own may help.\n",
            cli_histogram_quantile(&run->lag, 0.99) * MS);
}

static void add_json_string(cli_bytes *json, const char *text)
{
    cli_bytes repaired;

    cli_bytes_init(&repaired, 0);
    cli_text_repair(&repaired, text);
    cli_bytes_add_char(json, '"');
    for (const char *at = cli_bytes_str(&repaired); *at; at++) {
        if (*at == '"' || *at == '\\' || (unsigned char)*at < 0x20)
            cli_bytes_add_fmt(json, "\\u%04x", (unsigned char)*at);
        else
            cli_bytes_add_char(json, *at);
    }
    cli_bytes_add_char(json, '"');
    cli_bytes_deinit(&repaired);
}

static void add_document(cli_bytes *json, const cli_bench_report *r, const cli_bench_run *best)
{
    const cli_options *o = r->o;

    cli_bytes_add_str(json, "{\"program\":\"prelu-classify " PRELU_VERSION "\",\"url\":");
    add_json_string(json, r->url);
    cli_bytes_add_fmt(json, ",\"kind\":\"%s\",\"connections\":%u,\"seed\":%u",
                      o->p99_s > 0  ? "search"
                      : o->rate > 0 ? "poisson"
                                    : "closed",
                      o->connections, o->seed);
    if (o->p99_s > 0)
        cli_bytes_add_fmt(json, ",\"bound_ms\":%g", o->p99_s * MS);
    cli_bytes_add_str(json, ",\"summary\":");
    if (best->requests) {
        cli_bytes_add_fmt(json, "{\"rate\":%.6g", best->rate);
        for (size_t i = 0; i < N_FIGURES; i++)
            cli_bytes_add_fmt(json, ",\"%s\":%.6g", figures[i], figure(best, i));
        cli_bytes_add_str(json, "}");
    } else {
        cli_bytes_add_str(json, "null");
    }
    cli_bytes_add_fmt(json, ",\"runs\":[\n%s\n]}\n", cli_bytes_str(&r->runs));
}

static bool save(const char *path, const cli_bytes *text)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(text->data, 1, text->len, f) == text->len;

    if (f)
        ok = fclose(f) == 0 && ok;
    return ok;
}

int cli_report_end(cli_bench_report *r, const cli_bench_run *best)
{
    const cli_options *o = r->o;
    bool table = o->format != CLI_JSON;
    cli_bytes json;
    int code = CLI_EXIT_OK;

    cli_bytes_init(&json, 0);
    if (best->requests && table) {
        if (o->compare)
            put_comparison(r, best);
        put_details(r, best);
    }
    if (best->requests && table && o->p99_s > 0)
        fprintf(r->out, "highest rate: %.6g a second\n", best->rate);
    add_document(&json, r, best);
    if (json.no_mem || r->runs.no_mem) {
        fputs("prelu-classify: out of memory\n", r->err);
        code = CLI_EXIT_SOFTWARE;
    } else if (o->save && !save(o->save, &json)) {
        fprintf(r->err, "prelu-classify: --save: %s: %s\n", o->save, strerror(errno));
        code = CLI_EXIT_OUTPUT;
    }
    if (!table)
        fputs(cli_bytes_str(&json), r->out);
    if (fflush(r->out) != 0 || ferror(r->out)) {
        fputs("prelu-classify: the report could not be written\n", r->err);
        code = CLI_EXIT_OUTPUT;
    }
    cli_bytes_deinit(&json);
    return code;
}
