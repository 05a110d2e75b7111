#ifndef MDL_MEAN_IMAGE_H
#define MDL_MEAN_IMAGE_H
#include "dataset.h"
#include "prelu/graph.h"

/** The colour that a net of ours subtracts from its input becomes a picture: the mean of the centre
 *  views of at most `sample` evenly spaced pictures. Unreadable ones are left out. The same result
 *  on any number of threads.
 *  @param g       owns the constant. @param resize,crop  of a centre view.
 *  @param sample  1..2^24. @param pool  may be NULL.
 *  @return E_ARG the net subtracts nothing by that name; E_FORMAT no picture is readable; E_NOMEM.
 */
PRELU_MUST_CHECK prelu_status mdl_mean_image(prelu_graph *g, const mdl_dataset *d, int resize,
                                             int crop, size_t sample, prelu_pool *pool,
                                             prelu_err *err);
#endif
