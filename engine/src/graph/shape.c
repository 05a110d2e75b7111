#include "ops/op.h"
#include "prelu/graph.h"
#include <string.h>

/* Fill the free dims of an input: n of every input, h and w of the first, a picture. */
static prelu_status input_shape(const prelu_value_info *v, bool first, int64_t n, int64_t h,
                                int64_t w, prelu_shape *out, prelu_err *err)
{
    const int64_t size[4] = {n, -1, h, w};
    *out = v->shape;
    for (int i = 0; i < out->rank; i++) {
        const bool ours = i == 0 || (first && out->rank == 4 && i >= 2);
        if (!ours || size[i] <= 0)
            continue;
        if (out->dim[i] >= 0 && out->dim[i] != size[i] && v->role == PRELU_ROLE_NONE) {
            if (!first)
                continue; /* only free dims of later inputs follow n */
            return prelu_fail(err, PRELU_E_ARG, "input '%.64s': dimension %d is %lld, not %lld",
                              v->name, i, (long long)out->dim[i], (long long)size[i]);
        }
        if (out->dim[i] < 0)
            out->dim[i] = size[i];
    }
    return PRELU_OK;
}

static prelu_status node_shape(const prelu_graph *g, const prelu_node *n, prelu_shape *shapes,
                               prelu_err *err)
{
    prelu_shape in[PRELU_MAX_INPUTS], out[PRELU_MAX_OUTPUTS];
    prelu_err inner = {0};
    prelu_status st;
    size_t count;
    (void)g;
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i] == PRELU_NONE)
            in[i] = (prelu_shape){.rank = -1};
        else
            in[i] = shapes[n->in[i]];
    }
    for (int i = 0; i < n->n_out; i++)
        out[i] = (prelu_shape){.rank = -1};
    st = op_find(n->op)->shape(n, in, out, &inner);
    for (int i = 0; i < n->n_out && !st; i++)
        st = prelu_shape_count(&out[i], &count, &inner);
    if (st)
        return prelu_fail(err, st, "%s node '%.80s': %s", n->op, n->name, inner.text);
    for (int i = 0; i < n->n_out; i++)
        shapes[n->out[i]] = out[i];
    return PRELU_OK;
}

prelu_status prelu_graph_infer(const prelu_graph *g, int64_t n, int64_t h, int64_t w,
                               prelu_shape *shapes, prelu_err *err)
{
    bool first = true;
    for (int i = 0; i < g->n_values; i++) {
        const prelu_value_info *v = &g->values[i];
        shapes[i] = v->shape;
        if (v->is_input && v->role == PRELU_ROLE_NONE) {
            PRELU_TRY(input_shape(v, first, n, h, w, &shapes[i], err));
            first = false;
        }
    }
    for (int i = 0; i < g->n_nodes; i++)
        PRELU_TRY(node_shape(g, &g->nodes[i], shapes, err));
    return PRELU_OK;
}

/* Outputs times the length of one sum. A product's second operand tells that length. */
double prelu_node_macs(const prelu_graph *g, int node, const prelu_shape *shapes)
{
    const prelu_node *n = &g->nodes[node];
    double outputs = 1, sum = 1;
    const bool conv = strcmp(n->op, "Conv") == 0;
    if (!conv && strcmp(n->op, "Gemm") != 0 && strcmp(n->op, "MatMul") != 0)
        return 0;
    const prelu_shape *y = &shapes[n->out[0]], *w = &shapes[n->in[1]];
    for (int i = 0; i < y->rank; i++)
        outputs *= (double)y->dim[i];
    if (conv)
        for (int i = 1; i < w->rank; i++)
            sum *= (double)w->dim[i];
    else
        sum = (double)w->dim[prelu_node_int(n, "transB", 0) ? 1 : 0];
    return outputs * sum;
}
