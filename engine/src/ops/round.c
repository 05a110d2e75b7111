#include "ops/round.h"
#include "ops/conv_bf16.h"
#include "ops/util.h"
#include <string.h>

bool op_rounds_itself(const prelu_node *n, const prelu_shape *w, const krn_table *krn)
{
    const int64_t *strides;
    size_t len;
    if (!krn->gemm_bf16->tiles)
        return false;
    if (strcmp(n->op, "Gemm") == 0 || strcmp(n->op, "MatMul") == 0)
        return prelu_node_float(n, "alpha", 1.0f) == 1.0f;
    if (!op_conv_bf16_fits(n, w))
        return false;
    if (strcmp(n->op, "Conv") == 0)
        return true;
    return op_ints(n, "strides", 2, 1, INT32_MAX, &strides, &len, NULL) == PRELU_OK &&
           (!len || (strides[0] == 1 && strides[1] == 1));
}

uint64_t op_round_operands(const prelu_graph *g, const prelu_node *n, const krn_table *krn)
{
    /* which input says the shape of the filters; -1: no convolution */
    static const struct {
        const char *op;
        int filters;
    } products[] = {{"Conv", 1}, {"ConvGradX", 1}, {"ConvGradW", 2}, {"Gemm", -1}, {"MatMul", -1}};
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        const int w = products[i].filters;
        if (strcmp(n->op, products[i].op) != 0)
            continue;
        const prelu_shape *filters = &g->values[n->in[w < 0 ? 1 : w]].shape;
        if ((w >= 0 && !op_conv_bf16_fits(n, filters)) || op_rounds_itself(n, filters, krn))
            return 0;
        return g->values[n->in[1]].is_constant ? 0 : 3; /* constants are rounded when packed */
    }
    return 0;
}

static void run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_piece s = op_piece_of(x, task);
    (void)phase, (void)scratch;
    x->op->krn->round_bf16(s.y, s.a, s.n);
}

const op_def op_round_bf16 = {.name = "RoundBf16",
                              .min_in = 1,
                              .max_in = 1,
                              .min_out = 1,
                              .max_out = 1,
                              .in_place = true,
                              .shape = op_shape_like_first,
                              .prepare = op_prepare_elementwise,
                              .run = run};
