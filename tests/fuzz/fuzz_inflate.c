/* Any bytes as a compressed body, in pieces whose size the first byte says. */
#include "inflate.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { MAX_OUT = 4 << 20 };

static bool take(void *ctx, const void *bytes, size_t n)
{
    size_t *total = ctx;
    const unsigned char *p = bytes;
    volatile unsigned char sum = 0;
    for (size_t i = 0; i < n; i += 64) /* all of it must be there */
        sum = (unsigned char)(sum ^ p[i]);
    *total += n;
    return *total <= MAX_OUT;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    srv_inflate *s = NULL;
    size_t total = 0, piece = len ? (size_t)data[0] + 1 : 1;
    prelu_status st = srv_inflate_create(&s, NULL);
    for (size_t at = 1; !st && at < len; at += piece)
        st =
            srv_inflate_feed(s, data + at, len - at < piece ? len - at : piece, take, &total, NULL);
    /* What is let through is bounded by what came. */
    if (!st && total > SRV_INFLATE_FREE && total / SRV_INFLATE_RATIO > len)
        __builtin_trap();
    if (!st)
        st = srv_inflate_finish(s, NULL);
    srv_inflate_destroy(&s);
    return 0;
}
