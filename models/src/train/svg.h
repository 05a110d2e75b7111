#ifndef TRAIN_SVG_H
#define TRAIN_SVG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/** Charts in a report: SVG whose colours come from the page's style (html.c). */
typedef struct train_series {
    const char *name;
    const double *x, *y; /* a y that is not finite, or not positive on a log axis, leaves a gap */
    size_t n;
    int color; /* 0..; eight, then again */
    bool dash;
    bool marks; /* a dot for each value */
} train_series;

typedef struct train_chart {
    const char *title, *x_label, *y_label;
    double x_min, x_max, y_min, y_max; /* an axis with min >= max is fitted to the series */
    bool log_y;
    const char *const *x_names; /* NULL, or texts of the ticks at 0, 1, ... x_max */
} train_chart;

/** The plane of a chart while it is drawn. */
typedef struct train_plane {
    FILE *f;
    train_chart chart;
} train_plane;

/** Frame, axes and texts. @param series only for axes that are to fit them. */
void train_svg_open(train_plane *p, FILE *f, const train_chart *chart, const train_series *series,
                    size_t n);
void train_svg_line(const train_plane *p, const train_series *s);
void train_svg_bar(const train_plane *p, double x0, double x1, double y, int color,
                   const char *what);
/** End; a legend of the series that have a name. */
void train_svg_close(train_plane *p, const train_series *series, size_t n);
/** All of it. */
void train_svg_chart(FILE *f, const train_chart *chart, const train_series *series, size_t n);
#endif
