#include "svg.h"
#include "html.h"
#include <math.h>

enum { WIDTH = 620, HEIGHT = 340, LEFT = 62, RIGHT = 14, TOP = 12, BOTTOM = 46, COLORS = 8 };
/* Texts of named ticks are turned, and need more room. */
enum { NAMES_BOTTOM = 110 };

static int bottom(const train_chart *c) { return c->x_names ? NAMES_BOTTOM : BOTTOM; }

static double px(const train_plane *p, double x)
{
    const train_chart *c = &p->chart;
    return LEFT + (x - c->x_min) / (c->x_max - c->x_min) * (WIDTH - LEFT - RIGHT);
}

static double scaled(const train_chart *c, double y) { return c->log_y ? log10(y) : y; }

static double py(const train_plane *p, double y)
{
    const train_chart *c = &p->chart;
    const double lo = scaled(c, c->y_min), hi = scaled(c, c->y_max);
    return TOP + (hi - scaled(c, y)) / (hi - lo) * (HEIGHT - TOP - bottom(c));
}

static bool drawable(const train_chart *c, double y) { return isfinite(y) && (!c->log_y || y > 0); }

static void fit_axes(train_chart *c, const train_series *series, size_t n)
{
    double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
    for (size_t s = 0; s < n; s++)
        for (size_t i = 0; i < series[s].n; i++) {
            if (!drawable(c, series[s].y[i]))
                continue;
            x0 = fmin(x0, series[s].x[i]);
            x1 = fmax(x1, series[s].x[i]);
            y0 = fmin(y0, series[s].y[i]);
            y1 = fmax(y1, series[s].y[i]);
        }
    if (!(x0 <= x1))
        x0 = y0 = x1 = y1 = 1;
    if (!(c->x_min < c->x_max)) {
        c->x_min = x0;
        c->x_max = x1 > x0 ? x1 : x0 + 1;
    }
    if (c->y_min < c->y_max)
        return;
    if (c->log_y) {
        c->y_min = pow(10, floor(log10(y0)));
        c->y_max = pow(10, ceil(log10(y1 > y0 ? y1 : y0 * 1.01)));
        return;
    }
    const double room = y1 > y0 ? 0.05 * (y1 - y0) : fmax(fabs(y0) * 0.1, 1e-6);
    c->y_min = y0 >= 0 && y0 < 0.4 * y1 ? 0 : y0 - room;
    c->y_max = y1 + room;
}

/* The 1, 2 or 5 times a power of ten that gives some six steps. */
static double nice_step(double span)
{
    const double raw = span / 6, ten = pow(10, floor(log10(raw))), m = raw / ten;
    return ten * (m < 1.5 ? 1 : m < 3.5 ? 2 : m < 7.5 ? 5 : 10);
}

static void y_tick(const train_plane *p, double y)
{
    fprintf(p->f, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
            WIDTH - RIGHT, py(p, y), py(p, y));
    fprintf(p->f, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 6, py(p, y) + 4);
    if (p->chart.log_y)
        fprintf(p->f, "%.0e", y);
    else
        fprintf(p->f, "%.4g", fabs(y) < 1e-12 ? 0 : y);
    fputs("</text>", p->f);
}

static void y_axis(const train_plane *p)
{
    const train_chart *c = &p->chart;
    if (c->log_y) {
        const double lo = round(log10(c->y_min)), hi = round(log10(c->y_max));
        const double step = ceil((hi - lo) / 8);
        for (double e = lo; e <= hi + 0.5; e += step < 1 ? 1 : step)
            y_tick(p, pow(10, e));
        return;
    }
    const double step = nice_step(c->y_max - c->y_min);
    for (double y = ceil(c->y_min / step) * step; y <= c->y_max + step / 1e6; y += step)
        y_tick(p, y);
}

static void x_axis(const train_plane *p)
{
    const train_chart *c = &p->chart;
    const int y = HEIGHT - bottom(c);
    for (int i = 0; c->x_names && i <= (int)c->x_max; i++) {
        fprintf(p->f,
                "<text x=\"%.1f\" y=\"%d\" text-anchor=\"end\" "
                "transform=\"rotate(-55 %.1f %d)\">",
                px(p, i) + 4, y + 12, px(p, i) + 4, y + 12);
        train_html_text(p->f, c->x_names[i]);
        fputs("</text>", p->f);
    }
    if (c->x_names)
        return;
    const double step = nice_step(c->x_max - c->x_min);
    for (double x = ceil(c->x_min / step) * step; x <= c->x_max + step / 1e6; x += step)
        fprintf(p->f, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.4g</text>", px(p, x),
                y + 17, fabs(x) < 1e-12 ? 0 : x);
}

void train_svg_open(train_plane *p, FILE *f, const train_chart *chart, const train_series *series,
                    size_t n)
{
    *p = (train_plane){.f = f, .chart = *chart};
    fit_axes(&p->chart, series, n);
    const int low = HEIGHT - bottom(chart);
    fprintf(f, "<figure><svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\"><title>",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    train_html_text(f, chart->title);
    fputs("</title>", f);
    y_axis(p);
    x_axis(p);
    fprintf(f, "<path class=\"frame\" d=\"M%d %dV%dH%d\"/>", LEFT, TOP, low, WIDTH - RIGHT);
    fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (WIDTH + LEFT - RIGHT) / 2,
            HEIGHT - 6);
    train_html_text(f, chart->x_label);
    fprintf(f, "</text><text transform=\"translate(14 %d) rotate(-90)\" text-anchor=\"middle\">",
            (TOP + low) / 2);
    train_html_text(f, chart->y_label);
    fputs("</text>\n", f);
}

void train_svg_line(const train_plane *p, const train_series *s)
{
    bool gap = true;
    fprintf(p->f,
            "<path fill=\"none\" stroke=\"var(--c%d)\" stroke-width=\"2\" "
            "stroke-linejoin=\"round\"%s d=\"",
            s->color % COLORS, s->dash ? " stroke-dasharray=\"6 4\"" : "");
    for (size_t i = 0; i < s->n; i++) {
        const bool here = drawable(&p->chart, s->y[i]);
        if (here)
            fprintf(p->f, "%c%.1f %.1f", gap ? 'M' : 'L', px(p, s->x[i]), py(p, s->y[i]));
        gap = !here;
    }
    fputs("\"/>", p->f);
    for (size_t i = 0; i < s->n && s->marks; i++) {
        if (!drawable(&p->chart, s->y[i]))
            continue;
        fprintf(p->f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"var(--c%d)\"><title>",
                px(p, s->x[i]), py(p, s->y[i]), s->color % COLORS);
        train_html_text(p->f, s->name ? s->name : "");
        fprintf(p->f, " %.6g: %.6g</title></circle>", s->x[i], s->y[i]);
    }
    putc('\n', p->f);
}

void train_svg_bar(const train_plane *p, double x0, double x1, double y, int color,
                   const char *what)
{
    fprintf(p->f,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"var(--c%d)\" "
            "fill-opacity=\".75\"><title>",
            px(p, x0) + 1, py(p, y), px(p, x1) - px(p, x0) - 2, py(p, p->chart.y_min) - py(p, y),
            color % COLORS);
    train_html_text(p->f, what);
    fputs("</title></rect>\n", p->f);
}

void train_svg_close(train_plane *p, const train_series *series, size_t n)
{
    fputs("</svg><figcaption><b>", p->f);
    train_html_text(p->f, p->chart.title);
    fputs("</b><div class=\"key\">", p->f);
    for (size_t i = 0; i < n; i++) {
        if (!series[i].name)
            continue;
        fprintf(p->f, "<span><i%s style=\"border-color:var(--c%d)\"></i>",
                series[i].dash ? " class=\"dash\"" : "", series[i].color % COLORS);
        train_html_text(p->f, series[i].name);
        fputs("</span>", p->f);
    }
    fputs("</div></figcaption></figure>\n", p->f);
}

void train_svg_chart(FILE *f, const train_chart *chart, const train_series *series, size_t n)
{
    train_plane p;
    train_svg_open(&p, f, chart, series, n);
    for (size_t i = 0; i < n; i++)
        train_svg_line(&p, &series[i]);
    train_svg_close(&p, series, n);
}
