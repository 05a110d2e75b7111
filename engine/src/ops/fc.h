#ifndef OP_FC_H
#define OP_FC_H
#include "ops/op.h"
#include "prelu/threads.h"

/** Constant weights of a fully connected layer in bf16, or in int8 with a scale for each unit. A
 *  precision gives the same bits at every batch size.
 *
 *  Without tiles for bf16 the arithmetic is f32: few rows widen the weights as they stream in; for
 *  many, a part of a panel is widened once, into scratch, and multiplied by gemm_f32. */
typedef enum op_fc_kind {
    OP_FC_F32,
    OP_FC_TILES,  /* bf16 by gemm_bf16 */
    OP_FC_NARROW, /* bf16 or int8 by f32 arithmetic */
} op_fc_kind;
enum {
    OP_FC_FEW_ROWS = 4, /* up to here a's rows are read in place */
    OP_FC_PART = 128    /* of k, for many rows: a panel's and two tiles' rows stay in L1 */
};

typedef struct op_fc {
    op_fc_kind kind;
    size_t n, k, kp; /* kp: k filled up to the kernel's unit */
    size_t mr, nr, mc, kc;
    size_t bytes; /* of scales and panels */
    const char *name;
    const krn_table *krn;
    const krn_gemm_narrow *narrow;
    const float *scale; /* int8: n values */
    const void *panels;
} op_fc;

/** By inst->precision; kind OP_FC_F32 = not here. */
op_fc op_fc_choose(const op_instance *inst, size_t n, size_t k);
/** Fill `at` (f->bytes, 64-byte aligned) from b: (n,k) rows if `rows`, else (k,n); times alpha. */
void op_fc_pack(const op_instance *inst, op_fc *f, void *at, const op_file_f32 *b, bool rows,
                float alpha, prelu_pool *pool);
/** Floats that blocks of at most m rows and n units need. */
size_t op_fc_scratch(const op_fc *f, size_t m, size_t n);
/** Rows row..row+m-1, units col..col+n-1 of y (already there), ldy floats apart. a: (.., k) f32
 *  rows; or, with `turned` = its row count, (k, turned).
 *  @param scratch  op_fc_scratch floats. */
void op_fc_block(const op_fc *f, const float *a, size_t k, size_t turned, size_t row, size_t m,
                 size_t col, size_t n, float *y, size_t ldy, const krn_epilogue *ep, void *scratch);
#endif
