#define _GNU_SOURCE
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* getopt's value of row i: beyond every char, so that rows without a letter have one too. */
#define ROW_VALUE(i) (1000 + (int)(i))
#define MAX_ROWS 64
#define HELP_INDENT 27
#define MAX_WORD 40 /* longer words get no suggestion; bounds the distance table */

static const char *const modes[] = {"center", "10view", "dense", "multiscale", "auto"};

static const char *next_mode(size_t i)
{
    return i < sizeof modes / sizeof modes[0] ? modes[i] : NULL;
}

/* The rows of a command, in order. @return row i or NULL past the end. */
static const cli_option *row_of(bool bench, size_t i)
{
    for (size_t k = 0; k < cli_option_count; k++) {
        const cli_option *row = &cli_option_table[k];
        if (row->commands & (bench ? CLI_FOR_BENCH : CLI_FOR_CLASSIFY) && i-- == 0)
            return row;
    }
    return NULL;
}

static const char *next_option(size_t i)
{
    return row_of(false, i) ? row_of(false, i)->name : NULL;
}

static const char *next_bench_option(size_t i)
{
    return row_of(true, i) ? row_of(true, i)->name : NULL;
}

static bool parse_count(unsigned *out, const char *value, unsigned low, unsigned high, char *why,
                        size_t why_len)
{
    char *end = NULL;
    long n;

    errno = 0;
    n = strtol(value, &end, 10);
    if (errno || end == value || *end || n < (long)low || n > (long)high) {
        snprintf(why, why_len, "must be a whole number from %u to %u", low, high);
        return false;
    }
    *out = (unsigned)n;
    return true;
}

static bool set_text(const char **out, const char *value, char *why, size_t why_len)
{
    if (!*value) {
        snprintf(why, why_len, "must not be empty");
        return false;
    }
    *out = value;
    return true;
}

static bool set_server(cli_options *o, const char *v, char *why, size_t why_len)
{
    return set_text(&o->server, v, why, why_len);
}

static bool set_top_k(cli_options *o, const char *v, char *why, size_t why_len)
{
    return parse_count(&o->top_k, v, 1, CLI_MAX_TOP_K, why, why_len);
}

static bool set_mode(cli_options *o, const char *v, char *why, size_t why_len)
{
    const char *near;

    for (size_t i = 0; next_mode(i); i++) {
        if (strcmp(v, next_mode(i)) == 0) {
            o->mode = next_mode(i);
            return true;
        }
    }
    near = cli_nearest(v, next_mode);
    if (near)
        snprintf(why, why_len, "is not a mode; did you mean %s?", near);
    else
        snprintf(why, why_len, "must be center, 10view, dense, multiscale or auto");
    return false;
}

/* What fits a mode and a model, the server knows. */
static bool set_scales(cli_options *o, const char *v, char *why, size_t why_len)
{
    size_t numbers = 0;

    for (const char *at = v;; at++, numbers++) {
        size_t digits = strspn(at, "0123456789");
        at += digits;
        if (digits < 1 || digits > 5 || (*at && *at != ',') || numbers == CLI_MAX_SCALES) {
            snprintf(why, why_len, "must be 1 to %d sizes with commas, as 256,384", CLI_MAX_SCALES);
            return false;
        }
        if (!*at)
            break;
    }
    o->scales = v;
    return true;
}

static bool set_model(cli_options *o, const char *v, char *why, size_t why_len)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    if (!*v || strlen(v) > CLI_MAX_MODEL_LEN || v[strspn(v, allowed)]) {
        snprintf(why, why_len, "must be 1 to %d of A-Z a-z 0-9 . _ -", CLI_MAX_MODEL_LEN);
        return false;
    }
    o->model = v;
    return true;
}

static bool set_average(cli_options *o, const char *v, char *why, size_t why_len)
{
    if (strcmp(v, "prob") != 0 && strcmp(v, "logit") != 0) {
        snprintf(why, why_len, "must be prob or logit");
        return false;
    }
    o->average = v;
    return true;
}

static bool set_heatmap(cli_options *o, const char *v, char *why, size_t why_len)
{
    return set_text(&o->heatmap, v, why, why_len);
}

static bool set_budget(cli_options *o, const char *v, char *why, size_t why_len)
{
    return parse_count(&o->budget_ms, v, 1, CLI_MAX_BUDGET_MS, why, why_len);
}

static bool set_jobs(cli_options *o, const char *v, char *why, size_t why_len)
{
    return parse_count(&o->jobs, v, 1, CLI_MAX_JOBS, why, why_len);
}

static bool set_retries(cli_options *o, const char *v, char *why, size_t why_len)
{
    return parse_count(&o->retries, v, 0, CLI_MAX_RETRIES, why, why_len);
}

static bool parse_time(double *out, const char *v, char *why, size_t why_len)
{
    char *end = NULL;
    double seconds = strtod(v, &end);
    bool number = end != v && strchr("0123456789.", v[0]);

    if (strcmp(end, "ms") == 0)
        seconds /= 1000;
    else if (strcmp(end, "m") == 0)
        seconds *= 60;
    else if (strcmp(end, "") != 0 && strcmp(end, "s") != 0)
        number = false;
    if (!number || !isfinite(seconds) || seconds < 0.001 || seconds > CLI_MAX_TIMEOUT_S) {
        snprintf(why, why_len, "must be a time from 1ms to 1440m, such as 250ms, 30s or 2m");
        return false;
    }
    *out = seconds;
    return true;
}

static bool set_timeout(cli_options *o, const char *v, char *why, size_t why_len)
{
    return parse_time(&o->timeout_s, v, why, why_len);
}

static bool set_connections(cli_options *o, const char *v, char *why, size_t why_len)
{
    return parse_count(&o->connections, v, 1, CLI_MAX_CONNECTIONS, why, why_len);
}

static bool set_rate(cli_options *o, const char *v, char *why, size_t why_len)
{
    char *end = NULL;
    double rate = strtod(v, &end);

    if (end == v || *end || !strchr("0123456789.", v[0]) || !(rate >= 0.01) ||
        rate > CLI_MAX_RATE) {
        snprintf(why, why_len, "must be requests per second, from 0.01 to %.0f", CLI_MAX_RATE);
        return false;
    }
    o->rate = rate;
    return true;
}

static bool set_p99(cli_options *o, const char *v, char *why, size_t why_len)
{
    return parse_time(&o->p99_s, v, why, why_len);
}

static bool set_duration(cli_options *o, const char *v, char *why, size_t why_len)
{
    return parse_time(&o->duration_s, v, why, why_len);
}

static bool set_warmup(cli_options *o, const char *v, char *why, size_t why_len)
{
    if (strcmp(v, "0") == 0)
        return o->warmup_s = 0, true;
    return parse_time(&o->warmup_s, v, why, why_len);
}

static bool set_seed(cli_options *o, const char *v, char *why, size_t why_len)
{
    return parse_count(&o->seed, v, 0, UINT_MAX / 2, why, why_len);
}

static bool set_same(cli_options *o, const char *v, char *why, size_t why_len)
{
    (void)v, (void)why, (void)why_len;
    o->same = true;
    return true;
}

static bool set_save(cli_options *o, const char *v, char *why, size_t why_len)
{
    return set_text(&o->save, v, why, why_len);
}

static bool set_compare(cli_options *o, const char *v, char *why, size_t why_len)
{
    return set_text(&o->compare, v, why, why_len);
}

static bool set_format(cli_options *o, cli_format format, char *why, size_t why_len)
{
    if (o->format != CLI_TABLE && o->format != format) {
        snprintf(why, why_len, "cannot stand beside %s",
                 o->format == CLI_JSON ? "--json" : "--csv");
        return false;
    }
    o->format = format;
    return true;
}

static bool set_json(cli_options *o, const char *v, char *why, size_t why_len)
{
    (void)v;
    return set_format(o, CLI_JSON, why, why_len);
}

static bool set_csv(cli_options *o, const char *v, char *why, size_t why_len)
{
    (void)v;
    return set_format(o, CLI_CSV, why, why_len);
}

static bool set_api_key_file(cli_options *o, const char *v, char *why, size_t why_len)
{
    return set_text(&o->api_key_file, v, why, why_len);
}

static bool set_unix_socket(cli_options *o, const char *v, char *why, size_t why_len)
{
    return set_text(&o->unix_socket, v, why, why_len);
}

static bool set_cacert(cli_options *o, const char *v, char *why, size_t why_len)
{
    return set_text(&o->cacert, v, why, why_len);
}

static bool set_quiet(cli_options *o, const char *v, char *why, size_t why_len)
{
    (void)v, (void)why, (void)why_len;
    o->quiet = true;
    return true;
}

static bool set_help(cli_options *o, const char *v, char *why, size_t why_len)
{
    (void)v, (void)why, (void)why_len;
    o->command = CLI_HELP;
    return true;
}

static bool set_version(cli_options *o, const char *v, char *why, size_t why_len)
{
    (void)v, (void)why, (void)why_len;
    o->command = CLI_VERSION;
    return true;
}

const cli_option cli_option_table[] = {
    {CLI_FOR_BOTH, "server", 's', "URL", CLI_DEFAULT_SERVER, "PRELU_SERVER", "prelu-serve to ask",
     set_server},
    {CLI_FOR_BENCH, "connections", 'c', "N", NULL, NULL,
     "requests in flight: always N (default 8), or with --rate or --p99 at most N (default 256)",
     set_connections},
    {CLI_FOR_BENCH, "rate", 'r', "R", NULL, NULL,
     "ask R times a second on average, at random times, however long the answers take", set_rate},
    {CLI_FOR_BENCH, "p99", 0, "TIME", NULL, NULL,
     "find the highest rate at which 99 % of the requests are answered within TIME, at most a "
     "quarter of --duration",
     set_p99},
    {CLI_FOR_BENCH, "duration", 'd', "TIME", "10s", NULL, "how long to measure, each step of --p99",
     set_duration},
    {CLI_FOR_BENCH, "warmup", 0, "TIME", "1s", NULL, "load before that, not counted; 0 for none",
     set_warmup},
    {CLI_FOR_BENCH, "seed", 0, "N", "1", NULL, "of the random times", set_seed},
    {CLI_FOR_BENCH, "same", 0, NULL, NULL, NULL,
     "fail unless every picture's answers have equal status and predictions", set_same},
    {CLI_FOR_BENCH, "save", 0, "FILE", NULL, NULL, "also write the report as JSON into FILE",
     set_save},
    {CLI_FOR_BENCH, "compare", 0, "FILE", NULL, NULL,
     "an earlier report (--json, --save): show what changed", set_compare},
    {CLI_FOR_BOTH, "top-k", 'k', "K", NULL, NULL, "labels per picture (server's default: 5)",
     set_top_k},
    {CLI_FOR_BOTH, "mode", 'm', "MODE", NULL, NULL,
     "center, 10view, dense, multiscale or auto (default: the server's choice)", set_mode},
    {CLI_FOR_BOTH, "scales", 0, "LIST", NULL, NULL,
     "shorter sides for dense (one) and multiscale: 256,384", set_scales},
    {CLI_FOR_BOTH, "budget-ms", 0, "N", NULL, NULL, "milliseconds a picture may take in mode auto",
     set_budget},
    {CLI_FOR_BOTH, "average", 0, "WHAT", NULL, NULL,
     "prob or logit: average after or before the softmax", set_average},
    {CLI_FOR_CLASSIFY, "heatmap", 0, "FILE", NULL, NULL,
     "of one picture: also write where its best class is (PNG)", set_heatmap},
    {CLI_FOR_BOTH, "model", 0, "NAME", NULL, NULL, "model to ask, if the server has several",
     set_model},
    {CLI_FOR_CLASSIFY, "jobs", 'j', "N", "4", NULL, "pictures in flight at once", set_jobs},
    {CLI_FOR_BOTH, "timeout", 't', "TIME", "60s", NULL,
     "limit for one try of one picture: 250ms, 30s, 2m", set_timeout},
    {CLI_FOR_CLASSIFY, "retries", 0, "N", "3", NULL, "further tries after a busy answer (429, 503)",
     set_retries},
    {CLI_FOR_BENCH, "retries", 0, "N", "0", NULL,
     "further tries after a busy answer (429, 503), when its Retry-After says", set_retries},
    {CLI_FOR_CLASSIFY, "json", 0, NULL, NULL, NULL, "write one JSON document", set_json},
    {CLI_FOR_BENCH, "json", 0, NULL, NULL, NULL, "write the report as JSON, not as a table",
     set_json},
    {CLI_FOR_CLASSIFY, "csv", 0, NULL, NULL, NULL,
     "write CSV: file,rank,class,id,label,score,error", set_csv},
    {CLI_FOR_BOTH, "api-key-file", 0, "FILE", NULL, NULL,
     "send the key in FILE as Authorization: Bearer (without it: the key in the environment's "
     "PRELU_API_KEY, if set)",
     set_api_key_file},
    {CLI_FOR_BOTH, "unix-socket", 0, "PATH", NULL, NULL,
     "connect to this socket instead of the URL's host", set_unix_socket},
    {CLI_FOR_BOTH, "cacert", 0, "FILE", NULL, NULL,
     "trust the certificate authorities in FILE (PEM)", set_cacert},
    {CLI_FOR_CLASSIFY, "quiet", 'q', NULL, NULL, NULL,
     "no progress bar, notes or summary; errors stay", set_quiet},
    {CLI_FOR_BENCH, "quiet", 'q', NULL, NULL, NULL, "no notes; errors stay", set_quiet},
    {CLI_FOR_BOTH, "version", 'V', NULL, NULL, NULL, "print the version and exit", set_version},
    {CLI_FOR_BOTH, "help", 'h', NULL, NULL, NULL, "print this help and exit", set_help},
};
const size_t cli_option_count = sizeof cli_option_table / sizeof cli_option_table[0];
_Static_assert(sizeof cli_option_table / sizeof cli_option_table[0] <= MAX_ROWS, "raise MAX_ROWS");

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

/* Optimal string alignment: insert, delete, replace or swap two neighbours, each costs 1. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][MAX_WORD + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    size_t a_len = strlen(a), b_len = strlen(b);

    if (a_len > MAX_WORD || b_len > MAX_WORD)
        return MAX_WORD;
    for (size_t j = 0; j <= b_len; j++)
        before[j] = last[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *spare = before;
        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            now[j] =
                min_size(min_size(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = min_size(now[j], before[j - 2] + 1);
        }
        before = last;
        last = now;
        now = spare;
    }
    return last[b_len];
}

const char *cli_nearest(const char *word, const char *(*next)(size_t i))
{
    const char *best = NULL;
    size_t best_cost = min_size(3, strlen(word) / 2 + 1); /* more edits than this are a guess */

    for (size_t i = 0; next(i); i++) {
        const char *name = next(i);
        size_t cost = distance(word, name);
        size_t len = strlen(word);

        /* --key for --api-key-file, --socket for --unix-socket */
        if (cost > 1 && len >= 3 && len <= MAX_WORD && strstr(name, word))
            cost = 1;
        if (cost < best_cost) {
            best = name;
            best_cost = cost;
        }
    }
    return best;
}

static void fill_getopt(bool bench, struct option *longs, char *shorts)
{
    size_t i = 0;

    *shorts++ = ':'; /* a missing value is reported as ':' and getopt stays silent */
    for (const cli_option *row; (row = row_of(bench, i)); i++) {
        longs[i] = (struct option){row->name, row->value ? required_argument : no_argument, NULL,
                                   ROW_VALUE(i)};
        if (row->letter)
            *shorts++ = row->letter;
        if (row->letter && row->value)
            *shorts++ = ':';
    }
    longs[i] = (struct option){0};
    *shorts = '\0';
}

static const cli_option *find_row(bool bench, int value)
{
    size_t i = 0;

    for (const cli_option *row; (row = row_of(bench, i)); i++) {
        if (value == ROW_VALUE(i) || (row->letter && value == row->letter))
            return row;
    }
    return NULL;
}

static void wrong(cli_options *o, FILE *err)
{
    o->command = CLI_WRONG;
    fprintf(err, "Try prelu-classify%s --help.\n", o->bench ? " bench" : "");
}

/* Writes an argument with controls as '?': it may have come from anywhere. */
static void put_word(FILE *err, const char *word, size_t len)
{
    for (size_t i = 0; i < len && word[i]; i++) {
        unsigned char c = (unsigned char)word[i];
        fputc(c < 0x20 || c == 0x7F ? '?' : c, err);
    }
}

/* @return whether `name` begins several options; they are then named. */
static bool explain_ambiguous(const cli_options *o, const char *name, size_t len, FILE *err)
{
    size_t matches = 0;
    const cli_option *row;

    for (size_t i = 0; len && (row = row_of(o->bench, i)); i++)
        matches += strncmp(row->name, name, len) == 0;
    if (matches < 2)
        return false;
    fputs("ambiguous option --", err);
    put_word(err, name, len);
    fputs("; could be", err);
    for (size_t i = 0; (row = row_of(o->bench, i)); i++) {
        if (strncmp(row->name, name, len) == 0)
            fprintf(err, " --%s", row->name);
    }
    fputc('\n', err);
    return true;
}

static void explain_unknown(cli_options *o, const char *arg, int letter, FILE *err)
{
    char word[MAX_WORD + 1] = "";
    size_t len = strncmp(arg, "--", 2) == 0 ? strcspn(arg + 2, "=") : 0;
    const char *near = NULL;
    const cli_option *row = letter ? find_row(o->bench, letter) : NULL;

    fputs("prelu-classify: ", err);
    if (row) { /* --quiet=yes: getopt hands out the row's own value */
        fprintf(err, "--%s takes no value\n", row->name);
        wrong(o, err);
        return;
    }
    if (explain_ambiguous(o, arg + 2, len, err)) {
        wrong(o, err);
        return;
    }
    fputs("unknown option ", err);
    if (letter)
        fputc('-', err), put_word(err, (const char[]){(char)letter, '\0'}, 1);
    else
        fputs("--", err), put_word(err, arg + 2, len);
    if (!letter && len <= MAX_WORD) {
        memcpy(word, arg + 2, len);
        word[len] = '\0';
        near = cli_nearest(word, o->bench ? next_bench_option : next_option);
    }
    if (near)
        fprintf(err, "; did you mean --%s?", near);
    fputc('\n', err);
    wrong(o, err);
}

static bool apply(cli_options *o, const cli_option *row, const char *value, const char *from,
                  FILE *err)
{
    char why[160] = "";

    if (row->set(o, value, why, sizeof why))
        return true;
    fprintf(err, "prelu-classify: %s", from ? from : "--");
    fputs(from ? "" : row->name, err);
    if (row->value && value) {
        fputs(" \"", err);
        put_word(err, value, 200);
        fputc('"', err);
    }
    fprintf(err, " %s\n", why);
    wrong(o, err);
    return false;
}

static bool apply_defaults(cli_options *o, FILE *err)
{
    const cli_option *row;

    for (size_t i = 0; (row = row_of(o->bench, i)); i++) {
        const char *env = row->env ? getenv(row->env) : NULL;

        if (env && *env && !apply(o, row, env, row->env, err))
            return false;
        if (!(env && *env) && row->initial && !apply(o, row, row->initial, NULL, err))
            return false;
    }
    return true;
}

static bool count_stdin(const cli_options *o, FILE *err)
{
    size_t count = 0;

    for (size_t i = 0; i < o->input_count; i++)
        count += strcmp(o->inputs[i], "-") == 0;
    if (count > 1)
        fputs("prelu-classify: - (standard input) can be given only once\n", err);
    return count <= 1;
}

/* What options can only mean together. */
static bool check_bench(cli_options *o, FILE *err)
{
    if (o->rate > 0 && o->p99_s > 0) {
        fputs("prelu-classify: --rate is one rate, --p99 looks for one: choose\n", err);
        return false;
    }
    if (o->duration_s < 4 * o->p99_s) { /* a queue that only grows must be seen to */
        fputs("prelu-classify: --duration must be at least 4 times --p99\n", err);
        return false;
    }
    if (o->connections == 0)
        o->connections = o->rate > 0 || o->p99_s > 0 ? 256 : 8;
    return true;
}

void cli_options_parse(cli_options *o, int argc, char **argv, FILE *err)
{
    struct option longs[MAX_ROWS + 1];
    char shorts[2 * MAX_ROWS + 2];
    int value;

    *o = (cli_options){.command = CLI_RUN, .bench = argc > 1 && strcmp(argv[1], "bench") == 0};
    argc -= o->bench;
    argv += o->bench;
    if (!apply_defaults(o, err))
        return;
    fill_getopt(o->bench, longs, shorts);
    optind = 0; /* glibc: start afresh */
    opterr = 0;
    while ((value = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const cli_option *row = find_row(o->bench, value == ':' ? optopt : value);

        if (value == '?' || !row) {
            explain_unknown(o, argv[optind - 1], optopt, err);
            return;
        }
        if (value == ':') {
            fprintf(err, "prelu-classify: --%s needs a value: %s\n", row->name, row->value);
            wrong(o, err);
            return;
        }
        if (!apply(o, row, optarg, NULL, err))
            return;
        if (o->command != CLI_RUN)
            return; /* --help and --version win over whatever follows */
    }
    o->inputs = argv + optind;
    o->input_count = (size_t)(argc - optind);
    if (o->input_count == 0) {
        fputs("prelu-classify: no pictures given: name files, folders, or - for standard input\n",
              err);
        wrong(o, err);
    } else if (!count_stdin(o, err) || (o->bench && !check_bench(o, err))) {
        wrong(o, err);
    }
}

/* Writes words from column HELP_INDENT on, broken before column 80. */
static void put_wrapped(FILE *out, const char *text)
{
    size_t column = HELP_INDENT;

    while (*text) {
        size_t len = strcspn(text, " ");

        if (column > HELP_INDENT && column + 1 + len >= 80) {
            fprintf(out, "\n%*s", HELP_INDENT, "");
            column = HELP_INDENT;
        } else if (column > HELP_INDENT) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", (int)len, text);
        column += len;
        text += len + (text[len] == ' ');
    }
    fputc('\n', out);
}

static void put_row(FILE *out, const cli_option *row)
{
    char left[64];
    char text[256];
    char letter[8] = "    ";

    if (row->letter)
        snprintf(letter, sizeof letter, "-%c, ", row->letter);
    snprintf(left, sizeof left, "%s--%s%s%s", letter, row->name, row->value ? " " : "",
             row->value ? row->value : "");
    snprintf(text, sizeof text, "%s%s%s%s%s%s", row->help, row->initial ? " (default " : "",
             row->initial ? row->initial : "", row->env ? ", or the environment's " : "",
             row->env ? row->env : "", row->initial ? ")" : "");
    fprintf(out, "  %-*s", HELP_INDENT - 2, left);
    put_wrapped(out, text);
}

static const char usage_classify[] =
    "Usage: prelu-classify [OPTION]... FILE|DIR|-...\n"
    "       prelu-classify bench [OPTION]... FILE|DIR|-...\n"
    "Asks a prelu-serve what is on JPEG pictures and prints the likeliest labels.\n"
    "Folders are searched for *.jpg and *.jpeg, hidden names left out; - reads one\n"
    "picture from standard input.\n\n"
    "Commands:\n"
    "  bench  measures the server; prelu-classify bench --help has its options\n";

static const char notes_classify[] =
    "Exit codes: 0 all classified, 1 some pictures failed, 64 wrong usage,\n"
    "69 server unreachable, 74 results could not be written.\n\n"
    "Examples:\n"
    "  prelu-classify cat.jpg\n"
    "  prelu-classify --mode 10view --csv holiday/ > holiday.csv\n"
    "  cat cat.jpg | prelu-classify --json -\n";

static const char usage_bench[] =
    "Usage: prelu-classify bench [OPTION]... FILE|DIR|-...\n"
    "Loads a prelu-serve with the pictures in turn and reports rates and latencies.\n"
    "Without --rate each connection asks again as soon as it is answered (closed\n"
    "loop): this gives the highest rate, but hides waiting. With --rate requests\n"
    "come at random times (Poisson), and a latency counts from the time at which its\n"
    "request was due, even if it could only be sent later. Ctrl-C ends the measuring\n"
    "and reports.\n";

static const char notes_bench[] =
    "Exit codes: 0 measured, 1 requests failed other than by being refused (429,\n"
    "503, 504) or no picture was classified, 64 wrong usage, 69 server unreachable,\n"
    "74 the report could not be written.\n\n"
    "Examples:\n"
    "  prelu-classify bench -c 32 cat.jpg\n"
    "  prelu-classify bench --rate 200 --duration 60s --save before.json pictures/\n"
    "  prelu-classify bench --p99 50ms --compare before.json pictures/\n";

void cli_options_help(FILE *out, bool bench)
{
    const cli_option *row;

    fprintf(out, "%s\nOptions:\n", bench ? usage_bench : usage_classify);
    for (size_t i = 0; (row = row_of(bench, i)); i++)
        put_row(out, row);
    fprintf(out, "\n%s", bench ? notes_bench : notes_classify);
}
