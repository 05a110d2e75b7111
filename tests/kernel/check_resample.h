#ifndef PRELU_TEST_CHECK_RESAMPLE_H
#define PRELU_TEST_CHECK_RESAMPLE_H
#include "kernels/kernels.h"

/** Byte-equal with the reference for 1..40 taps, all-white and random pixels, sizes 1, 2, 31..33,
 *  odd; guard bands on both sides of source and result. NULL, or what is wrong (static text). */
const char *check_resample_row_u8_text(krn_resample_row_u8_fn *fn);
const char *check_resample_column_u8_text(krn_resample_column_u8_fn *fn);
void check_resample_row_u8(krn_resample_row_u8_fn *fn, const char *name);
void check_resample_column_u8(krn_resample_column_u8_fn *fn, const char *name);
#endif
