#ifndef TRAIN_FISHER_H
#define TRAIN_FISHER_H
#include "prelu/status.h"
#include "prelu/threads.h"
#include <stddef.h>

/** He et al., ICCV 2015, section 2.2, on an activation f of a trained net and real data.
 *
 *  Behind f lies z = V f(y). In the Fisher information matrix of the weights of V, the block of the
 *  weights that units j and j' feed scales with E[f_j f_j']; for j != j' it lies off the diagonal,
 *  and as far as the units are independent it scales with
 *      E[f_j] E[f_j']                                                              (off-diagonal)
 *  The nearer the mean responses E[f_j] are to 0, the nearer is the matrix to block-diagonal, for
 *  which steps of plain gradient descent are good ones. If y has either sign half of the time,
 *      E[f] = 1/2 (E[y | y >= 0] + a E[y | y < 0])                                (mean response)
 *  and for y of N(0, s^2)
 *      E[f] = (1 - a) s / sqrt(2 pi),  E[f^2] = (1 + a^2) s^2 / 2                      (Gaussian)
 */

/** Units up to which the products of all pairs are kept. */
#define TRAIN_FISHER_PAIRS ((size_t)8192)

/** Sums over the responses of one activation. Zeroed is empty. */
typedef struct train_fisher {
    size_t units;
    size_t rows, pair_rows; /* that the sums are of */
    double *f, *f2;         /* by unit: sums of f and f^2 */
    double *y[2];           /* sums of y < 0 and of y >= 0, and how many of the rows these are */
    double *n[2];
    double *pairs; /* (units, units): sums of f_j f_j', j < j'; NULL above TRAIN_FISHER_PAIRS */
} train_fisher;

/** What the sums say; E[] is the mean over the data, and then over the units. */
typedef struct train_fisher_figures {
    double slope, positive;   /* mean a; part of y that is >= 0 */
    double mean, by_equation; /* E[f], and the equation's value for it */
    double rms;               /* sqrt(E[f^2]) */
    double gaussian;          /* E[f] / sqrt(E[f^2]) were y Gaussian of mean 0, with the mean a */
    double products;          /* mean of |E[f_j]| |E[f_j']| over pairs, over E[f^2] */
    double pairs;             /* mean of |E[f_j f_j']| over pairs, over E[f^2]; NaN: not kept */
} train_fisher_figures;

PRELU_MUST_CHECK prelu_status train_fisher_init(train_fisher *s, size_t units, prelu_err *err);
void train_fisher_deinit(train_fisher *s);
/** Add rows of units, before (y) and behind (f) the activation.
 *  @param stride  the pairs of every so many rows count, from the first on. The same sums on any
 *  number of threads. */
void train_fisher_add(train_fisher *s, const float *y, const float *f, size_t rows, size_t stride,
                      prelu_pool *pool);
/** @param slopes  of the units. Of no rows all is NaN. */
void train_fisher_make(const train_fisher *s, const double *slopes, train_fisher_figures *out);
#endif
