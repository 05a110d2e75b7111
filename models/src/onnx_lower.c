#include "onnx_lower.h"
#include "onnx_spp.h"
#include "prelu/mem.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Field numbers of onnx.proto. */
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5 };
enum {
    ATTR_NAME = 1,
    ATTR_F = 2,
    ATTR_I = 3,
    ATTR_S = 4,
    ATTR_FLOATS = 7,
    ATTR_INTS = 8,
    ATTR_TYPE = 20
};
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { TYPE_FLOAT = 1, TYPE_INT64 = 7 };

#define MAX_NAME 512

bool onnx_lower_drops(const prelu_node *n) { return !strcmp(n->op, "Dropout"); }

void onnx_lowering_deinit(onnx_lowering *l)
{
    onnx_buf_deinit(&l->node);
    onnx_buf_deinit(&l->attr);
    onnx_buf_deinit(&l->tensor);
}

static void put_attr(onnx_lowering *l, const prelu_attr *a)
{
    static const int types[] = {[PRELU_ATTR_FLOAT] = 1,
                                [PRELU_ATTR_INT] = 2,
                                [PRELU_ATTR_STRING] = 3,
                                [PRELU_ATTR_FLOATS] = 6,
                                [PRELU_ATTR_INTS] = 7};
    onnx_put_text(&l->attr, ATTR_NAME, a->name);
    switch (a->kind) {
    case PRELU_ATTR_INT:
        onnx_put_int(&l->attr, ATTR_I, a->i);
        break;
    case PRELU_ATTR_FLOAT:
        onnx_put_float(&l->attr, ATTR_F, a->f);
        break;
    case PRELU_ATTR_STRING:
        onnx_put_text(&l->attr, ATTR_S, a->s);
        break;
    case PRELU_ATTR_INTS:
        for (size_t i = 0; i < a->len; i++)
            onnx_put_int(&l->attr, ATTR_INTS, a->ints[i]);
        break;
    case PRELU_ATTR_FLOATS:
        for (size_t i = 0; i < a->len; i++)
            onnx_put_float(&l->attr, ATTR_FLOATS, a->floats[i]);
        break;
    }
    onnx_put_int(&l->attr, ATTR_TYPE, types[a->kind]);
    onnx_put_message(&l->node, NODE_ATTRIBUTE, &l->attr);
}

static prelu_status put_node(onnx_lowering *l, const char *op, const char *name,
                             const char *const *in, int n_in, const char *out,
                             const prelu_attr *attrs, size_t n_attrs)
{
    for (int i = 0; i < n_in; i++)
        onnx_put_text(&l->node, NODE_INPUT, in[i]);
    onnx_put_text(&l->node, NODE_OUTPUT, out);
    onnx_put_text(&l->node, NODE_NAME, name);
    onnx_put_text(&l->node, NODE_OP, op);
    for (size_t i = 0; i < n_attrs; i++)
        put_attr(l, &attrs[i]);
    onnx_put_message(l->graph, GRAPH_NODE, &l->node);
    return l->graph->st;
}

/* A small initialiser; `scalar` = rank 0. */
static void put_tensor(onnx_lowering *l, const char *name, int type, const void *data, size_t n,
                       bool scalar)
{
    if (!scalar)
        onnx_put_int(&l->tensor, TENSOR_DIMS, (int64_t)n);
    onnx_put_int(&l->tensor, TENSOR_TYPE, type);
    onnx_put_text(&l->tensor, TENSOR_NAME, name);
    onnx_put_bytes(&l->tensor, TENSOR_RAW, data, n * (type == TYPE_FLOAT ? 4u : 8u));
    onnx_put_message(l->graph, GRAPH_INITIALIZER, &l->tensor);
}

static const char *out_name(const onnx_lowering *l, const prelu_node *n)
{
    return l->names[n->out[0]];
}

/* Integers that are an attribute here and an input there. NULL-safe: an absent one gives "". */
static prelu_status put_ints_input(onnx_lowering *l, const prelu_node *n, const char *attr,
                                   char name[MAX_NAME])
{
    const prelu_attr *a = prelu_node_attr(n, attr);
    name[0] = 0;
    if (!a)
        return PRELU_OK;
    if (a->kind != PRELU_ATTR_INTS)
        return prelu_fail(l->err, PRELU_E_ARG, "node '%.80s': attribute %s", n->name, attr);
    snprintf(name, MAX_NAME, "%.400s.%s", out_name(l, n), attr);
    put_tensor(l, name, TYPE_INT64, a->ints, a->len, false);
    return PRELU_OK;
}

static prelu_status lower_slice(onnx_lowering *l, const prelu_node *n)
{
    static const char *const attrs[4] = {"starts", "ends", "axes", "steps"};
    char names[4][MAX_NAME];
    const char *in[5] = {l->names[n->in[0]], names[0], names[1], names[2], names[3]};
    int n_in = 5;
    for (int i = 0; i < 4; i++)
        PRELU_TRY(put_ints_input(l, n, attrs[i], names[i]));
    while (n_in > 3 && !*in[n_in - 1])
        n_in--;
    return put_node(l, "Slice", n->name, in, n_in, out_name(l, n), NULL, 0);
}

static prelu_status lower_reshape(onnx_lowering *l, const prelu_node *n)
{
    char name[MAX_NAME];
    const char *in[2] = {l->names[n->in[0]], name};
    PRELU_TRY(put_ints_input(l, n, "shape", name));
    return put_node(l, "Reshape", n->name, in, 2, out_name(l, n), NULL, 0);
}

static prelu_status lower_clip(onnx_lowering *l, const prelu_node *n)
{
    static const char *const attrs[2] = {"min", "max"};
    const float none[2] = {-INFINITY, INFINITY};
    char names[2][MAX_NAME];
    const char *in[3] = {l->names[n->in[0]], names[0], names[1]};
    for (int i = 0; i < 2; i++) {
        float v = prelu_node_float(n, attrs[i], none[i]);
        names[i][0] = 0;
        if (isinf(v))
            continue;
        snprintf(names[i], MAX_NAME, "%.400s.%s", out_name(l, n), attrs[i]);
        put_tensor(l, names[i], TYPE_FLOAT, &v, 1, true);
    }
    return put_node(l, "Clip", n->name, in, 3, out_name(l, n), NULL, 0);
}

/* The axes of ReduceSum are an input since operator set 13; those of its kin not yet. */
static prelu_status lower_reduce_sum(onnx_lowering *l, const prelu_node *n)
{
    prelu_attr keep = PRELU_INT("keepdims", prelu_node_int(n, "keepdims", 1));
    char name[MAX_NAME];
    const char *in[2] = {l->names[n->in[0]], name};
    PRELU_TRY(put_ints_input(l, n, "axes", name));
    return put_node(l, "ReduceSum", n->name, in, *name ? 2 : 1, out_name(l, n), &keep, 1);
}

static prelu_status lower_pad(onnx_lowering *l, const prelu_node *n)
{
    const prelu_attr *mode = prelu_node_attr(n, "mode");
    const float value = prelu_node_float(n, "value", 0.0f);
    char pads[MAX_NAME], with[MAX_NAME];
    const char *in[3] = {l->names[n->in[0]], pads, with};
    PRELU_TRY(put_ints_input(l, n, "pads", pads));
    snprintf(with, sizeof with, "%.400s.value", out_name(l, n));
    put_tensor(l, with, TYPE_FLOAT, &value, 1, true);
    return put_node(l, "Pad", n->name, in, 3, out_name(l, n), mode, mode ? 1 : 0);
}

/* HardSwish came with operator set 14: x * HardSigmoid(x; 1/6, 1/2). */
static prelu_status lower_hard_swish(onnx_lowering *l, const prelu_node *n)
{
    char gate[MAX_NAME];
    const char *in[2] = {l->names[n->in[0]], gate};
    prelu_attr attrs[2] = {PRELU_FLOAT("alpha", 1.0f / 6), PRELU_FLOAT("beta", 0.5f)};
    snprintf(gate, sizeof gate, "%.400s.gate", out_name(l, n));
    PRELU_TRY(put_node(l, "HardSigmoid", gate, in, 1, gate, attrs, 2));
    return put_node(l, "Mul", n->name, in, 2, out_name(l, n), NULL, 0);
}

/* Are the n bins of a side all as wide and as far apart? Then one MaxPool does them. */
static bool regular(int64_t size, int64_t n, int64_t *kernel, int64_t *stride)
{
    onnx_bin first = onnx_spp_bin(size, n, 0), second = onnx_spp_bin(size, n, n > 1 ? 1 : 0);
    *kernel = first.end;
    *stride = n > 1 ? second.begin : size;
    for (int64_t i = 0; i < n; i++) {
        onnx_bin b = onnx_spp_bin(size, n, i);
        if (b.begin != i * *stride || b.end != b.begin + *kernel)
            return false;
    }
    return *stride > 0;
}

/* One bin: Slice and ReduceMax. */
static prelu_status lower_bin(onnx_lowering *l, const char *x, const char *name,
                              const int64_t starts[2], const int64_t ends[2])
{
    static const int64_t axes[2] = {2, 3};
    const int64_t *ints[3] = {starts, ends, axes};
    static const char *const parts[3] = {"starts", "ends", "axes"};
    char slice[MAX_NAME], names[3][MAX_NAME];
    const char *in[4] = {x, names[0], names[1], names[2]}, *sliced = slice;
    prelu_attr attrs[2] = {PRELU_INTS("axes", axes, 2), PRELU_INT("keepdims", 1)};
    snprintf(slice, sizeof slice, "%.400s.slice", name);
    for (int i = 0; i < 3; i++) {
        snprintf(names[i], MAX_NAME, "%.400s.%s", name, parts[i]);
        put_tensor(l, names[i], TYPE_INT64, ints[i], 2, false);
    }
    PRELU_TRY(put_node(l, "Slice", slice, in, 4, slice, NULL, 0));
    return put_node(l, "ReduceMax", name, &sliced, 1, name, attrs, 2);
}

static prelu_status concat(onnx_lowering *l, const char *base, int64_t n, int64_t axis,
                           const char *out)
{
    char(*names)[MAX_NAME] = prelu_calloc((size_t)n, sizeof *names);
    const char **in = prelu_calloc((size_t)n, sizeof *in);
    prelu_attr attr = PRELU_INT("axis", axis);
    prelu_status st;
    if (names && in) {
        for (int64_t i = 0; i < n; i++) {
            snprintf(names[i], MAX_NAME, "%.400s_%d", base, (int)i);
            in[i] = names[i];
        }
        st = put_node(l, "Concat", out, in, (int)n, out, &attr, 1);
    } else {
        st = prelu_fail(l->err, PRELU_E_NOMEM, "%d names", (int)n);
    }
    prelu_free(names);
    prelu_free(in);
    return st;
}

/* Bins that overlap unevenly: each by itself, joined to rows along axis 3, rows along axis 2. */
static prelu_status lower_bins(onnx_lowering *l, const char *x, const prelu_shape *s, int64_t n,
                               const char *out)
{
    for (int64_t i = 0; i < n; i++) {
        onnx_bin row = onnx_spp_bin(s->dim[2], n, i);
        char row_name[MAX_NAME];
        snprintf(row_name, sizeof row_name, "%.400s_%d", out, (int)i);
        for (int64_t j = 0; j < n; j++) {
            onnx_bin col = onnx_spp_bin(s->dim[3], n, j);
            const int64_t starts[2] = {row.begin, col.begin}, ends[2] = {row.end, col.end};
            char name[MAX_NAME];
            snprintf(name, sizeof name, "%.400s_%d_%d", out, (int)i, (int)j);
            PRELU_TRY(lower_bin(l, x, name, starts, ends));
        }
        PRELU_TRY(concat(l, row_name, n, 3, row_name));
    }
    return concat(l, out, n, 2, out);
}

static prelu_status lower_level(onnx_lowering *l, const char *x, const prelu_shape *s, int64_t n,
                                const char *flat)
{
    int64_t kernel[2], stride[2];
    char name[MAX_NAME];
    const char *in = x;
    prelu_attr axis = PRELU_INT("axis", 1);
    prelu_attr attrs[2] = {PRELU_INTS("kernel_shape", kernel, 2), PRELU_INTS("strides", stride, 2)};
    snprintf(name, sizeof name, "%.400s.max", flat);
    if (regular(s->dim[2], n, &kernel[0], &stride[0]) &&
        regular(s->dim[3], n, &kernel[1], &stride[1]))
        PRELU_TRY(put_node(l, "MaxPool", name, &in, 1, name, attrs, 2));
    else
        PRELU_TRY(lower_bins(l, x, s, n, name));
    in = name;
    return put_node(l, "Flatten", flat, &in, 1, flat, &axis, 1);
}

/* Level by level, each (C,n,n) flattened, in the order of `levels`: the order of fc1's inputs. */
static prelu_status lower_spp(onnx_lowering *l, const prelu_node *n)
{
    const prelu_attr *levels = prelu_node_attr(n, "levels");
    const prelu_shape *s = &l->shapes[n->in[0]];
    char base[MAX_NAME];
    snprintf(base, sizeof base, "%.400s.level", out_name(l, n));
    l->spp = true;
    for (size_t i = 0; i < levels->len; i++) { /* shape inference has checked levels and rank */
        char flat[MAX_NAME];
        snprintf(flat, sizeof flat, "%.400s_%d", base, (int)i);
        PRELU_TRY(lower_level(l, l->names[n->in[0]], s, levels->ints[i], flat));
    }
    return concat(l, base, (int64_t)levels->len, 1, out_name(l, n));
}

static bool is_plain(const char *op)
{
    static const char *const plain[] = {
        "Add",     "AveragePool", "BatchNormalization", "Concat",        "Conv",        "Div",
        "Flatten", "Gemm",        "GlobalAveragePool",  "GlobalMaxPool", "HardSigmoid", "Identity",
        "LRN",     "LeakyRelu",   "LogSoftmax",         "MatMul",        "MaxPool",     "Mul",
        "PRelu",   "ReduceMax",   "ReduceMean",         "Relu",          "Sigmoid",     "Softmax",
        "Sub",     "Sum",         "Transpose"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (!strcmp(op, plain[i]))
            return true;
    return false;
}

prelu_status onnx_lower_node(onnx_lowering *l, int i)
{
    const prelu_node *n = &l->g->nodes[i];
    const char *in[PRELU_MAX_INPUTS];
    int n_in = n->n_in;
    if (onnx_lower_drops(n))
        return PRELU_OK;
    if (!strcmp(n->op, "Slice"))
        return lower_slice(l, n);
    if (!strcmp(n->op, "Reshape"))
        return lower_reshape(l, n);
    if (!strcmp(n->op, "Clip"))
        return lower_clip(l, n);
    if (!strcmp(n->op, "Pad"))
        return lower_pad(l, n);
    if (!strcmp(n->op, "ReduceSum"))
        return lower_reduce_sum(l, n);
    if (!strcmp(n->op, "HardSwish"))
        return lower_hard_swish(l, n);
    if (!strcmp(n->op, "SPP"))
        return lower_spp(l, n);
    if (!is_plain(n->op) || n->n_out != 1)
        return prelu_fail(l->err, PRELU_E_UNSUPPORTED, "node '%.80s': ONNX has no %s", n->name,
                          n->op);
    for (int k = 0; k < n_in; k++)
        in[k] = n->in[k] == PRELU_NONE ? "" : l->names[n->in[k]];
    while (n_in > 0 && !*in[n_in - 1])
        n_in--;
    return put_node(l, n->op, n->name, in, n_in, out_name(l, n), n->attrs, n->n_attrs);
}
