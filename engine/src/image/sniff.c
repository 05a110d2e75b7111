#include "image/img.h"
#include <string.h>

static const struct magic {
    unsigned at, len;
    const char *bytes, *name;
} magics[] = {
    {0, 8, "\x89PNG\r\n\x1a\n", "a PNG picture"},
    {0, 4, "GIF8", "a GIF picture"},
    {8, 4, "WEBP", "a WebP picture"},
    {0, 4, "II*\0", "a TIFF picture"},
    {0, 4, "MM\0*", "a TIFF picture"},
    {0, 4, "8BPS", "a Photoshop file"},
    {4, 8, "ftypheic", "a HEIC picture"},
    {4, 8, "ftypheix", "a HEIC picture"},
    {4, 8, "ftypmif1", "a HEIF picture"},
    {4, 8, "ftypavif", "an AVIF picture"},
    {4, 8, "\x6a\x50\x20\x20\r\n\x87\n", "a JPEG 2000 picture"},
    {0, 4, "\xff\x4f\xff\x51", "a JPEG 2000 picture"},
    {4, 8, "JXL \r\n\x87\n", "a JPEG XL picture"},
    {0, 2, "\xff\x0a", "a JPEG XL picture"},
    {0, 2, "BM", "a BMP picture"},
    {0, 5, "%PDF-", "a PDF document"},
    {0, 4, "PK\x03\x04", "a ZIP archive"},
    {0, 2, "\x1f\x8b", "gzip data"},
    {0, 5, "{\"id\"", "JSON text"},
};

/* Printable ASCII, white space, or the bytes of UTF-8's longer sequences. */
static bool is_text(const uint8_t *data, size_t len)
{
    size_t most = len < 256 ? len : 256;
    for (size_t i = 0; i < most; i++) {
        uint8_t b = data[i];
        bool space = b == '\t' || b == '\n' || b == '\r' || b == '\f';
        if ((b < 0x20 && !space) || b == 0x7f || b == 0xff || b == 0xfe)
            return false;
    }
    return true;
}

const char *img_looks_like(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++) {
        const struct magic *m = &magics[i];
        if (len >= m->at + m->len && !memcmp(data + m->at, m->bytes, m->len))
            return m->name;
    }
    return is_text(data, len) ? "text" : "data of an unknown kind";
}
