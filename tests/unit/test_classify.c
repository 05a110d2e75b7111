/* The two ends of the data path: JPEG to views, scores to the best classes. */
#include "check.h"
#include "prelu/classify.h"
#include "prelu/nets.h"

static prelu_model *small_net(void)
{
    prelu_net_options o = {
        .arch = "cifar", .width = 0.25, .activation = PRELU_ACT_PRELU, .seed = 4};
    prelu_model *m = NULL;
    prelu_err err = {0};
    check_ok(prelu_net_build(&m, &o, &err), &err);
    return m;
}

static void test_modes(void **state)
{
    prelu_mode mode = PRELU_MODE_CENTER;
    prelu_err err = {0};
    (void)state;
    check_ok(prelu_mode_parse(&mode, "10view", &err), &err);
    assert_int_equal(mode, PRELU_MODE_10VIEW);
    assert_string_equal(prelu_mode_name(PRELU_MODE_CENTER), "center");
    assert_int_equal(prelu_mode_units(NULL, PRELU_MODE_CENTER), 1);
    assert_int_equal(prelu_mode_units(NULL, PRELU_MODE_10VIEW), 10);
    check_fails(prelu_mode_parse(&mode, "middle", &err), PRELU_E_ARG, &err);
}

/* The centre view, of which alone is resized, has the bytes that the whole resized picture has
 * there; for landscape, portrait and square pictures. */
static void test_center(void **state)
{
    static const char *const names[] = {"baseline_420", "exif_6", "gray"};
    prelu_model *m = small_net();
    (void)state;
    for (int resize = 33; resize <= 40; resize++) /* odd and even slack */
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            char name[64];
            prelu_prepared one = {.n_images = 0};
            prelu_image decoded = {.data = NULL}, whole = {.data = NULL};
            prelu_view view;
            prelu_err err = {0};
            size_t len;
            int w, h;
            snprintf(name, sizeof name, "golden/jpeg/%s.jpg", names[i]);
            uint8_t *jpeg = check_read_file(name, &len);
            m->preprocess.resize = resize;
            check_ok(prelu_model_prepare(&one, m, PRELU_MODE_CENTER, jpeg, len, NULL, &err), &err);
            assert_int_equal(one.n_views, 1);
            assert_false(one.views[0].mirror);
            check_ok(prelu_jpeg_decode(&decoded, jpeg, len, 0, NULL, NULL, &err), &err);
            check_ok(prelu_resized_size(decoded.width, decoded.height, resize, NULL, &w, &h, &err),
                     &err);
            check_ok(prelu_image_resize(&whole, &decoded, w, h, NULL, &err), &err);
            check_ok(prelu_view_center(&view, &whole, 32, &err), &err);
            assert_int_equal(one.info.width, decoded.width);
            for (int y = 0; y < 32; y++)
                assert_memory_equal(one.views[0].data + (size_t)y * one.views[0].stride,
                                    view.data + (size_t)y * view.stride, 32 * 3);
            prelu_prepared_deinit(&one);
            prelu_image_deinit(&decoded);
            prelu_image_deinit(&whole);
            free(jpeg);
        }
    prelu_model_destroy(&m);
}

static void test_ten(void **state)
{
    prelu_model *m = small_net();
    prelu_prepared p = {.n_images = 0};
    prelu_err err = {0};
    size_t len;
    uint8_t *jpeg = check_read_file("golden/jpeg/baseline_420.jpg", &len);
    (void)state;
    check_ok(prelu_model_prepare(&p, m, PRELU_MODE_10VIEW, jpeg, len, NULL, &err), &err);
    assert_int_equal(p.n_views, 10);
    assert_int_equal(p.n_images, 1);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(p.views[i].width, 32);
        assert_int_equal(p.views[i].mirror, i >= 5);
        assert_ptr_equal(p.views[i].data, p.views[i % 5].data);
    }
    assert_ptr_equal(p.views[0].data, p.images[0].data);
    prelu_prepared_deinit(&p);
    check_fails(prelu_model_prepare(&p, m, PRELU_MODE_CENTER, jpeg, len / 2, NULL, &err),
                PRELU_E_FORMAT, &err);
    check_fails(prelu_model_prepare(&p, m, PRELU_MODE_CENTER, "PNG?", 4, NULL, &err),
                PRELU_E_UNSUPPORTED, &err);
    assert_null(p.views);
    free(jpeg);
    prelu_model_destroy(&m);
}

/* Rows of scores belong to their views however many run in one pass. */
static void test_views_run(void **state)
{
    enum { N = 70 };
    prelu_model *m = small_net();
    prelu_plan *plan = NULL;
    prelu_session *s = NULL;
    prelu_err err = {0};
    static uint8_t pixels[N * 32 * 32 * 3];
    static float all[N * 10], one[10];
    prelu_view views[N];
    uint64_t seed = check_seed();
    (void)state;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)check_random(&seed);
    for (int i = 0; i < N; i++)
        views[i] = (prelu_view){pixels + i * 32 * 32 * 3, 96, 32, 32, i % 3 == 0};
    check_ok(prelu_model_plan(&plan, m, PRELU_PRECISION_FP32, NULL, &err), &err);
    check_ok(prelu_session_create(&s, plan, NULL, 0, &err), &err);
    check_ok(prelu_views_run(s, views, N, 10, all, &err), &err);
    for (int i = 0; i < N; i += 23) {
        double sum = 0;
        check_ok(prelu_views_run(s, &views[i], 1, 10, one, &err), &err);
        assert_memory_equal(one, all + i * 10, sizeof one);
        for (int c = 0; c < 10; c++)
            sum += (double)one[c];
        check_near(sum, 1, 1e-5);
    }
    assert_memory_not_equal(all, all + 10, sizeof one);
    check_fails(prelu_views_run(s, views, 1, 9, one, &err), PRELU_E_FORMAT, &err);
    views[1].width = 31;
    check_fails(prelu_views_run(s, views, 2, 10, all, &err), PRELU_E_ARG, &err);
    check_fails(prelu_views_run(s, views, 0, 10, all, &err), PRELU_E_ARG, &err);
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
    prelu_model_destroy(&m);
}

static void test_rank(void **state)
{
    static const float scores[3][4] = {
        {0.1f, 0.2f, 0.2f, 0.5f}, {0.5f, 0.2f, 0.2f, 0.1f}, {0.3f, 0.2f, 0.2f, 0.3f}};
    const prelu_model m = {.classes = 4};
    prelu_prediction top[4];
    double mean[4];
    float bad[4] = {0, NAN, 0, 0};
    prelu_err err = {0};
    (void)state;
    check_ok(prelu_model_rank(&m, scores[0], 3, 4, top, mean, &err), &err);
    assert_int_equal(top[0].class_index, 0); /* equal means: the lower index first */
    assert_int_equal(top[1].class_index, 3);
    assert_int_equal(top[2].class_index, 1);
    assert_int_equal(top[3].class_index, 2);
    check_near(mean[0], 0.3, 1e-7);
    assert_true(top[0].score == mean[0]);
    check_ok(prelu_model_rank(&m, scores[0], 1, 1, top, NULL, &err), &err);
    assert_int_equal(top[0].class_index, 3);
    check_ok(prelu_model_rank(&m, scores[0], 1, 2, top, NULL, &err), &err);
    assert_int_equal(top[1].class_index, 1);
    check_fails(prelu_model_rank(&m, scores[0], 1, 0, top, NULL, &err), PRELU_E_ARG, &err);
    check_fails(prelu_model_rank(&m, scores[0], 1, 5, top, NULL, &err), PRELU_E_ARG, &err);
    check_fails(prelu_model_rank(&m, scores[0], 0, 1, top, NULL, &err), PRELU_E_ARG, &err);
    check_fails(prelu_model_rank(&m, bad, 1, 1, top, NULL, &err), PRELU_E_FORMAT, &err);
}

/* Against sorting, with many ties. */
static void test_rank_random(void **state)
{
    enum { CLASSES = 50 };
    const prelu_model m = {.classes = CLASSES};
    uint64_t seed = check_seed();
    (void)state;
    for (int round = 0; round < 200; round++) {
        float scores[CLASSES];
        prelu_prediction top[CLASSES];
        prelu_err err = {0};
        size_t k = (size_t)check_random_int(&seed, 1, CLASSES);
        for (int i = 0; i < CLASSES; i++)
            scores[i] = (float)check_random_int(&seed, 0, 9);
        check_ok(prelu_model_rank(&m, scores, 1, k, top, NULL, &err), &err);
        for (size_t i = 0; i < k; i++) {
            int better = 0, c = top[i].class_index;
            for (int j = 0; j < CLASSES; j++)
                better += scores[j] > scores[c] || (scores[j] == scores[c] && j < c);
            assert_int_equal(better, i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes), cmocka_unit_test(test_center),
        cmocka_unit_test(test_ten),   cmocka_unit_test(test_views_run),
        cmocka_unit_test(test_rank),  cmocka_unit_test(test_rank_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
