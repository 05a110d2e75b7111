/* Save and load: the same graph, the same weights, the same scores; whole or not at all. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "model_file.h"
#include "model_private.h"
#include "onnx_write.h"
#include "prelu/nets.h"
#include "prelu/session.h"
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Removes the folder, which must hold nothing but what a test may leave. */
static int drop_folder(void **state)
{
    DIR *dir = opendir(folder);
    (void)state;
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        char name[512];
        snprintf(name, sizeof name, "%s/%s", folder, e->d_name);
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            unlink(name);
    }
    if (dir)
        closedir(dir);
    return rmdir(folder);
}

static int files_in_folder(void)
{
    DIR *dir = opendir(folder);
    int n = 0;
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n - 2; /* . and .. */
}

static prelu_model *build(const char *arch, prelu_activation activation, double width)
{
    prelu_net_options o = {
        .arch = arch, .classes = 7, .width = width, .activation = activation, .seed = 5};
    prelu_model *m = NULL;
    prelu_err err = {0};
    check_ok(prelu_net_build(&m, &o, &err), &err);
    return m;
}

static size_t bytes(const prelu_value_info *v)
{
    size_t n = prelu_dtype_size(v->dtype);
    for (int i = 0; i < v->shape.rank; i++)
        n *= (size_t)v->shape.dim[i];
    return n;
}

/* Nodes of b are those of a in order, without a's Dropout; same names, attributes and constants. */
static void check_same(const prelu_graph *a, const prelu_graph *b)
{
    int k = 0, constants = 0;
    for (int i = 0; i < a->n_nodes; i++) {
        const prelu_node *x = &a->nodes[i], *y = &b->nodes[k];
        if (!strcmp(x->op, "Dropout"))
            continue;
        assert_true(k < b->n_nodes);
        assert_string_equal(x->op, y->op);
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->n_in, y->n_in);
        assert_int_equal(x->n_attrs, y->n_attrs);
        for (size_t n = 0; n < x->n_attrs; n++) {
            const prelu_attr *p = &x->attrs[n], *q = prelu_node_attr(y, p->name);
            assert_non_null(q);
            assert_int_equal(p->kind, q->kind);
            assert_int_equal(p->len, q->len);
            assert_true(p->i == q->i && p->f == q->f);
            if (p->ints)
                assert_memory_equal(p->ints, q->ints, p->len * sizeof *p->ints);
        }
        for (int n = 0; n < x->n_in; n++) {
            const prelu_value_info *p = &a->values[x->in[n]], *q = &b->values[y->in[n]];
            assert_int_equal(p->is_constant, q->is_constant);
            if (!p->is_constant)
                continue;
            constants++;
            assert_string_equal(p->name, q->name);
            assert_int_equal(p->role, q->role);
            assert_true(prelu_shape_equal(&p->shape, &q->shape));
            assert_memory_equal(p->data, q->data, bytes(p));
        }
        k++;
    }
    assert_int_equal(k, b->n_nodes);
    assert_true(constants > 0);
}

static void run(const prelu_model *m, int64_t side, float *logits)
{
    prelu_plan *plan = NULL;
    prelu_session *s = NULL;
    prelu_err err = {0};
    size_t count = 2 * 3 * (size_t)(side * side);
    float *x = malloc(count * sizeof *x);
    uint64_t seed = 11;
    for (size_t i = 0; i < count; i++)
        x[i] = (float)check_random_int(&seed, 0, 255);
    check_ok(prelu_model_plan(&plan, m, PRELU_PRECISION_FP32, NULL, &err), &err);
    check_ok(prelu_session_create(&s, plan, NULL, 0, &err), &err);
    check_ok(prelu_session_reshape(s, 2, side, side, &err), &err);
    check_ok(prelu_session_set_input(s, 0, x, count, &err), &err);
    check_ok(prelu_session_run(s, &err), &err);
    memcpy(logits, prelu_session_output(s, PRELU_OUTPUT_LOGITS), 14 * sizeof *logits);
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
    free(x);
}

static void round_trip(const char *arch, prelu_activation activation, double width, int64_t side)
{
    prelu_model *a = build(arch, activation, width), *b = NULL;
    float before[14], after[14];
    prelu_err err = {0};
    check_ok(prelu_model_save(a, path, &err), &err);
    check_ok(prelu_model_load(&b, path, NULL, &err), &err);
    check_same(a->graph, b->graph);
    assert_string_equal(b->arch, arch);
    assert_int_equal(b->classes, 7);
    assert_int_equal(a->preprocess.crop, b->preprocess.crop);
    assert_int_equal(a->preprocess.resize, b->preprocess.resize);
    assert_memory_equal(a->preprocess.scales, b->preprocess.scales, sizeof a->preprocess.scales);
    run(a, side, before);
    run(b, side, after);
    assert_memory_equal(before, after, sizeof before);
    check_ok(prelu_model_save(b, path, &err), &err); /* over the file that b's weights lie in */
    run(b, side, after);
    assert_memory_equal(before, after, sizeof before);
    prelu_model_destroy(&a);
    prelu_model_destroy(&b);
    assert_int_equal(files_in_folder(), 1);
}

static void test_cifar(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        round_trip("cifar", (prelu_activation)i, 0.25, 32);
    round_trip("cifar", PRELU_ACT_PRELU, 0.25, 41); /* SPP came back: any size runs */
}

static void test_paper(void **state)
{
    (void)state;
    round_trip("small14", PRELU_ACT_PRELU, 0.06, 224);
    round_trip("A", PRELU_ACT_PRELU_SHARED, 0.03, 224);
    round_trip("vgg19", PRELU_ACT_PRELU, 0.03, 224);
}

static void test_metadata(void **state)
{
    static const char labels[] = "n01\tcat\nn02\tdog\n\nkey \xc3\xa9\nn05\tfive\nsix\n\"7\"\n";
    prelu_model *a = build("cifar", PRELU_ACT_PRELU, 0.25), *b = NULL;
    prelu_label *read = NULL;
    prelu_err err = {0};
    (void)state;
    check_ok(mdl_text_set(&a->training, "{\"seed\":1}", &err), &err);
    check_ok(mdl_text_set(&a->check, "{\"scores\":[1]}", &err), &err);
    check_ok(mdl_labels_lines(&read, 7, labels, &err), &err);
    mdl_labels_free(a->labels, 7);
    a->labels = read;
    a->preprocess.draft = true;
    check_ok(prelu_model_save(a, path, &err), &err);
    check_ok(prelu_model_load(&b, path, NULL, &err), &err);
    assert_string_equal(b->training, "{\"seed\":1}");
    assert_string_equal(b->check, "{\"scores\":[1]}");
    for (int i = 0; i < 7; i++) {
        assert_string_equal(a->labels[i].id, b->labels[i].id);
        assert_string_equal(a->labels[i].label, b->labels[i].label);
    }
    assert_string_equal(b->labels[1].label, "dog");
    assert_true(b->preprocess.draft);
    prelu_model_destroy(&a);
    prelu_model_destroy(&b);
}

/* Weights in a file of their own, as above 2 GiB. */
static void test_external(void **state)
{
    prelu_model *a = build("cifar", PRELU_ACT_PRELU, 0.25), *b = NULL;
    struct stat st;
    prelu_err err = {0};
    (void)state;
    check_ok(onnx_write(a, path, 50000, &err), &err);
    assert_int_equal(files_in_folder(), 2);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size < 50000);
    check_ok(prelu_model_load(&b, path, NULL, &err), &err);
    check_same(a->graph, b->graph);
    prelu_model_destroy(&b);
    check_ok(onnx_write(a, path, 50000, &err), &err); /* the same weights, the same name */
    assert_int_equal(files_in_folder(), 2);
    prelu_model_destroy(&a);
}

static uint8_t *slurp(size_t *len) { return check_read_file(path, len); }

/* A disk that is full, or a file limit: the old file survives, and no other is left. */
static void test_full_disk(void **state)
{
    prelu_model *a = build("cifar", PRELU_ACT_PRELU, 0.25),
                *b = build("cifar", PRELU_ACT_RELU, 0.25);
    struct rlimit old, limit;
    size_t len, len2;
    uint8_t *before, *after;
    prelu_err err = {0};
    (void)state;
    check_ok(prelu_model_save(a, path, &err), &err);
    before = slurp(&len);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    for (rlim_t most = 0; most < len; most += len / 3) {
        limit = old;
        limit.rlim_cur = most;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        prelu_status st = prelu_model_save(b, path, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(st, PRELU_E_IO);
        assert_non_null(strstr(err.text, "model.onnx"));
        memset(&err, 0, sizeof err);
        assert_int_equal(files_in_folder(), 1);
    }
    after = slurp(&len2);
    assert_int_equal(len, len2);
    assert_memory_equal(before, after, len);
    free(before);
    free(after);
    prelu_model_destroy(&a);
    prelu_model_destroy(&b);
}

static void test_no_folder(void **state)
{
    prelu_model *a = build("cifar", PRELU_ACT_PRELU, 0.25);
    prelu_err err = {0};
    (void)state;
    check_fails(prelu_model_save(a, "/nonexistent/model.onnx", &err), PRELU_E_IO, &err);
    prelu_model_drop_weights(a);
    check_fails(prelu_model_save(a, path, &err), PRELU_E_ARG, &err);
    prelu_model_destroy(&a);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)
    const struct CMUnitTest tests[] = {TEST(test_cifar),     TEST(test_paper),
                                       TEST(test_metadata),  TEST(test_external),
                                       TEST(test_full_disk), TEST(test_no_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
