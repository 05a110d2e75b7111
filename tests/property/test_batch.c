#include "prelu/mem.h"
#include "prelu/session.h"
#include "small_net.h"

/* The contract: an image's scores have the same bits whatever shared its batch, in whatever row,
 * and however many threads ran. Run under every PRELU_CPU value. */

enum { IMAGES = 19, SIDE_H = 21, SIDE_W = 26 };

static void scores(prelu_session *s, const prelu_view *views, size_t n, float *out)
{
    prelu_err err = {0};
    check_ok(prelu_session_reshape(s, (int64_t)n, SIDE_H, SIDE_W, &err), &err);
    check_ok(prelu_session_set_views(s, views, n, &err), &err);
    check_ok(prelu_session_run(s, &err), &err);
    memcpy(out, prelu_session_output(s, 1), n * SMALL_CLASSES * sizeof *out);
}

static void try_precision(prelu_precision precision)
{
    prelu_graph *g = small_net(check_seed());
    prelu_plan *plan = NULL;
    prelu_view views[IMAGES];
    prelu_err err = {0};
    float want[IMAGES][SMALL_CLASSES], got[IMAGES * SMALL_CLASSES];
    uint8_t *px = small_views(views, IMAGES, SIDE_H, SIDE_W, 3);
    const prelu_plan_options options = {.precision = precision};
    check_ok(prelu_cpu_init(&err), &err);
    check_ok(prelu_plan_create(&plan, g, &options, &err), &err);
    prelu_graph_destroy(&g);
    for (int threads = 0; threads < 4; threads++) {
        prelu_pool *pool = NULL;
        prelu_session *s = NULL;
        check_ok(prelu_pool_create(&pool, threads, &err), &err);
        check_ok(prelu_session_create(&s, plan, pool, 0, &err), &err);
        for (size_t i = 0; i < IMAGES && threads == 0; i++)
            scores(s, &views[i], 1, want[i]);
        for (size_t n = 1; n <= IMAGES; n++)
            for (size_t first = 0; first + n <= IMAGES; first += 1 + n / 2) {
                scores(s, views + first, n, got);
                for (size_t i = 0; i < n; i++)
                    if (memcmp(got + i * SMALL_CLASSES, want[first + i], sizeof want[0]) != 0)
                        fail_msg("image %zu in row %zu of %zu, %d threads: other bits (%s)",
                                 first + i, i, n, threads, prelu_cpu_text());
            }
        prelu_session_destroy(&s);
        prelu_pool_destroy(&pool);
    }
    for (int k = 1; k < SMALL_CLASSES; k++) /* they are scores, not one number */
        assert_true(want[0][k] != want[0][0] && isfinite(want[0][k]));
    prelu_plan_destroy(&plan);
    free(px);
}

static void test_bits(void **state)
{
    (void)state;
    try_precision(PRELU_PRECISION_FP32);
    try_precision(PRELU_PRECISION_BF16);
    try_precision(PRELU_PRECISION_INT8FC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
