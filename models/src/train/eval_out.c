/* What eval prints: a table, JSON, CSV, and lines for each picture. */
#include "eval.h"
#include <errno.h>
#include <string.h>

const char *train_eval_label(const eval *e, int c, char *buf, size_t len)
{
    const prelu_label *l = &e->models[0]->labels[c];
    snprintf(buf, len, "%d", c);
    return l->label[0] ? l->label : l->id[0] ? l->id : buf;
}

const char *train_eval_average(const eval *e)
{
    return e->average == PRELU_AVERAGE_LOGIT ? "logit" : "prob";
}

static double per_image(double ms, uint64_t images) { return images ? ms / (double)images : 0; }

double train_eval_prepare_ms(const eval *e, int i)
{
    return per_image(e->timing[i].prepare, e->figures[i].result.images);
}

double train_eval_infer_ms(const eval *e, int i)
{
    return per_image(e->timing[i].infer, e->figures[i].result.images);
}

double train_eval_decode_ms(const eval *e)
{
    return per_image(e->timing[e->n_tests].prepare, e->data->n_pictures - e->n_skipped);
}

void train_eval_print_table(const eval *e)
{
    printf("%-16s %9s %9s %17s %9s %8s %10s %9s\n", "mode", "images", "top-1", "95 % interval",
           "top-5", "ECE", "ms/image", "skipped");
    for (int i = 0; i < e->n_tests; i++) {
        const train_figures *f = &e->figures[i];
        const train_result *r = &f->result;
        printf("%-16s %9llu %8.2f%% %7.2f..%7.2f%% %8.2f%% %8.4f %10.3f %9llu\n", e->names[i],
               (unsigned long long)r->images, 100 * train_fraction(r->top1, r->images),
               100 * f->low, 100 * f->high, 100 * train_fraction(r->top5, r->images), f->ece,
               train_eval_infer_ms(e, i), (unsigned long long)r->skipped);
    }
    for (int i = 0; i < e->n_tests; i++)
        if (e->choice.tests[i])
            train_eval_print_choice(stdout, e, i);
}

void train_eval_print_choice(FILE *f, const eval *e, int i)
{
    const train_result *r = &e->figures[i].result;
    fprintf(f, "auto within %.0f ms:", e->choice.budget_ms);
    for (int m = 0, n = 0; m < PRELU_MODES; m++)
        if (r->modes[m])
            fprintf(f, "%s %s %llu", n++ ? "," : "", prelu_mode_name((prelu_mode)m),
                    (unsigned long long)r->modes[m]);
    if (r->over_budget)
        fprintf(f, "; %llu over the budget", (unsigned long long)r->over_budget);
    fputc('\n', f);
}

void train_eval_print_csv(const eval *e)
{
    fputs("mode,images,top1,top1_low,top1_high,top5,ece,skipped,decode_ms,prepare_ms,infer_ms",
          stdout);
    for (int m = 0; m < PRELU_MODES && e->chooses; m++)
        printf(",by_%s", prelu_mode_name((prelu_mode)m));
    puts(e->chooses ? ",over_budget" : "");
    for (int i = 0; i < e->n_tests; i++) {
        const train_figures *f = &e->figures[i];
        const train_result *r = &f->result;
        printf("%s,%llu,%.6f,%.6f,%.6f,%.6f,%.6f,%llu,%.4f,%.4f,%.4f", e->names[i],
               (unsigned long long)r->images, train_fraction(r->top1, r->images), f->low, f->high,
               train_fraction(r->top5, r->images), f->ece, (unsigned long long)r->skipped,
               train_eval_decode_ms(e), train_eval_prepare_ms(e, i), train_eval_infer_ms(e, i));
        for (int m = 0; m < PRELU_MODES && e->chooses; m++)
            printf(",%llu", (unsigned long long)r->modes[m]);
        if (e->chooses)
            printf(",%llu", (unsigned long long)r->over_budget);
        putchar('\n');
    }
}

/* ,"name":a/b or null */
static void json_fraction(const char *name, uint64_t part, uint64_t whole)
{
    if (whole)
        printf(",\"%s\":%.6f", name, train_fraction(part, whole));
    else
        printf(",\"%s\":null", name);
}

static void json_calibration(const train_figures *f)
{
    printf(",\"ece\":%.9f,\"calibration\":[", f->ece);
    for (int i = 0; i < TRAIN_BINS; i++) {
        const train_bin *b = &f->bins[i];
        printf("%s{\"from\":%.6f,\"to\":%.6f,\"images\":%llu", i ? "," : "", (double)i / TRAIN_BINS,
               (double)(i + 1) / TRAIN_BINS, (unsigned long long)b->images);
        json_fraction("accuracy", b->correct, b->images);
        if (b->images)
            printf(",\"score\":%.9f}", b->score / (double)b->images);
        else
            printf(",\"score\":null}");
    }
    putchar(']');
}

static void json_classes(const train_figures *f)
{
    fputs(",\"classes\":[", stdout);
    for (int c = 0; c < f->n_classes; c++) {
        const train_class_figures *k = &f->classes[c];
        printf("%s{\"images\":%llu,\"predicted\":%llu", c ? "," : "", (unsigned long long)k->images,
               (unsigned long long)k->predicted);
        json_fraction("precision", k->correct, k->predicted);
        json_fraction("recall", k->correct, k->images);
        putchar('}');
    }
    putchar(']');
    if (!f->confusion)
        return;
    fputs(",\"confusion\":[", stdout);
    for (int c = 0; c < f->n_classes; c++) {
        for (int p = 0; p < f->n_classes; p++)
            printf("%s%u",
                   p   ? ","
                   : c ? ",["
                       : "[",
                   f->confusion[(size_t)c * (size_t)f->n_classes + (size_t)p]);
        putchar(']');
    }
    putchar(']');
}

static void json_choice(const eval *e, const train_result *r)
{
    printf(",\"auto\":{\"budget_ms\":%.0f,\"chosen\":{", e->choice.budget_ms);
    for (int m = 0; m < PRELU_MODES; m++)
        printf("%s\"%s\":%llu", m ? "," : "", prelu_mode_name((prelu_mode)m),
               (unsigned long long)r->modes[m]);
    printf("},\"over_budget\":%llu}", (unsigned long long)r->over_budget);
}

static void json_result(const eval *e, int i)
{
    const train_figures *f = &e->figures[i];
    const train_result *r = &f->result;
    printf("{\"mode\":\"%s\",\"images\":%llu,\"top1\":%.6f,\"top1_interval\":[%.6f,%.6f],"
           "\"top5\":%.6f,\"skipped\":%llu,\"timing_ms\":{\"decode\":%.4f,\"prepare\":%.4f,"
           "\"infer\":%.4f}",
           e->names[i], (unsigned long long)r->images, train_fraction(r->top1, r->images), f->low,
           f->high, train_fraction(r->top5, r->images), (unsigned long long)r->skipped,
           train_eval_decode_ms(e), train_eval_prepare_ms(e, i), train_eval_infer_ms(e, i));
    if (e->choice.tests[i])
        json_choice(e, r);
    json_calibration(f);
    json_classes(f);
    putchar('}');
}

static void json_skipped(const eval *e)
{
    fputs("\"skipped\":[", stdout);
    for (size_t i = 0; i < e->n_skipped; i++) {
        char name[512];
        fputs(i ? ",{\"picture\":" : "{\"picture\":", stdout);
        train_json_text(stdout,
                        mdl_dataset_name(e->data, e->skipped[i].picture, name, sizeof name));
        fputs(",\"why\":", stdout);
        train_json_text(stdout, e->skipped[i].why);
        putchar('}');
    }
    putchar(']');
}

void train_eval_print_json(const eval *e)
{
    fputs("{\"models\":[", stdout);
    for (int i = 0; i < e->n_models; i++) {
        fputs(i ? "," : "", stdout);
        train_json_text(stdout, e->paths[i]);
    }
    fputs("],\"data\":", stdout);
    train_json_text(stdout, e->dir);
    fputs(",\"split\":", stdout);
    train_json_text(stdout, e->split);
    printf(",\"precision\":\"%s\",\"average\":\"%s\",\"classes\":[",
           prelu_precision_name(e->precision), train_eval_average(e));
    for (int c = 0; c < e->models[0]->classes; c++) {
        fputs(c ? ",{\"id\":" : "{\"id\":", stdout);
        train_json_text(stdout, e->models[0]->labels[c].id);
        fputs(",\"label\":", stdout);
        train_json_text(stdout, e->models[0]->labels[c].label);
        putchar('}');
    }
    fputs("],", stdout);
    json_skipped(e);
    fputs(",\"results\":[", stdout);
    for (int i = 0; i < e->n_tests; i++) {
        fputs(i ? "," : "", stdout);
        json_result(e, i);
    }
    fputs("]}\n", stdout);
}

static void prediction_line(FILE *f, const eval *e, int test, const train_record *r)
{
    char name[512];
    fputs("{\"picture\":", f);
    train_json_text(f, mdl_dataset_name(e->data, r->picture, name, sizeof name));
    fprintf(f, ",\"mode\":\"%s\",\"class\":%d", e->names[test], r->label);
    if (r->n && e->choice.tests[test])
        fprintf(f, ",\"chosen\":\"%s\"", prelu_mode_name((prelu_mode)r->mode));
    if (!r->n) {
        fputs(",\"skipped\":true}\n", f);
        return;
    }
    fprintf(f, ",\"score\":%.9g,\"predictions\":[", r->own);
    for (int k = 0; k < r->n; k++)
        fprintf(f, "%s{\"class\":%d,\"score\":%.9g}", k ? "," : "", r->top[k], r->score[k]);
    fputs("]}\n", f);
}

prelu_status train_eval_write_predictions(const eval *e, const char *path, prelu_err *err)
{
    FILE *f = fopen(path, "w");
    bool failed;
    if (!f)
        return prelu_fail(err, prelu_status_from_errno(errno), "%s: %s", path, strerror(errno));
    for (size_t i = 0; i < e->data->n_pictures; i++)
        for (int t = 0; t < e->n_tests; t++)
            prediction_line(f, e, t, &e->records[(size_t)t * e->data->n_pictures + i]);
    failed = ferror(f) != 0;
    if (fclose(f) || failed)
        return prelu_fail(err, PRELU_E_IO, "%s: cannot be written whole", path);
    return PRELU_OK;
}
