#ifndef KRN_KERNELS_H
#define KRN_KERNELS_H
#include "kernels/cpu.h"
#include "kernels/depthwise.h"
#include "kernels/passes.h"
#include "kernels/winograd.h"
#include "kernels/winograd_grad.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The kernel table: one slot per operation and dtype, the fastest allowed variant in it. Contracts
 *  stand above each slot's type. All kernels touch only their arguments (no over-read), accept
 *  n = 1, ask for no alignment unless said, and are thread-safe. */

/** Activation of a fused store. */
typedef enum krn_act { KRN_ACT_NONE, KRN_ACT_RELU, KRN_ACT_PRELU } krn_act;

/** What is done to a finished sum: v * scale[j] + bias[j] + residual[i][j], then the activation;
 * or, with `residual_last`, the residual added to the activation's result. */
typedef struct krn_epilogue {
    const float *scale;    /* n values or NULL; products only, not winograd_f32 and depthwise_f32 */
    const float *bias;     /* n values or NULL */
    const float *residual; /* (m,n), rows ldr floats apart, or NULL; may be c itself */
    size_t ldr;
    const float *slope; /* n values; KRN_ACT_PRELU only */
    krn_act act;
    bool residual_last;
} krn_epilogue;

/** Blocked product: c (m,n) = [c +] a (m,k) * b (k,n), then the epilogue.
 *  Each c[i][j] is one chain of fused or separate multiply-adds over k in rising order, the same
 *  whatever m, n and the position are, so a row's bits do not depend on its neighbours, and cutting
 *  k in parts (accumulate) does not change them either. (OpenBLAS keeps this for fixed shapes
 * only.)
 *
 *  a: element (i,p) at a[i*a_rs + p*a_ks], one of the two strides being 1.
 *  b: packed in panels of nr columns: panel q holds columns q*nr.. as [k][nr], the last one padded
 *     with finite values; panels lie b_panel floats apart, b_panel >= k*nr.
 *  c: rows ldc floats apart; never read unless `accumulate`.
 *  ep: NULL = plain store (all but the last part of k).
 *  fetch: what later calls read, brought into L2 meanwhile where the variant can. Without the
 * first, b is fetched as if the next call went on with the next part of k. */
typedef struct krn_gemm_args {
    size_t m, n, k;
    const float *a, *b;
    size_t a_rs, a_ks;
    size_t b_panel;
    float *c;
    size_t ldc;
    bool accumulate;
    const krn_epilogue *ep;
    const void *fetch;
    size_t fetch_len;
} krn_gemm_args;
typedef void krn_gemm_run_fn(const krn_gemm_args *g);

/** A variant of the product with its tile and block sizes. nr = 1: panels of one column, that is b
 *  transposed with leading dimension b_panel (reference, OpenBLAS). */
typedef struct krn_gemm {
    size_t mr, nr; /* register tile */
    size_t mc;     /* rows that stay in L2 beside a panel: what one task takes at most */
    size_t kc;     /* part of k whose panel stays in L1 */
    krn_gemm_run_fn *run;
    const char *name, *rounded; /* rounded: with operands rounded to bf16 */
} krn_gemm;
/** The epilogue on finished sums in memory, for variants that do not fuse it. */
void krn_epilogue_ref(float *c, size_t ldc, size_t m, size_t n, const krn_epilogue *ep);
typedef const krn_gemm krn_gemm_f32_fn; /* the slot holds a pointer to the struct */

/** The same product of bf16 operands with f32 sums: each c[i][j] is one chain over steps of
 *  KRN_BF16_K in rising order, the same whatever m, n and the position are. k is a multiple of it;
 *  who packs fills up with zeros.
 *  a: step s of row i is the KRN_BF16_K elements from a[i*a_rs + a_at[s]] on (a_at NULL: from
 *     i*a_rs + s*KRN_BF16_K), so that a filter's patches are read where the picture lies.
 *  b: panels of nr columns as [k/2][nr][2].
 *  c: with row_gap > 0, rows of a come in runs of row_len with row_gap rows between them that are
 *     readable but give nothing: c and residual have no rows for them.
 *  c16: instead of c, the results rounded as to_bf16 does; then `accumulate` is false.
 *  CPUs' bf16 instructions flush denormals and round as they please; only rounded operands that are
 *  normal or zero are promised an error within (k + 1) 2^-23 sum |a b|. */
#define KRN_BF16_K 32
typedef struct krn_gemm_bf16_args {
    size_t m, n, k;
    const uint16_t *a, *b;
    const size_t *a_at;   /* k / KRN_BF16_K values or NULL */
    size_t a_rs, b_panel; /* elements */
    float *c;
    uint16_t *c16; /* NULL = c */
    size_t ldc;
    size_t row_len, row_gap;
    bool accumulate;
    const krn_epilogue *ep;
} krn_gemm_bf16_args;

/** Walk over the rows of a and c together. */
typedef struct krn_rows {
    size_t len, period; /* period 0: no gaps */
    size_t row, at;     /* next row of c, place in the run */
} krn_rows;
#define KRN_NO_ROW SIZE_MAX
static inline krn_rows krn_rows_from(const krn_gemm_bf16_args *g, size_t i)
{
    const size_t period = g->row_gap ? g->row_len + g->row_gap : 0;
    if (!period)
        return (krn_rows){.row = i};
    const size_t at = i % period;
    return (krn_rows){.len = g->row_len,
                      .period = period,
                      .row = i / period * g->row_len + (at < g->row_len ? at : g->row_len),
                      .at = at};
}
/** The row of c that this row of a gives, or KRN_NO_ROW; steps on. */
static inline size_t krn_rows_next(krn_rows *r)
{
    if (!r->period)
        return r->row++;
    const bool real = r->at < r->len;
    r->at = r->at + 1 == r->period ? 0 : r->at + 1;
    return real ? r->row++ : KRN_NO_ROW;
}

typedef struct krn_gemm_bf16 {
    size_t mr, nr, mc, kc; /* kc a multiple of KRN_BF16_K */
    size_t pixels;         /* of a picture that a convolution's task takes: what stays in L2 */
    bool tiles;            /* faster than f32 products of rounded operands, Winograd's included */
    void (*run)(const krn_gemm_bf16_args *g);
    const char *name;
} krn_gemm_bf16;
typedef const krn_gemm_bf16 krn_gemm_bf16_fn;

/** Product of f32 rows with weights kept narrow, as int8 or bf16: krn_gemm's with every element of
 *  b, panels of nr columns as [k][nr], widened to f32 on its way in: the bits of gemm_f32 on panels
 *  that were widened before, if its nr is the same and krn_gemm_narrow.few says that it may serve.
 */
typedef struct krn_gemm_narrow_args {
    size_t m, n, k;
    const float *a;
    size_t a_rs;
    const void *b;
    size_t b_panel; /* elements */
    float *c;
    size_t ldc;
    bool accumulate;
    const krn_epilogue *ep; /* NULL = none */
} krn_gemm_narrow_args;
typedef struct krn_gemm_narrow {
    size_t mr, nr, mc, kc;
    size_t width; /* bytes of an element: 1 = int8, 2 = bf16 */
    size_t few;   /* with more rows, widening and gemm_f32 are faster and give the same bits */
    void (*run)(const krn_gemm_narrow_args *g);
    void (*widen)(float *dst, const void *src, size_t n);
    const char *name;
} krn_gemm_narrow;
typedef const krn_gemm_narrow krn_gemm_i8_fn;
typedef const krn_gemm_narrow krn_gemm_w16_fn;

/** f32 to bf16, to nearest even; NaN stays NaN, denormals become signed zeros. */
typedef void krn_to_bf16_fn(uint16_t *dst, const float *src, size_t n);
/** y[i] = the f32 that to_bf16 of x[i] stands for; y == x allowed. */
typedef void krn_round_bf16_fn(float *y, const float *x, size_t n);

/** y[i] = x[i] > 0 ? x[i] : a[i] * x[i] over rows of c channels, a per channel; y == x allowed. */
typedef void krn_prelu_f32_fn(float *y, const float *x, const float *a, size_t rows, size_t c);
/** Row by row: y = exp(x - max) / sum; n rows of c; y == x allowed. */
typedef void krn_softmax_f32_fn(float *y, const float *x, size_t rows, size_t c);
/** y[j] = the largest of row[0][j], row[1][j], ..; a NaN is the largest of all. rows >= 1; y may be
 *  one of the rows. */
typedef void krn_max_f32_fn(float *y, const float *const *row, size_t rows, size_t c);
/** best[j] as above, and which[j] = the number of the first row that has it (of the first NaN).
 * Rows are numbered first, first + 1, ..; with first > 0, best and which go in as what the rows
 * before gave. */
typedef void krn_argmax_f32_fn(float *best, int32_t *which, const float *const *row, size_t rows,
                               int32_t first, size_t c);

/** Resampling in fixed point (image/resample.h makes the weights): 8-bit samples, weights with
 *  KRN_WEIGHT_BITS bits of fraction that sum to about 1, result rounded and clipped to 0..255.
 * Every variant gives the same bytes.
 *
 *  Weights come twice: plain, and as halves for 16-bit multiply-adds, w = hi * 2^11 + lo, of four
 *  output pixels and four taps together: KRN_QUAD hi halves of taps 0 and 1, KRN_QUAD of taps 2 and
 *  3, then the lo halves likewise; each is 8 for each pixel: k k' k k' k k' 0 0. */
#define KRN_WEIGHT_BITS                                                                            \
    22 /* 8 bits of pixel and a sign beside it in 32: Pillow's PRECISION_BITS                      \
        */
#define KRN_WEIGHT_LOW 11
#define KRN_QUAD 32
#define KRN_ROW_PIXELS 16 /* first and halves go on to a multiple of it, with weight 0 */
typedef struct krn_resample_row {
    const int *first;      /* by output pixel: first input pixel of its window; never falls */
    const int32_t *weight; /* taps for each output */
    int taps;
    const int16_t *halves; /* by 4 pixels, by 4 taps; 0 beyond the taps */
} krn_resample_row;
/** dst: n RGB pixels from src, a row of src_len bytes. Nothing outside both is touched. */
typedef void krn_resample_row_u8_fn(uint8_t *dst, const uint8_t *src, size_t src_len,
                                    const krn_resample_row *r, int n);
/** len bytes, each the weighted sum of the bytes at its place in `taps` rows. */
typedef void krn_resample_column_u8_fn(uint8_t *dst, const uint8_t *const *rows,
                                       const int32_t *weight, int taps, size_t len);

typedef struct krn_table {
#define KRN_SLOT(slot) krn_##slot##_fn *slot;
#include "kernels/slots.inc"
#undef KRN_SLOT
    unsigned isa;
} krn_table;

/** The table for this process: cpu capabilities capped by PRELU_CPU, made once, immutable. */
const krn_table *krn_table_get(void);
/** A table for given capabilities (tests). */
void krn_table_init(krn_table *t, unsigned isa);
/** The same without variants that fail a small product (kernels/verify.h), each with a warning. */
void krn_table_init_trusted(krn_table *t, unsigned isa);

#define KERNEL(slot, need, fn) extern krn_##slot##_fn fn;
#include "kernels/kernels.inc"
#undef KERNEL
#endif
