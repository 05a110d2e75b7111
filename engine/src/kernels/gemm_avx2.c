#include "kernels/kernels.h"
#include <immintrin.h>

/* Register tile 6 x 16: 12 accumulators, two vectors of b, one broadcast of a (15 of 16). */
enum { MR = 6, NR = 16 };

typedef struct tile_args {
    const float *a, *b;
    size_t rs, ks, k;
    float *c;
    size_t ldc, cols;
    bool accumulate;
} tile_args;

/* The columns of a narrow tile go through a full-width row on the stack. */
static inline __attribute__((always_inline)) void tile(const tile_args *t, const int R,
                                                       const bool by_rows)
{
    __m256 acc[MR][2];
    float row[NR];
    const float *a = t->a, *b = t->b;
    const size_t step_a = by_rows ? 1 : t->ks, rs = by_rows ? t->rs : 1;
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
        const float *c = t->c + (size_t)r * t->ldc;
        if (t->accumulate && t->cols < NR) {
            for (size_t j = 0; j < NR; j++)
                row[j] = j < t->cols ? c[j] : 0.0f;
            c = row;
        }
        acc[r][0] = t->accumulate ? _mm256_loadu_ps(c) : _mm256_setzero_ps();
        acc[r][1] = t->accumulate ? _mm256_loadu_ps(c + 8) : _mm256_setzero_ps();
    }
    for (size_t p = 0; p < t->k; p++) {
        const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            const __m256 av = _mm256_set1_ps(a[(size_t)r * rs]);
            acc[r][0] = _mm256_fmadd_ps(av, b0, acc[r][0]);
            acc[r][1] = _mm256_fmadd_ps(av, b1, acc[r][1]);
        }
        a += step_a;
        b += NR;
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
        float *c = t->c + (size_t)r * t->ldc;
        float *to = t->cols < NR ? row : c;
        _mm256_storeu_ps(to, acc[r][0]);
        _mm256_storeu_ps(to + 8, acc[r][1]);
        for (size_t j = 0; j < t->cols && to == row; j++)
            c[j] = row[j];
    }
}

#define ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
typedef void tile_fn(const tile_args *t);
#define MAKE(r)                                                                                    \
    static void rows_##r(const tile_args *t) { tile(t, r, true); }                                 \
    static void cols_##r(const tile_args *t) { tile(t, r, false); }
ROWS(MAKE)
#undef MAKE
#define ENTRY(r) {cols_##r, rows_##r},
static tile_fn *const tiles[MR][2] = {ROWS(ENTRY)};
#undef ENTRY

static void run(const krn_gemm_args *g)
{
    const bool by_rows = g->a_ks == 1;
    for (size_t j = 0; j < g->n; j += NR)
        for (size_t i = 0; i < g->m; i += MR) {
            const size_t rows = g->m - i < MR ? g->m - i : MR;
            const tile_args t = {.a = g->a + i * g->a_rs,
                                 .b = g->b + j / NR * g->b_panel,
                                 .rs = g->a_rs,
                                 .ks = g->a_ks,
                                 .k = g->k,
                                 .c = g->c + i * g->ldc + j,
                                 .ldc = g->ldc,
                                 .cols = g->n - j < NR ? g->n - j : NR,
                                 .accumulate = g->accumulate};
            tiles[rows - 1][by_rows](&t);
        }
    if (g->ep)
        krn_epilogue_ref(g->c, g->ldc, g->m, g->n, g->ep);
}

const krn_gemm krn_gemm_f32_6x16__avx2 = {.mr = MR,
                                          .nr = NR,
                                          .mc = 96,
                                          .kc = 256,
                                          .run = run,
                                          .name = "f32 6x16 avx2",
                                          .rounded = "f32 6x16 avx2 on bf16"};
