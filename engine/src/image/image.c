#include "image/img.h"
#include "prelu/mem.h"

void prelu_image_deinit(prelu_image *img)
{
    if (img) {
        prelu_free(img->data);
        *img = (prelu_image){0};
    }
}

prelu_status img_create(prelu_image *img, int width, int height, prelu_err *err)
{
    size_t stride, len;
    PRELU_TRY(prelu_mul((size_t)width, 3, &stride, err));
    PRELU_TRY(prelu_mul(stride, (size_t)height, &len, err));
    uint8_t *data = prelu_alloc(len);
    if (!data)
        return prelu_fail(err, PRELU_E_NOMEM, "picture of %d x %d: %zu bytes", width, height, len);
    *img = (prelu_image){.data = data, .width = width, .height = height, .stride = stride};
    return PRELU_OK;
}

prelu_image_limits img_limits(const prelu_image_limits *given)
{
    prelu_image_limits l = given ? *given : (prelu_image_limits){0};
    if (!l.max_pixels)
        l.max_pixels = 50000000;
    if (!l.max_resized_pixels)
        l.max_resized_pixels = 16000000;
    if (!l.max_scans)
        l.max_scans = 500;
    if (!l.max_decoder_bytes)
        l.max_decoder_bytes = (size_t)512 << 20;
    return l;
}
