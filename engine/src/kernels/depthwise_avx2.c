#include "kernels/vec_avx2.h"
#include "kernels/depthwise_vec.h"

void krn_depthwise_f32__avx2(const krn_depthwise_args *g) { row_of_pixels(g); }
