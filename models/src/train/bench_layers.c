#include "bench_layers.h"
#include "common.h"
#include "prelu/mem.h"
#include <inttypes.h>
#include <stdlib.h>

prelu_status train_layers_init(train_layer_times *t, const prelu_plan *plan,
                               const train_benchmark *b, prelu_err *err)
{
    *t = (train_layer_times){.layers = (size_t)prelu_plan_layers(plan), .runs = (size_t)b->runs};
    t->seconds = prelu_calloc(t->runs * (t->layers + 1), sizeof *t->seconds);
    t->macs = prelu_calloc(t->layers + 1, sizeof *t->macs);
    if (!t->seconds || !t->macs)
        return prelu_fail(err, PRELU_E_NOMEM, "times of %zu layers in %zu runs", t->layers,
                          t->runs);
    return prelu_plan_layer_macs(plan, b->height, b->width, t->macs, err);
}

void train_layers_deinit(train_layer_times *t)
{
    prelu_free(t->seconds);
    prelu_free(t->macs);
}

void train_layers_clock(train_layer_times *t, prelu_session *s, size_t i)
{
    prelu_session_clock(s, t->seconds + i * (t->layers + 1));
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of one layer; its column is overwritten with the sorted one. */
static double median_ms(train_layer_times *t, size_t layer, double *column)
{
    for (size_t i = 0; i < t->runs; i++)
        column[i] = t->seconds[i * (t->layers + 1) + layer];
    qsort(column, t->runs, sizeof *column, by_value);
    return (column[(t->runs - 1) / 2] + column[t->runs / 2]) / 2 * 1e3;
}

static void print_one(const prelu_plan_layer *l, double ms, double gflops, bool first, bool json)
{
    if (!json) {
        printf("%-22s %-14s %-46s %10.4f %9.1f\n", l->name, l->op, l->algorithm, ms, gflops);
        return;
    }
    printf("%s\n  {\"name\":", first ? "" : ",");
    train_json_text(stdout, l->name);
    printf(",\"op\":\"%s\",\"algorithm\":", l->op);
    train_json_text(stdout, l->algorithm);
    printf(",\"packed_bytes\":%zu,\"ms\":%.6g,\"gflops\":%.5g}", l->packed_bytes, ms, gflops);
}

void train_layers_print(train_layer_times *t, const prelu_plan *plan, const train_benchmark *b,
                        bool json)
{
    const prelu_plan_layer feed = {.name = "(input)", .op = "feed", .algorithm = "direct"};
    double *column = prelu_calloc(t->runs, sizeof *column);
    if (!column)
        return;
    if (json)
        printf(",\"layers\":[");
    else
        printf("%-22s %-14s %-46s %10s %9s\n", "layer", "op", "algorithm", "ms/image", "GFLOP/s");
    for (size_t i = 0; i <= t->layers; i++) { /* the feeds, which come first, are the last entry */
        const size_t at = i ? i - 1 : t->layers;
        const prelu_plan_layer l = i ? prelu_plan_layer_at(plan, (int)at) : feed;
        const double ms = median_ms(t, at, column) / (double)b->batch;
        print_one(&l, ms, ms > 0 ? 2 * t->macs[at] / ms / 1e6 : 0, i == 0, json);
    }
    if (json)
        printf("]");
    prelu_free(column);
}
