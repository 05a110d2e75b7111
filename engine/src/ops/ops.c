#include "ops/op.h"
#include <stdio.h>
#include <string.h>

static const op_def *const table[] = {
#define OP(symbol) &symbol,
#include "ops/ops.inc"
#undef OP
};

const op_def *op_find(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}

prelu_status op_grad_node(op_grad_ctx *c, const char *op, const char *tag, const prelu_value *in,
                          int n_in, const prelu_attr *attrs, size_t n_attrs, prelu_value *out,
                          int n_out, prelu_err *err)
{
    char name[256];
    snprintf(name, sizeof name, "%.200s.%s", c->g->nodes[c->node].name, tag);
    for (int i = 0; i < n_out; i++)
        out[i] = PRELU_NONE;
    return prelu_graph_add(c->g, op, name, in, n_in, attrs, n_attrs, NULL, out, n_out, err);
}
