#ifndef KRN_WINOGRAD_H
#define KRN_WINOGRAD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Convolution 3x3 or 2x2, stride 1, by Winograd's F(4x4, 3x3) or F(5x5, 2x2): a tile of 4x4 (5x5)
 *  outputs comes from a window of 6x6 inputs d and the filter g as
 *
 *      y = A' [ sum over channels of (G g G') * (B' d B) ] A,   * by element,
 *
 *  so that for each of the 36 elements xi the sum over channels is a matrix product, (tiles,c) by
 *  (c,o), with 36 multiplications where the direct form has 144 (100). Interpolation points 0,
 *  +-sqrt(1/2), +-sqrt(2), infinity: half the rounding error of 0, +-1, +-2. Up to scale by row,
 *
 *      row p of B' = coefficients of M(x)/(x-p), M = product of (x-q) over the finite points,
 *      row p of G = 1 p [p^2],   column p of A' = 1 p p^2 p^3 [p^4],   divided in all by M'(p).
 *
 *  The points, B' and the products are the same for both; only G and A' know the filter.
 *
 *  That factor goes where it is free: p = 0 into B', the others into A'; G keeps whole numbers.
 *  Each 1-d transform is a fixed formula by lane: an element's bits depend on its own inputs only.
 *
 *  The three transforms of a variant with its block sizes; the product in between is gemm_f32's. */
enum { KRN_WINOGRAD_N = 6, KRN_WINOGRAD_XI = 36, KRN_WINOGRAD_MOST_SIDE = 5 };

/** A tile at the end of a row (column) of outputs may have one or two of them only (three with
 *  2x2). It is `short` there: F(2, 3) (F(3, 2)) with the points 0, +-sqrt(1/2), infinity takes the
 *  place of F(4, 3) (F(5, 2)) in that direction. G has the same rows for them, so the same
 * transformed filters serve; of each six elements the fourth and fifth do not exist and are neither
 * written nor read. */
static inline bool krn_winograd_short(size_t side, size_t outputs) { return outputs <= side - 2; }

/** Where a tile reads: pixel (i,j) of the window at x + at + i*row + j*col, elements. Only rows
 *  i0 <= i < i1 and columns j0 <= j < j1 lie in the picture; the others count as 0 and are not
 *  touched (`at` may be negative). */
typedef struct krn_winograd_window {
    const float *x;
    const uint16_t *x16; /* the picture in bf16 instead, or NULL */
    bool round;          /* x is rounded as round_bf16 does */
    ptrdiff_t at, row, col;
    int i0, i1, j0, j1;
    bool short_i, short_j; /* only the first four rows (columns) are looked at */
} krn_winograd_window;

/** v[xi*step + k] = (B' d B)[xi] of channel k, 0 <= k < channels. */
typedef void krn_winograd_input_fn(float *v, size_t step, const krn_winograd_window *w,
                                   size_t channels);

/** One row of G g G' at a time, so that what a product reads next still lies in L1:
 *  u[j*step + k] = (G g G')[6*row + j], j = 0..5, of filter k, whose tap (i,j) is
 *  g[(taps*i + j)*tap + k], 0 <= k < n. */
typedef void krn_winograd_filter_fn(float *u, size_t step, const float *g, size_t tap, size_t n,
                                    int row);

struct krn_epilogue;
/** Where a tile goes: pixel (i,j) at y + i*row + j*col, and its residual at res + the same; only
 *  i < rows <= side and j < cols <= side are touched. */
typedef struct krn_winograd_place {
    float *y;
    uint16_t *y16; /* instead of y, the results rounded as to_bf16 does; or NULL */
    size_t row, col;
    int rows, cols;
    const struct krn_epilogue *ep; /* or NULL; its residual is the tile's first, ldr is not used */
} krn_winograd_place;

/** pixel = epilogue of A' m A (short where rows or cols are), channels k with element xi at
 * m[xi*step + k]. */
typedef void krn_winograd_output_fn(const krn_winograd_place *p, const float *m, size_t step,
                                    size_t channels);

/** The product of `count` elements xi one after another, v (tiles,depth) by u (depth,nr):
 *  m[xi*m_step + t*ldm + o] = [it +] sum over k of v[xi*v_step + t*ldv + k] * u[xi*u_step + k*nr +
 * o] for o < nr, each one chain over k in rising order as krn_gemm's, with the nr of its variant.
 *  What the next call reads if it goes on with the next xi is fetched early. */
typedef struct krn_winograd_sums {
    size_t count, tiles, depth;
    const float *v, *u;
    float *m;
    size_t v_step, u_step, m_step, ldv, ldm;
    bool accumulate;
    const float *fetch; /* lines to bring into L2 meanwhile: what a later call reads */
    size_t lines;
} krn_winograd_sums;
typedef void krn_winograd_product_fn(const krn_winograd_sums *s);

/** A variant for filters of taps x taps, tiles of side x side outputs (together 7), and its block
 *  sizes. A task has at most `tiles` x `outputs`, less where their sums,
 *  36*tiles*outputs floats, would take more than half of L2; it takes `depth` input channels at a
 *  time, of `strip` filters. Windows are transformed for as many tiles as `round` floats of the
 *  shared cache hold, but for `least` at least. */
typedef struct krn_winograd {
    size_t taps, side;
    size_t tiles, outputs, depth, strip, round, least;
    krn_winograd_input_fn *input;
    krn_winograd_filter_fn *filter;
    krn_winograd_output_fn *output;
    krn_winograd_product_fn *product; /* NULL: gemm_f32 does it; else strip = its nr */
    /* names, by when the filters are transformed, and for operands rounded to bf16 */
    const char *fly, *ahead, *rounded_fly, *rounded_ahead;
} krn_winograd;
/** @param kind of the tile and instruction set, a string: "f(4x4) f32 avx2". */
#define KRN_WINOGRAD_NAMES(kind)                                                                   \
    .fly = "winograd " kind ", weights on the fly", .ahead = "winograd " kind ", weights ahead",   \
    .rounded_fly = "winograd " kind " on bf16, on the fly",                                        \
    .rounded_ahead = "winograd " kind " on bf16, ahead"
typedef const krn_winograd krn_winograd_f32_fn; /* the slot holds a pointer to the struct */
typedef const krn_winograd krn_winograd_2x2_f32_fn;
#endif
