#ifndef PRELU_HEATMAP_H
#define PRELU_HEATMAP_H
#include "prelu/classify.h"

/** Where in a picture a class scores: of every window of dense testing its softmax score, of a
 *  window and its mirrored twin the mean.
 *
 *  The map is a grid of cells side by side. The centre of a cell is the centre of its window, the
 *  square of the network's training size; so the box of all cells is smaller than the picture, by
 *  about half a window on each side. All in pixels of the upright original. Where the width is no
 *  multiple of the network's stride, the twin lies some pixels beside the window, and the cell in
 *  the middle of both: the mirrored picture has the mirrored map. */
typedef struct prelu_heatmap {
    int rows, cols;
    float *scores;    /* (rows, cols), owned */
    double box[4];    /* left, top, right, bottom */
    double window[2]; /* width, height of a window */
} prelu_heatmap;

/** @param p,t  a prepared picture and its resolved test, dense or multiscale: several sizes are
 *              averaged at the largest one's places, interpolated.
 *  @param scores (n_rows, classes), as prelu_views_run gave them.
 *  @param out  on PRELU_OK release with prelu_heatmap_deinit. @return E_ARG, E_NOMEM. */
PRELU_MUST_CHECK prelu_status prelu_heatmap_make(prelu_heatmap *out, const prelu_prepared *p,
                                                 const prelu_model *m, const prelu_test *t,
                                                 const float *scores, int class_index,
                                                 prelu_err *err);
/** Let *into, the mean of n - 1 maps of one picture, be the mean of n. */
void prelu_heatmap_join(prelu_heatmap *into, const prelu_heatmap *other, size_t n);
void prelu_heatmap_deinit(prelu_heatmap *h);

#define PRELU_HEATMAP_SIDE 1024
/** The picture with the map laid over it, at most PRELU_HEATMAP_SIDE pixels: from nothing, where
 *  the score is 0, over blue and yellow to red at the map's highest score.
 *  @param picture whole and upright, of any size. @param width,height of the original.
 *  @param dst  on PRELU_OK owned by the caller (prelu_image_deinit). */
PRELU_MUST_CHECK prelu_status prelu_heatmap_paint(prelu_image *dst, const prelu_heatmap *h,
                                                  const prelu_image *picture, int width, int height,
                                                  prelu_err *err);
#endif
