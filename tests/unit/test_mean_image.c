/* The mean picture: of what can be read, the same on any number of threads. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "dataset_files.h"
#include "mean_image.h"
#include "prelu/image.h"
#include "prelu/mem.h"

enum { PICTURES = 40, CROP = 16, RESIZE = 18, PIXELS = CROP * CROP };

static data_folder folder;
static mdl_dataset *data;

static int setup(void **state)
{
    prelu_err err = {0};
    (void)state;
    data_folder_make(&folder);
    for (int i = 0; i < PICTURES; i++) {
        char name[64];
        snprintf(name, sizeof name, "train/%d/%d.jpg", i % 2, i);
        data_folder_jpeg(&folder, name, 20 + i % 5, 18 + i % 7, i % 2, (uint64_t)i);
    }
    data_folder_write(&folder, "train/1/bad.jpg", "damaged", 7);
    return mdl_dataset_open(&data, folder.path, "train", NULL, 0, &err) ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    mdl_dataset_destroy(&data);
    data_folder_remove(&folder);
    return 0;
}

static prelu_graph *net(const char *name)
{
    prelu_err err = {0};
    const prelu_shape colour = {4, {1, 3, 1, 1}};
    const float mean[3] = {1, 2, 3};
    prelu_graph *g = NULL;
    prelu_value v;
    check_ok(prelu_graph_create(&g, &err), &err);
    check_ok(
        prelu_graph_constant(g, name, PRELU_F32, &colour, mean, true, PRELU_ROLE_NONE, &v, &err),
        &err);
    return g;
}

static void definition(double *mean)
{
    prelu_err err = {0};
    int good = 0;
    memset(mean, 0, 3 * PIXELS * sizeof *mean);
    for (size_t i = 0; i < data->n_pictures; i++) {
        prelu_image img = {0}, small = {0};
        prelu_view view;
        int w, h;
        if (mdl_dataset_decode(data, i, 0, &img, NULL))
            continue;
        check_ok(prelu_resized_size(img.width, img.height, RESIZE, NULL, &w, &h, &err), &err);
        check_ok(prelu_image_resize(&small, &img, w, h, NULL, &err), &err);
        check_ok(prelu_view_center(&view, &small, CROP, &err), &err);
        for (size_t p = 0; p < 3 * PIXELS; p++)
            mean[p] += view.data[p % PIXELS / CROP * view.stride + p % CROP * 3 + p / PIXELS];
        good++;
        prelu_image_deinit(&img);
        prelu_image_deinit(&small);
    }
    assert_int_equal(good, PICTURES);
    for (size_t p = 0; p < 3 * PIXELS; p++)
        mean[p] /= good;
}

static void mean_is_that_of_the_centre_views(void **state)
{
    static double want[3 * PIXELS];
    prelu_err err = {0};
    (void)state;
    definition(want);
    for (int threads = 0; threads <= 3; threads++) {
        prelu_pool *pool = NULL;
        prelu_graph *g = net("preprocess.mean");
        if (threads)
            check_ok(prelu_pool_create(&pool, threads, &err), &err);
        check_ok(mdl_mean_image(g, data, RESIZE, CROP, 1000, pool, &err), &err);
        const prelu_shape *s = &g->values[0].shape;
        assert_true(s->rank == 4 && s->dim[1] == 3 && s->dim[2] == CROP && s->dim[3] == CROP);
        for (size_t p = 0; p < 3 * PIXELS; p++)
            assert_true(((const float *)g->values[0].data)[p] == (float)want[p]);
        prelu_graph_destroy(&g);
        prelu_pool_destroy(&pool);
    }
}

static void what_cannot_be_averaged_is_said(void **state)
{
    prelu_err err = {0};
    data_folder damaged;
    mdl_dataset *d = NULL;
    prelu_graph *other = net("mean"), *g = net("preprocess.mean");
    (void)state;
    data_folder_make(&damaged);
    data_folder_write(&damaged, "train/0/bad.jpg", "damaged", 7);
    check_ok(mdl_dataset_open(&d, damaged.path, "train", NULL, 0, &err), &err);
    check_fails(mdl_mean_image(g, d, RESIZE, CROP, 10, NULL, &err), PRELU_E_FORMAT, &err);
    check_fails(mdl_mean_image(other, data, RESIZE, CROP, 10, NULL, &err), PRELU_E_ARG, &err);
    mdl_dataset_destroy(&d);
    data_folder_remove(&damaged);
    prelu_graph_destroy(&other);
    prelu_graph_destroy(&g);
}

/* A picture that finds no memory is not left out as an unreadable one is. */
static void memory_that_fails_changes_no_mean(void **state)
{
    prelu_status st = PRELU_E_NOMEM;
    (void)state;
    for (size_t nth = 1; st; nth++) {
        prelu_graph *g = net("preprocess.mean");
        assert_true(nth < 500);
        prelu_alloc_fail_from(nth);
        st = mdl_mean_image(g, data, RESIZE, CROP, 4, NULL, NULL);
        prelu_alloc_fail_from(0);
        assert_true(st == PRELU_OK || st == PRELU_E_NOMEM);
        prelu_graph_destroy(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_is_that_of_the_centre_views),
        cmocka_unit_test(what_cannot_be_averaged_is_said),
        cmocka_unit_test(memory_that_fails_changes_no_mean),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
