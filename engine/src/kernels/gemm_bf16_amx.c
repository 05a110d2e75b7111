#include "kernels/store_avx512.h"
#include "kernels/tiles_amx.h"
#include <stdalign.h>

/* Six tiles of up to 16 rows by one tile of 16 columns: tiles 0 to 5 hold the sums, 6 the rows'
 * next 32 elements of k, 7 those of the columns. A tile of b, which comes from the second-level
 * cache, is used six times; what a convolution's rows read lies in the first-level cache for all
 * taps of a block of channels. All tiles of a call have the same height, so that one configuration
 * serves: the last one starts earlier and stores only the rows that are new. */
enum { TILES = 6, ROWS = 16, NR = 16, TILE = NR * KRN_BF16_K, LINE = 64 };
enum { AHEAD = 4 }; /* tiles of b to fetch ahead: 2 KB more than the processor does by itself */

typedef struct block {
    const krn_gemm_bf16_args *g;
    const uint16_t *a[TILES], *b;
    float *sums; /* TILES * ROWS rows of NR */
} block;

#define FOR_TILES(do)                                                                              \
    do                                                                                             \
    (0) do(1) do(2) do(3) do(4) do(5)

/* The sums of n tiles over all of k. They start from t->sums if the call accumulates. */
static inline __attribute__((always_inline)) void multiply(const block *t, const int n)
{
    const krn_gemm_bf16_args *g = t->g;
    const size_t steps = g->k / KRN_BF16_K, lines = (2 * TILE / LINE + (size_t)n - 1) / (size_t)n;
    const long stride = (long)(g->a_rs * sizeof(uint16_t));
    const uint16_t *a0 = t->a[0], *a1 = t->a[1], *a2 = t->a[2];
    const uint16_t *a3 = t->a[3], *a4 = t->a[4], *a5 = t->a[5], *b = t->b;
#define LOAD(i)                                                                                    \
    if (n > i)                                                                                     \
        _tile_loadd(i, t->sums + i * ROWS * NR, LINE);
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
        _tile_stored(i, t->sums + i * ROWS * NR, LINE);
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
    }
    FOR_TILES(STORE)
    krn_tiles_barrier();
#undef LOAD
#undef ZERO
#undef MULTIPLY
#undef STORE
}

#define MAKE(n)                                                                                    \
    static void multiply_##n(const block *t) { multiply(t, n + 1); }
FOR_TILES(MAKE)
#undef MAKE
#define ENTRY(n) multiply_##n,
static void (*const multipliers[TILES])(const block *t) = {FOR_TILES(ENTRY)};
#undef ENTRY

/* Rows from..from+count-1 of a tile whose first row of sums is given; columns j.. of c. */
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

static void store_rows(const krn_gemm_bf16_args *g, const float *sums, size_t from, size_t count,
                       size_t j, __mmask16 mask, const krn_epilogue *ep)
{
    krn_rows rows = krn_rows_from(g, from);
    for (size_t r = 0; r < count; r++, sums += NR) {
        const size_t row = krn_rows_next(&rows);
        if (row == KRN_NO_ROW)
            continue;
        __m512 v = _mm512_load_ps(sums);
        if (ep)
            v = krn_finish_avx512(v, ep, row, 0, mask);
        _mm512_mask_storeu_ps(g->c + row * g->ldc + j, mask, v);
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

/* Tiles from..from+n-1 of `tall` rows each, columns j to j + 15. */
static void one_block(const krn_gemm_bf16_args *g, size_t tall, size_t from, size_t n, size_t j,
                      float *sums)
{
    const __mmask16 mask = krn_low_bits(g->n - j);
    block t = {.g = g, .b = g->b + j / NR * g->b_panel, .sums = sums};
    size_t first[TILES];
    krn_epilogue ep;
    if (g->ep)
        ep = krn_epilogue_at(g->ep, 0, j);
    for (size_t i = 0; i < n; i++) {
        const size_t want = (from + i) * tall, last = g->m - tall;
        first[i] = want < last ? want : last;
        t.a[i] = g->a + first[i] * g->a_rs;
        if (g->accumulate)
            load_rows(g, sums + i * ROWS * NR, first[i], tall, j, mask);
    }
    multipliers[n - 1](&t);
    for (size_t i = 0; i < n; i++) {
        const size_t skip = (from + i) * tall - first[i];
        store_rows(g, sums + (i * ROWS + skip) * NR, first[i] + skip, tall - skip, j, mask,
                   g->ep ? &ep : NULL);
    }
}

static void run(const krn_gemm_bf16_args *g)
{
    const size_t tiles = (g->m + ROWS - 1) / ROWS, tall = (g->m + tiles - 1) / tiles;
    const size_t blocks = (tiles + TILES - 1) / TILES;
    alignas(LINE) float sums[TILES * ROWS * NR];
    configure(tall);
    for (size_t j = 0; j < g->n; j += NR)
        for (size_t i = 0; i < blocks; i++) {
            const size_t from = tiles * i / blocks, to = tiles * (i + 1) / blocks;
            one_block(g, tall, from, to - from, j, sums);
        }
    _tile_release();
}

const krn_gemm_bf16 krn_gemm_bf16_96x16__amx = {.mr = ROWS,
                                                .nr = NR,
                                                .mc = TILES * ROWS,
                                                .kc = 1024,
                                                .pixels = 1600,
                                                .run = run,
                                                .name = "bf16 96x16 amx"};
