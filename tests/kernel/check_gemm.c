#include "check_gemm.h"
#include "check.h"

static char text[256];
#define WRONG(...) (snprintf(text, sizeof text, __VA_ARGS__), text)

typedef struct problem {
    size_t m, n, k, ldc;
    bool by_rows, accumulate, integers;
    float *a, *b, *panels, *c, *got, *scale, *bias, *slope, *res;
    size_t a_len, panels_len, c_len;
    krn_epilogue ep;
    bool with_ep;
} problem;

static float value(bool integers, uint64_t *seed)
{
    return integers ? (float)check_random_int(seed, -8, 8) : check_random_float(seed, -1, 1);
}

static float a_at(const problem *p, size_t i, size_t k)
{
    return p->by_rows ? p->a[i * p->k + k] : p->a[k * p->m + i];
}

static const float slopes[5] = {0.25f, 0.0f, 1.0f, -0.5f, 1.5f};

static void make(problem *p, const krn_gemm *v, int act, uint64_t *seed)
{
    const size_t panels = (p->n + v->nr - 1) / v->nr;
    p->ldc = p->n + 3;
    p->a_len = p->m * p->k * sizeof(float);
    p->panels_len = panels * v->nr * p->k * sizeof(float);
    p->c_len = ((p->m - 1) * p->ldc + p->n) * sizeof(float); /* not the last row's gap */
    p->a = check_guard_new(p->a_len);
    p->panels = check_guard_new(p->panels_len);
    p->got = check_guard_new(p->c_len);
    p->b = malloc(p->k * p->n * sizeof(float));
    p->c = malloc(p->c_len);
    p->bias = check_guard_new(p->n * sizeof(float));
    p->slope = check_guard_new(p->n * sizeof(float));
    p->scale = check_guard_new(p->n * sizeof(float));
    p->res = check_guard_new(p->c_len);
    for (size_t i = 0; i < p->m * p->k; i++)
        p->a[i] = value(p->integers, seed);
    for (size_t i = 0; i < p->k * p->n; i++)
        p->b[i] = value(p->integers, seed);
    for (size_t j = 0; j < panels * v->nr; j++)
        for (size_t k = 0; k < p->k; k++)
            p->panels[j / v->nr * v->nr * p->k + k * v->nr + j % v->nr] =
                j < p->n ? p->b[k * p->n + j] : 7.0f; /* padding: finite, never seen */
    for (size_t i = 0; i < p->c_len / sizeof(float); i++) {
        p->c[i] = value(p->integers, seed);
        p->res[i] = value(p->integers, seed);
        p->got[i] = p->accumulate ? p->c[i] : NAN;
    }
    for (size_t j = 0; j < p->n; j++) {
        p->bias[j] = value(p->integers, seed);
        p->slope[j] = slopes[j % 5];
        p->scale[j] = j % 3 ? 0.5f : -2.0f;
    }
    p->ep = (krn_epilogue){.scale = act & 1 && act & 8 ? p->scale : NULL,
                           .bias = act & 1 ? p->bias : NULL,
                           .residual = act & 2 ? p->res : NULL,
                           .ldr = p->ldc,
                           .slope = p->slope,
                           .act = (krn_act)(act >> 2),
                           .residual_last = p->n & 1};
}

static void unmake(problem *p)
{
    check_guard_free(p->a);
    check_guard_free(p->panels);
    check_guard_free(p->got);
    check_guard_free(p->bias);
    check_guard_free(p->slope);
    check_guard_free(p->scale);
    check_guard_free(p->res);
    free(p->b);
    free(p->c);
}

static krn_gemm_args args_of(const problem *p, const krn_gemm *v)
{
    return (krn_gemm_args){.m = p->m,
                           .n = p->n,
                           .k = p->k,
                           .a = p->a,
                           .a_rs = p->by_rows ? p->k : 1,
                           .a_ks = p->by_rows ? 1 : p->m,
                           .b = p->panels,
                           .b_panel = v->nr * p->k,
                           .c = p->got,
                           .ldc = p->ldc,
                           .accumulate = p->accumulate,
                           .ep = p->with_ep ? &p->ep : NULL};
}

static const char *compare(const problem *p)
{
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            const size_t at = i * p->ldc + j;
            double sum = p->accumulate ? (double)p->c[at] : 0.0, size = fabs(sum);
            for (size_t k = 0; k < p->k; k++) {
                const double t = (double)a_at(p, i, k) * (double)p->b[k * p->n + j];
                sum += t;
                size += fabs(t);
            }
            if (p->with_ep) {
                sum *= p->ep.scale ? (double)p->scale[j] : 1.0;
                size *= 2;
                sum += p->ep.bias ? (double)p->bias[j] : 0.0;
                const double res = p->ep.residual ? (double)p->res[at] : 0.0;
                sum += p->ep.residual_last ? 0.0 : res;
                size += 2;
                if (p->ep.act == KRN_ACT_RELU && !(sum > 0))
                    sum = 0;
                if (p->ep.act == KRN_ACT_PRELU && !(sum > 0))
                    sum *= (double)p->slope[j];
                sum += p->ep.residual_last ? res : 0.0;
            }
            const double e = fabs((double)p->got[at] - sum);
            const double tol = p->integers ? 0.0 : ((double)p->k + 3) * 0x1p-24 * size;
            if (!(e <= tol))
                return WRONG("m %zu n %zu k %zu rows %d acc %d ep %d act %d [%zu,%zu]: %g, not %g",
                             p->m, p->n, p->k, p->by_rows, p->accumulate, p->with_ep,
                             (int)p->ep.act, i, j, (double)p->got[at], sum);
        }
    for (size_t i = 0; i + 1 < p->m; i++) /* between the rows nothing is written */
        for (size_t j = p->n; j < p->ldc; j++) {
            const float g = p->got[i * p->ldc + j], was = p->c[i * p->ldc + j];
            if (p->accumulate ? g != was : !isnan(g))
                return WRONG("m %zu n %zu: wrote between rows", p->m, p->n);
        }
    return NULL;
}

static bool band_broken(const void *data, size_t len)
{
    const unsigned char *b = data;
    for (size_t i = 1; i <= CHECK_BAND; i++)
        if (b[-(ptrdiff_t)i] != 0xa5 || b[len + i - 1] != 0xa5)
            return true;
    return false;
}

/* Row i alone, k in two parts, must give the bits it had among the others. */
static const char *compare_bits(const problem *p, const krn_gemm *v)
{
    float *row = malloc(p->n * sizeof *row);
    const char *wrong = NULL;
    for (size_t i = 0; i < p->m && !wrong; i += p->m > 1 ? p->m - 1 : 1) {
        krn_gemm_args g = args_of(p, v);
        const size_t cut = p->k / 2;
        g.m = 1;
        g.a += i * g.a_rs;
        g.c = row;
        g.ldc = p->n;
        krn_epilogue ep = p->ep;
        ep.residual = ep.residual ? ep.residual + i * p->ldc : NULL;
        memcpy(row, p->c + i * p->ldc, p->n * sizeof *row);
        if (cut) {
            g.k = cut;
            g.ep = NULL;
            v->run(&g);
            g.accumulate = true;
        }
        g.a += cut * g.a_ks;
        g.b += cut * v->nr;
        g.k = p->k - cut;
        g.ep = p->with_ep ? &ep : NULL;
        v->run(&g);
        if (memcmp(row, p->got + i * p->ldc, p->n * sizeof *row) != 0)
            wrong = WRONG("m %zu n %zu k %zu: row %zu has other bits alone", p->m, p->n, p->k, i);
    }
    free(row);
    return wrong;
}

static const char *one(const krn_gemm *v, problem p, int ep, bool invariant, uint64_t *seed)
{
    const char *wrong;
    make(&p, v, ep, seed);
    const krn_gemm_args g = args_of(&p, v);
    v->run(&g);
    wrong = compare(&p);
    if (!wrong && (band_broken(p.got, p.c_len) || band_broken(p.a, p.a_len) ||
                   band_broken(p.panels, p.panels_len)))
        wrong = WRONG("m %zu n %zu k %zu: wrote outside", p.m, p.n, p.k);
    if (!wrong && invariant)
        wrong = compare_bits(&p, v);
    unmake(&p);
    return wrong;
}

const char *check_gemm_f32_text(const krn_gemm *v, bool invariant)
{
    const size_t ms[] = {1, 2, v->mr > 1 ? v->mr - 1 : 3, v->mr, v->mr + 1, 2 * v->mr + 3};
    const size_t ns[] = {1, 2, v->nr > 1 ? v->nr - 1 : 5, v->nr, v->nr + 1, 2 * v->nr + 7, 17};
    const size_t ks[] = {1, 2, 7, 64, 129, 600};
    uint64_t seed = check_seed();
    int turn = 0;
    for (size_t a = 0; a < sizeof ms / sizeof *ms; a++)
        for (size_t b = 0; b < sizeof ns / sizeof *ns; b++)
            for (size_t c = 0; c < sizeof ks / sizeof *ks; c++)
                for (int kind = 0; kind < 8; kind++, turn++) {
                    const problem p = {.m = ms[a],
                                       .n = ns[b],
                                       .k = ks[c],
                                       .by_rows = kind & 1,
                                       .accumulate = kind & 2,
                                       .integers = kind & 4,
                                       .with_ep = turn % 3 != 0};
                    const char *wrong = one(v, p, turn % 12, invariant, &seed);
                    if (wrong)
                        return wrong;
                }
    return NULL;
}
