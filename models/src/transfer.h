#ifndef MDL_TRANSFER_H
#define MDL_TRANSFER_H
#include "prelu/model.h"

/** Training that starts from another model. */

/** Make the model tell `classes` other classes: the last layer with weights (fc or convolution)
 * gets as many units, whose weights and biases start at 0; labels become empty, figures and check
 * go.
 *  @return E_UNSUPPORTED the scores do not come from such a layer (the text names the node);
 *  E_FORMAT the rest of the graph insists on the old number; E_NOMEM. On failure the model is of no
 *  more use. */
PRELU_MUST_CHECK prelu_status mdl_new_head(prelu_model *m, int classes, prelu_err *err);

/** Fix `layer` (a node's name, or what nodes named "layer.x" begin with) and all that feeds it:
 *  their constants are no longer trained, BatchNorm uses its running statistics.
 *  @return E_ARG no such layer. */
PRELU_MUST_CHECK prelu_status mdl_freeze(prelu_model *m, const char *layer, prelu_err *err);
#endif
