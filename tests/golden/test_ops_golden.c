#include "op_run.h"
#include <ctype.h>

/* Every case of ops/ops.txt (made by onnxruntime, see origin.md): forwards, with tasks backwards,
 * in place where the op says it can, and, where the case says so, picture by picture with equal
 * bits. */

enum { MAX_IN = 8, MAX_ATTRS = 12 };

typedef struct golden {
    char op[32];
    bool per_image;
    prelu_attr attrs[MAX_ATTRS];
    char names[MAX_ATTRS][32], strings[MAX_ATTRS][32];
    int64_t ints[MAX_ATTRS][8];
    size_t n_attrs;
    float *in[MAX_IN]; /* logical order */
    prelu_shape shape[MAX_IN], out_shape;
    int n_in;
    float *out;
} golden;

/* The next word of the file; fails at its end. */
static const char *word(const char **at)
{
    static char text[64];
    size_t n = 0;
    while (isspace((unsigned char)**at))
        (*at)++;
    while (**at && !isspace((unsigned char)**at) && n + 1 < sizeof text)
        text[n++] = *(*at)++;
    text[n] = 0;
    if (!n)
        fail_msg("the golden file is cut");
    return text;
}

static int64_t number(const char **at) { return strtoll(word(at), NULL, 10); }

static void read_shape(const char **at, prelu_shape *s)
{
    s->rank = (int)number(at);
    assert_in_range(s->rank, 0, PRELU_MAX_RANK);
    for (int i = 0; i < s->rank; i++)
        s->dim[i] = number(at);
}

static void read_input(const char **at, golden *g)
{
    uint64_t seed = (uint64_t)number(at);
    const bool integers = word(at)[0] == 'i';
    const float lo = strtof(word(at), NULL), hi = strtof(word(at), NULL);
    assert_true(g->n_in < MAX_IN);
    prelu_shape *s = &g->shape[g->n_in];
    read_shape(at, s);
    const size_t n = op_run_count(s);
    float *v = g->in[g->n_in++] = malloc(n * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = integers ? (float)check_random_int(&seed, (int)lo, (int)hi)
                        : check_random_float(&seed, lo, hi);
}

static void read_attr(const char **at, golden *g, const char *kind)
{
    assert_true(g->n_attrs < MAX_ATTRS);
    const size_t i = g->n_attrs++;
    snprintf(g->names[i], sizeof g->names[i], "%s", word(at));
    if (strcmp(kind, "int") == 0) {
        g->attrs[i] = PRELU_INT(g->names[i], number(at));
    } else if (strcmp(kind, "float") == 0) {
        g->attrs[i] = PRELU_FLOAT(g->names[i], strtof(word(at), NULL));
    } else if (strcmp(kind, "string") == 0) {
        snprintf(g->strings[i], sizeof g->strings[i], "%s", word(at));
        g->attrs[i] = PRELU_STRING(g->names[i], g->strings[i]);
    } else {
        const size_t len = (size_t)number(at);
        assert_true(len <= 8);
        for (size_t k = 0; k < len; k++)
            g->ints[i][k] = number(at);
        g->attrs[i] = PRELU_INTS(g->names[i], g->ints[i], len);
    }
}

/* From after the word "case". */
static void read_case(const char **at, golden *g)
{
    memset(g, 0, sizeof *g);
    snprintf(g->op, sizeof g->op, "%s", word(at));
    g->per_image = number(at) != 0;
    for (;;) {
        char kind[16];
        snprintf(kind, sizeof kind, "%s", word(at));
        if (strcmp(kind, "out") == 0)
            break;
        if (strcmp(kind, "in") == 0)
            read_input(at, g);
        else
            read_attr(at, g, kind);
    }
    read_shape(at, &g->out_shape);
    const size_t n = op_run_count(&g->out_shape);
    g->out = malloc(n * sizeof *g->out);
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)strtoul(word(at), NULL, 16);
        memcpy(&g->out[i], &bits, sizeof bits);
    }
}

static void free_case(golden *g)
{
    for (int i = 0; i < g->n_in; i++)
        free(g->in[i]);
    free(g->out);
}

/* A copy in the engine's layout. */
static float *laid_out(const float *v, const prelu_shape *s)
{
    const size_t n = op_run_count(s);
    float *to = malloc(n * sizeof *to);
    if (s->rank == 4)
        op_run_layout(to, v, s);
    else
        memcpy(to, v, n * sizeof *to);
    return to;
}

static void start(const golden *g, op_run *r)
{
    *r = (op_run){.krn = krn_table_get()};
    for (int i = 0; i < g->n_in; i++)
        r->in[i] = (op_tensor){.data = laid_out(g->in[i], &g->shape[i]), .shape = g->shape[i]};
}

static void finish(const golden *g, op_run *r)
{
    for (int i = 0; i < g->n_in; i++)
        free(r->in[i].data);
    op_run_free(r);
}

static void compare(const golden *g, const op_run *r, int number_, const char *how)
{
    char want[96], got[96];
    float *y = laid_out(g->out, &g->out_shape);
    const float *v = r->out[0].data;
    if (!prelu_shape_equal(&r->out[0].shape, &g->out_shape))
        fail_msg("case %d, %s: shape %s, not %s", number_, g->op,
                 prelu_shape_text(&r->out[0].shape, got, sizeof got),
                 prelu_shape_text(&g->out_shape, want, sizeof want));
    for (size_t i = 0; i < op_run_count(&g->out_shape); i++)
        if (!(fabsf(v[i] - y[i]) <= 2e-6f * (1 + fabsf(y[i]))) && v[i] != y[i])
            fail_msg("case %d, %s, %s: element %zu is %.9g, not %.9g", number_, g->op, how, i,
                     (double)v[i], (double)y[i]);
    free(y);
}

static void run_whole(const golden *g, int number_, bool backwards, bool in_place)
{
    op_run r;
    prelu_err err = {0};
    start(g, &r);
    r.backwards = backwards;
    r.in_place = in_place;
    if (op_run_go(&r, g->op, g->n_in, 1, g->attrs, g->n_attrs, &err))
        fail_msg("case %d, %s: %s", number_, g->op, err.text);
    compare(g, &r, number_, in_place ? "in place" : backwards ? "backwards" : "forwards");
    finish(g, &r);
}

/* Axis 0 of input 0 and of the output counts pictures: each alone gives the same bits. */
static void run_alone(const golden *g, int number_)
{
    op_run all, one;
    prelu_err err = {0};
    const size_t n = (size_t)g->shape[0].dim[0];
    start(g, &all);
    check_ok(op_run_go(&all, g->op, g->n_in, 1, g->attrs, g->n_attrs, &err), &err);
    const size_t in = op_run_count(&g->shape[0]) / n, out = op_run_count(&g->out_shape) / n;
    for (size_t i = 0; i < n; i++) {
        start(g, &one);
        one.in[0].shape.dim[0] = 1;
        memcpy(one.in[0].data, (const float *)all.in[0].data + i * in, in * sizeof(float));
        check_ok(op_run_go(&one, g->op, g->n_in, 1, g->attrs, g->n_attrs, &err), &err);
        if (memcmp(one.out[0].data, (const float *)all.out[0].data + i * out,
                   out * sizeof(float)) != 0)
            fail_msg("case %d, %s: picture %zu alone has other bits", number_, g->op, i);
        finish(g, &one);
    }
    finish(g, &all);
}

static void test_against_onnxruntime(void **state)
{
    size_t len;
    char *file = check_read_file("golden/ops/ops.txt", &len), *text = malloc(len + 1);
    const char *at = memchr(file, '\n', len); /* the first line is a remark */
    int n = 0, alone = 0;
    (void)state;
    assert_non_null(at);
    memcpy(text, file, len);
    text[len] = 0;
    at = text + (at - file);
    while (isspace((unsigned char)*at))
        at++;
    for (; *at; n++) {
        golden g;
        assert_string_equal(word(&at), "case");
        read_case(&at, &g);
        run_whole(&g, n, false, false);
        run_whole(&g, n, true, false);
        if (op_find(g.op)->in_place && prelu_shape_equal(&g.shape[0], &g.out_shape))
            run_whole(&g, n, false, true);
        if (g.per_image) {
            run_alone(&g, n);
            alone++;
        }
        free_case(&g);
        while (isspace((unsigned char)*at))
            at++;
    }
    assert_in_range(n, 200, 1000);
    assert_in_range(alone, 80, n);
    free(file);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_onnxruntime)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
