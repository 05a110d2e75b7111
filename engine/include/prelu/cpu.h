#ifndef PRELU_CPU_H
#define PRELU_CPU_H
#include "prelu/status.h"

/** What the CPU, the OS and PRELU_CPU together allow, e.g. "ref blas avx2 avx512"; static text. */
const char *prelu_cpu_text(void);
/** Checks PRELU_CPU; E_ARG with the list of names when it is none of them. Call once at start. */
PRELU_MUST_CHECK prelu_status prelu_cpu_init(prelu_err *err);
#endif
