#include "utf8.h"
#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed sequence at p (RFC 3629), 0 if there is none. */
static size_t sequence(const unsigned char *p)
{
    size_t n;
    uint32_t c, least;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        n = 2, c = p[0] & 0x1f, least = 0x80;
    else if ((p[0] & 0xf0) == 0xe0)
        n = 3, c = p[0] & 0x0f, least = 0x800;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        n = 4, c = p[0] & 0x07, least = 0x10000;
    else
        return 0;
    for (size_t i = 1; i < n; i++) { /* the NUL at the end is no continuation byte */
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    return c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

void srv_utf8_clean(char *text)
{
    unsigned char *p = (unsigned char *)text;
    while (*p) {
        size_t n = sequence(p);
        if (n == 0 || *p < 0x20 || *p == 0x7f) {
            *p = '?';
            n = 1;
        }
        p += n;
    }
}
