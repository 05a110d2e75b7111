/* Fully connected layers of many rows, as dense testing has them, beside the peak of their f32
 * product (one tile high, operands in L1), in turn.
 *
 *     bench_fc [ROWS [UNITS [INPUTS [THREADS [ROUNDS [PRECISION]]]]]]      default 230 4096 56448 0
 * 5
 *
 * A line for each precision: ms (median) and GFLOP/s, as a part of the peak. THREADS 0 = the CPUs
 * this process may use. */
#define _POSIX_C_SOURCE 200809L
#include "ops/op.h"
#include "prelu/cpu.h"
#include "prelu/mem.h"
#include "prelu/plan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ROUNDS = 99, PEAK_K = 256, PEAK_CALLS = 4000 };

typedef struct bench {
    const krn_table *krn;
    prelu_pool *pool;
    size_t m, n, k, threads;
    float *a, *b, *y;
    int rounds;
} bench;

typedef struct layer {
    op_exec x;
    int phase;
    char *scratch;
    size_t scratch_len;
} layer;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void *filled(size_t n)
{
    float *p = prelu_alloc(n * sizeof *p);
    if (!p) {
        fprintf(stderr, "no memory for %zu floats\n", n);
        exit(1);
    }
    for (size_t i = 0; i < n; i++)
        p[i] = (float)(i * 2654435761u % 255) / 128.0f - 1.0f;
    return p;
}

static void task_of(void *ctx, size_t task, int worker)
{
    const layer *l = ctx;
    l->x.op->def->run(&l->x, l->phase, task, l->scratch + (size_t)worker * l->scratch_len);
}

static void peak_task(void *ctx, size_t task, int worker)
{
    const bench *b = ctx;
    const krn_gemm *f = b->krn->gemm_f32;
    const size_t n = f->nr > 1 ? f->nr : 32;
    float *c = filled(f->mr * n);
    (void)task, (void)worker;
    for (int i = 0; i < PEAK_CALLS; i++)
        f->run(&(krn_gemm_args){.m = f->mr,
                                .n = n,
                                .k = PEAK_K,
                                .a = b->a,
                                .a_rs = PEAK_K,
                                .a_ks = 1,
                                .b = b->b,
                                .b_panel = f->nr * PEAK_K,
                                .c = c,
                                .ldc = n});
    prelu_free(c);
}

static double peak_once(const bench *b)
{
    const krn_gemm *f = b->krn->gemm_f32;
    const double start = now();
    prelu_pool_run(b->pool, b->threads, peak_task, (void *)b);
    return 2e-9 * PEAK_CALLS * (double)(b->threads * f->mr * (f->nr > 1 ? f->nr : 32) * PEAK_K) /
           (now() - start);
}

static void layer_times(const bench *b, prelu_precision precision)
{
    prelu_value ids[2] = {0, 1}, out_id = 2;
    const prelu_attr attrs[] = {PRELU_INT("transB", 1)};
    prelu_node node = {.name = (char *)"fc",
                       .op = "Gemm",
                       .in = ids,
                       .out = &out_id,
                       .n_in = 2,
                       .n_out = 1,
                       .attrs = (prelu_attr *)attrs,
                       .n_attrs = 1};
    op_instance inst = {
        .def = op_find("Gemm"), .node = &node, .krn = b->krn, .precision = precision};
    op_tensor in[2] = {{.data = b->a, .shape = {2, {(int64_t)b->m, (int64_t)b->k}}},
                       {.data = b->b, .shape = {2, {(int64_t)b->n, (int64_t)b->k}}}};
    op_tensor out = {.data = b->y, .shape = {2, {(int64_t)b->m, (int64_t)b->n}}};
    op_work w = {.phases = 1, .rounds = 1, .tasks = {1, 1, 1, 1}, .flops = {1, 1, 1, 1}};
    uint64_t consumed = 0;
    double took[MAX_ROUNDS], peak[MAX_ROUNDS];
    if (inst.def->pack(&inst, in, 2, b->pool, &consumed, NULL) ||
        inst.def->prepare(&inst, in, &out, &w, NULL))
        exit(1);
    in[1].data = NULL;
    layer l = {.x = {.op = &inst, .in = in, .out = &out, .n_in = 2, .n_out = 1, .work = &w},
               .scratch_len = w.scratch + 64};
    l.scratch = filled((b->threads + 1) * l.scratch_len / sizeof(float) + 1);
    l.x.shared = filled(w.shared / sizeof(float) + 1);
    for (int i = -1; i < b->rounds; i++) {
        peak[i < 0 ? 0 : i] = peak_once(b);
        const double start = now();
        for (l.phase = 0; l.phase < w.phases; l.phase++)
            prelu_pool_run(b->pool, w.tasks[l.phase], task_of, &l);
        took[i < 0 ? 0 : i] = now() - start;
    }
    qsort(took, (size_t)b->rounds, sizeof *took, by_value);
    qsort(peak, (size_t)b->rounds, sizeof *peak, by_value);
    const double rate = 2e-9 * (double)b->m * (double)b->n * (double)b->k / took[b->rounds / 2];
    printf("%-7s %-32s %8.2f ms %7.1f GFLOP/s, %3.0f %% of %.1f\n", prelu_precision_name(precision),
           inst.algorithm, took[b->rounds / 2] * 1e3, rate, 100 * rate / peak[b->rounds / 2],
           peak[b->rounds / 2]);
    fflush(stdout);
    prelu_free(inst.packed);
    prelu_free(l.scratch);
    prelu_free(l.x.shared);
}

static size_t number(int argc, char **argv, int i, size_t value)
{
    return argc > i ? strtoul(argv[i], NULL, 10) : value;
}

int main(int argc, char **argv)
{
    bench b = {.m = number(argc, argv, 1, 230),
               .n = number(argc, argv, 2, 4096),
               .k = number(argc, argv, 3, 56448),
               .threads = number(argc, argv, 4, 0),
               .rounds = (int)number(argc, argv, 5, 5)};
    prelu_err err = {0};
    if (b.m < 1 || b.n < 1 || b.k < PEAK_K || b.m * b.k < 64 * PEAK_K || b.n < 64 || b.rounds < 1 ||
        b.rounds > MAX_ROUNDS) {
        fprintf(stderr, "bench_fc [ROWS [UNITS [INPUTS [THREADS [ROUNDS [PRECISION]]]]]]\n");
        return 64;
    }
    if (!b.threads)
        b.threads = (size_t)prelu_cpu_count();
    if (prelu_cpu_init(&err) || prelu_pool_create(&b.pool, (int)b.threads - 1, &err)) {
        fprintf(stderr, "bench_fc: %s\n", err.text);
        return 1;
    }
    b.krn = krn_table_get();
    b.a = filled(b.m * b.k);
    b.b = filled(b.n * b.k);
    b.y = filled(b.m * b.n);
    for (prelu_precision p = PRELU_PRECISION_FP32; p <= PRELU_PRECISION_INT8FC; p++)
        if (argc < 7 || strcmp(argv[6], prelu_precision_name(p)) == 0)
            layer_times(&b, p);
    prelu_pool_destroy(&b.pool);
    prelu_free(b.a);
    prelu_free(b.b);
    prelu_free(b.y);
    return 0;
}
