#ifndef OP_CONV_WINOGRAD_GRAD_H
#define OP_CONV_WINOGRAD_GRAD_H
#include "ops/patch.h"
#include "ops/product.h"

/** Gradient of a convolution 3x3 or 2x2, stride 1, with respect to its filters
 * (kernels/winograd_grad.h), in rounds of three phases over some of the batch's tiles:
 *
 *      phase 0   a few tiles:          windows of x  -> v[panel][xi][tile][nr]     krn->input
 *                                      tiles of dy   -> y[panel][xi][tile][nr]     grad->spread
 *      phase 1   an xi, some outputs:  m[xi][o][c] += y[xi]' v[xi]                 gemm_f32
 *      phase 2   after the last round: m[.][o][.]    -> dw[o][.][.][c]             grad->gather
 *
 *  v is a product's b in panels as it stands. A sum is one chain over all tiles, whoever computes
 *  it.
 *
 *  Where filters are few, the sums of a thread stay in its own L2, and so may v and y: the tiles
 * are cut into a fixed number of shares, each a task that does all this on blocks of its tiles,
 * with sums of its own that phase 1 adds in order. */
typedef struct op_winograd_grad {
    op_patch g;
    const krn_gemm *gemm;
    const krn_winograd *krn;
    const krn_winograd_grad *grad;
    size_t tw, tiles, all;     /* tiles in a row, of an image, of the batch */
    size_t rounds, most_round; /* most tiles of a round */
    size_t panels, out_panels; /* of the input channels, of the outputs */
    size_t out_blocks;         /* tasks along the outputs */
    size_t step, m_step;       /* floats from one xi of v and y, of m, to the next */
    size_t shares;             /* 0: rounds */
} op_winograd_grad;

/** Can it, and does it pay? @param n the node, w its filters. */
bool op_winograd_grad_fits(const op_patch *g, const prelu_node *n, const prelu_shape *w,
                           const krn_table *krn);
op_winograd_grad op_winograd_grad_cut(const op_patch *g, const krn_table *krn);
/** Fill all of work. E_LIMIT. */
prelu_status op_winograd_grad_work(const op_winograd_grad *p, op_work *work, prelu_err *err);
/** @param phase counted on over the rounds. */
void op_winograd_grad_task(const op_winograd_grad *p, const float *x, const float *dy, float *dw,
                           float *shared, int phase, size_t task, float *scratch);
#endif
