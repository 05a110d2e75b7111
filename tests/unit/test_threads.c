#define _GNU_SOURCE
#include "check.h"
#include "prelu/mem.h"
#include "prelu/threads.h"
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

typedef struct loop {
    prelu_pool *pool;
    atomic_int hits[1000];
    atomic_int busy[8]; /* by worker slot: never two tasks of one loop at once */
    atomic_int wrong;
    int depth;
} loop;

static void task(void *ctx, size_t i, int worker)
{
    loop *l = ctx;
    if (worker < 0 || worker >= prelu_pool_slots(l->pool) || atomic_fetch_add(&l->busy[worker], 1))
        atomic_fetch_add(&l->wrong, 1);
    atomic_fetch_add(&l->hits[i], 1);
    atomic_fetch_sub(&l->busy[worker], 1);
}

static void run_and_check(loop *l, size_t n)
{
    for (size_t i = 0; i < 1000; i++)
        atomic_store(&l->hits[i], 0);
    prelu_pool_run(l->pool, n, task, l);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(atomic_load(&l->hits[i]), i < n ? 1 : 0);
    assert_int_equal(atomic_load(&l->wrong), 0);
}

static void test_each_task_once(void **state)
{
    (void)state;
    for (int threads = 0; threads < 5; threads++) {
        static loop l;
        prelu_err err = {0};
        memset(&l, 0, sizeof l);
        check_ok(prelu_pool_create(&l.pool, threads, &err), &err);
        assert_int_equal(prelu_pool_slots(l.pool), threads + 1);
        for (int round = 0; round < 300; round++)
            run_and_check(&l, (size_t)(round * 7 % 1000));
        prelu_pool_destroy(&l.pool);
        assert_null(l.pool);
    }
    static loop none;
    run_and_check(&none, 10);
}

/* Parked threads wake for a loop that comes later. */
static void test_parked_threads_help(void **state)
{
    static loop l;
    prelu_err err = {0};
    (void)state;
    check_ok(prelu_pool_create(&l.pool, 3, &err), &err);
    for (int round = 0; round < 20; round++) {
        usleep(2000);
        run_and_check(&l, 500);
    }
    prelu_pool_destroy(&l.pool);
}

typedef struct stopping {
    loop l;
    atomic_bool stop;
    int stop_at;
} stopping;

static void stopping_task(void *ctx, size_t i, int worker)
{
    stopping *s = ctx;
    task(&s->l, i, worker);
    if ((int)i == s->stop_at)
        atomic_store(&s->stop, true);
}

/* A loop that is stopped has run its first tasks, each once, and no others. */
static void test_stop(void **state)
{
    (void)state;
    for (int threads = 0; threads < 4; threads++)
        for (int at = -1; at < 1000; at += 111) {
            static stopping s;
            prelu_err err = {0};
            memset(&s, 0, sizeof s);
            s.stop_at = at;
            atomic_store(&s.stop, at < 0);
            check_ok(prelu_pool_create(&s.l.pool, threads, &err), &err);
            const size_t n = prelu_pool_run_until(s.l.pool, 1000, stopping_task, &s, &s.stop);
            assert_in_range(n, at + 1, at < 0 ? 0 : 1000);
            if (threads == 0)
                assert_int_equal(n, at + 1);
            for (size_t i = 0; i < 1000; i++)
                assert_int_equal(atomic_load(&s.l.hits[i]), i < n);
            assert_int_equal(prelu_pool_run_until(s.l.pool, 1000, stopping_task, &s, &s.stop), 0);
            prelu_pool_destroy(&s.l.pool);
        }
}

typedef struct jobs {
    prelu_pool *pool;
    atomic_int done, inner;
} jobs;

static void inner_task(void *ctx, size_t i, int worker)
{
    (void)i;
    (void)worker;
    atomic_fetch_add((atomic_int *)ctx, 1);
}

static void job(void *ctx)
{
    jobs *j = ctx;
    atomic_int mine = 0;
    prelu_pool_run(j->pool, 50, inner_task, &mine);
    atomic_fetch_add(&j->inner, atomic_load(&mine));
    atomic_fetch_add(&j->done, 1);
}

/* Jobs that run loops inside, many at once, all finished by destroy. */
static void test_jobs_with_loops(void **state)
{
    jobs j = {0};
    prelu_err err = {0};
    (void)state;
    check_ok(prelu_pool_create(&j.pool, 3, &err), &err);
    for (int i = 0; i < 500; i++)
        check_ok(prelu_pool_submit(j.pool, job, &j, &err), &err);
    prelu_pool_destroy(&j.pool);
    assert_int_equal(atomic_load(&j.done), 500);
    assert_int_equal(atomic_load(&j.inner), 500 * 50);
}

static void test_bad_arguments(void **state)
{
    prelu_pool *pool = NULL;
    prelu_err err = {0};
    (void)state;
    check_fails(prelu_pool_create(&pool, -1, &err), PRELU_E_ARG, &err);
    check_fails(prelu_pool_create(&pool, 100000, &err), PRELU_E_ARG, &err);
    assert_null(pool);
    check_ok(prelu_pool_create(&pool, 0, &err), &err);
    check_fails(prelu_pool_submit(pool, job, NULL, &err), PRELU_E_ARG, &err);
    prelu_pool_destroy(&pool);
    assert_true(prelu_cpu_count() >= 1);
}

static atomic_int other_masks;

static void count_cpus(void *ctx, size_t i, int worker)
{
    cpu_set_t set;
    (void)i, (void)worker;
    if (sched_getaffinity(0, sizeof set, &set) || CPU_COUNT(&set) != *(const int *)ctx)
        atomic_fetch_add(&other_masks, 1);
}

/* A helper that moved away from its caller may go anywhere again. */
static void test_helpers_keep_their_cpus(void **state)
{
    prelu_pool *pool = NULL;
    prelu_err err = {0};
    cpu_set_t set;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    const int cpus = CPU_COUNT(&set);
    assert_int_equal(prelu_pool_create(&pool, 2, &err), PRELU_OK);
    for (int i = 0; i < 50; i++) {
        prelu_pool_run(pool, 8, count_cpus, (void *)&cpus);
        usleep(500); /* helpers park */
    }
    prelu_pool_destroy(&pool);
    assert_int_equal(atomic_load(&other_masks), 0);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    for (size_t nth = 1;; nth++) {
        prelu_pool *pool = NULL;
        prelu_err err = {0};
        prelu_alloc_fail_from(nth);
        const prelu_status st = prelu_pool_create(&pool, 2, &err);
        prelu_alloc_fail_from(0);
        prelu_pool_destroy(&pool);
        if (st == PRELU_OK)
            break;
        assert_int_equal(st, PRELU_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_each_task_once),
        cmocka_unit_test(test_parked_threads_help),
        cmocka_unit_test(test_jobs_with_loops),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_helpers_keep_their_cpus),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
