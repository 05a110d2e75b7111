#include "kernels/vec_avx2.h"
#include "kernels/winograd_f4.h"
#include "kernels/winograd_f4_grad.h"

const krn_winograd krn_winograd_f32__avx2 = {.tiles = 224,
                                             .outputs = 32,
                                             .depth = 32,
                                             .strip = 32,
                                             .round = (size_t)3 << 20,
                                             .least = 98,
                                             .input = input,
                                             .filter = filter,
                                             .output = output,
                                             .fly = "winograd f(4x4) f32 avx2, weights on the fly",
                                             .ahead = "winograd f(4x4) f32 avx2, weights ahead"};

const krn_winograd_grad krn_winograd_grad_f32__avx2 = {
    .spread = spread, .gather = gather, .name = "winograd f(4x4) f32 avx2"};
