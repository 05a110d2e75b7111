#include "kernels/store_avx512.h"
#include "kernels/store_bf16.h"
#include <string.h>

/* Register tile 14 x 32 as in f32; one step takes a pair of k. vdpbf16ps adds both products. */
enum { MR = 14, NR = 32 };

typedef struct tile_args {
    const krn_gemm_bf16_args *g;
    const uint16_t *a, *b;
    size_t j; /* first column */
    size_t row[MR];
    __mmask16 mask[2];
    const krn_epilogue *ep; /* moved to the tile's columns */
} tile_args;

static inline __m512bh pair(const uint16_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return (__m512bh)_mm512_set1_epi32(v);
}

static inline __attribute__((always_inline)) void tile(const tile_args *t, const int R)
{
    const krn_gemm_bf16_args *g = t->g;
    __m512 acc[MR][2];
    const uint16_t *b = t->b;
#pragma GCC unroll 14
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            acc[r][v] =
                g->accumulate && t->row[r] != KRN_NO_ROW
                    ? _mm512_maskz_loadu_ps(t->mask[v], g->c + t->row[r] * g->ldc + t->j + v * 16)
                    : _mm512_setzero_ps();
    for (size_t s = 0; s < g->k / KRN_BF16_K; s++) {
        const uint16_t *a = t->a + (g->a_at ? g->a_at[s] : s * KRN_BF16_K);
        for (size_t p = 0; p < KRN_BF16_K; p += 2, a += 2, b += 2 * NR) {
            const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b);
            const __m512bh b1 = (__m512bh)_mm512_loadu_si512(b + NR);
#pragma GCC unroll 14
            for (int r = 0; r < R; r++) {
                const __m512bh av = pair(a + (size_t)r * g->a_rs);
                acc[r][0] = _mm512_dpbf16_ps(acc[r][0], av, b0);
                acc[r][1] = _mm512_dpbf16_ps(acc[r][1], av, b1);
            }
        }
    }
#pragma GCC unroll 14
    for (int r = 0; r < R; r++) {
        if (t->row[r] == KRN_NO_ROW)
            continue;
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            __m512 s = acc[r][v];
            if (t->ep)
                s = krn_finish_avx512(s, t->ep, t->row[r], (size_t)v * 16, t->mask[v]);
            krn_store_bf16(g, t->row[r], t->j + (size_t)v * 16, t->mask[v], s);
        }
    }
}

#define MAKE(r)                                                                                    \
    static void rows_##r(const tile_args *t) { tile(t, r); }
KRN_ROWS_14(MAKE)
#undef MAKE
#define ENTRY(r) rows_##r,
static void (*const tiles[MR])(const tile_args *t) = {KRN_ROWS_14(ENTRY)};
#undef ENTRY

static void run(const krn_gemm_bf16_args *g)
{
    for (size_t j = 0; j < g->n; j += NR) {
        const size_t cols = g->n - j < NR ? g->n - j : NR;
        krn_rows rows = krn_rows_from(g, 0);
        krn_epilogue ep;
        tile_args t = {.g = g,
                       .b = g->b + j / NR * g->b_panel,
                       .j = j,
                       .mask = {krn_low_bits(cols), krn_low_bits(cols > 16 ? cols - 16 : 0)}};
        if (g->ep) {
            ep = krn_epilogue_at(g->ep, 0, j);
            t.ep = &ep;
        }
        for (size_t i = 0; i < g->m; i += MR) {
            const size_t m = g->m - i < MR ? g->m - i : MR;
            for (size_t r = 0; r < m; r++)
                t.row[r] = krn_rows_next(&rows);
            t.a = g->a + i * g->a_rs;
            tiles[m - 1](&t);
        }
    }
}

const krn_gemm_bf16 krn_gemm_bf16_14x32__avx512bf16 = {.mr = MR,
                                                       .nr = NR,
                                                       .mc = 112,
                                                       .kc = 512,
                                                       .pixels = 448,
                                                       .run = run,
                                                       .name = "bf16 14x32 avx512bf16"};
