#ifndef PRELU_IMG_H
#define PRELU_IMG_H
#include "prelu/image.h"

/** A packed picture of width x height, contents undefined; deinit it with prelu_image_deinit.
 *  @param width,height  > 0, already checked against a limit.
 *  @return E_LIMIT the size overflows; E_NOMEM. */
PRELU_MUST_CHECK prelu_status img_create(prelu_image *img, int width, int height, prelu_err *err);

/** `given` (NULL is fine) with each zero member replaced by its default. */
prelu_image_limits img_limits(const prelu_image_limits *given);

/** What bytes that are no JPEG look like: "a PNG picture", "text", ...; static text. */
const char *img_looks_like(const uint8_t *data, size_t len);
#endif
