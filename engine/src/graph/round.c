#include "graph/passes.h"
#include "ops/round.h"
#include "prelu/mem.h"
#include <stdio.h>
#include <string.h>

typedef struct rounding {
    prelu_graph *g;
    prelu_value *of; /* by value: its rounded one, or PRELU_NONE */
    int *reader;     /* of each added node: before which node of the old list it belongs */
    int added;
} rounding;

static prelu_status round_value(rounding *r, prelu_value v, int reader, prelu_err *err)
{
    char name[256];
    if (r->of[v] != PRELU_NONE)
        return PRELU_OK;
    snprintf(name, sizeof name, "%.200s.bf16", r->g->values[v].name);
    PRELU_TRY(prelu_graph_add(r->g, "RoundBf16", name, &v, 1, NULL, 0, NULL, &r->of[v], 1, err));
    r->reader[r->added++] = reader;
    return PRELU_OK;
}

/* The added nodes stand behind the n old ones, in the order of their readers. */
static prelu_status put_in_order(const rounding *r, int n, prelu_err *err)
{
    prelu_graph *g = r->g;
    const size_t len = (size_t)g->n_nodes * sizeof *g->nodes;
    prelu_node *old = prelu_alloc(len + 1);
    if (!old)
        return prelu_fail(err, PRELU_E_NOMEM, "rounding: %zu bytes", len);
    memcpy(old, g->nodes, len);
    for (int i = 0, to = 0, next = 0; i < n; i++) {
        while (next < r->added && r->reader[next] == i)
            g->nodes[to++] = old[n + next++];
        g->nodes[to++] = old[i];
    }
    prelu_free(old);
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_out; k++)
            g->values[g->nodes[i].out[k]].producer = i;
    return PRELU_OK;
}

prelu_status gr_round_operands(prelu_graph *g, const krn_table *krn, prelu_err *err)
{
    const int nodes = g->n_nodes, values = g->n_values;
    rounding r = {.g = g,
                  .of = prelu_alloc(((size_t)values + 1) * sizeof *r.of),
                  .reader = prelu_alloc(((size_t)values + 1) * sizeof *r.reader)};
    prelu_status st = PRELU_OK;
    if (!r.of || !r.reader)
        st = prelu_fail(err, PRELU_E_NOMEM, "rounding: %d values", values);
    for (int v = 0; v < values && !st; v++)
        r.of[v] = PRELU_NONE;
    for (int i = 0; i < nodes && !st; i++) {
        const uint64_t which = op_round_operands(g, &g->nodes[i], krn);
        for (int k = 0; k < g->nodes[i].n_in && !st; k++) {
            if (!(which >> k & 1))
                continue;
            const prelu_value v = g->nodes[i].in[k];
            st = round_value(&r, v, i, err);
            g->nodes[i].in[k] = r.of[v];
        }
    }
    if (!st)
        st = put_in_order(&r, nodes, err);
    prelu_free(r.of);
    prelu_free(r.reader);
    return st;
}
