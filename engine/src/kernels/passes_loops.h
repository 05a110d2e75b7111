#ifndef KRN_PASSES_LOOPS_H
#define KRN_PASSES_LOOPS_H
#include "kernels/kernels.h"

/* The loops of passes.h, plain enough that a compiler makes vectors of them; included by one file
 * for each instruction set. No operand is loaded after a choice, so no loop has a branch;
 * iterations are independent, also in place, where dx[j] is dy[j] itself. */
#if defined(__GNUC__) && !defined(__clang__) /* clang checks at run time */
#define LANEWISE _Pragma("GCC ivdep")
#else
#define LANEWISE
#endif

static void add(double *restrict sum, const float *restrict x, size_t rows, size_t c)
{
    for (; rows; rows--, x += c)
        for (size_t j = 0; j < c; j++)
            sum[j] += (double)x[j];
}

static void moments(double *restrict sum, double *restrict square, const float *restrict x,
                    const float *restrict origin, size_t rows, size_t c)
{
    for (; rows; rows--, x += c)
        for (size_t j = 0; j < c; j++) {
            const double d = (double)x[j] - (double)origin[j];
            sum[j] += d;
            square[j] += d * d;
        }
}

static void norm(float *restrict y, const float *restrict x, const krn_pass_norm *n, size_t rows,
                 size_t c)
{
    const float *restrict mean = n->mean, *restrict by = n->by, *restrict bias = n->bias;
    const float *restrict slope = n->slope;
    for (; rows && !slope; rows--, x += c, y += c)
        for (size_t j = 0; j < c; j++)
            y[j] = (x[j] - mean[j]) * by[j] + bias[j];
    for (; rows; rows--, x += c, y += c)
        for (size_t j = 0; j < c; j++) {
            const float z = (x[j] - mean[j]) * by[j] + bias[j], low = slope[j] * z;
            y[j] = z > 0.0f ? z : low;
        }
}

static void norm_sums(double *restrict sum, double *restrict product, double *restrict dslope,
                      const float *restrict dy, const float *restrict x, const krn_pass_norm *n,
                      size_t rows, size_t c)
{
    const float *restrict mean = n->mean, *restrict by = n->by, *restrict bias = n->bias;
    const float *restrict slope = n->slope;
    for (; rows && !slope; rows--, x += c, dy += c)
        for (size_t j = 0; j < c; j++) {
            sum[j] += (double)dy[j];
            product[j] += (double)dy[j] * (double)(x[j] - mean[j]);
        }
    for (; rows; rows--, x += c, dy += c)
        for (size_t j = 0; j < c; j++) {
            const float d = x[j] - mean[j], z = d * by[j] + bias[j];
            const float low = slope[j] * dy[j], part = dy[j] * z, dz = z > 0.0f ? dy[j] : low;
            sum[j] += (double)dz;
            product[j] += (double)dz * (double)d;
            dslope[j] += (double)(z > 0.0f ? 0.0f : part);
        }
}

static void norm_grad(float *dx, const float *dy, const float *x, const krn_pass_norm *n,
                      const float *less, const float *each, size_t rows, size_t c)
{
    const float *mean = n->mean, *by = n->by, *bias = n->bias, *slope = n->slope;
    for (; rows && !slope; rows--, x += c, dy += c, dx += c)
        LANEWISE
    for (size_t j = 0; j < c; j++)
        dx[j] = by[j] * (dy[j] - less[j] - (x[j] - mean[j]) * each[j]);
    for (; rows; rows--, x += c, dy += c, dx += c)
        LANEWISE
    for (size_t j = 0; j < c; j++) {
        const float d = x[j] - mean[j], z = d * by[j] + bias[j], g = dy[j], low = slope[j] * g;
        const float dz = z > 0.0f ? g : low;
        dx[j] = by[j] * (dz - less[j] - d * each[j]);
    }
}

static void prelu_grad(float *dx, double *restrict dslope, const float *dy, const float *x,
                       const float *slope, size_t rows, size_t c)
{
    for (; rows; rows--, x += c, dy += c, dx += c)
        LANEWISE
    for (size_t j = 0; j < c; j++) {
        const float v = x[j], g = dy[j], low = slope[j] * g, part = g * v;
        dslope[j] += (double)(v > 0.0f ? 0.0f : part);
        dx[j] = v > 0.0f ? g : low;
    }
}

#define KRN_PASSES_TABLE(isa)                                                                      \
    {                                                                                              \
        .add = add, .moments = moments, .norm = norm, .norm_sums = norm_sums,                      \
        .norm_grad = norm_grad, .prelu_grad = prelu_grad, .name = "passes f32 " isa                \
    }
#endif
