#include "kernels/vec_avx2.h"
#include "kernels/winograd_f4.h"
#include "kernels/winograd_f4_grad.h"
#include "kernels/winograd_f4_output.h"

const krn_winograd krn_winograd_f32__avx2 = {.tiles = 224,
                                             .outputs = 32,
                                             .depth = 32,
                                             .strip = 32,
                                             .round = (size_t)3 << 20,
                                             .least = 98,
                                             .input = input,
                                             .filter = filter,
                                             .output = output,
                                             KRN_WINOGRAD_NAMES("avx2")};

const krn_winograd_grad krn_winograd_grad_f32__avx2 = {
    .spread = spread, .gather = gather, .name = "winograd f(4x4) f32 avx2"};
