#ifndef PRELU_TEST_CHECK_ELEMENTWISE_H
#define PRELU_TEST_CHECK_ELEMENTWISE_H
#include "kernels/kernels.h"

/** What is wrong with a kernel, in words (static text), or NULL. The wrong kernels of
 *  test_checker.c must get a text. */
const char *check_prelu_f32_text(krn_prelu_f32_fn *fn);
const char *check_softmax_f32_text(krn_softmax_f32_fn *fn);
const char *check_max_f32_text(krn_max_f32_fn *fn);
const char *check_argmax_f32_text(krn_argmax_f32_fn *fn);

/** Fail the test with that text. */
void check_prelu_f32(krn_prelu_f32_fn *fn, const char *name);
void check_softmax_f32(krn_softmax_f32_fn *fn, const char *name);
void check_max_f32(krn_max_f32_fn *fn, const char *name);
void check_argmax_f32(krn_argmax_f32_fn *fn, const char *name);
#endif
