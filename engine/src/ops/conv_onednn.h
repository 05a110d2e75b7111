#ifndef OP_CONV_ONEDNN_H
#define OP_CONV_ONEDNN_H
#include "ops/patch.h"
#include <stdbool.h>

/** Conv by oneDNN, to hold our own against: only in builds with PRELU_WITH_ONEDNN, and only where
 *  PRELU_CONV=onednn asks for it. Plain fp32 convolutions with constant filters. One task runs the
 *  whole batch on oneDNN's own threads (OMP_NUM_THREADS), so bits may depend on the batch. */
#ifdef PRELU_WITH_ONEDNN
/** Bytes of packed filters, 0 = not by oneDNN. @param w  (o,c,kh,kw). */
size_t op_onednn_packed(const op_instance *inst, const prelu_shape *w);
prelu_status op_onednn_pack(const op_instance *inst, const prelu_shape *w, const op_file_f32 *from,
                            void *to, prelu_err *err);
/** Phase 0 is the sum and the bias, phase 1 the rest of the epilogue. E_UNSUPPORTED. */
prelu_status op_onednn_work(const op_instance *inst, const op_patch *g, op_work *work,
                            prelu_err *err);
void op_onednn_task(const op_exec *x, const op_patch *g, const void *filters,
                    const krn_epilogue *ep, int phase, size_t task);
#else
static inline size_t op_onednn_packed(const op_instance *inst, const prelu_shape *w)
{
    (void)inst, (void)w;
    return 0;
}
static inline prelu_status op_onednn_pack(const op_instance *inst, const prelu_shape *w,
                                          const op_file_f32 *from, void *to, prelu_err *err)
{
    (void)inst, (void)w, (void)from, (void)to, (void)err;
    return PRELU_E_INTERNAL;
}
static inline prelu_status op_onednn_work(const op_instance *inst, const op_patch *g, op_work *work,
                                          prelu_err *err)
{
    (void)inst, (void)g, (void)work, (void)err;
    return PRELU_E_INTERNAL;
}
static inline void op_onednn_task(const op_exec *x, const op_patch *g, const void *filters,
                                  const krn_epilogue *ep, int phase, size_t task)
{
    (void)x, (void)g, (void)filters, (void)ep, (void)phase, (void)task;
}
#endif
#endif
