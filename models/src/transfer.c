#include "transfer.h"
#include "model_private.h"
#include "prelu/mem.h"
#include <string.h>

static bool is_op(const prelu_node *n, const char *op) { return !strcmp(n->op, op); }

static bool is_constant(const prelu_graph *g, prelu_value v)
{
    return v != PRELU_NONE && g->values[v].is_constant;
}

/* The same constant with `to` where its shape says `from`, of zeros. A shape that says it never is
 * a scalar for all classes and stays. */
static prelu_status widen(prelu_graph *g, prelu_value v, int from, int to, prelu_err *err)
{
    prelu_shape s = g->values[v].shape;
    int places = 0;
    for (int i = 0; i < s.rank; i++)
        if (s.dim[i] == from && !places++)
            s.dim[i] = to;
    return places ? prelu_graph_set_zero(g, v, &s, err) : PRELU_OK;
}

/* Weights of the layer `n`: the axis of its units. */
static prelu_status widen_weights(prelu_graph *g, const prelu_node *n, int from, int to,
                                  prelu_err *err)
{
    prelu_shape s = g->values[n->in[1]].shape;
    int axis = is_op(n, "Conv") || (is_op(n, "Gemm") && prelu_node_int(n, "transB", 0)) ? 0 : 1;
    if (s.rank < 2 || s.dim[axis] != from)
        return prelu_fail(err, PRELU_E_UNSUPPORTED, "new head: node '%.80s' has no %d units",
                          n->name, from);
    s.dim[axis] = to;
    return prelu_graph_set_zero(g, n->in[1], &s, err);
}

/* What may stand between the last layer and the scores; operand `path` leads on to the layer. */
static bool leads_on(const prelu_graph *g, const prelu_node *n, int *path)
{
    static const char *const single[] = {"Flatten",  "Reshape", "Squeeze",    "GlobalAveragePool",
                                         "Identity", "Dropout", "ReduceMean", "Relu"};
    *path = 0;
    if (is_op(n, "Add") && n->n_in == 2) {
        *path = is_constant(g, n->in[0]);
        return is_constant(g, n->in[1 - *path]);
    }
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        if (is_op(n, single[i]))
            return true;
    return false;
}

static prelu_status widen_head(prelu_model *m, int classes, prelu_err *err)
{
    prelu_graph *g = m->graph;
    int producer = m->logits == PRELU_NONE ? PRELU_NONE : g->values[m->logits].producer;
    while (producer != PRELU_NONE) {
        const prelu_node *n = &g->nodes[producer];
        int path;
        if ((is_op(n, "Gemm") || is_op(n, "MatMul") || is_op(n, "Conv")) &&
            is_constant(g, n->in[1])) {
            PRELU_TRY(widen_weights(g, n, m->classes, classes, err));
            if (n->n_in > 2 && is_constant(g, n->in[2]))
                return widen(g, n->in[2], m->classes, classes, err);
            return PRELU_OK;
        }
        if (!leads_on(g, n, &path))
            return prelu_fail(err, PRELU_E_UNSUPPORTED,
                              "new head: the scores come from %s '%.80s', not from a layer with "
                              "weights",
                              n->op, n->name);
        if (is_op(n, "Add"))
            PRELU_TRY(widen(g, n->in[1 - path], m->classes, classes, err));
        producer = n->in[path] == PRELU_NONE ? PRELU_NONE : g->values[n->in[path]].producer;
    }
    return prelu_fail(err, PRELU_E_UNSUPPORTED, "new head: the model has no layer with weights");
}

prelu_status mdl_new_head(prelu_model *m, int classes, prelu_err *err)
{
    const int old = m->classes;
    PRELU_TRY(widen_head(m, classes, err));
    mdl_labels_free(m->labels, old);
    m->labels = NULL;
    m->classes = 0;
    PRELU_TRY(mdl_find_scores(m, err));
    if (m->classes != classes)
        return prelu_fail(err, PRELU_E_FORMAT, "new head: the graph still gives %d scores, not %d",
                          m->classes, classes);
    prelu_free(m->training);
    prelu_free(m->check);
    m->training = m->check = NULL;
    return mdl_labels_empty(&m->labels, classes, err);
}

static bool belongs(const char *node, const char *layer)
{
    size_t len = strlen(layer);
    return !strncmp(node, layer, len) && (!node[len] || node[len] == '.');
}

prelu_status mdl_freeze(prelu_model *m, const char *layer, prelu_err *err)
{
    prelu_graph *g = m->graph;
    bool found = false, *fixed = prelu_calloc((size_t)g->n_nodes + 1, sizeof *fixed);
    if (!fixed)
        return prelu_fail(err, PRELU_E_NOMEM, "freeze: %d nodes", g->n_nodes);
    /* nodes stand in topological order: one walk from the end finds all that feeds the layer */
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        const prelu_node *n = &g->nodes[i];
        if (belongs(n->name, layer))
            found = fixed[i] = true;
        for (int k = 0; fixed[i] && k < n->n_in; k++) {
            if (is_constant(g, n->in[k]))
                prelu_graph_set_role(g, n->in[k], PRELU_ROLE_NONE);
            else if (n->in[k] != PRELU_NONE && g->values[n->in[k]].producer != PRELU_NONE)
                fixed[g->values[n->in[k]].producer] = true;
        }
    }
    prelu_free(fixed);
    if (!found)
        return prelu_fail(err, PRELU_E_ARG,
                          "no layer '%.80s' in the model; prelu-train describe lists them", layer);
    return PRELU_OK;
}
