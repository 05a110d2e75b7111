#ifndef SRV_PNG_ENCODE_H
#define SRV_PNG_ENCODE_H
#include "prelu/image.h"

/** A picture as a PNG file; png_encode.c is the only file that knows libpng.
 *  @param out  owned by the caller (prelu_free). @return E_NOMEM, E_INTERNAL. */
PRELU_MUST_CHECK prelu_status srv_png_encode(char **out, size_t *len, const prelu_image *img,
                                             prelu_err *err);
#endif
