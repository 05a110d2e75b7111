/* Gaussian numbers: the same bits everywhere, and Gaussian. */
#include "check.h"
#include "gauss.h"

enum { COUNT = 200000 };

static uint64_t fnv(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

/* A digest recorded once: another machine, compiler or C library must give it too. */
static void test_bits(void **state)
{
    float *x = malloc(COUNT * sizeof *x);
    (void)state;
    mdl_gauss_fill(x, COUNT, 1.0, 42, "conv1.w");
    assert_int_equal(fnv(x, COUNT * sizeof *x), 0xa35d871338a6a486u);
    free(x);
}

static void test_distribution(void **state)
{
    /* P(X < q) at q = -2.5 .. 2.5 from erfc, against counts; standard error at most 0.0012 */
    float *x = malloc(COUNT * sizeof *x);
    double sum = 0, squares = 0, fourth = 0;
    (void)state;
    mdl_gauss_fill(x, COUNT, 2.0, 5, "w");
    for (int i = 0; i < COUNT; i++) {
        double v = (double)x[i] / 2;
        sum += v;
        squares += v * v;
        fourth += v * v * v * v;
    }
    check_near(sum / COUNT, 0, 0.01);
    check_near(squares / COUNT, 1, 0.015);
    check_near(fourth / COUNT, 3, 0.12);
    for (double q = -2.5; q <= 2.5; q += 0.5) {
        int below = 0;
        for (int i = 0; i < COUNT; i++)
            below += (double)x[i] / 2 < q;
        check_near((double)below / COUNT, 0.5 * erfc(-q / sqrt(2)), 0.005);
    }
    free(x);
}

/* Element i depends on (seed, stream, i) only: a longer fill begins with the shorter one. */
static void test_counter(void **state)
{
    float a[100], b[50], c[50];
    (void)state;
    mdl_gauss_fill(a, 100, 1, 9, "w");
    mdl_gauss_fill(b, 50, 1, 9, "w");
    mdl_gauss_fill(c, 50, 1, 9, "v");
    assert_memory_equal(a, b, sizeof b);
    assert_memory_not_equal(b, c, sizeof b);
    mdl_gauss_fill(c, 50, 1, 10, "w");
    assert_memory_not_equal(b, c, sizeof b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits),
                                       cmocka_unit_test(test_distribution),
                                       cmocka_unit_test(test_counter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
