#include "op_run.h"

/* Gemm and MatMul against plain loops in double: every transpose, every broadcast of c, alpha,
 * beta, slopes, constant and variable b, one row and many, over every variant of the product. */

typedef struct problem {
    size_t m, n, k;
    bool ta, tb;
    float alpha, beta;
    prelu_shape c; /* rank -1: none */
    int act;
} problem;

static float *randoms(size_t n, uint64_t *seed)
{
    float *p = malloc((n + 1) * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = check_random_float(seed, -1, 1);
    return p;
}

static void one(const problem *p, const krn_table *krn, bool packed, prelu_precision precision,
                uint64_t seed)
{
    const prelu_shape as = {2, {(int64_t)(p->ta ? p->k : p->m), (int64_t)(p->ta ? p->m : p->k)}};
    const prelu_shape bs = {2, {(int64_t)(p->tb ? p->n : p->k), (int64_t)(p->tb ? p->k : p->n)}};
    const prelu_shape ss = {1, {(int64_t)p->n}};
    const bool has_c = p->c.rank >= 0;
    float *a = randoms(p->m * p->k, &seed), *b = randoms(p->k * p->n, &seed);
    float *c = randoms(has_c ? op_run_count(&p->c) : 0, &seed), *slope = randoms(p->n, &seed);
    const prelu_attr attrs[] = {PRELU_INT("transA", p->ta), PRELU_INT("transB", p->tb),
                                PRELU_FLOAT("alpha", p->alpha), PRELU_FLOAT("beta", p->beta),
                                PRELU_INT("act", p->act)};
    op_run r = {.precision = precision,
                .krn = krn,
                .constant = packed ? 0x0e : 0,
                .in = {{.data = a, .shape = as},
                       {.data = b, .shape = bs},
                       {.data = has_c ? c : NULL, .shape = p->c},
                       {.data = p->act == KRN_ACT_PRELU ? slope : NULL, .shape = ss}}};
    prelu_err err = {0};
    r.file_order[1] = b;
    r.file_order[2] = has_c ? c : NULL;
    r.file_order[3] = r.in[3].data;
    if (p->act != KRN_ACT_PRELU)
        r.in[3].shape.rank = -1;
    r.backwards = p->m % 2;
    check_ok(op_run_go(&r, "Gemm", 4, 1, attrs, 5, &err), &err);
    const size_t rows = has_c && p->c.rank == 2 ? (size_t)p->c.dim[0] : 1;
    const size_t cols = has_c && p->c.rank >= 1 ? (size_t)p->c.dim[p->c.rank - 1] : 1;
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            double sum = 0, size = 4;
            for (size_t k = 0; k < p->k; k++) {
                const double t = (double)a[p->ta ? k * p->m + i : i * p->k + k] *
                                 (double)b[p->tb ? j * p->k + k : k * p->n + j];
                sum += t;
                size += fabs(t);
            }
            sum *= (double)p->alpha;
            if (has_c)
                sum +=
                    (double)p->beta * (double)c[(rows == 1 ? 0 : i) * cols + (cols == 1 ? 0 : j)];
            if (p->act == KRN_ACT_PRELU && !(sum > 0))
                sum *= (double)slope[j];
            if (p->act == KRN_ACT_RELU && !(sum > 0))
                sum = 0;
            /* bf16 rounds each operand by at most 2^-9 of it; int8 by half a step of 1/127 */
            const double rounding = precision == PRELU_PRECISION_BF16     ? 2.1 * 0x1p-9
                                    : precision == PRELU_PRECISION_INT8FC ? 0.5 / 127 * 1.01
                                                                          : 0.0;
            const double tol = (((double)p->k + 8) * 0x1p-24 + rounding) * size +
                               (precision == PRELU_PRECISION_INT8FC ? rounding * (double)p->k : 0);
            check_near(((float *)r.out[0].data)[i * p->n + j], sum, tol);
        }
    op_run_free(&r);
    free(a);
    free(b);
    free(c);
    free(slope);
}

static void test_against_loops(void **state)
{
    static const size_t sizes[][3] = {{1, 1, 1},     {1, 10, 700},   {2, 33, 5},
                                      {3, 64, 300},  {5, 7, 600},    {16, 40, 31},
                                      {17, 1000, 9}, {33, 300, 130}, {130, 65, 40}};
    krn_table tables[8];
    const int n = op_run_tables(tables);
    uint64_t seed = check_seed();
    (void)state;
    for (int t = 0; t < n; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int kind = 0; kind < 24; kind++) {
                problem p = {.m = sizes[s][0],
                             .n = sizes[s][1],
                             .k = sizes[s][2],
                             .ta = kind & 1,
                             .tb = kind & 2,
                             .alpha = kind % 5 == 4 ? 0.5f : 1.0f,
                             .beta = kind % 7 == 6 ? -2.0f : 1.0f,
                             .act = kind % 3};
                const int64_t m = (int64_t)p.m, c = (int64_t)p.n;
                const prelu_shape cs[] = {{-1, {0}},   {1, {c}},    {2, {1, c}},
                                          {2, {m, c}}, {2, {m, 1}}, {0, {0}}};
                p.c = cs[kind / 4];
                one(&p, &tables[t], true, PRELU_PRECISION_FP32, seed++);
                one(&p, &tables[t], false, PRELU_PRECISION_FP32, seed++);
                one(&p, &tables[t], true, PRELU_PRECISION_BF16, seed++);
                one(&p, &tables[t], true, PRELU_PRECISION_INT8FC, seed++);
            }
}

static void test_bad_shapes(void **state)
{
    op_run r = {.in = {{.shape = {2, {2, 3}}}, {.shape = {2, {4, 5}}}, {.shape = {1, {5}}}}};
    prelu_err err = {0};
    (void)state;
    check_fails(op_run_go(&r, "Gemm", 3, 1, NULL, 0, &err), PRELU_E_FORMAT, &err);
    r.in[1].shape = (prelu_shape){2, {3, 5}};
    r.in[2].shape = (prelu_shape){1, {4}};
    check_fails(op_run_go(&r, "Gemm", 3, 1, NULL, 0, &err), PRELU_E_FORMAT, &err);
    r.in[0].shape = (prelu_shape){3, {1, 2, 3}};
    check_fails(op_run_go(&r, "MatMul", 2, 1, NULL, 0, &err), PRELU_E_FORMAT, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_loops),
                                       cmocka_unit_test(test_bad_shapes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
