#ifndef KRN_PASSES_H
#define KRN_PASSES_H
#include <stddef.h>

/** What training does to values that are rows of c channels: one pass over the rows each. Sums over
 *  the rows are added to, in double and in rising order of the rows; every variant gives the same
 *  bits. */

/** z = (x - mean) * by + bias, and with slopes y = z > 0 ? z : slope * z; c values each. */
typedef struct krn_pass_norm {
    const float *mean, *by, *bias;
    const float *slope; /* NULL: y = z */
} krn_pass_norm;

typedef struct krn_passes {
    /** sum += x. */
    void (*add)(double *sum, const float *x, size_t rows, size_t c);
    /** sum += x - origin, square += its square; origin has c values. */
    void (*moments)(double *sum, double *square, const float *x, const float *origin, size_t rows,
                    size_t c);
    /** y as above. */
    void (*norm)(float *y, const float *x, const krn_pass_norm *n, size_t rows, size_t c);
    /** With dz = dy, where z <= 0 times slope: sum += dz, product += dz * (x - mean), and with
     *  slopes dslope += dy * z where z <= 0. */
    void (*norm_sums)(double *sum, double *product, double *dslope, const float *dy, const float *x,
                      const krn_pass_norm *n, size_t rows, size_t c);
    /** dx = by * (dz - less - (x - mean) * each); less and each have c values; dx == dy allowed. */
    void (*norm_grad)(float *dx, const float *dy, const float *x, const krn_pass_norm *n,
                      const float *less, const float *each, size_t rows, size_t c);
    /** Of y = x > 0 ? x : slope * x: dslope += dy * x where x <= 0, dx = dy, there times slope;
     *  dx == dy allowed. */
    void (*prelu_grad)(float *dx, double *dslope, const float *dy, const float *x,
                       const float *slope, size_t rows, size_t c);
    const char *name;
} krn_passes;
typedef const krn_passes krn_passes_f32_fn; /* the slot holds a pointer */
#endif
