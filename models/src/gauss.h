#ifndef MDL_GAUSS_H
#define MDL_GAUSS_H
#include <stddef.h>
#include <stdint.h>

/** Fill dst[0..count-1] with std * N(0,1). Element i is a function of (seed, stream, i) alone, made
 *  of IEEE additions, products, divisions and square roots, so every machine gets the same bits.
 *  @param stream  text that tells tensors apart: the tensor's name. */
void mdl_gauss_fill(float *dst, size_t count, double std, uint64_t seed, const char *stream);
#endif
