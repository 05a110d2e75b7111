#ifndef PRELU_EXIF_H
#define PRELU_EXIF_H
#include <stddef.h>
#include <stdint.h>

/** Orientation (tag 0x0112 of the first directory) in the bytes of an APP1 segment, after its two
 *  length bytes. The bytes are hostile: nothing outside them is read, whatever they say.
 *  @return 1..8, or 0 when the segment is no Exif or holds no valid orientation. */
int img_exif_orientation(const uint8_t *app1, size_t len);
#endif
