#include "onnx_fold.h"
#include <string.h>

#define MAX_LIST 64
#define MAX_FILLED (1 << 20) /* elements that ConstantOfShape makes of a file's few bytes */

/* Sizes: one (a scalar), a list, or what an exporter makes of lists on its way. */
typedef struct list {
    int64_t v[MAX_LIST];
    size_t n;
    prelu_shape shape; /* of n elements */
} list;

static prelu_shape of_rank_1(size_t n) { return (prelu_shape){1, {(int64_t)n}}; }

/* A constant with room for its elements in *data; NULL: out of memory. */
static onnx_tensor *new_tensor(onnx_build *b, prelu_dtype dtype, const prelu_shape *shape,
                               void **data)
{
    onnx_tensor *t = mdl_pile_alloc(b->pile, 1, sizeof *t, "constant", b->err);
    if (!t || prelu_shape_count(shape, &t->count, b->err))
        return NULL;
    *data = mdl_pile_alloc(b->pile, t->count, prelu_dtype_size(dtype), "constant", b->err);
    t->name = b->node->n_out ? b->node->out[0] : "";
    t->dtype = dtype;
    t->shape = *shape;
    t->data = *data;
    return *data ? t : NULL;
}

static prelu_status define_list(onnx_build *b, const list *l)
{
    void *data;
    onnx_tensor *t = new_tensor(b, PRELU_I64, &l->shape, &data);
    if (!t)
        return PRELU_E_NOMEM;
    if (l->n)
        memcpy(data, l->v, l->n * sizeof *l->v);
    return onnx_define_constant(b, t);
}

/* Input i, if it is a few constant integers. */
static bool get_sizes(onnx_build *b, int i, list *l)
{
    const onnx_slot *s = onnx_in(b, i);
    if (!s || !s->t || (s->t->dtype != PRELU_I64 && s->t->dtype != PRELU_I32) ||
        s->t->count > MAX_LIST)
        return false;
    l->n = s->t->count;
    l->shape = s->t->shape;
    for (size_t k = 0; k < l->n; k++)
        l->v[k] = onnx_tensor_int(s->t, k);
    return true;
}

/* The same of a list or a scalar. */
static bool get_list(onnx_build *b, int i, list *l)
{
    return get_sizes(b, i, l) && l->shape.rank <= 1;
}

/* Number or numbers of an attribute of Constant as a tensor; the document they stand in does not
 * last, so they are copied. */
static prelu_status constant_numbers(onnx_build *b, const onnx_attr *a)
{
    bool floats = a->a.kind == PRELU_ATTR_FLOAT || a->a.kind == PRELU_ATTR_FLOATS;
    bool single = a->a.kind == PRELU_ATTR_FLOAT || a->a.kind == PRELU_ATTR_INT;
    size_t n = single ? 1 : a->a.len, size = floats ? sizeof(float) : sizeof(int64_t);
    const void *from = a->a.kind == PRELU_ATTR_FLOAT ? (const void *)&a->a.f
                       : single                      ? (const void *)&a->a.i
                       : floats                      ? (const void *)a->a.floats
                                                     : (const void *)a->a.ints;
    prelu_shape shape = {single ? 0 : 1, {(int64_t)n}};
    void *data;
    onnx_tensor *t = new_tensor(b, floats ? PRELU_F32 : PRELU_I64, &shape, &data);
    if (!t)
        return PRELU_E_NOMEM;
    if (n)
        memcpy(data, from, n * size);
    return onnx_define_constant(b, t);
}

/* Constant: one of its attributes holds the value. */
static prelu_status constant(onnx_build *b)
{
    static const struct {
        const char *name;
        prelu_attr_kind kind;
    } forms[] = {{"value_float", PRELU_ATTR_FLOAT},
                 {"value_floats", PRELU_ATTR_FLOATS},
                 {"value_int", PRELU_ATTR_INT},
                 {"value_ints", PRELU_ATTR_INTS}};
    const onnx_node *n = b->node;
    const onnx_attr *a = n->attrs;
    if (n->n_attrs != 1)
        return onnx_fail(b, PRELU_E_FORMAT, "%zu attributes, not 1", n->n_attrs);
    if (a->t && !strcmp(a->name, "value"))
        return onnx_define_constant(b, a->t);
    for (size_t i = 0; a->a.name && i < sizeof forms / sizeof *forms; i++)
        if (!strcmp(a->name, forms[i].name) && a->a.kind == forms[i].kind)
            return constant_numbers(b, a);
    return onnx_fail(b, PRELU_E_UNSUPPORTED, "attribute '%.40s'", a->name);
}

static prelu_status shape(onnx_build *b, bool *done)
{
    const onnx_slot *s = onnx_in(b, 0);
    int64_t start = onnx_int(b, "start", 0), end = onnx_int(b, "end", PRELU_MAX_RANK);
    prelu_shape sh;
    list l = {.n = 0};
    if (!s)
        return onnx_fail(b, PRELU_E_FORMAT, "its input is missing");
    if (s->t)
        sh = s->t->shape;
    else
        PRELU_TRY(onnx_shape_of(b, s->v, &sh));
    if (!s->t && sh.rank > 0 && b->batch_free)
        sh.dim[0] = ONNX_BATCH;
    start += start < 0 ? sh.rank : 0;
    end += end < 0 ? sh.rank : 0;
    for (int64_t i = start < 0 ? 0 : start; i < end && i < sh.rank; i++)
        l.v[l.n++] = sh.dim[i];
    l.shape = of_rank_1(l.n);
    *done = true;
    return define_list(b, &l);
}

static prelu_status gather(onnx_build *b, bool *done)
{
    list data, index, out = {.n = 0};
    if (!get_list(b, 0, &data) || !get_list(b, 1, &index) || onnx_int(b, "axis", 0))
        return PRELU_OK;
    for (size_t i = 0; i < index.n; i++) {
        int64_t at = index.v[i] + (index.v[i] < 0 ? (int64_t)data.n : 0);
        if (index.v[i] < -(int64_t)data.n || at < 0 || at >= (int64_t)data.n)
            return onnx_fail(b, PRELU_E_FORMAT, "index %lld of %zu", (long long)index.v[i], data.n);
        out.v[out.n++] = data.v[at];
    }
    out.shape = index.shape;
    *done = true;
    return define_list(b, &out);
}

static prelu_status concat(onnx_build *b, bool *done)
{
    list part, out = {.n = 0};
    for (int i = 0; i < b->node->n_in; i++) {
        if (!get_list(b, i, &part))
            return PRELU_OK;
        if (out.n + part.n > MAX_LIST)
            return onnx_fail(b, PRELU_E_LIMIT, "more than %d sizes", MAX_LIST);
        memcpy(out.v + out.n, part.v, part.n * sizeof *part.v);
        out.n += part.n;
    }
    out.shape = of_rank_1(out.n);
    *done = true;
    return define_list(b, &out);
}

/* Between a scalar and a list of one. */
static prelu_status relabel(onnx_build *b, bool scalar, bool *done)
{
    list l;
    if (!get_list(b, 0, &l) || l.n != 1)
        return PRELU_OK;
    l.shape = (prelu_shape){!scalar, {1}};
    *done = true;
    return define_list(b, &l);
}

static prelu_status cast(onnx_build *b, bool *done)
{
    int64_t to = onnx_int(b, "to", 0);
    bool floats = to == 1 || to == 10 || to == 11 || to == 16;
    onnx_tensor *t;
    void *data;
    list l;
    if ((to != 6 && to != 7 && !floats) || !get_sizes(b, 0, &l))
        return PRELU_OK;
    *done = true;
    if (!floats)
        return define_list(b, &l);
    t = new_tensor(b, PRELU_F32, &l.shape, &data);
    if (!t)
        return PRELU_E_NOMEM;
    for (size_t i = 0; i < l.n; i++) {
        if (l.v[i] == ONNX_BATCH)
            return onnx_fail(b, PRELU_E_UNSUPPORTED, "arithmetic with the batch size");
        ((float *)data)[i] = (float)l.v[i];
    }
    return onnx_define_constant(b, t);
}

/* ConstantOfShape: 0.0f, or the one element of `value`. */
static prelu_status of_shape(onnx_build *b, bool *done)
{
    const onnx_attr *value = onnx_node_attr(b->node, "value");
    const prelu_dtype dtype = value && value->t ? value->t->dtype : PRELU_F32;
    const size_t size = prelu_dtype_size(dtype);
    prelu_shape shape = {.rank = 0};
    size_t count = 1;
    onnx_tensor *t;
    void *data;
    list l;
    if (!get_list(b, 0, &l) || l.n > PRELU_MAX_RANK ||
        (value && (!value->t || value->t->count != 1)))
        return PRELU_OK;
    for (size_t i = 0; i < l.n; i++) {
        if (l.v[i] < 0 || l.v[i] > MAX_FILLED)
            return onnx_fail(b, PRELU_E_UNSUPPORTED, "size %lld", (long long)l.v[i]);
        shape.dim[shape.rank++] = l.v[i];
        count *= (size_t)l.v[i];
        if (count > MAX_FILLED)
            return onnx_fail(b, PRELU_E_LIMIT, "more than %d elements", MAX_FILLED);
    }
    b->filled += count;
    if (b->filled > MAX_FILLED)
        return onnx_fail(b, PRELU_E_LIMIT, "more than %d elements in all", MAX_FILLED);
    t = new_tensor(b, dtype, &shape, &data);
    if (!t)
        return PRELU_E_NOMEM;
    memset(data, 0, count * size);
    for (size_t i = 0; i < count && value; i++)
        memcpy((char *)data + i * size, value->t->data, size);
    *done = true;
    return onnx_define_constant(b, t);
}

static prelu_status combine(onnx_build *b, char op, int64_t x, int64_t y, int64_t *out)
{
    bool bad;
    if (x == ONNX_BATCH || y == ONNX_BATCH) { /* times or over 1 it stays the batch */
        int64_t other = x == ONNX_BATCH ? y : x;
        *out = ONNX_BATCH;
        if (other == 1 && (op == 'M' || (op == 'D' && x == ONNX_BATCH)))
            return PRELU_OK;
        return onnx_fail(b, PRELU_E_UNSUPPORTED, "arithmetic with the batch size");
    }
    if (op == 'D') {
        bad = y == 0 || (x == INT64_MIN && y == -1);
        *out = bad ? 0 : x / y;
    } else if (op == 'M') {
        bad = __builtin_mul_overflow(x, y, out);
    } else if (op == 'A') {
        bad = __builtin_add_overflow(x, y, out);
    } else {
        bad = __builtin_sub_overflow(x, y, out);
    }
    return bad ? onnx_fail(b, PRELU_E_FORMAT, "sizes overflow") : PRELU_OK;
}

static prelu_status arithmetic(onnx_build *b, bool *done)
{
    list x = {.n = 0}, y = {.n = 0}, out = {.n = 0};
    if (!get_list(b, 0, &x) || !get_list(b, 1, &y) || !x.n || !y.n ||
        (x.n != y.n && x.n != 1 && y.n != 1))
        return PRELU_OK;
    out.n = x.n > y.n ? x.n : y.n;
    out.shape = x.shape.rank > y.shape.rank || x.n > y.n ? x.shape : y.shape;
    for (size_t i = 0; i < out.n; i++)
        PRELU_TRY(
            combine(b, *b->node->op, x.v[x.n == 1 ? 0 : i], y.v[y.n == 1 ? 0 : i], &out.v[i]));
    *done = true;
    return define_list(b, &out);
}

/* Input i as one number; absent: `otherwise`. */
static bool get_number(onnx_build *b, int i, int64_t otherwise, int64_t *v)
{
    list l;
    const bool absent = i >= b->node->n_in || !*b->node->in[i];
    if (!absent && (!get_list(b, i, &l) || l.n != 1))
        return false;
    *v = absent ? otherwise : l.v[0];
    return true;
}

/* Rows start, start + step, ... of `count`, ONNX's way: from the end if below 0, and clamped. */
static prelu_status slice(onnx_build *b, bool *done)
{
    list data, out = {.n = 0};
    int64_t at, to, axis, step;
    if (!get_sizes(b, 0, &data) || data.shape.rank < 1 || data.shape.dim[0] < 1 ||
        b->node->n_in < 3 || !get_number(b, 1, 0, &at) || !get_number(b, 2, 0, &to) ||
        !get_number(b, 3, 0, &axis) || axis || !get_number(b, 4, 1, &step) || !step)
        return PRELU_OK;
    const int64_t count = data.shape.dim[0];
    const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? count : count - 1;
    const size_t row = data.n / (size_t)count;
    step = step > count ? count : step < -count ? -count : step; /* no overflow, the same rows */
    at += at < 0 ? count : 0;
    to = to < -count ? low : to + (to < 0 ? count : 0);
    at = at < low ? low : at > high ? high : at;
    to = to < low ? low : to > high ? high : to;
    out.shape = data.shape;
    out.shape.dim[0] = 0;
    for (; step > 0 ? at < to : at > to; at += step) {
        memcpy(out.v + out.n, data.v + (size_t)at * row, row * sizeof *out.v);
        out.n += row;
        out.shape.dim[0]++;
    }
    *done = true;
    return define_list(b, &out);
}

static prelu_status reshape(onnx_build *b, bool *done)
{
    list l, to;
    size_t known = 1;
    int open = -1;
    if (!get_sizes(b, 0, &l) || !get_list(b, 1, &to) || to.n > PRELU_MAX_RANK)
        return PRELU_OK;
    l.shape = (prelu_shape){.rank = (int)to.n};
    for (int i = 0; i < l.shape.rank; i++) {
        if (to.v[i] > MAX_LIST || to.v[i] < -1 || to.v[i] == 0 || (to.v[i] < 0 && open >= 0))
            return PRELU_OK;
        open = to.v[i] < 0 ? i : open;
        known *= to.v[i] < 0 ? 1 : (size_t)to.v[i]; /* at most MAX_LIST^PRELU_MAX_RANK = 2^36 */
        l.shape.dim[i] = to.v[i];
    }
    if (open >= 0)
        l.shape.dim[open] = (int64_t)(l.n / known);
    if (known * (open >= 0 ? (size_t)l.shape.dim[open] : 1) != l.n)
        return onnx_fail(b, PRELU_E_FORMAT, "%zu sizes cannot be cut so", l.n);
    *done = true;
    return define_list(b, &l);
}

/* Of a matrix. */
static prelu_status transpose(onnx_build *b, bool *done)
{
    const onnx_attr *perm = onnx_node_attr(b->node, "perm");
    list l, out;
    if (!get_sizes(b, 0, &l) || l.shape.rank != 2 ||
        (perm && (perm->a.kind != PRELU_ATTR_INTS || perm->a.len != 2 || perm->a.ints[0] != 1)))
        return PRELU_OK;
    const size_t rows = (size_t)l.shape.dim[0], cols = (size_t)l.shape.dim[1];
    out.n = l.n;
    out.shape = (prelu_shape){2, {l.shape.dim[1], l.shape.dim[0]}};
    for (size_t i = 0; i < l.n; i++)
        out.v[i] = l.v[i % rows * cols + i / rows];
    *done = true;
    return define_list(b, &out);
}

static prelu_status squeeze(onnx_build *b, bool *done) { return relabel(b, true, done); }

static prelu_status unsqueeze(onnx_build *b, bool *done) { return relabel(b, false, done); }

prelu_status onnx_fold(onnx_build *b, bool *done)
{
    static const struct {
        const char *op;
        prelu_status (*run)(onnx_build *b, bool *done);
    } folds[] = {{"Add", arithmetic},      {"Cast", cast},          {"Concat", concat},
                 {"Div", arithmetic},      {"Gather", gather},      {"ConstantOfShape", of_shape},
                 {"Mul", arithmetic},      {"Reshape", reshape},    {"Shape", shape},
                 {"Slice", slice},         {"Squeeze", squeeze},    {"Sub", arithmetic},
                 {"Transpose", transpose}, {"Unsqueeze", unsqueeze}};
    const char *op = b->node->op;
    *done = false;
    if (!strcmp(op, "Constant")) {
        *done = true;
        return constant(b);
    }
    for (size_t i = 0; b->node->n_out > 0 && i < sizeof folds / sizeof *folds; i++)
        if (!strcmp(op, folds[i].op))
            return folds[i].run(b, done);
    return PRELU_OK;
}
