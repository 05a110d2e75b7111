#include "ops/op.h"
#include "ops/spp.h"
#include "prelu/graph.h"
#include "prelu/mem.h"
#include <stdio.h>
#include <string.h>

/* A classifier made ready for whole pictures: the trunk, up to the last feature map, runs on any
 * size, and the head on every window of that map that has the size of training. */

typedef struct slide {
    prelu_graph *g;
    const prelu_shape *shapes; /* at training size */
    bool *live;                /* by value: scratch of the searches */
    int head;                  /* the node that ends the map */
    int first_new;             /* nodes from here on were added */
    int64_t h, w;              /* of a window */
} slide;

static bool is_op(const prelu_node *n, const char *op) { return strcmp(n->op, op) == 0; }

static prelu_value first_input(const prelu_graph *g)
{
    for (int i = 0; i < g->n_values; i++)
        if (g->values[i].is_input && g->values[i].role == PRELU_ROLE_NONE)
            return i;
    return PRELU_NONE;
}

/* Marks what `live` values are made of, but does not look through node `skip`. */
static void mark(const slide *s, int skip)
{
    for (int i = s->g->n_nodes - 1; i >= 0; i--) {
        const prelu_node *n = &s->g->nodes[i];
        bool any = false;
        for (int k = 0; k < n->n_out; k++)
            any = any || s->live[n->out[k]];
        for (int k = 0; k < n->n_in && any && i != skip; k++)
            if (n->in[k] != PRELU_NONE)
                s->live[n->in[k]] = true;
    }
}

static void mark_outputs(const slide *s, int skip)
{
    memset(s->live, 0, (size_t)s->g->n_values * sizeof *s->live);
    for (int i = 0; i < s->g->n_outputs; i++)
        s->live[s->g->outputs[i]] = true;
    mark(s, skip);
}

/* ReduceMean and ReduceMax over height and width, and nothing else. */
static bool reduces_map(const prelu_node *n)
{
    const prelu_attr *a = prelu_node_attr(n, "axes");
    unsigned axes = 0;
    if (!a || a->kind != PRELU_ATTR_INTS)
        return false;
    for (size_t i = 0; i < a->len; i++) {
        const int64_t axis = a->ints[i] < 0 ? a->ints[i] + 4 : a->ints[i];
        axes |= axis >= 0 && axis < 4 ? 1u << axis : 1u;
    }
    return axes == 12u;
}

/* An average over the whole map at training size, as older exporters write global pooling. */
static bool averages_map(const slide *s, const prelu_node *n)
{
    const prelu_shape *x = &s->shapes[n->in[0]], *y = &s->shapes[n->out[0]];
    const prelu_attr *kernel = prelu_node_attr(n, "kernel_shape");
    const prelu_attr *pads = prelu_node_attr(n, "pads");
    for (size_t i = 0; pads && i < pads->len; i++)
        if (pads->ints[i])
            return false;
    return is_op(n, "AveragePool") && y->dim[2] == 1 && y->dim[3] == 1 &&
           kernel->ints[0] == x->dim[2] && kernel->ints[1] == x->dim[3];
}

/* A node that turns a map into something without height and width. */
static bool ends_map(const slide *s, const prelu_node *n)
{
    const prelu_shape *x = &s->shapes[n->in[0]];
    if (x->rank != 4)
        return false;
    if (is_op(n, "ReduceMean") || is_op(n, "ReduceMax"))
        return reduces_map(n);
    if (is_op(n, "Flatten"))
        return prelu_node_int(n, "axis", 1) == 1;
    if (is_op(n, "Reshape"))
        return s->shapes[n->out[0]].rank == 2 && s->shapes[n->out[0]].dim[0] == x->dim[0];
    return is_op(n, "SPP") || is_op(n, "GlobalAveragePool") || is_op(n, "GlobalMaxPool") ||
           averages_map(s, n);
}

/* The first such node that every path from the picture to the scores takes. */
static prelu_status find_head(slide *s, prelu_value input, prelu_err *err)
{
    for (int i = 0; i < s->g->n_nodes; i++) {
        const prelu_node *n = &s->g->nodes[i];
        if (!ends_map(s, n))
            continue;
        mark_outputs(s, i);
        if (s->live[n->out[0]] && !s->live[input]) {
            s->head = i;
            return PRELU_OK;
        }
    }
    return prelu_fail(err, PRELU_E_UNSUPPORTED,
                      "cannot be tested densely: no SPP, global pooling or Flatten node stands on "
                      "every path to '%.64s'",
                      s->g->values[s->g->outputs[0]].name);
}

/* A value that is the same at every place of a map: it may be spread over a larger one. */
static bool is_spread(const prelu_shape *s)
{
    for (int i = 0; i < 2 && i < s->rank; i++)
        if (s->dim[s->rank - 1 - i] != 1)
            return false;
    return true;
}

/* Does the node mean the same on a larger map, place by place? */
static bool slides(const slide *s, const prelu_node *n)
{
    static const char *const any[] = {
        "Conv",      "MaxPool", "AveragePool", "BatchNormalization", "Relu",      "LeakyRelu",
        "Identity",  "Sigmoid", "Clip",        "HardSigmoid",        "HardSwish", "Dropout",
        "SubWarped", "LRN",     "Pad"};
    static const char *const spread[] = {"PRelu", "Add", "Sub", "Mul", "Div", "Sum"};
    if (s->shapes[n->out[0]].rank != 4 || s->shapes[n->in[0]].rank != 4)
        return false;
    for (size_t i = 0; i < sizeof any / sizeof *any; i++)
        if (is_op(n, any[i]))
            return true;
    if (is_op(n, "Concat")) {
        const int64_t axis = prelu_node_int(n, "axis", 1);
        return axis == 1 || axis == -3;
    }
    for (size_t i = 0; i < sizeof spread / sizeof *spread; i++) {
        if (!is_op(n, spread[i]))
            continue;
        for (int k = 0; k < n->n_in; k++)
            if (s->g->values[n->in[k]].is_constant && !is_spread(&s->shapes[n->in[k]]))
                return false;
        return true;
    }
    return false;
}

static prelu_status check_trunk(const slide *s, prelu_err *err)
{
    memset(s->live, 0, (size_t)s->g->n_values * sizeof *s->live);
    s->live[s->g->nodes[s->head].in[0]] = true;
    mark(s, PRELU_NONE);
    for (int i = 0; i < s->head; i++) {
        const prelu_node *n = &s->g->nodes[i];
        if (s->live[n->out[0]] && !slides(s, n))
            return prelu_fail(err, PRELU_E_UNSUPPORTED,
                              "cannot be tested densely: %s node '%.80s' before the head does not "
                              "slide over a larger map",
                              n->op, n->name);
    }
    return PRELU_OK;
}

/* A node named after the head, at the end of the list for now. */
static prelu_status add(slide *s, const char *op, const char *tag, const prelu_value *in, int n_in,
                        const prelu_attr *attrs, size_t n_attrs, prelu_value *out, prelu_err *err)
{
    char name[256];
    snprintf(name, sizeof name, "%.200s.%s", s->g->nodes[s->head].name, tag);
    return prelu_graph_add(s->g, op, name, in, n_in, attrs, n_attrs, NULL, out, 1, err);
}

static prelu_status add_pool(slide *s, const char *op, const char *tag, prelu_value x, int64_t h,
                             int64_t w, prelu_value *out, prelu_err *err)
{
    const int64_t kernel[2] = {h, w};
    const prelu_attr attr = PRELU_INTS("kernel_shape", kernel, 2);
    return add(s, op, tag, &x, 1, &attr, 1, out, err);
}

static prelu_status add_windows(slide *s, prelu_value x, int64_t h, int64_t w, prelu_value *out,
                                prelu_err *err)
{
    const int64_t size[2] = {h, w};
    const prelu_attr attr = PRELU_INTS("window", size, 2);
    return add(s, "Windows", "windows", &x, 1, &attr, 1, out, err);
}

/* Whoever reads the head's output, or asks for it by number, gets the last added node's. */
static void take_over(const slide *s)
{
    prelu_node *last = &s->g->nodes[s->g->n_nodes - 1], *head = &s->g->nodes[s->head];
    const prelu_value v = last->out[0];
    last->out[0] = head->out[0];
    head->out[0] = v;
}

/* The sizes that the bins have: at most three for each level and axis. */
typedef struct bin_sizes {
    int64_t size[64]; /* height, width, height, width, ... */
    size_t n;         /* pairs */
} bin_sizes;

static prelu_status add_size(bin_sizes *b, size_t h, size_t w, prelu_err *err)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->size[2 * i] == (int64_t)h && b->size[2 * i + 1] == (int64_t)w)
            return PRELU_OK;
    if (b->n == sizeof b->size / sizeof *b->size / 2)
        return prelu_fail(err, PRELU_E_UNSUPPORTED,
                          "cannot be tested densely: its bins have more than %zu sizes", b->n);
    b->size[2 * b->n] = (int64_t)h;
    b->size[2 * b->n + 1] = (int64_t)w;
    b->n++;
    return PRELU_OK;
}

static prelu_status find_sizes(const slide *s, const prelu_attr *levels, bin_sizes *b,
                               prelu_err *err)
{
    const size_t h = (size_t)s->h, w = (size_t)s->w;
    for (size_t l = 0; l < levels->len; l++) {
        const size_t level = (size_t)levels->ints[l];
        for (size_t i = 0; i < level * level; i++) {
            const size_t row = i / level, col = i % level;
            PRELU_TRY(add_size(b, op_spp_to(h, level, row) - op_spp_from(h, level, row),
                               op_spp_to(w, level, col) - op_spp_from(w, level, col), err));
        }
    }
    return PRELU_OK;
}

/* A max-filter of each size, rows and columns one after the other, and a gather. */
static prelu_status slide_spp(slide *s, prelu_value x, prelu_err *err)
{
    const prelu_attr levels = *prelu_node_attr(&s->g->nodes[s->head], "levels");
    const int64_t window[2] = {s->h, s->w};
    prelu_value in[32], v;
    bin_sizes b = {.n = 0};
    PRELU_TRY(find_sizes(s, &levels, &b, err));
    for (size_t i = 0; i < b.n; i++) {
        char tag[48];
        const long long h = b.size[2 * i], w = b.size[2 * i + 1];
        in[i] = x;
        snprintf(tag, sizeof tag, "max%lldx%lld.rows", h, w);
        if (h > 1)
            PRELU_TRY(add_pool(s, "MaxPool", tag, in[i], h, 1, &in[i], err));
        snprintf(tag, sizeof tag, "max%lldx%lld", h, w);
        if (w > 1)
            PRELU_TRY(add_pool(s, "MaxPool", tag, in[i], 1, w, &in[i], err));
    }
    const prelu_attr attrs[] = {PRELU_INTS("levels", levels.ints, levels.len),
                                PRELU_INTS("window", window, 2),
                                PRELU_INTS("sizes", b.size, 2 * b.n)};
    return add(s, "SPPWindows", "windows", in, (int)b.n, attrs, 3, &v, err);
}

static prelu_status slide_pool(slide *s, prelu_value x, prelu_err *err)
{
    const prelu_node *n = &s->g->nodes[s->head];
    const bool max = is_op(n, "GlobalMaxPool") || is_op(n, "ReduceMax");
    const bool flat = s->shapes[n->out[0]].rank == 2;
    PRELU_TRY(add_pool(s, max ? "MaxPool" : "AveragePool", "sliding", x, s->h, s->w, &x, err));
    PRELU_TRY(add_windows(s, x, 1, 1, &x, err));
    return flat ? add(s, "Flatten", "flat", &x, 1, NULL, 0, &x, err) : PRELU_OK;
}

static prelu_status slide_head(slide *s, prelu_err *err)
{
    const prelu_node *n = &s->g->nodes[s->head];
    prelu_value x = n->in[0];
    s->first_new = s->g->n_nodes;
    s->h = s->shapes[x].dim[2];
    s->w = s->shapes[x].dim[3];
    if (is_op(n, "Flatten") || is_op(n, "Reshape")) {
        PRELU_TRY(add_windows(s, x, s->h, s->w, &x, err));
        s->g->nodes[s->head].in[0] = x;
        return PRELU_OK;
    }
    PRELU_TRY(is_op(n, "SPP") ? slide_spp(s, x, err) : slide_pool(s, x, err));
    take_over(s);
    return PRELU_OK;
}

/* The added nodes go before the head: there stands everything they read, and nothing that reads
 * them. */
static prelu_status reorder(const slide *s, prelu_err *err)
{
    prelu_graph *g = s->g;
    const size_t moved = (size_t)(g->n_nodes - s->first_new);
    prelu_node *added = prelu_alloc(moved * sizeof *added);
    if (!added)
        return prelu_fail(err, PRELU_E_NOMEM, "dense: %zu nodes", moved);
    memcpy(added, g->nodes + s->first_new, moved * sizeof *added);
    memmove(g->nodes + s->head + moved, g->nodes + s->head,
            (size_t)(s->first_new - s->head) * sizeof *added);
    memcpy(g->nodes + s->head, added, moved * sizeof *added);
    prelu_free(added);
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_out; k++)
            g->values[g->nodes[i].out[k]].producer = i;
    return PRELU_OK;
}

/* A mean picture that is subtracted from the input is stretched to the size of what comes. */
static prelu_status warp_mean(slide *s, prelu_value input, prelu_err *err)
{
    const prelu_shape *x = &s->shapes[input];
    for (int i = 0; i < s->head; i++) {
        prelu_node *n = &s->g->nodes[i];
        if (!is_op(n, "Sub") || n->in[0] != input || !s->g->values[n->in[1]].is_constant)
            continue;
        const prelu_value_info mean = s->g->values[n->in[1]];
        const int rank = mean.shape.rank;
        prelu_shape shape = {4, {1, 1, 1, 1}};
        char name[256];
        if (rank < 3 || rank > 4 || is_spread(&mean.shape))
            continue;
        for (int d = 0; d < rank; d++)
            shape.dim[4 - rank + d] = mean.shape.dim[d];
        if (shape.dim[0] != 1 || memcmp(shape.dim + 1, x->dim + 1, 3 * sizeof *x->dim) != 0)
            continue;
        snprintf(name, sizeof name, "%.200s.warped", mean.name);
        n->op = op_find("SubWarped")->name;
        return prelu_graph_constant(s->g, name, mean.dtype, &shape, mean.data, false, mean.role,
                                    &n->in[1], err);
    }
    return PRELU_OK;
}

static prelu_status convert(slide *s, int64_t h, int64_t w, prelu_shape *shapes, prelu_err *err)
{
    const prelu_value input = first_input(s->g);
    if (input == PRELU_NONE || s->g->values[input].shape.rank != 4 || s->g->n_outputs < 1)
        return prelu_fail(err, PRELU_E_UNSUPPORTED,
                          "cannot be tested densely: its input is no picture");
    prelu_shape *size = &s->g->values[input].shape;
    PRELU_TRY(prelu_graph_infer(s->g, 1, size->dim[2] > 0 ? 0 : h, size->dim[3] > 0 ? 0 : w, shapes,
                                err));
    s->shapes = shapes;
    PRELU_TRY(find_head(s, input, err));
    PRELU_TRY(warp_mean(s, input, err));
    PRELU_TRY(check_trunk(s, err));
    PRELU_TRY(slide_head(s, err));
    PRELU_TRY(reorder(s, err));
    size = &s->g->values[input].shape; /* values may have moved */
    size->dim[2] = size->dim[3] = -1;
    return PRELU_OK;
}

prelu_status prelu_graph_dense(prelu_graph **out, const prelu_graph *src, int64_t h, int64_t w,
                               prelu_err *err)
{
    slide s = {.g = NULL};
    prelu_shape *shapes = prelu_calloc((size_t)src->n_values + 1, sizeof *shapes);
    prelu_status st = PRELU_OK;
    s.live = prelu_calloc((size_t)src->n_values + 1, sizeof *s.live);
    if (!shapes || !s.live)
        st = prelu_fail(err, PRELU_E_NOMEM, "dense: %d values", src->n_values);
    if (!st)
        st = prelu_graph_clone(&s.g, src, err);
    if (!st)
        st = convert(&s, h, w, shapes, err);
    prelu_free(shapes);
    prelu_free(s.live);
    if (st)
        prelu_graph_destroy(&s.g);
    else
        *out = s.g;
    return st;
}
