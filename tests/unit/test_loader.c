/* Batches: the same whatever the threads and the cache; damaged pictures are left out and named. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "dataset_files.h"
#include "loader.h"
#include "prelu/mem.h"

enum { CLASSES = 3, EACH = 7, BATCH = 5, CROP = 16 };

static data_folder folder;
static mdl_dataset *data;

static int setup(void **state)
{
    prelu_err err = {0};
    (void)state;
    data_folder_make(&folder);
    for (int c = 0; c < CLASSES; c++)
        for (int i = 0; i < EACH; i++) {
            char name[64];
            snprintf(name, sizeof name, "train/%d/%d.jpg", c, i);
            data_folder_jpeg(&folder, name, 20 + i, 18 + c, c, (uint64_t)(c * 100 + i));
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

static int named;
static void on_bad(void *ctx, const char *name, const char *why)
{
    (void)ctx;
    assert_string_equal(name, "train/1/bad.jpg");
    assert_true(why[0] != 0);
    named++;
}

static const mdl_augment plain = {
    .crop = CROP, .scale_min = CROP, .scale_max = 24, .flip = true, .seed = 9};
static const mdl_augment altered = {.crop = CROP,
                                    .scale_min = CROP,
                                    .scale_max = 24,
                                    .translate = 4,
                                    .cutout = 5,
                                    .flip = true,
                                    .seed = 9,
                                    .colour = 0.1,
                                    .directions = {{60, 50, 40}, {0}, {0}},
                                    .mean = {1, 128, 255}};

static mdl_loader *create(const mdl_loader_options *o)
{
    prelu_err err = {0};
    mdl_loader *l = NULL;
    check_ok(mdl_loader_create(&l, o, &err), &err);
    return l;
}

static mdl_loader *open_loader_of(const mdl_augment *a, prelu_pool *pool, size_t cache_bytes,
                                  size_t batch)
{
    return create(&(mdl_loader_options){.data = data,
                                        .pool = pool,
                                        .batch = batch,
                                        .augment = *a,
                                        .cache_bytes = cache_bytes,
                                        .bad = on_bad});
}

static mdl_loader *open_loader(prelu_pool *pool, size_t cache_bytes, size_t batch)
{
    return open_loader_of(&plain, pool, cache_bytes, batch);
}

static uint64_t hash_batch(const mdl_batch *b)
{
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < b->n; i++) {
        const prelu_view *v = &b->views[i];
        h = (h ^ (uint64_t)b->labels[i] ^ (v->mirror ? 77u : 0u)) * 1099511628211u;
        assert_int_equal(v->width, CROP);
        assert_int_equal(v->height, CROP);
        for (int y = 0; y < CROP; y++)
            for (int x = 0; x < 3 * CROP; x++)
                h = (h ^ v->data[(size_t)y * v->stride + (size_t)x]) * 1099511628211u;
    }
    return h;
}

static void run(mdl_loader *l, uint64_t *hashes, size_t n)
{
    prelu_err err = {0};
    for (size_t i = 0; i < n; i++) {
        mdl_batch b;
        check_ok(mdl_loader_next(l, &b, &err), &err);
        assert_int_equal(b.epoch, i / mdl_loader_steps(l));
        assert_int_equal(b.step, i % mdl_loader_steps(l));
        hashes[i] = hash_batch(&b);
    }
}

static void check_threads_and_cache(const mdl_augment *a)
{
    static const size_t caches[] = {0, 4000, 1 << 20};
    prelu_err err = {0};
    uint64_t first[12], other[12];
    mdl_loader *l = open_loader_of(a, NULL, 0, BATCH);
    assert_int_equal(mdl_loader_steps(l), (CLASSES * EACH + 1) / BATCH);
    named = 0;
    run(l, first, 12);
    assert_int_equal(named, 1);
    assert_int_equal(mdl_loader_bad(l), 1);
    mdl_loader_destroy(&l);
    assert_true(first[0] != first[4]); /* another epoch, another order */
    for (int threads = 1; threads <= 3; threads++)
        for (size_t c = 0; c < 3; c++) {
            prelu_pool *pool = NULL;
            check_ok(prelu_pool_create(&pool, threads, &err), &err);
            l = open_loader_of(a, pool, caches[c], BATCH);
            run(l, other, 12);
            assert_memory_equal(first, other, sizeof first);
            mdl_loader_destroy(&l);
            prelu_pool_destroy(&pool);
        }
}

static void batches_do_not_depend_on_threads_or_cache(void **state)
{
    (void)state;
    check_threads_and_cache(&plain);
    check_threads_and_cache(&altered);
}

/* The pixel at i of a row of n that is continued by its mirror image on both sides. */
static int mirrored(int i, int n)
{
    const int period = 2 * (n - 1), in = ((i % period) + period) % period;
    return in < n ? in : period - in;
}

static int moved(int value, int by)
{
    return value + by < 0 ? 0 : value + by > 255 ? 255 : value + by;
}

static void check_view(const prelu_view *v, const mdl_choice *c, const prelu_image *whole)
{
    for (int y = 0; y < CROP; y++)
        for (int x = 0; x < CROP; x++) {
            const uint8_t *is = v->data + (size_t)y * v->stride + (size_t)x * 3;
            const uint8_t *was = whole->data +
                                 (size_t)mirrored(c->y + y, c->height) * whole->stride +
                                 (size_t)mirrored(c->x + x, c->width) * 3;
            const prelu_rect *r = &c->cutout;
            const bool cut = x >= r->x && x < r->x + r->width && y >= r->y && y < r->y + r->height;
            for (int i = 0; i < 3; i++)
                assert_int_equal(is[i], cut ? altered.mean[i] : moved(was[i], c->shift[i]));
        }
}

/* Every pixel against the whole resized picture: reflected, shifted, cut out.
 * @return how many views reach out of their picture. */
static int check_views(const mdl_dataset *d, bool draft)
{
    prelu_err err = {0};
    uint32_t order[CLASSES * EACH + 1];
    int outside = 0;
    mdl_batch b;
    mdl_loader *l = create(&(mdl_loader_options){
        .data = d, .batch = 1, .augment = altered, .draft = draft, .bad = on_bad});
    mdl_augment_order(altered.seed, 0, order, d->n_pictures);
    for (size_t i = 0; i < mdl_loader_steps(l); i++) {
        prelu_image source = {0}, whole = {0};
        mdl_choice c;
        check_ok(mdl_loader_next(l, &b, &err), &err);
        if (!b.n)
            continue; /* the damaged one */
        check_ok(mdl_dataset_decode(d, order[i], draft ? altered.scale_max : 0, &source, &err),
                 &err);
        check_ok(mdl_augment_draw(&altered, 0, order[i], source.width, source.height, &c, &err),
                 &err);
        check_ok(prelu_image_resize(&whole, &source, c.width, c.height, NULL, &err), &err);
        assert_true(b.views[0].mirror == c.mirror);
        check_view(&b.views[0], &c, &whole);
        outside += c.x < 0 || c.y < 0 || c.x + CROP > c.width || c.y + CROP > c.height;
        prelu_image_deinit(&source);
        prelu_image_deinit(&whole);
    }
    mdl_loader_destroy(&l);
    return outside;
}

static void views_show_what_was_drawn(void **state)
{
    (void)state;
    assert_true(check_views(data, false) > 5);
}

/* 200x150 at half its size has more than twice the largest scale of 24, at a quarter it has less.
 */
static void drafts_are_decoded_scaled(void **state)
{
    prelu_err err = {0};
    data_folder large;
    mdl_dataset *d = NULL;
    prelu_image half = {0};
    (void)state;
    data_folder_make(&large);
    data_folder_jpeg(&large, "train/0/0.jpg", 200, 150, 0, 1);
    data_folder_jpeg(&large, "train/1/1.jpg", 150, 200, 1, 2);
    check_ok(mdl_dataset_open(&d, large.path, "train", NULL, 0, &err), &err);
    check_ok(mdl_dataset_decode(d, 0, altered.scale_max, &half, &err), &err);
    assert_int_equal(half.width, 100);
    check_views(d, false);
    check_views(d, true);
    prelu_image_deinit(&half);
    mdl_dataset_destroy(&d);
    data_folder_remove(&large);
}

static void seek_gives_the_same_batch(void **state)
{
    prelu_err err = {0};
    prelu_pool *pool = NULL;
    uint64_t hashes[12];
    mdl_batch b;
    (void)state;
    check_ok(prelu_pool_create(&pool, 2, &err), &err);
    mdl_loader *l = open_loader(pool, 1 << 20, BATCH);
    run(l, hashes, 12);
    mdl_loader_seek(l, 1, 2);
    check_ok(mdl_loader_next(l, &b, &err), &err);
    assert_true(hash_batch(&b) == hashes[6]);
    mdl_loader_seek(l, 1,
                    mdl_loader_steps(l)); /* where a run stops that is asked to while it judges */
    check_ok(mdl_loader_next(l, &b, &err), &err);
    assert_true(b.epoch == 2 && b.step == 0 && hash_batch(&b) == hashes[2 * mdl_loader_steps(l)]);
    mdl_loader_destroy(&l); /* with a batch begun */
    prelu_pool_destroy(&pool);
}

static void an_epoch_holds_every_picture_once(void **state)
{
    prelu_err err = {0};
    int count[CLASSES] = {0};
    mdl_batch b;
    (void)state;
    mdl_loader *l = open_loader(NULL, 1 << 20, 1);
    for (size_t i = 0; i < mdl_loader_steps(l); i++) {
        check_ok(mdl_loader_next(l, &b, &err), &err);
        for (size_t k = 0; k < b.n; k++)
            count[b.labels[k]]++;
    }
    for (int c = 0; c < CLASSES; c++)
        assert_int_equal(count[c], EACH);
    mdl_loader_destroy(&l);
}

static void a_batch_is_at_most_all_pictures(void **state)
{
    prelu_err err = {0};
    mdl_batch b;
    (void)state;
    mdl_loader *l = open_loader(NULL, 0, 1000);
    assert_int_equal(mdl_loader_steps(l), 1);
    check_ok(mdl_loader_next(l, &b, &err), &err);
    assert_int_equal(b.n, CLASSES * EACH);
    mdl_loader_destroy(&l);
}

static void memory_that_fails_is_no_damaged_picture(void **state)
{
    prelu_err err = {0};
    prelu_status st = PRELU_E_NOMEM;
    (void)state;
    for (size_t nth = 1; st; nth++) {
        mdl_loader *l = NULL;
        mdl_batch b;
        mdl_loader_options o = {.data = data, .batch = 4, .augment = altered, .cache_bytes = 4000};
        assert_true(nth < 500);
        memset(&err, 0, sizeof err);
        prelu_alloc_fail_from(nth);
        st = mdl_loader_create(&l, &o, &err);
        for (int i = 0; i < 2 && !st; i++)
            st = mdl_loader_next(l, &b, &err);
        prelu_alloc_fail_from(0);
        assert_true(st == PRELU_OK || st == PRELU_E_NOMEM);
        if (l)
            assert_true(mdl_loader_bad(l) <= 1);
        mdl_loader_destroy(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_do_not_depend_on_threads_or_cache),
        cmocka_unit_test(views_show_what_was_drawn),
        cmocka_unit_test(drafts_are_decoded_scaled),
        cmocka_unit_test(seek_gives_the_same_batch),
        cmocka_unit_test(an_epoch_holds_every_picture_once),
        cmocka_unit_test(a_batch_is_at_most_all_pictures),
        cmocka_unit_test(memory_that_fails_is_no_damaged_picture),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
