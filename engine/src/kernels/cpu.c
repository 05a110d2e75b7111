#define _GNU_SOURCE
#include "kernels/cpu.h"
#include "prelu/cpu.h"
#include "prelu/log.h"
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>

enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6, XCR0_TILES = 0x60000 };

static uint64_t xcr0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return ((uint64_t)hi << 32) | lo;
}

/* Linux gives tile state to a process, for all its threads, on request only: 5.16 and later, unless
 * a sandbox or a small alternate signal stack is in the way. */
static bool request_amx(void)
{
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0;
}

static unsigned detect_x86(void)
{
    unsigned a, b, c, d, a1 = 0, b1, c1, d1, isa = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return 0;
    const unsigned fma = c & bit_FMA;
    const uint64_t x = xcr0();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    if (!__get_cpuid_count(7, 1, &a1, &b1, &c1, &d1))
        a1 = 0;
    const unsigned need512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if ((x & XCR0_AVX) == XCR0_AVX && (b & bit_AVX2) && fma)
        isa |= KRN_AVX2;
    if ((isa & KRN_AVX2) && (x & XCR0_AVX512) == XCR0_AVX512 && (b & need512) == need512)
        isa |= KRN_AVX512;
    if ((isa & KRN_AVX512) && (c & bit_AVX512VNNI))
        isa |= KRN_VNNI;
    if ((isa & KRN_AVX512) && (a1 & (1u << 5))) /* leaf 7.1 EAX: AVX512_BF16 */
        isa |= KRN_BF16;
    if ((isa & KRN_BF16) && (x & XCR0_TILES) == XCR0_TILES && (d & (1u << 22)) /* AMX-BF16 */
        && (d & (1u << 24)) /* AMX-TILE */)
        isa |= krn_cpu_permit(request_amx);
    return isa;
}
#else
static unsigned detect_x86(void) { return 0; }
#endif

unsigned krn_cpu_permit(bool (*request)(void))
{
    if (request())
        return KRN_AMX;
    prelu_log(PRELU_LOG_WARN, "the kernel refuses the use of AMX; AVX-512 is used instead: %s",
              strerror(errno));
    return 0;
}

static unsigned detected;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void detect_once(void) { detected = KRN_BLAS | detect_x86(); }

unsigned krn_cpu_detect(void)
{
    pthread_once(&once, detect_once);
    return detected;
}

static const struct {
    const char *name;
    unsigned bit;
} caps[] = {{"ref", KRN_REF},       {"blas", KRN_BLAS},       {"avx2", KRN_AVX2},
            {"avx512", KRN_AVX512}, {"avx512vnni", KRN_VNNI}, {"avx512bf16", KRN_BF16},
            {"amx", KRN_AMX}};
enum { N_CAPS = sizeof caps / sizeof *caps };

prelu_status krn_cpu_cap(const char *name, unsigned *mask, prelu_err *err)
{
    unsigned m = 0;
    *mask = ~0u;
    if (!name || !*name)
        return PRELU_OK;
    for (int i = 0; i < N_CAPS; i++) {
        m |= caps[i].bit;
        if (strcmp(name, caps[i].name) == 0) {
            *mask = m;
            return PRELU_OK;
        }
    }
    return prelu_fail(
        err, PRELU_E_ARG,
        "PRELU_CPU: unknown value '%.32s' (ref blas avx2 avx512 avx512vnni avx512bf16 "
        "amx)",
        name);
}

unsigned krn_cpu_isa(void)
{
    unsigned mask;
    if (krn_cpu_cap(getenv("PRELU_CPU"), &mask, NULL) != PRELU_OK)
        mask = ~0u;
    return krn_cpu_detect() & mask;
}

/* Whose convolutions: what PRELU_CONV may say. */
static const char *const convs[] = {"own",
#ifdef PRELU_WITH_ONEDNN
                                    "onednn",
#endif
                                    NULL};

prelu_status prelu_cpu_init(prelu_err *err)
{
    const char *conv = getenv("PRELU_CONV");
    bool known = !conv || !*conv;
    unsigned mask;
    for (int i = 0; convs[i]; i++)
        known = known || strcmp(conv, convs[i]) == 0;
    if (!known)
        return prelu_fail(err, PRELU_E_ARG,
                          "PRELU_CONV: unknown value (own; onednn in builds with it)");
    return krn_cpu_cap(getenv("PRELU_CPU"), &mask, err);
}

const char *prelu_cpu_text(void)
{
    static _Thread_local char text[80];
    const unsigned isa = krn_cpu_isa();
    strcpy(text, "ref");
    for (int i = 1; i < N_CAPS; i++)
        if (isa & caps[i].bit) {
            strcat(text, " ");
            strcat(text, caps[i].name);
        }
    return text;
}

static size_t l2_bytes;
static pthread_once_t l2_once = PTHREAD_ONCE_INIT;

static void ask_l2(void)
{
    long n = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    n = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    l2_bytes = n > 0 ? (size_t)n : (size_t)1 << 20;
}

size_t krn_cpu_l2(void)
{
    pthread_once(&l2_once, ask_l2);
    return l2_bytes;
}
