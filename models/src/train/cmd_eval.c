/* prelu-train eval: accuracy of a model on a folder of labelled pictures. */
#define _POSIX_C_SOURCE 200809L
#include "command.h"
#include "common.h"
#include "evaluate.h"
#include "prelu/mem.h"
#include "progress.h"
#include "stop.h"
#include <string.h>

#define MAX_MODES 8

typedef struct eval {
    prelu_model *model;
    mdl_dataset *data;
    prelu_pool *pool;
    prelu_plan *plan, *dense; /* dense only where a test asks for it */
    prelu_session *session, *dense_session;
    prelu_precision precision;
    prelu_test tests[MAX_MODES];
    char names[MAX_MODES][64];
    train_result results[MAX_MODES];
    int n_modes;
    bool quiet;
    train_progress bar;
} eval;

static bool on_progress(void *ctx, const train_result *r)
{
    eval *e = ctx;
    char more[64];
    snprintf(more, sizeof more, "top-1 %.2f%%",
             r->images ? 100.0 * (double)r->top1 / (double)r->images : 0.0);
    train_progress_update(&e->bar, r->images + r->skipped, more);
    return !train_stopped();
}

static void on_bad(void *ctx, const char *name, const char *why)
{
    eval *e = ctx;
    train_progress_line(&e->bar, true, "skipped %s: %s", name, why);
}

/* "center,dense@384" */
static prelu_status parse_modes(eval *e, const char *text, prelu_err *err)
{
    while (*text) {
        char one[64];
        size_t len = strcspn(text, ",");
        if (e->n_modes == MAX_MODES)
            return prelu_fail(err, PRELU_E_ARG, "--mode: more than %d", MAX_MODES);
        snprintf(one, sizeof one, "%.*s", (int)(len < sizeof one ? len : sizeof one - 1), text);
        PRELU_TRY(prelu_test_parse(&e->tests[e->n_modes], one, err));
        prelu_test_text(&e->tests[e->n_modes], e->names[e->n_modes], sizeof e->names[0]);
        e->n_modes++;
        text += len + (text[len] == ',');
    }
    return e->n_modes ? PRELU_OK : prelu_fail(err, PRELU_E_ARG, "--mode is empty");
}

/* Folders are matched with the model's label ids (or labels), so a set with fewer or reordered
 * classes is judged rightly; a model without labels takes folders in byte order. */
static prelu_status open_data(eval *e, const char *dir, const char *split, prelu_err *err)
{
    const prelu_model *m = e->model;
    prelu_status st;
    const char **ids = prelu_calloc((size_t)m->classes, sizeof *ids);
    bool named = true;
    if (!ids)
        return prelu_fail(err, PRELU_E_NOMEM, "eval: %d classes", m->classes);
    for (int i = 0; i < m->classes; i++) {
        ids[i] = m->labels[i].id[0] ? m->labels[i].id : m->labels[i].label;
        named = named && ids[i][0];
    }
    st = mdl_dataset_open(&e->data, dir, split, named ? ids : NULL, named ? m->classes : 0, err);
    if (!st && e->data->n_classes != m->classes)
        st = prelu_fail(err, PRELU_E_FORMAT, "%s/%s has %d classes, the model %d", dir, split,
                        e->data->n_classes, m->classes);
    prelu_free(ids);
    return st;
}

static bool is_dense(const prelu_test *t)
{
    return t->mode == PRELU_MODE_DENSE || t->mode == PRELU_MODE_MULTISCALE;
}

/* Every test is checked before the first one runs. */
static prelu_status make_sessions(eval *e, prelu_err *err)
{
    PRELU_TRY(prelu_model_plan(&e->plan, e->model, e->precision, e->pool, err));
    PRELU_TRY(prelu_session_create(&e->session, e->plan, e->pool, 0, err));
    for (int i = 0; i < e->n_modes; i++) {
        if (is_dense(&e->tests[i]) && !e->dense) {
            PRELU_TRY(
                prelu_model_plan_dense(&e->dense, e->model, e->plan, e->precision, e->pool, err));
            PRELU_TRY(prelu_session_create(&e->dense_session, e->dense, e->pool, 0, err));
        }
        PRELU_TRY(prelu_test_resolve(&e->tests[i], e->model, e->dense, err));
    }
    return PRELU_OK;
}

static prelu_status run_modes(eval *e, prelu_err *err)
{
    PRELU_TRY(make_sessions(e, err));
    for (int i = 0; i < e->n_modes; i++) {
        train_evaluation v = {.model = e->model,
                              .session = is_dense(&e->tests[i]) ? e->dense_session : e->session,
                              .pool = e->pool,
                              .data = e->data,
                              .test = e->tests[i],
                              .progress = on_progress,
                              .bad = i ? NULL : on_bad,
                              .ctx = e};
        train_progress_begin(&e->bar, stderr, e->quiet, e->names[i], 0, e->data->n_pictures);
        prelu_status st = train_evaluate(&v, &e->results[i], err);
        train_progress_end(&e->bar);
        if (st)
            return st;
        if (!e->results[i].images)
            return prelu_fail(err, PRELU_E_FORMAT, "none of %zu pictures can be read",
                              e->data->n_pictures);
    }
    return PRELU_OK;
}

static double fraction(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

static void print_json(const eval *e)
{
    fputs("{\"results\":[", stdout);
    for (int i = 0; i < e->n_modes; i++) {
        const train_result *r = &e->results[i];
        printf("%s{\"mode\":\"%s\",\"images\":%llu,\"top1\":%.6f,\"top5\":%.6f,\"skipped\":%llu}",
               i ? "," : "", e->names[i], (unsigned long long)r->images,
               fraction(r->top1, r->images), fraction(r->top5, r->images),
               (unsigned long long)r->skipped);
    }
    fputs("]}\n", stdout);
}

static void print_table(const eval *e)
{
    printf("%-16s %9s %9s %9s %9s\n", "mode", "images", "top-1", "top-5", "skipped");
    for (int i = 0; i < e->n_modes; i++) {
        const train_result *r = &e->results[i];
        printf("%-16s %9llu %8.2f%% %8.2f%% %9llu\n", e->names[i], (unsigned long long)r->images,
               100 * fraction(r->top1, r->images), 100 * fraction(r->top5, r->images),
               (unsigned long long)r->skipped);
    }
}

static prelu_status eval_all(eval *e, const train_args *a, prelu_err *err)
{
    const char *dir;
    int64_t limit = 0;
    int threads = 1;
    PRELU_TRY(train_need(a, "data", &dir, err));
    PRELU_TRY(train_int(a, "limit", 1, INT64_MAX, 0, &limit, err));
    PRELU_TRY(parse_modes(e, train_text(a, "mode", "center"), err));
    PRELU_TRY(prelu_precision_parse(&e->precision, train_text(a, "precision", "auto"), err));
    PRELU_TRY(train_load(a, &e->model, err));
    if (!e->model->classes)
        return prelu_fail(err, PRELU_E_FORMAT, "the model is no picture classifier");
    PRELU_TRY(open_data(e, dir, train_text(a, "split", "val"), err));
    mdl_dataset_limit(e->data, (size_t)limit);
    PRELU_TRY(train_pool(a, &e->pool, &threads, err));
    return run_modes(e, err);
}

static prelu_status run(const train_args *a, int *exit_code, prelu_err *err)
{
    eval e = {.quiet = train_flag(a, "quiet")};
    prelu_status st;
    train_stop_watch();
    st = eval_all(&e, a, err);
    if (!st && train_flag(a, "json"))
        print_json(&e);
    else if (!st)
        print_table(&e);
    if (st == PRELU_E_CANCELLED)
        *exit_code = train_stop_code();
    prelu_session_destroy(&e.session);
    prelu_session_destroy(&e.dense_session);
    prelu_plan_destroy(&e.dense); /* before the plan whose weights it shares */
    prelu_plan_destroy(&e.plan);
    mdl_dataset_destroy(&e.data);
    prelu_pool_destroy(&e.pool);
    prelu_model_destroy(&e.model);
    return st;
}

static const train_option options[] = {
    TRAIN_MODEL_OPTIONS,
    {"data", "DIR", "folder with <split>/<class>/*.jpg, or IDX files", false},
    {"split", "NAME", "train or val (default)", false},
    {"mode", "LIST",
     "center, 10view, dense, multiscale, with commas; dense@384, multiscale@256+384 give the sizes "
     "(default center)",
     false},
    {"limit", "N", "only N pictures, evenly spaced", false},
    {"precision", "NAME", "auto (default), fp32, bf16, int8fc", false},
    {"threads", "N", "compute threads (default: the CPUs this process may use)", false},
    {"json", NULL, "print JSON", false},
    {"quiet", NULL, "no progress", false},
    TRAIN_OPTION_END,
};

const train_command train_eval = {"eval", "Accuracy of a model on labelled pictures",
                                  "--model FILE --data DIR [--mode center,10view,dense] [--json]",
                                  options, run};
