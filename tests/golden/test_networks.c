/* The networks that people bring, as PyTorch exports them, against what onnxruntime made of them
 * (regenerate_networks.py); and dense testing of each. */
#include "check.h"
#include "prelu/model.h"
#include "prelu/session.h"

#define FOLDER PRELU_TEST_DIR "/golden/networks"
enum { CLASSES = 10, NETWORKS = 40, RUNS = 72 };

typedef struct network {
    char name[48];
    prelu_model *m;
    prelu_plan *views, *dense;
    int crop;
} network;

static void load(network *net, const char *name)
{
    prelu_err err = {0};
    char path[1024];
    memset(net, 0, sizeof *net);
    snprintf(net->name, sizeof net->name, "%s", name);
    snprintf(path, sizeof path, FOLDER "/%s.onnx", name);
    check_ok(prelu_model_load(&net->m, path, NULL, &err), &err);
    assert_int_equal(net->m->classes, CLASSES);
    check_ok(prelu_model_plan(&net->views, net->m, PRELU_PRECISION_FP32, NULL, &err), &err);
    prelu_status st =
        prelu_model_plan_dense(&net->dense, net->m, net->views, PRELU_PRECISION_FP32, NULL, &err);
    if (strncmp(name, "excite", 6) != 0)
        check_ok(st, &err);
    else if (st != PRELU_E_UNSUPPORTED || !strstr(err.text, "GlobalAveragePool node '"))
        fail_msg("%s: %s", name, err.text); /* its gates look at the whole picture */
    net->crop = net->m->preprocess.crop;
}

static void unload(network *net)
{
    prelu_plan_destroy(&net->dense);
    prelu_plan_destroy(&net->views);
    prelu_model_destroy(&net->m);
}

static float *draw(size_t count)
{
    uint64_t state = 1;
    float *x = malloc(count * sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = check_random_float(&state, -2, 2);
    return x;
}

/* The logits' rows, to be freed. */
static float *run(const prelu_plan *plan, const float *x, int n, int h, int w, size_t *rows)
{
    prelu_err err = {0};
    prelu_session *s = NULL;
    float *y;
    check_ok(prelu_session_create(&s, plan, NULL, 0, &err), &err);
    check_ok(prelu_session_reshape(s, n, h, w, &err), &err);
    check_ok(prelu_session_set_input(s, 0, x, (size_t)n * 3 * (size_t)(h * w), &err), &err);
    check_ok(prelu_session_run(s, &err), &err);
    *rows = (size_t)prelu_session_output_shape(s, PRELU_OUTPUT_LOGITS)->dim[0];
    y = malloc(*rows * CLASSES * sizeof *y);
    check_ok(prelu_session_read(s, PRELU_OUTPUT_LOGITS, y, *rows * CLASSES, &err), &err);
    prelu_session_destroy(&s);
    return y;
}

static void near(const char *name, const char *what, const float *y, const float *want, int rows)
{
    double most = 0, error = 0;
    for (int i = 0; i < rows * CLASSES; i++) {
        most = fmax(most, fabs((double)want[i]));
        if (!(fabs((double)y[i] - (double)want[i]) <= error)) /* NaN too */
            error = fabs((double)y[i] - (double)want[i]);
    }
    if (!(error <= 1e-4 * most))
        fail_msg("%s, %s: off by %.3g of %.3g", name, what, error, most);
}

/* Pixels of the picture for one of the last map. */
static int stride_of(const char *name)
{
    static const struct {
        const char *prefix;
        int stride;
    } strides[] = {{"resnet", 32},    {"vgg", 32},    {"mobilenet", 16}, {"swish", 16},
                   {"efficient", 16}, {"squeeze", 8}, {"dense", 8},      {"view", 16}};
    for (size_t i = 0; i < sizeof strides / sizeof *strides; i++)
        if (!strncmp(name, strides[i].prefix, strlen(strides[i].prefix)))
            return strides[i].stride;
    fail_msg("%s is not known", name);
    return 0;
}

/* A picture of the training size is one window, and a larger one has several. */
static void check_dense(const network *net)
{
    const int side = net->crop, stride = stride_of(net->name);
    float *x = draw((size_t)3 * (size_t)((side + 32) * (side + 64)));
    size_t rows;
    float *want = run(net->views, x, 1, side, side, &rows);
    float *y = run(net->dense, x, 1, side, side, &rows);
    assert_int_equal(rows, 1);
    near(net->name, "dense at the crop's size", y, want, 1);
    free(y);
    y = run(net->dense, x, 1, side + 32, side + 64, &rows);
    if (rows != (size_t)((1 + 32 / stride) * (1 + 64 / stride)))
        fail_msg("%s: %zu windows", net->name, rows);
    free(y);
    free(want);
    free(x);
}

static void test_all(void **state)
{
    FILE *f = fopen(FOLDER "/results.txt", "r");
    network net = {.m = NULL};
    char name[48];
    int n, h, w, runs = 0, networks = 0;
    (void)state;
    assert_non_null(f);
    while (fscanf(f, "%47s %d %d %d", name, &n, &h, &w) == 4) {
        float want[2 * CLASSES] = {0};
        size_t rows;
        assert_in_range(n, 1, 2);
        for (int i = 0; i < n * CLASSES; i++)
            assert_int_equal(fscanf(f, "%f", &want[i]), 1);
        if (strcmp(name, net.name) != 0) {
            unload(&net);
            load(&net, name);
            if (net.dense)
                check_dense(&net);
            networks++;
        }
        float *x = draw((size_t)n * 3 * (size_t)(h * w));
        float *y = run(net.views, x, n, h, w, &rows);
        assert_int_equal(rows, n);
        near(name, "as exported", y, want, n);
        free(x);
        free(y);
        runs++;
    }
    unload(&net);
    fclose(f);
    assert_int_equal(networks, NETWORKS);
    assert_int_equal(runs, RUNS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
