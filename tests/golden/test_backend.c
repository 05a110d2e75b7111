/* The ONNX project's own test cases (Debian's libonnx-testdata): every case of operators that we
 * claim gives what it says, or is listed below with the reason that the reader must give; of the
 * others, every one is refused by name. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "model_private.h"
#include "onnx_doc.h"
#include "onnx_operators.h"
#include "onnx_out.h"
#include "prelu/session.h"
#include <dirent.h>
#include <fnmatch.h>
#include <unistd.h>

enum { MAX_IN = 8, MAX_OPS = 64, FLOAT = 1, INT64 = 7, BOOL = 9, F16 = 10, F64 = 11, BF16 = 16 };
/* Fewer than this of each would mean that the cases were not found. */
enum { LEAST_RUN = 250, LEAST_NAMED = 400 };

/* Cases of claimed operators beyond the limits of docs/operators.md, and what the refusal says. */
static const struct {
    const char *pattern, *text;
} beyond[] = {
    {"test_averagepool_1d*", "rank 3, not 4"},
    {"test_averagepool_3d*", "rank 5, not 4"},
    {"test_AvgPool3d*", "rank 5, not 4"},
    {"test_BatchNorm1d_3d*", "neither rank 2 nor 4"},
    {"test_BatchNorm3d*", "neither rank 2 nor 4"},
    {"test_batchnorm_epsilon_training*", "training_mode 1"},
    {"test_batchnorm_example_training*", "training_mode 1"},
    {"test_Conv1d*", "rank 3, not 4"},
    {"test_Conv3d*", "rank 5, not 4"},
    {"test_Embedding*", "no constant sizes"},
    {"test_gather_*", "no constant sizes"},
    {"test_globalaveragepool*", "operator set 1; 6 to 21"},
    {"test_globalmaxpool*", "operator set 1; 6 to 21"},
    {"test_matmul_3d*", "cannot multiply"},
    {"test_matmul_4d*", "cannot multiply"},
    {"test_MaxPool1d*", "rank 3, not 4"},
    {"test_MaxPool3d*", "rank 5, not 4"},
    {"test_maxpool_1d*", "rank 3, not 4"},
    {"test_maxpool_3d*", "rank 5, not 4"},
    {"test_operator_maxpool", "rank 3, not 4"},
    {"test_operator_non_float_params*", "of type i64 is an operand"},
    {"test_reshape_allowzero*", "allowzero"},
    {"test_slice_start_out_of_bounds*", "is empty"},
    {"test_squeeze", "squeezes the batch"},
    {"test_training_dropout_[!z]*", "training_mode is not"},
    {"test_training_dropout", "training_mode is not"},
};

typedef struct span {
    const uint8_t *p;
    size_t n;
} span;

typedef struct field {
    unsigned number;
    uint64_t value; /* varints */
    span bytes;     /* length-delimited */
} field;

static uint64_t varint(span *s)
{
    uint64_t v = 0;
    for (unsigned shift = 0; s->n && shift < 64; shift += 7) {
        const uint8_t byte = *s->p++;
        s->n--;
        v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            break;
    }
    return v;
}

static bool next(span *s, field *f)
{
    if (!s->n)
        return false;
    const uint64_t tag = varint(s);
    size_t len = tag % 8 == 1 ? 8 : 4;
    *f = (field){.number = (unsigned)(tag / 8)};
    if (tag % 8 == 0) {
        f->value = varint(s);
        return true;
    }
    if (tag % 8 == 2)
        len = (size_t)varint(s);
    assert_true(len <= s->n);
    f->bytes = (span){s->p, len};
    s->p += len;
    s->n -= len;
    return true;
}

/* The first field of that number; empty if there is none. */
static field find(span s, unsigned number)
{
    field f;
    while (next(&s, &f))
        if (f.number == number)
            return f;
    return (field){0};
}

static void copy_text(char *to, size_t len, span s)
{
    snprintf(to, len, "%.*s", (int)s.n, (const char *)s.p);
}

typedef struct value { /* an input or the first output */
    char name[64];
    int type;
    span file; /* its TensorProto */
    onnx_tensor t;
    uint16_t halves[64]; /* of a tensor that has them as integers */
    bool readable;
} value;

typedef struct test_case {
    char name[256], ops[MAX_OPS][48];
    span model, graph;
    value in[MAX_IN], out;
    int n_in, n_ops, n_out;
} test_case;

static bool dtype_of(int type, prelu_dtype *out)
{
    static const prelu_dtype types[] = {
        [FLOAT] = PRELU_F32, [2] = PRELU_U8,      [3] = PRELU_I8,
        [6] = PRELU_I32,     [INT64] = PRELU_I64, [BOOL] = PRELU_BOOL,
        [F16] = PRELU_F16,   [F64] = PRELU_F64,   [BF16] = PRELU_BF16};
    if (type != FLOAT && (type < 0 || type > BF16 || !types[type]))
        return false;
    *out = types[type];
    return true;
}

static void read_tensor(value *v, const char *folder, const char *file)
{
    char path[700];
    span s;
    field f;
    snprintf(path, sizeof path, "%.600s/test_data_set_0/%.40s", folder, file);
    v->file.p = check_read_file(path, &v->file.n);
    v->readable = dtype_of(v->type, &v->t.dtype); /* bf16 stands in files of type u16 */
    for (s = v->file; next(&s, &f);) {
        if (f.number == 1 && !f.bytes.p) {
            if (v->t.shape.rank == PRELU_MAX_RANK)
                v->readable = false;
            else
                v->t.shape.dim[v->t.shape.rank++] = (int64_t)f.value;
        } else if (f.number == 1) {
            while (f.bytes.n && v->t.shape.rank < PRELU_MAX_RANK)
                v->t.shape.dim[v->t.shape.rank++] = (int64_t)varint(&f.bytes);
        } else if (f.number == 5 && f.bytes.p) {
            size_t n = 0;
            while (f.bytes.n && n < sizeof v->halves / sizeof *v->halves)
                v->halves[n++] = (uint16_t)varint(&f.bytes);
            v->t.data = v->halves;
            v->t.count = n * sizeof *v->halves;
        } else if (f.number == 9 || (f.number == 4 && f.bytes.p)) {
            v->t.data = f.bytes.p;
            v->t.count = f.bytes.n;
        }
    }
    if (v->readable) {
        const size_t size = prelu_dtype_size(v->t.dtype), bytes = v->t.count;
        v->readable =
            !prelu_shape_count(&v->t.shape, &v->t.count, NULL) && bytes == size * v->t.count;
    }
}

static void read_port(value *v, span port)
{
    copy_text(v->name, sizeof v->name, find(port, 1).bytes);
    v->type = (int)find(find(find(port, 2).bytes, 1).bytes, 1).value;
}

static bool is_initialiser(span graph, const char *name)
{
    char other[64];
    field f;
    while (next(&graph, &f))
        if (f.number == 5) {
            copy_text(other, sizeof other, find(f.bytes, 8).bytes);
            if (!strcmp(other, name))
                return true;
        }
    return false;
}

static void read_case(test_case *c, const char *folder, const char *name)
{
    char path[700];
    span s;
    field f;
    memset(c, 0, sizeof *c);
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(path, sizeof path, "%.600s/model.onnx", folder);
    c->model.p = check_read_file(path, &c->model.n);
    c->graph = find(c->model, 7).bytes;
    for (s = c->graph; next(&s, &f);) {
        value v = {.type = 0};
        if (f.number == 1 && c->n_ops < MAX_OPS)
            copy_text(c->ops[c->n_ops++], sizeof c->ops[0], find(f.bytes, 4).bytes);
        if (f.number == 11)
            read_port(&v, f.bytes);
        if (f.number == 11 && !is_initialiser(c->graph, v.name) && c->n_in < MAX_IN)
            c->in[c->n_in++] = v;
        if (f.number == 12 && !c->n_out++)
            read_port(&c->out, f.bytes);
    }
    for (int i = 0; i < c->n_in; i++) {
        char file[32];
        snprintf(file, sizeof file, "input_%d.pb", i);
        read_tensor(&c->in[i], folder, file);
    }
    read_tensor(&c->out, folder, "output_0.pb");
}

static void free_case(test_case *c)
{
    free((void *)(uintptr_t)c->model.p);
    for (int i = 0; i < c->n_in; i++)
        free((void *)(uintptr_t)c->in[i].file.p);
    free((void *)(uintptr_t)c->out.file.p);
}

static bool is_real(int type)
{
    return type == FLOAT || type == F16 || type == F64 || type == BF16;
}

static void put_node(onnx_buf *graph, const char *op, const char *x, const char *one,
                     const char *out)
{
    onnx_buf node = {.n = 0}, to = {.n = 0};
    onnx_put_text(&node, 1, x);
    if (one)
        onnx_put_text(&node, 1, one);
    onnx_put_text(&node, 2, out);
    onnx_put_text(&node, 4, op);
    if (!one) { /* Cast */
        onnx_put_text(&to, 1, "to");
        onnx_put_int(&to, 3, FLOAT);
        onnx_put_int(&to, 20, 2);
        onnx_put_message(&node, 5, &to);
    }
    onnx_put_message(graph, 1, &node);
    onnx_buf_deinit(&node);
    onnx_buf_deinit(&to);
}

/* The first output times 1, by the name of "last": a plan wants a node that computes it, which what
 * is dropped or folded while reading does not leave. Integers are cast first. */
static void put_last(onnx_buf *graph, const test_case *c)
{
    const float one = 1;
    onnx_buf child = {.n = 0};
    onnx_put_int(&child, 2, FLOAT);
    onnx_put_text(&child, 8, "test.one");
    onnx_put_bytes(&child, 9, &one, sizeof one);
    onnx_put_message(graph, 5, &child);
    if (c->out.type == INT64)
        put_node(graph, "Cast", c->out.name, NULL, "test.floats");
    put_node(graph, "Mul", c->out.type == INT64 ? "test.floats" : c->out.name, "test.one", "last");
    onnx_put_text(&child, 1, "last");
    onnx_put_message(graph, 12, &child);
    onnx_buf_deinit(&child);
}

/* The file with its inputs from `from` on made constants. */
static void rewrite(onnx_buf *file, const test_case *c, int from)
{
    onnx_buf graph = {.n = 0}, child = {.n = 0};
    span s = c->graph;
    field f;
    while (next(&s, &f))
        if (f.number != 12)
            onnx_put_bytes(&graph, f.number, f.bytes.p, f.bytes.n);
    for (int i = from; i < c->n_in; i++) {
        for (s = c->in[i].file; next(&s, &f);)
            if (f.number == 1 && !f.bytes.p)
                onnx_put_int(&child, 1, (int64_t)f.value);
            else if (f.bytes.p && f.number != 8)
                onnx_put_bytes(&child, f.number, f.bytes.p, f.bytes.n);
            else if (!f.bytes.p)
                onnx_put_int(&child, f.number, f.number == 2 ? c->in[i].type : (int64_t)f.value);
        onnx_put_text(&child, 8, c->in[i].name);
        onnx_put_message(&graph, 5, &child);
    }
    put_last(&graph, c);
    for (s = c->model; next(&s, &f);)
        if (f.number == 1)
            onnx_put_int(file, 1, (int64_t)f.value);
        else if (f.number == 8)
            onnx_put_bytes(file, 8, f.bytes.p, f.bytes.n);
    onnx_put_message(file, 7, &graph);
    onnx_buf_deinit(&graph);
    onnx_buf_deinit(&child);
}

static float *floats_of(const value *v)
{
    float *f = malloc((v->t.count + 1) * sizeof *f);
    for (size_t i = 0; i < v->t.count; i++)
        f[i] = is_real(v->type) ? onnx_tensor_float(&v->t, i) : (float)onnx_tensor_int(&v->t, i);
    return f;
}

static void compare(const test_case *c, const prelu_session *s)
{
    const prelu_shape *shape = prelu_session_output_shape(s, 0);
    const double precision = c->out.type == F16 ? 0x1p-11 : c->out.type == BF16 ? 0x1p-7 : 1e-5;
    float *want = floats_of(&c->out), *y = malloc((c->out.t.count + 1) * sizeof *y);
    prelu_err err = {0};
    double most = 0;
    if (!c->out.readable || !prelu_shape_equal(shape, &c->out.t.shape))
        fail_msg("%s: the shapes differ", c->name); /* or its answer cannot be read */
    check_ok(prelu_session_read(s, 0, y, c->out.t.count, &err), &err);
    for (size_t i = 0; i < c->out.t.count; i++)
        most = isfinite(want[i]) ? fmax(most, fabs((double)want[i])) : most;
    for (size_t i = 0; i < c->out.t.count; i++)
        if (want[i] != y[i] && !(isnan(want[i]) && isnan(y[i])) &&
            !(fabs((double)want[i] - (double)y[i]) <= precision * most))
            fail_msg("%s: [%zu] is %g, not %g", c->name, i, (double)y[i], (double)want[i]);
    free(want);
    free(y);
}

static prelu_status load(prelu_model **m, const test_case *c, int from, onnx_buf *file,
                         prelu_err *err)
{
    rewrite(file, c, from);
    assert_int_equal(file->st, PRELU_OK);
    return mdl_model_read(m, &(mdl_map){file->p, file->n}, NULL, NULL, err);
}

/* Inputs 0..fed-1 are fed, the others are constants of the file. */
static prelu_status run(const test_case *c, int fed, prelu_err *err)
{
    onnx_buf file = {.n = 0};
    prelu_model *m = NULL;
    prelu_plan *plan = NULL;
    prelu_session *s = NULL;
    prelu_plan_options o = {.precision = PRELU_PRECISION_FP32, .n_outputs = 1};
    float *x[MAX_IN] = {NULL};
    const prelu_shape *first = &c->in[0].t.shape;
    const bool map = fed && first->rank == 4;
    prelu_status st = load(&m, c, fed, &file, err);
    if (!st) {
        o.outputs = m->graph->outputs;
        st = prelu_plan_create(&plan, m->graph, &o, err);
    }
    if (!st)
        st = prelu_session_create(&s, plan, NULL, 0, err);
    if (!st)
        st = prelu_session_reshape(s, fed && first->rank ? first->dim[0] : 1,
                                   map ? first->dim[2] : 1, map ? first->dim[3] : 1, err);
    for (int i = 0; i < fed && !st; i++) {
        x[i] = floats_of(&c->in[i]);
        st = prelu_session_set_input(s, i, x[i], c->in[i].t.count, err);
    }
    if (!st)
        st = prelu_session_run(s, err);
    if (!st)
        compare(c, s);
    for (int i = 0; i < MAX_IN; i++)
        free(x[i]);
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
    prelu_model_destroy(&m);
    onnx_buf_deinit(&file);
    return st;
}

static bool is_claimed(const char *op)
{
    for (size_t i = 0; i < onnx_operators_len; i++)
        if (!strcmp(onnx_operators[i].op, op))
            return true;
    return false;
}

typedef struct tally {
    int run, beyond, typed, unknown, named; /* named: of the unknown */
    int used[sizeof beyond / sizeof *beyond];
} tally;

/* An operator that we do not claim, and that `text` names unless that is NULL. */
static bool has_unclaimed(const test_case *c, const char *text)
{
    for (int i = 0; i < c->n_ops; i++)
        if (!is_claimed(c->ops[i]) && (!text || strstr(text, c->ops[i])))
            return true;
    return false;
}

/* Refused by the name of the operator, or of what stands before it: a type, a limit, an old set. */
static void check_unclaimed(const test_case *c, tally *t)
{
    static const char *const before[] = {"data type",
                                         "no shape",
                                         "only from float",
                                         "operator set 1;",
                                         "constant",
                                         "imports no operator set",
                                         "rank"};
    const mdl_map file = {c->model.p, c->model.n};
    prelu_model *m = NULL;
    prelu_err err = {0};
    bool said = false;
    if (mdl_model_read(&m, &file, NULL, NULL, &err) == PRELU_OK)
        fail_msg("%s: accepted with an operator that we lack", c->name);
    said = has_unclaimed(c, err.text);
    t->named += said;
    for (size_t i = 0; i < sizeof before / sizeof *before; i++)
        said = said || strstr(err.text, before[i]);
    if (!said)
        fail_msg("%s: refused by '%s'", c->name, err.text);
    t->unknown++;
}

/* Not a type that is computed in f32, nor small integers that are folded: NULL, or what. */
static bool other_types(const test_case *c)
{
    bool other = !c->out.readable || !(is_real(c->out.type) || c->out.type == INT64);
    for (int i = 0; i < c->n_in; i++)
        other = other || !c->in[i].readable ||
                !(is_real(c->in[i].type) || c->in[i].type == INT64 || (i && c->in[i].type == BOOL));
    return other;
}

static void must_refuse(const test_case *c, const char *text)
{
    prelu_err err = {0};
    const int fed = c->n_in && is_real(c->in[0].type);
    if (run(c, fed, &err) == PRELU_OK)
        fail_msg("%s: accepted, but to be refused (%s)", c->name, text ? text : "its types");
    if (text && !strstr(err.text, text))
        fail_msg("%s: refused by '%s', which does not say '%s'", c->name, err.text, text);
}

static void run_claimed(const test_case *c, tally *t)
{
    prelu_err err = {0};
    int fed = c->n_in && is_real(c->in[0].type);
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++)
        if (!fnmatch(beyond[i].pattern, c->name, 0)) {
            must_refuse(c, beyond[i].text);
            t->beyond++;
            t->used[i]++;
            return;
        }
    if (other_types(c)) {
        must_refuse(c, NULL);
        t->typed++;
        return;
    }
    if (run(c, fed, &err))
        fail_msg("%s: refused: %s", c->name, err.text);
    t->run++;
    if (!strcmp(c->ops[0], "Cast")) /* what CastLike became: nothing reads its second operand */
        return;
    while (fed && fed < c->n_in && is_real(c->in[fed].type))
        fed++;
    if (fed > 1 && run(c, fed, &err) && !strstr(err.text, "constant"))
        fail_msg("%s, all inputs fed: refused: %s", c->name, err.text);
}

static void run_folder(const char *part, tally *t)
{
    char root[300];
    DIR *dir;
    snprintf(root, sizeof root, PRELU_ONNX_TESTDATA "/%s", part);
    dir = opendir(root);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char folder[600], path[700];
        test_case c;
        snprintf(folder, sizeof folder, "%s/%.256s", root, e->d_name);
        snprintf(path, sizeof path, "%.600s/model.onnx", folder);
        if (strncmp(e->d_name, "test_", 5) || access(path, R_OK))
            continue;
        snprintf(path, sizeof path, "%s/test_data_set_0/output_0.pb", folder);
        if (access(path, R_OK))
            continue;
        read_case(&c, folder, e->d_name);
        if (has_unclaimed(&c, NULL))
            check_unclaimed(&c, t);
        else
            run_claimed(&c, t);
        free_case(&c);
    }
    closedir(dir);
}

static void test_cases(void **state)
{
    tally t = {.run = 0};
    (void)state;
    run_folder("node", &t);
    run_folder("pytorch-operator", &t);
    run_folder("pytorch-converted", &t);
    run_folder("simple", &t);
    printf("%d run and right, %d beyond our limits, %d of other types, %d of operators we lack\n",
           t.run, t.beyond, t.typed, t.unknown);
    assert_true(t.run >= LEAST_RUN);
    assert_true(t.named >= LEAST_NAMED);
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++)
        if (!t.used[i])
            fail_msg("%s: no such case", beyond[i].pattern);
}

/* docs/operators.md has a row for each operator, in their order, and no other. */
static void test_documented(void **state)
{
    size_t len, row = 0;
    char *text = check_read_file("../docs/operators.md", &len), want[256];
    (void)state;
    for (char *line = text, *end; line < text + len; line = end + 1) {
        end = memchr(line, '\n', (size_t)(text + len - line));
        assert_non_null(end);
        *end = '\0';
        if (strncmp(line, "| `", 3) != 0)
            continue;
        assert_true(row < onnx_operators_len);
        const onnx_operator *o = &onnx_operators[row++];
        snprintf(want, sizeof want, "| `%s` | %d-21 | %s%s|", o->op, o->since, o->limits,
                 *o->limits ? " " : "");
        assert_string_equal(line, want);
    }
    assert_int_equal(row, onnx_operators_len);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases),
                                       cmocka_unit_test(test_documented)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
