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

enum { MAX_ROWS = 21 };

/* Rows of small integers (many ties), some with specials, each between guard bands. */
typedef struct rows {
    float *row[MAX_ROWS], *best;
    int32_t *which;
    size_t n, c;
} rows;

static void make_rows(rows *r, size_t n, size_t c, int kind)
{
    uint64_t seed = check_seed() + n * 1000 + c;
    const size_t len = c * sizeof(float);
    r->n = n;
    r->c = c;
    r->best = check_guard_new(len);
    r->which = check_guard_new(len);
    for (size_t i = 0; i < n; i++) {
        r->row[i] = check_guard_new(len);
        for (size_t j = 0; j < c; j++)
            r->row[i][j] = kind == 0 ? (float)check_random_int(&seed, -2, 2)
                                     : special(check_random(&seed) % 11, &seed);
    }
}

/* Frees them; did nothing outside change? */
static bool free_rows(rows *r)
{
    const size_t len = r->c * sizeof(float);
    bool ok = band_ok(r->best, len) && band_ok(r->which, len);
    for (size_t i = 0; i < r->n; i++) {
        ok = ok && band_ok(r->row[i], len);
        check_guard_free(r->row[i]);
    }
    check_guard_free(r->best);
    check_guard_free(r->which);
    return ok;
}

/* The row whose value column j must have. */
static size_t winner(const rows *r, size_t j)
{
    size_t at = 0;
    for (size_t i = 1; i < r->n; i++) {
        const float v = r->row[i][j], best = r->row[at][j];
        if (best == best && (v > best || v != v))
            at = i;
    }
    return at;
}

static const char *max_case(krn_max_f32_fn *fn, size_t n, size_t c, int kind, bool in_place)
{
    rows r;
    const char *wrong = NULL;
    make_rows(&r, n, c, kind);
    float *want = malloc(c * sizeof *want), *y = in_place ? r.row[n / 2] : r.best;
    for (size_t j = 0; j < c; j++)
        want[j] = r.row[winner(&r, j)][j];
    fn(y, (const float *const *)r.row, n, c);
    for (size_t j = 0; j < c && !wrong; j++)
        if (!same(y[j], want[j]))
            wrong = WRONG("%zu rows of %zu: y[%zu] = %g, not %g", n, c, j, (double)y[j],
                          (double)want[j]);
    if (!free_rows(&r) && !wrong)
        wrong = WRONG("%zu rows of %zu: writes outside", n, c);
    free(want);
    return wrong;
}

/* All rows at once, or in two calls where the second goes on from the first. */
static const char *argmax_case(krn_argmax_f32_fn *fn, size_t n, size_t c, int kind, size_t split)
{
    rows r;
    const char *wrong = NULL;
    make_rows(&r, n, c, kind);
    if (split)
        fn(r.best, r.which, (const float *const *)r.row, split, 0, c);
    fn(r.best, r.which, (const float *const *)r.row + split, n - split, (int32_t)split, c);
    for (size_t j = 0; j < c && !wrong; j++) {
        const size_t at = winner(&r, j);
        if (r.which[j] != (int32_t)at || !same(r.best[j], r.row[at][j]))
            wrong = WRONG("%zu rows of %zu: column %zu: row %d with %g, not row %zu with %g", n, c,
                          j, r.which[j], (double)r.best[j], at, (double)r.row[at][j]);
    }
    if (!free_rows(&r) && !wrong)
        wrong = WRONG("%zu rows of %zu: writes outside", n, c);
    return wrong;
}

static const size_t row_counts[] = {1, 2, 3, 4, 9, MAX_ROWS};
enum { N_ROW_COUNTS = sizeof row_counts / sizeof *row_counts };

const char *check_max_f32_text(krn_max_f32_fn *fn)
{
    const char *wrong = NULL;
    for (int w = 0; w < N_WIDTHS; w++)
        for (int n = 0; n < N_ROW_COUNTS; n++)
            for (int kind = 0; kind < 4 && !wrong; kind++)
                wrong = max_case(fn, row_counts[n], widths[w], kind / 2, kind & 1);
    return wrong;
}

const char *check_argmax_f32_text(krn_argmax_f32_fn *fn)
{
    const char *wrong = NULL;
    for (int w = 0; w < N_WIDTHS; w++)
        for (int n = 0; n < N_ROW_COUNTS; n++)
            for (int kind = 0; kind < 4 && !wrong; kind++)
                wrong = argmax_case(fn, row_counts[n], widths[w], kind / 2,
                                    kind & 1 ? row_counts[n] / 2 : 0);
    return wrong;
}

void check_max_f32(krn_max_f32_fn *fn, const char *name)
{
    const char *wrong = check_max_f32_text(fn);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}

void check_argmax_f32(krn_argmax_f32_fn *fn, const char *name)
{
    const char *wrong = check_argmax_f32_text(fn);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
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
