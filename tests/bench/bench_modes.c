/* What the modes take: predicted from the work and the rate, and measured.
 *
 *     bench_modes MODEL.onnx [MODE [SIZE [THREADS [ROUNDS]]]]
 *
 * MODE: a list as in eval, e.g. 10view,dense@256,multiscale; SIZE: a list of pictures, e.g.
 * 500x375,1200x300; THREADS 0 = the CPUs this process may use. A line gives the units of work, the
 * predicted and the measured (median) time of the network, and how far the prediction is off. It
 * knows of no run: the rate is measured before each line, as a server does at its start, for the
 * speed of a machine that others use drifts. Then GFLOP/s, that as a part of the first line's, and
 * the memory of the activations. A model that cannot be tested densely has no such modes. */
#define _POSIX_C_SOURCE 200809L
#include "prelu/classify.h"
#include "prelu/cpu.h"
#include "prelu/mem.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ROUNDS = 99 };

typedef struct bench {
    prelu_model *m;
    prelu_pool *pool;
    prelu_plan *plan, *dense;
    prelu_session *s, *dense_s;
    prelu_rate rate;
    double macs, first; /* of a unit; GFLOP/s of the first line */
    int rounds;
} bench;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static prelu_status open_model(bench *b, const char *path, int threads, prelu_err *err)
{
    const prelu_precision p = PRELU_PRECISION_AUTO;
    prelu_plan_cost one;
    PRELU_TRY(prelu_cpu_init(err));
    PRELU_TRY(prelu_pool_create(&b->pool, threads ? threads : prelu_cpu_count(), err));
    PRELU_TRY(prelu_model_load(&b->m, path, NULL, err));
    PRELU_TRY(prelu_model_plan(&b->plan, b->m, p, b->pool, err));
    PRELU_TRY(prelu_model_plan_dense(&b->dense, b->m, b->plan, p, b->pool, err));
    PRELU_TRY(prelu_session_create(&b->s, b->plan, b->pool, 0, err));
    PRELU_TRY(prelu_session_create(&b->dense_s, b->dense, b->pool, 0, err));
    const int crop = b->m->preprocess.crop;
    PRELU_TRY(prelu_plan_measure(b->plan, crop, crop, &one, err));
    b->macs = one.macs;
    return PRELU_OK;
}

static prelu_status run(bench *b, const prelu_test *t, const prelu_prepared *p, double *ms,
                        prelu_err *err)
{
    prelu_session *s = t->dense ? b->dense_s : b->s;
    double took[MAX_ROUNDS];
    float *scores = prelu_alloc(p->n_rows * (size_t)b->m->classes * sizeof *scores);
    prelu_status st = PRELU_OK;
    if (!scores)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu rows", p->n_rows);
    for (int i = -1; i < b->rounds && !st; i++) { /* the first touches the memory */
        const double start = now_ms();
        st = prelu_views_run(s, p->views, p->n_views, t->average, b->m->classes, scores, p->n_rows,
                             err);
        took[i < 0 ? 0 : i] = now_ms() - start;
    }
    prelu_free(scores);
    qsort(took, (size_t)b->rounds, sizeof *took, by_value);
    *ms = took[b->rounds / 2];
    return st;
}

static prelu_status bench_one(bench *b, const char *mode, int width, int height, prelu_err *err)
{
    prelu_image img = {.width = width, .height = height, .stride = (size_t)width * 3};
    prelu_prepared p = {.n_images = 0};
    prelu_test t;
    prelu_work w;
    double ms = 0;
    PRELU_TRY(prelu_test_parse(&t, mode, err));
    PRELU_TRY(prelu_test_resolve(&t, b->m, b->dense, err));
    PRELU_TRY(prelu_test_work(&w, &t, b->m, width, height, err));
    img.data = prelu_alloc(img.stride * (size_t)height);
    if (!img.data)
        return prelu_fail(err, PRELU_E_NOMEM, "%d x %d pixels", width, height);
    for (size_t i = 0; i < img.stride * (size_t)height; i++)
        img.data[i] = (uint8_t)(i * 2654435761u >> 13);
    prelu_status st = prelu_model_prepare_image(&p, b->m, &t, &img, NULL, err);
    if (!st)
        st = prelu_rate_measure(&b->rate, b->s, b->dense_s, b->m, b->pool, err);
    if (!st)
        st = run(b, &t, &p, &ms, err);
    if (!st) {
        const double predicted = prelu_rate_ms(&b->rate, &w);
        const double rate = 2e-6 * w.units * b->macs / ms;
        b->first = b->first > 0 ? b->first : rate;
        printf("%-24s %5d x %-5d %8.1f %10.2f %10.2f %+6.1f %% %8.1f %6.0f %% %8zu\n", mode, width,
               height, w.units, predicted, ms, 100 * (predicted / ms - 1), rate,
               100 * rate / b->first, prelu_session_bytes(t.dense ? b->dense_s : b->s) >> 20);
        fflush(stdout);
    }
    prelu_prepared_deinit(&p);
    prelu_image_deinit(&img);
    return st;
}

static prelu_status bench_all(bench *b, const char *modes, const char *sizes, prelu_err *err)
{
    printf("%-24s %-13s %8s %10s %10s %8s %8s %8s %8s\n", "mode", "picture", "units", "predicted",
           "ms", "off", "GFLOP/s", "of first", "MiB");
    for (const char *m = modes; *m;) {
        char mode[64];
        const size_t len = strcspn(m, ",");
        snprintf(mode, sizeof mode, "%.*s", (int)(len < sizeof mode ? len : sizeof mode - 1), m);
        for (const char *s = sizes; *s;) {
            int width, height, n = 0;
            if (sscanf(s, "%dx%d%n", &width, &height, &n) != 2 || width < 1 || height < 1)
                return prelu_fail(err, PRELU_E_ARG, "'%s' is no list of sizes", s);
            PRELU_TRY(bench_one(b, mode, width, height, err));
            s += n + (s[n] == ',');
        }
        m += len + (m[len] == ',');
    }
    return PRELU_OK;
}

int main(int argc, char **argv)
{
    bench b = {.rounds = argc > 5 ? atoi(argv[5]) : 5};
    prelu_err err = {0};
    if (argc < 2 || b.rounds < 1 || b.rounds > MAX_ROUNDS) {
        fprintf(stderr, "bench_modes MODEL.onnx [MODE [SIZE [THREADS [ROUNDS]]]]\n");
        return 64;
    }
    prelu_status st = open_model(&b, argv[1], argc > 4 ? atoi(argv[4]) : 0, &err);
    if (!st)
        st = bench_all(&b, argc > 2 ? argv[2] : "10view,center,dense,multiscale",
                       argc > 3 ? argv[3] : "500x375", &err);
    if (st)
        fprintf(stderr, "bench_modes: %s\n", err.text);
    prelu_session_destroy(&b.s);
    prelu_session_destroy(&b.dense_s);
    prelu_plan_destroy(&b.dense);
    prelu_plan_destroy(&b.plan);
    prelu_pool_destroy(&b.pool);
    prelu_model_destroy(&b.m);
    return st ? 1 : 0;
}
