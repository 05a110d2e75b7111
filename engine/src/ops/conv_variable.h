#ifndef OP_CONV_VARIABLE_H
#define OP_CONV_VARIABLE_H
#include "ops/conv.h"
#include "ops/conv_winograd.h"

/** Convolution by filters that change from run to run (training): the first phase packs them, the
 *  others are Conv's own product, or Winograd's with the filters transformed on the fly. */
typedef struct op_conv_variable {
    op_conv_plan p;
    op_winograd w;
    const krn_gemm *gemm;
    bool winograd;
} op_conv_variable;

/** @param g what is computed: of Conv, or the transposed of its gradient.
 *  @param w shape of the node's filters. */
op_conv_variable op_conv_variable_cut(const op_patch *g, const prelu_node *n, const prelu_shape *w,
                                      const krn_table *krn);
prelu_status op_conv_variable_work(const op_conv_variable *v, op_work *work, prelu_err *err);

/** One panel of the filters w, (taps,c) rows of nr columns from column `first` of a group on. */
typedef void op_conv_pack_fn(float *panel, const op_patch *g, size_t nr, const float *w,
                             size_t group, size_t first);
typedef struct op_conv_variable_run {
    op_conv_pack_fn *pack;
    const float *x, *filters;
    float *y;
    const krn_epilogue *ep; /* as for op_conv_task */
    void *shared, *scratch;
} op_conv_variable_run;
void op_conv_variable_task(const op_conv_variable *v, const op_conv_variable_run *r, int phase,
                           size_t task);
#endif
