/* The report of runs: learning curves (the paper's Fig. 3 and 4), slopes (Table 1), mean responses
 * (Fig. 2), signals at initialisation, what the trained net confuses. */
#include "report.h"
#include "dataset.h"
#include "html.h"
#include "prelu/mem.h"
#include "svg.h"
#include <math.h>
#include <string.h>

#define PICTURE_SIDE 144
#define MAX_LAYERS 512

static void put_config(FILE *f, const report_run *r, const char *key)
{
    const mdl_json *v = mdl_json_get(r->config, key);
    fputs("<td>", f);
    if (*mdl_json_text(v))
        train_html_text(f, mdl_json_text(v));
    else if (isfinite(mdl_json_number(v)))
        fprintf(f, "%g", mdl_json_number(v));
    else
        fputs("&ndash;", f);
    fputs("</td>", f);
}

static double least(const double *x, size_t n)
{
    double m = NAN;
    for (size_t i = 0; i < n; i++)
        m = fmin(m, x[i]); /* fmin passes over NaN */
    return m;
}

static void write_runs(FILE *f, const report *r)
{
    static const char *const keys[] = {"arch", "width", "activation", "init_method",
                                       "seed", "batch", "lr"};
    fputs("<h2>Runs</h2><div class=\"wide\"><table id=\"runs\"><tr><th>run</th>", f);
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        fprintf(f, "<th>%s</th>", keys[k]);
    fputs("<th>epochs</th><th>train loss</th><th>val top-1 error %</th><th>val top-5 error %</th>"
          "<th>best top-1 error %</th></tr>\n",
          f);
    for (int i = 0; i < r->n; i++) {
        const report_run *run = &r->runs[i];
        const size_t last = run->epochs - 1;
        fputs("<tr><td>", f);
        train_html_text(f, run->name);
        fputs("</td>", f);
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            put_config(f, run, keys[k]);
        fprintf(f, "<td>%zu</td>", run->epochs);
        train_html_number(f, run->epochs ? run->train_loss[last] : NAN, 4);
        train_html_number(f, run->epochs ? run->val_error[last] : NAN, 2);
        train_html_number(f, run->epochs ? run->val_error5[last] : NAN, 2);
        train_html_number(f, least(run->val_error, run->epochs), 2);
        fputs("</tr>\n", f);
    }
    fputs("</table></div>\n", f);
    for (int i = 0; i < r->n; i++)
        if (r->runs[i].damaged) {
            fprintf(f, "<p>%zu lines of the log of ", r->runs[i].damaged);
            train_html_text(f, r->runs[i].name);
            fputs(" cannot be read.</p>\n", f);
        }
}

static void write_curves(FILE *f, const report *r)
{
    const train_chart errors = {.title = "Learning curves (as Fig. 3 and 4): top-1 error; dashed "
                                         "of the training views, solid of the validation data",
                                .x_label = "epoch",
                                .y_label = "error %"};
    const train_chart losses = {
        .title = "Loss of the training views", .x_label = "epoch", .y_label = "loss"};
    train_series s[2 * REPORT_MAX_RUNS];
    int n = 0;
    for (int i = 0; i < r->n; i++) {
        const report_run *run = &r->runs[i];
        s[n++] = (train_series){.name = run->name,
                                .x = run->epoch,
                                .y = run->val_error,
                                .n = run->epochs,
                                .color = i,
                                .marks = run->epochs <= 40};
        s[n++] = (train_series){
            .x = run->epoch, .y = run->train_error, .n = run->epochs, .color = i, .dash = true};
    }
    fputs("<h2>Learning curves</h2>\n", f);
    train_svg_chart(f, &errors, s, (size_t)n);
    for (int i = 0; i < r->n; i++) {
        s[i] = s[2 * i];
        s[i].y = r->runs[i].train_loss;
    }
    train_svg_chart(f, &losses, s, (size_t)r->n);
}

/* Element `key` of the layer of that name, NaN if the list has none. */
static double value_of(const mdl_json *layers, const char *layer, const char *key)
{
    for (size_t i = 0; i < mdl_json_count(layers); i++) {
        const mdl_json *l = mdl_json_at(layers, i);
        if (!strcmp(mdl_json_text(mdl_json_get(l, "layer")), layer))
            return mdl_json_number(mdl_json_get(l, key));
    }
    return NAN;
}

/* The layers of all runs, each once, in the order in which they are met. */
typedef struct axis {
    const char *names[MAX_LAYERS];
    size_t n;
} axis;

static void add_names(axis *a, const mdl_json *layers)
{
    for (size_t i = 0; i < mdl_json_count(layers); i++) {
        const char *name = mdl_json_text(mdl_json_get(mdl_json_at(layers, i), "layer"));
        size_t k = 0;
        while (k < a->n && strcmp(a->names[k], name) != 0)
            k++;
        if (k == a->n && a->n < MAX_LAYERS)
            a->names[a->n++] = name;
    }
}

static void write_slopes(FILE *f, const report *r)
{
    axis a = {.n = 0};
    for (int i = 0; i < r->n; i++)
        add_names(&a, mdl_json_get(r->runs[i].end, "slopes"));
    if (!a.n)
        return;
    fputs("<h2>Slopes (as Table 1)</h2><p class=\"soft\">Mean of a layer's learned slopes; least "
          "and greatest below it.</p><div class=\"wide\"><table id=\"slopes\"><tr><th>layer</th>",
          f);
    for (int i = 0; i < r->n; i++) {
        fputs("<th>", f);
        train_html_text(f, r->runs[i].name);
        fputs("</th>", f);
    }
    fputs("</tr>\n", f);
    for (size_t k = 0; k < a.n; k++) {
        fputs("<tr><td>", f);
        train_html_text(f, a.names[k]);
        fputs("</td>", f);
        for (int i = 0; i < r->n; i++) {
            const mdl_json *l = mdl_json_get(r->runs[i].end, "slopes");
            const double mean = value_of(l, a.names[k], "mean");
            if (isfinite(mean))
                fprintf(f, "<td>%.3f<br><span class=\"soft\">%.3f&hellip;%.3f</span></td>", mean,
                        value_of(l, a.names[k], "min"), value_of(l, a.names[k], "max"));
            else
                train_html_number(f, NAN, 0);
        }
        fputs("</tr>\n", f);
    }
    fputs("</table></div>\n", f);
}

/* One curve over the layers for each run. */
static prelu_status chart_layers(FILE *f, const report *r, const train_chart *chart, bool begin,
                                 const char *list, const char *key, prelu_err *err)
{
    axis a = {.n = 0};
    train_series s[REPORT_MAX_RUNS];
    train_chart c = *chart;
    double *x;
    for (int i = 0; i < r->n; i++)
        add_names(&a, mdl_json_get(begin ? r->runs[i].begin : r->runs[i].end, list));
    if (!a.n)
        return PRELU_OK;
    x = prelu_calloc((size_t)(r->n + 1) * a.n, sizeof *x);
    if (!x)
        return prelu_fail(err, PRELU_E_NOMEM, "report: %zu layers", a.n);
    for (size_t k = 0; k < a.n; k++)
        x[k] = (double)k;
    for (int i = 0; i < r->n; i++) {
        const mdl_json *l = mdl_json_get(begin ? r->runs[i].begin : r->runs[i].end, list);
        double *y = x + (size_t)(i + 1) * a.n;
        for (size_t k = 0; k < a.n; k++)
            y[k] = value_of(l, a.names[k], key);
        s[i] = (train_series){
            .name = r->runs[i].name, .x = x, .y = y, .n = a.n, .color = i, .marks = true};
    }
    c.x_names = a.names;
    c.x_max = a.n > 1 ? (double)(a.n - 1) : 1;
    train_svg_chart(f, &c, s, (size_t)r->n);
    prelu_free(x);
    return PRELU_OK;
}

static prelu_status write_layers(FILE *f, const report *r, prelu_err *err)
{
    const train_chart response = {.title = "Mean response of each activation after training (as "
                                           "Fig. 2)",
                                  .x_label = "activation",
                                  .y_label = "mean response"};
    const train_chart forward = {.title = "Forward signal at initialisation: standard deviation of "
                                          "each layer's output",
                                 .x_label = "layer",
                                 .y_label = "deviation",
                                 .log_y = true};
    const train_chart backward = {.title = "Backward signal at initialisation: standard deviation "
                                           "of the loss' derivative by each layer's output",
                                  .x_label = "layer",
                                  .y_label = "deviation",
                                  .log_y = true};
    fputs("<h2>Layers</h2>\n", f);
    PRELU_TRY(chart_layers(f, r, &response, false, "responses", "mean", err));
    PRELU_TRY(chart_layers(f, r, &forward, true, "signals", "forward", err));
    return chart_layers(f, r, &backward, true, "signals", "backward", err);
}

static void write_confusion(FILE *f, const report_run *run)
{
    const mdl_json *classes = mdl_json_get(run->val, "classes");
    const mdl_json *rows = mdl_json_get(run->val, "confusion");
    const size_t n = mdl_json_count(classes);
    if (!n)
        return;
    fputs("<figure class=\"wide\"><table class=\"matrix\"><tr><th></th>", f);
    for (size_t c = 0; c < n; c++) {
        fputs("<th>", f);
        train_html_text(f, mdl_json_text(mdl_json_at(classes, c)));
        fputs("</th>", f);
    }
    fputs("</tr>\n", f);
    for (size_t c = 0; c < n; c++) {
        double all = 0;
        fputs("<tr><th>", f);
        train_html_text(f, mdl_json_text(mdl_json_at(classes, c)));
        fputs("</th>", f);
        for (size_t p = 0; p < n; p++)
            all += mdl_json_number(mdl_json_at(mdl_json_at(rows, c), p));
        for (size_t p = 0; p < n; p++)
            train_html_cell(f, mdl_json_number(mdl_json_at(mdl_json_at(rows, c), p)), all);
        fputs("</tr>\n", f);
    }
    fputs("</table><figcaption><b>Confusion matrix</b>, centre crop: a row for each class, a "
          "column for each answer.</figcaption></figure>\n",
          f);
}

/* The picture of that name in the data set, if it is still there. */
static prelu_status put_picture(FILE *f, const mdl_dataset *d, const char *name, prelu_err *err)
{
    prelu_status st = PRELU_OK;
    for (size_t i = 0; d && i < d->n_pictures; i++) {
        char buf[512];
        prelu_image img = {.data = NULL};
        if (strcmp(mdl_dataset_name(d, i, buf, sizeof buf), name) != 0)
            continue;
        if (mdl_dataset_decode(d, i, 0, &img, NULL))
            return PRELU_OK;
        st = train_html_picture(f, &img, PICTURE_SIDE, name, err);
        prelu_image_deinit(&img);
        return st;
    }
    return PRELU_OK;
}

static prelu_status write_worst(FILE *f, const report_run *run, prelu_err *err)
{
    const mdl_json *worst = mdl_json_get(run->val, "worst");
    const char *dir = mdl_json_text(mdl_json_get(run->config, "data"));
    mdl_dataset *data = NULL;
    prelu_status st = PRELU_OK;
    if (mdl_json_count(worst) && mdl_dataset_open(&data, dir, "val", NULL, 0, NULL)) {
        fputs("<p class=\"soft\">The data is not at ", f);
        train_html_text(f, dir);
        fputs(" any more: no pictures.</p>\n", f);
    }
    fputs("<div class=\"pictures\">\n", f);
    for (size_t i = 0; i < mdl_json_count(worst) && !st; i++) {
        const mdl_json *w = mdl_json_at(worst, i);
        const char *name = mdl_json_text(mdl_json_get(w, "picture"));
        fputs("<figure>", f);
        st = put_picture(f, data, name, err);
        train_html_error(f, mdl_json_text(mdl_json_get(w, "label")),
                         mdl_json_number(mdl_json_get(w, "own")),
                         mdl_json_text(mdl_json_get(w, "taken_for")),
                         mdl_json_number(mdl_json_get(w, "score")), name);
        fputs("</figure>\n", f);
    }
    fputs("</div>\n", f);
    mdl_dataset_destroy(&data);
    return st;
}

prelu_status train_report_write(const report *r, const char *path, prelu_err *err)
{
    train_html h;
    prelu_status st;
    PRELU_TRY(train_html_open(&h, path, "prelu: training runs", err));
    write_runs(h.f, r);
    write_curves(h.f, r);
    write_slopes(h.f, r);
    st = write_layers(h.f, r, err);
    for (int i = 0; i < r->n && !st; i++) {
        if (!r->runs[i].val)
            continue;
        fputs("<h2>What ", h.f);
        train_html_text(h.f, r->runs[i].name);
        fputs(" gets wrong</h2>\n", h.f);
        write_confusion(h.f, &r->runs[i]);
        st = write_worst(h.f, &r->runs[i], err);
    }
    return train_html_close(&h, st, err);
}
