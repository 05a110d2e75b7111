#include "prelu/heatmap.h"
#include "picture.h"
#include "prelu/nets.h"

enum { CLASSES = 10, ROOM = 2000, W = 61, H = 40 };

typedef struct fixture {
    prelu_model *m;
    prelu_plan *plan, *dense;
    prelu_session *s;
    float scores[ROOM * CLASSES];
} fixture;

static int set_up(void **state)
{
    static fixture f;
    prelu_err err = {0};
    const prelu_net_options o = {.arch = "cifar", .width = 0.1, .activation = PRELU_ACT_PRELU};
    check_ok(prelu_net_build(&f.m, &o, &err), &err);
    check_ok(prelu_model_plan(&f.plan, f.m, PRELU_PRECISION_FP32, NULL, &err), &err);
    check_ok(prelu_model_plan_dense(&f.dense, f.m, f.plan, PRELU_PRECISION_FP32, NULL, &err), &err);
    check_ok(prelu_session_create(&f.s, f.dense, NULL, 0, &err), &err);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    prelu_session_destroy(&f->s);
    prelu_plan_destroy(&f->dense);
    prelu_plan_destroy(&f->plan);
    prelu_model_destroy(&f->m);
    return 0;
}

static prelu_heatmap map_of(fixture *f, const char *mode, prelu_average average,
                            const prelu_image *img, int class_index)
{
    prelu_prepared p = {.n_images = 0};
    prelu_heatmap h = {.rows = 0};
    prelu_err err = {0};
    prelu_test t;
    check_ok(prelu_test_parse(&t, mode, &err), &err);
    t.average = average;
    check_ok(prelu_test_resolve(&t, f->m, f->dense, &err), &err);
    check_ok(prelu_model_prepare_image(&p, f->m, &t, img, NULL, &err), &err);
    assert_true(p.n_rows <= ROOM);
    check_ok(prelu_views_run(f->s, p.views, p.n_views, average, CLASSES, f->scores, p.n_rows, &err),
             &err);
    check_ok(prelu_heatmap_make(&h, &p, f->m, &t, f->scores, class_index, &err), &err);
    check_fails(prelu_heatmap_make(&h, &p, f->m, &t, f->scores, CLASSES, &err), PRELU_E_ARG, &err);
    prelu_prepared_deinit(&p);
    return h;
}

/* The mirrored picture has the mirrored map, whatever its width leaves over. */
static void test_mirrored(void **state)
{
    uint64_t seed = check_seed();
    for (int w = W; w < W + 5; w++) {
        prelu_image img = check_random_picture(&seed, w, H),
                    back = check_random_picture(&seed, w, H);
        for (int y = 0; y < H; y++)
            for (int x = 0; x < w; x++)
                memcpy(back.data + (size_t)y * back.stride + (size_t)x * 3,
                       img.data + (size_t)y * img.stride + (size_t)(w - 1 - x) * 3, 3);
        prelu_heatmap a = map_of(*state, "dense@40", PRELU_AVERAGE_PROB, &img, 4);
        prelu_heatmap b = map_of(*state, "dense@40", PRELU_AVERAGE_PROB, &back, 4);
        assert_true(a.rows >= 2 && a.cols > a.rows && a.rows == b.rows && a.cols == b.cols);
        for (int i = 0; i < a.rows * a.cols; i++) {
            const float twin = b.scores[i / a.cols * a.cols + a.cols - 1 - i % a.cols];
            assert_memory_equal(&a.scores[i], &twin, sizeof twin);
        }
        assert_true(a.scores[0] != a.scores[a.cols - 1]);
        check_near(a.box[0] + a.box[2], w, 1e-9); /* in the middle */
        prelu_heatmap_deinit(&a);
        prelu_heatmap_deinit(&b);
        prelu_image_deinit(&img);
        prelu_image_deinit(&back);
    }
}

/* Each cell has the score of the centre view of its window, cut out where the box says; up to what
 * the window's neighbours do to it. A bright square stands out where it is. */
static void test_place(void **state)
{
    uint64_t seed = check_seed();
    prelu_image img = check_random_picture(&seed, 80, 64);
    memset(img.data, 128, img.stride * (size_t)img.height);
    prelu_heatmap flat = map_of(*state, "dense@64", PRELU_AVERAGE_PROB, &img, 1), h;
    check_near(flat.window[0], 32, 1e-9);
    for (int y = 2; y < 10; y++)
        for (size_t x = 3 * 66; x < 3 * 78; x++)
            img.data[(size_t)y * img.stride + x] = (uint8_t)check_random(&seed);
    h = map_of(*state, "dense@64", PRELU_AVERAGE_PROB, &img, 1);
    for (int k = 0; k < h.rows; k++)
        for (int i = 0; i < h.cols; i++) {
            const double x = h.box[0] + (i + .5) * (h.box[2] - h.box[0]) / h.cols;
            const double y = h.box[1] + (k + .5) * (h.box[3] - h.box[1]) / h.rows;
            const int at = k * h.cols + i;
            if (fabs(x - 72) < 14 && fabs(y - 6) < 14)
                assert_true(h.scores[at] != flat.scores[at]);
            if (x < 66 - 16 - 40 || y > 10 + 16 + 40) /* beyond what a window sees around it */
                assert_true(h.scores[at] == flat.scores[at]);
        }
    assert_true(h.scores[h.cols - 1] != flat.scores[h.cols - 1]);
    prelu_heatmap_deinit(&h);
    prelu_heatmap_deinit(&flat);
    prelu_image_deinit(&img);
}

/* Of several sizes the mean, at the largest one's places; of logits still a score. */
static void test_sizes(void **state)
{
    uint64_t seed = check_seed();
    prelu_image img = check_random_picture(&seed, W, H);
    prelu_heatmap small = map_of(*state, "dense@36", PRELU_AVERAGE_PROB, &img, 2);
    prelu_heatmap large = map_of(*state, "dense@48", PRELU_AVERAGE_PROB, &img, 2);
    prelu_heatmap both = map_of(*state, "multiscale@36+48", PRELU_AVERAGE_PROB, &img, 2);
    prelu_heatmap logit = map_of(*state, "dense@48", PRELU_AVERAGE_LOGIT, &img, 2);
    assert_true(small.cols < large.cols && both.cols == large.cols);
    assert_memory_equal(both.box, large.box, sizeof both.box);
    for (int i = 0; i < large.rows * large.cols; i++)
        check_near(logit.scores[i], large.scores[i], 1e-6);
    prelu_heatmap_join(&large, &small, 2);
    for (int i = 0; i < large.rows * large.cols; i++)
        check_near(both.scores[i], large.scores[i], 1e-7);
    prelu_heatmap_deinit(&small);
    prelu_heatmap_deinit(&large);
    prelu_heatmap_deinit(&both);
    prelu_heatmap_deinit(&logit);
    prelu_image_deinit(&img);
}

static void test_paint(void **state)
{
    float scores[4] = {0, 0, 0, .5f};
    const prelu_heatmap h = {.rows = 2, .cols = 2, .scores = scores, .box = {500, 250, 1500, 750}};
    uint64_t seed = check_seed();
    prelu_image img = check_random_picture(&seed, 2000, 1000), out = {0};
    prelu_err err = {0};
    (void)state;
    memset(img.data, 100, img.stride * (size_t)img.height);
    check_ok(prelu_heatmap_paint(&out, &h, &img, 4000, 2000, &err), &err);
    assert_int_equal(out.width, PRELU_HEATMAP_SIDE);
    assert_int_equal(out.height, PRELU_HEATMAP_SIDE / 2);
    const uint8_t *first = out.data, *last = out.data + out.stride * (size_t)(out.height - 1) +
                                             (size_t)(out.width - 1) * 3;
    assert_true(first[0] == 100 && first[1] == 100 && first[2] == 100);
    assert_true(last[0] > 180 && last[2] < 60);
    prelu_image_deinit(&out);
    prelu_image_deinit(&img);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mirrored),
        cmocka_unit_test(test_place),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_paint),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
