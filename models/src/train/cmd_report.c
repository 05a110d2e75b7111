/* prelu-train report: one HTML file of the logs of training runs. */
#define _POSIX_C_SOURCE 200809L
#include "command.h"
#include "common.h"
#include "file.h"
#include "prelu/mem.h"
#include "report.h"
#include <math.h>
#include <string.h>

#define MAX_LOG ((size_t)256 << 20)
#define MAX_EPOCHS 1000000

static prelu_status add_line(report_run *r, const char *text, prelu_err *err)
{
    mdl_json *line = NULL;
    mdl_json **more;
    if (!*text)
        return PRELU_OK;
    if (mdl_json_parse(&line, "log", text, NULL)) {
        r->damaged++; /* torn by a crash */
        return PRELU_OK;
    }
    more = prelu_realloc(r->lines, (r->n_lines + 1) * sizeof *more);
    if (!more) {
        mdl_json_free(line);
        return prelu_fail(err, PRELU_E_NOMEM, "report: %zu lines", r->n_lines);
    }
    r->lines = more;
    r->lines[r->n_lines++] = line;
    return PRELU_OK;
}

static prelu_status read_log(report_run *r, prelu_err *err)
{
    char path[4096], *text = NULL, *at;
    size_t len = 0;
    const int n = snprintf(path, sizeof path, "%s/log.jsonl", r->dir);
    prelu_status st;
    if (n < 0 || (size_t)n >= sizeof path)
        return prelu_fail(err, PRELU_E_ARG, "path of %d bytes", n);
    PRELU_TRY(mdl_file_read(path, MAX_LOG, &text, &len, err));
    st = PRELU_OK;
    for (char *line = text; line && !st; line = at) {
        at = strchr(line, '\n');
        if (at)
            *at++ = 0;
        st = add_line(r, line, err);
    }
    prelu_free(text);
    if (!st && !r->n_lines)
        st = prelu_fail(err, PRELU_E_FORMAT, "%s: not the log of a run", path);
    return st;
}

static bool is_event(const mdl_json *line, const char *event)
{
    return !strcmp(mdl_json_text(mdl_json_get(line, "event")), event);
}

/* The number of an epoch line; 0 of any other. */
static size_t epoch_of(const mdl_json *line)
{
    const double e = is_event(line, "epoch") ? mdl_json_number(mdl_json_get(line, "epoch")) : 0;
    return e >= 1 && e <= MAX_EPOCHS ? (size_t)e : 0;
}

static double error_percent(const mdl_json *line, const char *key)
{
    return 100 * (1 - mdl_json_number(mdl_json_get(line, key)));
}

static void take_line(report_run *r, const mdl_json *line)
{
    const size_t e = epoch_of(line);
    if (is_event(line, "started") || is_event(line, "resumed"))
        r->config = mdl_json_get(line, "config");
    if (is_event(line, "val"))
        r->val = line;
    if (is_event(line, "layers") && mdl_json_number(mdl_json_get(line, "epoch")) == 0)
        r->begin = line;
    else if (is_event(line, "layers"))
        r->end = line;
    if (!e)
        return;
    r->train_loss[e - 1] = mdl_json_number(mdl_json_get(line, "train_loss"));
    r->train_error[e - 1] = error_percent(line, "train_top1");
    r->val_error[e - 1] = error_percent(line, "val_top1");
    r->val_error5[e - 1] = error_percent(line, "val_top5");
}

/* A resumed run may have measured an epoch twice: the later line holds. */
static prelu_status read_run(report_run *r, prelu_err *err)
{
    double *block;
    const char *slash = strrchr(r->dir, '/');
    r->name = slash && slash[1] ? slash + 1 : r->dir;
    PRELU_TRY(read_log(r, err));
    for (size_t i = 0; i < r->n_lines; i++)
        r->epochs = epoch_of(r->lines[i]) > r->epochs ? epoch_of(r->lines[i]) : r->epochs;
    block = prelu_calloc(5 * r->epochs + 1, sizeof *block);
    if (!block)
        return prelu_fail(err, PRELU_E_NOMEM, "report: %zu epochs", r->epochs);
    r->epoch = block;
    r->train_loss = block + r->epochs;
    r->train_error = block + 2 * r->epochs;
    r->val_error = block + 3 * r->epochs;
    r->val_error5 = block + 4 * r->epochs;
    for (size_t i = 0; i < 5 * r->epochs; i++)
        block[i] = i < r->epochs ? (double)(i + 1) : NAN;
    for (size_t i = 0; i < r->n_lines; i++)
        take_line(r, r->lines[i]);
    return PRELU_OK;
}

static prelu_status report_all(report *r, const train_args *a, prelu_err *err)
{
    const char *dir;
    for (; (dir = train_text_at(a, "", r->n)); r->n++) {
        if (r->n == REPORT_MAX_RUNS)
            return prelu_fail(err, PRELU_E_ARG, "more than %d runs", REPORT_MAX_RUNS);
        r->runs[r->n].dir = dir;
    }
    if (!r->n)
        return prelu_fail(err, PRELU_E_ARG, "no run: name the folders of runs");
    for (int i = 0; i < r->n; i++)
        PRELU_TRY(read_run(&r->runs[i], err));
    return train_report_write(r, train_text(a, "out", "report.html"), err);
}

static prelu_status run(const train_args *a, int *exit_code, prelu_err *err)
{
    report r = {.n = 0};
    prelu_status st = report_all(&r, a, err);
    (void)exit_code;
    for (int i = 0; i < r.n; i++) {
        for (size_t k = 0; k < r.runs[i].n_lines; k++)
            mdl_json_free(r.runs[i].lines[k]);
        prelu_free(r.runs[i].lines);
        prelu_free(r.runs[i].epoch);
    }
    return st;
}

static const train_option options[] = {
    {"", "RUN", "the folder of a run (fit's --run, by default <out>.run)", true},
    {"out", "FILE", "the report (default report.html)", false},
    TRAIN_OPTION_END,
};

const train_command train_report = {"report", "HTML report of training runs, side by side",
                                    "RUN... [--out report.html]", options, run};
