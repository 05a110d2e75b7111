/* Random choices of training: within bounds, spread, and the same whenever they are asked for. */
#include "augment.h"
#include "check.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static const mdl_augment small = {
    .crop = 32, .scale_min = 32, .scale_max = 40, .flip = true, .seed = 1};

static void draws_are_repeatable(void **state)
{
    prelu_err err = {0};
    (void)state;
    for (uint64_t p = 0; p < 50; p++) {
        mdl_choice a, b;
        check_ok(mdl_augment_draw(&small, 3, p, 32, 32, &a, &err), &err);
        check_ok(mdl_augment_draw(&small, 3, p, 32, 32, &b, &err), &err);
        assert_true(a.width == b.width && a.x == b.x && a.y == b.y && a.mirror == b.mirror);
    }
}

static void draws_stay_inside_and_reach_all(void **state)
{
    prelu_err err = {0};
    int sides[41] = {0}, corners = 0, mirrored = 0;
    (void)state;
    for (uint64_t p = 0; p < 4000; p++) {
        mdl_choice c;
        check_ok(mdl_augment_draw(&small, 0, p, 48, 32, &c, &err), &err);
        assert_in_range(c.height, 32, 40);
        assert_int_equal(c.width, 48 * c.height / 32);
        assert_true(c.x >= 0 && c.x + 32 <= c.width);
        assert_true(c.y >= 0 && c.y + 32 <= c.height);
        sides[c.height]++;
        corners += c.x == 0 || c.x + 32 == c.width;
        mirrored += c.mirror;
    }
    for (int s = 32; s <= 40; s++)
        assert_in_range(sides[s], 4000 / 9 - 100, 4000 / 9 + 100);
    assert_true(corners > 0);
    assert_in_range(mirrored, 1850, 2150);
}

static void seed_and_epoch_matter(void **state)
{
    prelu_err err = {0};
    mdl_augment other = small;
    int by_epoch = 0, by_seed = 0;
    (void)state;
    other.seed = 2;
    for (uint64_t p = 0; p < 100; p++) {
        mdl_choice a, b, c;
        check_ok(mdl_augment_draw(&small, 0, p, 32, 32, &a, &err), &err);
        check_ok(mdl_augment_draw(&small, 1, p, 32, 32, &b, &err), &err);
        check_ok(mdl_augment_draw(&other, 0, p, 32, 32, &c, &err), &err);
        by_epoch += a.width != b.width || a.x != b.x || a.mirror != b.mirror;
        by_seed += a.width != c.width || a.x != c.x || a.mirror != c.mirror;
    }
    assert_true(by_epoch > 70 && by_seed > 70);
}

static void no_flip_never_mirrors(void **state)
{
    prelu_err err = {0};
    mdl_augment a = small;
    (void)state;
    a.flip = false;
    for (uint64_t p = 0; p < 100; p++) {
        mdl_choice c;
        check_ok(mdl_augment_draw(&a, 0, p, 32, 32, &c, &err), &err);
        assert_false(c.mirror);
    }
}

/* Half are mirrored in the first epoch, and every picture in every other one. */
static void alternate_turns_each_epoch(void **state)
{
    prelu_err err = {0};
    mdl_augment a = small;
    int mirrored = 0;
    (void)state;
    a.alternate = true;
    for (uint64_t p = 0; p < 1000; p++) {
        mdl_choice c[3];
        for (uint64_t epoch = 0; epoch < 3; epoch++)
            check_ok(mdl_augment_draw(&a, epoch, p, 32, 32, &c[epoch], &err), &err);
        assert_true(c[0].mirror != c[1].mirror && c[0].mirror == c[2].mirror);
        mirrored += c[0].mirror;
    }
    assert_in_range(mirrored, 440, 560);
}

/* N(0, 0.1^2) times a direction of length 100 is N(0, 10^2), and the other channels stay. */
static void colours_move_along_their_directions(void **state)
{
    prelu_err err = {0};
    mdl_augment a = small;
    double sum = 0, square = 0;
    enum { N = 2000 };
    (void)state;
    a.colour = 0.1;
    a.directions[0][1] = 100;
    for (uint64_t p = 0; p < N; p++) {
        mdl_choice c;
        check_ok(mdl_augment_draw(&a, 0, p, 32, 32, &c, &err), &err);
        assert_true(c.shift[0] == 0 && c.shift[2] == 0);
        sum += c.shift[1];
        square += (double)c.shift[1] * c.shift[1];
    }
    check_near(sum / N, 0, 1);
    check_near(sqrt(square / N), 10, 0.7);
}

static void order_is_a_new_permutation_each_epoch(void **state)
{
    enum { N = 1000 };
    static uint32_t first[N], again[N], next[N];
    static bool seen[N];
    size_t same = 0;
    (void)state;
    mdl_augment_order(7, 4, first, N);
    mdl_augment_order(7, 4, again, N);
    mdl_augment_order(7, 5, next, N);
    assert_memory_equal(first, again, sizeof first);
    for (size_t i = 0; i < N; i++) {
        assert_in_range(first[i], 0, N - 1);
        assert_false(seen[first[i]]);
        seen[first[i]] = true;
        same += first[i] == next[i];
    }
    assert_true(same < 10);
    mdl_augment_order(7, 4, first, 1);
    assert_int_equal(first[0], 0);
}

/* All shifts of -4..4 with a crop as large as the picture, and one place only without. */
static void crops_reach_out_of_the_picture(void **state)
{
    prelu_err err = {0};
    mdl_augment a = {.crop = 32, .scale_min = 32, .scale_max = 32, .translate = 4, .seed = 1};
    int xs[9] = {0}, ys[9] = {0};
    mdl_choice c;
    (void)state;
    for (uint64_t p = 0; p < 900; p++) {
        check_ok(mdl_augment_draw(&a, 0, p, 32, 32, &c, &err), &err);
        assert_true(abs(c.x) <= 4 && abs(c.y) <= 4);
        xs[c.x + 4]++;
        ys[c.y + 4]++;
    }
    for (int i = 0; i < 9; i++) {
        assert_in_range(xs[i], 60, 140);
        assert_in_range(ys[i], 60, 140);
    }
    check_ok(mdl_augment_draw(&a, 0, 0, 48, 32, &c, &err), &err);
    assert_true(c.x >= -4 && c.x <= 20);
    a.translate = 0;
    check_ok(mdl_augment_draw(&a, 0, 0, 32, 32, &c, &err), &err);
    assert_true(c.x == 0 && c.y == 0);
}

/* The centre is uniform in the view: a square of 8 in 32 keeps its side at 25 of 32 places, and at
 * a border keeps its half. */
static void cutouts_are_clipped_at_the_borders(void **state)
{
    enum { N = 3200, SIDE = 8 };
    prelu_err err = {0};
    mdl_augment a = small;
    int whole = 0, least = SIDE, reached = 0;
    (void)state;
    a.cutout = SIDE;
    for (uint64_t p = 0; p < N; p++) {
        mdl_choice c, again, none;
        check_ok(mdl_augment_draw(&a, 5, p, 32, 32, &c, &err), &err);
        check_ok(mdl_augment_draw(&a, 5, p, 32, 32, &again, &err), &err);
        check_ok(mdl_augment_draw(&small, 5, p, 32, 32, &none, &err), &err);
        const prelu_rect r = c.cutout;
        assert_memory_equal(&r, &again.cutout, sizeof r);
        assert_true(none.cutout.width == 0 && none.x == c.x && none.mirror == c.mirror);
        assert_true(r.x >= 0 && r.y >= 0 && r.x + r.width <= 32 && r.y + r.height <= 32);
        assert_true(r.width == SIDE || r.x == 0 || r.x + r.width == 32);
        whole += r.width == SIDE;
        least = r.width < least ? r.width : least;
        reached += r.y == 0 || r.y + r.height == 32;
    }
    assert_in_range(whole, N * 25 / 32 - 120, N * 25 / 32 + 120);
    assert_int_equal(least, SIDE / 2);
    assert_in_range(reached, N * 9 / 32 - 120, N * 9 / 32 + 120);
}

static void refuses_options_that_do_not_fit_the_crop(void **state)
{
    const struct {
        int scale_min, scale_max, translate, cutout;
    } bad[] = {{31, 40, 0, 0},  {40, 32, 0, 0},  {32, 40, -1, 0},
               {32, 40, 16, 0}, {32, 40, 0, -1}, {32, 40, 0, 33}};
    prelu_err err = {0};
    mdl_choice c;
    mdl_augment a = small;
    (void)state;
    check_ok(mdl_augment_check(&a, &err), &err);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        a.scale_min = bad[i].scale_min;
        a.scale_max = bad[i].scale_max;
        a.translate = bad[i].translate;
        a.cutout = bad[i].cutout;
        check_fails(mdl_augment_check(&a, &err), PRELU_E_ARG, &err);
    }
    /* 1 x 65500 at shorter side 32 would be two million pixels wide */
    assert_int_not_equal(mdl_augment_draw(&small, 0, 0, 65500, 1, &c, NULL), PRELU_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_are_repeatable),
        cmocka_unit_test(draws_stay_inside_and_reach_all),
        cmocka_unit_test(seed_and_epoch_matter),
        cmocka_unit_test(no_flip_never_mirrors),
        cmocka_unit_test(alternate_turns_each_epoch),
        cmocka_unit_test(colours_move_along_their_directions),
        cmocka_unit_test(order_is_a_new_permutation_each_epoch),
        cmocka_unit_test(crops_reach_out_of_the_picture),
        cmocka_unit_test(cutouts_are_clipped_at_the_borders),
        cmocka_unit_test(refuses_options_that_do_not_fit_the_crop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
