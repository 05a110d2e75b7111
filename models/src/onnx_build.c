#define _POSIX_C_SOURCE 200809L
#include "onnx_build.h"
#include "prelu/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Shapes are inferred only where a translation cannot do without; each costs one walk of the graph.
 */
#define MAX_INFERS 32

prelu_status onnx_fail(onnx_build *b, prelu_status code, const char *fmt, ...)
{
    char text[192];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return prelu_fail(b->err, code, "node '%.80s' (%.40s): %s",
                      *b->node->name   ? b->node->name
                      : b->node->n_out ? b->node->out[0]
                                       : "",
                      b->node->op, text);
}

static uint64_t hash(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 0x100000001b3u;
    return h ^ h >> 29;
}

/* The table's entry that holds `name`, or the free one where it belongs. */
static uint32_t *entry_of(const onnx_build *b, const char *name)
{
    size_t at = hash(name) & (b->table_len - 1);
    while (b->table[at] && strcmp(b->slots[b->table[at] - 1].name, name) != 0)
        at = (at + 1) & (b->table_len - 1);
    return &b->table[at];
}

static onnx_slot *find(const onnx_build *b, const char *name)
{
    uint32_t e = *entry_of(b, name);
    return e ? &b->slots[e - 1] : NULL;
}

static prelu_status define(onnx_build *b, const char *name, onnx_tensor *t, prelu_value v, int rank)
{
    uint32_t *e = entry_of(b, name);
    if (!*name)
        return prelu_fail(b->err, PRELU_E_FORMAT, "a tensor or input without a name");
    if (*e)
        return prelu_fail(b->err, PRELU_E_FORMAT, "'%.100s' is defined twice", name);
    if (b->n_slots == b->cap_slots) /* room was counted before: initialisers, inputs, outputs */
        return prelu_fail(b->err, PRELU_E_INTERNAL, "%zu names", b->n_slots);
    b->slots[b->n_slots] = (onnx_slot){name, t, v, rank};
    *e = (uint32_t)++b->n_slots;
    return PRELU_OK;
}

onnx_slot *onnx_in(onnx_build *b, int i)
{
    if (i >= b->node->n_in || !*b->node->in[i])
        return NULL;
    return find(b, b->node->in[i]);
}

/* A name that the file does not use: `<node>.<n>`. */
static void make_name(onnx_build *b, char *text, size_t len)
{
    do
        snprintf(text, len, "%.200s.%d", b->node->n_out ? b->node->out[0] : b->node->op, ++b->made);
    while (find(b, text));
}

prelu_status onnx_constant_as(onnx_build *b, onnx_slot *s, const prelu_shape *shape,
                              prelu_role role, prelu_value *out)
{
    const void *data = NULL;
    char name[256];
    if (s->v == PRELU_NONE && prelu_shape_equal(shape, &s->t->shape)) {
        PRELU_TRY(onnx_tensor_floats(s->t, b->pile, &data, b->err));
        PRELU_TRY(prelu_graph_constant(b->g, s->name, PRELU_F32, shape, data, false, role, &s->v,
                                       b->err));
        *out = s->v;
        return PRELU_OK;
    }
    PRELU_TRY(onnx_tensor_floats(s->t, b->pile, &data, b->err));
    make_name(b, name, sizeof name);
    return prelu_graph_constant(b->g, name, PRELU_F32, shape, data, false, role, out, b->err);
}

static prelu_status operand(onnx_build *b, onnx_slot *s, prelu_role role, prelu_value *out)
{
    if (s->v == PRELU_NONE)
        return onnx_constant_as(b, s, &s->t->shape, role, out);
    *out = s->v;
    return PRELU_OK;
}

prelu_status onnx_operand(onnx_build *b, int i, prelu_role role, prelu_value *out)
{
    onnx_slot *s;
    *out = PRELU_NONE;
    if (i >= b->node->n_in || !*b->node->in[i])
        return PRELU_OK;
    s = find(b, b->node->in[i]);
    if (!s)
        return onnx_fail(b, PRELU_E_FORMAT,
                         "input '%.80s' is neither an initialiser nor computed "
                         "before it",
                         b->node->in[i]);
    return operand(b, s, role, out);
}

prelu_status onnx_ints(onnx_build *b, const char *attr, int i, int64_t *v, size_t *n)
{
    const onnx_attr *a = attr ? onnx_node_attr(b->node, attr) : NULL;
    const onnx_slot *s = i < 0 ? NULL : onnx_in(b, i);
    *n = 0;
    if (s && !s->t)
        return onnx_fail(b, PRELU_E_UNSUPPORTED, "input '%.60s' is not constant", s->name);
    if (i >= 0 && !s && i < b->node->n_in && *b->node->in[i])
        return onnx_fail(b, PRELU_E_FORMAT, "input '%.80s' is missing", b->node->in[i]);
    if (a && a->a.kind != PRELU_ATTR_INTS)
        return onnx_fail(b, PRELU_E_FORMAT, "attribute %s is no list of integers", attr);
    *n = a ? a->a.len : s ? s->t->count : 0;
    if (*n > 2 * PRELU_MAX_RANK)
        return onnx_fail(b, PRELU_E_UNSUPPORTED, "%zu numbers in %s; at most %d", *n,
                         attr ? attr : s->name, 2 * PRELU_MAX_RANK);
    for (size_t k = 0; k < *n; k++)
        v[k] = a ? a->a.ints[k] : onnx_tensor_int(s->t, k);
    return PRELU_OK;
}

int64_t onnx_int(const onnx_build *b, const char *attr, int64_t otherwise)
{
    const onnx_attr *a = onnx_node_attr(b->node, attr);
    return a && a->a.name && a->a.kind == PRELU_ATTR_INT ? a->a.i : otherwise;
}

float onnx_float(const onnx_build *b, const char *attr, float otherwise)
{
    const onnx_attr *a = onnx_node_attr(b->node, attr);
    return a && a->a.name && a->a.kind == PRELU_ATTR_FLOAT ? a->a.f : otherwise;
}

prelu_status onnx_emit(onnx_build *b, const char *op, const prelu_value *in, int n_in,
                       const prelu_attr *attrs, size_t n_attrs, int rank)
{
    const onnx_node *n = b->node;
    prelu_value v;
    if (n->n_out < 1 || !*n->out[0])
        return onnx_fail(b, PRELU_E_FORMAT, "it has no output");
    PRELU_TRY(prelu_graph_add(b->g, op, *n->name ? n->name : n->out[0], in, n_in, attrs, n_attrs,
                              n->out, &v, 1, b->err));
    return define(b, n->out[0], NULL, v, rank);
}

prelu_status onnx_emit_helper(onnx_build *b, const char *op, const prelu_value *in, int n_in,
                              const prelu_attr *attrs, size_t n_attrs, prelu_value *out)
{
    char name[256];
    make_name(b, name, sizeof name);
    return prelu_graph_add(b->g, op, name, in, n_in, attrs, n_attrs, NULL, out, 1, b->err);
}

prelu_status onnx_alias(onnx_build *b, const onnx_slot *of)
{
    if (!of)
        return onnx_fail(b, PRELU_E_FORMAT, "its input is missing");
    if (b->node->n_out < 1)
        return onnx_fail(b, PRELU_E_FORMAT, "it has no output");
    return define(b, b->node->out[0], of->t, of->v, of->rank);
}

prelu_status onnx_define_constant(onnx_build *b, onnx_tensor *t)
{
    if (b->node->n_out < 1)
        return onnx_fail(b, PRELU_E_FORMAT, "it has no output");
    return define(b, b->node->out[0], t, PRELU_NONE, t->shape.rank);
}

prelu_status onnx_shape_of(onnx_build *b, prelu_value v, prelu_shape *out)
{
    prelu_shape *shapes;
    prelu_status st;
    if (!b->infers--)
        return onnx_fail(b, PRELU_E_LIMIT, "more than %d nodes need inferred shapes", MAX_INFERS);
    shapes = prelu_calloc((size_t)b->g->n_values, sizeof *shapes);
    if (!shapes)
        return prelu_fail(b->err, PRELU_E_NOMEM, "%d shapes", b->g->n_values);
    st = mdl_graph_infer(b->g, b->crop, shapes, b->err);
    if (!st)
        *out = shapes[v];
    prelu_free(shapes);
    return st;
}

static prelu_status prepare_names(onnx_build *b)
{
    const onnx_doc *d = b->doc;
    size_t n = d->n_tensors + d->n_inputs + 1;
    for (size_t i = 0; i < d->n_nodes; i++)
        n += (size_t)d->nodes[i].n_out;
    b->table_len = 16;
    while (b->table_len < 2 * n)
        b->table_len *= 2;
    b->cap_slots = n;
    b->slots = prelu_calloc(n, sizeof *b->slots);
    b->table = prelu_calloc(b->table_len, sizeof *b->table);
    if (!b->slots || !b->table)
        return prelu_fail(b->err, PRELU_E_NOMEM, "%zu names", n);
    return PRELU_OK;
}

static prelu_status add_input(onnx_build *b, const onnx_port *p)
{
    prelu_shape s = p->shape;
    prelu_dtype dtype = p->dtype;
    prelu_value v;
    if (s.rank < 0)
        return prelu_fail(b->err, PRELU_E_UNSUPPORTED, "input '%.80s' has no shape", p->name);
    if (s.rank == 4 && s.dim[0] > 0) { /* files with a fixed batch take any */
        b->fixed_batch = s.dim[0];
        s.dim[0] = -1;
    }
    b->batch_free = b->batch_free || (s.rank > 0 && s.dim[0] < 0);
    /* Files of half or double precision are computed in f32, so that is what they are fed. */
    if (dtype == PRELU_F16 || dtype == PRELU_BF16 || dtype == PRELU_F64)
        dtype = PRELU_F32;
    PRELU_TRY(prelu_graph_input(b->g, p->name, dtype, &s, &v, b->err));
    return define(b, p->name, NULL, v, s.rank);
}

static prelu_status add_output(onnx_build *b, const char *name)
{
    static const onnx_node output = {.name = "", .op = "output"};
    onnx_slot *s = find(b, name);
    prelu_value v;
    if (!s)
        return prelu_fail(b->err, PRELU_E_FORMAT, "output '%.80s' is not computed", name);
    b->node = &output;
    PRELU_TRY(operand(b, s, PRELU_ROLE_NONE, &v));
    return prelu_graph_output(b->g, v, b->err);
}

static prelu_status build(onnx_build *b)
{
    const onnx_doc *d = b->doc;
    PRELU_TRY(prepare_names(b));
    for (size_t i = 0; i < d->n_tensors; i++)
        PRELU_TRY(
            define(b, d->tensors[i].name, &d->tensors[i], PRELU_NONE, d->tensors[i].shape.rank));
    for (size_t i = 0; i < d->n_inputs; i++) {
        const onnx_slot *s = find(b, d->inputs[i].name);
        if (!s || !s->t) /* before IR 4 initialisers stand among the inputs too */
            PRELU_TRY(add_input(b, &d->inputs[i]));
    }
    for (size_t i = 0; i < d->n_nodes; i++) {
        b->node = &d->nodes[i];
        PRELU_TRY(onnx_op_translate(b));
    }
    for (size_t i = 0; i < d->n_outputs; i++)
        PRELU_TRY(add_output(b, d->outputs[i].name));
    return d->n_outputs ? PRELU_OK : prelu_fail(b->err, PRELU_E_FORMAT, "the graph has no outputs");
}

prelu_status onnx_graph_build(prelu_graph **out, const onnx_doc *doc, int crop, mdl_pile *pile,
                              prelu_err *err)
{
    onnx_build b = {.doc = doc, .pile = pile, .crop = crop, .infers = MAX_INFERS, .err = err};
    prelu_status st;
    PRELU_TRY(prelu_graph_create(&b.g, err));
    st = build(&b);
    prelu_free(b.slots);
    prelu_free(b.table);
    if (st)
        prelu_graph_destroy(&b.g);
    else
        *out = b.g;
    return st;
}
