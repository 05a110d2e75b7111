#ifndef MDL_AUGMENT_H
#define MDL_AUGMENT_H
#include "prelu/image.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Random choices of training. All are pure functions of (seed, epoch, picture), so that the number
 *  of threads, the batch size and a resume change nothing. */

typedef struct mdl_augment {
    int crop;                 /* side of the square view */
    int scale_min, scale_max; /* shorter side before cropping, uniform integer; >= crop */
    int translate; /* the crop may reach this far out of the picture; 2 * translate < crop */
    int cutout;    /* side of a square of the view that is painted over; 0..crop, 0 = none */
    bool flip;     /* mirrored with probability 1/2 */
    uint64_t seed;
    bool alternate; /* with flip: drawn for the first epoch, then every other one */
    /* Colour altering (Krizhevsky et al. 2012): to every pixel of a view is added the sum of
     * directions i times N(0, colour^2); 0 = none. */
    double colour;
    float directions[3][3];
    uint8_t mean[3]; /* R, G, B that the cut out square is painted with */
} mdl_augment;

typedef struct mdl_choice {
    int width, height; /* of the whole resized picture */
    int x, y;          /* of the crop in it; what reaches out of it shows it reflected */
    bool mirror;
    int shift[3];      /* added to R, G, B */
    prelu_rect cutout; /* in the view before it is mirrored; empty = none */
} mdl_choice;

/** @return E_ARG naming the member that is out of its range. */
PRELU_MUST_CHECK prelu_status mdl_augment_check(const mdl_augment *a, prelu_err *err);

/** One draw for `picture` of size width x height in `epoch`, with options that were checked.
 *  @return as prelu_resized_size. */
PRELU_MUST_CHECK prelu_status mdl_augment_draw(const mdl_augment *a, uint64_t epoch,
                                               uint64_t picture, int width, int height,
                                               mdl_choice *out, prelu_err *err);

/** The order of `epoch`: order[i] is a permutation of 0..n-1 by (seed, epoch); n < 2^32. */
void mdl_augment_order(uint64_t seed, uint64_t epoch, uint32_t *order, size_t n);

/** A 64-bit hash of (seed, epoch, picture, draw). */
uint64_t mdl_augment_random(uint64_t seed, uint64_t epoch, uint64_t picture, uint64_t draw);
#endif
