/* Checkpoints: a resumed run is the unbroken one bit by bit; damage, other networks and full disks
 * leave what was there. */
#define _GNU_SOURCE
#include "golden_net.h"
#include "prelu/mem.h"
#include "train/trainer.h"
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static golden_file plain, norm;
static char folder[64], path[128];

static int setup(void **state)
{
    (void)state;
    plain = golden_open("golden/training/plain.bin");
    norm = golden_open("golden/training/norm.bin");
    snprintf(folder, sizeof folder, "/tmp/prelu-checkpoint-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/checkpoint", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(plain.text);
    free(norm.text);
    unlink(path);
    return rmdir(folder); /* fails if a temporary file was left */
}

static prelu_trainer *open_trainer(bool with_norm)
{
    prelu_err err = {0};
    prelu_trainer *t = NULL;
    prelu_value logits;
    prelu_trainer_options o = NET_OPTIONS;
    prelu_graph *g = net_build(with_norm ? &norm : &plain, with_norm, true, &logits);
    check_ok(prelu_trainer_create(&t, g, logits, &o, NULL, &err), &err);
    prelu_graph_destroy(&g);
    return t;
}

static void steps(prelu_trainer *t, int from, int to)
{
    prelu_err err = {0};
    for (int i = from; i < to; i++)
        check_ok(net_step(t, &plain, i, NULL, &err), &err);
}

static bool same(const prelu_trainer *a, const prelu_trainer *b)
{
    return a->steps == b->steps && !memcmp(a->weights, b->weights, a->total * sizeof(float)) &&
           !memcmp(a->velocity, b->velocity, a->total * sizeof(float)) &&
           !memcmp(a->statistics, b->statistics, a->norm_total * sizeof(float));
}

static void resumed_is_unbroken(void **state)
{
    prelu_err err = {0};
    char *extra = NULL;
    (void)state;
    prelu_trainer *unbroken = open_trainer(true), *first = open_trainer(true);
    prelu_trainer *second = open_trainer(true);
    steps(unbroken, 0, 6);
    steps(first, 0, 3);
    check_ok(prelu_checkpoint_save(first, path, "epoch 1\nstep 3\n", &err), &err);
    check_ok(prelu_checkpoint_load(second, path, &extra, &err), &err);
    assert_string_equal(extra, "epoch 1\nstep 3\n");
    assert_true(same(first, second));
    steps(second, 3, 6);
    assert_true(same(unbroken, second));
    prelu_free(extra);
    prelu_trainer_destroy(&unbroken);
    prelu_trainer_destroy(&first);
    prelu_trainer_destroy(&second);
}

static void write_file(const char *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
}

static void damage_is_noticed(void **state)
{
    prelu_err err = {0};
    char *extra = NULL, *data;
    size_t len;
    (void)state;
    prelu_trainer *t = open_trainer(true), *other = open_trainer(true), *untouched;
    untouched = open_trainer(true);
    steps(t, 0, 2);
    check_ok(prelu_checkpoint_save(t, path, NULL, &err), &err);
    data = check_read_file(path, &len);
    for (size_t cut = 0; cut < len; cut = cut < 600 ? cut + 1 : cut + 997) {
        write_file(data, cut);
        check_fails(prelu_checkpoint_load(other, path, &extra, &err), PRELU_E_FORMAT, &err);
    }
    for (size_t at = 0; at < len; at = at < 600 ? at + 1 : at + 499) {
        data[at] ^= 0x10;
        write_file(data, len);
        check_fails(prelu_checkpoint_load(other, path, &extra, &err), PRELU_E_FORMAT, &err);
        data[at] ^= 0x10;
    }
    assert_true(same(other, untouched));
    assert_null(extra);
    write_file(data, len);
    check_ok(prelu_checkpoint_load(other, path, NULL, &err), &err);
    assert_true(same(other, t));
    free(data);
    prelu_trainer_destroy(&t);
    prelu_trainer_destroy(&other);
    prelu_trainer_destroy(&untouched);
}

static void another_network_is_refused_by_name(void **state)
{
    prelu_err err = {0};
    char *extra = NULL;
    (void)state;
    prelu_trainer *a = open_trainer(false), *b = open_trainer(true),
                  *untouched = open_trainer(true);
    check_ok(prelu_checkpoint_save(a, path, "", &err), &err);
    assert_int_equal(prelu_checkpoint_load(b, path, &extra, &err), PRELU_E_ARG);
    assert_non_null(strstr(err.text, "bn1.weight"));
    assert_true(same(b, untouched));
    prelu_trainer_destroy(&a);
    prelu_trainer_destroy(&b);
    prelu_trainer_destroy(&untouched);
}

static void a_full_disk_leaves_the_old_one(void **state)
{
    prelu_err err = {0};
    struct rlimit was, small;
    (void)state;
    prelu_trainer *t = open_trainer(false), *back = open_trainer(false);
    steps(t, 0, 1);
    check_ok(prelu_checkpoint_save(t, path, "old", &err), &err);
    steps(t, 1, 2);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    for (rlim_t limit = 0; limit < 12000; limit += 3000) {
        small = (struct rlimit){limit, was.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        check_fails(prelu_checkpoint_save(t, path, "new", &err), PRELU_E_IO, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    }
    char *extra = NULL;
    check_ok(prelu_checkpoint_load(back, path, &extra, &err), &err);
    assert_string_equal(extra, "old");
    assert_int_equal(prelu_trainer_steps(back), 1);
    prelu_free(extra);
    prelu_trainer_destroy(&t);
    prelu_trainer_destroy(&back);
}

static void names_what_is_missing(void **state)
{
    prelu_err err = {0};
    (void)state;
    prelu_trainer *t = open_trainer(false);
    check_fails(prelu_checkpoint_load(t, "/nonexistent/checkpoint", NULL, &err), PRELU_E_NOTFOUND,
                &err);
    check_fails(prelu_checkpoint_save(t, "/nonexistent/checkpoint", "", &err), PRELU_E_NOTFOUND,
                &err);
    check_fails(prelu_checkpoint_load(t, folder, NULL, &err), PRELU_E_FORMAT, &err);
    prelu_trainer_destroy(&t);
}

static void survives_failing_allocations(void **state)
{
    prelu_err err = {0};
    prelu_status st = PRELU_E_NOMEM;
    (void)state;
    prelu_trainer *t = open_trainer(false), *other = open_trainer(false);
    steps(t, 0, 1);
    for (size_t nth = 1; st; nth++) {
        char *extra = NULL;
        assert_true(nth < 100);
        memset(&err, 0, sizeof err);
        prelu_alloc_fail_from(nth);
        st = prelu_checkpoint_save(t, path, "x", &err);
        if (!st)
            st = prelu_checkpoint_load(other, path, &extra, &err);
        prelu_alloc_fail_from(0);
        assert_true(st == PRELU_OK || st == PRELU_E_NOMEM);
        assert_true(st ? extra == NULL : same(t, other));
        prelu_free(extra);
    }
    prelu_trainer_destroy(&t);
    prelu_trainer_destroy(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resumed_is_unbroken),
        cmocka_unit_test(damage_is_noticed),
        cmocka_unit_test(another_network_is_refused_by_name),
        cmocka_unit_test(a_full_disk_leaves_the_old_one),
        cmocka_unit_test(names_what_is_missing),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
