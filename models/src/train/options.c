#include "options.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NAME 31

/* Levenshtein distance of two short texts; long ones count as far. */
static size_t distance(const char *a, const char *b)
{
    size_t row[MAX_NAME + 2], la = strlen(a), lb = strlen(b);
    if (la > MAX_NAME || lb > MAX_NAME)
        return MAX_NAME;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t shift = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < shift ? change : shift;
        }
    }
    return row[lb];
}

const char *train_nearest(const char *text, const char *const *names)
{
    const char *best = NULL;
    size_t least = (strlen(text) + 1) / 2 + 1;
    for (; *names; names++) {
        size_t d = distance(text, *names);
        if (d < least) {
            least = d;
            best = *names;
        }
    }
    return best;
}

static const train_option *find(const train_option *options, const char *name, size_t len)
{
    for (; options->name; options++)
        if (strlen(options->name) == len && !memcmp(options->name, name, len))
            return options;
    return NULL;
}

static prelu_status unknown(const train_option *options, const char *arg, size_t len,
                            prelu_err *err)
{
    const char *names[TRAIN_MAX_VALUES + 1], *near;
    char text[MAX_NAME + 1];
    size_t n = 0;
    len = len > MAX_NAME ? MAX_NAME : len;
    memcpy(text, arg + 2, len);
    text[len] = 0;
    for (; options->name && n < TRAIN_MAX_VALUES; options++)
        names[n++] = options->name;
    names[n] = NULL;
    near = train_nearest(text, names);
    if (near)
        return prelu_fail(err, PRELU_E_ARG, "unknown option --%s; did you mean --%s?", text, near);
    return prelu_fail(err, PRELU_E_ARG, "unknown option --%s", text);
}

static prelu_status add(train_args *out, const train_option *o, const char *text, prelu_err *err)
{
    if (out->n == TRAIN_MAX_VALUES)
        return prelu_fail(err, PRELU_E_ARG, "more than %d options", TRAIN_MAX_VALUES);
    for (int k = 0; k < out->n; k++)
        if (out->given[k].option == o && !o->repeatable)
            return prelu_fail(err, PRELU_E_ARG, "--%s is given twice", o->name);
    out->given[out->n].option = o;
    out->given[out->n++].text = text;
    return PRELU_OK;
}

/* One option at argv[i]; *used = 1 or 2 arguments. */
static prelu_status parse_one(train_args *out, int argc, char *const *argv, int i, int *used,
                              prelu_err *err)
{
    const char *arg = argv[i], *equals = strchr(arg, '='), *text = NULL;
    const train_option *o;
    size_t len;
    if (strncmp(arg, "--", 2) != 0 && find(out->options, "", 0)) {
        *used = 1;
        return add(out, find(out->options, "", 0), arg, err);
    }
    if (strncmp(arg, "--", 2) != 0 || !arg[2])
        return prelu_fail(err, PRELU_E_ARG, "'%.60s' is no option; options begin with --", arg);
    len = (equals ? (size_t)(equals - arg) : strlen(arg)) - 2;
    o = find(out->options, arg + 2, len);
    if (!o)
        return unknown(out->options, arg, len, err);
    *used = 1;
    if (!o->metavar && equals)
        return prelu_fail(err, PRELU_E_ARG, "--%s takes no value", o->name);
    if (o->metavar && !equals && i + 1 >= argc)
        return prelu_fail(err, PRELU_E_ARG, "--%s needs a value: %s", o->name, o->metavar);
    if (o->metavar) {
        text = equals ? equals + 1 : argv[i + 1];
        *used = equals ? 1 : 2;
    }
    return add(out, o, text, err);
}

prelu_status train_args_parse(train_args *out, const train_option *options, int argc,
                              char *const *argv, prelu_err *err)
{
    out->options = options;
    out->n = 0;
    for (int i = 0, used = 0; i < argc; i += used)
        PRELU_TRY(parse_one(out, argc, argv, i, &used, err));
    return PRELU_OK;
}

bool train_flag(const train_args *a, const char *name)
{
    for (int i = 0; i < a->n; i++)
        if (!strcmp(a->given[i].option->name, name))
            return true;
    return false;
}

const char *train_text_at(const train_args *a, const char *name, int nth)
{
    for (int i = 0; i < a->n; i++)
        if (!strcmp(a->given[i].option->name, name) && nth-- == 0)
            return a->given[i].text;
    return NULL;
}

const char *train_text(const train_args *a, const char *name, const char *otherwise)
{
    const char *text = train_text_at(a, name, 0);
    return text ? text : otherwise;
}

prelu_status train_int(const train_args *a, const char *name, int64_t lo, int64_t hi,
                       int64_t otherwise, int64_t *out, prelu_err *err)
{
    const char *text = train_text(a, name, NULL);
    char *end;
    long long v;
    *out = otherwise;
    if (!text)
        return PRELU_OK;
    errno = 0;
    v = strtoll(text, &end, 10);
    if (end == text || *end || errno || v < lo || v > hi)
        return prelu_fail(err, PRELU_E_ARG, "--%s '%.40s' is no integer in %lld..%lld", name, text,
                          (long long)lo, (long long)hi);
    *out = v;
    return PRELU_OK;
}

prelu_status train_double(const train_args *a, const char *name, double lo, double hi,
                          double otherwise, double *out, prelu_err *err)
{
    const char *text = train_text(a, name, NULL);
    char *end;
    double v;
    *out = otherwise;
    if (!text)
        return PRELU_OK;
    v = strtod(text, &end);
    if (end == text || *end || !isfinite(v) || v < lo || v > hi)
        return prelu_fail(err, PRELU_E_ARG, "--%s '%.40s' is no number in %g..%g", name, text, lo,
                          hi);
    *out = v;
    return PRELU_OK;
}

prelu_status train_need(const train_args *a, const char *name, const char **out, prelu_err *err)
{
    *out = train_text(a, name, NULL);
    if (!*out || !**out)
        return prelu_fail(err, PRELU_E_ARG, "--%s is missing", name);
    return PRELU_OK;
}
