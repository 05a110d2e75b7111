#ifndef PRELU_TEST_DATASET_FILES_H
#define PRELU_TEST_DATASET_FILES_H
/* Folders of JPEGs that the tests draw. POSIX; libjpeg only in the file that includes this. */
#include "check.h"
#include <ftw.h>
#include <jpeglib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct data_folder {
    char path[64];
} data_folder;

static inline void data_folder_make(data_folder *d)
{
    snprintf(d->path, sizeof d->path, "/tmp/prelu-data-XXXXXX");
    if (!mkdtemp(d->path))
        fail_msg("no folder below /tmp");
}

static inline int data_folder_remove_one(const char *path, const struct stat *s, int kind,
                                         struct FTW *at)
{
    (void)s, (void)kind, (void)at;
    return remove(path);
}

static inline void data_folder_remove(data_folder *d)
{
    nftw(d->path, data_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/** Write bytes to <folder>/<name>, making the folders above it. */
static inline void data_folder_write(const data_folder *d, const char *name, const void *data,
                                     size_t len)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", d->path, name);
    for (char *slash = path + strlen(d->path) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, len, f) != len)
        fail_msg("cannot write %s", path);
    fclose(f);
}

/** A JPEG: a bright square on noise, its place by `label`, its noise by `seed`. */
static inline void data_folder_jpeg(const data_folder *d, const char *name, int width, int height,
                                    int label, uint64_t seed)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr e;
    unsigned char *out = NULL, *row = malloc(3 * (size_t)width);
    unsigned long len = 0;
    c.err = jpeg_std_error(&e);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out, &len);
    c.image_width = (JDIMENSION)width;
    c.image_height = (JDIMENSION)height;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 90, TRUE);
    jpeg_start_compress(&c, TRUE);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            int bright = y * 2 / height == label % 2 && x * 2 / width == label / 2 % 2;
            for (int k = 0; k < 3; k++)
                row[3 * x + k] = (unsigned char)(check_random_int(&seed, 0, 80) + 150 * bright);
        }
        JSAMPROW rows[1] = {row};
        jpeg_write_scanlines(&c, rows, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    data_folder_write(d, name, out, len);
    free(out);
    free(row);
}
#endif
