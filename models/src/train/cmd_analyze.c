/* prelu-train analyze: the mean responses of a model's activations on real pictures, and how far
 * its Fisher information matrix is from block-diagonal (fisher.h). */
#include "command.h"
#include "common.h"
#include "dataset.h"
#include "fisher.h"
#include "layers.h"
#include "prelu/classify.h"
#include "prelu/mem.h"
#include "progress.h"
#include "stop.h"
#include <math.h>
#include <string.h>

#define BATCH 8
/* Positions of a picture's map whose pairs count, evenly spaced: they cost the square of the units.
 */
#define POSITIONS ((size_t)49)

typedef struct analysis {
    prelu_model *m;
    mdl_dataset *data;
    prelu_pool *pool;
    prelu_plan *plan;
    prelu_session *session;
    int n;               /* activations */
    int *nodes;          /* of the graph */
    prelu_value *values; /* y and f of each */
    train_fisher *sums;
    train_fisher_figures *figures;
    prelu_prepared pictures[BATCH];
    prelu_view views[BATCH];
    int batch; /* pictures in a run */
    size_t n_pictures, n_skipped;
    train_progress bar;
    bool quiet;
} analysis;

static prelu_status find_activations(analysis *a, prelu_err *err)
{
    const prelu_graph *g = a->m->graph;
    a->nodes = prelu_calloc((size_t)g->n_nodes + 1, sizeof *a->nodes);
    a->values = prelu_calloc(2 * (size_t)g->n_nodes + 1, sizeof *a->values);
    if (!a->nodes || !a->values)
        return prelu_fail(err, PRELU_E_NOMEM, "analyze: %d nodes", g->n_nodes);
    for (int i = 0; i < g->n_nodes; i++) {
        if (!train_is_activation(&g->nodes[i]))
            continue;
        a->nodes[a->n] = i;
        a->values[2 * a->n] = g->nodes[i].in[0];
        a->values[2 * a->n++ + 1] = g->nodes[i].out[0];
    }
    if (!a->n)
        return prelu_fail(err, PRELU_E_UNSUPPORTED,
                          "the model has no activation of kind Relu, LeakyRelu or PRelu");
    a->sums = prelu_calloc((size_t)a->n, sizeof *a->sums);
    a->figures = prelu_calloc((size_t)a->n, sizeof *a->figures);
    return a->sums && a->figures ? PRELU_OK
                                 : prelu_fail(err, PRELU_E_NOMEM, "analyze: %d layers", a->n);
}

/* The largest halving of the batch that fits the session's ceiling. */
static prelu_status make_session(analysis *a, prelu_err *err)
{
    const int side = a->m->preprocess.crop;
    PRELU_TRY(prelu_model_plan_values(&a->plan, a->m, a->values, 2 * a->n, PRELU_PRECISION_FP32,
                                      a->pool, err));
    PRELU_TRY(prelu_session_create(&a->session, a->plan, a->pool, 0, err));
    for (a->batch = BATCH;; a->batch /= 2) {
        prelu_err why = {0};
        const prelu_status st = prelu_session_reshape(a->session, a->batch, side, side, &why);
        if (!st)
            return PRELU_OK;
        if (st != PRELU_E_LIMIT || a->batch == 1)
            return prelu_fail(err, st, "%s", why.text);
    }
}

/* Units are the last dimension as the engine lays it out: channels, or the units of an fc layer. */
static prelu_status add_layer(analysis *a, int i, int n, prelu_err *err)
{
    const prelu_shape *s = prelu_session_output_shape(a->session, 2 * i + 1);
    const float *y = prelu_session_output(a->session, 2 * i);
    const float *f = prelu_session_output(a->session, 2 * i + 1);
    size_t units, count = 0, rows;
    PRELU_TRY(prelu_shape_count(s, &count, err));
    if (s->rank < 2 || !count)
        return prelu_fail(err, PRELU_E_UNSUPPORTED, "%.80s: a response of rank %d",
                          a->m->graph->nodes[a->nodes[i]].name, s->rank);
    units = (size_t)(s->rank == 4 ? s->dim[1] : s->dim[s->rank - 1]);
    rows = count / units / (size_t)n;
    if (!a->sums[i].units)
        PRELU_TRY(train_fisher_init(&a->sums[i], units, err));
    for (int k = 0; k < n; k++)
        train_fisher_add(&a->sums[i], y + (size_t)k * rows * units, f + (size_t)k * rows * units,
                         rows, (rows + POSITIONS - 1) / POSITIONS, a->pool);
    return PRELU_OK;
}

static prelu_status run_batch(analysis *a, int n, prelu_err *err)
{
    const int side = a->m->preprocess.crop;
    PRELU_TRY(prelu_session_reshape(a->session, n, side, side, err));
    PRELU_TRY(prelu_session_set_views(a->session, a->views, (size_t)n, err));
    PRELU_TRY(prelu_session_run(a->session, err));
    for (int i = 0; i < a->n; i++)
        PRELU_TRY(add_layer(a, i, n, err));
    a->n_pictures += (size_t)n;
    return PRELU_OK;
}

static prelu_status prepare(analysis *a, size_t picture, prelu_prepared *out, prelu_err *err)
{
    const prelu_test center = {.mode = PRELU_MODE_CENTER};
    prelu_image img = {.data = NULL};
    prelu_status st = mdl_dataset_decode(a->data, picture, 0, &img, err);
    if (!st)
        st = prelu_model_prepare_image(out, a->m, &center, &img, NULL, err);
    prelu_image_deinit(&img);
    return st;
}

static prelu_status run_pictures(analysis *a, prelu_err *err)
{
    const size_t all = a->data->n_pictures;
    for (size_t at = 0; at < all;) {
        prelu_status st = PRELU_OK;
        int n = 0;
        for (; n < a->batch && at < all; at++) {
            prelu_err why = {0};
            char name[512];
            if (prepare(a, at, &a->pictures[n], &why)) {
                if (why.code == PRELU_E_NOMEM)
                    st = prelu_fail(err, why.code, "%s", why.text);
                a->n_skipped++;
                train_progress_line(&a->bar, true, "skipped %s: %s",
                                    mdl_dataset_name(a->data, at, name, sizeof name), why.text);
                continue;
            }
            a->views[n] = a->pictures[n].views[0];
            n++;
        }
        if (!st && n)
            st = run_batch(a, n, err);
        for (int i = 0; i < n; i++)
            prelu_prepared_deinit(&a->pictures[i]);
        if (st)
            return st;
        if (train_stopped())
            return prelu_fail(err, PRELU_E_CANCELLED, "interrupted");
        train_progress_update(&a->bar, at, "");
    }
    return a->n_pictures ? PRELU_OK
                         : prelu_fail(err, PRELU_E_FORMAT, "none of %zu pictures can be read", all);
}

static prelu_status make_figures(analysis *a, int i, prelu_err *err)
{
    const prelu_graph *g = a->m->graph;
    const prelu_node *node = &g->nodes[a->nodes[i]];
    const size_t units = a->sums[i].units, count = train_slope_count(g, node);
    double *slopes;
    if (count != 1 && count != units)
        return prelu_fail(err, PRELU_E_UNSUPPORTED, "%.80s: %zu slopes for %zu units", node->name,
                          count, units);
    slopes = prelu_calloc(units, sizeof *slopes);
    if (!slopes)
        return prelu_fail(err, PRELU_E_NOMEM, "analyze: %zu slopes", units);
    for (size_t j = 0; j < units; j++)
        slopes[j] = (double)train_slope_at(g, node, count == 1 ? 0 : j);
    train_fisher_make(&a->sums[i], slopes, &a->figures[i]);
    prelu_free(slopes);
    return PRELU_OK;
}

static void print_number(const char *key, double value)
{
    if (isfinite(value))
        printf(",\"%s\":%.8g", key, value);
    else
        printf(",\"%s\":null", key);
}

static void print_json(const analysis *a)
{
    printf("{\"pictures\":%zu,\"skipped\":%zu,\"activations\":[", a->n_pictures, a->n_skipped);
    for (int i = 0; i < a->n; i++) {
        const train_fisher_figures *f = &a->figures[i];
        char layer[256];
        fputs(i ? ",\n {\"layer\":" : "\n {\"layer\":", stdout);
        train_json_text(
            stdout, train_activation_layer(&a->m->graph->nodes[a->nodes[i]], layer, sizeof layer));
        printf(",\"units\":%zu", a->sums[i].units);
        print_number("slope", f->slope);
        print_number("positive", f->positive);
        print_number("mean", f->mean);
        print_number("mean_by_equation", f->by_equation);
        print_number("rms", f->rms);
        print_number("mean_over_rms", f->mean / f->rms);
        print_number("gaussian", f->gaussian);
        print_number("products", f->products);
        print_number("pairs", f->pairs);
        fputs("}", stdout);
    }
    puts("]}");
}

static void print_table(const analysis *a)
{
    printf("%-14s %6s %7s %7s %10s %10s %10s %7s %9s %9s %9s\n", "activation", "units", "a", "y>=0",
           "E[f]", "equation", "rms", "E/rms", "Gaussian", "products", "pairs");
    for (int i = 0; i < a->n; i++) {
        const train_fisher_figures *f = &a->figures[i];
        char layer[256];
        train_activation_layer(&a->m->graph->nodes[a->nodes[i]], layer, sizeof layer);
        printf("%-14s %6zu %7.3f %6.1f%% %10.4g %10.4g %10.4g %7.3f %9.3f %9.4f %9.4f\n", layer,
               a->sums[i].units, f->slope, 100 * f->positive, f->mean, f->by_equation, f->rms,
               f->mean / f->rms, f->gaussian, f->products, f->pairs);
    }
    printf("%zu pictures, %zu skipped\n", a->n_pictures, a->n_skipped);
}

static prelu_status analyze(analysis *a, const train_args *args, prelu_err *err)
{
    const char *dir;
    int64_t limit = 0;
    int threads = 1;
    PRELU_TRY(train_need(args, "data", &dir, err));
    PRELU_TRY(train_int(args, "limit", 1, INT64_MAX, 0, &limit, err));
    PRELU_TRY(train_load(args, &a->m, err));
    if (!a->m->classes)
        return prelu_fail(err, PRELU_E_FORMAT, "the model is no picture classifier");
    PRELU_TRY(find_activations(a, err));
    PRELU_TRY(mdl_dataset_open(&a->data, dir, train_text(args, "split", "val"), NULL, 0, err));
    mdl_dataset_limit(a->data, (size_t)limit);
    PRELU_TRY(train_pool(args, &a->pool, &threads, err));
    PRELU_TRY(make_session(a, err));
    train_progress_begin(&a->bar, stderr, a->quiet, "analyze", 0, a->data->n_pictures);
    const prelu_status st = run_pictures(a, err);
    train_progress_end(&a->bar);
    if (st)
        return st;
    for (int i = 0; i < a->n; i++)
        PRELU_TRY(make_figures(a, i, err));
    if (train_flag(args, "json"))
        print_json(a);
    else
        print_table(a);
    return PRELU_OK;
}

static prelu_status run(const train_args *args, int *exit_code, prelu_err *err)
{
    analysis a = {.quiet = train_flag(args, "quiet")};
    train_stop_watch();
    const prelu_status st = analyze(&a, args, err);
    if (st == PRELU_E_CANCELLED)
        *exit_code = train_stop_code();
    for (int i = 0; a.sums && i < a.n; i++)
        train_fisher_deinit(&a.sums[i]);
    prelu_free(a.sums);
    prelu_free(a.figures);
    prelu_free(a.nodes);
    prelu_free(a.values);
    prelu_session_destroy(&a.session);
    prelu_plan_destroy(&a.plan);
    mdl_dataset_destroy(&a.data);
    prelu_pool_destroy(&a.pool);
    prelu_model_destroy(&a.m);
    return st;
}

static const train_option options[] = {
    TRAIN_MODEL_OPTIONS,
    {"data", "DIR", "folder with <split>/<class>/*.jpg, or IDX files", false},
    {"split", "NAME", "train or val (default)", false},
    {"limit", "N", "only N pictures, evenly spaced", false},
    {"threads", "N", "compute threads (default: the CPUs this process may use)", false},
    {"json", NULL, "print JSON", false},
    {"quiet", NULL, "no progress", false},
    TRAIN_OPTION_END,
};

const train_command train_analyze = {
    "analyze", "Mean responses of a model's activations, and its Fisher information's off-diagonal",
    "--model FILE --data DIR [--limit N] [--json]", options, run};
