/* What this CPU's arithmetic and memory can do at most, through the kernels in use: the products of
 * one tile-high block with operands in L1, and a block read from memory once, on all threads.
 *
 *     bench_peak [threads]        prints JSON
 *
 * PRELU_CPU caps the kernels. */
#define _POSIX_C_SOURCE 200809L
#include "kernels/kernels.h"
#include "prelu/cpu.h"
#include "prelu/mem.h"
#include "prelu/threads.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { K = 192, ROUNDS = 25, CALLS = 4000 }; /* f32: 14 x 192 + 192 x 32 floats are 35 KB */
#define STREAM ((size_t)64 << 20)            /* floats: 256 MB */

typedef struct bench {
    const krn_table *krn;
    size_t threads;
    bool bf16;
    float *stream;
} bench;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *filled(size_t len)
{
    uint16_t *p = prelu_alloc(len);
    if (!p) {
        fprintf(stderr, "no memory for %zu bytes\n", len);
        exit(1);
    }
    for (size_t i = 0; i < len / 2; i++)
        p[i] = i % 2 ? 0x3f80 : 0x3d80; /* bf16 1 and 1/16; f32 near 1 */
    return p;
}

static void products(void *ctx, size_t task, int worker)
{
    const bench *b = ctx;
    const krn_gemm *f = b->krn->gemm_f32;
    const krn_gemm_bf16 *h = b->krn->gemm_bf16;
    const size_t m = b->bf16 ? h->mr : f->mr, n = b->bf16 ? h->nr : f->nr > 1 ? f->nr : 32;
    void *x = filled(m * K * 4), *w = filled(n * K * 4);
    float *y = filled(m * n * 4);
    (void)task, (void)worker;
    for (int i = 0; i < CALLS; i++) {
        if (b->bf16)
            h->run(&(krn_gemm_bf16_args){.m = m,
                                         .n = n,
                                         .k = K,
                                         .a = x,
                                         .a_rs = K,
                                         .b = w,
                                         .b_panel = n * K,
                                         .c = y,
                                         .ldc = n});
        else
            f->run(&(krn_gemm_args){.m = m,
                                    .n = n,
                                    .k = K,
                                    .a = x,
                                    .a_rs = K,
                                    .a_ks = 1,
                                    .b = w,
                                    .b_panel = f->nr * K,
                                    .c = y,
                                    .ldc = n});
    }
    prelu_free(x);
    prelu_free(w);
    prelu_free(y);
}

static double gflops(bench *b, prelu_pool *pool, bool bf16)
{
    const krn_gemm *f = b->krn->gemm_f32;
    const krn_gemm_bf16 *h = b->krn->gemm_bf16;
    const size_t m = bf16 ? h->mr : f->mr, n = bf16 ? h->nr : f->nr > 1 ? f->nr : 32;
    double best = 1e30;
    b->bf16 = bf16;
    for (int i = 0; i < ROUNDS; i++) {
        const double start = now();
        prelu_pool_run(pool, b->threads, products, b);
        const double s = now() - start;
        best = s < best ? s : best;
    }
    return 2.0 * CALLS * (double)(b->threads * m * n * K) / best * 1e-9;
}

static void read_part(void *ctx, size_t task, int worker)
{
    const bench *b = ctx;
    const float *row[1];
    const size_t each = STREAM / b->threads, line = 4096;
    float most[4096];
    (void)worker;
    memset(most, 0, sizeof most);
    for (size_t i = 0; i + line <= each; i += line) {
        const float *two[2] = {most, b->stream + task * each + i};
        b->krn->max_f32(most, two, 2, line);
    }
    row[0] = most;
    b->krn->max_f32(b->stream + task * each, row, 1, 1);
}

static double gigabytes(bench *b, prelu_pool *pool)
{
    double best = 1e30;
    b->stream = filled(STREAM * sizeof *b->stream);
    for (int i = 0; i < ROUNDS; i++) {
        const double start = now();
        prelu_pool_run(pool, b->threads, read_part, b);
        const double s = now() - start;
        best = s < best ? s : best;
    }
    prelu_free(b->stream);
    return (double)STREAM * sizeof(float) / best * 1e-9;
}

int main(int argc, char **argv)
{
    prelu_err err = {0};
    prelu_pool *pool = NULL;
    bench b = {.threads = argc > 1 ? (size_t)atoi(argv[1]) : (size_t)prelu_cpu_count()};
    prelu_status st = prelu_cpu_init(&err);
    if (!st)
        st = prelu_pool_create(&pool, (int)b.threads - 1, &err);
    if (st) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    b.krn = krn_table_get();
    printf("{\"cpu\":\"%s\",\"threads\":%zu,\"fp32\":{\"kernel\":\"%s\",\"gflops\":%.1f},",
           prelu_cpu_text(), b.threads, b.krn->gemm_f32->name, gflops(&b, pool, false));
    printf("\"bf16\":{\"kernel\":\"%s\",\"gflops\":%.1f},\"read_gbs\":%.2f}\n",
           b.krn->gemm_bf16->name, gflops(&b, pool, true), gigabytes(&b, pool));
    prelu_pool_destroy(&pool);
    return 0;
}
