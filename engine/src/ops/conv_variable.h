#ifndef OP_CONV_VARIABLE_H
#define OP_CONV_VARIABLE_H
#include "ops/conv.h"
#include "ops/conv_bf16_train.h"
#include "ops/conv_winograd.h"

/** Convolution by filters that change from run to run (training): the first phase packs them, the
 *  others are Conv's own product, or Winograd's with the filters transformed on the fly, or that of
 *  rounded operands. */
typedef struct op_conv_variable {
    op_conv_plan p;
    op_winograd w;
    op_conv_bf16 low;
    size_t low_panels, low_panel; /* elements of one */
    const krn_table *krn;
    bool winograd, bf16; /* else Conv's own */
} op_conv_variable;

/** @param g what is computed: of Conv, or the transposed of its gradient.
 *  @param w shape of the node's filters. */
op_conv_variable op_conv_variable_cut(const op_instance *inst, const op_patch *g,
                                      const prelu_shape *w);
prelu_status op_conv_variable_work(const op_conv_variable *v, op_work *work, prelu_err *err);

/** One panel of the filters w, (taps,c) rows of nr columns from column `first` of a group on. */
typedef void op_conv_pack_fn(float *panel, const op_patch *g, size_t nr, const float *w,
                             size_t group, size_t first);
typedef struct op_conv_variable_run {
    op_conv_pack_fn *pack;
    op_conv_bf16_pack_fn *pack_bf16;
    const op_exec *exec;    /* its first input is convolved, its second are the filters */
    const krn_epilogue *ep; /* as for op_conv_task */
    void *scratch;
} op_conv_variable_run;
void op_conv_variable_task(const op_conv_variable *v, const op_conv_variable_run *r, int phase,
                           size_t task);
#endif
