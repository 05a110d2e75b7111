#include "kernels/vec_avx512.h"

#include "kernels/round_vec.h"

/* Weights are widened to f32 on the way in: few rows are bound by memory, where half or a quarter
 * of the bytes is so much more speed. With many rows the widening, which every tile repeats, is
 * what counts, and a panel widened once is better. */
enum { MR = 14, NR = 32, FEW = 2 * MR, LINE = 64, AHEAD = 4096 };

typedef struct tile_args {
    const float *a;
    const char *b;
    size_t rs, k;
    float *c;
    size_t ldc;
    __mmask16 mask[2];
    bool accumulate;
    const krn_epilogue *ep;
} tile_args;

INLINE __m512 widened(const char *p, const size_t width)
{
    if (width == 2)
        return LOAD16((const uint16_t *)(const void *)p);
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

INLINE void tile(const tile_args *t, const int R, const size_t width)
{
    __m512 acc[MR][2];
    const float *a = t->a;
    const char *b = t->b;
#pragma GCC unroll 14
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            acc[r][v] = t->accumulate
                            ? _mm512_maskz_loadu_ps(t->mask[v], t->c + (size_t)r * t->ldc + v * 16)
                            : _mm512_setzero_ps();
    for (size_t p = 0; p < t->k; p++, a++, b += NR * width) {
        const __m512 b0 = widened(b, width), b1 = widened(b + 16 * width, width);
        _mm_prefetch(b + AHEAD, _MM_HINT_T0);
#pragma GCC unroll 14
        for (int r = 0; r < R; r++) {
            const __m512 av = _mm512_set1_ps(a[(size_t)r * t->rs]);
            acc[r][0] = _mm512_fmadd_ps(av, b0, acc[r][0]);
            acc[r][1] = _mm512_fmadd_ps(av, b1, acc[r][1]);
        }
    }
#pragma GCC unroll 14
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            __m512 s = acc[r][v];
            if (t->ep)
                s = krn_finish_avx512(s, t->ep, (size_t)r, (size_t)v * 16, t->mask[v]);
            _mm512_mask_storeu_ps(t->c + (size_t)r * t->ldc + v * 16, t->mask[v], s);
        }
}

#define MAKE(r)                                                                                    \
    static void i8_##r(const tile_args *t) { tile(t, r, 1); }                                      \
    static void w16_##r(const tile_args *t) { tile(t, r, 2); }
KRN_ROWS_14(MAKE)
#undef MAKE
#define ENTRY(r) {i8_##r, w16_##r},
static void (*const tiles[MR][2])(const tile_args *t) = {KRN_ROWS_14(ENTRY)};
#undef ENTRY

INLINE void run(const krn_gemm_narrow_args *g, const size_t width)
{
    for (size_t j = 0; j < g->n; j += NR) {
        const size_t cols = g->n - j < NR ? g->n - j : NR;
        tile_args t = {.b = (const char *)g->b + j / NR * g->b_panel * width,
                       .rs = g->a_rs,
                       .k = g->k,
                       .ldc = g->ldc,
                       .accumulate = g->accumulate,
                       .mask = {krn_low_bits(cols), krn_low_bits(cols > 16 ? cols - 16 : 0)}};
        for (size_t i = 0, left = (g->m + MR - 1) / MR, rows; i < g->m; i += rows, left--) {
            krn_epilogue ep;
            rows = (g->m - i + left - 1) / left;
            if (g->ep) {
                ep = krn_epilogue_at(g->ep, i, j);
                t.ep = &ep;
            }
            t.a = g->a + i * g->a_rs;
            t.c = g->c + i * g->ldc + j;
            tiles[rows - 1][width - 1](&t);
        }
    }
}

static void run_i8(const krn_gemm_narrow_args *g) { run(g, 1); }
static void run_w16(const krn_gemm_narrow_args *g) { run(g, 2); }

static void widen_i8(float *dst, const void *src, size_t n)
{
    const char *from = src;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        STORE(dst + i, widened(from + i, 1));
    if (i < n)
        MSTORE(
            dst + i, FIRST(n - i),
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(FIRST(n - i), from + i))));
}

static void widen_w16(float *dst, const void *src, size_t n) { widen_bf16(dst, src, n); }

const krn_gemm_narrow krn_gemm_i8_14x32__avx512 = {.mr = MR,
                                                   .nr = NR,
                                                   .mc = 112,
                                                   .kc = 512,
                                                   .width = 1,
                                                   .few = FEW,
                                                   .run = run_i8,
                                                   .widen = widen_i8,
                                                   .name = "int8 weights 14x32 avx512"};
const krn_gemm_narrow krn_gemm_w16_14x32__avx512 = {.mr = MR,
                                                    .nr = NR,
                                                    .mc = 112,
                                                    .kc = 512,
                                                    .width = 2,
                                                    .few = FEW,
                                                    .run = run_w16,
                                                    .widen = widen_w16,
                                                    .name = "f32 14x32 avx512 on bf16"};

void krn_to_bf16__avx512(uint16_t *dst, const float *src, size_t n) { to_bf16(dst, src, n); }
void krn_round_bf16__avx512(float *y, const float *x, size_t n) { round_bf16(y, x, n); }
