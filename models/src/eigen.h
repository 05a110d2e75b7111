#ifndef MDL_EIGEN_H
#define MDL_EIGEN_H
#include <stddef.h>

/** Eigenvalues and -vectors of a symmetric n x n matrix by Jacobi's rotations: `values` in
 *  descending order, row i of `vectors` (n x n) of length 1 belonging to values[i], its largest
 *  element positive. `matrix` is overwritten. */
void mdl_eigen(double *matrix, size_t n, double *values, double *vectors);
#endif
