#ifndef MDL_WHITEN_H
#define MDL_WHITEN_H
#include "dataset.h"
#include "prelu/graph.h"

/** The first convolution of a net starts as filters that whiten patches of the data: the strongest
 *  principal directions of pixels (x - mean) / std, each divided by its deviation, and their
 *  negatives in turn. Filters beyond the directions keep what they hold.
 *  @param g  owns the weights. @return E_ARG no convolution of 3 channels and at most 7x7; E_FORMAT
 *  no picture can be read; E_NOMEM. */
PRELU_MUST_CHECK prelu_status mdl_whiten(prelu_graph *g, const mdl_dataset *d, const float mean[3],
                                         const float std[3], prelu_err *err);
#endif
