#include "check.h"
#include "picture.h"

/* The first allocation of a call fails, then the second, ... until it succeeds. What it allocated
 * before the failure must be freed: the sanitizer build sees a leak. */
typedef prelu_status attempt(prelu_image *dst, void *ctx, prelu_err *err);

static void fail_each(attempt *call, void *ctx, size_t at_least)
{
    for (size_t nth = 1;; nth++) {
        prelu_err err = {0};
        prelu_image dst = {0};
        prelu_alloc_fail_from(nth);
        prelu_status st = call(&dst, ctx, &err);
        prelu_alloc_fail_from(0);
        if (st == PRELU_OK) {
            assert_true(nth > at_least); /* the hook was really reached */
            prelu_image_deinit(&dst);
            return;
        }
        assert_int_equal(st, PRELU_E_NOMEM);
        assert_true(err.text[0]);
        assert_null(dst.data);
        assert_true(nth < 100);
    }
}

struct jpeg {
    uint8_t *data;
    size_t len;
};

static prelu_status decode(prelu_image *dst, void *ctx, prelu_err *err)
{
    const struct jpeg *j = ctx;
    return prelu_jpeg_decode(dst, j->data, j->len, 0, NULL, NULL, err);
}

static void test_decode(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t at_least;
    } cases[] = {{"golden/jpeg/baseline_420.jpg", 1},
                 {"golden/jpeg/progressive.jpg", 1},
                 {"golden/jpeg/exif_6.jpg", 2},
                 {"golden/jpeg/cmyk.jpg", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct jpeg j;
        j.data = check_read_file(cases[i].name, &j.len);
        fail_each(decode, &j, cases[i].at_least);
        free(j.data);
    }
}

struct resize {
    prelu_image src;
    int width, height;
};

static prelu_status resize(prelu_image *dst, void *ctx, prelu_err *err)
{
    const struct resize *r = ctx;
    return prelu_image_resize(dst, &r->src, r->width, r->height, NULL, err);
}

static void test_resize(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    struct resize r = {.src = check_random_picture(&seed, 30, 20), .width = 12, .height = 9};
    fail_each(resize, &r, 9);
    r.width = 30;
    fail_each(resize, &r, 5);
    r.height = 20;
    fail_each(resize, &r, 1);
    prelu_image_deinit(&r.src);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decode),
                                       cmocka_unit_test(test_resize)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
