/* After reading: the nodes that stand for SPP in ONNX become one SPP node again, so that a file of
 * ours comes back as the graph it was, and runs at any picture size; and what no output needs goes.
 */
#include "onnx_build.h"
#include "onnx_spp.h"
#include "prelu/mem.h"
#include <stdio.h>
#include <string.h>

/* A Concat found to be the end of an SPP. */
typedef struct spp_match {
    int node;      /* the Concat */
    prelu_value x; /* the map that is pooled */
    int64_t levels[ONNX_SPP_MAX_LEVELS];
    int n;
} spp_match;

#define MAX_SPP 16
#define MAX_LEVEL 256
/* Bins compared in all: a hostile file could name the same ones again and again. */
#define MAX_BINS 100000

typedef struct tidy {
    const prelu_graph *g;
    const prelu_shape *shapes;
    int bins; /* compared so far */
} tidy;

static const prelu_node *producer(const tidy *t, prelu_value v, const char *op)
{
    int node = v == PRELU_NONE ? PRELU_NONE : t->g->values[v].producer;
    if (node == PRELU_NONE || strcmp(t->g->nodes[node].op, op) != 0)
        return NULL;
    return &t->g->nodes[node];
}

static bool ints_are(const prelu_node *n, const char *name, const int64_t *want, size_t len)
{
    const prelu_attr *a = prelu_node_attr(n, name);
    return a && a->kind == PRELU_ATTR_INTS && a->len == len &&
           !memcmp(a->ints, want, len * sizeof *want);
}

/* Absent, or all elements equal `value`. */
static bool ints_all(const prelu_node *n, const char *name, int64_t value)
{
    const prelu_attr *a = prelu_node_attr(n, name);
    for (size_t i = 0; a && i < a->len; i++)
        if (a->kind != PRELU_ATTR_INTS || a->ints[i] != value)
            return false;
    return true;
}

/* MaxPool whose windows are exactly the n x n bins of its input. */
static bool pool_is_level(const tidy *t, const prelu_node *p, int64_t n)
{
    const prelu_shape *x = &t->shapes[p->in[0]];
    const prelu_attr *k = prelu_node_attr(p, "kernel_shape"), *s = prelu_node_attr(p, "strides");
    const prelu_attr *mode = prelu_node_attr(p, "auto_pad");
    if (!k || k->kind != PRELU_ATTR_INTS || k->len != 2 || !ints_all(p, "pads", 0) ||
        !ints_all(p, "dilations", 1) || prelu_node_int(p, "ceil_mode", 0))
        return false;
    if (mode && mode->s && strcmp(mode->s, "NOTSET") != 0 && strcmp(mode->s, "VALID") != 0)
        return false;
    if (s && (s->kind != PRELU_ATTR_INTS || s->len != 2))
        return false;
    for (int axis = 0; axis < 2; axis++)
        for (int64_t i = 0; i < n; i++) {
            onnx_bin bin = onnx_spp_bin(x->dim[2 + axis], n, i);
            int64_t at = i * (s ? s->ints[axis] : 1);
            if (at != bin.begin || at + k->ints[axis] != bin.end)
                return false;
        }
    return true;
}

/* ReduceMax over both axes of x itself, or of a Slice of x: *x and its window. */
static bool reduced_window(const tidy *t, prelu_value v, prelu_value *x, onnx_bin window[2])
{
    static const int64_t axes[2] = {2, 3};
    const prelu_node *r = producer(t, v, "ReduceMax"), *s;
    const prelu_attr *starts, *ends;
    if (!r || !ints_are(r, "axes", axes, 2) || !prelu_node_int(r, "keepdims", 1))
        return false;
    *x = r->in[0];
    s = producer(t, r->in[0], "Slice");
    if (!s) {
        for (int i = 0; i < 2; i++)
            window[i] = (onnx_bin){0, t->shapes[*x].dim[2 + i]};
        return true;
    }
    starts = prelu_node_attr(s, "starts");
    ends = prelu_node_attr(s, "ends");
    if (!ints_are(s, "axes", axes, 2) || !ints_all(s, "steps", 1) || !starts || !ends ||
        starts->len != 2 || ends->len != 2)
        return false;
    *x = s->in[0];
    for (int i = 0; i < 2; i++)
        window[i] = (onnx_bin){starts->ints[i], ends->ints[i]};
    return true;
}

static bool bin_is(tidy *t, prelu_value v, prelu_value *x, int64_t n, int64_t row, int64_t col)
{
    const int64_t index[2] = {row, col};
    onnx_bin window[2];
    prelu_value from = PRELU_NONE;
    if (++t->bins > MAX_BINS || !reduced_window(t, v, &from, window) ||
        (*x != PRELU_NONE && *x != from))
        return false;
    *x = from;
    for (int i = 0; i < 2; i++) {
        onnx_bin bin = onnx_spp_bin(t->shapes[from].dim[2 + i], n, index[i]);
        if (window[i].begin != bin.begin || window[i].end != bin.end)
            return false;
    }
    return true;
}

/* Concat of n rows (axis 2), each a Concat of n bins (axis 3). */
static bool bins_are_level(tidy *t, prelu_value v, prelu_value *x, int64_t n)
{
    const prelu_node *rows = producer(t, v, "Concat");
    if (!rows || prelu_node_int(rows, "axis", 0) != 2 || rows->n_in != n)
        return false;
    for (int i = 0; i < n; i++) {
        const prelu_node *row = producer(t, rows->in[i], "Concat");
        if (!row || prelu_node_int(row, "axis", 0) != 3 || row->n_in != n)
            return false;
        for (int j = 0; j < n; j++)
            if (!bin_is(t, row->in[j], x, n, i, j))
                return false;
    }
    return true;
}

/* One flattened level of an SPP over *x (PRELU_NONE: any): its n, else 0. */
static int64_t level_of(tidy *t, prelu_value v, prelu_value *x)
{
    const prelu_node *flat = producer(t, v, "Flatten"), *p;
    const prelu_shape *s;
    prelu_value from = PRELU_NONE;
    bool ok;
    if (!flat || prelu_node_int(flat, "axis", 1) != 1)
        return 0;
    v = flat->in[0];
    s = &t->shapes[v];
    if (s->rank != 4 || s->dim[2] != s->dim[3] || s->dim[2] < 1 || s->dim[2] > MAX_LEVEL)
        return 0;
    if ((p = producer(t, v, "MaxPool"))) {
        from = p->in[0];
        ok = pool_is_level(t, p, s->dim[2]);
    } else if ((p = producer(t, v, "GlobalMaxPool"))) {
        from = p->in[0];
        ok = true;
    } else if (s->dim[2] == 1 && producer(t, v, "ReduceMax")) {
        ok = bin_is(t, v, &from, 1, 0, 0);
    } else {
        ok = bins_are_level(t, v, &from, s->dim[2]);
    }
    if (!ok || (*x != PRELU_NONE && *x != from))
        return 0;
    *x = from;
    return s->dim[2];
}

static bool match_spp(tidy *t, int node, spp_match *m)
{
    const prelu_node *c = &t->g->nodes[node];
    int64_t axis = prelu_node_int(c, "axis", 0);
    if (strcmp(c->op, "Concat") != 0 || (axis != 1 && axis != -1) || c->n_in > ONNX_SPP_MAX_LEVELS)
        return false;
    *m = (spp_match){.node = node, .x = PRELU_NONE, .n = c->n_in};
    for (int i = 0; i < c->n_in; i++)
        if (!(m->levels[i] = level_of(t, c->in[i], &m->x)))
            return false;
    return true;
}

/* The graph being made anew: map[v] = the new value of the old v. */
typedef struct rebuild {
    const prelu_graph *from;
    prelu_graph *to;
    prelu_value *map;
    bool *needed; /* per old value */
    const spp_match *spp;
    int n_spp;
    bool free_size;                     /* of the input */
    const prelu_preprocess *arithmetic; /* NULL, or what is done to the first input */
    prelu_err *err;
} rebuild;

static const spp_match *spp_at(const rebuild *r, int node)
{
    for (int i = 0; i < r->n_spp; i++)
        if (r->spp[i].node == node)
            return &r->spp[i];
    return NULL;
}

static void mark_needed(const rebuild *r)
{
    const prelu_graph *g = r->from;
    for (int i = 0; i < g->n_outputs; i++)
        r->needed[g->outputs[i]] = true;
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        const prelu_node *n = &g->nodes[i];
        const spp_match *spp = spp_at(r, i);
        bool used = false;
        for (int k = 0; k < n->n_out; k++)
            used = used || r->needed[n->out[k]];
        for (int k = 0; used && !spp && k < n->n_in; k++)
            if (n->in[k] != PRELU_NONE)
                r->needed[n->in[k]] = true;
        if (used && spp)
            r->needed[spp->x] = true;
        if (used)
            r->needed[n->out[0]] = true;
    }
}

static prelu_status add_constant(rebuild *r, const char *op, const float v[3], prelu_value *x)
{
    char name[32];
    prelu_shape s = {4, {1, 3, 1, 1}};
    prelu_value in[2] = {*x, PRELU_NONE};
    snprintf(name, sizeof name, "preprocess.%s", op);
    PRELU_TRY(
        prelu_graph_constant(r->to, name, PRELU_F32, &s, v, true, PRELU_ROLE_NONE, &in[1], r->err));
    snprintf(name, sizeof name, "preprocess.%s.out", op);
    return prelu_graph_add(r->to, op, name, in, 2, NULL, 0, NULL, x, 1, r->err);
}

/* Channel c moves to 2 - c. */
static prelu_status add_bgr(rebuild *r, prelu_value *x)
{
    prelu_attr axis = PRELU_INT("axis", 1);
    prelu_value channel[3];
    for (int64_t c = 0; c < 3; c++) {
        char name[32];
        int64_t start = 2 - c, end = 3 - c, one = 1;
        prelu_attr attrs[4] = {PRELU_INTS("starts", &start, 1), PRELU_INTS("ends", &end, 1),
                               PRELU_INTS("axes", &one, 1), PRELU_INTS("steps", &one, 1)};
        snprintf(name, sizeof name, "preprocess.channel%d", (int)c);
        PRELU_TRY(
            prelu_graph_add(r->to, "Slice", name, x, 1, attrs, 4, NULL, &channel[c], 1, r->err));
    }
    return prelu_graph_add(r->to, "Concat", "preprocess.bgr", channel, 3, &axis, 1, NULL, x, 1,
                           r->err);
}

/* (x * scale - mean) / std, each left out where it does nothing. */
static prelu_status add_arithmetic(rebuild *r, prelu_value *x)
{
    const prelu_preprocess *p = r->arithmetic;
    const float scale[3] = {p->scale, p->scale, p->scale};
    const prelu_shape *s = &r->to->values[*x].shape;
    bool mean = p->mean[0] != 0 || p->mean[1] != 0 || p->mean[2] != 0;
    bool std = p->std[0] != 1 || p->std[1] != 1 || p->std[2] != 1;
    r->arithmetic = NULL;
    if (!p->bgr && p->scale == 1 && !mean && !std)
        return PRELU_OK;
    if (s->rank != 4 || s->dim[1] != 3)
        return prelu_fail(r->err, PRELU_E_UNSUPPORTED,
                          "preprocess: the model's input is not (N,3,H,W)");
    if (p->bgr)
        PRELU_TRY(add_bgr(r, x));
    if (p->scale != 1)
        PRELU_TRY(add_constant(r, "Mul", scale, x));
    if (mean)
        PRELU_TRY(add_constant(r, "Sub", p->mean, x));
    return std ? add_constant(r, "Div", p->std, x) : PRELU_OK;
}

static prelu_status copy_value(rebuild *r, int i)
{
    const prelu_value_info *v = &r->from->values[i];
    prelu_shape s = v->shape;
    if (v->is_input) {
        if (r->free_size && s.rank == 4)
            s.dim[2] = s.dim[3] = -1;
        PRELU_TRY(prelu_graph_input(r->to, v->name, v->dtype, &s, &r->map[i], r->err));
        return r->arithmetic ? add_arithmetic(r, &r->map[i]) : PRELU_OK;
    }
    if (!v->is_constant || !r->needed[i])
        return PRELU_OK;
    return prelu_graph_constant(r->to, v->name, v->dtype, &v->shape, v->data, v->owns_data, v->role,
                                &r->map[i], r->err);
}

static prelu_status copy_node(rebuild *r, int i)
{
    const prelu_node *n = &r->from->nodes[i];
    const spp_match *spp = spp_at(r, i);
    prelu_value in[PRELU_MAX_INPUTS], out[PRELU_MAX_OUTPUTS];
    const char *names[PRELU_MAX_OUTPUTS];
    prelu_attr levels;
    if (!r->needed[n->out[0]])
        return PRELU_OK;
    for (int k = 0; k < n->n_in; k++)
        in[k] = n->in[k] == PRELU_NONE ? PRELU_NONE : r->map[n->in[k]];
    for (int k = 0; k < n->n_out; k++)
        names[k] = r->from->values[n->out[k]].name;
    if (spp) {
        levels = PRELU_INTS("levels", spp->levels, (size_t)spp->n);
        PRELU_TRY(prelu_graph_add(r->to, "SPP", n->name, &r->map[spp->x], 1, &levels, 1, names, out,
                                  1, r->err));
    } else {
        PRELU_TRY(prelu_graph_add(r->to, n->op, n->name, in, n->n_in, n->attrs, n->n_attrs, names,
                                  out, n->n_out, r->err));
    }
    for (int k = 0; k < n->n_out; k++)
        r->map[n->out[k]] = out[k];
    return PRELU_OK;
}

static prelu_status copy_graph(rebuild *r)
{
    const prelu_graph *g = r->from;
    for (int i = 0; i < g->n_values; i++)
        PRELU_TRY(copy_value(r, i));
    for (int i = 0; i < g->n_nodes; i++)
        PRELU_TRY(copy_node(r, i));
    for (int i = 0; i < g->n_outputs; i++)
        PRELU_TRY(prelu_graph_output(r->to, r->map[g->outputs[i]], r->err));
    return PRELU_OK;
}

/* Does the graph run at other sizes too, now that SPP takes any? */
static prelu_status runs_at(const prelu_graph *g, int64_t side, bool *ok, prelu_err *err)
{
    prelu_shape *shapes = prelu_calloc((size_t)g->n_values + 1, sizeof *shapes);
    prelu_status st;
    if (!shapes)
        return prelu_fail(err, PRELU_E_NOMEM, "%d shapes", g->n_values);
    st = prelu_graph_infer(g, 1, side, side, shapes, NULL);
    prelu_free(shapes);
    *ok = !st;
    return st == PRELU_E_NOMEM ? prelu_fail(err, st, "inferring shapes") : PRELU_OK;
}

static prelu_status make(rebuild *r, prelu_graph **out)
{
    prelu_status st;
    PRELU_TRY(prelu_graph_create(&r->to, r->err));
    st = copy_graph(r);
    if (st)
        prelu_graph_destroy(&r->to);
    *out = r->to;
    return st;
}

static prelu_status rebuild_graph(rebuild *r, int crop, prelu_graph **out)
{
    const prelu_preprocess *arithmetic = r->arithmetic;
    bool ok = true;
    prelu_status st;
    mark_needed(r);
    r->free_size = r->n_spp > 0;
    PRELU_TRY(make(r, out));
    if (!r->free_size)
        return PRELU_OK;
    st = runs_at(*out, (int64_t)crop + 64, &ok, r->err);
    if (!st && ok)
        return PRELU_OK;
    prelu_graph_destroy(out);
    r->free_size = false;
    r->arithmetic = arithmetic;
    return st ? st : make(r, out);
}

prelu_status onnx_graph_tidy(prelu_graph **g, const prelu_preprocess *p, prelu_err *err)
{
    size_t values = (size_t)(*g)->n_values + 1;
    prelu_shape *shapes = prelu_calloc(values, sizeof *shapes);
    prelu_value *map = prelu_calloc(values, sizeof *map);
    bool *needed = prelu_calloc(values, sizeof *needed);
    spp_match spp[MAX_SPP];
    tidy t = {*g, shapes, 0};
    rebuild r = {.from = *g, .map = map, .needed = needed, .spp = spp, .arithmetic = p, .err = err};
    prelu_graph *made = NULL;
    prelu_status st;
    if (!shapes || !map || !needed) {
        st = prelu_fail(err, PRELU_E_NOMEM, "a graph of %zu values", values);
        goto out;
    }
    st = mdl_graph_infer(*g, p->crop, shapes, err);
    if (st)
        goto out;
    for (int i = 0; i < (*g)->n_nodes && r.n_spp < MAX_SPP; i++)
        r.n_spp += match_spp(&t, i, &spp[r.n_spp]);
    st = rebuild_graph(&r, p->crop, &made);
    if (st)
        goto out;
    prelu_graph_destroy(g);
    *g = made;
out:
    prelu_free(shapes);
    prelu_free(map);
    prelu_free(needed);
    return st;
}
