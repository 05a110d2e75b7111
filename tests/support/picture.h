#ifndef PRELU_TEST_PICTURE_H
#define PRELU_TEST_PICTURE_H
#include "check.h"
#include "prelu/image.h"
#include "prelu/mem.h"

/** A binary PPM without comments, as Pillow writes it; prelu_image_deinit it. */
static inline prelu_image check_read_ppm(const char *name)
{
    size_t len;
    char *file = check_read_file(name, &len);
    prelu_image img = {0};
    int at = 0;
    if (len < 11 || sscanf(file, "P6 %d %d 255%n", &img.width, &img.height, &at) != 2)
        fail_msg("%s is no PPM", name);
    img.stride = (size_t)img.width * 3;
    size_t pixels = img.stride * (size_t)img.height;
    if ((size_t)at + 1 + pixels != len)
        fail_msg("%s: %zu bytes for %d x %d", name, len, img.width, img.height);
    img.data = prelu_alloc(pixels);
    memcpy(img.data, file + at + 1, pixels);
    free(file);
    return img;
}

/** A picture of random bytes; prelu_image_deinit it. */
static inline prelu_image check_random_picture(uint64_t *state, int width, int height)
{
    prelu_image img = {.width = width, .height = height, .stride = (size_t)width * 3};
    size_t len = img.stride * (size_t)height;
    img.data = prelu_alloc(len);
    for (size_t i = 0; i < len; i++)
        img.data[i] = (uint8_t)check_random(state);
    return img;
}

/** Same size, and no byte differs by more than `tol`. */
static inline void check_same_picture(const prelu_image *a, const prelu_image *b, int tol,
                                      const char *what)
{
    if (a->width != b->width || a->height != b->height)
        fail_msg("%s: %d x %d, not %d x %d", what, a->width, a->height, b->width, b->height);
    for (int y = 0; y < a->height; y++)
        for (int i = 0; i < a->width * 3; i++) {
            int p = a->data[(size_t)y * a->stride + (size_t)i];
            int q = b->data[(size_t)y * b->stride + (size_t)i];
            if (abs(p - q) > tol)
                fail_msg("%s: (%d,%d) channel %d is %d, not %d", what, i / 3, y, i % 3, p, q);
        }
}
#endif
