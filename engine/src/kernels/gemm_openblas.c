#define _POSIX_C_SOURCE 200809L
#include "kernels/kernels.h"
#include "prelu/log.h"
#include <cblas.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* OpenBLAS picks its inner kernel by m*n*k, so this variant keeps a row's bits only because callers
 * cut their blocks by the picture's size, never by batch or threads. It runs inside prelu's pool,
 * hence on one thread of its own.
 *
 * Loaded at the first product: as it is loaded it starts a thread for each CPU, which ask for 128
 * MB each, again and again if there is no memory, and the program's end waits for them. */
typedef void sgemm_fn(enum CBLAS_ORDER, enum CBLAS_TRANSPOSE, enum CBLAS_TRANSPOSE, blasint,
                      blasint, blasint, float, const float *, blasint, const float *, blasint,
                      float, float *, blasint);
static sgemm_fn *sgemm; /* NULL: there is no library */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    void *library, *symbol;
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    symbol = library ? dlsym(library, "cblas_sgemm") : NULL;
    if (symbol)
        memcpy(&sgemm, &symbol, sizeof sgemm);
    else
        prelu_log(PRELU_LOG_WARN, "OpenBLAS cannot be loaded; plain C is used instead: %s",
                  dlerror());
}

static void run(const krn_gemm_args *g)
{
    const int by_rows = g->a_ks == 1;
    /* a single row or column may come with any stride; BLAS wants one that covers it */
    const size_t ld = by_rows ? g->a_rs : g->a_ks, least = by_rows ? g->k : g->m;
    pthread_once(&once, load);
    if (!sgemm) {
        krn_gemm_f32__ref.run(g);
        return;
    }
    sgemm(CblasRowMajor, by_rows ? CblasNoTrans : CblasTrans, CblasTrans, (blasint)g->m,
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
