#include "check.h"
#include "gradient_cases.h"
#include "ops/op.h"
#include "prelu/session.h"

/* Every op with a gradient against finite differences. For y = f(x) and a random r of y's shape,
 * the gradient op's result for dy = r must be the derivative of sum(r y). */

enum { PROBES = 40, MAX_VALUES = 1024 };

typedef struct subject {
    const gradient_case *c;
    prelu_graph *g;
    prelu_plan *plan;
    prelu_session *session;
    prelu_value in[GRADIENT_IN], out[PRELU_MAX_OUTPUTS], dy, din[GRADIENT_IN];
    int output[GRADIENT_IN]; /* of the plan, of input i's gradient; output 0 is y */
    size_t in_count[GRADIENT_IN], out_count;
    float *x[GRADIENT_IN], *r, *y, *dx[GRADIENT_IN];
    int32_t labels[MAX_VALUES];
} subject;

static size_t count_of(const prelu_shape *s)
{
    size_t n;
    check_ok(prelu_shape_count(s, &n, NULL), (&(prelu_err){0}));
    return n;
}

static void fill(float *v, size_t n, gradient_kind kind, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = check_random_float(seed, -1.5f, 1.5f);
        if (kind == AWAY && fabsf(v[i]) < 0.1f)
            v[i] += v[i] < 0 ? -0.1f : 0.1f;
        if (kind == SPLIT)
            v[i] = v[i] < 0 ? -1.3f + 0.1f * v[i] : 1.3f + 0.1f * v[i];
        if (kind == SMALL)
            v[i] *= 0.05f;
        if (kind == POSITIVE)
            v[i] = check_random_float(seed, 0.5f, 2.0f);
        if (kind == SPACED)
            v[i] = 0.1f * (float)i - 0.05f * (float)n;
    }
    for (size_t i = n; kind == SPACED && i > 1; i--) {
        const size_t k = check_random(seed) % i;
        const float t = v[k];
        v[k] = v[i - 1];
        v[i - 1] = t;
    }
}

static void add_inputs(subject *s, uint64_t *seed)
{
    prelu_err err = {0};
    for (int i = 0; i < s->c->n_in; i++) {
        const prelu_shape *shape = &s->c->in[i].shape;
        const bool labels = s->c->in[i].kind == LABELS;
        char name[8];
        snprintf(name, sizeof name, "x%d", i);
        check_ok(
            prelu_graph_input(s->g, name, labels ? PRELU_I32 : PRELU_F32, shape, &s->in[i], &err),
            &err);
        s->in_count[i] = count_of(shape);
        assert_true(s->in_count[i] <= MAX_VALUES);
        s->x[i] = malloc(s->in_count[i] * sizeof(float));
        s->dx[i] = malloc(s->in_count[i] * sizeof(float));
        if (labels)
            for (size_t k = 0; k < s->in_count[i]; k++)
                s->labels[k] = (int32_t)(check_random(seed) % 3);
        else
            fill(s->x[i], s->in_count[i], s->c->in[i].kind, seed);
    }
}

static void add_forward(subject *s, uint64_t *seed)
{
    prelu_shape shapes[64];
    prelu_err err = {0};
    size_t n_attrs = 0;
    while (n_attrs < GRADIENT_ATTRS && s->c->attrs[n_attrs].name)
        n_attrs++;
    check_ok(prelu_graph_add(s->g, s->c->op, "node", s->in, s->c->n_in, s->c->attrs, n_attrs, NULL,
                             s->out, s->c->n_out, &err),
             &err);
    check_ok(prelu_graph_infer(s->g, 0, 0, 0, shapes, &err), &err);
    s->out_count = count_of(&shapes[s->out[0]]);
    s->r = malloc(s->out_count * sizeof(float));
    s->y = malloc(s->out_count * sizeof(float));
    fill(s->r, s->out_count, UNIFORM, seed);
    check_ok(prelu_graph_input(s->g, "dy", PRELU_F32, &shapes[s->out[0]], &s->dy, &err), &err);
}

/* The op's own gradient builder; a gradient that is dy itself goes through an Identity, because a
 * plan's outputs are computed. */
static void add_backward(subject *s)
{
    prelu_value dout[PRELU_MAX_OUTPUTS];
    bool needs[GRADIENT_IN];
    prelu_err err = {0};
    for (int i = 0; i < s->c->n_out; i++)
        dout[i] = i ? PRELU_NONE : s->dy;
    for (int i = 0; i < s->c->n_in; i++) {
        needs[i] = s->c->in[i].kind != LABELS;
        s->din[i] = PRELU_NONE;
    }
    op_grad_ctx ctx = {.g = s->g, .node = 0, .dout = dout, .din = s->din, .needs = needs};
    check_ok(op_find(s->c->op)->grad(&ctx, &err), &err);
    for (int i = 0; i < s->c->n_in; i++) {
        if (!needs[i])
            continue;
        if (s->din[i] == PRELU_NONE)
            fail_msg("%s gives input %d no gradient", s->c->op, i);
        if (s->g->values[s->din[i]].producer == PRELU_NONE)
            check_ok(prelu_graph_add(s->g, "Identity", "copy", &s->din[i], 1, NULL, 0, NULL,
                                     &s->din[i], 1, &err),
                     &err);
    }
}

static void make_session(subject *s)
{
    prelu_value outputs[GRADIENT_IN + 1] = {s->out[0]};
    prelu_err err = {0};
    const prelu_shape *first = &s->c->in[0].shape;
    int n = 1;
    for (int i = 0; i < s->c->n_in; i++)
        if (s->din[i] != PRELU_NONE) {
            s->output[i] = n;
            outputs[n++] = s->din[i];
        }
    const prelu_plan_options options = {.outputs = outputs, .n_outputs = n, .training = true};
    check_ok(prelu_plan_create(&s->plan, s->g, &options, &err), &err);
    check_ok(prelu_session_create(&s->session, s->plan, NULL, 0, &err), &err);
    check_ok(prelu_session_reshape(s->session, first->rank ? first->dim[0] : 1,
                                   first->rank == 4 ? first->dim[2] : 1,
                                   first->rank == 4 ? first->dim[3] : 1, &err),
             &err);
    for (int i = 0; i < s->c->n_in; i++)
        check_ok(prelu_session_set_input(s->session, i,
                                         s->c->in[i].kind == LABELS ? (const void *)s->labels
                                                                    : (const void *)s->x[i],
                                         s->in_count[i], &err),
                 &err);
    check_ok(prelu_session_set_input(s->session, s->c->n_in, s->r, s->out_count, &err), &err);
    prelu_session_seed(s->session, 11);
}

static double objective(subject *s)
{
    prelu_err err = {0};
    double sum = 0;
    check_ok(prelu_session_run(s->session, &err), &err);
    check_ok(prelu_session_read(s->session, 0, s->y, s->out_count, &err), &err);
    for (size_t i = 0; i < s->out_count; i++)
        sum += (double)s->r[i] * (double)s->y[i];
    return sum;
}

/* Central difference with step h. */
static double difference(subject *s, int i, size_t k, float h)
{
    const float x = s->x[i][k];
    s->x[i][k] = x + h;
    const double up = objective(s), at_up = (double)s->x[i][k];
    s->x[i][k] = x - h;
    const double down = objective(s), at_down = (double)s->x[i][k];
    s->x[i][k] = x;
    return (up - down) / (at_up - at_down);
}

/* Two steps; where they differ much the function has a kink or the step is wrong, and the case is.
 */
static void probe(subject *s, int i, size_t k)
{
    const double wide = difference(s, i, k, 0.04f), narrow = difference(s, i, k, 0.02f);
    const double slope = (4 * narrow - wide) / 3, got = (double)s->dx[i][k];
    const double scale = 1 + fabs(slope);
    if (!(fabs(wide - narrow) <= 0.02 * scale))
        fail_msg("%s case %td, input %d[%zu]: no steady difference: %g, %g", s->c->op,
                 s->c - gradient_cases, i, k, wide, narrow);
    if (!(fabs(slope - got) <= 1e-3 * scale))
        fail_msg("%s case %td, input %d[%zu]: gradient %g, differences say %g", s->c->op,
                 s->c - gradient_cases, i, k, got, slope);
}

static void destroy(subject *s)
{
    prelu_session_destroy(&s->session);
    prelu_plan_destroy(&s->plan);
    prelu_graph_destroy(&s->g);
    for (int i = 0; i < s->c->n_in; i++) {
        free(s->x[i]);
        free(s->dx[i]);
    }
    free(s->r);
    free(s->y);
}

static void one(const gradient_case *c, uint64_t seed)
{
    subject s = {.c = c};
    prelu_err err = {0};
    check_ok(prelu_graph_create(&s.g, &err), &err);
    add_inputs(&s, &seed);
    add_forward(&s, &seed);
    add_backward(&s);
    make_session(&s);
    objective(&s);
    for (int i = 0; i < c->n_in; i++)
        if (s.din[i] != PRELU_NONE)
            check_ok(prelu_session_read(s.session, s.output[i], s.dx[i], s.in_count[i], &err),
                     &err);
    for (int i = 0; i < c->n_in; i++)
        for (size_t p = 0; p < PROBES && p < s.in_count[i] && s.din[i] != PRELU_NONE; p++)
            probe(&s, i, s.in_count[i] <= PROBES ? p : check_random(&seed) % s.in_count[i]);
    destroy(&s);
}

static void test_against_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < gradient_n_cases; i++)
        one(&gradient_cases[i], check_seed() + i);
}

/* An op that says it has a gradient has a case above. */
static void test_every_op_has_a_case(void **state)
{
    static const op_def *const table[] = {
#define OP(symbol) &symbol,
#include "ops/ops.inc"
#undef OP
    };
    int with = 0;
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        bool found = !table[i]->grad;
        for (size_t k = 0; k < gradient_n_cases && !found; k++)
            found = strcmp(gradient_cases[k].op, table[i]->name) == 0;
        if (!found)
            fail_msg("%s has a gradient and no test of it", table[i]->name);
        with += table[i]->grad != NULL;
    }
    assert_in_range(with, 25, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_differences),
                                       cmocka_unit_test(test_every_op_has_a_case)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
