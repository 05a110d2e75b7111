/* Files that the reader must refuse, with words that help; and what it makes of right ones. */
#define _XOPEN_SOURCE 700 /* mkdtemp, symlink */
#include "check.h"
#include "onnx_make.h"
#include "prelu/mem.h"
#include <sys/stat.h>
#include <unistd.h>

#define IN(...) ((const char *const[]){__VA_ARGS__, NULL})
static const int64_t map_dims[4] = {-1, 3, 8, 8}, rows[2] = {-1, 4}, four[1] = {4};

/* The file must be refused with `want`, and the message must hold all the words. */
static void refuse(om *m, prelu_status want, const char *const *words)
{
    prelu_err err = {0};
    prelu_model *model = NULL;
    size_t len;
    uint8_t *file = om_finish(m, &len);
    prelu_status st = om_read(&model, file, len, &err);
    if (st != want)
        fail_msg("status %d, not %d: %s", (int)st, (int)want, err.text);
    for (; *words; words++)
        if (!strstr(err.text, *words))
            fail_msg("'%s' does not say '%s'", err.text, *words);
    assert_null(model);
    free(file);
}

static void one_node(om *m, const char *op, const char *const *in)
{
    om_port(m, 11, "x", rows, 2);
    om_floats(m, "c", four, 1);
    om_node(m, op, "the_node", in, "y");
    om_port(m, 12, "y", rows, 2);
}

static void test_names(void **state)
{
    om m = {0};
    (void)state;
    one_node(&m, "Frobnicate", IN("x"));
    refuse(&m, PRELU_E_UNSUPPORTED, IN("Frobnicate", "the_node"));
    one_node(&m, "SPP", IN("x")); /* ours, not ONNX's */
    refuse(&m, PRELU_E_UNSUPPORTED, IN("SPP", "the_node"));
    one_node(&m, "Add", IN("x", "nowhere"));
    refuse(&m, PRELU_E_FORMAT, IN("nowhere", "the_node"));
    one_node(&m, "Relu", IN("y"));
    refuse(&m, PRELU_E_FORMAT, IN("y", "the_node"));
    one_node(&m, "Relu", IN("x"));
    om_floats(&m, "c", four, 1);
    refuse(&m, PRELU_E_FORMAT, IN("'c'", "twice"));
    one_node(&m, "Relu", IN("x"));
    om_node(&m, "Relu", "other", IN("x"), "y");
    refuse(&m, PRELU_E_FORMAT, IN("'y'", "twice"));
    one_node(&m, "Relu", IN("x"));
    om_port(&m, 12, "z", rows, 2);
    refuse(&m, PRELU_E_FORMAT, IN("'z'"));
    one_node(&m, "Relu", IN("x"));
    om_node(&m, "Relu", "no_output", IN("x"), NULL);
    refuse(&m, PRELU_E_FORMAT, IN("no_output"));
}

static void test_model(void **state)
{
    om m = {0};
    (void)state;
    one_node(&m, "Relu", IN("x"));
    m.opset = 5;
    refuse(&m, PRELU_E_UNSUPPORTED, IN("5", "6 to 21"));
    one_node(&m, "Relu", IN("x"));
    m.opset = 22;
    refuse(&m, PRELU_E_UNSUPPORTED, IN("22"));
    om_port(&m, 11, "x", rows, 2);
    refuse(&m, PRELU_E_FORMAT, IN("outputs"));
    refuse(&m, PRELU_E_FORMAT, IN("outputs")); /* an empty graph */
}

static void test_shapes(void **state)
{
    static const int64_t w[4] = {4, 5, 3, 3}, big[4] = {4, 3, 9, 9}, slope[1] = {5};
    om m = {0};
    (void)state;
    om_port(&m, 11, "x", map_dims, 4);
    om_floats(&m, "w", w, 4);
    om_node(&m, "Conv", "the_conv", IN("x", "w"), "y");
    om_port(&m, 12, "y", map_dims, 4);
    refuse(&m, PRELU_E_FORMAT, IN("the_conv"));
    om_port(&m, 11, "x", map_dims, 4);
    om_floats(&m, "w", big, 4);
    om_node(&m, "Conv", "the_conv", IN("x", "w"), "y");
    om_port(&m, 12, "y", map_dims, 4);
    refuse(&m, PRELU_E_FORMAT, IN("the_conv"));
    om_port(&m, 11, "x", rows, 2);
    om_floats(&m, "s", slope, 1);
    om_node(&m, "PRelu", "the_prelu", IN("x", "s"), "y");
    om_port(&m, 12, "y", rows, 2);
    refuse(&m, PRELU_E_FORMAT, IN("the_prelu"));
}

static void tensor(om *m, int type, const int64_t *dims, size_t rank, size_t len)
{
    static const uint8_t zeros[256];
    om_port(m, 11, "x", rows, 2);
    om_tensor(m, "the_tensor", type, dims, rank, zeros, len);
    om_node(m, "Add", "add", IN("x", "the_tensor"), "y");
    om_port(m, 12, "y", rows, 2);
}

static void test_sizes(void **state)
{
    static const int64_t huge[3] = {1LL << 32, 1LL << 32, 4}, wide[2] = {1LL << 61, 1};
    static const int64_t negative[2] = {-4, -1}, deep[7] = {1, 1, 1, 1, 1, 1, 4};
    om m = {0};
    (void)state;
    tensor(&m, 1, huge, 3, 16);
    refuse(&m, PRELU_E_LIMIT, IN("the_tensor", "overflows"));
    tensor(&m, 1, wide, 2, 16);
    refuse(&m, PRELU_E_LIMIT, IN("the_tensor", "overflows"));
    tensor(&m, 1, negative, 2, 16);
    refuse(&m, PRELU_E_FORMAT, IN("the_tensor", "-4"));
    tensor(&m, 1, deep, 7, 16);
    refuse(&m, PRELU_E_UNSUPPORTED, IN("the_tensor", "rank 7"));
    tensor(&m, 1, four, 1, 15);
    refuse(&m, PRELU_E_FORMAT, IN("the_tensor", "15", "16"));
    tensor(&m, 1, four, 1, 20);
    refuse(&m, PRELU_E_FORMAT, IN("the_tensor", "20", "16"));
    tensor(&m, 8, four, 1, 16); /* strings */
    refuse(&m, PRELU_E_UNSUPPORTED, IN("the_tensor", "type 8"));
    tensor(&m, 7, four, 1, 32); /* integers as an operand */
    refuse(&m, PRELU_E_UNSUPPORTED, IN("the_tensor", "i64"));
    tensor(&m, 1, four, 1, 0);
    refuse(&m, PRELU_E_FORMAT, IN("the_tensor", "0 bytes"));
}

static void test_attributes(void **state)
{
    static const int64_t many[70] = {0}, axes[2] = {5, 6};
    om m = {0};
    (void)state;
    om_port(&m, 11, "x", rows, 2);
    om_ints(&m, "axis", axes, 2); /* a list where a number belongs: the default holds */
    om_node(&m, "Softmax", "soft", IN("x"), "y");
    om_ints(&m, "perm", many, 70);
    om_node(&m, "Transpose", "the_node", IN("y"), "z");
    om_port(&m, 12, "z", rows, 2);
    refuse(&m, PRELU_E_LIMIT, IN("perm"));
    om_port(&m, 11, "x", rows, 2);
    om_ints(&m, "axes", axes, 2);
    om_node(&m, "ReduceMean", "the_node", IN("x"), "y");
    om_port(&m, 12, "y", rows, 2);
    refuse(&m, PRELU_E_FORMAT, IN("the_node"));
    om_port(&m, 11, "x", rows, 2);
    om_node(&m, "Reshape", "the_node", IN("x", "x"), "y");
    om_port(&m, 12, "y", rows, 2);
    refuse(&m, PRELU_E_UNSUPPORTED, IN("the_node", "not constant"));
}

/* Cut at every byte: an error each time, or a file that happens to be whole. */
static void test_cut(void **state)
{
    prelu_err err = {0};
    prelu_model *model = NULL;
    size_t len, whole = 0;
    om m = {0};
    uint8_t *file;
    (void)state;
    om_classifier(&m);
    om_metadata(&m, "prelu.arch", "tiny");
    file = om_finish(&m, &len);
    for (size_t i = 0; i <= len; i++) {
        uint8_t *part = malloc(i ? i : 1);
        memcpy(part, file, i);
        if (om_read(&model, part, i, &err) == PRELU_OK)
            whole++;
        else if (!err.text[0])
            fail_msg("cut at %zu: no words", i);
        prelu_model_destroy(&model);
        free(part);
    }
    assert_int_equal(whole, 1);
    free(file);
}

/* Every byte in turn set to other values: any answer but a crash, and whatever loads can be
 * destroyed. What this finds is found by the sanitizers. */
static void test_flipped(void **state)
{
    static const uint8_t changes[] = {0x01, 0x7f, 0x80, 0xff};
    prelu_err err = {0};
    prelu_model *model = NULL;
    size_t len, refused = 0;
    om m = {0};
    uint8_t *file;
    (void)state;
    om_classifier(&m);
    file = om_finish(&m, &len);
    for (size_t i = 0; i < len; i++)
        for (size_t k = 0; k < sizeof changes; k++) {
            file[i] ^= changes[k];
            refused += om_read(&model, file, len, &err) != PRELU_OK;
            prelu_model_destroy(&model);
            file[i] ^= changes[k];
        }
    assert_true(refused > len / 4);
    free(file);
}

static void test_classifier(void **state)
{
    prelu_err err = {0};
    prelu_model *model = NULL;
    size_t len;
    om m = {0};
    uint8_t *file;
    (void)state;
    om_classifier(&m);
    file = om_finish(&m, &len);
    check_ok(om_read(&model, file, len, &err), &err);
    assert_int_equal(model->classes, 3);
    assert_int_equal(model->preprocess.crop, 8);
    assert_string_equal(model->graph->values[model->logits].name, "y");
    assert_string_equal(model->graph->values[model->prob].name, "prob"); /* the file had none */
    assert_int_equal(model->graph->outputs[0], model->logits);
    assert_string_equal(model->labels[2].label, "");
    for (int i = 0; i < model->graph->n_values; i++) {
        const prelu_value_info *v = &model->graph->values[i];
        if (!v->is_constant)
            continue;
        assert_int_equal(v->role, *v->name == 'a'        ? PRELU_ROLE_SLOPE
                                  : strchr(v->name, 'b') ? PRELU_ROLE_BIAS
                                                         : PRELU_ROLE_WEIGHT);
        /* borrowed from the file, not copied */
        assert_true((const uint8_t *)v->data >= file && (const uint8_t *)v->data < file + len);
        assert_false(v->owns_data);
    }
    prelu_model_destroy(&model);
    free(file);
}

/* Presets and files put their arithmetic in front of the first node. */
static void test_preprocess(void **state)
{
    static const char *const ops[2][3] = {{"Mul", "Sub", "Div"}, {"Slice", "Slice", "Slice"}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        prelu_model_options o = {.preprocess = i ? "caffe" : "imagenet"};
        prelu_err err = {0};
        prelu_model *model = NULL;
        mdl_map map;
        size_t len;
        om m = {0};
        uint8_t *file;
        om_classifier(&m);
        file = om_finish(&m, &len);
        map = (mdl_map){file, len};
        check_ok(mdl_model_read(&model, &map, NULL, &o, &err), &err);
        for (int k = 0; k < 3; k++)
            assert_string_equal(model->graph->nodes[k].op, ops[i][k]);
        assert_true(model->preprocess.scale == 1 && !model->preprocess.bgr);
        assert_true(model->preprocess.mean[0] == 0 && model->preprocess.std[0] == 1);
        prelu_model_destroy(&model);
        free(file);
    }
}

/* --- external data -------------------------------------------------------------------------- */

static char folder[64];

static void path_in(char *path, size_t len, const char *name)
{
    snprintf(path, len, "%s/%s", folder, name);
}

static void write_file(const char *name, const void *data, size_t len)
{
    char path[256];
    FILE *f;
    path_in(path, sizeof path, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
}

static prelu_status load_external(const char *location, const char *offset, const char *length,
                                  prelu_model **model, prelu_err *err)
{
    char path[256];
    size_t len;
    om m = {0};
    uint8_t *file;
    om_port(&m, 11, "x", rows, 2);
    om_external(&m, "w", four, 1, location, offset, length);
    om_node(&m, "Add", "add", IN("x", "w"), "y");
    om_port(&m, 12, "y", rows, 2);
    file = om_finish(&m, &len);
    write_file("model.onnx", file, len);
    free(file);
    path_in(path, sizeof path, "model.onnx");
    return prelu_model_load(model, path, NULL, err);
}

static void refuse_external(const char *location, const char *offset, const char *length,
                            prelu_status want)
{
    prelu_err err = {0};
    prelu_model *model = NULL;
    prelu_status st = load_external(location, offset, length, &model, &err);
    if (st != want)
        fail_msg("%s: status %d, not %d: %s", location ? location : "-", (int)st, (int)want,
                 err.text);
    assert_non_null(strstr(err.text, "'w'"));
}

static void test_external(void **state)
{
    static const float values[6] = {0, 1, 2, 3, 4, 5};
    prelu_err err = {0};
    prelu_model *model = NULL;
    prelu_value w;
    char path[256], target[256];
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/prelu-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    write_file("w.data", values, sizeof values);
    path_in(path, sizeof path, "sub");
    assert_int_equal(mkdir(path, 0700), 0);
    write_file("sub/w.data", values, sizeof values);
    check_ok(load_external("w.data", "8", "16", &model, &err), &err);
    w = prelu_graph_find(model->graph, "w");
    assert_memory_equal(model->graph->values[w].data, values + 2, 16);
    prelu_model_destroy(&model);
    check_ok(load_external("sub/w.data", NULL, NULL, &model, &err), &err);
    prelu_model_destroy(&model);

    refuse_external("w.data", "12", "16", PRELU_E_FORMAT);
    refuse_external("w.data", "18446744073709551608", "16", PRELU_E_FORMAT);
    refuse_external("w.data", "-1", "16", PRELU_E_FORMAT);
    refuse_external("w.data", "0", "8", PRELU_E_FORMAT);
    refuse_external("none.data", NULL, NULL, PRELU_E_NOTFOUND);
    refuse_external("/etc/passwd", NULL, NULL, PRELU_E_FORMAT);
    refuse_external("../w.data", NULL, NULL, PRELU_E_FORMAT);
    refuse_external("sub/../w.data", NULL, NULL, PRELU_E_FORMAT);
    refuse_external("sub/..", NULL, NULL, PRELU_E_FORMAT);
    refuse_external("sub", NULL, NULL, PRELU_E_FORMAT);
    refuse_external("", NULL, NULL, PRELU_E_FORMAT);
    refuse_external(NULL, NULL, NULL, PRELU_E_FORMAT);
    path_in(path, sizeof path, "link.data");
    assert_int_equal(symlink("w.data", path), 0);
    refuse_external("link.data", NULL, NULL, PRELU_E_FORMAT);
    path_in(path, sizeof path, "link");
    path_in(target, sizeof target, "sub");
    assert_int_equal(symlink(target, path), 0);
    refuse_external("link/w.data", NULL, NULL, PRELU_E_FORMAT);

    static const char *const made[] = {"link", "link.data", "sub/w.data", "w.data", "model.onnx"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        path_in(path, sizeof path, made[i]);
        assert_int_equal(unlink(path), 0);
    }
    path_in(path, sizeof path, "sub");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_files(void **state)
{
    prelu_err err = {0};
    prelu_model *m = NULL;
    (void)state;
    check_fails(prelu_model_load(&m, "/nonexistent/model.onnx", NULL, &err), PRELU_E_NOTFOUND,
                &err);
    check_fails(prelu_model_load(&m, "/tmp", NULL, &err), PRELU_E_FORMAT, &err);
    check_fails(prelu_model_load(&m, "/dev/null", NULL, &err), PRELU_E_FORMAT, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),      cmocka_unit_test(test_model),
        cmocka_unit_test(test_shapes),     cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_attributes), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_flipped),    cmocka_unit_test(test_classifier),
        cmocka_unit_test(test_preprocess), cmocka_unit_test(test_external),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
