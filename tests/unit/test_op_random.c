#include "op_run.h"

/* Every op with random shapes and random, often hostile, attributes: the shape rule refuses with a
 * text, or the op runs within its memory (guard bands; under the address sanitizer also its
 * inputs). */

enum { ROUNDS = 500, FEW = 10, MAX_COUNT = 20000 };

static const int64_t dims[] = {1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 17, 0, -1, 1 << 16, INT64_MAX};
static const int64_t wild[] = {0,
                               1,
                               1,
                               1,
                               2,
                               2,
                               2,
                               3,
                               3,
                               -1,
                               -1,
                               -2,
                               4,
                               7,
                               100,
                               65536,
                               INT64_MIN,
                               INT64_MAX,
                               (int64_t)1 << 40};
static const char *const names[] = {"axis",
                                    "axes",
                                    "keepdims",
                                    "perm",
                                    "shape",
                                    "starts",
                                    "ends",
                                    "steps",
                                    "levels",
                                    "ratio",
                                    "pads",
                                    "strides",
                                    "group",
                                    "kernel_shape",
                                    "dilations",
                                    "auto_pad",
                                    "transA",
                                    "transB",
                                    "epsilon",
                                    "ceil_mode",
                                    "alpha",
                                    "label_smoothing",
                                    "count_include_pad",
                                    "window",
                                    "sizes",
                                    "size",
                                    "mode"};
static const char *const texts[] = {"SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "", "x"};
static const char *const modes[] = {"constant", "edge", "reflect", "wrap", "x"};
static const float floats[] = {0, 0.5f, 1, -1, 1e-5f, INFINITY, NAN};
#define PICK(list, seed) (list)[check_random(seed) % (sizeof(list) / sizeof *(list))]

typedef struct attempt {
    prelu_attr attrs[32];
    int64_t ints[32][8];
    size_t n_attrs;
    prelu_shape in[PRELU_MAX_INPUTS];
    int n_in, n_out;
    bool tame; /* no wild attribute at all */
} attempt;

/* Mostly of the kind and length that ops look for. */
static void random_attr(attempt *a, const char *name, uint64_t *seed)
{
    const size_t i = a->n_attrs++;
    const bool tame = a->tame || check_random(seed) % 4 != 0;
    size_t len = 2;
    if (strcmp(name, "pads") == 0)
        len = check_random(seed) % 4 ? 4 : 8; /* of a map, or of every axis */
    else if (check_random(seed) % 4 == 0 && !a->tame)
        len = check_random(seed) % 5 + 1;
    for (size_t k = 0; k < len; k++)
        a->ints[i][k] = tame ? check_random_int(seed, 0, 3) : PICK(wild, seed);
    if (strcmp(name, "perm") == 0 && tame)
        for (size_t k = 0; k < 4; k++)
            a->ints[i][k] = (int64_t)(k + len) % 4, len = k == 3 ? 4 : len;
    a->attrs[i] = PRELU_INTS(name, a->ints[i], len);
    if (strcmp(name, "ratio") == 0 || strcmp(name, "alpha") == 0 ||
        strcmp(name, "label_smoothing") == 0 || strcmp(name, "epsilon") == 0)
        a->attrs[i] = PRELU_FLOAT(name, PICK(floats, seed));
    else if (strcmp(name, "auto_pad") == 0)
        a->attrs[i] = PRELU_STRING(name, PICK(texts, seed));
    else if (strcmp(name, "mode") == 0)
        a->attrs[i] = PRELU_STRING(name, PICK(modes, seed));
    else if (strcmp(name, "size") == 0 || (strchr("agct", name[0]) && strcmp(name, "axes") != 0))
        a->attrs[i] = PRELU_INT(name, tame ? check_random_int(seed, -1, 3) : PICK(wild, seed));
}

static prelu_shape random_shape(uint64_t *seed)
{
    static const int ranks[] = {0, 1, 1, 2, 2, 2, 3, 4, 4, 4, 4, 5, 6, -1};
    prelu_shape s = {.rank = PICK(ranks, seed)};
    const bool tame = check_random(seed) % 8 != 0;
    for (int i = 0; i < s.rank; i++)
        s.dim[i] = tame ? dims[check_random(seed) % 11] : PICK(dims, seed);
    return s;
}

/* Later inputs are often the first, its channels, or what broadcasts to it, so that ops accept
 * them. */
static prelu_shape related_shape(const prelu_shape *first, uint64_t *seed)
{
    const int kind = check_random_int(seed, 0, 5);
    prelu_shape s = *first;
    if (kind == 0)
        return random_shape(seed);
    if (kind == 1 && first->rank >= 2)
        return (prelu_shape){1, {first->dim[1]}};
    if (kind == 2)
        for (int i = 0; i < s.rank; i++)
            s.dim[i] = check_random(seed) % 2 ? 1 : s.dim[i];
    if (kind == 3 && s.rank > 0)
        s.dim[check_random(seed) % (uint64_t)s.rank] = PICK(dims, seed);
    return s;
}

static bool small(const prelu_shape *s)
{
    size_t n;
    prelu_err err = {0};
    if (s->rank < 0)
        return true;
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] < 1)
            return false;
    return prelu_shape_count(s, &n, &err) == PRELU_OK && n <= MAX_COUNT;
}

static void run(const op_def *def, const attempt *a, uint64_t *seed)
{
    op_run r = {.krn = krn_table_get()};
    prelu_err err = {0};
    for (int i = 0; i < a->n_in; i++) {
        r.in[i].shape = a->in[i];
        if (a->in[i].rank < 0 || def->shape_only >> i & 1)
            continue;
        const size_t n = op_run_count(&a->in[i]);
        float *v = malloc(n * sizeof *v);
        for (size_t k = 0; k < n; k++)
            v[k] = check_random_float(seed, -1, 1);
        r.in[i].data = v;
        if (check_random(seed) % 8 == 0)
            r.in[i].dtype = PRELU_I32;
    }
    if (op_run_go(&r, def->name, a->n_in, a->n_out, a->attrs, a->n_attrs, &err))
        assert_true(err.code != PRELU_OK && err.text[0]);
    for (int i = 0; i < a->n_in; i++)
        free(r.in[i].data);
    op_run_free(&r);
}

/* The first input of a gradient op is mostly shaped like the result of its op on the others. */
static void make_dy(attempt *a, const char *name)
{
    char op[32];
    prelu_shape out[PRELU_MAX_OUTPUTS];
    const char *end = strstr(name, "Grad");
    if (!end || a->n_in < 2)
        return;
    snprintf(op, sizeof op, "%.*s", (int)(end - name), name);
    const op_def *def = op_find(op);
    const prelu_node n = {.name = (char *)"node",
                          .n_in = a->n_in - 1,
                          .n_out = 1,
                          .attrs = a->attrs,
                          .n_attrs = a->n_attrs};
    if (def && n.n_in >= def->min_in && def->shape(&n, a->in + 1, out, NULL) == PRELU_OK)
        a->in[0] = out[0];
}

static void replace_ints(attempt *a, const char *name, int64_t first, int64_t second, size_t len)
{
    size_t i = 0;
    while (i < a->n_attrs && strcmp(a->attrs[i].name, name) != 0)
        i++;
    a->n_attrs += i == a->n_attrs;
    a->ints[i][0] = first;
    a->ints[i][1] = second;
    a->attrs[i] = PRELU_INTS(name, a->ints[i], len);
}

/* Filters that have the sizes of a window's bins come about too seldom: one level, so one size. */
static void make_filters(attempt *a, const char *name, uint64_t *seed)
{
    const int64_t level = check_random_int(seed, 1, 3), h = level * check_random_int(seed, 1, 3),
                  w = level * check_random_int(seed, 1, 2);
    if (strcmp(name, "SPPWindows") != 0)
        return;
    a->n_in = 1;
    replace_ints(a, "levels", level, 0, 1);
    replace_ints(a, "window", h, w, 2);
    replace_ints(a, "sizes", h / level, w / level, 2);
}

/* One attempt; did the shape rule accept it? */
static bool attempt_one(const op_def *def, uint64_t *seed)
{
    attempt a = {.tame = check_random(seed) % 2};
    prelu_shape out[PRELU_MAX_OUTPUTS];
    prelu_err err = {0};
    bool runs = true;
    a.n_in = check_random_int(seed, def->min_in, def->max_in < 5 ? def->max_in : 5);
    a.n_out = def->min_out;
    a.in[0] = random_shape(seed);
    for (int i = 1; i < a.n_in; i++)
        a.in[i] = related_shape(&a.in[check_random(seed) % (uint64_t)i], seed);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (check_random(seed) % 3)
            random_attr(&a, names[i], seed);
    if (check_random(seed) % 4)
        make_dy(&a, def->name);
    if (check_random(seed) % 2)
        make_filters(&a, def->name, seed);
    const prelu_node n = {.name = (char *)"node",
                          .op = def->name,
                          .n_in = a.n_in,
                          .n_out = a.n_out,
                          .attrs = a.attrs,
                          .n_attrs = a.n_attrs};
    const prelu_status st = def->shape(&n, a.in, out, &err);
    if (st) {
        if (err.code != st || !err.text[0])
            fail_msg("%s refuses without a text", def->name);
        return false;
    }
    for (int i = 0; i < a.n_in; i++)
        runs = runs && small(&a.in[i]);
    for (int i = 0; i < a.n_out; i++)
        runs = runs && small(&out[i]) && out[i].rank >= 0;
    if (runs)
        run(def, &a, seed);
    return true;
}

static void test_random(void **state)
{
    static const op_def *const table[] = {
#define OP(symbol) &symbol,
#include "ops/ops.inc"
#undef OP
    };
    uint64_t seed = check_seed();
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int accepted = 0, rounds = 0;
        /* some ops accept little by chance: go on until there were a few */
        for (; rounds < ROUNDS || (accepted < FEW && rounds < 100 * ROUNDS); rounds++)
            accepted += attempt_one(table[i], &seed);
        if (accepted < FEW)
            fail_msg("%s accepted %d of %d attempts", table[i]->name, accepted, rounds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
