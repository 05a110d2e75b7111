#include "kernels/store_avx512.h"
#include "kernels/store_bf16.h"
#include "kernels/tiles_amx.h"
#include <stdalign.h>

/* Six tiles of up to 16 rows by one tile of 16 columns: tiles 0 to 5 hold the sums, 6 the rows'
 * next 32 elements of k, 7 those of the columns. A tile of b, which comes from the second-level
 * cache, is used six times; what a convolution's rows read lies in the first-level cache for all
 * taps of a block of channels. All tiles of a call have the same height, so that one configuration
 * serves: the last one starts earlier and stores only the rows that are new. */
enum { TILES = 6, ROWS = 16, NR = 16, TILE = NR * KRN_BF16_K, LINE = 64 };
enum { AHEAD = 4 }; /* tiles of b to fetch ahead: 2 KB more than the processor does by itself */

/* Finished sums on their way to c. The rows of a block's tiles lie one after another; at the last
 * tile `skip` of them are left out, which the tile before has given already. */
typedef struct pending {
    const krn_gemm_bf16_args *g;
    const float *sums;
    krn_rows rows;
    size_t left, last, skip; /* rows to go; how many of them are of the last tile */
    size_t j;
    __mmask16 mask;
    krn_epilogue ep;
} pending;

typedef struct block {
    const krn_gemm_bf16_args *g;
    const uint16_t *a[TILES], *b;
    float *sums; /* rows of NR, tile after tile */
    size_t tall; /* rows of a tile */
} block;

static void finish_rows(pending *p, size_t count)
{
    for (; count > 0 && p->left > 0; count--, p->left--, p->sums += NR) {
        if (p->left == p->last)
            p->sums += p->skip * NR;
        const size_t row = krn_rows_next(&p->rows);
        if (row == KRN_NO_ROW)
            continue;
        __m512 v = _mm512_load_ps(p->sums);
        if (p->g->ep)
            v = krn_finish_avx512(v, &p->ep, row, 0, p->mask);
        krn_store_bf16(p->g, row, p->j, p->mask, v);
    }
}

#define FOR_TILES(do)                                                                              \
    do                                                                                             \
    (0) do(1) do(2) do(3) do(4) do(5)

/* The sums of n tiles over all of k. They start from t->sums if the call accumulates. Meanwhile the
 * block before is finished, a few rows at each step: vector units are idle otherwise. */
static inline __attribute__((always_inline)) void multiply(const block *t, pending *before,
                                                           const int n)
{
    const krn_gemm_bf16_args *g = t->g;
    const size_t steps = g->k / KRN_BF16_K, lines = (2 * TILE / LINE + (size_t)n - 1) / (size_t)n;
    const size_t each = (before->left + steps - 1) / steps, size = t->tall * NR;
    const long stride = (long)(g->a_rs * sizeof(uint16_t));
    const uint16_t *a0 = t->a[0], *a1 = t->a[1], *a2 = t->a[2];
    const uint16_t *a3 = t->a[3], *a4 = t->a[4], *a5 = t->a[5], *b = t->b;
#define LOAD(i)                                                                                    \
    if (n > i)                                                                                     \
        _tile_loadd(i, t->sums + i * size, LINE);
#define ZERO(i)                                                                                    \
    if (n > i)                                                                                     \
        _tile_zero(i);
#define MULTIPLY(i)                                                                                \
    if (n > i) {                                                                                   \
        _tile_loadd(6, a##i + at, stride);                                                         \
        for (size_t l = 0; l < lines; l++)                                                         \
            _mm_prefetch(next + ((size_t)i * lines + l) * LINE, _MM_HINT_T0);                      \
        _tile_dpbf16ps(i, 6, 7);                                                                   \
    }
#define STORE(i)                                                                                   \
    if (n > i)                                                                                     \
        _tile_stored(i, t->sums + i * size, LINE);
    krn_tiles_barrier();
    if (g->accumulate) {
        FOR_TILES(LOAD)
    } else {
        FOR_TILES(ZERO)
    }
    for (size_t s = 0; s < steps; s++, b += TILE) {
        const size_t at = g->a_at ? g->a_at[s] : s * KRN_BF16_K;
        const char *next = (const char *)b + AHEAD * TILE * sizeof *b;
        _tile_loadd(7, b, LINE);
        FOR_TILES(MULTIPLY)
        finish_rows(before, each);
    }
    FOR_TILES(STORE)
    krn_tiles_barrier();
#undef LOAD
#undef ZERO
#undef MULTIPLY
#undef STORE
}

#define MAKE(n)                                                                                    \
    static void multiply_##n(const block *t, pending *before) { multiply(t, before, n + 1); }
FOR_TILES(MAKE)
#undef MAKE
#define ENTRY(n) multiply_##n,
static void (*const multipliers[TILES])(const block *t, pending *before) = {FOR_TILES(ENTRY)};
#undef ENTRY

/* Rows from..from+count-1 of c, columns j.., as a tile's first sums. */
static void load_rows(const krn_gemm_bf16_args *g, float *sums, size_t from, size_t count, size_t j,
                      __mmask16 mask)
{
    krn_rows rows = krn_rows_from(g, from);
    for (size_t r = 0; r < count; r++, sums += NR) {
        const size_t row = krn_rows_next(&rows);
        _mm512_store_ps(sums, row == KRN_NO_ROW
                                  ? _mm512_setzero_ps()
                                  : _mm512_maskz_loadu_ps(mask, g->c + row * g->ldc + j));
    }
}

static void configure(size_t rows)
{
    krn_tile_config c = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        c.colsb[i] = LINE;
        c.rows[i] = i == 7 ? KRN_BF16_K / 2 : (uint8_t)rows;
    }
    krn_tiles_configure(&c);
}

/* Tiles from..from+n-1 of `tall` rows each, columns j to j + 15. @param p  the block before; then
 * this one. */
static void one_block(const krn_gemm_bf16_args *g, size_t tall, size_t from, size_t n, size_t j,
                      float *sums, pending *p)
{
    const __mmask16 mask = krn_low_bits(g->n - j);
    block t = {.g = g, .b = g->b + j / NR * g->b_panel, .sums = sums, .tall = tall};
    const size_t end = (from + n) * tall, skip = end > g->m ? end - g->m : 0;
    for (size_t i = 0; i < n; i++) {
        const size_t first = (from + i) * tall - (i + 1 == n ? skip : 0);
        t.a[i] = g->a + first * g->a_rs;
        if (g->accumulate)
            load_rows(g, sums + i * tall * NR, first, tall, j, mask);
    }
    multipliers[n - 1](&t, p);
    *p = (pending){.g = g,
                   .sums = sums,
                   .rows = krn_rows_from(g, from * tall),
                   .left = n * tall - skip,
                   .last = tall - skip,
                   .skip = skip,
                   .j = j,
                   .mask = mask};
    if (g->ep)
        p->ep = krn_epilogue_at(g->ep, 0, j);
}

static void run(const krn_gemm_bf16_args *g)
{
    const size_t tiles = (g->m + ROWS - 1) / ROWS, tall = (g->m + tiles - 1) / tiles;
    const size_t blocks = (tiles + TILES - 1) / TILES;
    alignas(LINE) float sums[2][TILES * ROWS * NR];
    pending p = {.left = 0};
    size_t turn = 0;
    configure(tall);
    for (size_t j = 0; j < g->n; j += NR)
        for (size_t i = 0; i < blocks; i++) {
            const size_t from = tiles * i / blocks, to = tiles * (i + 1) / blocks;
            one_block(g, tall, from, to - from, j, sums[turn++ % 2], &p);
        }
    finish_rows(&p, p.left);
    _tile_release();
}

const krn_gemm_bf16 krn_gemm_bf16_96x16__amx = {.mr = ROWS,
                                                .nr = NR,
                                                .mc = TILES * ROWS,
                                                .kc = 1024,
                                                .pixels = 1600,
                                                .tiles = true,
                                                .run = run,
                                                .name = "bf16 96x16 amx"};
