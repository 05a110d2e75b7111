#include "ops/util.h"
#include <string.h>

size_t op_parts(size_t count, size_t chunk)
{
    return count <= chunk ? 1 : count / chunk + (count % chunk != 0);
}

void op_part(size_t count, size_t chunk, size_t i, size_t *begin, size_t *end)
{
    *begin = i * chunk;
    *end = count - *begin < chunk ? count : *begin + chunk;
}

size_t op_span(const prelu_shape *s, int from, int to)
{
    size_t count = 1;
    for (int i = from; i < to; i++)
        count *= (size_t)s->dim[i];
    return count;
}

size_t op_count(const prelu_shape *s) { return op_span(s, 0, s->rank); }

bool op_known(const prelu_shape *s)
{
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] < 0)
            return false;
    return true;
}

prelu_status op_check_size(const prelu_shape *s, prelu_err *err)
{
    size_t count = 1;
    char text[96];
    for (int i = 0; i < s->rank; i++) {
        if (s->dim[i] == 0)
            return prelu_fail(err, PRELU_E_FORMAT, "the result %s is empty",
                              prelu_shape_text(s, text, sizeof text));
        if (s->dim[i] > 0)
            PRELU_TRY(prelu_mul(count, (size_t)s->dim[i], &count, err));
    }
    if (count > OP_MAX_COUNT)
        return prelu_fail(err, PRELU_E_LIMIT, "%zu elements are too many", count);
    return PRELU_OK;
}

prelu_status op_check_map(const prelu_shape *s, prelu_err *err)
{
    const int64_t h = s->dim[2], w = s->dim[3];
    PRELU_TRY(op_check_size(s, err));
    if (h > 0 && w > 0 && h > INT32_MAX / w)
        return prelu_fail(err, PRELU_E_LIMIT, "a map of %lld x %lld", (long long)h, (long long)w);
    return PRELU_OK;
}

prelu_status op_ints(const prelu_node *n, const char *name, size_t want, int64_t lo, int64_t hi,
                     const int64_t **v, size_t *len, prelu_err *err)
{
    const prelu_attr *a = prelu_node_attr(n, name);
    *v = NULL;
    *len = 0;
    if (!a)
        return PRELU_OK;
    if (a->kind != PRELU_ATTR_INTS)
        return prelu_fail(err, PRELU_E_FORMAT, "attribute %s is not a list of integers", name);
    if (want && a->len != want)
        return prelu_fail(err, PRELU_E_FORMAT, "attribute %s has %zu numbers, not %zu", name,
                          a->len, want);
    for (size_t i = 0; i < a->len; i++)
        if (a->ints[i] < lo || a->ints[i] > hi)
            return prelu_fail(err, PRELU_E_FORMAT, "attribute %s: %lld is not in %lld..%lld", name,
                              (long long)a->ints[i], (long long)lo, (long long)hi);
    *v = a->ints;
    *len = a->len;
    return PRELU_OK;
}

prelu_status op_axis(int64_t axis, int rank, int *out, prelu_err *err)
{
    if (axis < -(int64_t)rank || axis >= rank)
        return prelu_fail(err, PRELU_E_FORMAT, "axis %lld of a value of rank %d", (long long)axis,
                          rank);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return PRELU_OK;
}

prelu_status op_need_rank(const prelu_shape *s, int rank, const char *what, prelu_err *err)
{
    char text[96];
    if (s->rank == rank)
        return PRELU_OK;
    if (s->rank < 0)
        return prelu_fail(err, PRELU_E_FORMAT, "%s is missing", what);
    return prelu_fail(err, PRELU_E_FORMAT, "%s %s has rank %d, not %d", what,
                      prelu_shape_text(s, text, sizeof text), s->rank, rank);
}

prelu_status op_need_f32(const op_instance *inst, const op_tensor *in, uint64_t other,
                         prelu_err *err)
{
    for (int i = 0; i < inst->node->n_in; i++)
        if (in[i].shape.rank >= 0 && in[i].dtype != PRELU_F32 && !(other >> i & 1))
            return prelu_fail(err, PRELU_E_UNSUPPORTED, "input %d is %s, not %s", i,
                              prelu_dtype_name(in[i].dtype), prelu_dtype_name(PRELU_F32));
    return PRELU_OK;
}

bool op_dim_fits(int64_t a, int64_t b) { return a == b || a < 0 || b < 0; }

bool op_shape_fits(const prelu_shape *a, const prelu_shape *b)
{
    bool fits = a->rank == b->rank;
    for (int i = 0; fits && i < a->rank; i++)
        fits = op_dim_fits(a->dim[i], b->dim[i]);
    return fits;
}

prelu_status op_need_same(const prelu_shape *a, const char *a_name, const prelu_shape *b,
                          const char *b_name, prelu_err *err)
{
    char ta[96], tb[96];
    if (op_shape_fits(a, b))
        return PRELU_OK;
    return prelu_fail(err, PRELU_E_FORMAT, "%s is %s, but %s is %s", a_name,
                      a->rank < 0 ? "missing" : prelu_shape_text(a, ta, sizeof ta), b_name,
                      b->rank < 0 ? "missing" : prelu_shape_text(b, tb, sizeof tb));
}

void op_order(const prelu_shape *s, int order[PRELU_MAX_RANK])
{
    static const int channels_last[4] = {0, 2, 3, 1};
    for (int p = 0; p < s->rank; p++)
        order[p] = s->rank == 4 ? channels_last[p] : p;
}

void op_strides(const prelu_shape *s, ptrdiff_t stride[PRELU_MAX_RANK])
{
    int order[PRELU_MAX_RANK];
    ptrdiff_t step = 1;
    op_order(s, order);
    for (int p = s->rank - 1; p >= 0; p--) {
        stride[order[p]] = step;
        step *= (ptrdiff_t)s->dim[order[p]];
    }
}

op_channels op_channels_of(const prelu_shape *s)
{
    op_channels v = {(size_t)s->dim[0], (size_t)s->dim[1]};
    if (s->rank == 4)
        v.rows *= (size_t)s->dim[2] * (size_t)s->dim[3];
    return v;
}

void op_walk_broadcast(op_walk *w, const prelu_shape *base, const prelu_shape *const *operands,
                       int n)
{
    int order[PRELU_MAX_RANK];
    op_order(base, order);
    w->rank = base->rank;
    w->n = n;
    for (int p = 0; p < base->rank; p++)
        w->size[p] = (size_t)base->dim[order[p]];
    for (int k = 0; k < n; k++) {
        const int missing = base->rank - operands[k]->rank;
        ptrdiff_t stride[PRELU_MAX_RANK];
        op_strides(operands[k], stride);
        for (int p = 0; p < base->rank; p++) {
            const int axis = order[p] - missing;
            w->stride[k][p] = axis < 0 || operands[k]->dim[axis] == 1 ? 0 : stride[axis];
        }
    }
    op_walk_merge(w);
}

/* Loop `outer` and the loop `inner` just inside it run over memory as one. */
static bool joins(const op_walk *w, int outer, int inner)
{
    for (int k = 0; k < w->n; k++)
        if (w->stride[k][outer] != (ptrdiff_t)w->size[inner] * w->stride[k][inner])
            return false;
    return true;
}

static void loop_move(op_walk *w, int to, int from)
{
    w->size[to] = w->size[from];
    for (int k = 0; k < w->n; k++)
        w->stride[k][to] = w->stride[k][from];
}

void op_walk_merge(op_walk *w)
{
    int kept = 0;
    for (int p = 0; p < w->rank; p++) {
        if (w->size[p] == 1)
            continue;
        if (kept > 0 && joins(w, kept - 1, p)) {
            const size_t outer = w->size[kept - 1];
            loop_move(w, kept - 1, p);
            w->size[kept - 1] *= outer;
        } else {
            loop_move(w, kept++, p);
        }
    }
    if (kept == 0) {
        kept = 1;
        w->size[0] = 1;
        for (int k = 0; k < w->n; k++)
            w->stride[k][0] = 0;
    }
    w->rank = kept;
}

ptrdiff_t op_walk_at(const op_walk *w, int k, size_t row)
{
    ptrdiff_t at = 0;
    if (w->rank == 2)
        return (ptrdiff_t)row * w->stride[k][0];
    for (int p = w->rank - 2; p >= 0 && row; p--) {
        at += (ptrdiff_t)(row % w->size[p]) * w->stride[k][p];
        row /= w->size[p];
    }
    return at;
}

prelu_status op_broadcast(const prelu_shape *a, const prelu_shape *b, prelu_shape *out,
                          prelu_err *err)
{
    char ta[96], tb[96];
    prelu_shape s = {.rank = a->rank > b->rank ? a->rank : b->rank};
    for (int i = 1; i <= s.rank; i++) {
        const int64_t da = i <= a->rank ? a->dim[a->rank - i] : 1;
        const int64_t db = i <= b->rank ? b->dim[b->rank - i] : 1;
        if (da != db && da != 1 && db != 1 && da >= 0 && db >= 0)
            return prelu_fail(err, PRELU_E_FORMAT, "%s and %s cannot be broadcast",
                              prelu_shape_text(a, ta, sizeof ta),
                              prelu_shape_text(b, tb, sizeof tb));
        s.dim[s.rank - i] = da == 1 || (da < 0 && db != 1) ? db : da;
    }
    *out = s;
    return op_check_size(out, err);
}

bool op_broadcasts_to(const prelu_shape *small, const prelu_shape *big)
{
    if (small->rank < 0 || small->rank > big->rank)
        return false;
    for (int i = 1; i <= small->rank; i++) {
        const int64_t d = small->dim[small->rank - i];
        if (d != 1 && !op_dim_fits(d, big->dim[big->rank - i]))
            return false;
    }
    return true;
}

void op_work_elementwise(op_work *work, size_t count, double bytes)
{
    work->phases = 1;
    work->tasks[0] = op_parts(count, OP_CHUNK);
    work->flops[0] = 1 + bytes * (double)(count < OP_CHUNK ? count : OP_CHUNK);
}

void op_sum_shares(float *sum, const float *part, size_t n, size_t shares, size_t task)
{
    size_t from, to;
    op_part(n, OP_CHUNK, task, &from, &to);
    memcpy(sum + from, part + from, (to - from) * sizeof *sum);
    for (size_t s = 1; s < shares; s++) {
        const float *restrict more = part + s * n;
        float *restrict all = sum;
        for (size_t i = from; i < to; i++)
            all[i] += more[i];
    }
}

op_piece op_piece_of(const op_exec *x, size_t task)
{
    op_piece s = {.y = x->out[0].data, .a = x->in[0].data};
    size_t begin, end;
    op_part(op_count(&x->out[0].shape), OP_CHUNK, task, &begin, &end);
    s.y += begin;
    s.a += begin;
    if (x->n_in > 1)
        s.b = (const float *)x->in[1].data + begin;
    s.n = end - begin;
    return s;
}

prelu_status op_shape_like_first(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                 prelu_err *err)
{
    (void)n;
    if (in[0].rank < 0)
        return prelu_fail(err, PRELU_E_FORMAT, "input 0 is missing");
    out[0] = in[0];
    return op_check_size(out, err);
}

prelu_status op_shape_like_both(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                prelu_err *err)
{
    PRELU_TRY(op_need_same(&in[0], "input 0", &in[1], "input 1", err));
    return op_shape_like_first(n, in, out, err);
}

prelu_status op_prepare_elementwise(const op_instance *inst, const op_tensor *in,
                                    const op_tensor *out, op_work *work, prelu_err *err)
{
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    op_work_elementwise(work, op_count(&out[0].shape), 4.0 * (1 + inst->node->n_in));
    return PRELU_OK;
}

prelu_status op_grad_one(op_grad_ctx *c, int i, const char *op, const char *tag,
                         const prelu_value *in, int n_in, const prelu_attr *attrs, size_t n_attrs,
                         prelu_err *err)
{
    c->din[i] = PRELU_NONE;
    if (!c->needs[i] || c->dout[0] == PRELU_NONE)
        return PRELU_OK;
    return op_grad_node(c, op, tag, in, n_in, attrs, n_attrs, &c->din[i], 1, err);
}
