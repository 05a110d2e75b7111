#include "check.h"
#include "prelu/image.h"

/* Views never touch the pixels, so the pictures here have no real ones. */
static uint8_t pixels[1];

static prelu_image picture(int width, int height)
{
    return (prelu_image){
        .data = pixels, .width = width, .height = height, .stride = (size_t)width * 3 + 5};
}

static void check_at(const prelu_view *v, const prelu_image *img, int x, int y, bool mirror)
{
    assert_ptr_equal(v->data, img->data + (size_t)y * img->stride + (size_t)x * 3);
    assert_int_equal(v->stride, img->stride);
    assert_int_equal(v->mirror, mirror);
}

/* Python's int(round((size - crop) / 2.0)) for size - crop = 0..9. */
static void test_center_rounds_half_to_even(void **state)
{
    (void)state;
    static const int want[] = {0, 0, 1, 2, 2, 2, 3, 4, 4, 4};
    for (int slack = 0; slack < 10; slack++) {
        prelu_err err = {0};
        prelu_view v;
        prelu_image wide = picture(20 + slack, 20), tall = picture(20, 20 + slack);
        check_ok(prelu_view_center(&v, &wide, 20, &err), &err);
        check_at(&v, &wide, want[slack], 0, false);
        check_ok(prelu_view_center(&v, &tall, 20, &err), &err);
        check_at(&v, &tall, 0, want[slack], false);
        assert_int_equal(v.width, 20);
        assert_int_equal(v.height, 20);
    }
}

static void test_center_of_the_usual_size(void **state)
{
    (void)state;
    prelu_err err = {0};
    prelu_view v;
    prelu_image img = picture(341, 256);
    check_ok(prelu_view_center(&v, &img, 224, &err), &err);
    check_at(&v, &img, 58, 16, false); /* 58.5 goes to the even side */
}

static void test_ten_views(void **state)
{
    (void)state;
    prelu_err err = {0};
    prelu_view v[10];
    prelu_image img = picture(341, 256);
    check_ok(prelu_view_ten(v, &img, 224, &err), &err);
    static const int at[5][2] = {{0, 0}, {117, 0}, {0, 32}, {117, 32}, {58, 16}};
    for (int i = 0; i < 10; i++) {
        check_at(&v[i], &img, at[i % 5][0], at[i % 5][1], i >= 5);
        assert_int_equal(v[i].width, 224);
        assert_int_equal(v[i].height, 224);
    }
}

static void test_crop_of_the_whole(void **state)
{
    (void)state;
    prelu_err err = {0};
    prelu_view v[10];
    prelu_image img = picture(32, 32);
    check_ok(prelu_view_ten(v, &img, 32, &err), &err);
    for (int i = 0; i < 10; i++)
        check_at(&v[i], &img, 0, 0, i >= 5);
}

static void test_too_small(void **state)
{
    (void)state;
    prelu_err err = {0};
    prelu_view v[10];
    prelu_image img = picture(223, 300), none = {0};
    check_fails(prelu_view_center(v, &img, 224, &err), PRELU_E_ARG, &err);
    check_fails(prelu_view_ten(v, &img, 224, &err), PRELU_E_ARG, &err);
    img = picture(300, 223);
    check_fails(prelu_view_center(v, &img, 224, &err), PRELU_E_ARG, &err);
    check_fails(prelu_view_center(v, &img, 0, &err), PRELU_E_ARG, &err);
    check_fails(prelu_view_center(v, &img, -5, &err), PRELU_E_ARG, &err);
    check_fails(prelu_view_center(v, &none, 1, &err), PRELU_E_ARG, &err);
    check_fails(prelu_view_ten(v, NULL, 1, &err), PRELU_E_ARG, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_center_rounds_half_to_even),
        cmocka_unit_test(test_center_of_the_usual_size),
        cmocka_unit_test(test_ten_views),
        cmocka_unit_test(test_crop_of_the_whole),
        cmocka_unit_test(test_too_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
