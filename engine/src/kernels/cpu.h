#ifndef KRN_CPU_H
#define KRN_CPU_H
#include "prelu/status.h"
#include <stdbool.h>
#include <stddef.h>

/** Capability bits; PRELU_CPU=ref|blas|avx2|avx512|avx512vnni|avx512bf16|amx caps them, each name
 *  includes those before it. */
enum {
    KRN_REF = 0,
    KRN_BLAS = 1 << 0,
    KRN_AVX2 = 1 << 1,   /* AVX2 and FMA3 */
    KRN_AVX512 = 1 << 2, /* F, BW, DQ, VL */
    KRN_VNNI = 1 << 3,
    KRN_BF16 = 1 << 4,
    KRN_AMX = 1 << 5 /* tile and bf16, and the kernel's permission to use them */
};

/** What CPU and OS offer, no cap. Asks the kernel for AMX state once per process. Thread-safe. */
unsigned krn_cpu_detect(void);
/** KRN_AMX if `request` (which sets errno) is granted, else 0 and a warning. */
unsigned krn_cpu_permit(bool (*request)(void));
/** Bits allowed by a cap's name; E_ARG with the list of names. NULL or "" = all. */
prelu_status krn_cpu_cap(const char *name, unsigned *mask, prelu_err *err);
/** detect, capped by PRELU_CPU (an unknown value is reported by prelu_cpu_init and caps nothing).
 */
unsigned krn_cpu_isa(void);
/** Bytes of a core's second-level cache, 1 MB where the system does not say: for block sizes, which
 *  must not change results. Thread-safe. */
size_t krn_cpu_l2(void);
#endif
