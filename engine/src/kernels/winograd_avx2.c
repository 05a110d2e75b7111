#include "kernels/vec_avx2.h"
#include "kernels/winograd_vec.h"
#include "kernels/winograd_vec_grad.h"
#include "kernels/winograd_vec_output.h"

#define BLOCKS                                                                                     \
    .tiles = 224, .outputs = 32, .depth = 32, .strip = 32, .round = (size_t)3 << 20, .least = 98

const krn_winograd krn_winograd_f32__avx2 = {.taps = 3,
                                             .side = 4,
                                             .input = input,
                                             .filter = filter,
                                             .output = output,
                                             BLOCKS,
                                             KRN_WINOGRAD_NAMES("f(4x4) f32 avx2")};

const krn_winograd krn_winograd_2x2_f32__avx2 = {.taps = 2,
                                                 .side = 5,
                                                 .input = input,
                                                 .filter = filter_2x2,
                                                 .output = output_2x2,
                                                 BLOCKS,
                                                 KRN_WINOGRAD_NAMES("f(5x5) f32 avx2")};

const krn_winograd_grad krn_winograd_grad_f32__avx2 = {
    .taps = 3, .side = 4, .spread = spread, .gather = gather, .name = "winograd f(4x4) f32 avx2"};

const krn_winograd_grad krn_winograd_2x2_grad_f32__avx2 = {.taps = 2,
                                                           .side = 5,
                                                           .spread = spread_2x2,
                                                           .gather = gather_2x2,
                                                           .name = "winograd f(5x5) f32 avx2"};
