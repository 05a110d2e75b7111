#ifndef TRAIN_EVAL_H
#define TRAIN_EVAL_H
#include "common.h"
#include "figures.h"
#include "progress.h"

/** prelu-train eval, in parts: cmd_eval.c options and the run, eval_out.c texts, eval_html.c the
 *  report. */

typedef struct eval_skipped {
    uint32_t picture;
    char why[188];
} eval_skipped;

typedef struct eval {
    int n_models, n_tests;
    const char *paths[TRAIN_MAX_MEMBERS];
    prelu_model *models[TRAIN_MAX_MEMBERS];
    prelu_plan *plans[TRAIN_MAX_MEMBERS], *dense[TRAIN_MAX_MEMBERS];
    train_member members[TRAIN_MAX_MEMBERS];
    const char *dir, *split;
    mdl_dataset *data;
    prelu_pool *pool;
    prelu_precision precision;
    prelu_average average;
    train_auto choice;                 /* of mode auto, for the tests that are */
    bool chooses;                      /* one is */
    prelu_test tests[TRAIN_MAX_TESTS]; /* as asked for */
    char names[TRAIN_MAX_TESTS][64];
    train_record *records; /* of all pictures, test by test */
    train_figures figures[TRAIN_MAX_TESTS];
    train_timing timing[TRAIN_MAX_TESTS + 1];
    eval_skipped *skipped;
    size_t n_skipped, skipped_room;
    bool no_memory; /* for one of them */
    bool quiet;
    train_progress bar;
} eval;

void train_eval_print_table(const eval *e);
/** Of a test that is auto: how many pictures each mode was chosen for, on a line. */
void train_eval_print_choice(FILE *f, const eval *e, int test);
void train_eval_print_json(const eval *e);
void train_eval_print_csv(const eval *e);
/** A JSON line for each picture and test. @return E_IO, E_PERM, E_NOTFOUND. */
PRELU_MUST_CHECK prelu_status train_eval_write_predictions(const eval *e, const char *path,
                                                           prelu_err *err);
/** The report, atomically. */
PRELU_MUST_CHECK prelu_status train_eval_write_html(const eval *e, const char *path,
                                                    prelu_err *err);
/** What a person reads for class c; buf of 24 bytes serves models without labels. */
const char *train_eval_label(const eval *e, int c, char *buf, size_t len);
/** "prob" or "logit". */
const char *train_eval_average(const eval *e);
/** Milliseconds per classified picture of test i: resize and cut, and scores. */
double train_eval_prepare_ms(const eval *e, int i);
double train_eval_infer_ms(const eval *e, int i);
/** The same of decoding, which the tests share. */
double train_eval_decode_ms(const eval *e);
#endif
