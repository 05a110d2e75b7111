/* The 3x3 convolutions of models A and C, one by one, on one thread: the direct product, Winograd
 * with filters transformed on the fly, and transformed ahead; every variant in turn in each round,
 * the best of all rounds. Inputs are filled, caches are whatever the turns before left.
 *
 *     bench_conv [batch [rounds [layer [variants]]]]
 *
 * layer: a number from 0, -1 = all, or channels x filters x side, e.g. 64x64x32;
 * variants: any of d f a, e.g. df
 *
 * PRELU_CPU caps the kernels. Last line: ms per image over all layers. */
#define _POSIX_C_SOURCE 200809L
#include "ops/conv.h"
#include "ops/conv_winograd.h"
#include "prelu/cpu.h"
#include "prelu/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct layer {
    const char *net;
    size_t c, o, side, count;
} layer;

static layer layers[] = {
    {"C", 96, 384, 56, 1},  {"C", 384, 384, 56, 5}, {"C", 384, 768, 28, 1}, {"C", 768, 768, 28, 5},
    {"C", 768, 896, 14, 1}, {"C", 896, 896, 14, 5}, {"A", 96, 256, 56, 1},  {"A", 256, 256, 56, 4},
    {"A", 256, 512, 28, 1}, {"A", 512, 512, 28, 4}, {"A", 512, 512, 14, 5},
};
enum { LAYERS = sizeof layers / sizeof *layers, KINDS = 3, MOST_TASKS = 1 << 16 };
static const char *const kinds[KINDS] = {"direct", "fly", "ahead"};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *filled(size_t n)
{
    /* as part of a session's block would: on huge pages */
    float *p = prelu_alloc(((size_t)8 << 20) + n * sizeof *p);
    uint32_t r = 1;
    if (!p) {
        fprintf(stderr, "no memory for %zu floats\n", n);
        exit(1);
    }
    for (size_t i = 0; i < n; i++) {
        r = r * 1664525u + 1013904223u;
        p[i] = (float)(r >> 8) * 0x1p-24f - 0.5f;
    }
    return p;
}

typedef struct bench {
    op_conv_plan direct;
    op_winograd winograd[2]; /* fly, ahead */
    const krn_table *krn;
    op_work work[KINDS];
    float *x, *y, *panels, *packed, *scratch, *shared;
    krn_epilogue ep;
} bench;

/* Best time of each task, added up: a task is short enough to run between two preemptions, so the
 * sum is near what an idle machine would show. */
static void run_kind(const bench *b, int kind, double *best)
{
    const op_work *w = &b->work[kind];
    const op_winograd_run r = {.x = b->x,
                               .filters = kind == 1 ? b->panels : b->packed,
                               .y = b->y,
                               .ep = &b->ep,
                               .shared = b->shared,
                               .scratch = b->scratch};
    for (int p = 0; p < w->phases * (int)w->rounds; p++)
        for (size_t t = 0; t < w->tasks[p % w->phases]; t++, best++) {
            const double from = now();
            if (kind == 0)
                op_conv_task(&b->direct, b->krn->gemm_f32, b->x, b->panels, b->y, &b->ep, t,
                             b->scratch);
            else
                op_winograd_task(&b->winograd[kind - 1], &r, p, t);
            const double d = now() - from;
            if (*best == 0 || d < *best)
                *best = d;
        }
}

static void start(bench *b, const layer *l, size_t batch, const krn_table *krn)
{
    const op_patch g = {.n = batch,
                        .h = l->side,
                        .w = l->side,
                        .c = l->c,
                        .oh = l->side,
                        .ow = l->side,
                        .o = l->o,
                        .kh = 3,
                        .kw = 3,
                        .groups = 1,
                        .sh = 1,
                        .sw = 1,
                        .dh = 1,
                        .dw = 1,
                        .uh = 1,
                        .uw = 1,
                        .pt = 1,
                        .pl = 1};
    size_t scratch = 0, shared = 0;
    *b = (bench){.krn = krn,
                 .direct = op_conv_cut(&g, krn->gemm_f32),
                 .winograd = {op_winograd_cut(&g, krn, false), op_winograd_cut(&g, krn, true)}};
    for (int k = 0; k < KINDS; k++) {
        b->work[k] = (op_work){.phases = 1, .rounds = 1};
        if (k == 0)
            op_conv_work(&b->direct, krn->gemm_f32, &b->work[k], 0);
        else if (op_winograd_work(&b->winograd[k - 1], &b->work[k], NULL) != PRELU_OK)
            exit(1);
        scratch = b->work[k].scratch > scratch ? b->work[k].scratch : scratch;
        shared = b->work[k].shared > shared ? b->work[k].shared : shared;
    }
    b->x = filled(batch * l->side * l->side * l->c);
    b->y = filled(batch * l->side * l->side * l->o);
    b->panels = filled(op_conv_packed(&b->direct));
    b->packed = filled(op_winograd_packed(&b->winograd[1]));
    b->scratch = filled(scratch / sizeof(float));
    b->shared = filled(shared / sizeof(float));
    b->ep = (krn_epilogue){.bias = filled(l->o), .slope = filled(l->o), .act = KRN_ACT_PRELU};
    for (size_t s = 0; s < b->winograd[1].strips; s++)
        op_winograd_pack(&b->winograd[1], b->packed, b->panels, s);
}

static void stop(bench *b)
{
    void *all[] = {b->x,       b->y,      b->panels,          b->packed,
                   b->scratch, b->shared, (void *)b->ep.bias, (void *)b->ep.slope};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        prelu_free(all[i]);
}

static double times[KINDS][MOST_TASKS];

int main(int argc, char **argv)
{
    const size_t batch = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    const int rounds = argc > 2 ? atoi(argv[2]) : 5;
    int only = argc > 3 ? atoi(argv[3]) : -1;
    const char *variants = argc > 4 ? argv[4] : "dfa";
    const krn_table *krn = krn_table_get();
    double sum[2][KINDS] = {{0}};
    layer own = {.net = "-", .count = 1};
    if (argc > 3 && sscanf(argv[3], "%zux%zux%zu", &own.c, &own.o, &own.side) == 3) {
        only = 0;
        layers[0] = own;
    }
    printf("%s, batch %zu, one thread\n", krn->gemm_f32->name, batch);
    for (int i = 0; i < LAYERS; i++) {
        const layer *l = &layers[i];
        bench b;
        double best[KINDS] = {0};
        if (only >= 0 && only != i)
            continue;
        start(&b, l, batch, krn);
        memset(times, 0, sizeof times);
        for (int r = 0; r < rounds; r++)
            for (int k = 0; k < KINDS; k++) {
                if (strchr(variants, kinds[k][0]))
                    run_kind(&b, k, times[k]);
            }
        for (int k = 0; k < KINDS; k++)
            for (int t = 0; t < MOST_TASKS; t++)
                best[k] += times[k][t];
        printf("%s %3zu->%3zu %2zux%-2zu x%zu ", l->net, l->c, l->o, l->side, l->side, l->count);
        for (int k = 0; k < KINDS; k++)
            if (strchr(variants, kinds[k][0])) {
                const double flop = 18.0 * (double)(l->side * l->side * l->c * l->o * batch);
                printf("  %s %7.2f ms %4.0f GFLOP/s", kinds[k], best[k] * 1e3,
                       flop / best[k] * 1e-9);
                sum[*l->net == 'A'][k] += best[k] * 1e3 * (double)l->count / (double)batch;
            }
        printf("\n");
        fflush(stdout);
        stop(&b);
    }
    for (int net = 0; net < 2 && only < 0; net++) {
        printf("%s, ms per image:", net ? "A" : "C");
        for (int k = 0; k < KINDS; k++)
            if (strchr(variants, kinds[k][0]))
                printf("  %s %.1f", kinds[k], sum[net][k]);
        printf("\n");
    }
    return 0;
}
