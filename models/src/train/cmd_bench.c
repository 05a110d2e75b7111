/* prelu-train bench: time of a model's inference, or of one SGD step. */
#include "bench_layers.h"
#include "command.h"
#include "common.h"
#include "prelu/mem.h"
#include "prelu/session.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct result {
    double load_ms, plan_ms, median_ms, least_ms; /* of a run, all its pictures */
    double macs;                                  /* of a picture */
    double images_per_s;                          /* of a training step; 0 = not measured */
    double first_ms, loaded_mb; /* from the program's start to its first run; resident then */
    size_t packed_bytes, session_bytes;
    bool by_layer, json;
} result;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static prelu_status parse_size(const char *text, int64_t *h, int64_t *w, prelu_err *err)
{
    char *end = NULL;
    long a = text ? strtol(text, &end, 10) : 0, b;
    if (!text)
        return PRELU_OK;
    b = *end == 'x' ? strtol(end + 1, &end, 10) : a;
    if (*end || a < 1 || b < 1 || a > PRELU_MAX_SIDE || b > PRELU_MAX_SIDE)
        return prelu_fail(err, PRELU_E_ARG, "--size '%.30s' is no HxW in 1..%d", text,
                          PRELU_MAX_SIDE);
    *h = a;
    *w = b;
    return PRELU_OK;
}

/* Random pixels: untouched memory would read one shared zero page and flatter the figures. */
static prelu_status make_views(train_benchmark *b, prelu_err *err)
{
    size_t row = (size_t)b->width * 3, picture, len;
    uint64_t state = 1;
    PRELU_TRY(prelu_mul(row, (size_t)b->height, &picture, err));
    PRELU_TRY(prelu_mul(picture, (size_t)b->batch, &len, err));
    b->pixels = prelu_alloc(len);
    b->views = prelu_calloc((size_t)b->batch, sizeof *b->views);
    if (!b->pixels || !b->views)
        return prelu_fail(err, PRELU_E_NOMEM, "pictures of %zu bytes", len);
    for (size_t i = 0; i < len; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        b->pixels[i] = (uint8_t)(state >> 56);
    }
    for (int64_t i = 0; i < b->batch; i++)
        b->views[i] = (prelu_view){.data = b->pixels + (size_t)i * picture,
                                   .stride = row,
                                   .width = (int)b->width,
                                   .height = (int)b->height};
    return PRELU_OK;
}

static prelu_status count_macs(const train_benchmark *b, double *macs, prelu_err *err)
{
    const prelu_graph *g = b->m->graph;
    prelu_shape *shapes = prelu_calloc((size_t)g->n_values + 1, sizeof *shapes);
    prelu_status st;
    if (!shapes)
        return prelu_fail(err, PRELU_E_NOMEM, "%d shapes", g->n_values);
    st = prelu_graph_infer(g, 1, b->height, b->width, shapes, err);
    *macs = 0;
    for (int i = 0; !st && i < g->n_nodes; i++)
        *macs += prelu_node_macs(g, i, shapes);
    prelu_free(shapes);
    return st;
}

/* @param layers  NULL, or to be filled. */
static prelu_status time_runs(const train_benchmark *b, prelu_session *s, result *r,
                              train_layer_times *layers, prelu_err *err)
{
    double *ms = prelu_calloc((size_t)b->runs, sizeof *ms);
    prelu_status st = PRELU_OK;
    if (!ms)
        return prelu_fail(err, PRELU_E_NOMEM, "%" PRId64 " runs", b->runs);
    for (int64_t i = -2; i < b->runs && !st; i++) { /* two to warm up */
        double start = train_now_ms();
        if (layers && i >= 0)
            train_layers_clock(layers, s, (size_t)i);
        st = prelu_session_set_views(s, b->views, (size_t)b->batch, err);
        if (!st)
            st = prelu_session_run(s, err);
        if (i >= 0)
            ms[i] = train_now_ms() - start;
        else if (i == -2)
            r->first_ms = train_since_start_ms();
    }
    qsort(ms, (size_t)b->runs, sizeof *ms, by_value);
    r->median_ms = (ms[(b->runs - 1) / 2] + ms[b->runs / 2]) / 2;
    r->least_ms = ms[0];
    prelu_free(ms);
    return st;
}

static void print_json(const train_benchmark *b, const result *r)
{
    double ms = r->median_ms / (double)b->batch;
    printf("{\"arch\":");
    train_json_text(stdout, b->m->arch ? b->m->arch : "");
    printf(",\"cpu\":\"%s\",\"threads\":%d,\"precision\":\"%s\",\"batch\":%" PRId64
           ",\"height\":%" PRId64 ",\"width\":%" PRId64 ",\"runs\":%" PRId64 ",\"macs\":%.0f",
           prelu_cpu_text(), b->threads, prelu_precision_name(b->precision), b->batch, b->height,
           b->width, b->runs, r->macs);
    if (r->images_per_s > 0)
        printf(",\"images_per_s\":%.4g", r->images_per_s);
    else
        printf(",\"ms_per_image_median\":%.6g,\"ms_per_image_min\":%.6g,\"gflops\":%.5g,"
               "\"plan_ms\":%.4g,\"first_answer_ms\":%.4g,\"packed_mb\":%.5g,"
               "\"session_mb\":%.4g,\"loaded_rss_mb\":%.5g",
               ms, r->least_ms / (double)b->batch, 2 * r->macs / ms / 1e6, r->plan_ms, r->first_ms,
               (double)r->packed_bytes / 1e6, (double)r->session_bytes / 1e6, r->loaded_mb);
    printf(",\"load_ms\":%.4g,\"peak_rss_mb\":%.5g", r->load_ms, train_peak_rss_mb());
}

static void print_text(const train_benchmark *b, const result *r)
{
    double ms = r->median_ms / (double)b->batch;
    printf("%s, %" PRId64 " x %" PRId64 "x%" PRId64 ", %d threads, %s, on %s\n",
           b->m->arch ? b->m->arch : "model", b->batch, b->height, b->width, b->threads,
           prelu_precision_name(b->precision), prelu_cpu_text());
    if (r->images_per_s > 0)
        printf("%.4g images/s\n", r->images_per_s);
    else
        printf("%.4g ms per image (median of %" PRId64 " runs, least %.4g), %.4g GFLOP/s\n", ms,
               b->runs, r->least_ms / (double)b->batch, 2 * r->macs / ms / 1e6);
    printf("load %.4g ms, plan %.4g ms, peak %.4g MB\n", r->load_ms, r->plan_ms,
           train_peak_rss_mb());
    if (r->first_ms > 0)
        printf("%.4g ms from the program's start to its first answer, with %.5g MB packed and "
               "%.5g MB resident\n",
               r->first_ms, (double)r->packed_bytes / 1e6, r->loaded_mb);
}

/* @param layers  times to print with the rest, or NULL. */
static void report(const train_benchmark *b, const result *r, const prelu_plan *plan,
                   train_layer_times *layers)
{
    (r->json ? print_json : print_text)(b, r);
    if (layers)
        train_layers_print(layers, plan, b, r->json);
    if (r->json)
        printf("}\n");
}

static prelu_status measure(const train_benchmark *b, result *r, prelu_err *err)
{
    train_layer_times times = {0}, *layers = r->by_layer ? &times : NULL;
    prelu_plan *plan = NULL;
    prelu_session *s = NULL;
    double start = train_now_ms();
    prelu_status st = prelu_model_plan(&plan, b->m, b->precision, b->pool, err);
    if (st)
        goto out;
    r->plan_ms = train_now_ms() - start;
    r->packed_bytes = prelu_plan_packed_bytes(plan);
    /* As a server does: what is packed needs no map, which would count as memory in use. */
    prelu_model_drop_weights(b->m);
    st = prelu_session_create(&s, plan, b->pool, 0, err);
    if (st)
        goto out;
    st = prelu_session_reshape(s, b->batch, b->height, b->width, err);
    if (st)
        goto out;
    r->session_bytes = prelu_session_bytes(s);
    r->loaded_mb = train_rss_mb();
    if (layers)
        st = train_layers_init(layers, plan, b, err);
    if (!st)
        st = time_runs(b, s, r, layers, err);
    if (!st)
        report(b, r, plan, layers);
out:
    train_layers_deinit(&times);
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
    return st;
}

static prelu_status choose_precision(train_benchmark *b, const train_args *a, prelu_err *err)
{
    bool bf16;
    if (!train_flag(a, "train"))
        return prelu_precision_parse(&b->precision, train_text(a, "precision", "auto"), err);
    PRELU_TRY(train_bf16(a, &bf16, err));
    b->precision = bf16 ? PRELU_PRECISION_BF16 : PRELU_PRECISION_FP32;
    return PRELU_OK;
}

static prelu_status prepare(train_benchmark *b, const train_args *a, result *r, prelu_err *err)
{
    bool from_file = train_flag(a, "model");
    prelu_net_options o;
    double start;
    if (from_file == train_flag(a, "arch"))
        return prelu_fail(err, PRELU_E_ARG, "one of --arch and --model is needed");
    PRELU_TRY(train_int(a, "batch", 1, 4096, train_flag(a, "train") ? 32 : 1, &b->batch, err));
    PRELU_TRY(train_int(a, "runs", 1, 100000, 10, &b->runs, err));
    PRELU_TRY(choose_precision(b, a, err));
    PRELU_TRY(train_pool(a, &b->pool, &b->threads, err));
    start = train_now_ms();
    if (from_file) {
        PRELU_TRY(train_load(a, &b->m, err));
    } else {
        PRELU_TRY(train_net_options(a, &o, err));
        PRELU_TRY(prelu_net_build(&b->m, &o, err));
    }
    r->load_ms = train_now_ms() - start;
    b->height = b->width = b->m->preprocess.crop;
    PRELU_TRY(parse_size(train_text(a, "size", NULL), &b->height, &b->width, err));
    PRELU_TRY(make_views(b, err));
    return count_macs(b, &r->macs, err);
}

static prelu_status run(const train_args *a, int *exit_code, prelu_err *err)
{
    train_benchmark b = {.m = NULL};
    result r = {.by_layer = train_flag(a, "layers"), .json = train_flag(a, "json")};
    const char *loader = train_text(a, "loader", NULL);
    prelu_status st = prepare(&b, a, &r, err);
    (void)exit_code;
    if (!st && !loader && !train_flag(a, "train")) {
        st = measure(&b, &r, err);
    } else if (!st) {
        st = loader ? train_bench_loader(&b, loader, &r.images_per_s, err)
                    : train_bench_step(&b, &r.images_per_s, err);
        if (!st)
            report(&b, &r, NULL, NULL);
    }
    prelu_free(b.pixels);
    prelu_free(b.views);
    prelu_model_destroy(&b.m);
    prelu_pool_destroy(&b.pool);
    return st;
}

static const train_option options[] = {
    TRAIN_MODEL_OPTIONS,
    TRAIN_NET_OPTIONS,
    {"batch", "N", "pictures at once (default 1, with --train 32)", false},
    {"size", "HxW", "of the pictures (default: the model's crop)", false},
    {"threads", "N", "compute threads (default: all)", false},
    {"runs", "R", "timed runs (default 10)", false},
    {"precision", "NAME", "auto (default), fp32, bf16, int8fc; --train: fp32 (default), bf16, auto",
     false},
    {"loader", "DIR", "time the loader alone on DIR/train instead", false},
    {"train", NULL, "time an SGD step instead", false},
    {"layers", NULL, "the time of each layer too", false},
    {"json", NULL, "print JSON", false},
    TRAIN_OPTION_END,
};

const train_command train_bench_command = {"bench", "Time a model's inference, or a training step",
                                           "--model FILE | --arch NAME [--json]", options, run};
