#include "kernels/kernels.h"
#include <immintrin.h>

/* Register tile 14 x 32: 28 accumulators, two vectors of b, one broadcast of a (31 of 32
 * registers). Per step of k: 2 loads of b, 14 broadcasts, 28 FMAs, so the two FMA units are the
 * limit. Every row count 1..14 is its own instance: rows are never padded, a tile never reads past
 * m. */
enum { MR = 14, NR = 32 };

typedef struct tile_args {
    const float *a, *b;
    size_t rs, ks, k;
    float *c;
    size_t ldc;
    __mmask16 mask[2];
    bool accumulate;
    const krn_epilogue *ep; /* pointers already at this tile's first column and row */
} tile_args;

static inline __attribute__((always_inline)) __m512 finish(__m512 v, const krn_epilogue *ep,
                                                           size_t row, size_t col, __mmask16 mask)
{
    if (ep->bias)
        v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, ep->bias + col));
    if (ep->residual)
        v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, ep->residual + row * ep->ldr + col));
    if (ep->act == KRN_ACT_RELU)
        v = _mm512_max_ps(v, _mm512_setzero_ps());
    else if (ep->act == KRN_ACT_PRELU) {
        const __mmask16 low = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NGT_UQ);
        v = _mm512_mask_mul_ps(v, low, v, _mm512_maskz_loadu_ps(mask, ep->slope + col));
    }
    return v;
}

static inline __attribute__((always_inline)) void store(const tile_args *t, __m512 v, size_t r,
                                                        size_t half)
{
    const __mmask16 mask = t->mask[half];
    if (t->ep)
        v = finish(v, t->ep, r, half * 16, mask);
    _mm512_mask_storeu_ps(t->c + r * t->ldc + half * 16, mask, v);
}

/* R rows, V vectors of 16 columns. BY_ROWS: a's rows are contiguous in k (ks = 1), else in rows. */
static inline __attribute__((always_inline)) void tile(const tile_args *t, const int R, const int V,
                                                       const bool by_rows)
{
    __m512 acc[MR][2];
    const float *a = t->a, *b = t->b;
    const size_t step_a = by_rows ? 1 : t->ks, rs = by_rows ? t->rs : 1;
#pragma GCC unroll 14
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++)
            acc[r][v] = t->accumulate
                            ? _mm512_maskz_loadu_ps(t->mask[v], t->c + (size_t)r * t->ldc + v * 16)
                            : _mm512_setzero_ps();
    for (size_t p = 0; p < t->k; p++) {
        __m512 bv[2];
#pragma GCC unroll 2
        for (int v = 0; v < V; v++)
            bv[v] = _mm512_loadu_ps(b + v * 16);
#pragma GCC unroll 14
        for (int r = 0; r < R; r++) {
            const __m512 av = _mm512_set1_ps(a[(size_t)r * rs]);
#pragma GCC unroll 2
            for (int v = 0; v < V; v++)
                acc[r][v] = _mm512_fmadd_ps(av, bv[v], acc[r][v]);
        }
        a += step_a;
        b += NR;
    }
#pragma GCC unroll 14
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++)
            store(t, acc[r][v], (size_t)r, (size_t)v);
}

#define ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
typedef void tile_fn(const tile_args *t);
#define MAKE(r)                                                                                    \
    static void rows_##r##x32(const tile_args *t) { tile(t, r, 2, true); }                         \
    static void rows_##r##x16(const tile_args *t) { tile(t, r, 1, true); }                         \
    static void cols_##r##x32(const tile_args *t) { tile(t, r, 2, false); }                        \
    static void cols_##r##x16(const tile_args *t) { tile(t, r, 1, false); }
ROWS(MAKE)
#undef MAKE

#define ENTRY(r) {{cols_##r##x16, cols_##r##x32}, {rows_##r##x16, rows_##r##x32}},
static tile_fn *const tiles[MR][2][2] = {ROWS(ENTRY)};
#undef ENTRY

static __mmask16 low_bits(size_t n)
{
    return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1u);
}

static void run(const krn_gemm_args *g)
{
    const bool by_rows = g->a_ks == 1;
    for (size_t j = 0; j < g->n; j += NR) {
        const size_t cols = g->n - j < NR ? g->n - j : NR;
        tile_args t = {.b = g->b + j / NR * g->b_panel,
                       .rs = g->a_rs,
                       .ks = g->a_ks,
                       .k = g->k,
                       .ldc = g->ldc,
                       .accumulate = g->accumulate};
        t.mask[0] = low_bits(cols);
        t.mask[1] = low_bits(cols > 16 ? cols - 16 : 0);
        for (size_t i = 0; i < g->m; i += MR) {
            const size_t rows = g->m - i < MR ? g->m - i : MR;
            krn_epilogue ep;
            if (g->ep) {
                ep = *g->ep;
                ep.bias = ep.bias ? ep.bias + j : NULL;
                ep.slope = ep.slope ? ep.slope + j : NULL;
                ep.residual = ep.residual ? ep.residual + i * ep.ldr + j : NULL;
                t.ep = &ep;
            }
            t.a = g->a + i * g->a_rs;
            t.c = g->c + i * g->ldc + j;
            tiles[rows - 1][by_rows][cols > 16](&t);
        }
    }
}

const krn_gemm krn_gemm_f32_14x32__avx512 = {
    .mr = MR, .nr = NR, .mc = 112, .kc = 256, .run = run, .name = "f32 14x32 avx512"};
