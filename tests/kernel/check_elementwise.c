#include "check_elementwise.h"
#include "check.h"

static char text[256];
#define WRONG(...) (snprintf(text, sizeof text, __VA_ARGS__), text)

static const size_t widths[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 100, 255};
static const size_t heights[] = {1, 2, 5};
enum { N_WIDTHS = sizeof widths / sizeof *widths, N_HEIGHTS = sizeof heights / sizeof *heights };

static float special(size_t i, uint64_t *seed)
{
    static const float values[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-40f, -1e-40f, -1.0f};
    return i % 11 < 8 ? values[i % 11] : check_random_float(seed, -4, 4);
}

/* Bit for bit, but for NaNs: a NaN is a NaN. */
static bool same(float a, float b) { return (a != a && b != b) || memcmp(&a, &b, sizeof a) == 0; }

static bool band_ok(const void *data, size_t len)
{
    const uint8_t *p = data;
    for (int i = 0; i < CHECK_BAND; i++)
        if (p[-i - 1] != 0xa5 || p[len + (size_t)i] != 0xa5)
            return false;
    return true;
}

static const char *prelu_case(krn_prelu_f32_fn *fn, size_t rows, size_t c, bool in_place,
                              bool specials)
{
    static const float slopes[] = {0.25f, 0.0f, 1.0f, -0.5f, 1.5f};
    const size_t n = rows * c, len = n * sizeof(float);
    float *x = check_guard_new(len), *y = in_place ? x : check_guard_new(len);
    float *a = check_guard_new(c * sizeof(float)), *want = malloc(len);
    uint64_t seed = check_seed() + c;
    const char *wrong = NULL;
    for (size_t j = 0; j < c; j++)
        a[j] = slopes[(j + rows) % 5];
    for (size_t i = 0; i < n; i++) {
        x[i] = specials ? special(i, &seed) : check_random_float(&seed, -4, 4);
        want[i] = x[i] > 0 ? x[i] : a[i % c] * x[i];
    }
    fn(y, x, a, rows, c);
    for (size_t i = 0; i < n && !wrong; i++)
        if (!same(y[i], want[i]))
            wrong = WRONG("%zux%zu: y[%zu] = %g, not %g (slope %g)%s", rows, c, i, (double)y[i],
                          (double)want[i], (double)a[i % c], in_place ? ", in place" : "");
    if (!wrong && (!band_ok(y, len) || !band_ok(x, len) || !band_ok(a, c * sizeof(float))))
        wrong = WRONG("%zux%zu: writes outside", rows, c);
    check_guard_free(x);
    check_guard_free(a);
    if (!in_place)
        check_guard_free(y);
    free(want);
    return wrong;
}

const char *check_prelu_f32_text(krn_prelu_f32_fn *fn)
{
    const char *wrong = NULL;
    for (int w = 0; w < N_WIDTHS; w++)
        for (int h = 0; h < N_HEIGHTS; h++)
            for (int kind = 0; kind < 4 && !wrong; kind++)
                wrong = prelu_case(fn, heights[h], widths[w], kind & 1, kind & 2);
    return wrong;
}

static double row_value(size_t i, int kind, uint64_t *seed)
{
    const double v = (double)check_random_float(seed, -8, 8);
    if (kind == 1) /* exp would overflow, and mostly underflows */
        return v * 100;
    if (kind == 2)
        return i % 3 ? (double)-INFINITY : v;
    return v;
}

/* Against double: an exp of 2 ulp, a rounded scale and a rounded product. */
static const char *softmax_row_wrong(const float *y, const float *x, size_t c)
{
    double max = (double)x[0], sum = 0, all = 0;
    for (size_t j = 1; j < c; j++)
        max = (double)x[j] > max ? (double)x[j] : max;
    for (size_t j = 0; j < c; j++)
        sum += exp((double)x[j] - max);
    for (size_t j = 0; j < c; j++) {
        /* x - max is rounded to float: half an ulp of it is the exp's relative error */
        const double d = (double)x[j] - max, want = exp(d) / sum;
        const double tol = want * (8 + (d > -200 ? -d : 0)) * 0x1p-24 + 1e-44;
        if (!(fabs((double)y[j] - want) <= tol))
            return WRONG("of %zu: y[%zu] = %.9g, not %.9g", c, j, (double)y[j], want);
        all += (double)y[j];
    }
    if (!(fabs(all - 1) < 1e-5))
        return WRONG("of %zu: the sum is %.9g", c, all);
    return NULL;
}

static const char *softmax_case(krn_softmax_f32_fn *fn, size_t rows, size_t c, bool in_place,
                                int kind)
{
    const size_t n = rows * c, len = n * sizeof(float);
    float *x = check_guard_new(len), *y = in_place ? x : check_guard_new(len), *given = malloc(len);
    uint64_t seed = check_seed() + c;
    const char *wrong = NULL;
    for (size_t i = 0; i < n; i++)
        given[i] = x[i] = (float)row_value(i % c, kind, &seed);
    fn(y, x, rows, c);
    for (size_t r = 0; r < rows && !wrong; r++)
        wrong = softmax_row_wrong(y + r * c, given + r * c, c);
    if (!wrong && (!band_ok(y, len) || !band_ok(x, len)))
        wrong = WRONG("%zux%zu: writes outside", rows, c);
    check_guard_free(x);
    if (!in_place)
        check_guard_free(y);
    free(given);
    return wrong;
}

/* A row's bits do not depend on the rows beside it; a NaN stays in its row and fills it. */
static const char *softmax_rows(krn_softmax_f32_fn *fn, size_t c)
{
    float *x = malloc(3 * c * sizeof *x), *y = malloc(3 * c * sizeof *y);
    float *alone = malloc(c * sizeof *alone);
    uint64_t seed = check_seed() + c;
    const char *wrong = NULL;
    for (size_t i = 0; i < 3 * c; i++)
        x[i] = check_random_float(&seed, -3, 3);
    x[c + c / 2] = NAN;
    fn(y, x, 3, c);
    fn(alone, x + 2 * c, 1, c);
    if (memcmp(alone, y + 2 * c, c * sizeof *y) != 0)
        wrong = WRONG("of %zu: a row depends on its neighbours", c);
    for (size_t j = 0; j < c && !wrong; j++)
        if (y[c + j] == y[c + j] || y[j] != y[j])
            wrong = WRONG("of %zu: a NaN in row 1 gives %g there, %g in row 0", c, (double)y[c + j],
                          (double)y[j]);
    free(x);
    free(y);
    free(alone);
    return wrong;
}

const char *check_softmax_f32_text(krn_softmax_f32_fn *fn)
{
    const char *wrong = NULL;
    for (int w = 0; w < N_WIDTHS; w++) {
        for (int h = 0; h < N_HEIGHTS; h++)
            for (int kind = 0; kind < 6 && !wrong; kind++)
                wrong = softmax_case(fn, heights[h], widths[w], kind & 1, kind / 2);
        if (!wrong)
            wrong = softmax_rows(fn, widths[w]);
    }
    return wrong;
}

void check_prelu_f32(krn_prelu_f32_fn *fn, const char *name)
{
    const char *wrong = check_prelu_f32_text(fn);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}

void check_softmax_f32(krn_softmax_f32_fn *fn, const char *name)
{
    const char *wrong = check_softmax_f32_text(fn);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}
