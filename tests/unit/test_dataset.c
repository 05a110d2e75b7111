/* Data folders: what is a class, what is a picture, what is refused; digest and statistics. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "dataset.h"
#include "dataset_files.h"
#include "prelu/mem.h"
#include <zlib.h>

static data_folder folder;

static int setup(void **state)
{
    (void)state;
    data_folder_make(&folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    data_folder_remove(&folder);
    return 0;
}

static void write_text(const char *name, const char *text)
{
    data_folder_write(&folder, name, text, strlen(text));
}

static void lists_classes_and_pictures_in_byte_order(void **state)
{
    prelu_err err = {0};
    mdl_dataset *d = NULL;
    char name[64];
    (void)state;
    data_folder_jpeg(&folder, "train/b/2.jpg", 8, 6, 0, 1);
    data_folder_jpeg(&folder, "train/b/10.JPEG", 8, 6, 0, 2);
    data_folder_jpeg(&folder, "train/B/x.jpeg", 8, 6, 0, 3);
    data_folder_jpeg(&folder, "train/a-b/x.JPG", 8, 6, 0, 4);
    write_text("train/b/notes.txt", "no picture");
    write_text("train/b/.hidden.jpg", "x");
    write_text("train/.git/x.jpg", "x");
    write_text("train/file.jpg", "not in a class");
    write_text("labels.txt", "b  a bee\r\nB\tbig\n\nother thing\n");
    check_ok(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), &err);
    assert_int_equal(d->n_classes, 3);
    assert_string_equal(d->classes[0].id, "B");
    assert_string_equal(d->classes[0].label, "big");
    assert_string_equal(d->classes[1].id, "a-b");
    assert_string_equal(d->classes[1].label, "a-b");
    assert_string_equal(d->classes[2].label, "a bee");
    assert_int_equal(d->n_pictures, 4);
    assert_int_equal(d->ignored, 1);
    assert_string_equal(mdl_dataset_name(d, 0, name, sizeof name), "train/B/x.jpeg");
    assert_string_equal(mdl_dataset_name(d, 2, name, sizeof name), "train/b/10.JPEG");
    assert_string_equal(mdl_dataset_name(d, 3, name, sizeof name), "train/b/2.jpg");
    assert_int_equal(d->pictures[3].label, 2);
    mdl_dataset_destroy(&d);
}

static void takes_given_classes(void **state)
{
    static const char *const ids[] = {"z", "b", "a", "q"};
    prelu_err err = {0};
    mdl_dataset *d = NULL;
    (void)state;
    data_folder_jpeg(&folder, "val/a/1.jpg", 8, 6, 0, 1);
    data_folder_jpeg(&folder, "val/b/1.jpg", 8, 6, 0, 1);
    check_ok(mdl_dataset_open(&d, folder.path, "val", ids, 4, &err), &err);
    assert_int_equal(d->n_classes, 4);
    assert_int_equal(d->pictures[0].label, 1);
    assert_int_equal(d->pictures[1].label, 2);
    mdl_dataset_destroy(&d);
    check_fails(mdl_dataset_open(&d, folder.path, "val", ids, 2, &err), PRELU_E_FORMAT, &err);
}

static void refuses_what_is_no_data_set(void **state)
{
    prelu_err err = {0};
    mdl_dataset *d = NULL;
    char path[256];
    (void)state;
    check_fails(mdl_dataset_open(&d, folder.path, "test", NULL, 0, &err), PRELU_E_ARG, &err);
    check_fails(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), PRELU_E_NOTFOUND, &err);
    snprintf(path, sizeof path, "%s/none", folder.path);
    check_fails(mdl_dataset_open(&d, path, "train", NULL, 0, &err), PRELU_E_NOTFOUND, &err);
    write_text("train/file.jpg", "no class folder");
    check_fails(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), PRELU_E_FORMAT, &err);
    write_text("train/a/file.png", "no jpg");
    check_fails(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), PRELU_E_FORMAT, &err);
    data_folder_jpeg(&folder, "train/a/1.jpg", 8, 6, 0, 1);
    write_text("labels.txt", "a\n");
    check_fails(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), PRELU_E_FORMAT, &err);
    write_text("labels.txt", "cat a cat\ndog a dog\n");
    check_fails(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), PRELU_E_FORMAT, &err);
    write_text("labels.txt", "a \xc0\xaf\n"); /* overlong */
    check_fails(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), PRELU_E_FORMAT, &err);
    write_text("labels.txt", "a caf\xc3\xa9\n");
    check_ok(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), &err);
    mdl_dataset_destroy(&d);
    write_text("train/\xff/1.jpg", "x");
    check_fails(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), PRELU_E_FORMAT, &err);
}

static void decodes_or_says_why_not(void **state)
{
    prelu_err err = {0};
    mdl_dataset *d = NULL;
    prelu_image img;
    char path[256];
    (void)state;
    data_folder_jpeg(&folder, "train/a/1.jpg", 8, 6, 0, 1);
    write_text("train/a/2.jpg", "no JPEG");
    write_text("train/a/3.jpg", "");
    snprintf(path, sizeof path, "%s/train/a/4.jpg", folder.path);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/train/a/5.jpg", folder.path);
    assert_int_equal(symlink("nowhere", path), 0);
    snprintf(path, sizeof path, "%s/train/a/6.jpg", folder.path);
    assert_int_equal(mkfifo(path, 0666), 0);
    check_ok(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), &err);
    assert_int_equal(d->n_pictures, 6);
    check_ok(mdl_dataset_decode(d, 0, 0, &img, &err), &err);
    assert_int_equal(img.width, 8);
    assert_int_equal(img.height, 6);
    prelu_image_deinit(&img);
    check_fails(mdl_dataset_decode(d, 1, 0, &img, &err), PRELU_E_UNSUPPORTED, &err);
    check_fails(mdl_dataset_decode(d, 2, 0, &img, &err), PRELU_E_FORMAT, &err);
    check_fails(mdl_dataset_decode(d, 3, 0, &img, &err), PRELU_E_FORMAT, &err);
    check_fails(mdl_dataset_decode(d, 4, 0, &img, &err), PRELU_E_NOTFOUND, &err);
    check_fails(mdl_dataset_decode(d, 5, 0, &img, &err), PRELU_E_FORMAT, &err); /* and no hanging */
    mdl_dataset_destroy(&d);
}

static void limits_evenly(void **state)
{
    prelu_err err = {0};
    mdl_dataset *d = NULL;
    (void)state;
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 4; i++) {
            char name[64];
            snprintf(name, sizeof name, "train/%d/%d.jpg", c, i);
            write_text(name, "x");
        }
    check_ok(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), &err);
    mdl_dataset_limit(d, 6);
    assert_int_equal(d->n_pictures, 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(d->pictures[i].label, i / 2);
        assert_string_equal(d->pictures[i].name, i % 2 ? "2.jpg" : "0.jpg");
    }
    mdl_dataset_limit(d, 0);
    mdl_dataset_limit(d, 100);
    assert_int_equal(d->n_pictures, 6);
    mdl_dataset_destroy(&d);
}

/* sha256sum of "one" and "two", then of the two lines, by coreutils. */
static void digest_is_that_of_sha256sum(void **state)
{
    prelu_err err = {0};
    mdl_dataset *d = NULL;
    char text[65];
    (void)state;
    write_text("train/a/1.jpg", "one");
    write_text("train/a-b/2.jpg", "two");
    check_ok(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), &err);
    check_ok(mdl_dataset_digest((const mdl_dataset *const[]){d}, 1, NULL, text, NULL, NULL, &err),
             &err);
    assert_string_equal(text, "62f9b0809df3e12803dd112eebad7912716042dc37ded8ac69e450e2c30f3c44");
    mdl_dataset_destroy(&d);
}

typedef struct shared_pair {
    int n;
    char text[256];
} shared_pair;

static void note_shared(void *ctx, const char *first, const char *later)
{
    shared_pair *p = ctx;
    const size_t len = strlen(p->text);
    p->n++;
    snprintf(p->text + len, sizeof p->text - len, "%s=%s ", first, later);
}

/* Equal files of one split are its own affair, as are those that cannot be read. */
static void shared_files_are_named(void **state)
{
    prelu_err err = {0};
    mdl_dataset *d = NULL, *v = NULL;
    shared_pair found = {0};
    char text[65], path[512];
    (void)state;
    write_text("train/a/1.jpg", "one");
    write_text("train/a/2.jpg", "two");
    write_text("train/b/1.jpg", "one");
    write_text("train/b/9.jpg", "nine");
    write_text("val/a/3.jpg", "three");
    write_text("val/a/4.jpg", "three");
    write_text("val/b/5.jpg", "one");
    write_text("val/b/6.jpg", "nine");
    check_ok(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), &err);
    check_ok(mdl_dataset_open_like(&v, "val", d, &err), &err);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s/b/%d.jpg", folder.path, i ? "val" : "train", i ? 6 : 9);
        assert_int_equal(remove(path), 0);
    }
    check_ok(mdl_dataset_digest((const mdl_dataset *const[]){d, v}, 2, NULL, text, note_shared,
                                &found, &err),
             &err);
    assert_int_equal(found.n, 1);
    assert_string_equal(found.text, "train/a/1.jpg=val/b/5.jpg ");
    mdl_dataset_destroy(&v);
    mdl_dataset_destroy(&d);
}

static void statistics_do_not_depend_on_threads(void **state)
{
    prelu_err err = {0};
    mdl_dataset *d = NULL;
    prelu_pool *pool = NULL;
    mdl_statistics s[2];
    (void)state;
    for (int i = 0; i < 20; i++) {
        char name[64];
        snprintf(name, sizeof name, "train/a/%d.jpg", i);
        data_folder_jpeg(&folder, name, 9 + i, 7, i, (uint64_t)i);
    }
    write_text("train/a/99.jpg", "damaged");
    check_ok(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), &err);
    check_ok(prelu_pool_create(&pool, 3, &err), &err);
    check_ok(mdl_dataset_statistics(d, 100, NULL, &s[0], &err), &err);
    check_ok(mdl_dataset_statistics(d, 100, pool, &s[1], &err), &err);
    assert_memory_equal(&s[0], &s[1], sizeof s[0]);
    check_near(s[0].mean[0], 40 + 150.0 / 4, 10);
    for (int c = 0; c < 3; c++) { /* the directions hold all of a channel's variance */
        double sum = 0;
        for (int i = 0; i < 3; i++)
            sum += (double)s[0].colour[i][c] * (double)s[0].colour[i][c];
        check_near(sqrt(sum), (double)s[0].std[c], 1e-3);
    }
    check_near(s[0].std[1], 150 * 0.433, 20);
    prelu_pool_destroy(&pool);
    mdl_dataset_destroy(&d);
}

static void write_gz(const char *name, const uint8_t *data, size_t len)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder.path, name);
    gzFile f = gzopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, data, (unsigned)len), (int)len);
    assert_int_equal(gzclose(f), Z_OK);
}

static void reads_idx_as_rgb(void **state)
{
    static const uint8_t train[] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0,
                                    1, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6};
    static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 2, 0, 2};
    static const uint8_t val[] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 7, 8};
    static const uint8_t val_label[] = {0, 0, 8, 1, 0, 0, 0, 1, 1};
    static const uint8_t bad_label[] = {0, 0, 8, 1, 0, 0, 0, 1, 3};
    static const uint8_t more_labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 1};
    prelu_err err = {0};
    mdl_dataset *d = NULL, *v = NULL;
    prelu_image img;
    char name[64], text[65];
    (void)state;
    write_gz("train-images-idx3-ubyte.gz", train, sizeof train);
    data_folder_write(&folder, "train-labels-idx1-ubyte", labels, sizeof labels);
    write_gz("t10k-images-idx3-ubyte.gz", val, sizeof val);
    write_gz("t10k-labels-idx1-ubyte.gz", val_label, sizeof val_label);
    check_ok(mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err), &err);
    check_ok(mdl_dataset_open_like(&v, "val", d, &err), &err);
    assert_int_equal(d->n_classes, 3);
    assert_string_equal(d->classes[2].id, "2");
    assert_int_equal(d->pictures[0].label, 2);
    assert_int_equal(v->pictures[0].label, 1);
    mdl_dataset_limit(d, 2);
    assert_string_equal(mdl_dataset_name(d, 1, name, sizeof name), "train[1]");
    check_ok(mdl_dataset_decode(d, 1, 0, &img, &err), &err);
    assert_int_equal(img.width, 2);
    assert_int_equal(img.height, 1);
    assert_memory_equal(img.data, "\3\3\3\4\4\4", 6);
    prelu_image_deinit(&img);
    check_ok(
        mdl_dataset_digest((const mdl_dataset *const[]){d, v}, 2, NULL, text, NULL, NULL, &err),
        &err);
    assert_int_equal(strlen(text), 64);
    mdl_dataset_destroy(&v);
    write_gz("t10k-labels-idx1-ubyte.gz", bad_label, sizeof bad_label);
    check_fails(mdl_dataset_open_like(&v, "val", d, &err), PRELU_E_FORMAT, &err);
    write_gz("t10k-labels-idx1-ubyte.gz", more_labels, sizeof more_labels);
    check_fails(mdl_dataset_open_like(&v, "val", d, &err), PRELU_E_FORMAT, &err);
    mdl_dataset_destroy(&d);
}

static void survives_failing_allocations(void **state)
{
    prelu_err err = {0};
    mdl_dataset *d = NULL;
    prelu_status st = PRELU_E_NOMEM;
    char text[65];
    (void)state;
    data_folder_jpeg(&folder, "train/a/1.jpg", 8, 6, 0, 1);
    data_folder_jpeg(&folder, "train/b/1.jpg", 8, 6, 0, 1);
    write_text("labels.txt", "a an a\n");
    for (size_t nth = 1; st; nth++) {
        mdl_statistics s;
        assert_true(nth < 200);
        memset(&err, 0, sizeof err);
        prelu_alloc_fail_from(nth);
        st = mdl_dataset_open(&d, folder.path, "train", NULL, 0, &err);
        if (!st)
            st = mdl_dataset_digest((const mdl_dataset *const[]){d}, 1, NULL, text, NULL, NULL,
                                    &err);
        if (!st) /* pictures that memory fails for are left out: E_FORMAT when none is left */
            st = mdl_dataset_statistics(d, 2, NULL, &s, &err);
        prelu_alloc_fail_from(0);
        assert_true(st == PRELU_OK || st == PRELU_E_NOMEM || st == PRELU_E_FORMAT);
        mdl_dataset_destroy(&d);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(lists_classes_and_pictures_in_byte_order),
        TEST(takes_given_classes),
        TEST(refuses_what_is_no_data_set),
        TEST(decodes_or_says_why_not),
        TEST(limits_evenly),
        TEST(digest_is_that_of_sha256sum),
        TEST(shared_files_are_named),
        TEST(statistics_do_not_depend_on_threads),
        TEST(reads_idx_as_rgb),
        TEST(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
