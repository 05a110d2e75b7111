/* prelu.check: what is written, and that damage, other scores and other weights are noticed. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "model_file.h"
#include "model_private.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include "prelu/nets.h"
#include "prelu/sha256.h"
#include <unistd.h>

static int drop_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static prelu_model *build(void)
{
    prelu_net_options o = {
        .arch = "cifar", .classes = 7, .width = 0.25, .activation = PRELU_ACT_PRELU, .seed = 5};
    prelu_model *m = NULL;
    prelu_err err = {0};
    check_ok(prelu_net_build(&m, &o, &err), &err);
    return m;
}

/* A model with its check, written and read. */
static prelu_model *written(void)
{
    prelu_model *a = build(), *b = NULL;
    prelu_err err = {0};
    check_ok(prelu_model_make_check(a, NULL, &err), &err);
    assert_non_null(a->check);
    check_ok(prelu_model_save(a, path, &err), &err);
    check_ok(prelu_model_load(&b, path, NULL, &err), &err);
    assert_string_equal(a->check, b->check);
    prelu_model_destroy(&a);
    return b;
}

static prelu_status verify(const prelu_model *m, prelu_precision precision, prelu_err *err)
{
    prelu_plan *plan = NULL;
    prelu_status st;
    PRELU_TRY(prelu_model_plan(&plan, m, precision, NULL, err));
    st = prelu_model_verify_check(m, plan, precision, NULL, err);
    prelu_plan_destroy(&plan);
    return st;
}

static void set_check(prelu_model *m, const char *text)
{
    prelu_err err = {0};
    check_ok(mdl_text_set(&m->check, text, &err), &err);
}

static void test_round_trip(void **state)
{
    static const prelu_precision precisions[] = {PRELU_PRECISION_AUTO, PRELU_PRECISION_FP32,
                                                 PRELU_PRECISION_BF16, PRELU_PRECISION_INT8FC};
    prelu_model *m = written();
    prelu_pool *pool = NULL;
    prelu_err err = {0};
    char *first = prelu_strdup(m->check);
    (void)state;
    for (int i = 0; i < 4; i++)
        check_ok(verify(m, precisions[i], &err), &err);
    check_ok(prelu_pool_create(&pool, 2, &err), &err);
    check_ok(prelu_model_make_check(m, pool, &err), &err); /* threads change nothing */
    assert_string_equal(m->check, first);
    prelu_free(first);
    prelu_pool_destroy(&pool);
    prelu_model_destroy(&m);
}

/* Computed by another program from the description in model.h. */
static void test_digest(void **state)
{
    const float w[3] = {1, 2, 3}, a = 0.25f;
    const prelu_shape free_size = {4, {-1, 3, -1, -1}}, w_shape = {4, {1, 3, 1, 1}}, scalar = {0};
    char digest[PRELU_SHA256_TEXT];
    prelu_graph *g = NULL;
    prelu_value x, v[2];
    prelu_err err = {0};
    (void)state;
    check_ok(prelu_graph_create(&g, &err), &err);
    /* `a` comes first as a value, but second in use; a third is not used. */
    check_ok(
        prelu_graph_constant(g, "a", PRELU_F32, &scalar, &a, true, PRELU_ROLE_NONE, &v[1], &err),
        &err);
    check_ok(
        prelu_graph_constant(g, "idle", PRELU_F32, &scalar, &a, true, PRELU_ROLE_NONE, &x, &err),
        &err);
    check_ok(prelu_graph_input(g, "data", PRELU_F32, &free_size, &x, &err), &err);
    check_ok(
        prelu_graph_constant(g, "w", PRELU_F32, &w_shape, w, true, PRELU_ROLE_NONE, &v[0], &err),
        &err);
    for (int i = 0; i < 3; i++) { /* the third use is not counted again */
        const prelu_value in[2] = {x, v[i % 2]};
        const char *name = (const char *[]){"n0", "n1", "n2"}[i];
        check_ok(prelu_graph_add(g, "Mul", name, in, 2, NULL, 0, NULL, &x, 1, &err), &err);
    }
    check_ok(mdl_weights_digest(g, NULL, digest, &err), &err);
    assert_string_equal(digest, "115e669b2c68b6772b99862cab48be15b81a91bd001070aac6a528e02ecb12b7");
    prelu_graph_destroy(&g);
}

static void test_picture(void **state)
{
    const prelu_preprocess p = {.resize = 36, .crop = 32};
    prelu_image img;
    prelu_err err = {0};
    char digest[PRELU_SHA256_TEXT];
    (void)state;
    check_ok(mdl_check_picture(&img, &p, &err), &err);
    assert_int_equal(img.width, 48);
    assert_int_equal(img.height, 36);
    prelu_sha256_text(digest, img.data, img.stride * (size_t)img.height);
    assert_string_equal(digest, "df2dbda90c59664d56909b600bd7f8f962fc0180664446dc75b2adfbc588aad1");
    prelu_image_deinit(&img);
}

/* The lowest bit of one weight: no score would tell. */
static void test_flipped_bit(void **state)
{
    prelu_model *m = written();
    prelu_err err = {0};
    const prelu_value_info *w = &m->graph->values[prelu_graph_find(m->graph, "conv2_1.w")];
    const long at = (const char *)w->data - (const char *)m->map;
    FILE *f;
    int byte;
    (void)state;
    assert_true(at > 0 && (size_t)at < m->map_len);
    prelu_model_destroy(&m);
    f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    byte = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 1, f), byte ^ 1);
    assert_int_equal(fclose(f), 0);
    check_ok(prelu_model_load(&m, path, NULL, &err), &err);
    assert_int_equal(verify(m, PRELU_PRECISION_FP32, &err), PRELU_E_FORMAT);
    assert_non_null(strstr(err.text, "SHA-256"));
    prelu_model_destroy(&m);
}

/* An f32 plan must be exact, where bf16 and int8 weights may differ a little and not much. */
static void test_other_scores(void **state)
{
    static const struct {
        prelu_precision precision;
        float tolerated, noticed;
    } want[] = {{PRELU_PRECISION_FP32, 0, 0.001f},
                {PRELU_PRECISION_AUTO, 0.001f, 0.1f},
                {PRELU_PRECISION_BF16, 0.001f, 0.1f},
                {PRELU_PRECISION_INT8FC, 0.001f, 0.1f}};
    prelu_model *m = written();
    char digest[PRELU_SHA256_TEXT], *text = NULL;
    double then[7];
    prelu_err err = {0};
    (void)state;
    check_ok(mdl_check_parse(m->check, 7, digest, then, &err), &err);
    for (int i = 0; i < 8; i++) {
        float off = i % 2 ? want[i / 2].noticed : want[i / 2].tolerated, scores[7];
        for (int k = 0; k < 7; k++)
            scores[k] = (float)then[k] + (k == 4 ? off : 0);
        check_ok(mdl_check_text(&text, digest, scores, 7, &err), &err);
        set_check(m, text);
        prelu_free(text);
        if (i % 2 == 0) {
            check_ok(verify(m, want[i / 2].precision, &err), &err);
            continue;
        }
        assert_int_equal(verify(m, want[i / 2].precision, &err), PRELU_E_FORMAT);
        assert_non_null(strstr(err.text, "class 4"));
        memset(&err, 0, sizeof err);
    }
    prelu_model_destroy(&m);
}

#define SHA "00000000000000000000000000000000000000000000000000000000000000aa"
static void test_damaged_text(void **state)
{
    static const struct {
        const char *text;
        prelu_status want;
    } bad[] = {
        {"", PRELU_E_FORMAT},
        {"[]", PRELU_E_FORMAT},
        {"{\"sha256\":\"" SHA "\",\"mode\":\"center\",\"scores\":[0,0,0,0,0,0,1]", PRELU_E_FORMAT},
        {"{\"mode\":\"center\",\"scores\":[0,0,0,0,0,0,1]}", PRELU_E_FORMAT},
        {"{\"sha256\":\"00\",\"mode\":\"center\",\"scores\":[0,0,0,0,0,0,1]}", PRELU_E_FORMAT},
        {"{\"sha256\":\"" SHA "0\",\"mode\":\"center\",\"scores\":[0,0,0,0,0,0,1]}",
         PRELU_E_FORMAT},
        {"{\"sha256\":\"" SHA "\",\"scores\":[0,0,0,0,0,0,1]}", PRELU_E_FORMAT},
        {"{\"sha256\":\"" SHA "\",\"mode\":\"dense\",\"scores\":[0,0,0,0,0,0,1]}",
         PRELU_E_UNSUPPORTED},
        {"{\"sha256\":\"" SHA "\",\"mode\":\"center\",\"scores\":7}", PRELU_E_FORMAT},
        {"{\"sha256\":\"" SHA "\",\"mode\":\"center\",\"scores\":[0,0,0,0,0,1]}", PRELU_E_FORMAT},
        {"{\"sha256\":\"" SHA "\",\"mode\":\"center\",\"scores\":[0,0,0,0,0,0,\"1\"]}",
         PRELU_E_FORMAT},
    };
    char digest[PRELU_SHA256_TEXT];
    double scores[7];
    prelu_err err = {0};
    (void)state;
    check_ok(mdl_check_parse("{\"sha256\":\"" SHA "\",\"mode\":\"center\",\"more\":1,"
                             "\"scores\":[0,0,0,0,0,0.5,1]}",
                             7, digest, scores, &err),
             &err);
    assert_string_equal(digest, SHA);
    assert_true(scores[5] == 0.5 && scores[6] == 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_fails(mdl_check_parse(bad[i].text, 7, digest, scores, &err), bad[i].want, &err);
}

static void count_warning(void *ctx, prelu_log_level level, const char *text)
{
    *(int *)ctx += level == PRELU_LOG_WARN && strstr(text, "finite");
}

/* A network that has diverged can be kept, but has nothing to be checked by. */
static void test_not_finite(void **state)
{
    prelu_model *m = build();
    prelu_err err = {0};
    int warnings = 0;
    (void)state;
    set_check(m, "{}");
    ((float *)m->graph->values[prelu_graph_find(m->graph, "fc2.w")].data)[0] = NAN;
    prelu_log_set(count_warning, &warnings, PRELU_LOG_WARN);
    check_ok(prelu_model_make_check(m, NULL, &err), &err);
    prelu_log_set(NULL, NULL, PRELU_LOG_WARN);
    assert_null(m->check);
    assert_int_equal(warnings, 1);
    prelu_model_destroy(&m);
}

/* A network that computes NaN is not what was written. */
static void test_became_nan(void **state)
{
    prelu_model *m = build();
    prelu_err err = {0};
    char digest[PRELU_SHA256_TEXT], *text = NULL;
    const float scores[7] = {1};
    (void)state;
    ((float *)m->graph->values[prelu_graph_find(m->graph, "fc2.w")].data)[0] = NAN;
    check_ok(mdl_weights_digest(m->graph, NULL, digest, &err), &err);
    check_ok(mdl_check_text(&text, digest, scores, 7, &err), &err);
    set_check(m, text);
    prelu_free(text);
    check_fails(verify(m, PRELU_PRECISION_FP32, &err), PRELU_E_FORMAT, &err);
    prelu_model_destroy(&m);
}

static void test_without(void **state)
{
    const prelu_model_options raw = {.preprocess = "raw"};
    prelu_model *m = written();
    prelu_plan *plan = NULL;
    prelu_err err = {0};
    (void)state;
    check_ok(prelu_model_plan(&plan, m, PRELU_PRECISION_FP32, NULL, &err), &err);
    prelu_model_drop_weights(m);
    check_fails(prelu_model_verify_check(m, plan, PRELU_PRECISION_FP32, NULL, &err), PRELU_E_ARG,
                &err);
    set_check(m, NULL);
    check_ok(prelu_model_verify_check(m, plan, PRELU_PRECISION_FP32, NULL, &err), &err);
    prelu_plan_destroy(&plan);
    prelu_model_destroy(&m);
    /* Another recipe was asked for: the file's scores are not for it. */
    check_ok(prelu_model_load(&m, path, &raw, &err), &err);
    assert_null(m->check);
    prelu_model_destroy(&m);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)
    const struct CMUnitTest tests[] = {TEST(test_round_trip),
                                       cmocka_unit_test(test_digest),
                                       cmocka_unit_test(test_picture),
                                       TEST(test_flipped_bit),
                                       TEST(test_other_scores),
                                       cmocka_unit_test(test_damaged_text),
                                       cmocka_unit_test(test_not_finite),
                                       cmocka_unit_test(test_became_nan),
                                       TEST(test_without)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
