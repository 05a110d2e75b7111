#include "check.h"
#include "limiter.h"
#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

static int take(srv_limiter *l, const char *who, int n, int64_t now, int *later)
{
    int taken = 0;
    for (int i = 0; i < n; i++)
        taken += srv_limiter_take(l, who, strlen(who), now, later);
    return taken;
}

static void each_client_has_its_share(void **state)
{
    srv_limiter *l = NULL;
    int later = 0;
    (void)state;
    assert_int_equal(srv_limiter_create(&l, 3, NULL), PRELU_OK);
    assert_int_equal(take(l, "ann", 9, SECOND, &later), 3);
    assert_int_equal(later, 1);
    assert_int_equal(take(l, "bob", 9, SECOND, &later), 3);
    assert_int_equal(take(l, "ann", 9, SECOND + SECOND / 2, &later), 1);
    assert_int_equal(take(l, "ann", 9, 100 * SECOND, &later), 3);
    srv_limiter_destroy(&l);
    assert_null(l);
    srv_limiter_destroy(&l);
}

/* However many come, one that asks all the time stays bounded. */
static void many_clients(void **state)
{
    srv_limiter *l = NULL;
    int later, taken = 0;
    char who[16];
    (void)state;
    assert_int_equal(srv_limiter_create(&l, 1, NULL), PRELU_OK);
    for (int i = 0; i < 20000; i++) {
        snprintf(who, sizeof who, "%d", i);
        assert_true(take(l, who, 1, SECOND + i, &later) <= 1);
        taken += take(l, "ann", 1, SECOND + i, &later);
    }
    assert_in_range(taken, 1, 200);
    srv_limiter_destroy(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_client_has_its_share),
                                       cmocka_unit_test(many_clients)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
