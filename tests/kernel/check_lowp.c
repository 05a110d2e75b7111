#include "check_lowp.h"
#include "check.h"

static char text[256];
#define WRONG(...) (snprintf(text, sizeof text, __VA_ARGS__), text)

/* One problem for either product: operands as floats that the dtype holds exactly. */
typedef struct problem {
    size_t m, n, k, nr, ldc;
    bool accumulate, integers;
    int ep; /* bit 0 bias, 1 residual, act above */
    float *a, *b, *c, *bias, *slope, *res, *scale;
} problem;

/* How a product is called on rows from..from+m-1, k in `parts`. */
typedef void call_fn(const void *variant, const problem *p, const void *packed, size_t from,
                     size_t m, float *c, size_t ldc, size_t parts);

static float bf16_value(bool integers, uint64_t *seed)
{
    if (integers)
        return (float)check_random_int(seed, -8, 8);
    float f = check_random_float(seed, -1, 1);
    uint16_t h;
    krn_to_bf16__ref(&h, &f, 1);
    const uint32_t bits = (uint32_t)h << 16;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float *values(size_t n, bool integers, uint64_t *seed)
{
    float *p = malloc((n + 1) * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = bf16_value(integers, seed);
    return p;
}

static problem make(size_t m, size_t n, size_t k, size_t nr, int turn, uint64_t *seed)
{
    static const float slopes[5] = {0.25f, 0.0f, 1.0f, -0.5f, 1.5f};
    problem p = {.m = m,
                 .n = n,
                 .k = k,
                 .nr = nr,
                 .ldc = n + 3,
                 .accumulate = turn & 1,
                 .integers = turn & 2,
                 .ep = turn % 13};
    p.a = values(m * k, p.integers, seed);
    p.b = values(n * k, p.integers, seed);
    p.c = values(m * p.ldc, p.integers, seed);
    p.res = values(m * p.ldc, p.integers, seed);
    p.bias = values(n, p.integers, seed);
    p.scale = values(n, p.integers, seed);
    p.slope = values(n, true, seed);
    for (size_t j = 0; j < n; j++)
        p.slope[j] = slopes[j % 5];
    return p;
}

static void unmake(problem *p)
{
    float *all[] = {p->a, p->b, p->c, p->res, p->bias, p->scale, p->slope};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static krn_epilogue epilogue(const problem *p, size_t from)
{
    return (krn_epilogue){.bias = p->ep & 1 ? p->bias : NULL,
                          .residual = p->ep & 2 ? p->res + from * p->ldc : NULL,
                          .ldr = p->ldc,
                          .slope = p->slope,
                          .act = (krn_act)(p->ep >> 2),
                          .residual_last = p->n & 1};
}

static double want_at(const problem *p, size_t i, size_t j, bool scaled, double *size)
{
    double s = p->accumulate ? (double)p->c[i * p->ldc + j] : 0.0;
    *size = fabs(s);
    for (size_t k = 0; k < p->k; k++) {
        const double t = (double)p->a[i * p->k + k] * (double)p->b[j * p->k + k];
        s += t;
        *size += fabs(t);
    }
    if (scaled) {
        s *= (double)p->scale[j];
        *size = (*size + 1) * (fabs((double)p->scale[j]) + 1);
    }
    if (p->ep < 12) { /* 12: no epilogue */
        s += p->ep & 1 ? (double)p->bias[j] : 0.0;
        const double res = p->ep & 2 ? (double)p->res[i * p->ldc + j] : 0.0;
        s += p->n & 1 ? 0.0 : res;
        *size += 2;
        if (p->ep >> 2 == KRN_ACT_RELU && !(s > 0))
            s = 0;
        if (p->ep >> 2 == KRN_ACT_PRELU && !(s > 0))
            s *= (double)p->slope[j];
        s += p->n & 1 ? res : 0.0;
    }
    return s;
}

static const char *try_one(const void *variant, call_fn *call, const problem *p, const void *packed,
                           bool scaled)
{
    const size_t len = ((p->m - 1) * p->ldc + p->n) * sizeof(float);
    float *got = check_guard_new(len), *alone = malloc(p->n * sizeof *alone);
    const char *wrong = NULL;
    for (size_t i = 0; i < len / sizeof *got; i++)
        got[i] = p->accumulate ? p->c[i] : NAN;
    call(variant, p, packed, 0, p->m, got, p->ldc, 1);
    for (size_t i = 0; i < p->m && !wrong; i++)
        for (size_t j = 0; j < p->n && !wrong; j++) {
            double size;
            const double want = want_at(p, i, j, scaled, &size), g = (double)got[i * p->ldc + j];
            const double tol = p->integers ? 0.0 : ((double)p->k + 3) * 0x1p-23 * size;
            if (!(fabs(g - want) <= tol))
                wrong = WRONG("m %zu n %zu k %zu acc %d ep %d [%zu,%zu]: %g, not %g", p->m, p->n,
                              p->k, p->accumulate, p->ep, i, j, g, want);
        }
    for (size_t i = 1; i <= CHECK_BAND && !wrong; i++)
        if (((unsigned char *)got)[-(ptrdiff_t)i] != 0xa5 ||
            ((unsigned char *)got)[len + i - 1] != 0xa5)
            wrong = WRONG("m %zu n %zu: wrote outside", p->m, p->n);
    for (size_t i = 0; i < p->m && !wrong; i += p->m > 1 ? p->m - 1 : 1) {
        memcpy(alone, p->c + i * p->ldc, p->n * sizeof *alone);
        call(variant, p, packed, i, 1, alone, p->n, 2);
        if (memcmp(alone, got + i * p->ldc, p->n * sizeof *alone) != 0)
            wrong = WRONG("m %zu n %zu k %zu: row %zu has other bits alone", p->m, p->n, p->k, i);
    }
    check_guard_free(got);
    free(alone);
    return wrong;
}

/* ---- bf16 ---- */

/* Layouts of a: plain; steps of k in reverse order, as a_at tells; and rows with gaps of NaN
 * between the runs. Sums must be the same. */
typedef struct packed_bf16 {
    uint16_t *a, *b;
    size_t panel, len, gap, *at;
    uint16_t *c16; /* where results go instead */
} packed_bf16;

/* Row of a for row i of c. */
static size_t spread_row(const packed_bf16 *k, size_t i)
{
    return k->gap ? i / k->len * (k->len + k->gap) + i % k->len : i;
}

static void call_bf16(const void *variant, const problem *p, const void *packed, size_t from,
                      size_t m, float *c, size_t ldc, size_t parts)
{
    const krn_gemm_bf16 *v = variant;
    const packed_bf16 *k = packed;
    const krn_epilogue ep = epilogue(p, from);
    const size_t cut = parts > 1 ? p->k / 2 / KRN_BF16_K * KRN_BF16_K : 0;
    krn_gemm_bf16_args g = {.m = spread_row(k, m - 1) + 1,
                            .n = p->n,
                            .k = cut,
                            .a = k->a + spread_row(k, from) * p->k,
                            .a_at = k->at,
                            .b = k->b,
                            .a_rs = p->k,
                            .b_panel = k->panel,
                            .c = c,
                            .ldc = ldc,
                            .row_len = k->len,
                            .row_gap = k->gap,
                            .accumulate = p->accumulate};
    if (cut) {
        v->run(&g);
        g.accumulate = true;
    }
    if (k->at)
        g.a_at += cut / KRN_BF16_K;
    else
        g.a += cut;
    g.b += cut * v->nr;
    g.k = p->k - cut;
    g.ep = p->ep < 12 ? &ep : NULL;
    if (k->c16) {
        g.c16 = k->c16;
        g.c = NULL;
    }
    v->run(&g);
}

/* c16 must be c, rounded. */
static const char *bf16_result(const krn_gemm_bf16 *v, const problem *p, packed_bf16 *k)
{
    const size_t len = (p->m - 1) * p->ldc + p->n;
    float *c = malloc(len * sizeof *c);
    uint16_t *want = malloc(len * sizeof *want);
    const char *wrong = NULL;
    for (size_t i = 0; i < len; i++)
        c[i] = 1.0f;
    call_bf16(v, p, k, 0, p->m, c, p->ldc, 1);
    krn_to_bf16__ref(want, c, len);
    k->c16 = check_guard_new(len * sizeof *k->c16);
    for (size_t i = 0; i < len; i++)
        k->c16[i] = 0x3f80;
    call_bf16(v, p, k, 0, p->m, NULL, p->ldc, 1);
    for (size_t i = 0; i < len && !wrong; i++)
        if (k->c16[i] != want[i])
            wrong = WRONG("m %zu n %zu k %zu: bf16 result %zu is %#x, not %#x", p->m, p->n, p->k, i,
                          k->c16[i], want[i]);
    check_guard_intact(k->c16, len * sizeof *k->c16);
    check_guard_free(k->c16);
    k->c16 = NULL;
    free(c);
    free(want);
    return wrong;
}

static const char *bf16_case(const krn_gemm_bf16 *v, const problem *p, int turn)
{
    const size_t panels = (p->n + v->nr - 1) / v->nr, len = panels * v->nr * p->k;
    const size_t steps = p->k / KRN_BF16_K;
    packed_bf16 k = {.panel = v->nr * p->k, .len = 1 + (size_t)turn % 5, .gap = (size_t)turn % 3};
    const size_t rows = spread_row(&k, p->m - 1) + 1;
    k.a = check_guard_new(rows * p->k * 2);
    k.b = check_guard_new(len * 2);
    k.at = turn % 4 == 3 ? malloc(steps * sizeof *k.at) : NULL;
    for (size_t s = 0; s < steps && k.at; s++)
        k.at[s] = (steps - 1 - s) * KRN_BF16_K;
    memset(k.a, 0xff, rows * p->k * 2); /* NaN */
    for (size_t i = 0; i < p->m; i++)
        for (size_t s = 0; s < steps; s++)
            krn_to_bf16__ref(k.a + spread_row(&k, i) * p->k + (k.at ? k.at[s] : s * KRN_BF16_K),
                             p->a + i * p->k + s * KRN_BF16_K, KRN_BF16_K);
    memset(k.b, 0, len * 2);
    for (size_t j = 0; j < p->n; j++)
        for (size_t i = 0; i < p->k; i++) {
            const size_t in = v->nr == 1 ? i : i / 2 * 2 * v->nr + j % v->nr * 2 + i % 2;
            krn_to_bf16__ref(&k.b[j / v->nr * k.panel + in], &p->b[j * p->k + i], 1);
        }
    const char *wrong = try_one(v, call_bf16, p, &k, false);
    if (!wrong && !p->accumulate)
        wrong = bf16_result(v, p, &k);
    check_guard_free(k.a);
    check_guard_free(k.b);
    free(k.at);
    return wrong;
}

/* ---- narrow weights ---- */

typedef struct packed_narrow {
    const krn_gemm *wide; /* does it on widened panels instead, if not NULL */
    const void *b;
    size_t len; /* elements */
    float *panels;
} packed_narrow;

static void call_narrow(const void *variant, const problem *p, const void *packed, size_t from,
                        size_t m, float *c, size_t ldc, size_t parts)
{
    const krn_gemm_narrow *v = variant;
    const packed_narrow *k = packed;
    krn_epilogue ep = epilogue(p, from);
    const size_t cut = parts > 1 ? p->k / 2 : 0;
    if (p->ep == 12)
        ep = (krn_epilogue){.act = KRN_ACT_NONE};
    ep.scale = v->width == 1 ? p->scale : NULL;
    for (size_t at = 0, end = cut; at < p->k; at = end, end = p->k) {
        const krn_gemm_narrow_args g = {.m = m,
                                        .n = p->n,
                                        .k = end - at,
                                        .a = p->a + from * p->k + at,
                                        .a_rs = p->k,
                                        .b = (const char *)k->b + at * v->nr * v->width,
                                        .b_panel = v->nr * p->k,
                                        .c = c,
                                        .ldc = ldc,
                                        .accumulate = p->accumulate || at > 0,
                                        .ep = end == p->k && (ep.scale || p->ep < 12) ? &ep : NULL};
        const krn_gemm_args w = {.m = m,
                                 .n = p->n,
                                 .k = g.k,
                                 .a = g.a,
                                 .a_rs = g.a_rs,
                                 .a_ks = 1,
                                 .b = k->panels ? k->panels + at * v->nr : NULL,
                                 .b_panel = g.b_panel,
                                 .c = c,
                                 .ldc = ldc,
                                 .accumulate = g.accumulate,
                                 .ep = g.ep};
        if (k->wide)
            k->wide->run(&w);
        else if (g.k)
            v->run(&g);
    }
}

/* Widened panels and the f32 product give the same bits. */
static const char *wide_case(const krn_gemm_narrow *v, const problem *p, packed_narrow *k,
                             const krn_gemm *wide)
{
    const size_t len = (p->m - 1) * p->ldc + p->n;
    float *c[2] = {malloc(len * sizeof(float)), malloc(len * sizeof(float))};
    const char *wrong = NULL;
    k->panels = check_guard_new(k->len * sizeof(float));
    v->widen(k->panels, k->b, k->len);
    check_guard_intact(k->panels, k->len * sizeof(float));
    for (int i = 0; i < 2; i++) {
        memcpy(c[i], p->c, len * sizeof(float));
        k->wide = i ? wide : NULL;
        call_narrow(v, p, k, 0, p->m, c[i], p->ldc, 1);
    }
    if (memcmp(c[0], c[1], len * sizeof(float)) != 0)
        wrong = WRONG("m %zu n %zu k %zu: other bits than on widened panels", p->m, p->n, p->k);
    check_guard_free(k->panels);
    k->panels = NULL;
    k->wide = NULL;
    free(c[0]);
    free(c[1]);
    return wrong;
}

static const char *narrow_case(const krn_gemm_narrow *v, problem *p, const krn_gemm *wide,
                               uint64_t *seed)
{
    const size_t panels = (p->n + v->nr - 1) / v->nr;
    packed_narrow k = {.len = panels * v->nr * p->k};
    void *b = check_guard_new(k.len * v->width);
    k.b = b;
    memset(b, 0, k.len * v->width);
    for (size_t j = 0; j < p->n; j++)
        for (size_t i = 0; i < p->k; i++) {
            float *w = &p->b[j * p->k + i];
            const size_t at = j / v->nr * v->nr * p->k + i * v->nr + j % v->nr;
            if (v->width == 2) {
                krn_to_bf16__ref((uint16_t *)b + at, w, 1);
                continue;
            }
            *w = p->integers ? *w : (float)check_random_int(seed, -128, 127);
            ((int8_t *)b)[at] = (int8_t)*w;
        }
    const char *wrong = try_one(v, call_narrow, p, &k, v->width == 1);
    if (!wrong && wide)
        wrong = wide_case(v, p, &k, wide);
    check_guard_free(b);
    return wrong;
}

static const char *all_sizes(size_t mr, size_t nr, const size_t *ks, size_t n_ks,
                             const krn_gemm_bf16 *bf16, const krn_gemm_narrow *narrow,
                             const krn_gemm *wide)
{
    const size_t ms[] = {1, 2, mr > 1 ? mr - 1 : 3, mr + 1, 2 * mr + 3, 7 * mr + 1};
    const size_t ns[] = {1, 2, nr > 1 ? nr - 1 : 5, nr, nr + 1, 17, 2 * nr + 7};
    uint64_t seed = check_seed();
    int turn = 0;
    for (size_t a = 0; a < sizeof ms / sizeof *ms; a++)
        for (size_t b = 0; b < sizeof ns / sizeof *ns; b++)
            for (size_t c = 0; c < n_ks; c++)
                for (int kind = 0; kind < 4; kind++, turn++) {
                    problem p = make(ms[a], ns[b], ks[c], nr, turn, &seed);
                    const char *wrong =
                        bf16 ? bf16_case(bf16, &p, turn) : narrow_case(narrow, &p, wide, &seed);
                    unmake(&p);
                    if (wrong)
                        return wrong;
                }
    return NULL;
}

const char *check_gemm_bf16_text(const krn_gemm_bf16 *v)
{
    static const size_t ks[] = {32, 64, 160, 608};
    return all_sizes(v->mr, v->nr, ks, 4, v, NULL, NULL);
}

const char *check_gemm_narrow_text(const krn_gemm_narrow *v, const krn_gemm *wide)
{
    static const size_t ks[] = {1, 7, 64, 601};
    return all_sizes(v->mr, v->nr, ks, 4, NULL, v, wide);
}

const char *check_to_bf16_text(krn_to_bf16_fn *fn)
{
    uint64_t seed = check_seed();
    for (size_t n = 1; n <= 67; n += n < 20 ? 1 : 11)
        for (int round = 0; round < 40; round++) {
            float *src = check_guard_new(n * 4);
            uint16_t *got = check_guard_new(n * 2);
            const char *wrong = NULL;
            for (size_t i = 0; i < n; i++) { /* every kind of float */
                const uint32_t bits = round % 4 ? (uint32_t)check_random(&seed)
                                                : (uint32_t)check_random(&seed) & 0x807fffffu;
                memcpy(&src[i], &bits, 4);
                if (round % 8 == 1)
                    src[i] = i % 2 ? INFINITY : -0.0f;
            }
            fn(got, src, n);
            for (size_t i = 0; i < n && !wrong; i++) {
                uint32_t bits = (uint32_t)got[i] << 16;
                float back, f = src[i];
                memcpy(&back, &bits, 4);
                if (isnan(f)               ? !isnan(back)
                    : fabsf(f) < 0x1p-126f ? (back != 0.0f || signbit(back) != signbit(f))
                    : isinf(back)          ? !(fabsf(f) > 3.3895e38f)
                                  : !(fabs((double)back - (double)f) <= fabs((double)f) * 0x1p-8))
                    wrong = WRONG("%a became %a", (double)f, (double)back);
                uint16_t ref;
                krn_to_bf16__ref(&ref, &f, 1);
                if (!wrong && ref != got[i])
                    wrong = WRONG("%a: not the reference's bits", (double)f);
            }
            check_guard_intact(got, n * 2);
            check_guard_free(src);
            check_guard_free(got);
            if (wrong)
                return wrong;
        }
    return NULL;
}

void check_gemm_bf16(const krn_gemm_bf16 *v, const char *name)
{
    const char *wrong = check_gemm_bf16_text(v);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}

/* The f32 product of the same tile, if the kernel says that it may take over. */
static const krn_gemm *wide_of(const krn_gemm_narrow *v)
{
    static const unsigned isas[] = {KRN_AVX2, KRN_AVX2 | KRN_AVX512};
    krn_table t;
    for (size_t i = 0; i < sizeof isas / sizeof *isas && v->few < SIZE_MAX; i++) {
        krn_table_init(&t, isas[i]);
        if (t.gemm_f32->nr == v->nr)
            return t.gemm_f32;
    }
    return NULL;
}

static void check_narrow(const krn_gemm_narrow *v, const char *name)
{
    const char *wrong = check_gemm_narrow_text(v, wide_of(v));
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}

void check_gemm_i8(const krn_gemm_narrow *v, const char *name) { check_narrow(v, name); }
void check_gemm_w16(const krn_gemm_narrow *v, const char *name) { check_narrow(v, name); }

void check_to_bf16(krn_to_bf16_fn *fn, const char *name)
{
    const char *wrong = check_to_bf16_text(fn);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}

/* As to_bf16, whose checker looks at every kind of float. */
const char *check_round_bf16_text(krn_round_bf16_fn *fn)
{
    uint64_t seed = check_seed();
    for (size_t n = 1; n <= 67; n += n < 20 ? 1 : 11)
        for (int round = 0; round < 40; round++) {
            float *src = check_guard_new(n * 4), *got = check_guard_new(n * 4), want[67];
            const char *wrong = NULL;
            for (size_t i = 0; i < n; i++) {
                const uint32_t bits = round % 4 ? (uint32_t)check_random(&seed)
                                                : (uint32_t)check_random(&seed) & 0x807fffffu;
                memcpy(&src[i], &bits, 4);
            }
            krn_round_bf16__ref(want, src, n);
            fn(got, src, n);
            if (memcmp(got, want, n * 4) != 0)
                wrong = WRONG("%zu floats: not the reference's bits", n);
            fn(src, src, n);
            if (!wrong && memcmp(src, want, n * 4) != 0)
                wrong = WRONG("%zu floats in place: not the reference's bits", n);
            check_guard_intact(got, n * 4);
            check_guard_intact(src, n * 4);
            check_guard_free(src);
            check_guard_free(got);
            if (wrong)
                return wrong;
        }
    return NULL;
}

void check_round_bf16(krn_round_bf16_fn *fn, const char *name)
{
    const char *wrong = check_round_bf16_text(fn);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}
