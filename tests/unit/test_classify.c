/* The two ends of the data path: JPEG to views, scores to the best classes. */
#define _POSIX_C_SOURCE 200809L
#include "picture.h"
#include "prelu/classify.h"
#include "prelu/nets.h"
#include "prelu/threads.h"
#include <pthread.h>
#include <sched.h>

static const prelu_test center = {.mode = PRELU_MODE_CENTER}, ten = {.mode = PRELU_MODE_10VIEW};

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
            check_ok(prelu_model_prepare(&one, m, &center, jpeg, len, NULL, &err), &err);
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
    check_ok(prelu_model_prepare(&p, m, &ten, jpeg, len, NULL, &err), &err);
    assert_int_equal(p.n_views, 10);
    assert_int_equal(p.n_images, 1);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(p.views[i].width, 32);
        assert_int_equal(p.views[i].mirror, i >= 5);
        assert_ptr_equal(p.views[i].data, p.views[i % 5].data);
    }
    assert_ptr_equal(p.views[0].data, p.images[0].data);
    prelu_prepared_deinit(&p);
    check_fails(prelu_model_prepare(&p, m, &center, jpeg, len / 2, NULL, &err), PRELU_E_FORMAT,
                &err);
    check_fails(prelu_model_prepare(&p, m, &center, "PNG?", 4, NULL, &err), PRELU_E_UNSUPPORTED,
                &err);
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
    check_ok(prelu_views_run(s, views, N, PRELU_AVERAGE_PROB, 10, all, N, &err), &err);
    for (int i = 0; i < N; i += 23) {
        double sum = 0;
        check_ok(prelu_views_run(s, &views[i], 1, PRELU_AVERAGE_PROB, 10, one, 1, &err), &err);
        assert_memory_equal(one, all + i * 10, sizeof one);
        for (int c = 0; c < 10; c++)
            sum += (double)one[c];
        check_near(sum, 1, 1e-5);
    }
    assert_memory_not_equal(all, all + 10, sizeof one);
    check_fails(prelu_views_run(s, views, 1, PRELU_AVERAGE_PROB, 9, one, 1, &err), PRELU_E_FORMAT,
                &err);
    check_fails(prelu_views_run(s, views, 2, PRELU_AVERAGE_PROB, 10, all, 3, &err), PRELU_E_FORMAT,
                &err);
    check_fails(prelu_views_run(s, views, 2, PRELU_AVERAGE_PROB, 10, all, 4, &err), PRELU_E_FORMAT,
                &err);
    check_fails(prelu_views_run(s, views, 0, PRELU_AVERAGE_PROB, 10, all, 0, &err), PRELU_E_ARG,
                &err);
    views[1].width = 0;
    check_fails(prelu_views_run(s, views, 2, PRELU_AVERAGE_PROB, 10, all, 2, &err), PRELU_E_ARG,
                &err);
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
    prelu_model_destroy(&m);
}

static void test_test_text(void **state)
{
    static const char *const good[] = {"center",   "10view",     "dense",
                                       "dense@40", "multiscale", "multiscale@32+40+65500"};
    static const char *const bad[] = {
        "",        "dense@",      "dense@40+", "dense@+40",
        "dense@0", "dense@40x",   "dense@-40", "dense@999999",
        "Dense",   "densedense@", "@40",       "dense@1+2+3+4+5+6+7+8+9"};
    prelu_test t;
    prelu_err err = {0};
    char text[64];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        check_ok(prelu_test_parse(&t, good[i], &err), &err);
        assert_string_equal(prelu_test_text(&t, text, sizeof text), good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_fails(prelu_test_parse(&t, bad[i], &err), PRELU_E_ARG, &err);
}

typedef struct whole {
    prelu_model *m;
    prelu_plan *plan, *dense;
    prelu_session *s, *dense_s;
} whole;

static whole whole_new(void)
{
    whole w = {.m = small_net()};
    prelu_err err = {0};
    check_ok(prelu_model_plan(&w.plan, w.m, PRELU_PRECISION_FP32, NULL, &err), &err);
    check_ok(prelu_model_plan_dense(&w.dense, w.m, w.plan, PRELU_PRECISION_FP32, NULL, &err), &err);
    check_ok(prelu_session_create(&w.s, w.plan, NULL, 0, &err), &err);
    check_ok(prelu_session_create(&w.dense_s, w.dense, NULL, 0, &err), &err);
    return w;
}

static void whole_free(whole *w)
{
    prelu_session_destroy(&w->s);
    prelu_session_destroy(&w->dense_s);
    prelu_plan_destroy(&w->dense);
    prelu_plan_destroy(&w->plan);
    prelu_model_destroy(&w->m);
}

static prelu_test resolved(const whole *w, const char *text)
{
    prelu_test t;
    prelu_err err = {0};
    check_ok(prelu_test_parse(&t, text, &err), &err);
    check_ok(prelu_test_resolve(&t, w->m, w->dense, &err), &err);
    return t;
}

static void test_resolve(void **state)
{
    static const char *const bad[] = {"center@40", "10view@36",        "dense@40+48",
                                      "dense@31",  "multiscale@40+31", "dense@65501"};
    whole w = whole_new();
    prelu_err err = {0};
    prelu_test t = resolved(&w, "dense");
    (void)state;
    assert_int_equal(t.n_scales, 1);
    assert_int_equal(t.scales[0], 36);
    t = resolved(&w, "multiscale");
    assert_int_equal(t.n_scales, 3);
    assert_int_equal(t.scales[2], 48);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_ok(prelu_test_parse(&t, bad[i], &err), &err);
        check_fails(prelu_test_resolve(&t, w.m, w.dense, &err), PRELU_E_ARG, &err);
    }
    t = (prelu_test){.mode = PRELU_MODE_DENSE};
    check_fails(prelu_test_resolve(&t, w.m, NULL, &err), PRELU_E_UNSUPPORTED, &err);
    /* one window, twice; and work grows with the picture */
    t = resolved(&w, "dense@32");
    assert_int_equal(prelu_test_units(&t, w.m, 200, 200), 2);
    assert_true(prelu_test_units(&t, w.m, 400, 200) >= 4);
    t = resolved(&w, "multiscale@32+64");
    assert_true(prelu_test_units(&t, w.m, 200, 200) >= 10);
    assert_int_equal(prelu_test_units(&center, w.m, 200, 200), 1);
    assert_int_equal(prelu_test_units(&ten, w.m, 200, 200), 10);
    whole_free(&w);
}

static prelu_work work_of(const whole *w, const char *text, int width, int height)
{
    const prelu_test t = resolved(w, text);
    prelu_work work;
    prelu_err err = {0};
    check_ok(prelu_test_work(&work, &t, w->m, width, height, &err), &err);
    return work;
}

/* Work adds up, grows with what is computed, and is the same for the same. */
static void test_work(void **state)
{
    static const int widths[] = {200, 240, 300, 500, 900};
    const prelu_rate rate = {.unit_ms = 3, .whole_ms = 5, .window_ms = 0.25, .pass_ms = 2};
    whole w = whole_new();
    prelu_work sum = work_of(&w, "dense@32", 300, 200), part = work_of(&w, "dense@50", 300, 200);
    const double ms = prelu_rate_ms(&rate, &sum) + prelu_rate_ms(&rate, &part);
    const prelu_work both = work_of(&w, "multiscale@32+50", 300, 200);
    (void)state;
    prelu_work_add(&sum, &part);
    assert_memory_equal(&sum, &both, sizeof sum);
    check_near(prelu_rate_ms(&rate, &both), ms, 1e-9);
    check_near(sum.units, sum.whole + sum.head, 1e-9 * sum.units);
    assert_true(sum.head > 0 && sum.windows > 0);

    const prelu_work ten_views = work_of(&w, "10view", 300, 200);
    assert_true(ten_views.units == 10 && ten_views.whole == 0 && ten_views.windows == 0);
    check_near(prelu_rate_ms(&rate, &ten_views), 10 * 3 + 2 * ten_views.passes, 1e-9);
    const prelu_work a = work_of(&w, "dense@64", 200, 100), b = work_of(&w, "dense@64", 1000, 500);
    assert_memory_equal(&a, &b, sizeof a); /* both become 128 x 64 */
    for (size_t i = 1; i < sizeof widths / sizeof *widths; i++)
        for (int side = 32; side <= 96; side += 16) {
            char mode[16];
            snprintf(mode, sizeof mode, "dense@%d", side);
            const prelu_work less = work_of(&w, mode, widths[i - 1], 200),
                             more = work_of(&w, mode, widths[i], 200);
            assert_true(more.whole >= less.whole && more.windows >= less.windows &&
                        prelu_rate_ms(&rate, &more) >= prelu_rate_ms(&rate, &less));
            snprintf(mode, sizeof mode, "dense@%d", side + 16);
            const prelu_work larger = work_of(&w, mode, widths[i], 200);
            assert_true(larger.whole > more.whole && larger.windows > more.windows);
        }
    whole_free(&w);
}

/* Whatever this machine takes, a rate is made of times. */
static void test_rate(void **state)
{
    whole w = whole_new();
    prelu_rate r = {0};
    prelu_err err = {0};
    (void)state;
    check_ok(prelu_rate_measure(&r, w.s, w.dense_s, w.m, NULL, &err), &err);
    assert_true(r.unit_ms > 0 && r.whole_ms > 0 && r.window_ms > 0 && r.pass_ms >= 0);
    w.m->preprocess.resize = 900; /* likely too much to be tried: a fully connected layer tells */
    check_ok(prelu_rate_measure(&r, w.s, w.dense_s, w.m, NULL, &err), &err);
    assert_true(r.whole_ms > 0 && r.window_ms > 0);
    check_ok(prelu_rate_measure(&r, w.s, NULL, w.m, NULL, &err), &err);
    assert_true(r.unit_ms > 0 && r.window_ms == 0);
    whole_free(&w);
}

/* The bound on memory holds what a session really allocates, and grows with the picture. */
static void test_bytes(void **state)
{
    whole w = whole_new();
    const prelu_test t = resolved(&w, "multiscale@32+64");
    size_t all, more, activations;
    prelu_err err = {0};
    (void)state;
    check_ok(prelu_session_measure(w.dense, NULL, 2, 64, 128, &activations, &err), &err);
    check_ok(prelu_session_reshape(w.dense_s, 2, 64, 128, &err), &err);
    assert_int_equal(activations, prelu_session_bytes(w.dense_s));
    check_fails(prelu_session_measure(w.dense, NULL, 0, 64, 128, &activations, &err), PRELU_E_ARG,
                &err);
    check_ok(prelu_test_bytes(&all, &t, w.m, w.plan, NULL, 400, 200, &err), &err);
    assert_true(all > activations + 9 * 400 * 200 + 3 * (64 * 32 + 128 * 64));
    check_ok(prelu_test_bytes(&more, &t, w.m, w.plan, NULL, 4000, 2000, &err), &err);
    assert_int_equal(more - all, 9 * (4000 * 2000 - 400 * 200));
    check_ok(prelu_test_bytes(&more, &ten, w.m, w.plan, NULL, 400, 200, &err), &err);
    assert_true(more > 9 * 400 * 200);
    whole_free(&w);
}

/* The ten views are what ten centre requests on the cut-out views give, bit for bit. */
static void test_ten_centers(void **state)
{
    enum { CROP = 32, STRIDE = CROP * 3 };
    whole w = whole_new();
    uint64_t seed = check_seed();
    prelu_image img = check_random_picture(&seed, 70, 51);
    uint8_t pixels[CROP * STRIDE];
    const prelu_image cut = {pixels, CROP, CROP, STRIDE};
    prelu_prepared p = {.n_images = 0}, one = {.n_images = 0};
    prelu_err err = {0};
    float all[10 * 10], alone[10];
    (void)state;
    check_ok(prelu_model_prepare_image(&p, w.m, &ten, &img, NULL, &err), &err);
    check_ok(prelu_views_run(w.s, p.views, 10, PRELU_AVERAGE_PROB, 10, all, 10, &err), &err);
    w.m->preprocess.resize = CROP; /* a cut-out view is not resized again */
    for (int i = 0; i < 10; i++) {
        const prelu_view *v = &p.views[i];
        for (int y = 0; y < CROP; y++)
            for (int x = 0; x < CROP; x++)
                memcpy(pixels + y * STRIDE + x * 3,
                       v->data + (size_t)y * v->stride + 3 * (size_t)(v->mirror ? CROP - 1 - x : x),
                       3);
        check_ok(prelu_model_prepare_image(&one, w.m, &center, &cut, NULL, &err), &err);
        check_ok(prelu_views_run(w.s, one.views, 1, PRELU_AVERAGE_PROB, 10, alone, 1, &err), &err);
        assert_memory_equal(alone, all + (size_t)i * 10, sizeof alone);
        prelu_prepared_deinit(&one);
    }
    assert_memory_not_equal(all, all + 50, 10 * sizeof *all); /* the mirrored ones are others */
    prelu_prepared_deinit(&p);
    prelu_image_deinit(&img);
    whole_free(&w);
}

/* A picture of crop size: its one window and the mirrored one are the centre view and its mirror,
 * bit for bit, for SPP's maximum does not round. */
static void test_dense_one_window(void **state)
{
    whole w = whole_new();
    uint64_t seed = check_seed();
    const prelu_test t = resolved(&w, "dense@32");
    prelu_image img = check_random_picture(&seed, 32, 32);
    prelu_prepared p = {.n_images = 0};
    prelu_err err = {0};
    float dense[2 * 10], view[2 * 10];
    (void)state;
    check_ok(prelu_model_prepare_image(&p, w.m, &t, &img, NULL, &err), &err);
    assert_int_equal(p.n_views, 2);
    assert_int_equal(p.n_rows, 2);
    assert_false(p.views[0].mirror);
    assert_true(p.views[1].mirror);
    check_ok(prelu_views_run(w.dense_s, p.views, 2, PRELU_AVERAGE_PROB, 10, dense, 2, &err), &err);
    check_ok(prelu_views_run(w.s, p.views, 2, PRELU_AVERAGE_PROB, 10, view, 2, &err), &err);
    assert_memory_equal(dense, view, sizeof dense);
    assert_memory_not_equal(dense, dense + 10, 10 * sizeof *dense);
    prelu_prepared_deinit(&p);
    prelu_image_deinit(&img);
    whole_free(&w);
}

/* Multi-scale is the mean of what dense gives at each size, whatever their windows; and views of
 * several pictures may be run together. */
static void test_multiscale(void **state)
{
    enum { SIZES = 3, ROOM = 2000 };
    static const char *const one[SIZES] = {"dense@32", "dense@41", "dense@64"};
    static float scores[ROOM * 10], again[2 * ROOM * 10];
    whole w = whole_new();
    uint64_t seed = check_seed();
    const prelu_test t = resolved(&w, "multiscale@32+41+64");
    prelu_image img = check_random_picture(&seed, 70, 51);
    prelu_prepared p = {.n_images = 0}, q = {.n_images = 0};
    prelu_prediction top[10];
    prelu_view both[4 * SIZES];
    double mean[10], sum[10] = {0};
    prelu_err err = {0};
    (void)state;
    for (int i = 0; i < SIZES; i++) {
        const prelu_test d = resolved(&w, one[i]);
        check_ok(prelu_model_prepare_image(&q, w.m, &d, &img, NULL, &err), &err);
        check_ok(
            prelu_views_run(w.dense_s, q.views, 2, PRELU_AVERAGE_PROB, 10, scores, q.n_rows, &err),
            &err);
        check_ok(prelu_prepared_rank(&q, w.m, scores, 10, top, mean, &err), &err);
        for (int c = 0; c < 10; c++)
            sum[c] += mean[c] / SIZES;
        prelu_prepared_deinit(&q);
    }
    check_ok(prelu_model_prepare_image(&p, w.m, &t, &img, NULL, &err), &err);
    assert_int_equal(p.n_views, 2 * SIZES);
    assert_true(p.rows[0] < p.rows[1] && p.rows[1] < p.rows[2] && p.n_rows <= ROOM);
    check_ok(prelu_views_run(w.dense_s, p.views, p.n_views, PRELU_AVERAGE_PROB, 10, scores,
                             p.n_rows, &err),
             &err);
    check_ok(prelu_prepared_rank(&p, w.m, scores, 10, top, mean, &err), &err);
    for (int c = 0; c < 10; c++)
        check_near(mean[c], sum[c], 1e-12);
    memcpy(both, p.views, p.n_views * sizeof *both);
    memcpy(both + p.n_views, p.views, p.n_views * sizeof *both);
    check_ok(prelu_views_run(w.dense_s, both, 2 * p.n_views, PRELU_AVERAGE_PROB, 10, again,
                             2 * p.n_rows, &err),
             &err);
    assert_memory_equal(again, scores, p.n_rows * 10 * sizeof *scores);
    assert_memory_equal(again + p.n_rows * 10, scores, p.n_rows * 10 * sizeof *scores);
    check_fails(prelu_views_run(w.dense_s, p.views, p.n_views, PRELU_AVERAGE_PROB, 10, scores,
                                p.n_rows - 1, &err),
                PRELU_E_FORMAT, &err);
    prelu_prepared_deinit(&p);
    prelu_image_deinit(&img);
    whole_free(&w);
}

/* Stop what runs, again and again, until stop[1]. */
static void *stop_often(void *ctx)
{
    atomic_bool *stop = ctx;
    for (int i = 0; i < 2000 && !atomic_load(&stop[1]); i++) {
        atomic_store(&stop[0], true);
        sched_yield();
    }
    return NULL;
}

/* In steps, brief or stopped anywhere, with other work between them: the same bits. */
static void test_steps(void **state)
{
    enum { ROOM = 2000 };
    static float whole_run[ROOM * 10], steps[ROOM * 10], switched[ROOM * 10];
    whole w = whole_new();
    uint64_t seed = check_seed();
    const prelu_test t = resolved(&w, "multiscale@32+41+64");
    prelu_image img = check_random_picture(&seed, 70, 51);
    prelu_prepared p = {.n_images = 0};
    prelu_pool *pool = NULL;
    prelu_session *s = NULL;
    prelu_passes *run = NULL, *beside = NULL;
    atomic_bool stop[2] = {true, false};
    const prelu_pause until = {.stop = &stop[0]}, brief = {.brief = true};
    pthread_t other;
    prelu_err err = {0};
    bool done = false;
    int n = 0;
    (void)state;
    check_ok(prelu_model_prepare_image(&p, w.m, &t, &img, NULL, &err), &err);
    const size_t len = p.n_rows * 10 * sizeof *steps;
    check_ok(prelu_views_run(w.dense_s, p.views, p.n_views, 0, 10, whole_run, p.n_rows, &err),
             &err);
    check_ok(prelu_pool_create(&pool, 2, &err), &err);
    check_ok(prelu_session_create(&s, w.dense, pool, 0, &err), &err);
#define BEGIN                                                                                      \
    prelu_passes_create(&run, s, p.views, p.n_views, PRELU_AVERAGE_PROB, 10, steps, p.n_rows, &err)
    check_ok(BEGIN, &err);
    check_ok(prelu_passes_create(&beside, w.dense_s, p.views, p.n_views, 0, 10, switched, p.n_rows,
                                 &err),
             &err);
    for (; !done; n++) {
        check_ok(prelu_passes_step(run, brief, &done, &err), &err);
        check_ok(prelu_passes_step(beside, brief, &done, &err), &err);
    }
    prelu_passes_destroy(&run);
    prelu_passes_destroy(&beside);
    assert_null(run);
    assert_true(n >= 3); /* a pass for each size */
    assert_memory_equal(steps, whole_run, len);
    assert_memory_equal(switched, whole_run, len);
    memset(steps, 0, len);
    check_ok(BEGIN, &err);
    for (int i = 0; i < 3; i++) {
        check_ok(prelu_passes_step(run, until, &done, &err), &err);
        assert_false(done);
    }
    assert_int_equal(pthread_create(&other, NULL, stop_often, stop), 0);
    for (done = false; !done; atomic_store(&stop[0], false))
        check_ok(prelu_passes_step(run, until, &done, &err), &err);
    atomic_store(&stop[1], true); /* a yield may take long on a busy machine */
    pthread_join(other, NULL);
    prelu_passes_destroy(&run);
    assert_memory_equal(steps, whole_run, len);
    check_ok(BEGIN, &err); /* dropped in the middle */
    check_ok(prelu_passes_step(run, brief, &done, &err), &err);
    prelu_passes_destroy(&run);
    check_ok(prelu_views_run(s, p.views, p.n_views, 0, 10, steps, p.n_rows, &err), &err);
    assert_memory_equal(steps, whole_run, len);
    prelu_session_destroy(&s);
    prelu_pool_destroy(&pool);
    prelu_prepared_deinit(&p);
    prelu_image_deinit(&img);
    whole_free(&w);
}

/* A panorama is refused by its pixels, as are many sizes: before anything is resized. */
static void test_dense_limits(void **state)
{
    whole w = whole_new();
    uint64_t seed = check_seed();
    prelu_image img = check_random_picture(&seed, 4000, 8), square;
    prelu_prepared p = {.n_images = 0};
    const prelu_image_limits few = {.max_resized_pixels = 64 * 64 + 32 * 32 - 1};
    prelu_err err = {0};
    prelu_test t = resolved(&w, "dense@96");
    (void)state;
    check_fails(prelu_model_prepare_image(&p, w.m, &t, &img, NULL, &err), PRELU_E_LIMIT, &err);
    t = resolved(&w, "multiscale@64+32");
    square = check_random_picture(&seed, 40, 40);
    check_fails(prelu_model_prepare_image(&p, w.m, &t, &square, &few, &err), PRELU_E_LIMIT, &err);
    check_ok(prelu_model_prepare_image(&p, w.m, &t, &square, NULL, &err), &err);
    prelu_prepared_deinit(&p);
    t = (prelu_test){.mode = PRELU_MODE_DENSE}; /* not resolved */
    check_fails(prelu_model_prepare_image(&p, w.m, &t, &square, NULL, &err), PRELU_E_ARG, &err);
    prelu_image_deinit(&img);
    prelu_image_deinit(&square);
    whole_free(&w);
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
    check_ok(prelu_model_rank(&m, scores[0], 1, 1, top, mean, &err), &err);
    assert_int_equal(top[0].class_index, 3);
    check_ok(prelu_model_rank(&m, scores[0], 1, 2, top, mean, &err), &err);
    assert_int_equal(top[1].class_index, 1);
    check_fails(prelu_model_rank(&m, scores[0], 1, 0, top, mean, &err), PRELU_E_ARG, &err);
    check_fails(prelu_model_rank(&m, scores[0], 1, 5, top, mean, &err), PRELU_E_ARG, &err);
    check_fails(prelu_model_rank(&m, scores[0], 0, 1, top, mean, &err), PRELU_E_ARG, &err);
    check_fails(prelu_model_rank(&m, bad, 1, 1, top, mean, &err), PRELU_E_FORMAT, &err);
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
        double mean[CLASSES];
        prelu_err err = {0};
        size_t k = (size_t)check_random_int(&seed, 1, CLASSES);
        for (int i = 0; i < CLASSES; i++)
            scores[i] = (float)check_random_int(&seed, 0, 9);
        check_ok(prelu_model_rank(&m, scores, 1, k, top, mean, &err), &err);
        for (size_t i = 0; i < k; i++) {
            int better = 0, c = top[i].class_index;
            for (int j = 0; j < CLASSES; j++)
                better += scores[j] > scores[c] || (scores[j] == scores[c] && j < c);
            assert_int_equal(better, i);
        }
    }
}

/* Any number of equal members gives the bits of one, of scores and of logits; others their mean. */
static void test_ensemble_rank(void **state)
{
    enum { CLASSES = 7 };
    uint64_t seed = check_seed();
    double one[CLASSES], other[CLASSES], mean[CLASSES], want[CLASSES], sum = 0;
    const double *means[PRELU_MAX_MEMBERS];
    prelu_prediction top[CLASSES];
    prelu_err err = {0};
    (void)state;
    for (int c = 0; c < CLASSES; c++) {
        one[c] = (double)check_random_int(&seed, 1, 1000000) / 3e6;
        other[c] = (double)check_random_int(&seed, 1, 1000000) / 7e6;
    }
    for (int average = 0; average < 2; average++)
        for (size_t n = 1; n <= PRELU_MAX_MEMBERS; n++) {
            means[n - 1] = one;
            check_ok(prelu_ensemble_rank(means, n, CLASSES, (prelu_average)average, CLASSES, top,
                                         n == 1 ? want : mean, &err),
                     &err);
            if (n > 1)
                assert_memory_equal(mean, want, sizeof want);
        }
    means[1] = other;
    check_ok(prelu_ensemble_rank(means, 2, CLASSES, PRELU_AVERAGE_PROB, 1, top, mean, &err), &err);
    for (int c = 0; c < CLASSES; c++)
        check_near(mean[c], (one[c] + other[c]) / 2, 1e-15);
    check_ok(prelu_ensemble_rank(means, 2, CLASSES, PRELU_AVERAGE_LOGIT, 1, top, mean, &err), &err);
    for (int c = 0; c < CLASSES; c++)
        sum += exp((one[c] + other[c]) / 2);
    for (int c = 0; c < CLASSES; c++)
        check_near(mean[c], exp((one[c] + other[c]) / 2) / sum, 1e-14);
    check_fails(prelu_ensemble_rank(means, 0, CLASSES, PRELU_AVERAGE_PROB, 1, top, mean, &err),
                PRELU_E_ARG, &err);
    one[3] = INFINITY;
    check_fails(prelu_ensemble_rank(means, 2, CLASSES, PRELU_AVERAGE_LOGIT, 1, top, mean, &err),
                PRELU_E_FORMAT, &err);
}

static void test_ensemble_check(void **state)
{
    prelu_label a[2] = {{"n1", "cat"}, {"n2", "dog"}}, b[2] = {{"n1", "cat"}, {"n2", "wolf"}};
    const prelu_model first = {.labels = a, .classes = 2}, same = first,
                      other = {.labels = b, .classes = 2}, fewer = {.labels = a, .classes = 1};
    const prelu_model *models[3] = {&first, &same, &other};
    prelu_err err = {0};
    (void)state;
    check_ok(prelu_ensemble_check(models, 2, &err), &err);
    assert_int_equal(prelu_ensemble_check(models, 3, &err), PRELU_E_FORMAT);
    assert_non_null(strstr(err.text, "wolf"));
    err = (prelu_err){0};
    models[1] = &fewer;
    assert_int_equal(prelu_ensemble_check(models, 2, &err), PRELU_E_FORMAT);
    assert_non_null(strstr(err.text, "1 classes"));
}

/* A picture prepared for several models gives each what it gets alone. Averaged before or after the
 * softmax, one view scores alike. */
static void test_ensemble_prepare(void **state)
{
    whole w = whole_new();
    uint64_t seed = check_seed();
    const prelu_test many = resolved(&w, "multiscale@32+41");
    const prelu_test logit = {.mode = PRELU_MODE_CENTER, .average = PRELU_AVERAGE_LOGIT};
    const prelu_member members[3] = {{w.m, &center}, {w.m, &many}, {w.m, &logit}};
    prelu_image img = check_random_picture(&seed, 70, 51);
    prelu_prepared all[PRELU_MAX_MEMBERS + 1] = {{.n_images = 0}}, alone;
    prelu_prediction top[10];
    prelu_err err = {0};
    float scores[10];
    double prob[10], mean[10];
    (void)state;
    check_ok(prelu_ensemble_prepare_image(all, members, 3, &img, NULL, &err), &err);
    for (int i = 0; i < 3; i++) {
        check_ok(prelu_model_prepare_image(&alone, w.m, members[i].test, &img, NULL, &err), &err);
        assert_int_equal(all[i].n_images, alone.n_images);
        assert_int_equal(all[i].n_rows, alone.n_rows);
        for (int k = 0; k < alone.n_images; k++)
            assert_memory_equal(all[i].images[k].data, alone.images[k].data,
                                alone.images[k].stride * (size_t)alone.images[k].height);
        prelu_prepared_deinit(&alone);
    }
    check_ok(prelu_views_run(w.s, all[0].views, 1, PRELU_AVERAGE_PROB, 10, scores, 1, &err), &err);
    check_ok(prelu_prepared_rank(&all[0], w.m, scores, 1, top, prob, &err), &err);
    check_ok(prelu_views_run(w.s, all[2].views, 1, all[2].average, 10, scores, 1, &err), &err);
    check_ok(prelu_prepared_rank(&all[2], w.m, scores, 1, top, mean, &err), &err);
    for (int c = 0; c < 10; c++)
        check_near(mean[c], prob[c], 1e-6);
    for (int i = 0; i < 3; i++)
        prelu_prepared_deinit(&all[i]);
    check_fails(prelu_ensemble_prepare_image(all, members, 0, &img, NULL, &err), PRELU_E_ARG, &err);
    prelu_image_deinit(&img);
    whole_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_center),
        cmocka_unit_test(test_ten),
        cmocka_unit_test(test_views_run),
        cmocka_unit_test(test_test_text),
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_work),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_ten_centers),
        cmocka_unit_test(test_dense_one_window),
        cmocka_unit_test(test_multiscale),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_dense_limits),
        cmocka_unit_test(test_rank),
        cmocka_unit_test(test_rank_random),
        cmocka_unit_test(test_ensemble_rank),
        cmocka_unit_test(test_ensemble_check),
        cmocka_unit_test(test_ensemble_prepare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
