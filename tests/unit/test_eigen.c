/* Principal directions: eigenvectors of known matrices, and whitening of random ones. */
#include "check.h"
#include "eigen.h"
#include <math.h>
#include <string.h>

static void known_two_by_two(void **state)
{
    double a[4] = {2, 1, 1, 2}, values[2], v[4];
    (void)state;
    mdl_eigen(a, 2, values, v);
    check_near(values[0], 3, 1e-12);
    check_near(values[1], 1, 1e-12);
    check_near(v[0], sqrt(0.5), 1e-12);
    check_near(v[1], sqrt(0.5), 1e-12);
    check_near(v[2] * v[3], -0.5, 1e-12);
}

static void diagonal_is_sorted(void **state)
{
    double a[9] = {1, 0, 0, 0, 5, 0, 0, 0, 3}, values[3], v[9];
    const double want[9] = {0, 1, 0, 0, 0, 1, 1, 0, 0};
    (void)state;
    mdl_eigen(a, 3, values, v);
    assert_true(values[0] == 5 && values[1] == 3 && values[2] == 1);
    for (int i = 0; i < 9; i++)
        check_near(v[i], want[i], 1e-12);
}

static void zero_is_no_trouble(void **state)
{
    double a[9] = {0}, values[3], v[9];
    (void)state;
    mdl_eigen(a, 3, values, v);
    for (int i = 0; i < 3; i++)
        assert_true(values[i] == 0 && v[i * 4] == 1);
}

/* M = B B^T of random B: V M V^T is the diagonal of the values, V V^T is one. */
static void random_matrices(void **state)
{
    enum { N = 27 };
    uint64_t seed = 5;
    (void)state;
    for (int round = 0; round < 5; round++) {
        static double b[N][N], m[N * N], a[N * N], v[N * N];
        double values[N];
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                b[i][j] = (double)check_random_int(&seed, -100, 100) / 100;
        for (int i = 0; i < N * N; i++) {
            m[i] = 0;
            for (int k = 0; k < N; k++)
                m[i] += b[i / N][k] * b[i % N][k];
        }
        memcpy(a, m, sizeof a);
        mdl_eigen(a, N, values, v);
        for (int i = 0; i < N; i++) {
            assert_true(!i || values[i] <= values[i - 1]);
            for (int j = 0; j < N; j++) {
                double product = 0, dot = 0;
                for (int k = 0; k < N; k++) {
                    double row = 0;
                    for (int l = 0; l < N; l++)
                        row += m[k * N + l] * v[j * N + l];
                    product += v[i * N + k] * row;
                    dot += v[i * N + k] * v[j * N + k];
                }
                check_near(dot, i == j, 1e-10);
                check_near(product, i == j ? values[i] : 0, 1e-9 * values[0]);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_two_by_two),
        cmocka_unit_test(diagonal_is_sorted),
        cmocka_unit_test(zero_is_no_trouble),
        cmocka_unit_test(random_matrices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
