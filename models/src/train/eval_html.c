/* eval's report: the modes as in the paper's Table 4, and for each mode calibration, confusion and
 * classes; the worst errors with their pictures. */
#include "eval.h"
#include "html.h"
#include "svg.h"
#include <math.h>
#include <string.h>

/* Classes up to which the whole matrix is shown. */
#define MATRIX_CLASSES 40
#define PAIRS 30
#define PICTURE_SIDE 144

static void write_facts(FILE *f, const eval *e)
{
    fputs("<p class=\"soft\">", f);
    for (int i = 0; i < e->n_models; i++) {
        fputs(i ? " + " : "", f);
        train_html_text(f, e->paths[i]);
    }
    fputs(" on ", f);
    train_html_text(f, e->dir);
    fputs(", ", f);
    train_html_text(f, e->split);
    fprintf(f, ": %zu pictures, %d classes, precision %s", e->data->n_pictures,
            e->models[0]->classes, prelu_precision_name(e->precision));
    if (e->average == PRELU_AVERAGE_LOGIT)
        fputs(", means before softmax", f);
    if (e->n_skipped)
        fprintf(f, "; %zu could not be read", e->n_skipped);
    fputs(".</p>\n", f);
}

static void write_modes(FILE *f, const eval *e)
{
    fputs("<h2>Error by mode</h2><div class=\"wide\"><table id=\"modes\"><tr><th>mode</th>"
          "<th>top-1 error %</th><th>top-5 error %</th><th>95 % interval of top-1</th><th>ECE</th>"
          "<th>ms/picture</th><th>pictures</th><th>skipped</th></tr>\n",
          f);
    for (int i = 0; i < e->n_tests; i++) {
        const train_figures *g = &e->figures[i];
        const train_result *r = &g->result;
        fprintf(f, "<tr><td>%s</td>", e->names[i]);
        train_html_number(f, 100 * (1 - train_fraction(r->top1, r->images)), 2);
        train_html_number(f, 100 * (1 - train_fraction(r->top5, r->images)), 2);
        fprintf(f, "<td>%.2f&ndash;%.2f</td>", 100 * (1 - g->high), 100 * (1 - g->low));
        train_html_number(f, g->ece, 4);
        train_html_number(f, train_eval_infer_ms(e, i), 3);
        fprintf(f, "<td>%llu</td><td>%llu</td></tr>\n", (unsigned long long)r->images,
                (unsigned long long)r->skipped);
    }
    fputs("</table></div>\n", f);
    for (int i = 0; i < e->n_tests; i++)
        if (e->choice.tests[i]) {
            fputs("<p class=\"soft\">", f);
            train_eval_print_choice(f, e, i);
            fputs("</p>\n", f);
        }
}

static void write_reliability(FILE *f, const train_figures *g)
{
    static const double diagonal[] = {0, 1};
    const train_chart chart = {.title = "Reliability: how often the first answer is right",
                               .x_label = "its score",
                               .y_label = "fraction right",
                               .x_max = 1,
                               .y_max = 1};
    const train_series even = {.name = "score = fraction right",
                               .x = diagonal,
                               .y = diagonal,
                               .n = 2,
                               .color = 1,
                               .dash = true};
    train_plane p;
    train_svg_open(&p, f, &chart, NULL, 0);
    for (int i = 0; i < TRAIN_BINS; i++) {
        const train_bin *b = &g->bins[i];
        const double right = train_fraction(b->correct, b->images);
        char what[96];
        snprintf(what, sizeof what, "%llu pictures, mean score %.3f, right %.3f",
                 (unsigned long long)b->images, b->images ? b->score / (double)b->images : 0,
                 right);
        if (b->images)
            train_svg_bar(&p, (double)i / TRAIN_BINS, (double)(i + 1) / TRAIN_BINS, right, 0, what);
    }
    train_svg_line(&p, &even);
    train_svg_close(&p, &even, 1);
}

static void write_class_name(FILE *f, const eval *e, int c)
{
    char buf[24];
    train_html_text(f, train_eval_label(e, c, buf, sizeof buf));
}

static void write_matrix(FILE *f, const eval *e, const train_figures *g)
{
    const int n = g->n_classes;
    fputs("<figure class=\"wide\"><table class=\"matrix\"><tr><th></th>", f);
    for (int c = 0; c < n; c++) {
        fputs("<th>", f);
        write_class_name(f, e, c);
        fputs("</th>", f);
    }
    fputs("</tr>\n", f);
    for (int c = 0; c < n; c++) {
        fputs("<tr><th>", f);
        write_class_name(f, e, c);
        fputs("</th>", f);
        for (int p = 0; p < n; p++) {
            const uint32_t count = g->confusion[(size_t)c * (size_t)n + (size_t)p];
            train_html_cell(f, count, (double)g->classes[c].images);
        }
        fputs("</tr>\n", f);
    }
    fputs("</table><figcaption><b>Confusion matrix</b>: a row for each class, a column for each "
          "answer.</figcaption></figure>\n",
          f);
}

typedef struct pair {
    uint32_t count;
    int from, to;
} pair;

/* The most frequent mistakes, first met first. */
static int top_pairs(const train_figures *g, pair best[PAIRS])
{
    int n = 0;
    for (int c = 0; c < g->n_classes; c++)
        for (int p = 0; p < g->n_classes; p++) {
            const uint32_t count = g->confusion[(size_t)c * (size_t)g->n_classes + (size_t)p];
            int at = n;
            while (at > 0 && best[at - 1].count < count)
                at--;
            if (c == p || !count || at == PAIRS)
                continue;
            n += n < PAIRS;
            memmove(best + at + 1, best + at, (size_t)(n - 1 - at) * sizeof *best);
            best[at] = (pair){count, c, p};
        }
    return n;
}

static void write_pairs(FILE *f, const eval *e, const train_figures *g)
{
    pair best[PAIRS];
    const int n = top_pairs(g, best);
    fputs("<details><summary>Most frequent confusions</summary><table><tr><th>class</th>"
          "<th>taken for</th><th>pictures</th></tr>\n",
          f);
    for (int i = 0; i < n; i++) {
        fputs("<tr><td>", f);
        write_class_name(f, e, best[i].from);
        fputs("</td><td>", f);
        write_class_name(f, e, best[i].to);
        fprintf(f, "</td><td>%u</td></tr>\n", best[i].count);
    }
    fputs("</table></details>\n", f);
}

static double ratio(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : NAN;
}

static void write_classes(FILE *f, const eval *e, const train_figures *g)
{
    fputs("<details><summary>Precision and recall by class</summary><table><tr><th>class</th>"
          "<th>pictures</th><th>answers</th><th>precision %</th><th>recall %</th></tr>\n",
          f);
    for (int c = 0; c < g->n_classes; c++) {
        const train_class_figures *k = &g->classes[c];
        fputs("<tr><td>", f);
        write_class_name(f, e, c);
        fprintf(f, "</td><td>%llu</td><td>%llu</td>", (unsigned long long)k->images,
                (unsigned long long)k->predicted);
        train_html_number(f, 100 * ratio(k->correct, k->predicted), 1);
        train_html_number(f, 100 * ratio(k->correct, k->images), 1);
        fputs("</tr>\n", f);
    }
    fputs("</table></details>\n", f);
}

static prelu_status write_error(FILE *f, const eval *e, const train_record *r, prelu_err *err)
{
    char name[512], label[24], answer[24];
    prelu_image img = {.data = NULL};
    prelu_status st;
    mdl_dataset_name(e->data, r->picture, name, sizeof name);
    PRELU_TRY(mdl_dataset_decode(e->data, r->picture, 0, &img, err));
    fputs("<figure>", f);
    st = train_html_picture(f, &img, PICTURE_SIDE, name, err);
    prelu_image_deinit(&img);
    train_html_error(f, train_eval_label(e, r->label, label, sizeof label), r->own,
                     train_eval_label(e, r->top[0], answer, sizeof answer), r->score[0], name);
    fputs("</figure>\n", f);
    return st;
}

/* Of the best mode: what it gets wrong is wrong for a reason. */
static prelu_status write_worst(FILE *f, const eval *e, prelu_err *err)
{
    int best = 0;
    for (int i = 1; i < e->n_tests; i++)
        if (e->figures[i].result.top1 > e->figures[best].result.top1)
            best = i;
    fprintf(f, "<h2>The surest wrong answers (%s)</h2><div class=\"pictures\">\n", e->names[best]);
    for (int i = 0; i < e->figures[best].n_worst; i++)
        PRELU_TRY(write_error(f, e, e->figures[best].worst[i], err));
    fputs("</div>\n", f);
    return PRELU_OK;
}

static void write_skipped(FILE *f, const eval *e)
{
    if (!e->n_skipped)
        return;
    fputs("<h2>Not read</h2><table><tr><th>picture</th><th>why</th></tr>\n", f);
    for (size_t i = 0; i < e->n_skipped; i++) {
        char name[512];
        fputs("<tr><td>", f);
        train_html_text(f, mdl_dataset_name(e->data, e->skipped[i].picture, name, sizeof name));
        fputs("</td><td>", f);
        train_html_text(f, e->skipped[i].why);
        fputs("</td></tr>\n", f);
    }
    fputs("</table>\n", f);
}

prelu_status train_eval_write_html(const eval *e, const char *path, prelu_err *err)
{
    train_html h;
    PRELU_TRY(train_html_open(&h, path, "prelu: evaluation", err));
    write_facts(h.f, e);
    write_modes(h.f, e);
    for (int i = 0; i < e->n_tests; i++) {
        const train_figures *g = &e->figures[i];
        fprintf(h.f, "<h2>%s</h2>\n", e->names[i]);
        write_reliability(h.f, g);
        if (g->confusion && g->n_classes <= MATRIX_CLASSES)
            write_matrix(h.f, e, g);
        if (g->confusion)
            write_pairs(h.f, e, g);
        write_classes(h.f, e, g);
    }
    prelu_status st = write_worst(h.f, e, err);
    write_skipped(h.f, e);
    return train_html_close(&h, st, err);
}
