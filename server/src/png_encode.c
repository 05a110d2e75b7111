#include "png_encode.h"
#include "prelu/mem.h"
#include <png.h>

/* Into memory for the worst content: one pass is enough. */
prelu_status srv_png_encode(char **out, size_t *len, const prelu_image *img, prelu_err *err)
{
    png_image p = {.version = PNG_IMAGE_VERSION,
                   .width = (png_uint_32)img->width,
                   .height = (png_uint_32)img->height,
                   .format = PNG_FORMAT_RGB,
                   .flags = PNG_IMAGE_FLAG_FAST};
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(p); /* of any content */
    char *to = prelu_alloc(size);
    if (!to)
        return prelu_fail(err, PRELU_E_NOMEM, "a PNG of up to %zu bytes", (size_t)size);
    if (!png_image_write_to_memory(&p, to, &size, 0, img->data, (png_int_32)img->stride, NULL)) {
        prelu_free(to);
        return prelu_fail(err, PRELU_E_INTERNAL, "PNG: %s", p.message);
    }
    *out = to;
    *len = size;
    return PRELU_OK;
}
