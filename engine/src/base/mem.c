#define _GNU_SOURCE
#include "prelu/mem.h"
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A block is [64-byte header | data]; the header keeps the length for prelu_realloc. */
enum { HEADER = 64 };
#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_FROM ((size_t)8 << 20) /* below this a huge page wastes more than it saves */

static atomic_size_t calls;
static atomic_size_t fail_from; /* 0 = never */

static int must_fail(void)
{
    const size_t nth = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) + 1;
    const size_t from = atomic_load_explicit(&fail_from, memory_order_relaxed);
    return from != 0 && nth >= from;
}

size_t prelu_alloc_fail_from(size_t nth)
{
    const size_t made = atomic_exchange(&calls, 0);
    atomic_store(&fail_from, nth);
    return made;
}

void *prelu_alloc(size_t len)
{
    size_t total;
    void *base = NULL;
    const size_t align = len >= HUGE_FROM ? HUGE_PAGE : HEADER;
    if (must_fail() || len > SIZE_MAX / 2)
        return NULL;
    total = (len + HEADER + align - 1) / align * align;
    if (posix_memalign(&base, align, total) != 0)
        return NULL;
    if (align == HUGE_PAGE)
        (void)madvise(base, total, MADV_HUGEPAGE); /* advice only */
    memcpy(base, &len, sizeof len);
    return (char *)base + HEADER;
}

void *prelu_calloc(size_t n, size_t size)
{
    size_t len;
    void *p;
    if (__builtin_mul_overflow(n, size, &len))
        return NULL;
    p = prelu_alloc(len);
    if (p)
        memset(p, 0, len);
    return p;
}

void *prelu_realloc(void *ptr, size_t len)
{
    size_t old = 0;
    void *p;
    if (ptr)
        memcpy(&old, (char *)ptr - HEADER, sizeof old);
    p = prelu_alloc(len);
    if (!p)
        return NULL;
    if (ptr)
        memcpy(p, ptr, old < len ? old : len);
    prelu_free(ptr);
    return p;
}

char *prelu_strndup(const char *s, size_t len)
{
    char *p = prelu_alloc(len + 1);
    if (!p)
        return NULL;
    memcpy(p, s, len);
    p[len] = '\0';
    return p;
}

char *prelu_strdup(const char *s) { return prelu_strndup(s, strlen(s)); }

void prelu_free(void *ptr)
{
    if (ptr)
        free((char *)ptr - HEADER);
}
