#ifndef TRAIN_OPTIONS_H
#define TRAIN_OPTIONS_H
#include "prelu/status.h"
#include <stdbool.h>
#include <stdint.h>

/** Command-line options as a table: it parses, checks for unknown names and prints --help. */
typedef struct train_option {
    const char *name;    /* without the dashes; "" = what stands without any; NULL ends a table */
    const char *metavar; /* of its value; NULL = a flag without one */
    const char *help;    /* with the default in words */
    bool repeatable;
} train_option;

#define TRAIN_MAX_VALUES 64
typedef struct train_args {
    const train_option *options;
    int n;
    struct {
        const train_option *option;
        const char *text; /* NULL of a flag */
    } given[TRAIN_MAX_VALUES];
} train_args;

/** `--name value`, `--name=value` and `--flag`. Borrows argv and the table.
 *  @return E_ARG unknown name (with the nearest known one), missing or unwanted value, one given
 *  twice, anything that is no option. */
PRELU_MUST_CHECK prelu_status train_args_parse(train_args *out, const train_option *options,
                                               int argc, char *const *argv, prelu_err *err);
bool train_flag(const train_args *a, const char *name);
/** The nth value (0-based) of an option, or NULL. */
const char *train_text_at(const train_args *a, const char *name, int nth);
/** Its value, or `otherwise`. */
const char *train_text(const train_args *a, const char *name, const char *otherwise);
/** Numbers: `otherwise` when absent; E_ARG when the text is no number in lo..hi. */
PRELU_MUST_CHECK prelu_status train_int(const train_args *a, const char *name, int64_t lo,
                                        int64_t hi, int64_t otherwise, int64_t *out,
                                        prelu_err *err);
PRELU_MUST_CHECK prelu_status train_double(const train_args *a, const char *name, double lo,
                                           double hi, double otherwise, double *out,
                                           prelu_err *err);
/** The value of an option that must be there. */
PRELU_MUST_CHECK prelu_status train_need(const train_args *a, const char *name, const char **out,
                                         prelu_err *err);

/** The one of `names` (NULL-terminated) nearest to `text` by edit distance, or NULL when all are
 *  further than half its length. */
const char *train_nearest(const char *text, const char *const *names);
#endif
