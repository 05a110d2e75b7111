#include "ops/round.h"
#include "ops/conv_bf16.h"
#include "ops/util.h"
#include <string.h>

uint64_t op_round_operands(const prelu_graph *g, const prelu_node *n)
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
        if (w >= 0 && !op_conv_bf16_fits(n, &g->values[n->in[w]].shape))
            return 0;
        return g->values[n->in[1]].is_constant ? 0 : 3; /* constants are rounded when packed */
    }
    return 0;
}

static void run(const op_exec *x, int phase, size_t task, void *scratch)
{
    enum { PART = 1024 };
    const op_piece s = op_piece_of(x, task);
    uint16_t low[PART];
    (void)phase, (void)scratch;
    for (size_t at = 0; at < s.n; at += PART) {
        const size_t n = s.n - at < PART ? s.n - at : PART;
        x->op->krn->to_bf16(low, s.a + at, n);
        for (size_t i = 0; i < n; i++) {
            const uint32_t bits = (uint32_t)low[i] << 16;
            memcpy(&s.y[at + i], &bits, sizeof bits);
        }
    }
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
