#include "kernels/vec_avx512.h"
#include "kernels/winograd_vec.h"
#include "kernels/winograd_vec_grad.h"
#include "kernels/winograd_vec_output.h"

/* ---- product ---------------------------------------------------------------------------------
 * The tile of gemm_avx512.c, 14 x 32, but v, u and m lie in L2 and a call takes only some hundred
 * cycles: half a tile's time would go into waiting for its first lines. So each tile fetches the
 * rows of v and m of the one after it into L1, a line of v at each step: all at once they would
 * take every line buffer, and loads that hit would wait behind them. A panel of u and two tiles'
 * rows at depth 128 fill two thirds of L1. */
enum { MR = 14, NR = 32, BASES = 5, STEPS = 2 };

typedef struct step {
    const float *v, *u;
    float *m;
    const float *next_v; /* of the tile after this one */
    float *next_m;
    size_t ldv, ldm, depth;
    bool accumulate;
    const char *fetch; /* lines for L2 */
    size_t lines;
} step;

#define FETCH(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)
/* The compiler holds five pointers, each for three rows, and does not move loads up: 14 pointers,
 * or more vectors than 31, would be spilled. */
#define IN_ORDER __asm__ volatile("" ::: "memory")

INLINE void fetch_row(const step *s, size_t row)
{
    FETCH(s->next_m + row * s->ldm);
    FETCH(s->next_m + row * s->ldm + LANES);
}

INLINE void tile(step *s, const int R)
{
    vec acc[MR][2];
    const float *a[BASES], *u = s->u;
    const size_t ld = s->ldv, lines = (size_t)R * ld / LANES;
#pragma GCC unroll 14
    for (int r = 0; r < R; r++)
        acc[r][0] = acc[r][1] = ZERO;
    if (s->accumulate)
#pragma GCC unroll 14
        for (int r = 0; r < R; r++) {
            acc[r][0] = LOAD(s->m + (size_t)r * s->ldm);
            acc[r][1] = LOAD(s->m + (size_t)r * s->ldm + LANES);
        }
#pragma GCC unroll 5
    for (int i = 0; i < BASES; i++)
        a[i] = s->v + (size_t)(i * 3 < R ? 3 * i : 0) * ld;
    for (size_t k = 0; k < s->depth; k++) {
        if (k < lines)
            FETCH(s->next_v + k * LANES);
        if (k < (size_t)R)
            fetch_row(s, k);
        else if (s->lines) {
            _mm_prefetch(s->fetch, _MM_HINT_T1);
            s->fetch += 64;
            s->lines--;
        }
#pragma GCC unroll 5
        for (int i = 0; i < BASES; i++)
            if (i * 3 < R)
                KEEP(a[i]);
        const vec u0 = LOAD(u), u1 = LOAD(u + LANES);
#pragma GCC unroll 14
        for (int r = 0; r < R; r++) {
            const vec x = _mm512_set1_ps(a[r / 3][(size_t)(r % 3) * ld]);
            acc[r][0] = FMA(x, u0, acc[r][0]);
            acc[r][1] = FMA(x, u1, acc[r][1]);
        }
        IN_ORDER;
#pragma GCC unroll 5
        for (int i = 0; i < BASES; i++)
            a[i]++;
        u += NR;
    }
#pragma GCC unroll 14
    for (int r = 0; r < R; r++) {
        STORE(s->m + (size_t)r * s->ldm, acc[r][0]);
        STORE(s->m + (size_t)r * s->ldm + LANES, acc[r][1]);
    }
}

typedef void tile_fn(step *s);
#define MAKE(r)                                                                                    \
    static void tile_##r(step *s) { tile(s, r); }
KRN_ROWS_14(MAKE)
#undef MAKE
#define ENTRY(r) tile_##r,
static tile_fn *const by_rows[MR] = {KRN_ROWS_14(ENTRY)};
#undef ENTRY

/* Rows in blocks as equal as can be: of 16, 8 and 8; a block of 2 waits for its own FMAs. */
static void product(const krn_winograd_sums *g)
{
    const size_t blocks = (g->tiles + MR - 1) / MR, least = g->tiles / blocks;
    const size_t longer = g->tiles % blocks; /* blocks of least + 1 rows, the first ones */
    step s = {.ldv = g->ldv,
              .ldm = g->ldm,
              .depth = g->depth,
              .accumulate = g->accumulate,
              .fetch = (const char *)g->fetch};
    size_t lines = g->lines, calls = g->count * blocks;
    for (size_t xi = 0; xi < g->count; xi++) {
        s.u = g->u + xi * g->u_step;
        s.next_v = g->v + xi * g->v_step;
        s.next_m = g->m + xi * g->m_step;
        for (size_t b = 0; b < blocks; b++) {
            const size_t rows = least + (b < longer);
            s.v = s.next_v;
            s.m = s.next_m;
            s.next_v += rows * g->ldv;
            s.next_m += rows * g->ldm;
            if (b + 1 == blocks) {
                s.next_v = g->v + (xi + 1) * g->v_step;
                s.next_m = g->m + (xi + 1) * g->m_step;
            }
            s.lines = (lines + calls - 1) / calls;
            lines -= s.lines;
            calls--;
            by_rows[rows - 1](&s);
            lines += s.lines; /* what a short depth had no time for */
        }
    }
}

#define BLOCKS                                                                                     \
    .tiles = 224, .outputs = 32, .depth = 128, .strip = 32, .round = (size_t)3 << 20, .least = 98, \
    .product = product

const krn_winograd krn_winograd_f32__avx512 = {.taps = 3,
                                               .side = 4,
                                               .input = input,
                                               .filter = filter,
                                               .output = output,
                                               BLOCKS,
                                               KRN_WINOGRAD_NAMES("f(4x4) f32 avx512")};

const krn_winograd krn_winograd_2x2_f32__avx512 = {.taps = 2,
                                                   .side = 5,
                                                   .input = input,
                                                   .filter = filter_2x2,
                                                   .output = output_2x2,
                                                   BLOCKS,
                                                   KRN_WINOGRAD_NAMES("f(5x5) f32 avx512")};

const krn_winograd_grad krn_winograd_grad_f32__avx512 = {
    .taps = 3, .side = 4, .spread = spread, .gather = gather, .name = "winograd f(4x4) f32 avx512"};

const krn_winograd_grad krn_winograd_2x2_grad_f32__avx512 = {.taps = 2,
                                                             .side = 5,
                                                             .spread = spread_2x2,
                                                             .gather = gather_2x2,
                                                             .name = "winograd f(5x5) f32 avx512"};
