#include "onnx_fold.h"
#include <string.h>

#define MAX_LIST 64

/* A list of sizes, or one size (a scalar). */
typedef struct list {
    int64_t v[MAX_LIST];
    size_t n;
    bool scalar;
} list;

static prelu_status define_list(onnx_build *b, const list *l)
{
    onnx_tensor *t = mdl_pile_alloc(b->pile, 1, sizeof *t, "sizes", b->err);
    int64_t *data = t ? mdl_pile_alloc(b->pile, l->n, sizeof *data, "sizes", b->err) : NULL;
    if (!data)
        return PRELU_E_NOMEM;
    if (l->n)
        memcpy(data, l->v, l->n * sizeof *data);
    t->name = b->node->out[0];
    t->dtype = PRELU_I64;
    t->shape = (prelu_shape){l->scalar ? 0 : 1, {(int64_t)l->n}};
    t->data = data;
    t->count = l->n;
    return onnx_define_constant(b, t);
}

/* Input i as a list; false if it is no constant list of integers. */
static bool get_list(onnx_build *b, int i, list *l)
{
    const onnx_slot *s = onnx_in(b, i);
    if (!s || !s->t || (s->t->dtype != PRELU_I64 && s->t->dtype != PRELU_I32) ||
        s->t->shape.rank > 1 || s->t->count > MAX_LIST)
        return false;
    l->n = s->t->count;
    l->scalar = s->t->shape.rank == 0;
    for (size_t k = 0; k < l->n; k++)
        l->v[k] = onnx_tensor_int(s->t, k);
    return true;
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
    onnx_tensor *t = mdl_pile_alloc(b->pile, 1, sizeof *t, "constant", b->err);
    void *data = t ? mdl_pile_alloc(b->pile, n, size, "constant", b->err) : NULL;
    if (!data)
        return PRELU_E_NOMEM;
    if (n)
        memcpy(data, from, n * size);
    t->name = b->node->n_out ? b->node->out[0] : "";
    t->dtype = floats ? PRELU_F32 : PRELU_I64;
    t->shape = (prelu_shape){single ? 0 : 1, {(int64_t)n}};
    t->data = data;
    t->count = n;
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
    if (!s->t && sh.rank > 0)
        sh.dim[0] = ONNX_BATCH;
    start += start < 0 ? sh.rank : 0;
    end += end < 0 ? sh.rank : 0;
    for (int64_t i = start < 0 ? 0 : start; i < end && i < sh.rank; i++)
        l.v[l.n++] = sh.dim[i];
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
    out.scalar = index.scalar;
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
    *done = true;
    return define_list(b, &out);
}

/* Between a scalar and a list of one; and Cast to an integer type. */
static prelu_status relabel(onnx_build *b, bool scalar, bool *done)
{
    list l;
    if (!get_list(b, 0, &l) || l.n != 1)
        return PRELU_OK;
    l.scalar = scalar;
    *done = true;
    return define_list(b, &l);
}

static prelu_status cast(onnx_build *b, bool *done)
{
    int64_t to = onnx_int(b, "to", 0);
    list l;
    if ((to != 6 && to != 7) || !get_list(b, 0, &l))
        return PRELU_OK;
    *done = true;
    return define_list(b, &l);
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
    out.scalar = x.scalar && y.scalar;
    for (size_t i = 0; i < out.n; i++)
        PRELU_TRY(
            combine(b, *b->node->op, x.v[x.n == 1 ? 0 : i], y.v[y.n == 1 ? 0 : i], &out.v[i]));
    *done = true;
    return define_list(b, &out);
}

static prelu_status slice(onnx_build *b, bool *done)
{
    list data, start, end, out = {.n = 0};
    if (!get_list(b, 0, &data) || !get_list(b, 1, &start) || !get_list(b, 2, &end) ||
        b->node->n_in > 4 || start.n != 1 || end.n != 1)
        return PRELU_OK;
    start.v[0] += start.v[0] < 0 ? (int64_t)data.n : 0;
    end.v[0] += end.v[0] < 0 ? (int64_t)data.n : 0;
    for (int64_t i = start.v[0] < 0 ? 0 : start.v[0]; i < end.v[0] && i < (int64_t)data.n; i++)
        out.v[out.n++] = data.v[i];
    *done = true;
    return define_list(b, &out);
}

prelu_status onnx_fold(onnx_build *b, bool *done)
{
    const char *op = b->node->op;
    *done = false;
    if (!strcmp(op, "Constant")) {
        *done = true;
        return constant(b);
    }
    if (b->node->n_out < 1)
        return PRELU_OK;
    if (!strcmp(op, "Shape"))
        return shape(b, done);
    if (!strcmp(op, "Gather"))
        return gather(b, done);
    if (!strcmp(op, "Concat"))
        return concat(b, done);
    if (!strcmp(op, "Unsqueeze") || !strcmp(op, "Squeeze"))
        return relabel(b, *op == 'S', done);
    if (!strcmp(op, "Cast"))
        return cast(b, done);
    if (!strcmp(op, "Slice"))
        return slice(b, done);
    if (!strcmp(op, "Add") || !strcmp(op, "Sub") || !strcmp(op, "Mul") || !strcmp(op, "Div"))
        return arithmetic(b, done);
    return PRELU_OK;
}
