#ifndef GR_FEED_H
#define GR_FEED_H
#include "graph/passes.h"
#include "prelu/image.h"
#include "prelu/threads.h"

/** The edge of the graph: u8 views or row-major ONNX tensors become the engine's channels-last
 *  values; preprocessing's arithmetic, mirroring and strides happen here. */
typedef enum gr_feed_source { GR_FEED_NONE, GR_FEED_VIEWS, GR_FEED_LOGICAL } gr_feed_source;

typedef struct gr_feed {
    prelu_value value;
    gr_feed_source source;
    const prelu_view *views;
    const void *data;
} gr_feed;

/** Write the whole value to dst. @param a NULL or the arithmetic of a picture input. */
void gr_feed_run(const gr_feed *f, const prelu_shape *shape, prelu_dtype dtype,
                 const gr_input_affine *a, void *dst, prelu_pool *pool);
#endif
