#include "kernels/store_avx512.h"

/* Weights are widened to f32 on the way in: one row is bound by memory, where a quarter of the
 * bytes is four times the speed; many rows share the widening. */
enum { MR = 14, NR = 32 };

typedef struct tile_args {
    const float *a;
    const int8_t *b;
    size_t rs, k;
    const float *scale;
    float *c;
    size_t ldc;
    __mmask16 mask[2];
    bool accumulate, last;
    const krn_epilogue *ep;
} tile_args;

static inline __m512 widen(const int8_t *p)
{
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

static inline __attribute__((always_inline)) void tile(const tile_args *t, const int R)
{
    __m512 acc[MR][2];
    const float *a = t->a;
    const int8_t *b = t->b;
#pragma GCC unroll 14
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            acc[r][v] = t->accumulate
                            ? _mm512_maskz_loadu_ps(t->mask[v], t->c + (size_t)r * t->ldc + v * 16)
                            : _mm512_setzero_ps();
    for (size_t p = 0; p < t->k; p++, a++, b += NR) {
        const __m512 b0 = widen(b), b1 = widen(b + 16);
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
            if (t->last)
                s = _mm512_mul_ps(s, _mm512_maskz_loadu_ps(t->mask[v], t->scale + v * 16));
            if (t->ep)
                s = krn_finish_avx512(s, t->ep, (size_t)r, (size_t)v * 16, t->mask[v]);
            _mm512_mask_storeu_ps(t->c + (size_t)r * t->ldc + v * 16, t->mask[v], s);
        }
}

#define MAKE(r)                                                                                    \
    static void rows_##r(const tile_args *t) { tile(t, r); }
KRN_ROWS_14(MAKE)
#undef MAKE
#define ENTRY(r) rows_##r,
static void (*const tiles[MR])(const tile_args *t) = {KRN_ROWS_14(ENTRY)};
#undef ENTRY

static void run(const krn_gemm_i8_args *g)
{
    for (size_t j = 0; j < g->n; j += NR) {
        const size_t cols = g->n - j < NR ? g->n - j : NR;
        tile_args t = {.b = g->b + j / NR * g->b_panel,
                       .rs = g->a_rs,
                       .k = g->k,
                       .scale = g->scale + j,
                       .ldc = g->ldc,
                       .accumulate = g->accumulate,
                       .last = g->last,
                       .mask = {krn_low_bits(cols), krn_low_bits(cols > 16 ? cols - 16 : 0)}};
        for (size_t i = 0; i < g->m; i += MR) {
            krn_epilogue ep;
            if (g->ep && g->last) {
                ep = krn_epilogue_at(g->ep, i, j);
                t.ep = &ep;
            }
            t.a = g->a + i * g->a_rs;
            t.c = g->c + i * g->ldc + j;
            tiles[(g->m - i < MR ? g->m - i : MR) - 1](&t);
        }
    }
}

const krn_gemm_i8 krn_gemm_i8_14x32__avx512 = {
    .mr = MR, .nr = NR, .mc = 112, .kc = 512, .run = run, .name = "int8 weights 14x32 avx512"};

/* Rounding by integers, as the reference does it: the same bits, and no need of AVX512_BF16. */
void krn_to_bf16__avx512(uint16_t *dst, const float *src, size_t n)
{
    const __m512i exponent = _mm512_set1_epi32(0x7f800000), one = _mm512_set1_epi32(1);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = krn_low_bits(n - i);
        const __m512i b = _mm512_maskz_loadu_epi32(m, src + i);
        const __m512i e = _mm512_and_si512(b, exponent);
        const __mmask16 tiny = _mm512_cmpeq_epi32_mask(e, _mm512_setzero_si512());
        const __m512i magnitude = _mm512_and_si512(b, _mm512_set1_epi32(0x7fffffff));
        const __mmask16 nan = _mm512_cmpgt_epi32_mask(magnitude, exponent);
        const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(b, 16), one);
        __m512i v = _mm512_add_epi32(b, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        v = _mm512_mask_and_epi32(v, tiny, b, _mm512_set1_epi32((int)0x80000000u));
        v = _mm512_mask_or_epi32(v, nan, b, _mm512_set1_epi32(0x00400000));
        _mm512_mask_cvtepi32_storeu_epi16(dst + i, m, _mm512_srli_epi32(v, 16));
    }
}
