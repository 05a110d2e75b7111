/* The only user of zlib in this module. gzopen reads plain files too. */
#define _POSIX_C_SOURCE 200809L
#include "idx.h"
#include "prelu/mem.h"
#include <errno.h>
#include <string.h>
#include <zlib.h>

#define FIRST_PIECE ((size_t)1 << 20)

void mdl_idx_deinit(mdl_idx *idx)
{
    if (!idx)
        return;
    prelu_free(idx->data);
    memset(idx, 0, sizeof *idx);
}

/* Exactly len bytes; a gzip error, a damaged checksum and an early end are all E_FORMAT. */
static prelu_status read_all(gzFile f, const char *path, void *dst, size_t len, prelu_err *err)
{
    size_t done = 0;
    while (done < len) {
        size_t piece = len - done < FIRST_PIECE ? len - done : FIRST_PIECE;
        int n = gzread(f, (uint8_t *)dst + done, (unsigned)piece);
        if (n < 0) {
            int code = Z_OK;
            const char *text = gzerror(f, &code);
            return prelu_fail(err, code == Z_ERRNO ? PRELU_E_IO : PRELU_E_FORMAT, "%s", text);
        }
        if (n == 0)
            return prelu_fail(err, PRELU_E_FORMAT, "%s: ends after %zu of %zu bytes", path, done,
                              len);
        done += (size_t)n;
    }
    return PRELU_OK;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static prelu_status read_header(gzFile f, const char *path, int dims, mdl_idx *idx, size_t *len,
                                prelu_err *err)
{
    uint8_t head[16];
    PRELU_TRY(read_all(f, path, head, 4 + 4 * (size_t)dims, err));
    if (head[0] || head[1] || head[2] != 8 || head[3] != dims)
        return prelu_fail(err, PRELU_E_FORMAT, "%s: IDX magic %08x, expected %08x", path,
                          be32(head), 0x800u + (unsigned)dims);
    uint32_t count = be32(head + 4);
    uint32_t height = dims == 3 ? be32(head + 8) : 1, width = dims == 3 ? be32(head + 12) : 1;
    if (!count || !height || !width)
        return prelu_fail(err, PRELU_E_FORMAT, "%s: %u pictures of %u x %u", path, count, width,
                          height);
    if (height > MDL_IDX_MAX_SIDE || width > MDL_IDX_MAX_SIDE)
        return prelu_fail(err, PRELU_E_LIMIT, "%s: pictures of %u x %u, above %d", path, width,
                          height, MDL_IDX_MAX_SIDE);
    /* < 2^32 * 2^12 * 2^12: no overflow in 64 bits */
    *len = (size_t)count * height * width;
    if (*len > MDL_IDX_MAX_BYTES)
        return prelu_fail(err, PRELU_E_LIMIT, "%s: %zu bytes, above %zu", path, *len,
                          MDL_IDX_MAX_BYTES);
    idx->count = count;
    idx->height = (int)height;
    idx->width = (int)width;
    return PRELU_OK;
}

/* The block doubles as data arrives, up to what the header says. */
static prelu_status read_body(gzFile f, const char *path, mdl_idx *idx, size_t len, prelu_err *err)
{
    size_t cap = 0;
    uint8_t extra;
    while (cap < len) {
        size_t next = cap ? cap * 2 : FIRST_PIECE;
        if (next > len)
            next = len;
        uint8_t *grown = prelu_realloc(idx->data, next);
        if (!grown)
            return prelu_fail(err, PRELU_E_NOMEM, "%s: %zu bytes", path, next);
        idx->data = grown;
        PRELU_TRY(read_all(f, path, idx->data + cap, next - cap, err));
        cap = next;
    }
    /* Reading on to the end makes zlib check the gzip trailer. */
    int n = gzread(f, &extra, 1);
    if (n > 0)
        return prelu_fail(err, PRELU_E_FORMAT, "%s: more data than the header's %zu bytes", path,
                          len);
    if (n < 0) {
        int code = Z_OK;
        return prelu_fail(err, PRELU_E_FORMAT, "%s", gzerror(f, &code));
    }
    return PRELU_OK;
}

prelu_status mdl_idx_read(mdl_idx *out, const char *path, int dims, prelu_err *err)
{
    mdl_idx idx = {0};
    size_t len = 0;
    prelu_status st;
    errno = 0;
    gzFile f = gzopen(path, "rbe");
    if (!f) {
        int e = errno ? errno : ENOMEM;
        return prelu_fail(err, prelu_status_from_errno(e), "%s: %s", path, strerror(e));
    }
    gzbuffer(f, 128 * 1024);
    st = read_header(f, path, dims, &idx, &len, err);
    if (!st)
        st = read_body(f, path, &idx, len, err);
    if (gzclose(f) != Z_OK && !st)
        st = prelu_fail(err, PRELU_E_FORMAT, "%s: damaged at its end", path);
    if (st)
        mdl_idx_deinit(&idx);
    else
        *out = idx;
    return st;
}
