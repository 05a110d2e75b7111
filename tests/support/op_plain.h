#ifndef PRELU_TEST_OP_PLAIN_H
#define PRELU_TEST_OP_PLAIN_H
/* One op run on tensors in logical (row-major) order, for tests that compare with plain loops. */
#include "op_run.h"

typedef struct op_plain {
    float *in[PRELU_MAX_INPUTS], *out[PRELU_MAX_OUTPUTS]; /* logical order; f32 */
    const int32_t *labels;                                /* given as the last input, if set */
    prelu_shape shape[PRELU_MAX_INPUTS], out_shape[PRELU_MAX_OUTPUTS];
    int n_in, n_out;
    uint64_t seed; /* of the run: Dropout */
} op_plain;

/* Adds an input of uniform numbers; returns them. */
static inline float *op_plain_input(op_plain *p, prelu_shape s, float lo, float hi, uint64_t *seed)
{
    const size_t n = op_run_count(&s);
    float *v = malloc(n * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = check_random_float(seed, lo, hi);
    p->shape[p->n_in] = s;
    p->in[p->n_in++] = v;
    return v;
}

static inline float *op_plain_copy(const float *v, const prelu_shape *s, bool to_engine)
{
    const size_t n = op_run_count(s);
    float *to = malloc(n * sizeof *to);
    if (s->rank != 4) {
        memcpy(to, v, n * sizeof *to);
    } else if (to_engine) {
        op_run_layout(to, v, s);
    } else { /* (n,c,h,w) from (n,h,w,c): the same with the roles of c and h*w changed */
        const prelu_shape turned = {4, {s->dim[0], s->dim[2] * s->dim[3], s->dim[1], 1}};
        op_run_layout(to, v, &turned);
    }
    return to;
}

static inline void op_plain_once(op_plain *p, op_run *r, const char *op, const prelu_attr *attrs,
                                 size_t n_attrs, bool backwards)
{
    prelu_err err = {0};
    *r = (op_run){.krn = krn_table_get(), .backwards = backwards, .seed = p->seed};
    for (int i = 0; i < p->n_in; i++)
        r->in[i] =
            (op_tensor){.data = op_plain_copy(p->in[i], &p->shape[i], true), .shape = p->shape[i]};
    if (p->labels)
        r->in[p->n_in] = (op_tensor){.data = (void *)p->labels,
                                     .dtype = PRELU_I32,
                                     .shape = {1, {p->shape[p->n_in - 1].dim[0]}}};
    check_ok(op_run_go(r, op, p->n_in + (p->labels != NULL), p->n_out, attrs, n_attrs, &err), &err);
    for (int i = 0; i < p->n_in; i++)
        free(r->in[i].data);
}

/* Runs with tasks in order and backwards: the bits must be the same. Fills out and out_shape. */
static inline void op_plain_go(op_plain *p, const char *op, int n_out, const prelu_attr *attrs,
                               size_t n_attrs)
{
    op_run forwards, backwards;
    p->n_out = n_out;
    op_plain_once(p, &forwards, op, attrs, n_attrs, false);
    op_plain_once(p, &backwards, op, attrs, n_attrs, true);
    for (int i = 0; i < n_out; i++) {
        const prelu_shape *s = &forwards.out[i].shape;
        if (memcmp(forwards.out[i].data, backwards.out[i].data, op_run_count(s) * sizeof(float)))
            fail_msg("%s: output %d depends on the order of tasks", op, i);
        p->out_shape[i] = *s;
        p->out[i] = op_plain_copy(forwards.out[i].data, s, false);
    }
    op_run_free(&forwards);
    op_run_free(&backwards);
}

static inline void op_plain_free(op_plain *p)
{
    for (int i = 0; i < p->n_in; i++)
        free(p->in[i]);
    for (int i = 0; i < p->n_out; i++)
        free(p->out[i]);
    *p = (op_plain){.n_in = 0};
}
#endif
