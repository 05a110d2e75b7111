#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "timer.h"
#include <stdatomic.h>
#include <time.h>

enum { MS = 1000000 };
static srv_timer *timer;
static atomic_int rung, order[8];

static void nap(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * (long)MS};
    nanosleep(&t, NULL);
}

static void wait_for(int count)
{
    for (int i = 0; i < 5000 && atomic_load(&rung) < count; i++)
        nap(1);
    assert_int_equal(atomic_load(&rung), count);
}

static void note(void *ctx)
{
    atomic_store(&order[atomic_load(&rung)], (int)(intptr_t)ctx);
    atomic_fetch_add(&rung, 1);
}

static srv_alarm alarm_of(int i) { return (srv_alarm){.ring = note, .ctx = (void *)(intptr_t)i}; }

static int set_up(void **state)
{
    prelu_err err = {0};
    (void)state;
    atomic_store(&rung, 0);
    check_ok(srv_timer_create(&timer, &err), &err);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    srv_timer_destroy(&timer);
    assert_null(timer);
    srv_timer_destroy(&timer);
    return 0;
}

static void alarms_ring_in_time_and_once(void **state)
{
    srv_alarm a = alarm_of(1), b = alarm_of(2), c = alarm_of(3);
    (void)state;
    int64_t now = srv_now();
    srv_timer_arm(timer, &a, now + 60 * MS);
    srv_timer_arm(timer, &b, now + 10 * MS); /* earlier than what the thread sleeps for */
    srv_timer_arm(timer, &c, now + 120 * MS);
    wait_for(1);
    assert_true(srv_now() >= now + 10 * MS);
    wait_for(3);
    assert_true(srv_now() >= now + 120 * MS);
    assert_int_equal(order[0], 2);
    assert_int_equal(order[1], 1);
    assert_int_equal(order[2], 3);
    srv_timer_arm(timer, &a, srv_now()); /* again, at once */
    wait_for(4);
    nap(20);
    assert_int_equal(atomic_load(&rung), 4);
}

static void cancelled_and_moved_alarms(void **state)
{
    srv_alarm a = alarm_of(1), b = alarm_of(2);
    (void)state;
    srv_timer_arm(timer, &a, srv_now() + 20 * MS);
    srv_timer_arm(timer, &b, srv_now() + 20 * MS);
    srv_timer_cancel(timer, &a);
    srv_timer_cancel(timer, &a);
    srv_timer_arm(timer, &b, srv_now() + 80 * MS);
    nap(40);
    assert_int_equal(atomic_load(&rung), 0);
    wait_for(1);
    assert_int_equal(order[0], 2);
}

static void an_armed_alarm_does_not_hold_the_end(void **state)
{
    srv_alarm a = alarm_of(1);
    (void)state;
    srv_timer_arm(timer, &a, srv_now() + INT64_C(3600) * 1000 * MS);
    int64_t start = srv_now();
    srv_timer_destroy(&timer);
    assert_true(srv_now() - start < INT64_C(1000) * MS);
    assert_int_equal(atomic_load(&rung), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(alarms_ring_in_time_and_once),
        T(cancelled_and_moved_alarms),
        T(an_armed_alarm_does_not_hold_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
