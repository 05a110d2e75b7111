#include "ops/util.h"
#include <string.h>

/* Inverted dropout: y = x / (1 - ratio) where kept, else 0. Whether element i is kept is a function
 * of the run's seed, the node's attribute `id` and i, so nothing is stored: the gradient is the
 * same op on dy. */

#define GOLDEN 0x9e3779b97f4a7c15u

/* The finaliser of splitmix64. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static prelu_status dropout_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                  prelu_err *err)
{
    const float ratio = prelu_node_float(n, "ratio", 0.5f);
    if (!(ratio >= 0.0f && ratio < 1.0f))
        return prelu_fail(err, PRELU_E_FORMAT, "ratio %g is not in [0, 1)", (double)ratio);
    return op_shape_like_first(n, in, out, err);
}

/* v or +0 without a branch, which would be mispredicted half of the time. */
static float kept(float v, bool keep)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits &= 0u - (uint32_t)keep;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* One hash serves two elements: its halves are compared with the ratio times 2^32. */
static void dropout_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_piece s = op_piece_of(x, task);
    const float ratio = prelu_node_float(x->op->node, "ratio", 0.5f);
    const float scale = 1.0f / (1.0f - ratio);
    const uint64_t dropped = (uint64_t)((double)ratio * 0x1p32);
    const uint64_t id = (uint64_t)prelu_node_int(x->op->node, "id", 0);
    const uint64_t key = mix(mix(x->seed + GOLDEN) ^ (id * GOLDEN + GOLDEN));
    const uint64_t first = (uint64_t)task * (OP_CHUNK / 2);
    (void)phase, (void)scratch;
    for (size_t i = 0; i < s.n; i += 2) {
        const uint64_t bits = mix(key + (first + i / 2) * GOLDEN);
        s.y[i] = kept(s.a[i] * scale, bits >> 32 >= dropped);
        if (i + 1 < s.n)
            s.y[i + 1] = kept(s.a[i + 1] * scale, (bits & UINT32_MAX) >= dropped);
    }
}

static prelu_status dropout_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_node *n = &c->g->nodes[c->node];
    const prelu_attr attrs[2] = {PRELU_FLOAT("ratio", prelu_node_float(n, "ratio", 0.5f)),
                                 PRELU_INT("id", prelu_node_int(n, "id", 0))};
    return op_grad_one(c, 0, "Dropout", "dx", c->dout, 1, attrs, 2, err);
}

const op_def op_dropout = {.name = "Dropout",
                           .min_in = 1,
                           .max_in = 1,
                           .min_out = 1,
                           .max_out = 1,
                           .in_place = true,
                           .shape = dropout_shape,
                           .prepare = op_prepare_elementwise,
                           .run = dropout_run,
                           .grad = dropout_grad};
