#include "fisher.h"
#include "prelu/mem.h"
#include <math.h>

#define PI 3.14159265358979323846
#define UNITS_PER_TASK ((size_t)32)

prelu_status train_fisher_init(train_fisher *s, size_t units, prelu_err *err)
{
    size_t count = 0;
    *s = (train_fisher){.units = units};
    s->f = prelu_calloc(6 * units, sizeof *s->f);
    if (units <= TRAIN_FISHER_PAIRS) {
        PRELU_TRY(prelu_mul(units, units, &count, err));
        s->pairs = prelu_calloc(count, sizeof *s->pairs);
    }
    if (!s->f || (count && !s->pairs)) {
        train_fisher_deinit(s);
        return prelu_fail(err, PRELU_E_NOMEM, "analyze: sums over %zu units", units);
    }
    s->f2 = s->f + units;
    for (size_t k = 0; k < 2; k++) {
        s->y[k] = s->f + (2 + k) * units;
        s->n[k] = s->f + (4 + k) * units;
    }
    return PRELU_OK;
}

void train_fisher_deinit(train_fisher *s)
{
    prelu_free(s->f);
    prelu_free(s->pairs);
    *s = (train_fisher){.units = 0};
}

typedef struct pair_loop {
    const train_fisher *s;
    const float *f;
    size_t rows, stride;
} pair_loop;

/* Some units j with all j' behind them. */
static void add_pairs(void *ctx, size_t task, int worker)
{
    const pair_loop *l = ctx;
    const size_t units = l->s->units, end = (task + 1) * UNITS_PER_TASK;
    (void)worker;
    for (size_t j = task * UNITS_PER_TASK; j < end && j < units; j++) {
        double *sums = l->s->pairs + j * units;
        for (size_t r = 0; r < l->rows; r += l->stride) {
            const float *f = l->f + r * units;
            const double fj = (double)f[j];
            for (size_t k = j + 1; k < units; k++)
                sums[k] += fj * (double)f[k];
        }
    }
}

void train_fisher_add(train_fisher *s, const float *y, const float *f, size_t rows, size_t stride,
                      prelu_pool *pool)
{
    pair_loop l = {s, f, rows, stride};
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < s->units; j++) {
            const double yj = (double)y[r * s->units + j], fj = (double)f[r * s->units + j];
            const int sign = yj >= 0;
            s->f[j] += fj;
            s->f2[j] += fj * fj;
            s->y[sign][j] += yj;
            s->n[sign][j] += 1;
        }
    s->rows += rows;
    if (!s->pairs)
        return;
    prelu_pool_run(pool, (s->units + UNITS_PER_TASK - 1) / UNITS_PER_TASK, add_pairs, &l);
    s->pair_rows += (rows + stride - 1) / stride;
}

static double mean_response(double a, double y_positive, double y_negative)
{
    return 0.5 * (y_positive + a * y_negative);
}

/* Of y with mean 0, whose deviation cancels. */
static double gaussian_mean_over_rms(double a)
{
    return (1 - a) / sqrt(2 * PI) / sqrt((1 + a * a) / 2);
}

static double conditional(const train_fisher *s, int sign, size_t j)
{
    return s->n[sign][j] > 0 ? s->y[sign][j] / s->n[sign][j] : 0;
}

void train_fisher_make(const train_fisher *s, const double *slopes, train_fisher_figures *out)
{
    const double units = (double)s->units, rows = (double)s->rows, couples = units * (units - 1);
    double sum = 0, squares = 0, square = 0, pairs = 0;
    *out = (train_fisher_figures){.slope = 0};
    for (size_t j = 0; j < s->units; j++) {
        const double mean = fabs(s->f[j] / rows);
        out->slope += slopes[j] / units;
        out->positive += s->n[1][j] / rows / units;
        out->mean += s->f[j] / rows / units;
        out->by_equation +=
            mean_response(slopes[j], conditional(s, 1, j), conditional(s, 0, j)) / units;
        square += s->f2[j] / rows / units;
        sum += mean;
        squares += mean * mean;
        for (size_t k = j + 1; s->pairs && k < s->units; k++)
            pairs += 2 * fabs(s->pairs[j * s->units + k]) / (double)s->pair_rows;
    }
    out->rms = sqrt(square);
    out->gaussian = gaussian_mean_over_rms(out->slope);
    out->products = couples > 0 ? (sum * sum - squares) / couples / square : NAN;
    out->pairs = s->pairs && couples > 0 ? pairs / couples / square : NAN;
}
