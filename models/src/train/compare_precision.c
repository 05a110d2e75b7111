#define _POSIX_C_SOURCE 200809L
#include "compare_precision.h"
#include "evaluate.h"
#include "prelu/mem.h"
#include "progress.h"
#include "stop.h"
#include <math.h>
#include <stdio.h>

static const prelu_precision precisions[] = {PRELU_PRECISION_FP32, PRELU_PRECISION_BF16,
                                             PRELU_PRECISION_INT8FC};
enum { FP32, BF16, INT8FC, PRECISIONS };
#define MARGIN 0.02
#define LEAST_AGREEMENT 0.995 /* of the pictures with a margin */
#define MOST_POINTS 0.2       /* of accuracy, in percent */

typedef struct figures {
    train_result result;
    uint64_t agree, sure, sure_agree; /* top-1 as fp32; fp32's margin is there; both */
} figures;

static bool on_progress(void *ctx, const train_result *r)
{
    train_progress_update(ctx, r->images + r->skipped, "");
    return !train_stopped();
}

static prelu_status classify(const train_comparison *c, int which, train_record *records,
                             train_result *out, prelu_err *err)
{
    const char *name = prelu_precision_name(precisions[which]);
    train_member member = {.model = c->model, .tests = {{.mode = PRELU_MODE_CENTER}}};
    train_progress bar;
    prelu_plan *plan = NULL;
    prelu_status st = prelu_model_plan(&plan, c->model, precisions[which], c->pool, err);
    if (!st)
        st = prelu_session_create(&member.session, plan, c->pool, 0, err);
    if (!st) {
        train_evaluation v = {.members = &member,
                              .n_members = 1,
                              .n_tests = 1,
                              .pool = c->pool,
                              .data = c->data,
                              .n = c->data->n_pictures,
                              .records = records,
                              .progress = on_progress,
                              .ctx = &bar};
        train_progress_begin(&bar, stderr, c->quiet, name, 0, c->data->n_pictures);
        st = train_evaluate(&v, out, NULL, err);
        train_progress_end(&bar);
    }
    prelu_session_destroy(&member.session);
    prelu_plan_destroy(&plan);
    return st;
}

static void count(figures *f, const train_record *fp32, const train_record *low, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!fp32[i].n || !low[i].n)
            continue;
        const bool same = fp32[i].top[0] == low[i].top[0];
        const bool sure = fp32[i].n < 2 || fp32[i].score[0] - fp32[i].score[1] >= MARGIN;
        f->agree += same;
        f->sure += sure;
        f->sure_agree += sure && same;
    }
}

static double part(uint64_t some, uint64_t all) { return all ? (double)some / (double)all : 1.0; }

/* Percent of accuracy against fp32's. */
static double points(const figures *f, int which)
{
    const train_result *a = &f[which].result, *b = &f[FP32].result;
    return 100.0 * (part(a->top1, a->images) - part(b->top1, b->images));
}

static bool holds(const figures *f, int which)
{
    return part(f[which].sure_agree, f[which].sure) >= LEAST_AGREEMENT &&
           fabs(points(f, which)) <= MOST_POINTS;
}

static void print_table(const figures *f)
{
    printf("%-10s %9s %9s %9s %9s  %s\n", "precision", "images", "top-1", "points", "agrees",
           "with a margin of 0.02 in fp32");
    for (int i = 0; i < PRECISIONS; i++)
        printf("%-10s %9llu %8.2f%% %+9.2f %8.3f%%  %.3f%% of %llu%s\n",
               prelu_precision_name(precisions[i]), (unsigned long long)f[i].result.images,
               100.0 * part(f[i].result.top1, f[i].result.images), points(f, i),
               100.0 * part(f[i].agree, f[i].result.images),
               100.0 * part(f[i].sure_agree, f[i].sure), (unsigned long long)f[i].sure,
               i == FP32     ? ""
               : holds(f, i) ? ", as asked"
                             : ", LESS THAN ASKED");
    printf("asked: top-1 of fp32 on %.1f%% of the pictures with a margin, accuracy within %.1f "
           "points\nauto uses int8fc: %s\n",
           100.0 * LEAST_AGREEMENT, MOST_POINTS,
           part(f[INT8FC].agree, f[INT8FC].result.images) >= PRELU_INT8FC_AGREEMENT
               ? "yes, once written"
               : "no");
}

static void print_json(const figures *f)
{
    fputs("{\"results\":[", stdout);
    for (int i = 0; i < PRECISIONS; i++)
        printf("%s{\"precision\":\"%s\",\"images\":%llu,\"top1\":%.6f,\"points\":%.4f,"
               "\"agrees\":%.6f,\"sure\":%llu,\"sure_agrees\":%.6f,\"holds\":%s}",
               i ? "," : "", prelu_precision_name(precisions[i]),
               (unsigned long long)f[i].result.images, part(f[i].result.top1, f[i].result.images),
               points(f, i), part(f[i].agree, f[i].result.images), (unsigned long long)f[i].sure,
               part(f[i].sure_agree, f[i].sure), holds(f, i) ? "true" : "false");
    fputs("]}\n", stdout);
}

static prelu_status annotate(const train_comparison *c, const figures *f, prelu_err *err)
{
    char text[160];
    snprintf(text, sizeof text, "{\"images\":%llu,\"bf16_agrees\":%.6f,\"int8fc_agrees\":%.6f}",
             (unsigned long long)f[FP32].result.images, part(f[BF16].agree, f[BF16].result.images),
             part(f[INT8FC].agree, f[INT8FC].result.images));
    return prelu_model_annotate(c->path, "prelu.precision", text, err);
}

prelu_status train_compare_precision(const train_comparison *c, prelu_err *err)
{
    const size_t n = c->data->n_pictures;
    figures f[PRECISIONS] = {{{0}, 0, 0, 0}};
    train_record *records = prelu_calloc(2 * n + 1, sizeof *records), *low = records + n;
    prelu_status st = PRELU_OK;
    if (!records)
        return prelu_fail(err, PRELU_E_NOMEM, "eval: %zu records", 2 * n);
    for (int i = 0; i < PRECISIONS && !st; i++) {
        st = classify(c, i, i == FP32 ? records : low, &f[i].result, err);
        count(&f[i], records, i == FP32 ? records : low, n);
    }
    if (!st && !f[FP32].result.images)
        st = prelu_fail(err, PRELU_E_FORMAT, "none of %zu pictures can be read", n);
    if (!st && c->path)
        st = annotate(c, f, err);
    if (!st && c->json)
        print_json(f);
    else if (!st)
        print_table(f);
    prelu_free(records);
    return st;
}
