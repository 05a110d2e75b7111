#include "prelu/graph.h"
#include "ops/op.h"
#include "prelu/mem.h"
#include <stdio.h>
#include <string.h>

enum { MAX_VALUES = 1 << 20, MAX_NAME = 4096 };

prelu_status prelu_graph_create(prelu_graph **out, prelu_err *err)
{
    prelu_graph *g = prelu_calloc(1, sizeof *g);
    if (!g)
        return prelu_fail(err, PRELU_E_NOMEM, "graph: %zu bytes", sizeof *g);
    *out = g;
    return PRELU_OK;
}

static void free_node(prelu_node *n)
{
    for (size_t i = 0; i < n->n_attrs; i++) {
        prelu_free((void *)n->attrs[i].name);
        prelu_free((void *)n->attrs[i].s);
        prelu_free((void *)n->attrs[i].ints);
        prelu_free((void *)n->attrs[i].floats);
    }
    prelu_free(n->attrs);
    prelu_free(n->name);
    prelu_free(n->in);
    prelu_free(n->out);
    memset(n, 0, sizeof *n);
}

static void free_value(prelu_value_info *v)
{
    prelu_free(v->name);
    if (v->owns_data)
        prelu_free((void *)v->data);
    memset(v, 0, sizeof *v);
}

void prelu_graph_destroy(prelu_graph **graph)
{
    prelu_graph *g = *graph;
    if (!g)
        return;
    for (int i = 0; i < g->n_nodes; i++)
        free_node(&g->nodes[i]);
    for (int i = 0; i < g->n_values; i++)
        free_value(&g->values[i]);
    prelu_free(g->nodes);
    prelu_free(g->values);
    prelu_free(g->outputs);
    prelu_free(g);
    *graph = NULL;
}

/* Room for `more` elements behind the first n; doubles. */
static prelu_status reserve(void **array, int *cap, int n, int more, size_t size, prelu_err *err)
{
    int want = *cap ? *cap : 16;
    void *grown;
    if (n > MAX_VALUES - more)
        return prelu_fail(err, PRELU_E_LIMIT, "graph: more than %d elements", MAX_VALUES);
    while (want < n + more)
        want *= 2;
    if (want == *cap)
        return PRELU_OK;
    grown = prelu_realloc(*array, (size_t)want * size);
    if (!grown)
        return prelu_fail(err, PRELU_E_NOMEM, "graph: %d elements", want);
    *array = grown;
    *cap = want;
    return PRELU_OK;
}

static prelu_status add_value(prelu_graph *g, const char *name, prelu_value *out, prelu_err *err)
{
    prelu_value_info *v;
    if (strlen(name) > MAX_NAME)
        return prelu_fail(err, PRELU_E_LIMIT, "name of %zu bytes; limit %d", strlen(name),
                          MAX_NAME);
    PRELU_TRY(reserve((void **)&g->values, &g->cap_values, g->n_values, 1, sizeof *g->values, err));
    v = &g->values[g->n_values];
    *v = (prelu_value_info){.shape.rank = -1, .producer = PRELU_NONE};
    v->name = prelu_strdup(name);
    if (!v->name)
        return prelu_fail(err, PRELU_E_NOMEM, "graph: value name");
    *out = g->n_values++;
    return PRELU_OK;
}

static prelu_status check_shape(const prelu_shape *s, const char *name, bool may_be_free,
                                prelu_err *err)
{
    if (s->rank < 0 || s->rank > PRELU_MAX_RANK)
        return prelu_fail(err, PRELU_E_LIMIT, "'%.64s': rank %d; 0..%d", name, s->rank,
                          PRELU_MAX_RANK);
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] < (may_be_free ? -1 : 0))
            return prelu_fail(err, PRELU_E_FORMAT, "'%.64s': dimension %d is %lld", name, i,
                              (long long)s->dim[i]);
    return PRELU_OK;
}

prelu_status prelu_graph_input(prelu_graph *g, const char *name, prelu_dtype dtype,
                               const prelu_shape *shape, prelu_value *out, prelu_err *err)
{
    const prelu_shape own = *shape;
    PRELU_TRY(check_shape(&own, name, true, err));
    PRELU_TRY(add_value(g, name, out, err));
    g->values[*out].dtype = dtype;
    g->values[*out].shape = own;
    g->values[*out].is_input = true;
    return PRELU_OK;
}

prelu_status prelu_graph_constant(prelu_graph *g, const char *name, prelu_dtype dtype,
                                  const prelu_shape *shape, const void *data, bool copy,
                                  prelu_role role, prelu_value *out, prelu_err *err)
{
    const prelu_shape own = *shape; /* it may lie in g->values, which may move */
    size_t count, len;
    void *mine = NULL;
    PRELU_TRY(check_shape(&own, name, false, err));
    PRELU_TRY(prelu_shape_count(&own, &count, err));
    PRELU_TRY(prelu_mul(count, prelu_dtype_size(dtype), &len, err));
    if (copy) {
        mine = prelu_alloc(len);
        if (!mine)
            return prelu_fail(err, PRELU_E_NOMEM, "constant '%.64s': %zu bytes", name, len);
        if (len)
            memcpy(mine, data, len);
    }
    prelu_status st = add_value(g, name, out, err);
    if (st) {
        prelu_free(mine);
        return st;
    }
    prelu_value_info *v = &g->values[*out];
    v->dtype = dtype;
    v->shape = own;
    v->is_constant = true;
    v->data = copy ? mine : data;
    v->owns_data = copy;
    v->role = role;
    return PRELU_OK;
}

static prelu_status copy_bytes(const void **dst, const void *src, size_t len, prelu_err *err)
{
    void *p = prelu_alloc(len);
    if (!p)
        return prelu_fail(err, PRELU_E_NOMEM, "attribute: %zu bytes", len);
    if (len)
        memcpy(p, src, len);
    *dst = p;
    return PRELU_OK;
}

static prelu_status copy_attr(prelu_attr *dst, const prelu_attr *src, prelu_err *err)
{
    *dst = (prelu_attr){.kind = src->kind, .i = src->i, .f = src->f, .len = src->len};
    if (src->len > 64)
        return prelu_fail(err, PRELU_E_LIMIT, "attribute '%.64s' has %zu elements; limit 64",
                          src->name, src->len);
    PRELU_TRY(copy_bytes((const void **)&dst->name, src->name, strlen(src->name) + 1, err));
    if (src->s)
        PRELU_TRY(copy_bytes((const void **)&dst->s, src->s, strlen(src->s) + 1, err));
    if (src->ints)
        PRELU_TRY(copy_bytes((const void **)&dst->ints, src->ints, src->len * 8, err));
    if (src->floats)
        PRELU_TRY(copy_bytes((const void **)&dst->floats, src->floats, src->len * 4, err));
    return PRELU_OK;
}

static prelu_status check_node(const prelu_graph *g, const op_def *def, const char *op,
                               const char *name, const prelu_value *in, int n_in, int n_out,
                               prelu_err *err)
{
    if (!def)
        return prelu_fail(err, PRELU_E_UNSUPPORTED, "unknown op '%.64s' in node '%.64s'", op, name);
    if (n_in < def->min_in || n_in > def->max_in || n_in > PRELU_MAX_INPUTS)
        return prelu_fail(err, PRELU_E_FORMAT, "%s node '%.64s' has %d inputs; %d..%d", op, name,
                          n_in, def->min_in, def->max_in);
    if (n_out < def->min_out || n_out > def->max_out || n_out > PRELU_MAX_OUTPUTS)
        return prelu_fail(err, PRELU_E_FORMAT, "%s node '%.64s' has %d outputs; %d..%d", op, name,
                          n_out, def->min_out, def->max_out);
    for (int i = 0; i < n_in; i++)
        if (in[i] >= g->n_values || in[i] < PRELU_NONE || (in[i] == PRELU_NONE && i < def->min_in))
            return prelu_fail(err, PRELU_E_ARG, "%s node '%.64s': input %d is missing", op, name,
                              i);
    return PRELU_OK;
}

static prelu_status fill_node(prelu_node *n, const op_def *def, const char *name,
                              const prelu_value *in, int n_in, const prelu_attr *attrs,
                              size_t n_attrs, int n_out, prelu_err *err)
{
    *n = (prelu_node){.op = def->name, .n_in = n_in, .n_out = n_out};
    n->name = prelu_strdup(name);
    n->in = prelu_alloc((size_t)n_in * sizeof *in + 1);
    n->out = prelu_alloc((size_t)n_out * sizeof *n->out + 1);
    n->attrs = prelu_calloc(n_attrs + 1, sizeof *n->attrs);
    if (!n->name || !n->in || !n->out || !n->attrs)
        return prelu_fail(err, PRELU_E_NOMEM, "graph: node '%.64s'", name);
    if (n_in)
        memcpy(n->in, in, (size_t)n_in * sizeof *in);
    for (size_t i = 0; i < n_attrs; i++) {
        n->n_attrs = i + 1;
        PRELU_TRY(copy_attr(&n->attrs[i], &attrs[i], err));
    }
    return PRELU_OK;
}

prelu_status prelu_graph_add(prelu_graph *g, const char *op, const char *name,
                             const prelu_value *in, int n_in, const prelu_attr *attrs,
                             size_t n_attrs, const char *const *out_names, prelu_value *out,
                             int n_out, prelu_err *err)
{
    const op_def *def = op_find(op);
    const int first = g->n_values;
    prelu_node node = {0};
    prelu_status st;
    PRELU_TRY(check_node(g, def, op, name, in, n_in, n_out, err));
    PRELU_TRY(reserve((void **)&g->nodes, &g->cap_nodes, g->n_nodes, 1, sizeof *g->nodes, err));
    st = fill_node(&node, def, name, in, n_in, attrs, n_attrs, n_out, err);
    for (int i = 0; i < n_out && !st; i++) {
        char other[MAX_NAME + 16];
        const char *text = out_names ? out_names[i] : NULL;
        if (!text) {
            snprintf(other, sizeof other, i ? "%.*s:%d" : "%.*s", MAX_NAME - 8, name, i);
            text = other;
        }
        st = add_value(g, text, &node.out[i], err);
        if (!st)
            g->values[node.out[i]].producer = g->n_nodes;
    }
    if (st) {
        free_node(&node);
        while (g->n_values > first)
            free_value(&g->values[--g->n_values]);
        return st;
    }
    for (int i = 0; i < n_out; i++)
        out[i] = node.out[i];
    g->nodes[g->n_nodes++] = node;
    return PRELU_OK;
}

prelu_status prelu_graph_output(prelu_graph *g, prelu_value v, prelu_err *err)
{
    if (v < 0 || v >= g->n_values)
        return prelu_fail(err, PRELU_E_ARG, "graph output %d of %d values", v, g->n_values);
    PRELU_TRY(
        reserve((void **)&g->outputs, &g->cap_outputs, g->n_outputs, 1, sizeof *g->outputs, err));
    g->outputs[g->n_outputs++] = v;
    return PRELU_OK;
}

prelu_status prelu_graph_rename(prelu_graph *g, prelu_value v, const char *name, prelu_err *err)
{
    char *copy = prelu_strdup(name);
    if (!copy)
        return prelu_fail(err, PRELU_E_NOMEM, "graph: name");
    prelu_free(g->values[v].name);
    g->values[v].name = copy;
    return PRELU_OK;
}

prelu_status prelu_graph_set_zero(prelu_graph *g, prelu_value v, const prelu_shape *shape,
                                  prelu_err *err)
{
    prelu_value_info *info = &g->values[v];
    size_t count, len;
    void *zeros;
    PRELU_TRY(check_shape(shape, info->name, false, err));
    PRELU_TRY(prelu_shape_count(shape, &count, err));
    PRELU_TRY(prelu_mul(count, prelu_dtype_size(info->dtype), &len, err));
    zeros = prelu_calloc(len ? len : 1, 1);
    if (!zeros)
        return prelu_fail(err, PRELU_E_NOMEM, "constant '%.64s': %zu bytes", info->name, len);
    if (info->owns_data)
        prelu_free((void *)info->data);
    info->data = zeros;
    info->owns_data = true;
    info->shape = *shape;
    return PRELU_OK;
}

void prelu_graph_set_role(prelu_graph *g, prelu_value v, prelu_role role)
{
    g->values[v].role = role;
}

prelu_value prelu_graph_find(const prelu_graph *g, const char *name)
{
    for (int i = 0; i < g->n_values; i++)
        if (strcmp(g->values[i].name, name) == 0)
            return i;
    return PRELU_NONE;
}

prelu_status prelu_graph_make_variable(prelu_graph *g, prelu_value v, prelu_err *err)
{
    if (v < 0 || v >= g->n_values || !g->values[v].is_constant)
        return prelu_fail(err, PRELU_E_ARG, "value %d is not a constant", v);
    prelu_value_info *info = &g->values[v];
    if (info->owns_data)
        prelu_free((void *)info->data);
    info->data = NULL;
    info->owns_data = false;
    info->is_constant = false;
    info->is_input = true;
    return PRELU_OK;
}

static prelu_status clone_value(prelu_graph *g, const prelu_value_info *src, prelu_err *err)
{
    prelu_value v;
    PRELU_TRY(add_value(g, src->name, &v, err));
    char *name = g->values[v].name;
    g->values[v] = *src;
    g->values[v].name = name;
    g->values[v].owns_data = false;
    return PRELU_OK;
}

static prelu_status clone_into(prelu_graph *g, const prelu_graph *src, prelu_err *err)
{
    for (int i = 0; i < src->n_values; i++)
        PRELU_TRY(clone_value(g, &src->values[i], err));
    for (int i = 0; i < src->n_nodes; i++) {
        const prelu_node *n = &src->nodes[i];
        PRELU_TRY(reserve((void **)&g->nodes, &g->cap_nodes, g->n_nodes, 1, sizeof *g->nodes, err));
        prelu_node *copy = &g->nodes[g->n_nodes];
        memset(copy, 0, sizeof *copy);
        g->n_nodes++; /* counted before filled, so that destroy frees a half-made one */
        PRELU_TRY(fill_node(copy, op_find(n->op), n->name, n->in, n->n_in, n->attrs, n->n_attrs,
                            n->n_out, err));
        memcpy(copy->out, n->out, (size_t)n->n_out * sizeof *n->out);
    }
    for (int i = 0; i < src->n_outputs; i++)
        PRELU_TRY(prelu_graph_output(g, src->outputs[i], err));
    return PRELU_OK;
}

prelu_status prelu_graph_clone(prelu_graph **out, const prelu_graph *src, prelu_err *err)
{
    prelu_graph *g = NULL;
    prelu_status st;
    PRELU_TRY(prelu_graph_create(&g, err));
    st = clone_into(g, src, err);
    if (st)
        prelu_graph_destroy(&g);
    else
        *out = g;
    return st;
}

bool prelu_op_known(const char *op) { return op_find(op) != NULL; }

const prelu_attr *prelu_node_attr(const prelu_node *n, const char *name)
{
    for (size_t i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, name) == 0)
            return &n->attrs[i];
    return NULL;
}

int64_t prelu_node_int(const prelu_node *n, const char *name, int64_t otherwise)
{
    const prelu_attr *a = prelu_node_attr(n, name);
    return a && a->kind == PRELU_ATTR_INT ? a->i : otherwise;
}

float prelu_node_float(const prelu_node *n, const char *name, float otherwise)
{
    const prelu_attr *a = prelu_node_attr(n, name);
    return a && a->kind == PRELU_ATTR_FLOAT ? a->f : otherwise;
}
