#include "check.h"
#include "queue.h"
#include <pthread.h>
#include <sched.h>

static srv_queue q;
static srv_work works[16];
static srv_work *got[16];
static srv_group a, b;
static srv_flow flows[2], own[16];
static const srv_group *held; /* may not run */

static void push_of(int i, srv_group *group, srv_flow *flow, size_t units)
{
    prelu_err err = {0};
    works[i] = (srv_work){.group = group, .flow = flow, .units = units, .cost = (double)units};
    check_ok(srv_queue_reserve(&q, units, &err), &err);
    srv_queue_push(&q, &works[i]);
}

static void push(int i, srv_group *group, size_t units) { push_of(i, group, &own[i], units); }

static size_t so_many(void *ctx, const srv_group *g)
{
    const size_t *units = ctx;
    return g == held ? 0 : *units;
}

static void takes(size_t max, size_t max_units, size_t want_n, const int *want)
{
    size_t n = srv_queue_take(&q, got, max, so_many, &max_units);
    assert_int_equal(n, want_n);
    for (size_t i = 0; i < n; i++)
        assert_ptr_equal(got[i], &works[want[i]]);
}
#define TAKES(max, units, ...)                                                                     \
    takes(max, units, sizeof((int[]){__VA_ARGS__}) / sizeof(int), (int[]){__VA_ARGS__})

static int set_up(void **state)
{
    (void)state;
    srv_queue_init(&q, 20);
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    memset(flows, 0, sizeof flows);
    memset(own, 0, sizeof own);
    held = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    srv_queue_state s = srv_queue_look(&q);
    assert_int_equal(s.depth + s.waiting + s.reserved, 0);
    assert_int_equal(srv_queue_take(&q, got, 16, so_many, &(size_t){100}), 0);
    srv_queue_deinit(&q);
    return 0;
}

static void first_come_first_served(void **state)
{
    (void)state;
    push(0, &a, 1);
    push(1, &a, 2);
    push(2, &a, 3);
    srv_queue_state s = srv_queue_look(&q);
    assert_int_equal(s.depth, 3);
    assert_int_equal(s.waiting, 6);
    assert_int_equal(s.limit, 20);
    assert_true(works[0].pushed > 0);
    TAKES(2, 100, 0, 1);
    push(3, &a, 1);
    TAKES(16, 100, 2, 3);
}

static void a_batch_holds_so_many_units(void **state)
{
    (void)state;
    push(0, &a, 5);
    push(1, &a, 4);
    push(2, &a, 2);
    push(3, &a, 1);
    TAKES(16, 10, 0, 1); /* 3 would fit, but not before 2 */
    TAKES(16, 1, 2);     /* the oldest goes whatever its size */
    TAKES(16, 10, 3);
}

static void a_batch_is_of_one_group(void **state)
{
    (void)state;
    push(0, &a, 1);
    push(1, &b, 1);
    push(2, &a, 1);
    push(3, &b, 1);
    TAKES(16, 10, 0, 2);
    push(4, &b, 1); /* the list's end is known after a removal from it */
    TAKES(16, 10, 1, 3, 4);
}

/* Each group gets as much as the other, however many works wait in it; one that was away has no
 * claim to what it did not use. */
static void groups_get_as_much(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++)
        push(i, &a, 1);
    TAKES(16, 2, 0, 1);
    TAKES(16, 2, 2, 3);
    push(8, &b, 1);
    push(9, &b, 1);
    push(10, &b, 1);
    TAKES(16, 1, 8); /* b starts where a was when it came */
    TAKES(16, 1, 9);
    TAKES(16, 2, 4, 5);
    TAKES(16, 1, 10);
    TAKES(16, 2, 6, 7);
}

static void a_group_that_may_not_run_is_passed_over(void **state)
{
    (void)state;
    push(0, &a, 1);
    push(1, &b, 1);
    held = &a;
    TAKES(16, 5, 1);
    assert_int_equal(srv_queue_take(&q, got, 16, so_many, &(size_t){5}), 0);
    held = NULL;
    TAKES(16, 5, 0);
}

/* One request of many pictures does not keep others waiting for all of them. */
static void flows_get_as_much(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++)
        push_of(i, &a, &flows[0], 1);
    push_of(6, &a, &flows[1], 1);
    push_of(7, &a, &flows[1], 1);
    TAKES(16, 4, 0, 6, 1, 7);
    push(8, &a, 1); /* new ones come before what a flow has left over */
    TAKES(16, 2, 2, 8);
    TAKES(16, 16, 3, 4, 5);
}

static void refuses_above_its_limit(void **state)
{
    prelu_err err = {0};
    (void)state;
    check_ok(srv_queue_reserve(&q, 15, &err), &err);
    check_fails(srv_queue_reserve(&q, 6, &err), PRELU_E_BUSY, &err);
    check_ok(srv_queue_reserve(&q, 5, &err), &err);
    check_fails(srv_queue_reserve(&q, 1, &err), PRELU_E_BUSY, &err);
    check_fails(srv_queue_reserve(&q, SIZE_MAX, &err), PRELU_E_BUSY, &err);
    srv_queue_release(&q, 20);
    /* One that is larger than the whole queue is let into an empty one, and nothing beside it. */
    check_ok(srv_queue_reserve(&q, 500, &err), &err);
    check_fails(srv_queue_reserve(&q, 1, &err), PRELU_E_BUSY, &err);
    srv_queue_release(&q, 500);
}

enum { PRODUCERS = 4, EACH = 500 };
static srv_work many[PRODUCERS][EACH];
static srv_flow theirs[PRODUCERS];

static void *produce(void *arg)
{
    srv_work *mine = arg;
    for (int i = 0; i < EACH; i++) {
        mine[i] = (srv_work){.group = &a, .flow = &theirs[(mine - &many[0][0]) / EACH], .units = 1};
        while (srv_queue_reserve(&q, 1, NULL))
            sched_yield();
        srv_queue_push(&q, &mine[i]);
    }
    return NULL;
}

/* From several threads: everything comes out once, in each producer's order. */
static void nothing_is_lost_between_threads(void **state)
{
    pthread_t threads[PRODUCERS];
    size_t next[PRODUCERS] = {0}, total = 0;
    (void)state;
    q.limit = PRODUCERS * EACH / 4;
    for (int i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, produce, many[i]), 0);
    while (total < PRODUCERS * EACH) {
        size_t n = srv_queue_take(&q, got, 16, so_many, &(size_t){7});
        assert_true(n <= 7);
        for (size_t i = 0; i < n; i++) {
            size_t p = (size_t)(got[i] - &many[0][0]) / EACH;
            assert_ptr_equal(got[i], &many[p][next[p]]);
            next[p]++;
        }
        total += n;
    }
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(first_come_first_served),
        T(a_batch_holds_so_many_units),
        T(a_batch_is_of_one_group),
        T(groups_get_as_much),
        T(a_group_that_may_not_run_is_passed_over),
        T(flows_get_as_much),
        T(refuses_above_its_limit),
        T(nothing_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
