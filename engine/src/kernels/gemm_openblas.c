#include "kernels/kernels.h"
#include <cblas.h>
#include <pthread.h>

/* OpenBLAS picks its inner kernel by m*n*k, so this variant keeps a row's bits only because callers
 * cut their blocks by the picture's size, never by batch or threads. It runs inside prelu's pool,
 * hence on one thread of its own. */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void one_thread(void) { openblas_set_num_threads(1); }

static void run(const krn_gemm_args *g)
{
    const int by_rows = g->a_ks == 1;
    /* a single row or column may come with any stride; BLAS wants one that covers it */
    const size_t ld = by_rows ? g->a_rs : g->a_ks, least = by_rows ? g->k : g->m;
    pthread_once(&once, one_thread);
    cblas_sgemm(CblasRowMajor, by_rows ? CblasNoTrans : CblasTrans, CblasTrans, (blasint)g->m,
                (blasint)g->n, (blasint)g->k, 1.0f, g->a, (blasint)(ld > least ? ld : least), g->b,
                (blasint)g->b_panel, g->accumulate ? 1.0f : 0.0f, g->c, (blasint)g->ldc);
    if (g->ep)
        krn_epilogue_ref(g->c, g->ldc, g->m, g->n, g->ep);
}

const krn_gemm krn_gemm_f32__openblas = {.mr = 1,
                                         .nr = 1,
                                         .mc = 224,
                                         .kc = 1u << 30,
                                         .run = run,
                                         .name = "f32 openblas",
                                         .rounded = "f32 openblas on bf16"};
