/* prelu-train eval: accuracy of a model, or of an ensemble, on a folder of labelled pictures. */
#define _POSIX_C_SOURCE 200809L
#include "command.h"
#include "compare_precision.h"
#include "dist.h"
#include "eval.h"
#include "prelu/mem.h"
#include "stop.h"
#include <string.h>

static bool on_progress(void *ctx, const train_result *r)
{
    eval *e = ctx;
    char more[64];
    snprintf(more, sizeof more, "top-1 %.2f%%", 100 * train_fraction(r->top1, r->images));
    train_progress_update(&e->bar, r->images + r->skipped, more);
    return !train_stopped();
}

static void on_bad(void *ctx, size_t picture, const char *why)
{
    eval *e = ctx;
    char name[512];
    train_progress_line(&e->bar, true, "skipped %s: %s",
                        mdl_dataset_name(e->data, picture, name, sizeof name), why);
    if (e->n_skipped == e->skipped_room) {
        const size_t room = e->skipped_room ? 2 * e->skipped_room : 64;
        eval_skipped *more = prelu_realloc(e->skipped, room * sizeof *more);
        if (!more) {
            e->no_memory = true;
            return;
        }
        e->skipped = more;
        e->skipped_room = room;
    }
    eval_skipped *one = &e->skipped[e->n_skipped++];
    one->picture = (uint32_t)picture;
    snprintf(one->why, sizeof one->why, "%s", why);
}

/* Mode auto is center until a picture is there to choose for. */
static prelu_status parse_mode(eval *e, const char *text, prelu_err *err)
{
    prelu_test *t = &e->tests[e->n_tests];
    char *name = e->names[e->n_tests];
    const bool chosen = strcmp(text, "auto") == 0;
    PRELU_TRY(prelu_test_parse(t, chosen ? "center" : text, err));
    t->average = e->average;
    if (chosen)
        snprintf(name, sizeof e->names[0], "auto");
    else
        prelu_test_text(t, name, sizeof e->names[0]);
    e->choice.tests[e->n_tests++] = chosen;
    e->chooses = e->chooses || chosen;
    return PRELU_OK;
}

/* "center,dense@384,auto" */
static prelu_status parse_modes(eval *e, const char *text, prelu_err *err)
{
    while (*text) {
        char one[64];
        size_t len = strcspn(text, ",");
        if (e->n_tests == TRAIN_MAX_TESTS)
            return prelu_fail(err, PRELU_E_ARG, "--mode: more than %d", TRAIN_MAX_TESTS);
        snprintf(one, sizeof one, "%.*s", (int)(len < sizeof one ? len : sizeof one - 1), text);
        PRELU_TRY(parse_mode(e, one, err));
        text += len + (text[len] == ',');
    }
    return e->n_tests ? PRELU_OK : prelu_fail(err, PRELU_E_ARG, "--mode is empty");
}

/* Folders are matched with the model's label ids (or labels), so a set with fewer or reordered
 * classes is judged rightly; a model without labels takes folders in byte order. */
static prelu_status open_data(eval *e, prelu_err *err)
{
    const prelu_model *m = e->models[0];
    prelu_status st;
    const char **ids = prelu_calloc((size_t)m->classes, sizeof *ids);
    bool named = true;
    if (!ids)
        return prelu_fail(err, PRELU_E_NOMEM, "eval: %d classes", m->classes);
    for (int i = 0; i < m->classes; i++) {
        ids[i] = m->labels[i].id[0] ? m->labels[i].id : m->labels[i].label;
        named = named && ids[i][0];
    }
    st = mdl_dataset_open(&e->data, e->dir, e->split, named ? ids : NULL, named ? m->classes : 0,
                          err);
    if (!st && e->data->n_classes != m->classes)
        st = prelu_fail(err, PRELU_E_FORMAT, "%s/%s has %d classes, the model %d", e->dir, e->split,
                        e->data->n_classes, m->classes);
    prelu_free(ids);
    return st;
}

static bool is_dense(const prelu_test *t)
{
    return t->mode == PRELU_MODE_DENSE || t->mode == PRELU_MODE_MULTISCALE;
}

static prelu_status plan_dense(eval *e, int i, prelu_err *err)
{
    if (e->dense[i])
        return PRELU_OK;
    PRELU_TRY(prelu_model_plan_dense(&e->dense[i], e->models[i], e->plans[i], e->precision, e->pool,
                                     err));
    return prelu_session_create(&e->members[i].dense, e->dense[i], e->pool, 0, err);
}

/* Mode auto does with what the model can. */
static prelu_status measure_member(eval *e, int i, prelu_err *err)
{
    train_member *m = &e->members[i];
    prelu_err why = {0};
    const prelu_status st = plan_dense(e, i, &why);
    if (st && st != PRELU_E_UNSUPPORTED)
        return prelu_fail(err, st, "%s", why.text);
    m->dense_plan = e->dense[i];
    return prelu_rate_measure(&m->rate, m->session, m->dense, m->model, e->pool, err);
}

/* Every test is checked with every model before the first one runs. */
static prelu_status make_member(eval *e, int i, prelu_err *err)
{
    train_member *m = &e->members[i];
    m->model = e->models[i];
    PRELU_TRY(prelu_model_plan(&e->plans[i], m->model, e->precision, e->pool, err));
    PRELU_TRY(prelu_session_create(&m->session, e->plans[i], e->pool, 0, err));
    for (int k = 0; k < e->n_tests; k++) {
        m->tests[k] = e->tests[k];
        if (is_dense(&m->tests[k]))
            PRELU_TRY(plan_dense(e, i, err));
        PRELU_TRY(prelu_test_resolve(&m->tests[k], m->model, e->dense[i], err));
    }
    return e->chooses ? measure_member(e, i, err) : PRELU_OK;
}

/* What decoding and resizing takes, by the first picture that can be read. */
static prelu_status time_pixels(eval *e, prelu_err *err)
{
    const prelu_test center = {.mode = PRELU_MODE_CENTER};
    for (size_t i = 0; i < e->data->n_pictures; i++) {
        prelu_err unread = {0};
        prelu_image img = {.data = NULL};
        prelu_prepared p = {.n_images = 0};
        const double start = train_now_ms();
        prelu_status st = mdl_dataset_decode(e->data, i, 0, &img, &unread);
        if (!st)
            st = prelu_model_prepare_image(&p, e->models[0], &center, &img, NULL, &unread);
        e->choice.pixel_ms = (train_now_ms() - start) / ((double)img.width * img.height + 1);
        prelu_prepared_deinit(&p);
        prelu_image_deinit(&img);
        if (!st)
            return PRELU_OK;
        if (st == PRELU_E_NOMEM)
            return prelu_fail(err, st, "%s", unread.text);
    }
    return PRELU_OK;
}

/* Every process goes by what process 0 measured, so that their number changes no choice. */
static prelu_status prepare_auto(eval *e, prelu_err *err)
{
    enum { EACH = sizeof(prelu_rate) / sizeof(double) };
    double all[1 + EACH * TRAIN_MAX_MEMBERS] = {0};
    PRELU_TRY(time_pixels(e, err));
    prelu_model_mode_order(e->models[0], e->choice.order);
    all[0] = e->choice.pixel_ms;
    for (int i = 0; i < e->n_models; i++)
        memcpy(all + 1 + EACH * i, &e->members[i].rate, sizeof e->members[i].rate);
    if (train_dist_rank())
        memset(all, 0, sizeof all);
    train_dist_sum_doubles(all, sizeof all / sizeof *all);
    e->choice.pixel_ms = all[0];
    for (int i = 0; i < e->n_models; i++)
        memcpy(&e->members[i].rate, all + 1 + EACH * i, sizeof e->members[i].rate);
    return PRELU_OK;
}

static prelu_status load_models(eval *e, const train_args *a, prelu_err *err)
{
    const prelu_model_options o = {train_text(a, "preprocess", NULL),
                                   train_text(a, "labels", NULL)};
    const char *path;
    PRELU_TRY(train_need(a, "model", &path, err));
    for (; (path = train_text_at(a, "model", e->n_models)); e->n_models++) {
        if (e->n_models == TRAIN_MAX_MEMBERS)
            return prelu_fail(err, PRELU_E_ARG, "--model: more than %d", TRAIN_MAX_MEMBERS);
        e->paths[e->n_models] = path;
        PRELU_TRY(prelu_model_load(&e->models[e->n_models], path, &o, err));
        if (!e->models[e->n_models]->classes)
            return prelu_fail(err, PRELU_E_FORMAT, "%s is no picture classifier", path);
    }
    return prelu_ensemble_check((const prelu_model *const *)e->models, (size_t)e->n_models, err);
}

/* Process r of s takes pictures n r / s up to n (r + 1) / s. */
static size_t share(size_t n, int rank) { return n * (size_t)rank / (size_t)train_dist_size(); }

/* On process 0: the records and skipped files of all, in the order of the pictures, so that figures
 * do not depend on the number of processes; and the sums of their times. */
static prelu_status collect(eval *e, const train_record *mine, size_t n, prelu_err *err)
{
    const size_t all = e->data->n_pictures, times = sizeof e->timing / sizeof e->timing[0];
    const size_t ranks = (size_t)train_dist_size();
    const size_t skipped = train_dist_total(e->n_skipped * sizeof *e->skipped);
    const bool root = !train_dist_rank();
    train_timing *timing = root ? prelu_calloc(ranks, sizeof e->timing) : NULL;
    eval_skipped *list = root ? prelu_alloc(skipped ? skipped : 1) : NULL;
    prelu_status st = PRELU_OK;
    e->records = root ? prelu_calloc(all * (size_t)e->n_tests, sizeof *e->records) : NULL;
    if (root && (!timing || !list || !e->records))
        st = prelu_fail(err, PRELU_E_NOMEM, "eval: records of %zu pictures", all);
    for (int t = 0; t < e->n_tests && !st; t++)
        st = train_dist_gather(mine + (size_t)t * n, n * sizeof *mine,
                               root ? e->records + (size_t)t * all : NULL, all * sizeof *mine, err);
    if (!st)
        st = train_dist_gather(e->skipped, e->n_skipped * sizeof *list, list, skipped, err);
    if (!st)
        st = train_dist_gather(e->timing, sizeof e->timing, timing, ranks * sizeof e->timing, err);
    if (!st && root) {
        for (size_t i = times; i < ranks * times; i++) {
            e->timing[i % times].prepare += timing[i].prepare;
            e->timing[i % times].infer += timing[i].infer;
        }
        prelu_free(e->skipped);
        e->skipped = list;
        e->n_skipped = skipped / sizeof *list;
        list = NULL;
    }
    prelu_free(list);
    prelu_free(timing);
    return st;
}

static prelu_status make_figures(eval *e, prelu_err *err)
{
    const size_t n = e->data->n_pictures;
    for (int i = 0; i < e->n_tests; i++) {
        PRELU_TRY(train_figures_make(&e->figures[i], e->records + (size_t)i * n, n,
                                     e->models[0]->classes, err));
        if (!e->figures[i].result.images)
            return prelu_fail(err, PRELU_E_FORMAT, "none of %zu pictures can be read", n);
    }
    return PRELU_OK;
}

static prelu_status run_tests(eval *e, prelu_err *err)
{
    const size_t sizes[] = {e->data->n_pictures, (size_t)e->models[0]->classes};
    const size_t first = share(sizes[0], train_dist_rank());
    const size_t n = share(sizes[0], train_dist_rank() + 1) - first;
    train_result results[TRAIN_MAX_TESTS];
    train_record *mine;
    prelu_status st;
    PRELU_TRY(train_dist_same("the data set", sizes, sizeof sizes, err));
    mine = prelu_calloc(n * (size_t)e->n_tests + 1, sizeof *mine);
    if (!mine)
        return prelu_fail(err, PRELU_E_NOMEM, "eval: records of %zu pictures", n);
    train_evaluation v = {.members = e->members,
                          .n_members = e->n_models,
                          .n_tests = e->n_tests,
                          .choice = e->chooses ? &e->choice : NULL,
                          .pool = e->pool,
                          .data = e->data,
                          .first = first,
                          .n = n,
                          .records = mine,
                          .progress = on_progress,
                          .bad = on_bad,
                          .ctx = e};
    train_progress_begin(&e->bar, stderr, e->quiet, "eval", 0, n);
    st = train_evaluate(&v, results, e->timing, err);
    train_progress_end(&e->bar);
    if (!st && e->no_memory)
        st = prelu_fail(err, PRELU_E_NOMEM, "eval: %zu names of damaged pictures", e->n_skipped);
    st = train_dist_agree(st, err);
    if (!st)
        st = collect(e, mine, n, err);
    prelu_free(mine);
    return st;
}

static prelu_status compare_precision(const eval *e, const train_args *a, prelu_err *err)
{
    const train_comparison c = {.model = e->models[0],
                                .data = e->data,
                                .pool = e->pool,
                                .path = train_flag(a, "write-precision") ? e->paths[0] : NULL,
                                .json = train_flag(a, "json"),
                                .quiet = e->quiet};
    if (e->n_models > 1)
        return prelu_fail(err, PRELU_E_ARG, "--compare-precision takes one --model");
    if (train_dist_size() > 1)
        return prelu_fail(err, PRELU_E_ARG, "--compare-precision runs in one process");
    return train_compare_precision(&c, err);
}

static prelu_status eval_all(eval *e, const train_args *a, prelu_err *err)
{
    int64_t limit = 0, budget = 0;
    int threads = 1;
    PRELU_TRY(train_need(a, "data", &e->dir, err));
    e->split = train_text(a, "split", "val");
    PRELU_TRY(train_int(a, "limit", 1, INT64_MAX, 0, &limit, err));
    PRELU_TRY(prelu_average_parse(&e->average, train_text(a, "average", "prob"), err));
    PRELU_TRY(parse_modes(e, train_text(a, "mode", "center"), err));
    PRELU_TRY(train_int(a, "budget", 1, 3600000, 0, &budget, err));
    if (e->chooses != (budget > 0))
        return prelu_fail(err, PRELU_E_ARG, "--mode auto and --budget go together");
    e->choice.budget_ms = (double)budget;
    PRELU_TRY(prelu_precision_parse(&e->precision, train_text(a, "precision", "auto"), err));
    if (train_flag(a, "json") && train_flag(a, "csv"))
        return prelu_fail(err, PRELU_E_ARG, "--json and --csv: standard output takes one of them");
    PRELU_TRY(load_models(e, a, err));
    PRELU_TRY(open_data(e, err));
    mdl_dataset_limit(e->data, (size_t)limit);
    PRELU_TRY(train_pool(a, &e->pool, &threads, err));
    if (train_flag(a, "compare-precision"))
        return compare_precision(e, a, err);
    for (int i = 0; i < e->n_models; i++)
        PRELU_TRY(make_member(e, i, err));
    if (e->chooses)
        PRELU_TRY(prepare_auto(e, err));
    return run_tests(e, err);
}

static prelu_status write_all(eval *e, const train_args *a, prelu_err *err)
{
    const char *predictions = train_text(a, "predictions", NULL);
    const char *html = train_text(a, "html", NULL);
    PRELU_TRY(make_figures(e, err));
    if (predictions)
        PRELU_TRY(train_eval_write_predictions(e, predictions, err));
    if (html)
        PRELU_TRY(train_eval_write_html(e, html, err));
    if (train_flag(a, "json"))
        train_eval_print_json(e);
    else if (train_flag(a, "csv"))
        train_eval_print_csv(e);
    else
        train_eval_print_table(e);
    return PRELU_OK;
}

static void eval_deinit(eval *e)
{
    for (int i = 0; i < e->n_tests; i++)
        train_figures_deinit(&e->figures[i]);
    for (int i = 0; i < e->n_models; i++) {
        prelu_session_destroy(&e->members[i].session);
        prelu_session_destroy(&e->members[i].dense);
        prelu_plan_destroy(&e->dense[i]); /* before the plan whose weights it shares */
        prelu_plan_destroy(&e->plans[i]);
    }
    mdl_dataset_destroy(&e->data);
    prelu_pool_destroy(&e->pool);
    for (int i = 0; i < e->n_models; i++)
        prelu_model_destroy(&e->models[i]);
    prelu_free(e->records);
    prelu_free(e->skipped);
    prelu_free(e);
}

static prelu_status run(const train_args *a, int *exit_code, prelu_err *err)
{
    eval *e = prelu_calloc(1, sizeof *e); /* some 40 KB */
    prelu_status st;
    if (!e)
        return prelu_fail(err, PRELU_E_NOMEM, "eval: %zu bytes", sizeof *e);
    e->quiet = train_flag(a, "quiet") || train_dist_rank();
    train_stop_watch();
    st = eval_all(e, a, err);
    if (!st && !train_flag(a, "compare-precision") && !train_dist_rank())
        st = write_all(e, a, err);
    if (st == PRELU_E_CANCELLED)
        *exit_code = train_stop_code();
    eval_deinit(e);
    return st;
}

static const train_option options[] = {
    {"model", "FILE", "ONNX file; of several the scores are averaged", true},
    TRAIN_READ_OPTIONS,
    {"data", "DIR", "folder with <split>/<class>/*.jpg, or IDX files", false},
    {"split", "NAME", "train or val (default)", false},
    {"mode", "LIST",
     "center, 10view, dense, multiscale, auto, with commas; dense@384, multiscale@256+384 give the "
     "sizes (default center)",
     false},
    {"budget", "MS", "for auto: milliseconds that a picture may take", false},
    {"average", "WHAT", "prob (default): mean of the scores after softmax, or logit: before it",
     false},
    {"limit", "N", "only N pictures, evenly spaced", false},
    {"precision", "NAME", "auto (default), fp32, bf16, int8fc", false},
    {"compare-precision", NULL,
     "accuracy of fp32, bf16 and int8fc, and how often they agree (center)", false},
    {"write-precision", NULL,
     "with it: put the agreement into the model's file, where auto looks for it", false},
    {"threads", "N", "compute threads (default: the CPUs this process may use)", false},
    {"json", NULL, "print JSON: all figures, by class, confusion matrix, calibration", false},
    {"csv", NULL, "print a line of figures for each mode", false},
    {"predictions", "FILE", "write a line of JSON for each picture and mode", false},
    {"html", "FILE", "write a report with charts and the worst errors, one file", false},
    {"quiet", NULL, "no progress", false},
    TRAIN_OPTION_END,
};

const train_command train_eval = {"eval", "Accuracy of a model on labelled pictures",
                                  "--model FILE --data DIR [--mode center,10view,dense] [--json]",
                                  options, run};
