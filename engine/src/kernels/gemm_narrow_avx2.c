#include "kernels/vec_avx2.h"

#include "kernels/round_vec.h"

/* The tile of gemm_avx2.c; see gemm_narrow_avx512.c. */
enum { MR = 6, NR = 16, FEW = 2 * MR };

typedef struct tile_args {
    const float *a;
    const char *b;
    size_t rs, k;
    float *c;
    size_t ldc, cols;
    bool accumulate;
} tile_args;

INLINE __m256 widened(const char *p, const size_t width)
{
    if (width == 2)
        return LOAD16((const uint16_t *)(const void *)p);
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}

INLINE void tile(const tile_args *t, const int R, const size_t width)
{
    const lanes mask[2] = {FIRST(t->cols < LANES ? t->cols : LANES),
                           FIRST(t->cols > LANES ? t->cols - LANES : 0)};
    __m256 acc[MR][2];
    const float *a = t->a;
    const char *b = t->b;
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            acc[r][v] =
                t->accumulate ? MLOAD(mask[v], t->c + (size_t)r * t->ldc + v * LANES) : ZERO;
    for (size_t p = 0; p < t->k; p++, a++, b += NR * width) {
        const __m256 b0 = widened(b, width), b1 = widened(b + LANES * width, width);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            const __m256 av = _mm256_set1_ps(a[(size_t)r * t->rs]);
            acc[r][0] = FMA(av, b0, acc[r][0]);
            acc[r][1] = FMA(av, b1, acc[r][1]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            MSTORE(t->c + (size_t)r * t->ldc + v * LANES, mask[v], acc[r][v]);
}

#define ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define MAKE(r)                                                                                    \
    static void i8_##r(const tile_args *t) { tile(t, r, 1); }                                      \
    static void w16_##r(const tile_args *t) { tile(t, r, 2); }
ROWS(MAKE)
#undef MAKE
#define ENTRY(r) {i8_##r, w16_##r},
static void (*const tiles[MR][2])(const tile_args *t) = {ROWS(ENTRY)};
#undef ENTRY

INLINE void run(const krn_gemm_narrow_args *g, const size_t width)
{
    for (size_t j = 0; j < g->n; j += NR)
        for (size_t i = 0; i < g->m; i += MR) {
            const size_t rows = g->m - i < MR ? g->m - i : MR;
            const tile_args t = {.a = g->a + i * g->a_rs,
                                 .b = (const char *)g->b + j / NR * g->b_panel * width,
                                 .rs = g->a_rs,
                                 .k = g->k,
                                 .c = g->c + i * g->ldc + j,
                                 .ldc = g->ldc,
                                 .cols = g->n - j < NR ? g->n - j : NR,
                                 .accumulate = g->accumulate};
            tiles[rows - 1][width - 1](&t);
        }
    if (g->ep)
        krn_epilogue_ref(g->c, g->ldc, g->m, g->n, g->ep);
}

static void run_i8(const krn_gemm_narrow_args *g) { run(g, 1); }
static void run_w16(const krn_gemm_narrow_args *g) { run(g, 2); }

static void widen_i8(float *dst, const void *src, size_t n)
{
    const char *from = src;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        STORE(dst + i, widened(from + i, 1));
    for (; i < n; i++)
        dst[i] = ((const int8_t *)src)[i];
}

static void widen_w16(float *dst, const void *src, size_t n) { widen_bf16(dst, src, n); }

const krn_gemm_narrow krn_gemm_i8_6x16__avx2 = {.mr = MR,
                                                .nr = NR,
                                                .mc = 96,
                                                .kc = 512,
                                                .width = 1,
                                                .few = FEW,
                                                .run = run_i8,
                                                .widen = widen_i8,
                                                .name = "int8 weights 6x16 avx2"};
const krn_gemm_narrow krn_gemm_w16_6x16__avx2 = {.mr = MR,
                                                 .nr = NR,
                                                 .mc = 96,
                                                 .kc = 512,
                                                 .width = 2,
                                                 .few = FEW,
                                                 .run = run_w16,
                                                 .widen = widen_w16,
                                                 .name = "f32 6x16 avx2 on bf16"};

void krn_to_bf16__avx2(uint16_t *dst, const float *src, size_t n) { to_bf16(dst, src, n); }
void krn_round_bf16__avx2(float *y, const float *x, size_t n) { round_bf16(y, x, n); }
