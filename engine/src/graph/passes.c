#include "graph/passes.h"
#include "kernels/kernels.h"
#include "prelu/mem.h"
#include <math.h>
#include <string.h>

static bool is_op(const prelu_node *n, const char *op) { return n->op && strcmp(n->op, op) == 0; }

static void remove_node(prelu_graph *g, int i)
{
    prelu_node *n = &g->nodes[i];
    for (size_t k = 0; k < n->n_attrs; k++) {
        prelu_free((void *)n->attrs[k].name);
        prelu_free((void *)n->attrs[k].s);
        prelu_free((void *)n->attrs[k].ints);
        prelu_free((void *)n->attrs[k].floats);
    }
    prelu_free(n->attrs);
    prelu_free(n->name);
    prelu_free(n->in);
    prelu_free(n->out);
    memset(n, 0, sizeof *n);
}

/* Close the gaps that remove_node left and tell values their producers. */
static void compact(prelu_graph *g)
{
    int to = 0;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op)
            g->nodes[to++] = g->nodes[i];
    g->n_nodes = to;
    for (int i = 0; i < g->n_values; i++)
        g->values[i].producer = PRELU_NONE;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_out; k++)
            g->values[g->nodes[i].out[k]].producer = i;
}

static void replace_uses(prelu_graph *g, prelu_value from, prelu_value to)
{
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++)
            if (g->nodes[i].in[k] == from)
                g->nodes[i].in[k] = to;
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i] == from)
            g->outputs[i] = to;
}

/* Number of readers; a graph output counts. *reader = the last node that reads it. */
static int uses(const prelu_graph *g, prelu_value v, int *reader)
{
    int n = 0;
    *reader = PRELU_NONE;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in && g->nodes[i].op; k++)
            if (g->nodes[i].in[k] == v) {
                n++;
                *reader = i;
            }
    for (int i = 0; i < g->n_outputs; i++)
        n += g->outputs[i] == v;
    return n;
}

prelu_status gr_drop_identities(prelu_graph *g, prelu_err *err)
{
    (void)err;
    for (int i = 0; i < g->n_nodes; i++) {
        prelu_node *n = &g->nodes[i];
        if (!is_op(n, "Dropout") && !is_op(n, "Identity"))
            continue;
        replace_uses(g, n->out[0], n->in[0]);
        remove_node(g, i);
    }
    compact(g);
    return PRELU_OK;
}

prelu_status gr_prune(prelu_graph *g, prelu_err *err)
{
    bool *live = prelu_calloc((size_t)g->n_values + 1, sizeof *live);
    if (!live)
        return prelu_fail(err, PRELU_E_NOMEM, "prune: %d values", g->n_values);
    for (int i = 0; i < g->n_outputs; i++)
        live[g->outputs[i]] = true;
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        const prelu_node *n = &g->nodes[i];
        bool any = false;
        for (int k = 0; k < n->n_out; k++)
            any = any || live[n->out[k]];
        if (!any) {
            remove_node(g, i);
            continue;
        }
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] != PRELU_NONE)
                live[n->in[k]] = true;
    }
    compact(g);
    prelu_free(live);
    return PRELU_OK;
}

static bool is_constant(const prelu_graph *g, prelu_value v)
{
    return v != PRELU_NONE && g->values[v].is_constant && g->values[v].dtype == PRELU_F32;
}

/* A constant's element, wherever it lies. */
static float element(const prelu_graph *g, prelu_value v, size_t i)
{
    float f;
    memcpy(&f, (const char *)g->values[v].data + i * sizeof f, sizeof f);
    return f;
}

static size_t elements(const prelu_graph *g, prelu_value v)
{
    size_t n = 0;
    return prelu_shape_count(&g->values[v].shape, &n, NULL) == PRELU_OK ? n : 0;
}

static prelu_status set_inputs(prelu_node *n, int n_in, prelu_err *err)
{
    if (n->n_in >= n_in)
        return PRELU_OK;
    prelu_value *in = prelu_realloc(n->in, (size_t)n_in * sizeof *in);
    if (!in)
        return prelu_fail(err, PRELU_E_NOMEM, "fusion");
    n->in = in;
    while (n->n_in < n_in)
        n->in[n->n_in++] = PRELU_NONE;
    return PRELU_OK;
}

static prelu_status set_int(prelu_node *n, const char *name, int64_t v, prelu_err *err)
{
    for (size_t i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, name) == 0 && n->attrs[i].kind == PRELU_ATTR_INT) {
            n->attrs[i].i = v;
            return PRELU_OK;
        }
    prelu_attr *attrs = prelu_realloc(n->attrs, (n->n_attrs + 1) * sizeof *attrs);
    char *copy = prelu_strdup(name);
    if (attrs)
        n->attrs = attrs;
    if (!attrs || !copy) {
        prelu_free(copy);
        return prelu_fail(err, PRELU_E_NOMEM, "fusion");
    }
    n->attrs[n->n_attrs++] = PRELU_INT(copy, v);
    return PRELU_OK;
}

/* scale * w by filter, and bias, of conv node i followed by the batch norm bn. */
static prelu_status fold_one(prelu_graph *g, int i, int bn, prelu_err *err)
{
    const prelu_node *conv = &g->nodes[i], *norm = &g->nodes[bn];
    const prelu_value w = conv->in[1], b = conv->n_in > 2 ? conv->in[2] : PRELU_NONE;
    const size_t o = (size_t)g->values[w].shape.dim[0], len = o ? elements(g, w) / o : 0;
    const prelu_shape bias_shape = {1, {(int64_t)o}};
    const double eps = (double)prelu_node_float(norm, "epsilon", 1e-5f);
    prelu_status st = PRELU_OK;
    prelu_value new_w, new_b;
    float *nw = prelu_alloc(o * len * sizeof *nw), *nb = prelu_alloc(o * sizeof *nb);
    if (!nw || !nb) {
        st = prelu_fail(err, PRELU_E_NOMEM, "folding: %zu weights", o * len);
        goto out;
    }
    for (size_t k = 0; k < o; k++) {
        const double s =
            (double)element(g, norm->in[1], k) / sqrt((double)element(g, norm->in[4], k) + eps);
        const double bias = b == PRELU_NONE ? 0.0 : (double)element(g, b, k);
        for (size_t j = 0; j < len; j++)
            nw[k * len + j] = (float)((double)element(g, w, k * len + j) * s);
        nb[k] = (float)((bias - (double)element(g, norm->in[3], k)) * s +
                        (double)element(g, norm->in[2], k));
    }
    st = prelu_graph_constant(g, "folded.w", PRELU_F32, &g->values[w].shape, nw, true,
                              PRELU_ROLE_WEIGHT, &new_w, err);
    if (!st)
        st = prelu_graph_constant(g, "folded.b", PRELU_F32, &bias_shape, nb, true, PRELU_ROLE_BIAS,
                                  &new_b, err);
    if (!st)
        st = set_inputs(&g->nodes[i], 3, err);
    if (!st) {
        g->nodes[i].in[1] = new_w;
        g->nodes[i].in[2] = new_b;
        g->nodes[i].out[0] = g->nodes[bn].out[0];
        remove_node(g, bn);
    }
out:
    prelu_free(nw);
    prelu_free(nb);
    return st;
}

/* Zeros around a map and nothing else: they could be a convolution's own. */
static bool pads_map(const prelu_node *n)
{
    const prelu_attr *pads = prelu_node_attr(n, "pads"), *mode = prelu_node_attr(n, "mode");
    if (!is_op(n, "Pad") || !pads || pads->kind != PRELU_ATTR_INTS || pads->len != 8 ||
        (mode && mode->s && strcmp(mode->s, "constant") != 0) ||
        prelu_node_float(n, "value", 0.0f) != 0.0f)
        return false;
    for (int i = 0; i < 8; i++)
        if (pads->ints[i] < 0 || (i % 4 < 2 && pads->ints[i] != 0))
            return false;
    return true;
}

/* Zeros that are summed as an average's own are, if all of them count. */
static bool counts_zeros(const prelu_node *n)
{
    const prelu_attr *pads = prelu_node_attr(n, "pads");
    bool none = true;
    for (size_t i = 0; pads && i < pads->len; i++)
        none = none && pads->ints[i] == 0;
    return is_op(n, "AveragePool") && !prelu_node_int(n, "ceil_mode", 0) &&
           (none || prelu_node_int(n, "count_include_pad", 0));
}

/* Would the node's windows still hold more than padding? The pools ask for that. */
static bool has_room(const prelu_node *n, const int64_t pads[4])
{
    const prelu_attr *kernel = prelu_node_attr(n, "kernel_shape");
    if (is_op(n, "Conv"))
        return true;
    for (int i = 0; i < 4; i++)
        if (!kernel || kernel->len != 2 || pads[i] >= kernel->ints[i % 2])
            return false;
    return true;
}

static prelu_status set_pads(prelu_node *n, const int64_t pads[4], prelu_err *err)
{
    int64_t *copy = prelu_alloc(4 * sizeof *copy);
    if (!copy)
        return prelu_fail(err, PRELU_E_NOMEM, "fusion");
    memcpy(copy, pads, 4 * sizeof *copy);
    for (size_t i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, "pads") == 0) {
            prelu_free((void *)n->attrs[i].ints);
            n->attrs[i].ints = copy;
            return PRELU_OK;
        }
    prelu_status st = set_int(n, "pads", 0, err);
    if (st) {
        prelu_free(copy);
        return st;
    }
    const char *name = n->attrs[n->n_attrs - 1].name;
    n->attrs[n->n_attrs - 1] = PRELU_INTS(name, copy, 4);
    return PRELU_OK;
}

prelu_status gr_fold_pads(prelu_graph *g, prelu_err *err)
{
    for (int i = 0; i < g->n_nodes; i++) {
        const prelu_node *pad = &g->nodes[i];
        int reader;
        if (!pads_map(pad) || uses(g, pad->out[0], &reader) != 1 || reader == PRELU_NONE)
            continue;
        prelu_node *n = &g->nodes[reader];
        const prelu_attr *own = prelu_node_attr(n, "pads"), *by = prelu_node_attr(pad, "pads");
        const prelu_attr *automatic = prelu_node_attr(n, "auto_pad");
        const bool average = counts_zeros(n);
        if ((!is_op(n, "Conv") && !average) || n->in[0] != pad->out[0] ||
            (own && (own->kind != PRELU_ATTR_INTS || own->len != 4)) ||
            (automatic && automatic->s && strcmp(automatic->s, "NOTSET") != 0))
            continue;
        int64_t pads[4] = {by->ints[2], by->ints[3], by->ints[6], by->ints[7]};
        for (int k = 0; k < 4 && own; k++)
            pads[k] += own->ints[k];
        if (!has_room(n, pads))
            continue;
        PRELU_TRY(set_pads(n, pads, err));
        if (average)
            PRELU_TRY(set_int(n, "count_include_pad", 1, err));
        n->in[0] = pad->in[0];
        remove_node(g, i);
    }
    compact(g);
    return PRELU_OK;
}

prelu_status gr_fold_batchnorm(prelu_graph *g, prelu_err *err)
{
    for (int i = 0; i < g->n_nodes; i++) {
        const prelu_node *conv = &g->nodes[i];
        int bn;
        if (!is_op(conv, "Conv") || !is_constant(g, conv->in[1]) ||
            (conv->n_in > 2 && conv->in[2] != PRELU_NONE && !is_constant(g, conv->in[2])) ||
            uses(g, conv->out[0], &bn) != 1 || bn == PRELU_NONE ||
            !is_op(&g->nodes[bn], "BatchNormalization"))
            continue;
        const size_t o = (size_t)g->values[conv->in[1]].shape.dim[0];
        bool fits = true;
        for (int k = 1; k < 5; k++)
            fits =
                fits && is_constant(g, g->nodes[bn].in[k]) && elements(g, g->nodes[bn].in[k]) == o;
        if (fits)
            PRELU_TRY(fold_one(g, i, bn, err));
    }
    compact(g);
    return PRELU_OK;
}

/* A slope that has one value, or one for each of `c` channels and nothing else, as (c) floats. */
static bool slope_values(const prelu_graph *g, prelu_value v, bool picture, size_t c, float *out)
{
    const prelu_shape *s = &g->values[v].shape;
    const size_t n = elements(g, v);
    const int channel = picture ? s->rank - 3 : s->rank - 1;
    if (!is_constant(g, v) || (n != 1 && n != c) || s->rank > 4)
        return false;
    if (n == c && n != 1 && (channel < 0 || s->dim[channel] != (int64_t)c))
        return false;
    for (size_t i = 0; i < c; i++)
        out[i] = element(g, v, n == 1 ? 0 : i);
    return true;
}

/* Filters of a Conv, units of a Gemm; 0 = not to be fused. */
static size_t channels_of(const prelu_graph *g, const prelu_node *n)
{
    if (!is_op(n, "Conv") && !is_op(n, "Gemm") && !is_op(n, "MatMul"))
        return 0;
    if (!is_constant(g, n->in[1]))
        return 0;
    const prelu_shape *w = &g->values[n->in[1]].shape;
    if (w->rank < 2)
        return 0;
    if (is_op(n, "Conv") || prelu_node_int(n, "transB", 0))
        return (size_t)w->dim[0];
    return is_op(n, "Gemm") ? (size_t)w->dim[1] : 0;
}

static prelu_status fuse_one(prelu_graph *g, int i, int act, size_t c, prelu_err *err)
{
    const bool picture = is_op(&g->nodes[i], "Conv");
    const prelu_node *a = &g->nodes[act];
    const prelu_shape shape = {1, {(int64_t)c}};
    krn_act kind = KRN_ACT_PRELU;
    prelu_status st = PRELU_OK;
    prelu_value v;
    float *slope = prelu_alloc(c * sizeof *slope);
    if (!slope)
        return prelu_fail(err, PRELU_E_NOMEM, "fusion: %zu slopes", c);
    if (is_op(a, "Relu")) {
        kind = KRN_ACT_RELU;
    } else if (is_op(a, "LeakyRelu")) {
        for (size_t k = 0; k < c; k++)
            slope[k] = prelu_node_float(a, "alpha", 0.01f);
    } else if (!slope_values(g, a->in[1], picture, c, slope)) {
        goto out; /* another broadcast: stays a node of its own */
    }
    st = set_inputs(&g->nodes[i], 4, err);
    if (!st && kind == KRN_ACT_PRELU) {
        st = prelu_graph_constant(g, "fused.slope", PRELU_F32, &shape, slope, true,
                                  PRELU_ROLE_SLOPE, &v, err);
        if (!st)
            g->nodes[i].in[3] = v;
    }
    if (!st)
        st = set_int(&g->nodes[i], "act", kind, err);
    if (!st) {
        g->nodes[i].out[0] = g->nodes[act].out[0];
        remove_node(g, act);
    }
out:
    prelu_free(slope);
    return st;
}

prelu_status gr_fuse_activations(prelu_graph *g, prelu_err *err)
{
    for (int i = 0; i < g->n_nodes; i++) {
        const size_t c = channels_of(g, &g->nodes[i]);
        int act;
        if (c == 0 || uses(g, g->nodes[i].out[0], &act) != 1 || act == PRELU_NONE)
            continue;
        const prelu_node *a = &g->nodes[act];
        if ((is_op(a, "Relu") || is_op(a, "LeakyRelu") || is_op(a, "PRelu")) &&
            a->in[0] == g->nodes[i].out[0])
            PRELU_TRY(fuse_one(g, i, act, c, err));
    }
    compact(g);
    return PRELU_OK;
}

/* ---- residuals ---------------------------------------------------------------------------- */

/* Height and width of a map as those of another one: (in + room) / stride + 1. Maps that are made
 * alike share `as`, the first of them, and so are of one size whatever the picture's is. */
typedef struct map {
    prelu_value as, from;
    int64_t channels; /* -1 = unknown */
    int64_t room[2], stride[2];
} map;

static bool list_of(const prelu_node *n, const char *name, size_t len, int64_t otherwise,
                    int64_t *v)
{
    const prelu_attr *a = prelu_node_attr(n, name);
    for (size_t i = 0; i < len; i++)
        v[i] = otherwise;
    if (!a)
        return true;
    if (a->kind != PRELU_ATTR_INTS || a->len != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        v[i] = a->ints[i];
        if (v[i] < -(1 << 20) || v[i] > 1 << 20)
            return false;
    }
    return true;
}

/* The map that windows of this size make; false where that is not plain. */
static bool windows_map(const prelu_graph *g, const prelu_node *n, map *m)
{
    const bool conv = is_op(n, "Conv");
    const prelu_attr *automatic = prelu_node_attr(n, "auto_pad");
    int64_t kernel[2], pads[4], dilation[2];
    if (automatic || prelu_node_int(n, "ceil_mode", 0) || !list_of(n, "pads", 4, 0, pads) ||
        !list_of(n, "dilations", 2, 1, dilation) || !list_of(n, "strides", 2, 1, m->stride) ||
        !list_of(n, "kernel_shape", 2, 0, kernel))
        return false;
    if (conv) {
        const prelu_shape *w = &g->values[n->in[1]].shape;
        if (!is_constant(g, n->in[1]) || w->rank != 4)
            return false;
        m->channels = w->dim[0];
        kernel[0] = w->dim[2];
        kernel[1] = w->dim[3];
    }
    for (int i = 0; i < 2; i++) {
        if (kernel[i] < 1 || kernel[i] > 1 << 20)
            return false;
        m->room[i] = pads[i] + pads[i + 2] - (kernel[i] - 1) * dilation[i] - 1;
    }
    return true;
}

static bool keeps_size(const map *m)
{
    return m->room[0] == -1 && m->room[1] == -1 && m->stride[0] == 1 && m->stride[1] == 1;
}

static bool same_map(const map *a, const map *b)
{
    return a->as == b->as && a->channels == b->channels && a->channels > 0;
}

/* Values are visited in the order of their nodes; `maps` of those before are filled. */
static map map_of(const prelu_graph *g, const prelu_node *n, const map *maps)
{
    map m = maps[n->in[0]];
    const bool conv = is_op(n, "Conv");
    if (is_op(n, "Relu") || is_op(n, "LeakyRelu") || is_op(n, "BatchNormalization") ||
        (is_op(n, "PRelu") && is_constant(g, n->in[1])))
        return m;
    if (is_op(n, "Add") && same_map(&m, &maps[n->in[1]]))
        return m;
    if ((conv || is_op(n, "MaxPool") || is_op(n, "AveragePool")) && windows_map(g, n, &m)) {
        m.from = m.as;
        m.as = keeps_size(&m) ? m.as : n->out[0];
        return m;
    }
    return (map){.as = n->out[0], .from = PRELU_NONE, .channels = -1};
}

/* An earlier map made of the same one in the same way. */
static prelu_value alike(const prelu_graph *g, const map *maps, int before, const map *m)
{
    for (int i = 0; i < before; i++) {
        const map *o = &maps[g->nodes[i].out[0]];
        if (o->as == g->nodes[i].out[0] && o->from == m->from && m->from != PRELU_NONE &&
            memcmp(o->room, m->room, sizeof m->room) == 0 &&
            memcmp(o->stride, m->stride, sizeof m->stride) == 0)
            return o->as;
    }
    return m->as;
}

static void find_maps(const prelu_graph *g, map *maps)
{
    for (int v = 0; v < g->n_values; v++) {
        const prelu_shape *s = &g->values[v].shape;
        const bool fed = g->values[v].is_input && s->rank == 4;
        maps[v] = (map){.as = v, .from = PRELU_NONE, .channels = fed ? s->dim[1] : -1};
    }
    for (int i = 0; i < g->n_nodes; i++) {
        const prelu_node *n = &g->nodes[i];
        if (n->n_in < 1 || n->n_out < 1 || n->in[0] == PRELU_NONE)
            continue;
        map m = map_of(g, n, maps);
        if (m.as == n->out[0])
            m.as = alike(g, maps, i, &m);
        maps[n->out[0]] = m;
    }
}

/* Does this node make v, for the Add alone, and may it add `other` to it? */
static bool takes_residual(const prelu_graph *g, int i, prelu_value v, prelu_value other)
{
    const prelu_node *n = &g->nodes[i];
    int reader;
    return i != PRELU_NONE && is_op(n, "Conv") && channels_of(g, n) > 0 && n->n_in < 5 &&
           v != other && g->values[other].producer < i && uses(g, v, &reader) == 1 &&
           reader != PRELU_NONE;
}

prelu_status gr_fuse_residuals(prelu_graph *g, prelu_err *err)
{
    map *maps = prelu_alloc(((size_t)g->n_values + 1) * sizeof *maps);
    prelu_status st = PRELU_OK;
    if (!maps)
        return prelu_fail(err, PRELU_E_NOMEM, "fusion: %d values", g->n_values);
    find_maps(g, maps);
    for (int i = 0; i < g->n_nodes && !st; i++) {
        const prelu_node *add = &g->nodes[i];
        if (!is_op(add, "Add") || !same_map(&maps[add->in[0]], &maps[add->in[1]]))
            continue;
        for (int k = 0; k < 2; k++) {
            const prelu_value v = add->in[k], other = add->in[1 - k];
            const int conv = g->values[v].producer;
            if (!takes_residual(g, conv, v, other))
                continue;
            prelu_node *n = &g->nodes[conv];
            st = set_inputs(n, 5, err);
            if (!st && prelu_node_int(n, "act", KRN_ACT_NONE) != KRN_ACT_NONE)
                st = set_int(n, "residual_last", 1, err);
            if (st)
                break;
            n->in[4] = other;
            n->out[0] = add->out[0];
            g->values[add->out[0]].producer = conv;
            remove_node(g, i);
            break;
        }
    }
    compact(g);
    prelu_free(maps);
    return st;
}

/* One constant a channel, or one for all: in[1] of an element-wise node whose in[0] is x. */
static bool by_channel(const prelu_graph *g, const prelu_node *n, prelu_value x, size_t c,
                       float *out)
{
    return n->in[0] == x && slope_values(g, n->in[1], true, c, out);
}

static bool is_output(const prelu_graph *g, prelu_value v)
{
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i] == v)
            return true;
    return false;
}

prelu_status gr_take_input_affine(prelu_graph *g, gr_input_affine *a, prelu_err *err)
{
    double mul[4] = {1, 1, 1, 1}, add[4] = {0, 0, 0, 0};
    prelu_value x = PRELU_NONE;
    float v[4];
    int reader;
    (void)err;
    *a = (gr_input_affine){.scale = {1, 1, 1, 1}};
    for (int i = 0; i < g->n_values && x == PRELU_NONE; i++)
        if (g->values[i].is_input && g->values[i].role == PRELU_ROLE_NONE)
            x = i;
    if (x == PRELU_NONE || g->values[x].shape.rank != 4 || g->values[x].shape.dim[1] < 1 ||
        g->values[x].shape.dim[1] > 4)
        return PRELU_OK;
    const size_t c = (size_t)g->values[x].shape.dim[1];
    while (uses(g, x, &reader) == 1 && reader != PRELU_NONE) {
        const prelu_node *n = &g->nodes[reader];
        const bool sub = is_op(n, "Sub"), plus = is_op(n, "Add"), times = is_op(n, "Mul"),
                   div = is_op(n, "Div");
        if (!(sub || plus || times || div) || !by_channel(g, n, x, c, v))
            break;
        if (is_output(g, n->out[0]))
            break; /* the input itself would be the output: no node would compute it */
        for (size_t i = 0; i < c; i++) {
            const double f = (double)v[i];
            add[i] = sub ? add[i] - f : plus ? add[i] + f : times ? add[i] * f : add[i] / f;
            mul[i] = times ? mul[i] * f : div ? mul[i] / f : mul[i];
        }
        replace_uses(g, n->out[0], x);
        remove_node(g, reader);
    }
    for (size_t i = 0; i < c; i++) {
        a->shift[i] = mul[i] != 0.0 ? (float)(-add[i] / mul[i]) : 0.0f;
        a->scale[i] = (float)mul[i];
    }
    compact(g);
    return PRELU_OK;
}
