#include "kernels/passes_loops.h"

const krn_passes krn_passes_f32__avx512 = KRN_PASSES_TABLE("avx512");
