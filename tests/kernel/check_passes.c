#include "check_passes.h"
#include "check.h"

static char text[256];
#define WRONG(...) (snprintf(text, sizeof text, __VA_ARGS__), text)

/* Results of one call: up to three sums, in double, and rows of floats; `n` of each. */
typedef struct results {
    double *sum[3];
    float *out;
} results;

typedef struct data {
    size_t rows, c, n;
    float *x, *dy, *mean, *by, *bias, *slope, *less, *each;
    krn_pass_norm norm;
    results got, same; /* of the variant, of the reference variant */
    double *want[3], *scale[3], *out, *out_scale;
} data;

enum { FLOATS = 8 };

static double unit(size_t terms) { return (double)(8 + terms) * 0x1p-24; }

static double *zeros(size_t n) { return calloc(n, sizeof(double)); }

static void start(results *r, size_t rows, size_t c)
{
    for (int k = 0; k < 3; k++) {
        r->sum[k] = check_guard_new(c * sizeof(double));
        for (size_t j = 0; j < c; j++)
            r->sum[k][j] = 3 + (double)j;
    }
    r->out = check_guard_new(rows * c * sizeof(float));
}

static void finish(results *r)
{
    for (int k = 0; k < 3; k++)
        check_guard_free(r->sum[k]);
    check_guard_free(r->out);
}

static void init(data *d, size_t rows, size_t c, bool slope, uint64_t *seed)
{
    static const float slopes[] = {0.25f, 0.0f, 1.0f, -0.5f, 1.5f};
    float **all[FLOATS] = {&d->x,    &d->dy,    &d->mean, &d->by,
                           &d->bias, &d->slope, &d->less, &d->each};
    *d = (data){.rows = rows, .c = c, .n = rows * c};
    for (int i = 0; i < FLOATS; i++) {
        const size_t n = i < 2 ? d->n : c;
        *all[i] = malloc(n * sizeof(float));
        for (size_t k = 0; k < n; k++)
            (*all[i])[k] = i == 5 ? slopes[k % 5] : check_random_float(seed, -2, 2);
    }
    d->norm = (krn_pass_norm){
        .mean = d->mean, .by = d->by, .bias = d->bias, .slope = slope ? d->slope : NULL};
    for (int k = 0; k < 3; k++) {
        d->want[k] = zeros(c);
        d->scale[k] = zeros(c);
        for (size_t j = 0; j < c; j++)
            d->want[k][j] = d->scale[k][j] = 3 + (double)j;
    }
    d->out = zeros(d->n);
    d->out_scale = zeros(d->n);
    start(&d->got, rows, c);
    start(&d->same, rows, c);
}

static void deinit(data *d)
{
    float *all[FLOATS] = {d->x, d->dy, d->mean, d->by, d->bias, d->slope, d->less, d->each};
    for (int i = 0; i < FLOATS; i++)
        free(all[i]);
    for (int k = 0; k < 3; k++) {
        free(d->want[k]);
        free(d->scale[k]);
    }
    free(d->out);
    free(d->out_scale);
    finish(&d->got);
    finish(&d->same);
}

static void term(data *d, int k, size_t j, double v, double scale)
{
    d->want[k][j] += v;
    d->scale[k][j] += fabs(scale);
}

static bool band_broken(const void *block, size_t len)
{
    const unsigned char *b = block;
    for (size_t i = 1; i <= CHECK_BAND; i++)
        if (b[-(ptrdiff_t)i] != 0xa5 || b[len + i - 1] != 0xa5)
            return true;
    return false;
}

static const char *compare(const data *d, const char *what, int sums, bool out)
{
    const double u = unit(d->rows);
    for (int k = 0; k < 3; k++) {
        for (size_t j = 0; j < d->c && k < sums; j++)
            if (!(fabs(d->got.sum[k][j] - d->want[k][j]) <= u * d->scale[k][j]))
                return WRONG("%s %zu x %zu: sum %d[%zu] is %g, not %g", what, d->rows, d->c, k, j,
                             d->got.sum[k][j], d->want[k][j]);
        if (memcmp(d->got.sum[k], d->same.sum[k], d->c * sizeof(double)) != 0)
            return WRONG("%s %zu x %zu: sum %d has other bits than the reference's", what, d->rows,
                         d->c, k);
        if (band_broken(d->got.sum[k], d->c * sizeof(double)))
            return WRONG("%s %zu x %zu: wrote outside sum %d", what, d->rows, d->c, k);
    }
    for (size_t i = 0; i < d->n && out; i++)
        if (!(fabs((double)d->got.out[i] - d->out[i]) <= unit(0) * d->out_scale[i]))
            return WRONG("%s %zu x %zu: [%zu] is %g, not %g", what, d->rows, d->c, i,
                         (double)d->got.out[i], d->out[i]);
    if (out && memcmp(d->got.out, d->same.out, d->n * sizeof(float)) != 0)
        return WRONG("%s %zu x %zu: other bits than the reference's", what, d->rows, d->c);
    if (band_broken(d->got.out, d->n * sizeof(float)))
        return WRONG("%s %zu x %zu: wrote outside", what, d->rows, d->c);
    return NULL;
}

/* z of element i as the contract rounds it: which side of 0 it lies on must not be in doubt. */
static double normed(const data *d, size_t i)
{
    const size_t j = i % d->c;
    return (double)((d->x[i] - d->mean[j]) * d->by[j] + d->bias[j]);
}

static double normed_scale(const data *d, size_t i)
{
    const size_t j = i % d->c;
    return fabs((double)(d->x[i] - d->mean[j]) * (double)d->by[j]) + fabs((double)d->bias[j]);
}

static const char *check_add(const krn_passes *v, data *d)
{
    for (size_t i = 0; i < d->n; i++)
        term(d, 0, i % d->c, (double)d->x[i], (double)d->x[i]);
    v->add(d->got.sum[0], d->x, d->rows, d->c);
    krn_passes_f32__ref.add(d->same.sum[0], d->x, d->rows, d->c);
    return compare(d, "add", 1, false);
}

static const char *check_moments(const krn_passes *v, data *d)
{
    for (size_t i = 0; i < d->n; i++) {
        const double e = (double)d->x[i] - (double)d->mean[i % d->c];
        term(d, 0, i % d->c, e, e);
        term(d, 1, i % d->c, e * e, e * e);
    }
    v->moments(d->got.sum[0], d->got.sum[1], d->x, d->mean, d->rows, d->c);
    krn_passes_f32__ref.moments(d->same.sum[0], d->same.sum[1], d->x, d->mean, d->rows, d->c);
    return compare(d, "moments", 2, false);
}

static const char *check_norm(const krn_passes *v, data *d)
{
    for (size_t i = 0; i < d->n; i++) {
        const double z = normed(d, i);
        const double by = z > 0 || !d->norm.slope ? 1 : (double)d->slope[i % d->c];
        d->out[i] = by * z;
        d->out_scale[i] = fabs(by) * normed_scale(d, i);
    }
    v->norm(d->got.out, d->x, &d->norm, d->rows, d->c);
    krn_passes_f32__ref.norm(d->same.out, d->x, &d->norm, d->rows, d->c);
    return compare(d, "norm", 0, true);
}

static const char *check_norm_sums(const krn_passes *v, data *d)
{
    for (size_t i = 0; i < d->n; i++) {
        const size_t j = i % d->c;
        const bool low = d->norm.slope && !(normed(d, i) > 0);
        const double dz = (double)d->dy[i] * (low ? (double)d->slope[j] : 1);
        const double e = (double)d->x[i] - (double)d->mean[j];
        term(d, 0, j, dz, dz);
        term(d, 1, j, dz * e, dz * e);
        if (low)
            term(d, 2, j, (double)d->dy[i] * normed(d, i), (double)d->dy[i] * normed_scale(d, i));
    }
    v->norm_sums(d->got.sum[0], d->got.sum[1], d->got.sum[2], d->dy, d->x, &d->norm, d->rows, d->c);
    krn_passes_f32__ref.norm_sums(d->same.sum[0], d->same.sum[1], d->same.sum[2], d->dy, d->x,
                                  &d->norm, d->rows, d->c);
    return compare(d, "norm_sums", 3, false);
}

/* In place: dy lies where dx goes. */
static const char *check_norm_grad(const krn_passes *v, data *d)
{
    for (size_t i = 0; i < d->n; i++) {
        const size_t j = i % d->c;
        const bool low = d->norm.slope && !(normed(d, i) > 0);
        const double dz = (double)d->dy[i] * (low ? (double)d->slope[j] : 1);
        const double e = ((double)d->x[i] - (double)d->mean[j]) * (double)d->each[j];
        d->out[i] = (double)d->by[j] * (dz - (double)d->less[j] - e);
        d->out_scale[i] = fabs((double)d->by[j]) * (fabs(dz) + fabs((double)d->less[j]) + fabs(e));
    }
    memcpy(d->got.out, d->dy, d->n * sizeof(float));
    v->norm_grad(d->got.out, d->got.out, d->x, &d->norm, d->less, d->each, d->rows, d->c);
    krn_passes_f32__ref.norm_grad(d->same.out, d->dy, d->x, &d->norm, d->less, d->each, d->rows,
                                  d->c);
    return compare(d, "norm_grad", 0, true);
}

static const char *check_prelu_grad(const krn_passes *v, data *d)
{
    for (size_t i = 0; i < d->n; i++) {
        const bool low = !(d->x[i] > 0);
        const double dy = (double)d->dy[i];
        d->out[i] = dy * (low ? (double)d->slope[i % d->c] : 1);
        d->out_scale[i] = fabs(d->out[i]);
        if (low)
            term(d, 0, i % d->c, dy * (double)d->x[i], dy * (double)d->x[i]);
    }
    memcpy(d->got.out, d->dy, d->n * sizeof(float));
    v->prelu_grad(d->got.out, d->got.sum[0], d->got.out, d->x, d->slope, d->rows, d->c);
    krn_passes_f32__ref.prelu_grad(d->same.out, d->same.sum[0], d->dy, d->x, d->slope, d->rows,
                                   d->c);
    return compare(d, "prelu_grad", 1, true);
}

const char *check_passes_f32_text(const krn_passes *v)
{
    static const size_t channels[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 70};
    static const char *(*const checks[])(const krn_passes *v, data *d) = {
        check_add, check_moments, check_norm, check_norm_sums, check_norm_grad, check_prelu_grad};
    uint64_t seed = check_seed();
    const char *wrong = NULL;
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        for (size_t k = 0; k < sizeof checks / sizeof *checks; k++)
            for (size_t rows = 1; rows < 12 && !wrong; rows += 2) {
                data d;
                init(&d, rows / 2 * 2 + (rows == 1), channels[i], rows % 4 == 1, &seed);
                wrong = checks[k](v, &d);
                deinit(&d);
            }
    return wrong;
}
