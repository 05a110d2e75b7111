/* Every model of golden/onnx against what onnxruntime made of it (regenerate_models.py). */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "npy.h"
#include "prelu/model.h"
#include "prelu/session.h"
#include <dirent.h>
#include <unistd.h>

#define FOLDER PRELU_TEST_DIR "/golden/onnx"
#define CASES 100

static void read_npy(train_npy *a, const char *name, const char *part)
{
    prelu_err err = {0};
    char path[1024];
    snprintf(path, sizeof path, FOLDER "/%s.%s.npy", name, part);
    check_ok(train_npy_read(a, path, &err), &err);
}

static void compare(const char *name, const prelu_session *s, const train_npy *want)
{
    const prelu_shape *shape = prelu_session_output_shape(s, 0);
    prelu_err err = {0};
    double most = 0, error = 0;
    float *y = malloc((want->count + 1) * sizeof *y);
    if (!prelu_shape_equal(shape, &want->shape))
        fail_msg("%s: the shapes differ", name);
    check_ok(prelu_session_read(s, 0, y, want->count, &err), &err);
    for (size_t i = 0; i < want->count; i++) {
        double e = fabs((double)y[i] - (double)want->data[i]);
        if (!(e <= error)) /* NaN too */
            error = e;
        most = fmax(most, fabs((double)want->data[i]));
    }
    if (!(error <= 1e-5 * most))
        fail_msg("%s: off by %.3g of %.3g", name, error, most);
    free(y);
}

static prelu_plan *plan_of(const prelu_model *m)
{
    prelu_plan_options o = {.precision = PRELU_PRECISION_FP32, .n_outputs = 1};
    prelu_err err = {0};
    prelu_plan *plan = NULL;
    o.outputs = m->graph->outputs;
    check_ok(prelu_plan_create(&plan, m->graph, &o, &err), &err);
    return plan;
}

/* @param again  where to write the model once it is read, or NULL. */
static void run_file(const char *path, const char *name, const char *again)
{
    prelu_err err = {0};
    prelu_model *m = NULL;
    prelu_session *s = NULL;
    train_npy x, y;
    bool map;
    check_ok(prelu_model_load(&m, path, NULL, &err), &err);
    read_npy(&x, name, "x");
    read_npy(&y, name, "y");
    map = x.shape.rank == 4;
    prelu_plan *plan = plan_of(m);
    if (again)
        check_ok(prelu_model_save(m, again, &err), &err);
    prelu_model_destroy(&m); /* the plan needs no file */
    check_ok(prelu_session_create(&s, plan, NULL, 0, &err), &err);
    check_ok(prelu_session_reshape(s, x.shape.dim[0], map ? x.shape.dim[2] : 1,
                                   map ? x.shape.dim[3] : 1, &err),
             &err);
    check_ok(prelu_session_set_input(s, 0, x.data, x.count, &err), &err);
    check_ok(prelu_session_run(s, &err), &err);
    compare(name, s, &y);
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
    train_npy_deinit(&x);
    train_npy_deinit(&y);
}

static void test_all(void **state)
{
    DIR *dir = opendir(FOLDER);
    char path[1024], again[] = "/tmp/prelu-golden-XXXXXX";
    int cases = 0, fd = mkstemp(again);
    (void)state;
    assert_non_null(dir);
    assert_true(fd >= 0);
    close(fd);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char name[256];
        size_t len = strlen(e->d_name);
        if (len <= 5 || len >= sizeof name || strcmp(e->d_name + len - 5, ".onnx"))
            continue;
        memcpy(name, e->d_name, len - 5);
        name[len - 5] = 0;
        snprintf(path, sizeof path, FOLDER "/%s.onnx", name);
        run_file(path, name, again);
        run_file(again, name, NULL); /* what we write of it means the same */
        cases++;
    }
    closedir(dir);
    unlink(again);
    assert_int_equal(cases, CASES);
}

/* The lowered SPP of another writer becomes one node, and pictures of other sizes run. */
static void test_spp(void **state)
{
    prelu_err err = {0};
    prelu_model *m = NULL;
    prelu_shape *shapes;
    int spp = 0;
    (void)state;
    check_ok(prelu_model_load(&m, FOLDER "/net_spp.onnx", NULL, &err), &err);
    for (int i = 0; i < m->graph->n_nodes; i++) {
        const prelu_node *n = &m->graph->nodes[i];
        const prelu_attr *levels = prelu_node_attr(n, "levels");
        assert_string_not_equal(n->op, "Slice");
        if (strcmp(n->op, "SPP"))
            continue;
        spp++;
        assert_non_null(levels);
        assert_int_equal(levels->len, 4);
        assert_int_equal(levels->ints[0], 7);
        assert_int_equal(levels->ints[1], 3);
        assert_int_equal(levels->ints[2], 2);
        assert_int_equal(levels->ints[3], 1);
    }
    assert_int_equal(spp, 1);
    assert_int_equal(m->preprocess.crop, 14);
    assert_int_equal(m->preprocess.resize, 16);
    assert_int_equal(m->classes, 5);
    shapes = calloc((size_t)m->graph->n_values, sizeof *shapes);
    check_ok(prelu_graph_infer(m->graph, 2, 21, 40, shapes, &err), &err);
    assert_int_equal(shapes[m->logits].dim[0], 2);
    assert_int_equal(shapes[m->logits].dim[1], 5);
    free(shapes);
    prelu_model_destroy(&m);
}

/* Zeros around a map are the convolution's and the average's own padding. */
static void test_pads_fold(void **state)
{
    prelu_err err = {0};
    prelu_model *m = NULL;
    (void)state;
    check_ok(prelu_model_load(&m, FOLDER "/pad_conv_pool.onnx", NULL, &err), &err);
    prelu_plan *plan = plan_of(m);
    assert_int_equal(prelu_plan_layers(plan), 2);
    prelu_plan_destroy(&plan);
    prelu_model_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all), cmocka_unit_test(test_spp),
                                       cmocka_unit_test(test_pads_fold)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
