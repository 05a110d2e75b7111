#include "inflate.h"
#include "prelu/mem.h"
#include <stdint.h>
#include <string.h>
#include <zlib.h>

enum { PIECE = 16384, WINDOW = 15, GZIP_OR_ZLIB = 32 };

struct srv_inflate {
    z_stream z;
    size_t out;
    bool ended;
    unsigned char piece[PIECE];
};

static void *z_alloc(void *ctx, uInt n, uInt size)
{
    (void)ctx;
    return prelu_calloc(n, size);
}

static void z_free(void *ctx, void *p)
{
    (void)ctx;
    prelu_free(p);
}

prelu_status srv_inflate_create(srv_inflate **out, prelu_err *err)
{
    srv_inflate *s = prelu_calloc(1, sizeof *s);
    if (s) {
        s->z.zalloc = z_alloc;
        s->z.zfree = z_free;
    }
    if (!s || inflateInit2(&s->z, WINDOW + GZIP_OR_ZLIB) != Z_OK) {
        prelu_free(s);
        return prelu_fail(err, PRELU_E_NOMEM, "a compressed body");
    }
    *out = s;
    return PRELU_OK;
}

void srv_inflate_destroy(srv_inflate **s)
{
    if (!*s)
        return;
    inflateEnd(&(*s)->z);
    prelu_free(*s);
    *s = NULL;
}

prelu_status srv_inflate_feed(srv_inflate *s, const void *data, size_t len,
                              bool (*take)(void *ctx, const void *bytes, size_t n), void *ctx,
                              prelu_err *err)
{
    if (len > UINT32_MAX)
        return prelu_fail(err, PRELU_E_ARG, "a piece of %zu bytes", len);
    s->z.next_in = (Bytef *)data; /* zlib does not write to it */
    s->z.avail_in = (uInt)len;
    /* What fills the whole piece may have more behind it that needs no more input. */
    for (bool full = false; s->z.avail_in > 0 || full;) {
        if (s->ended)
            return prelu_fail(err, PRELU_E_FORMAT, "bytes after the end of a compressed body");
        s->z.next_out = s->piece;
        s->z.avail_out = PIECE;
        const int said = inflate(&s->z, Z_NO_FLUSH);
        const size_t n = PIECE - s->z.avail_out;
        if (said == Z_MEM_ERROR)
            return prelu_fail(err, PRELU_E_NOMEM, "a compressed body");
        if (said != Z_OK && said != Z_STREAM_END && said != Z_BUF_ERROR)
            return prelu_fail(err, PRELU_E_FORMAT, "a damaged compressed body");
        s->ended = said == Z_STREAM_END;
        full = s->z.avail_out == 0 && !s->ended;
        s->out += n;
        if (s->out > SRV_INFLATE_FREE && s->out / SRV_INFLATE_RATIO > s->z.total_in)
            return prelu_fail(err, PRELU_E_LIMIT,
                              "a body of more than %d bytes that expands more than %d times",
                              SRV_INFLATE_FREE, SRV_INFLATE_RATIO);
        if (n && !take(ctx, s->piece, n))
            return prelu_fail(err, PRELU_E_CANCELLED, "not taken");
        if (n == 0 && said == Z_BUF_ERROR)
            break; /* a whole number of pieces it was */
    }
    return PRELU_OK;
}

prelu_status srv_inflate_finish(const srv_inflate *s, prelu_err *err)
{
    return s->ended ? PRELU_OK
                    : prelu_fail(err, PRELU_E_FORMAT, "a compressed body that ends too early");
}
