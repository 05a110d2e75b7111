#include "ops/op.h"
#include "prelu/graph.h"
#include "prelu/mem.h"
#include <stdio.h>

/* Reverse-mode differentiation as a graph pass: nodes are visited backwards from the loss, each
 * op's builder appends the nodes of its gradient, and where a value is used more than once the
 * parts are summed by Add. The result is an ordinary graph. */

typedef struct pass {
    prelu_graph *g;
    prelu_value *grad; /* of the values before the pass, or PRELU_NONE */
    bool *needs;       /* does any of wrt reach this value? */
    int n_values, n_nodes;
} pass;

static void mark_needs(pass *p, const prelu_value *wrt, int n)
{
    for (int i = 0; i < n; i++)
        p->needs[wrt[i]] = true;
    for (int i = 0; i < p->n_nodes; i++) {
        const prelu_node *node = &p->g->nodes[i];
        bool any = false;
        for (int k = 0; k < node->n_in; k++)
            any = any || (node->in[k] != PRELU_NONE && p->needs[node->in[k]]);
        for (int k = 0; k < node->n_out; k++)
            p->needs[node->out[k]] = p->needs[node->out[k]] || any;
    }
}

static prelu_status accumulate(pass *p, prelu_value of, prelu_value part, prelu_err *err)
{
    char name[256];
    if (p->grad[of] == PRELU_NONE) {
        p->grad[of] = part;
        return PRELU_OK;
    }
    snprintf(name, sizeof name, "%.200s.grad_sum%d", p->g->values[of].name, p->g->n_nodes);
    const prelu_value in[2] = {p->grad[of], part};
    return prelu_graph_add(p->g, "Add", name, in, 2, NULL, 0, NULL, &p->grad[of], 1, err);
}

static prelu_status backward_node(pass *p, int index, prelu_err *err)
{
    prelu_value dout[PRELU_MAX_OUTPUTS], din[PRELU_MAX_INPUTS], in[PRELU_MAX_INPUTS];
    bool needs[PRELU_MAX_INPUTS], reached = false, wanted = false;
    const prelu_node *n = &p->g->nodes[index];
    const op_def *def = op_find(n->op);
    const int n_in = n->n_in;
    for (int i = 0; i < n->n_out; i++) {
        dout[i] = p->grad[n->out[i]];
        reached = reached || dout[i] != PRELU_NONE;
    }
    for (int i = 0; i < n_in; i++) {
        in[i] = n->in[i];
        din[i] = PRELU_NONE;
        needs[i] = in[i] != PRELU_NONE && p->needs[in[i]];
        wanted = wanted || needs[i];
    }
    if (!reached || !wanted)
        return PRELU_OK;
    if (!def->grad)
        return prelu_fail(err, PRELU_E_UNSUPPORTED, "op %s of node '%.80s' has no gradient", n->op,
                          n->name);
    op_grad_ctx c = {.g = p->g, .node = index, .dout = dout, .din = din, .needs = needs};
    PRELU_TRY(def->grad(&c, err));
    for (int i = 0; i < n_in; i++)
        if (needs[i] && din[i] != PRELU_NONE)
            PRELU_TRY(accumulate(p, in[i], din[i], err));
    return PRELU_OK;
}

prelu_status prelu_graph_gradient_from(prelu_graph *g, prelu_value y, prelu_value dy,
                                       const prelu_value *wrt, int n, prelu_value *grads,
                                       prelu_err *err)
{
    pass p = {.g = g, .n_values = g->n_values, .n_nodes = g->n_nodes};
    prelu_status st = PRELU_OK;
    for (int i = 0; i < n; i++)
        if (wrt[i] < 0 || wrt[i] >= g->n_values)
            return prelu_fail(err, PRELU_E_ARG, "gradient of value %d of %d", wrt[i], g->n_values);
    p.grad = prelu_alloc((size_t)p.n_values * sizeof *p.grad);
    p.needs = prelu_calloc((size_t)p.n_values, sizeof *p.needs);
    if (!p.grad || !p.needs) {
        st = prelu_fail(err, PRELU_E_NOMEM, "gradient: %d values", p.n_values);
        goto out;
    }
    for (int i = 0; i < p.n_values; i++)
        p.grad[i] = PRELU_NONE;
    p.grad[y] = dy;
    mark_needs(&p, wrt, n);
    for (int i = p.n_nodes - 1; i >= 0 && !st; i--)
        st = backward_node(&p, i, err);
    for (int i = 0; i < n && !st; i++)
        grads[i] = p.grad[wrt[i]];
out:
    prelu_free(p.grad);
    prelu_free(p.needs);
    return st;
}

prelu_status prelu_graph_gradient(prelu_graph *g, prelu_value loss, const prelu_value *wrt, int n,
                                  prelu_value *grads, prelu_err *err)
{
    const prelu_shape scalar = {.rank = 0};
    const float one = 1.0f;
    prelu_value seed;
    if (loss < 0 || loss >= g->n_values)
        return prelu_fail(err, PRELU_E_ARG, "loss is value %d of %d", loss, g->n_values);
    PRELU_TRY(prelu_graph_constant(g, "grad.seed", PRELU_F32, &scalar, &one, true, PRELU_ROLE_NONE,
                                   &seed, err));
    return prelu_graph_gradient_from(g, loss, seed, wrt, n, grads, err);
}
