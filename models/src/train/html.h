#ifndef TRAIN_HTML_H
#define TRAIN_HTML_H
#include "prelu/image.h"
#include <stdio.h>

/** A report as one file of HTML that needs no other, in the reader's light or dark colours. */
typedef struct train_html {
    FILE *f; /* print markup here; texts through train_html_text */
    char *path, *temporary;
} train_html;

/** @return E_IO, E_PERM, E_NOTFOUND, E_NOMEM. */
PRELU_MUST_CHECK prelu_status train_html_open(train_html *h, const char *path, const char *title,
                                              prelu_err *err);
/** End the page and give the file its name if st is OK; else take it away.
 *  @return st, or E_IO when not all of it could be written. */
PRELU_MUST_CHECK prelu_status train_html_close(train_html *h, prelu_status st, prelu_err *err);
/** A text as text: markup in it is escaped, and what is no UTF-8 shown as U+FFFD. */
void train_html_text(FILE *f, const char *text);
/** A figure cell of a table; NaN is a dash. */
void train_html_number(FILE *f, double value, int decimals);
/** A cell of a confusion matrix: the darker the larger its part of `all`; empty at 0. */
void train_html_cell(FILE *f, double count, double all);
/** The caption of a wrongly classified picture. */
void train_html_error(FILE *f, const char *label, double own, const char *taken_for, double score,
                      const char *name);
/** A picture, at most `side` pixels high and wide, as <img>. @return E_NOMEM. */
PRELU_MUST_CHECK prelu_status train_html_picture(FILE *f, const prelu_image *img, int side,
                                                 const char *what, prelu_err *err);
#endif
