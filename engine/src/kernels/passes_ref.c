#include "kernels/passes_loops.h"

const krn_passes krn_passes_f32__ref = KRN_PASSES_TABLE("ref");
