#include "figures.h"
#include "prelu/mem.h"
#include <math.h>
#include <string.h>

double train_fraction(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

/* Wilson 1927: the p whose distance from the measured fraction is z standard deviations of p's. */
static void wilson(train_figures *f)
{
    const double z = 1.959963984540054, n = (double)f->result.images;
    const double p = train_fraction(f->result.top1, f->result.images);
    if (n < 1) {
        f->high = 1;
        return;
    }
    const double middle = (p + z * z / (2 * n)) / (1 + z * z / n);
    const double half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    f->low = middle > half ? middle - half : 0;
    f->high = middle + half < 1 ? middle + half : 1;
}

/* A score on the edge between two bins belongs to the lower one. */
static void count_score(train_figures *f, const train_record *r)
{
    int i = (int)ceil(r->score[0] * TRAIN_BINS) - 1;
    train_bin *b = &f->bins[i < 0 ? 0 : i < TRAIN_BINS ? i : TRAIN_BINS - 1];
    b->images++;
    b->correct += r->top[0] == r->label;
    b->score += r->score[0];
}

static void count_class(train_figures *f, const train_record *r)
{
    f->classes[r->label].images++;
    f->classes[r->top[0]].predicted++;
    f->classes[r->label].correct += r->top[0] == r->label;
    if (f->confusion)
        f->confusion[(size_t)r->label * (size_t)f->n_classes + (size_t)r->top[0]]++;
}

static void keep_worst(train_figures *f, const train_record *r)
{
    int at = f->n_worst;
    while (at > 0 && f->worst[at - 1]->score[0] < r->score[0])
        at--;
    if (at == TRAIN_WORST)
        return;
    f->n_worst += f->n_worst < TRAIN_WORST;
    memmove(f->worst + at + 1, f->worst + at, (size_t)(f->n_worst - 1 - at) * sizeof *f->worst);
    f->worst[at] = r;
}

prelu_status train_figures_make(train_figures *f, const train_record *records, size_t n,
                                int classes, prelu_err *err)
{
    const size_t wide = (size_t)classes;
    *f = (train_figures){.n_classes = classes};
    f->classes = prelu_calloc(wide, sizeof *f->classes);
    if (classes <= TRAIN_MAX_CONFUSION)
        f->confusion = prelu_calloc(wide * wide, sizeof *f->confusion);
    if (!f->classes || (!f->confusion && classes <= TRAIN_MAX_CONFUSION)) {
        train_figures_deinit(f);
        return prelu_fail(err, PRELU_E_NOMEM, "eval: figures of %d classes", classes);
    }
    for (size_t i = 0; i < n; i++) {
        train_count(&f->result, &records[i]);
        if (!records[i].n)
            continue;
        count_score(f, &records[i]);
        count_class(f, &records[i]);
        if (records[i].top[0] != records[i].label)
            keep_worst(f, &records[i]);
    }
    wilson(f);
    for (int i = 0; i < TRAIN_BINS; i++)
        f->ece += fabs((double)f->bins[i].correct - f->bins[i].score);
    f->ece = f->result.images ? f->ece / (double)f->result.images : 0;
    return PRELU_OK;
}

void train_figures_deinit(train_figures *f)
{
    prelu_free(f->classes);
    prelu_free(f->confusion);
    memset(f, 0, sizeof *f);
}
