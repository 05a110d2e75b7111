#include "check.h"
#include "picture.h"

static void check_golden(const char *from, int width, int height)
{
    char name[128];
    prelu_err err = {0};
    snprintf(name, sizeof name, "golden/resize/%s.ppm", from);
    prelu_image src = check_read_ppm(name), got = {0};
    snprintf(name, sizeof name, "golden/resize/%s_to_%dx%d.ppm", from, width, height);
    prelu_image want = check_read_ppm(name);
    check_ok(prelu_image_resize(&got, &src, width, height, NULL, &err), &err);
    check_same_picture(&got, &want, 0, name);
    prelu_image_deinit(&got);
    prelu_image_deinit(&want);
    prelu_image_deinit(&src);
}

static void test_equal_to_pillow(void **state)
{
    (void)state;
    check_golden("61x45", 34, 25);
    check_golden("61x45", 61, 25);
    check_golden("61x45", 34, 45);
    check_golden("61x45", 97, 80);
    check_golden("61x45", 61, 45);
    check_golden("61x45", 1, 1);
    check_golden("61x45", 7, 3);
    check_golden("9x140", 9, 20);
    check_golden("9x140", 4, 62);
    check_golden("9x140", 50, 7);
}

/* Sample `at` of the line in[0], in[step], ... resized from n to m samples, in double. */
static double exact_sample(const double *in, size_t step, int n, int m, int at)
{
    double scale = (double)n / m, support = scale > 1 ? scale : 1, sum = 0, weights = 0;
    for (int i = 0; i < n; i++) {
        double w = 1 - fabs(i + 0.5 - (at + 0.5) * scale) / support;
        if (w > 0) {
            weights += w;
            sum += w * in[(size_t)i * step];
        }
    }
    return sum / weights;
}

/* The definition of the filter, separable, without any rounding: a second opinion for sizes that
 * no golden file has. The two roundings of the passes cost at most half a level each. */
static void check_against_exact(const prelu_image *src, const prelu_image *got)
{
    int sw = src->width, sh = src->height, w = got->width, h = got->height;
    double *line = calloc((size_t)sw * sh * 3, sizeof *line);
    double *across = calloc((size_t)w * sh * 3, sizeof *across);
    for (int i = 0; i < sw * sh * 3; i++)
        line[i] = src->data[i];
    for (int y = 0; y < sh; y++)
        for (int x = 0; x < w * 3; x++)
            across[y * w * 3 + x] = exact_sample(line + y * sw * 3 + x % 3, 3, sw, w, x / 3);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w * 3; x++)
            check_near(got->data[(size_t)y * got->stride + x],
                       exact_sample(across + x, (size_t)w * 3, sh, h, y), 1.01);
    free(line);
    free(across);
}

static void test_near_the_definition(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (int i = 0; i < 60; i++) {
        int most = i % 3 ? 40 : 6;
        prelu_err err = {0};
        prelu_image got = {0};
        prelu_image src = check_random_picture(&seed, check_random_int(&seed, 1, most),
                                               check_random_int(&seed, 1, most));
        int w = i % 5 ? check_random_int(&seed, 1, most) : src.width;
        int h = i % 7 ? check_random_int(&seed, 1, most) : src.height;
        check_ok(prelu_image_resize(&got, &src, w, h, NULL, &err), &err);
        assert_int_equal(got.width, w);
        assert_int_equal(got.height, h);
        check_against_exact(&src, &got);
        prelu_image_deinit(&got);
        prelu_image_deinit(&src);
    }
}

static prelu_rect random_part(uint64_t *seed, int width, int height)
{
    prelu_rect r = {check_random_int(seed, 0, width - 1), check_random_int(seed, 0, height - 1), 1,
                    1};
    r.width = check_random_int(seed, 1, width - r.x);
    r.height = check_random_int(seed, 1, height - r.y);
    return r;
}

static prelu_image cut(const prelu_image *img, const prelu_rect *r)
{
    return (prelu_image){.data = img->data + (size_t)r->y * img->stride + (size_t)r->x * 3,
                         .width = r->width,
                         .height = r->height,
                         .stride = img->stride};
}

static void test_part_is_that_cut_of_the_whole(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (int i = 0; i < 300; i++) {
        int most = i % 2 ? 90 : 12;
        prelu_err err = {0};
        prelu_image whole = {0}, got = {0};
        prelu_image src = check_random_picture(&seed, check_random_int(&seed, 1, most),
                                               check_random_int(&seed, 1, most));
        int w = i % 5 ? check_random_int(&seed, 1, most) : src.width;
        int h = i % 7 ? check_random_int(&seed, 1, most) : src.height;
        prelu_rect part = random_part(&seed, w, h);
        check_ok(prelu_image_resize(&whole, &src, w, h, NULL, &err), &err);
        check_ok(prelu_image_resize(&got, &src, w, h, &part, &err), &err);
        prelu_image want = cut(&whole, &part);
        check_same_picture(&got, &want, 0, "part");
        assert_int_equal(got.stride, part.width * 3);
        prelu_image_deinit(&got);
        prelu_image_deinit(&whole);
        prelu_image_deinit(&src);
    }
}

/* Pixels farther from the part than the filter is wide do not matter: 60 x 60 to 20 x 20, part of
 * 5 x 5 at (10,10), needs source 30..44 and one filter half (3) and a rounding more. */
static void test_part_reads_its_own_area(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    prelu_err err = {0};
    prelu_rect part = {10, 10, 5, 5};
    prelu_image src = check_random_picture(&seed, 60, 60), before = {0}, after = {0};
    check_ok(prelu_image_resize(&before, &src, 20, 20, &part, &err), &err);
    for (int y = 0; y < 60; y++)
        for (int x = 0; x < 60; x++)
            if (x < 26 || x > 48 || y < 26 || y > 48)
                memset(src.data + (size_t)y * src.stride + (size_t)x * 3, 0, 3);
    check_ok(prelu_image_resize(&after, &src, 20, 20, &part, &err), &err);
    check_same_picture(&after, &before, 0, "part");
    prelu_image_deinit(&before);
    prelu_image_deinit(&after);
    prelu_image_deinit(&src);
}

/* A window of a larger picture gives what a packed copy of it gives. */
static void test_source_with_a_stride(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    prelu_err err = {0};
    prelu_image big = check_random_picture(&seed, 50, 40), packed = {0}, a = {0}, b = {0};
    prelu_rect r = {7, 5, 31, 22};
    prelu_image window = cut(&big, &r);
    check_ok(prelu_image_resize(&packed, &window, 31, 22, NULL, &err), &err);
    check_same_picture(&packed, &window, 0, "copy");
    check_ok(prelu_image_resize(&a, &window, 17, 29, NULL, &err), &err);
    check_ok(prelu_image_resize(&b, &packed, 17, 29, NULL, &err), &err);
    check_same_picture(&a, &b, 0, "window");
    prelu_image_deinit(&a);
    prelu_image_deinit(&b);
    prelu_image_deinit(&packed);
    prelu_image_deinit(&big);
}

/* Rounded weights sum to more or less than 1 where there are very many; 255 must not wrap to 0. */
static void check_white(int width, int height, int to_width, int to_height)
{
    prelu_err err = {0};
    size_t len = (size_t)width * height * 3;
    prelu_image got = {0}, src = {.data = prelu_alloc(len), .width = width, .height = height};
    src.stride = (size_t)width * 3;
    memset(src.data, 255, len);
    check_ok(prelu_image_resize(&got, &src, to_width, to_height, NULL, &err), &err);
    for (int i = 0; i < to_width * to_height * 3; i++)
        assert_in_range(got.data[i], 253, 255);
    prelu_image_deinit(&got);
    prelu_image_deinit(&src);
}

static void test_longest_sides(void **state)
{
    (void)state;
    check_white(65500, 1, 1, 1);
    check_white(65500, 1, 7, 3);
    check_white(1, 65500, 2, 5);
    check_white(1, 65499, 1, 65500);
    check_white(3, 2, 65500, 1);
}

static void check_size(int width, int height, int side, int want_width, int want_height)
{
    prelu_err err = {0};
    int w = 0, h = 0;
    check_ok(prelu_resized_size(width, height, side, NULL, &w, &h, &err), &err);
    assert_int_equal(w, want_width);
    assert_int_equal(h, want_height);
}

static void test_sizes_are_torchvisions(void **state)
{
    (void)state;
    check_size(500, 375, 256, 341, 256); /* 341.33 */
    check_size(375, 500, 256, 256, 341);
    check_size(640, 427, 256, 383, 256); /* 383.7: cut, not rounded */
    check_size(256, 256, 256, 256, 256);
    check_size(32, 32, 36, 36, 36);
    check_size(1, 1, 480, 480, 480);
    check_size(1000, 3, 2, 666, 2);
    check_size(65500, 65499, 1, 1, 1);
    check_size(65500, 1, 1, 65500, 1);
}

static void test_size_limits(void **state)
{
    (void)state;
    prelu_err err = {0};
    int w = -1, h = -1;
    prelu_image_limits l = {.max_resized_pixels = 341 * 256 - 1};
    check_fails(prelu_resized_size(65500, 1, 256, NULL, &w, &h, &err), PRELU_E_LIMIT, &err);
    check_fails(prelu_resized_size(1, 65500, 2, NULL, &w, &h, &err), PRELU_E_LIMIT, &err);
    check_fails(prelu_resized_size(1, 65500, 65500, NULL, &w, &h, &err), PRELU_E_LIMIT, &err);
    check_fails(prelu_resized_size(500, 375, 256, &l, &w, &h, &err), PRELU_E_LIMIT, &err);
    check_fails(prelu_resized_size(0, 375, 256, NULL, &w, &h, &err), PRELU_E_ARG, &err);
    check_fails(prelu_resized_size(500, -1, 256, NULL, &w, &h, &err), PRELU_E_ARG, &err);
    check_fails(prelu_resized_size(500, 65501, 256, NULL, &w, &h, &err), PRELU_E_ARG, &err);
    check_fails(prelu_resized_size(500, 375, 0, NULL, &w, &h, &err), PRELU_E_ARG, &err);
    check_fails(prelu_resized_size(500, 375, 65501, NULL, &w, &h, &err), PRELU_E_ARG, &err);
    assert_int_equal(w, -1);
    l.max_resized_pixels++;
    check_ok(prelu_resized_size(500, 375, 256, &l, &w, &h, &err), &err);
}

static void check_refused(const prelu_image *src, int width, int height, const prelu_rect *part)
{
    prelu_err err = {0};
    prelu_image got = {0};
    check_fails(prelu_image_resize(&got, src, width, height, part, &err), PRELU_E_ARG, &err);
    assert_null(got.data);
}

static void test_arguments(void **state)
{
    (void)state;
    prelu_err err = {0};
    uint64_t seed = check_seed();
    prelu_image img = check_random_picture(&seed, 8, 6), none = {0}, tight = img;
    tight.stride = 23;
    check_fails(prelu_image_resize(NULL, &img, 2, 2, NULL, &err), PRELU_E_ARG, &err);
    check_refused(NULL, 2, 2, NULL);
    check_refused(&none, 2, 2, NULL);
    check_refused(&tight, 2, 2, NULL);
    check_refused(&img, 0, 2, NULL);
    check_refused(&img, 2, -1, NULL);
    check_refused(&img, 65501, 2, NULL);
    const prelu_rect outside[] = {{-1, 0, 1, 1}, {0, -1, 1, 1}, {0, 0, 0, 1},
                                  {0, 0, 1, 0},  {4, 0, 1, 1},  {0, 3, 1, 1},
                                  {1, 0, 4, 1},  {0, 1, 1, 3},  {2147483647, 0, 2147483647, 1},
                                  {0, 0, 5, 1},  {0, 0, 1, -1}};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
        check_refused(&img, 4, 3, &outside[i]);
    prelu_image_deinit(&img);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_to_pillow),
        cmocka_unit_test(test_near_the_definition),
        cmocka_unit_test(test_part_is_that_cut_of_the_whole),
        cmocka_unit_test(test_part_reads_its_own_area),
        cmocka_unit_test(test_source_with_a_stride),
        cmocka_unit_test(test_longest_sides),
        cmocka_unit_test(test_sizes_are_torchvisions),
        cmocka_unit_test(test_size_limits),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
