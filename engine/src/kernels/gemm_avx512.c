#include "kernels/store_avx512.h"

/* Register tile 14 x 32: 28 accumulators, two vectors of b, one broadcast of a (31 of 32
 * registers). Per step of k: 2 loads of b, 14 broadcasts, 28 FMAs, so the two FMA units are the
 * limit. Every row count 1..14 is its own instance: rows are never padded, a tile never reads past
 * m. */
enum { MR = 14, NR = 32 };

typedef struct tile_args {
    const float *a, *b;
    const char *next; /* so many lines from here on are fetched into L2 meanwhile */
    size_t lines;
    const float *next_a, *next_c; /* of the tile after this one, to fetch into L1 */
    size_t a_lines;
    size_t rs, ks, k;
    float *c;
    size_t ldc;
    __mmask16 mask[2];
    bool accumulate;
    const krn_epilogue *ep; /* pointers already at this tile's first column and row */
} tile_args;

static inline __attribute__((always_inline)) void store(const tile_args *t, __m512 v, size_t r,
                                                        size_t half)
{
    const __mmask16 mask = t->mask[half];
    if (t->ep)
        v = krn_finish_avx512(v, t->ep, r, half * 16, mask);
    _mm512_mask_storeu_ps(t->c + r * t->ldc + half * 16, mask, v);
}

/* Five pointers to every third row: with base, base + rs and base + 2*rs the addressing modes reach
 * 14 rows, so no address is computed or spilled in the loop; KEEP makes the compiler hold them so.
 */
enum { BASES = 5 };
#define KEEP(p) __asm__("" : "+r"(p))
#define IN_ORDER __asm__ volatile("" ::: "memory") /* loads moved up would spill accumulators */

static inline __attribute__((always_inline)) void load(__m512 acc[MR][2], const tile_args *t,
                                                       const int R, const int V)
{
#pragma GCC unroll 14
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++)
            acc[r][v] = _mm512_setzero_ps();
    if (!t->accumulate)
        return;
#pragma GCC unroll 14
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++)
            acc[r][v] = _mm512_maskz_loadu_ps(t->mask[v], t->c + (size_t)r * t->ldc + v * 16);
}

enum { LINE = 64 };

/* R rows, V vectors of 16 columns. by_rows: a's rows are contiguous in k (ks = 1), else in rows.
 * streaming: the only tile of its panel, so b comes from memory and is waited for. */
static inline __attribute__((always_inline)) void tile(const tile_args *t, const int R, const int V,
                                                       const bool by_rows, const bool streaming)
{
    __m512 acc[MR][2];
    const float *a[BASES], *b = t->b;
    const char *next = t->next;
    const size_t step = by_rows ? 1 : t->ks, rs = by_rows ? t->rs : 1;
    load(acc, t, R, V);
#pragma GCC unroll 5
    for (int i = 0; i < BASES; i++)
        a[i] = t->a + (size_t)(i * 3 < R ? 3 * i : 0) * rs;
    for (size_t p = 0; p < t->k; p++) {
        __m512 bv[2];
#pragma GCC unroll 2
        for (int v = 0; v < V; v++)
            bv[v] = _mm512_loadu_ps(b + v * 16);
        if (streaming) {
            _mm_prefetch(next, _MM_HINT_T1);
            _mm_prefetch(next + LINE, _MM_HINT_T1);
            next += 2 * LINE;
        } else {
            if (p < t->a_lines)
                _mm_prefetch((const char *)(t->next_a + 16 * p), _MM_HINT_T0);
            if (p < (size_t)R) {
                _mm_prefetch((const char *)(t->next_c + p * t->ldc), _MM_HINT_T0);
                _mm_prefetch((const char *)(t->next_c + p * t->ldc + 16), _MM_HINT_T0);
            }
            if (p < t->lines) {
                _mm_prefetch(next, _MM_HINT_T1);
                next += LINE;
            }
        }
#pragma GCC unroll 14
        for (int r = 0; r < R; r++) {
            const __m512 av = _mm512_set1_ps(a[r / 3][(size_t)(r % 3) * rs]);
#pragma GCC unroll 2
            for (int v = 0; v < V; v++)
                acc[r][v] = _mm512_fmadd_ps(av, bv[v], acc[r][v]);
        }
#pragma GCC unroll 5
        for (int i = 0; i < BASES; i++) {
            a[i] += step;
            if (i * 3 < R)
                KEEP(a[i]);
        }
        b += NR;
        IN_ORDER;
    }
#pragma GCC unroll 14
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++)
            store(t, acc[r][v], (size_t)r, (size_t)v);
}

typedef void tile_fn(const tile_args *t);
#define MAKE(r)                                                                                    \
    static void stream_##r##x32(const tile_args *t) { tile(t, r, 2, true, true); }                 \
    static void rows_##r##x32(const tile_args *t) { tile(t, r, 2, true, false); }                  \
    static void rows_##r##x16(const tile_args *t) { tile(t, r, 1, true, false); }                  \
    static void cols_##r##x32(const tile_args *t) { tile(t, r, 2, false, false); }                 \
    static void cols_##r##x16(const tile_args *t) { tile(t, r, 1, false, false); }
KRN_ROWS_14(MAKE)
#undef MAKE

#define ENTRY(r) {{cols_##r##x16, cols_##r##x32}, {rows_##r##x16, rows_##r##x32}},
static tile_fn *const tiles[MR][2][2] = {KRN_ROWS_14(ENTRY)};
#undef ENTRY
#define ENTRY(r) stream_##r##x32,
static tile_fn *const streaming[MR] = {KRN_ROWS_14(ENTRY)};
#undef ENTRY

/* What is read after panel j. */
static const char *after(const krn_gemm_args *g, size_t j)
{
    const float *b = g->b + j / NR * g->b_panel;
    return (const char *)(j + NR < g->n ? b + g->b_panel : g->b + g->k * NR);
}

static void run(const krn_gemm_args *g)
{
    const bool by_rows = g->a_ks == 1, packed_a = by_rows && g->a_rs < g->k + 2 * NR;
    const size_t blocks = (g->m + MR - 1) / MR;
    for (size_t j = 0; j < g->n; j += NR) {
        const size_t cols = g->n - j < NR ? g->n - j : NR;
        size_t lines = (g->fetch ? g->fetch_len : g->k * NR * sizeof(float)) / LINE;
        tile_args t = {.b = g->b + j / NR * g->b_panel,
                       .next = g->fetch ? g->fetch : after(g, j),
                       .rs = g->a_rs,
                       .ks = g->a_ks,
                       .k = g->k,
                       .ldc = g->ldc,
                       .accumulate = g->accumulate};
        t.mask[0] = krn_low_bits(cols);
        t.mask[1] = krn_low_bits(cols > 16 ? cols - 16 : 0);
        for (size_t i = 0, left = blocks, rows; i < g->m; i += rows, left--) {
            krn_epilogue ep;
            rows = (g->m - i + left - 1) / left; /* 16 as 8 + 8: a tile of 2 waits for its FMAs */
            if (g->ep) {
                ep = krn_epilogue_at(g->ep, i, j);
                t.ep = &ep;
            }
            t.a = g->a + i * g->a_rs;
            t.c = g->c + i * g->ldc + j;
            t.next_c = left > 1 ? t.c + rows * g->ldc : g->c + j + NR;
            t.next_a = left > 1 ? t.a + rows * g->a_rs : g->a;
            t.a_lines = packed_a ? rows * g->a_rs / 16 : 0;
            t.lines = (lines + left - 1) / left;
            if (blocks == 1 && by_rows && cols > 16 && !g->fetch)
                streaming[rows - 1](&t);
            else
                tiles[rows - 1][by_rows][cols > 16](&t);
            t.next += t.lines * LINE;
            lines -= t.lines;
        }
    }
}

const krn_gemm krn_gemm_f32_14x32__avx512 = {.mr = MR,
                                             .nr = NR,
                                             .mc = 112,
                                             .kc = 256,
                                             .run = run,
                                             .name = "f32 14x32 avx512",
                                             .rounded = "f32 14x32 avx512 on bf16"};
