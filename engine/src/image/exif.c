#include "image/exif.h"
#include <stdbool.h>
#include <string.h>

/* TIFF data: its own byte order, offsets counted from its first byte. */
struct tiff {
    const uint8_t *data;
    size_t len;
    bool big;
};

/* `n` (2 or 4) bytes at `at`, which the caller has checked to lie inside. */
static uint32_t number(const struct tiff *t, size_t at, size_t n)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | t->data[at + (t->big ? i : n - 1 - i)];
    return v;
}

/* The value of a directory entry if it is the orientation, else 0. An entry is tag (2), type (2),
 * count (4), value (4); a value shorter than 4 bytes stands at the front of its field. */
static int entry_orientation(const struct tiff *t, size_t at)
{
    enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4 };
    if (number(t, at, 2) != TAG_ORIENTATION || number(t, at + 4, 4) != 1)
        return 0;
    uint32_t type = number(t, at + 2, 2), value = 0;
    if (type == TYPE_SHORT)
        value = number(t, at + 8, 2);
    else if (type == TYPE_LONG)
        value = number(t, at + 8, 4);
    return value <= 8 ? (int)value : 0;
}

int img_exif_orientation(const uint8_t *app1, size_t len)
{
    enum { ID = 6, TIFF_HEADER = 8, ENTRY = 12 };
    if (len < ID + TIFF_HEADER || memcmp(app1, "Exif", 5) != 0)
        return 0;
    struct tiff t = {app1 + ID, len - ID, app1[ID] == 'M'};
    if (memcmp(t.data, t.big ? "MM" : "II", 2) != 0 || number(&t, 2, 2) != 42)
        return 0;
    size_t at = number(&t, 4, 4);
    if (at > t.len - 2)
        return 0;
    size_t count = number(&t, at, 2);
    at += 2;
    for (; count > 0 && t.len - at >= ENTRY; count--, at += ENTRY) {
        int orientation = entry_orientation(&t, at);
        if (orientation)
            return orientation;
    }
    return 0;
}
