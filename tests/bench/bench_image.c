/* The image path, one picture on one thread: a full decode, then a resize to shorter side 256; and,
 * in turns with the former, the loop of djpeg: libjpeg-turbo alone, into one row.
 *
 *     bench_image ROUNDS PICTURE.jpg...
 *
 * prints JSON: a line for each picture with medians in ms, and one with their sums. */
#define _POSIX_C_SOURCE 200809L
#include "prelu/image.h"
#include "prelu/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jpeglib.h>

enum { MOST = 10000 };

typedef struct figures {
    int width, height, components;
    double djpeg, decode, resize; /* ms */
} figures;

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

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    return x[n / 2];
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

/* A picture that it cannot read ends the program: prelu_jpeg_decode has read it before. */
static double time_djpeg(const void *jpeg, size_t len, int width)
{
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr errors;
    const double start = now();
    c.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&c);
    jpeg_mem_src(&c, jpeg, (unsigned long)len);
    jpeg_read_header(&c, TRUE);
    JSAMPROW row = prelu_alloc((size_t)width * 4);
    jpeg_start_decompress(&c);
    while (row && c.output_scanline < c.output_height)
        jpeg_read_scanlines(&c, &row, 1);
    jpeg_finish_decompress(&c);
    jpeg_destroy_decompress(&c);
    prelu_free(row);
    return now() - start;
}

static prelu_status time_ours(const void *jpeg, size_t len, figures *f, prelu_err *err)
{
    prelu_image full = {0}, small = {0};
    prelu_jpeg_info info;
    int w = 0, h = 0;
    const double start = now();
    prelu_status st = prelu_jpeg_decode(&full, jpeg, len, 0, NULL, &info, err);
    f->decode = now() - start;
    if (!st)
        st = prelu_resized_size(full.width, full.height, 256, NULL, &w, &h, err);
    const double middle = now();
    if (!st)
        st = prelu_image_resize(&small, &full, w, h, NULL, err);
    f->resize = now() - middle;
    if (!st) {
        f->width = info.width;
        f->height = info.height;
        f->components = info.components;
    }
    prelu_image_deinit(&full);
    prelu_image_deinit(&small);
    return st;
}

/* Each goes first in every other round; a round before them warms up and is not counted. */
static prelu_status measure(const char *path, int rounds, figures *f, prelu_err *err)
{
    static double djpeg[MOST], decode[MOST], resize[MOST];
    size_t len = 0;
    void *jpeg = read_file(path, &len);
    prelu_status st = time_ours(jpeg, len, f, err);
    for (int i = 0; i < rounds && !st; i++) {
        if (i % 2)
            djpeg[i] = time_djpeg(jpeg, len, f->width > f->height ? f->width : f->height);
        st = time_ours(jpeg, len, f, err);
        decode[i] = f->decode;
        resize[i] = f->resize;
        if (i % 2 == 0)
            djpeg[i] = time_djpeg(jpeg, len, f->width > f->height ? f->width : f->height);
    }
    prelu_free(jpeg);
    f->djpeg = median(djpeg, rounds);
    f->decode = median(decode, rounds);
    f->resize = median(resize, rounds);
    return st;
}

int main(int argc, char **argv)
{
    static double ratio[MOST];
    const int rounds = argc > 1 ? atoi(argv[1]) : 0, n = argc - 2;
    figures sum = {0};
    if (rounds < 1 || rounds > MOST || n < 1 || n > MOST) {
        fprintf(stderr, "usage: bench_image ROUNDS PICTURE.jpg...\n");
        return 64;
    }
    for (int i = 0; i < n; i++) {
        figures f;
        prelu_err err = {0};
        if (measure(argv[i + 2], rounds, &f, &err)) {
            fprintf(stderr, "bench_image: %s: %s\n", argv[i + 2], err.text);
            return 1;
        }
        const char *slash = strrchr(argv[i + 2], '/');
        ratio[i] = f.decode / f.djpeg;
        printf("{\"picture\":\"%s\",\"width\":%d,\"height\":%d,\"components\":%d,\"djpeg_ms\":%.4f,"
               "\"decode_ms\":%.4f,\"ratio\":%.3f,\"resize_ms\":%.4f}\n",
               slash ? slash + 1 : argv[i + 2], f.width, f.height, f.components, f.djpeg, f.decode,
               ratio[i], f.resize);
        sum.djpeg += f.djpeg;
        sum.decode += f.decode;
        sum.resize += f.resize;
    }
    const double middle = median(ratio, n); /* sorts them */
    printf("{\"pictures\":%d,\"djpeg_ms\":%.2f,\"decode_ms\":%.2f,\"ratio\":%.3f,", n, sum.djpeg,
           sum.decode, sum.decode / sum.djpeg);
    printf("\"ratio_median\":%.3f,\"ratio_most\":%.3f,\"resize_ms\":%.2f}\n", middle, ratio[n - 1],
           sum.resize);
    return 0;
}
