/* Any bytes through probe, decode (full and drafted) and a part of a resize. */
#include "prelu/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const prelu_image_limits limits = {
        .max_pixels = 1 << 20, .max_scans = 20, .max_decoder_bytes = 64 << 20};
    prelu_jpeg_info info = {0};
    prelu_image full = {0}, draft = {0}, part = {0};
    prelu_status probed = prelu_jpeg_probe(&info, data, len, &limits, NULL);
    prelu_status st = prelu_jpeg_decode(&full, data, len, 0, &limits, NULL, NULL);
    if (!st && (probed || full.width != info.width || full.height != info.height))
        __builtin_trap();
    if (!st) {
        prelu_rect r = {3, 2, 9, 11};
        if (prelu_image_resize(&part, &full, 16, 16, &r, NULL))
            __builtin_trap();
    }
    if (prelu_jpeg_decode(&draft, data, len, 8, &limits, NULL, NULL) == PRELU_OK && st)
        __builtin_trap(); /* the draft decodes what the full decoder refuses */
    prelu_image_deinit(&full);
    prelu_image_deinit(&draft);
    prelu_image_deinit(&part);
    return 0;
}
