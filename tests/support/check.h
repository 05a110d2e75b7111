#ifndef PRELU_TEST_CHECK_H
#define PRELU_TEST_CHECK_H
/* What the tests share on top of cmocka. Header only; a failed check ends the test at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "prelu/status.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** The call must succeed; its prelu_err is printed when it does not. */
#define check_ok(call, err)                                                                        \
    do {                                                                                           \
        prelu_status check_st_ = (call);                                                           \
        if (check_st_)                                                                             \
            fail_msg("%s: status %d: %s", #call, (int)check_st_, (err)->text);                     \
    } while (0)

/** The call must fail with `want`, and say something. Resets the error for the next call. */
#define check_fails(call, want, err)                                                               \
    do {                                                                                           \
        memset((err), 0, sizeof *(err));                                                           \
        prelu_status check_st_ = (call);                                                           \
        if (check_st_ != (want))                                                                   \
            fail_msg("%s: status %d, not %d: %s", #call, (int)check_st_, (int)(want),              \
                     (err)->text);                                                                 \
        if ((err)->code != (want) || !(err)->text[0])                                              \
            fail_msg("%s: the error is not filled", #call);                                        \
        memset((err), 0, sizeof *(err));                                                           \
    } while (0)

/** |a - b| <= tol; NaN is near nothing. */
#define check_near(a, b, tol)                                                                      \
    do {                                                                                           \
        double check_a_ = (double)(a), check_b_ = (double)(b);                                     \
        if (!(fabs(check_a_ - check_b_) <= (double)(tol)))                                         \
            fail_msg("%s = %.9g is not within %.3g of %s = %.9g", #a, check_a_, (double)(tol), #b, \
                     check_b_);                                                                    \
    } while (0)

/** Seed of this run: PRELU_SEED, else 1. Print it in a failure that depends on it. */
static inline uint64_t check_seed(void)
{
    const char *s = getenv("PRELU_SEED");
    return s ? strtoull(s, NULL, 0) : 1;
}

/** splitmix64; *state is any number. */
static inline uint64_t check_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/** Uniform in lo..hi, both included. */
static inline int check_random_int(uint64_t *state, int lo, int hi)
{
    return lo + (int)(check_random(state) % (uint64_t)((int64_t)hi - lo + 1));
}

/** Uniform in [lo, hi). */
static inline float check_random_float(uint64_t *state, float lo, float hi)
{
    return lo + (hi - lo) * (float)(check_random(state) >> 40) * 0x1p-24f;
}

/* Guard bands: `len` bytes, 64-byte aligned, between two bands of a known pattern. */
#define CHECK_BAND 128
static inline void *check_guard_new(size_t len)
{
    size_t all = (CHECK_BAND + len + CHECK_BAND + 63) / 64 * 64;
    uint8_t *block = aligned_alloc(64, all);
    if (!block)
        fail_msg("no memory for %zu bytes", len);
    memset(block, 0xa5, all);
    return block + CHECK_BAND;
}

/** Fails if a byte outside the `len` was written. */
static inline void check_guard_intact(const void *data, size_t len)
{
    const uint8_t *p = data;
    for (int i = 1; i <= CHECK_BAND; i++) {
        if (p[-i] != 0xa5)
            fail_msg("wrote %d bytes before the block", i);
        if (p[len + (size_t)i - 1] != 0xa5)
            fail_msg("wrote %d bytes past the block of %zu", i, len);
    }
}

static inline void check_guard_free(void *data)
{
    if (data)
        free((uint8_t *)data - CHECK_BAND);
}

/** All bytes of a file below the tests folder (or of an absolute path); free() it. The block has
 *  exactly *len bytes (at least one), so that a sanitizer sees a read past its end. */
static inline void *check_read_file(const char *name, size_t *len)
{
    char path[1024];
    snprintf(path, sizeof path, "%s%s%s", name[0] == '/' ? "" : PRELU_TEST_DIR,
             name[0] == '/' ? "" : "/", name);
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s", path);
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    void *data = calloc(1, size > 0 ? (size_t)size : 1);
    if (size < 0 || !data || fread(data, 1, (size_t)size, f) != (size_t)size)
        fail_msg("cannot read %s", path);
    fclose(f);
    *len = (size_t)size;
    return data;
}
#endif
