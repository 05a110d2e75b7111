/* The image path, one picture on one thread: a full decode, then a resize to shorter side 256.
 *
 *     bench_image PICTURE.jpg [rounds 200]        prints JSON, medians in ms */
#define _POSIX_C_SOURCE 200809L
#include "prelu/image.h"
#include "prelu/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + 1e-6 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    char *p = prelu_alloc((size_t)16 << 20);
    *len = f && p ? fread(p, 1, (size_t)16 << 20, f) : 0;
    if (f)
        fclose(f);
    return p;
}

int main(int argc, char **argv)
{
    enum { MOST = 10000 };
    static double decode[MOST], resize[MOST];
    const int wanted = argc > 2 ? atoi(argv[2]) : 200, n = wanted > 0 && wanted < MOST ? wanted : 1;
    prelu_err err = {0};
    prelu_status st = PRELU_OK;
    prelu_jpeg_info info = {0};
    size_t len = 0;
    void *jpeg = argc > 1 ? read_file(argv[1], &len) : NULL;
    for (int i = 0; i < n && !st; i++) {
        prelu_image full = {0}, small = {0};
        int w = 0, h = 0;
        const double start = now();
        st = prelu_jpeg_decode(&full, jpeg, len, 0, NULL, &info, &err);
        decode[i] = now() - start;
        if (!st)
            st = prelu_resized_size(full.width, full.height, 256, NULL, &w, &h, &err);
        const double middle = now();
        if (!st)
            st = prelu_image_resize(&small, &full, w, h, NULL, &err);
        resize[i] = now() - middle;
        prelu_image_deinit(&full);
        prelu_image_deinit(&small);
    }
    prelu_free(jpeg);
    if (st) {
        fprintf(stderr, "bench_image: %s\n", err.text);
        return 1;
    }
    qsort(decode, (size_t)n, sizeof *decode, by_value);
    qsort(resize, (size_t)n, sizeof *resize, by_value);
    printf("{\"width\":%d,\"height\":%d,\"decode_ms\":%.4f,\"resize_ms\":%.4f}\n", info.width,
           info.height, decode[n / 2], resize[n / 2]);
    return 0;
}
