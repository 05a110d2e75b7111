#ifndef OP_PRODUCT_H
#define OP_PRODUCT_H
#include "ops/op.h"
#include "prelu/threads.h"

/** Packing b of krn_gemm (panels of nr columns, [k][nr]) and cutting products into tasks: what
 *  convolution and fully connected layers share. */

/** One panel from rows: src (cols,k), rows ld apart; element * scale; columns cols..nr-1 are 0. */
void op_panel_from_rows(float *dst, size_t nr, const op_file_f32 *src, size_t ld, size_t cols,
                        size_t k, float scale);
/** One panel from columns: src (k,cols), rows ld apart. */
void op_panel_from_cols(float *dst, size_t nr, const op_file_f32 *src, size_t ld, size_t cols,
                        size_t k, float scale);

/** Tell who asks that rows first..first+count-1, as far as there are `rows`, of constant b (rows,k)
 *  are packed. */
void op_rows_packed(const op_instance *inst, const op_file_f32 *b, size_t k, size_t first,
                    size_t count, size_t rows);

/** Panels of n columns. */
static inline size_t op_panels(const krn_gemm *krn, size_t n)
{
    return (n + krn->nr - 1) / krn->nr;
}

/** Row stride of an a block with `part` columns: off the powers of two, so that the rows of a tile
 *  do not fall into one cache set. */
static inline size_t op_lda(size_t part) { return (part + 15) / 16 * 16 + 16; }

static inline size_t op_min(size_t a, size_t b) { return a < b ? a : b; }

/** n cut into `parts` near-equal ranges whose borders are multiples of `unit`. */
typedef struct op_range {
    size_t from, to;
} op_range;
op_range op_cut(size_t n, size_t unit, size_t parts, size_t i);
#endif
