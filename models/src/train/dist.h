#ifndef TRAIN_DIST_H
#define TRAIN_DIST_H
#include "prelu/train.h"
#include <stddef.h>

/** The processes of one command. prelu-train is one process (dist_one.c); prelu-train-mpi is as
 * many as mpirun starts (dist_mpi.c, the only user of mpi.h). Calls marked "all" must be made by
 * every process in the same order; only the main thread calls. */

/** Join the others. Takes what is MPI's out of the arguments. @return E_INTERNAL. */
PRELU_MUST_CHECK prelu_status train_dist_begin(int *argc, char ***argv, prelu_err *err);
/** Leave. A code other than 0 ends the other processes too, so that none waits for this one.
 *  @return code. */
int train_dist_end(int code);

int train_dist_rank(void); /* 0.. */
int train_dist_size(void);

/** All: OK if every process says OK; a process with a failure gets its own back, the others the
 *  first one's code with its rank. */
PRELU_MUST_CHECK prelu_status train_dist_agree(prelu_status st, prelu_err *err);
/** All: E_ARG, naming the first rank that differs, unless every process has the same bytes.
 *  @param what  for the message, e.g. "the command line". */
PRELU_MUST_CHECK prelu_status train_dist_same(const char *what, const void *data, size_t len,
                                              prelu_err *err);
/** All: on rank 0 the bytes of every process in rank order, into `all`, which has room for
 *  `all_len` of them; elsewhere `all` is not read. @return E_FORMAT on rank 0 if it is another
 *  number. */
PRELU_MUST_CHECK prelu_status train_dist_gather(const void *mine, size_t len, void *all,
                                                size_t all_len, prelu_err *err);
/** For steps that all processes share; NULL when there is one. Sums are made by the pool's threads,
 *  for each number in the order of the processes: the same number of them gives the same bits.
 *  @param pool  borrowed; the last one counts. */
const prelu_exchange *train_dist_exchange(prelu_pool *pool);
/** All: the sum over all processes, in place; the same bits on each. */
void train_dist_sum_doubles(double *x, size_t n);
/** All: the sum of the n of lower ranks. */
size_t train_dist_before(size_t n);
/** All: on every process the largest n. */
size_t train_dist_most(size_t n);
/** All: on every process the number of bytes that all have. */
size_t train_dist_total(size_t len);
#endif
