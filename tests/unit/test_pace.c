/* When there will be room: backlog, measured speed, promises. Times are given, none is measured. */
#include "check.h"
#include "pace.h"

enum { MS = 1000000, S = 1000000000 };
static srv_pace p;

static int set_up(void **state)
{
    (void)state;
    srv_pace_init(&p);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    srv_pace_deinit(&p);
    return 0;
}

/* The machine does `speed` of predicted time in real time: for `ms` in all, in pieces of 1 ms. */
static int64_t work(int64_t now, double speed, int ms)
{
    for (int i = 0; i < ms; i++) {
        now += MS;
        srv_pace_add(&p, speed * MS, now);
        srv_pace_done(&p, speed * MS, speed * MS, now);
    }
    return now;
}

static void waits_for_what_is_admitted(void **state)
{
    (void)state;
    check_near(srv_pace_wait(&p, 5e6), 0, 0); /* nothing is in its way */
    srv_pace_add(&p, 10e6, S);
    check_near(srv_pace_wait(&p, 0), 10e6, 1);
    check_near(srv_pace_wait(&p, 5e6), 15e6, 1);
    srv_pace_done(&p, 10e6, 10e6, S + 10 * MS);
    check_near(srv_pace_wait(&p, 5e6), 0, 0);
}

/* What predictions say too much, or too little, is made up for. */
static void measures_speed(void **state)
{
    (void)state;
    srv_pace_add(&p, 100e6, S);
    int64_t now = work(S, 4, 2000);
    check_near(srv_pace_wait(&p, 0), 25e6, 1e6);
    now = work(now, 0.5, 4000);
    check_near(srv_pace_wait(&p, 0), 200e6, 8e6);
    srv_pace_done(&p, 100e6, 0, now);
    /* idle time is not slowness */
    srv_pace_add(&p, 100e6, now + 50 * (int64_t)S);
    check_near(srv_pace_wait(&p, 0), 200e6, 60e6);
}

/* The margin becomes such that two of a hundred are late, whatever predictions are worth. */
static void learns_how_far_predictions_hold(void **state)
{
    (void)state;
    double margin = 0;
    srv_pace_add(&p, 10e6, S);
    assert_true(srv_pace_surely(&p, 0) > srv_pace_wait(&p, 0));
    for (int i = 0; i < 100000; i++) { /* up to 1.4 of what was predicted, each as likely */
        srv_pace_learn(&p, 1e6, 1e6 * (0.4 + 1.0 * (double)(i * 7919 % 1000) / 1000));
        if (i >= 90000)
            margin += srv_pace_surely(&p, 0) / 10e6 / 10000;
    }
    check_near(margin, 1.38, 0.03);
    for (int i = 0; i < 10000; i++)
        srv_pace_learn(&p, 1e6, 50e6);
    assert_in_range(srv_pace_surely(&p, 0), 14e6, 16e6); /* not for ever */
    for (int i = 0; i < 10000; i++)
        srv_pace_learn(&p, 1e6, 0.5e6);
    assert_in_range(srv_pace_surely(&p, 0), 10e6, 11e6);
}

static void retries_come_when_there_is_room(void **state)
{
    (void)state;
    /* 100 units of 10 ms each are there: 1 s; the queue holds 100, a deadline is far away */
    srv_pace_add(&p, 1e9, S);
    int came[61] = {0};
    for (int i = 0; i < 400; i++) {
        const int s = srv_pace_retry_after(&p, 1, 10e6, 100, 30 * (int64_t)S, S);
        assert_in_range(s, 1, 60);
        came[s]++;
    }
    for (int s = 1, left = 400; s <= 60 && left > 0; left -= came[s++])
        assert_in_range(came[s], 0, 80);
    assert_int_equal(came[1], 80);
    /* near 20 s later promises are forgotten */
    assert_int_equal(srv_pace_retry_after(&p, 1, 10e6, 100, 30 * (int64_t)S, 200 * (int64_t)S), 1);
}

/* Who comes back during the overload would be refused again. */
static void retries_come_later_the_longer_it_lasts(void **state)
{
    (void)state;
    int s = 0;
    srv_pace_add(&p, 1e9, S);
    for (int ms = 0; ms <= 2500; ms += 500) /* there is room for all of them */
        s = srv_pace_retry_after(&p, 1, 10e6, 100, 30 * (int64_t)S, S + ms * (int64_t)MS);
    assert_int_equal(s, 4);
    assert_int_equal(srv_pace_retry_after(&p, 1, 10e6, 100, 30 * (int64_t)S, 9 * (int64_t)S), 1);
}

/* What would take longer than its deadline is told to wait until the rest is done. */
static void retries_come_when_the_deadline_can_be_met(void **state)
{
    (void)state;
    srv_pace_add(&p, 30e9, S);
    assert_in_range(srv_pace_retry_after(&p, 1, 10e6, 100000, 5 * (int64_t)S, S), 25, 27);
    srv_pace_add(&p, 300e9, S);
    assert_int_equal(srv_pace_retry_after(&p, 1, 10e6, 100000, 5 * (int64_t)S, S), 60);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(waits_for_what_is_admitted),
        T(measures_speed),
        T(learns_how_far_predictions_hold),
        T(retries_come_when_there_is_room),
        T(retries_come_later_the_longer_it_lasts),
        T(retries_come_when_the_deadline_can_be_met),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
