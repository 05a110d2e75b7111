/* A program of a user: built against the installed tree alone, once by each way to find it. */
#include <prelu/image.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    static unsigned char jpeg[1 << 20];
    prelu_err err = {0};
    prelu_image full = {0}, small = {0};
    int w, h;
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
    size_t len = f ? fread(jpeg, 1, sizeof jpeg, f) : 0;
    if (prelu_jpeg_decode(&full, jpeg, len, 0, NULL, NULL, &err) ||
        prelu_resized_size(full.width, full.height, 36, NULL, &w, &h, &err) ||
        prelu_image_resize(&small, &full, w, h, NULL, &err)) {
        fprintf(stderr, "%s: %s\n", prelu_status_text(err.code), err.text);
        return EXIT_FAILURE;
    }
    printf("%dx%d -> %dx%d\n", full.width, full.height, small.width, small.height);
    prelu_image_deinit(&full);
    prelu_image_deinit(&small);
    return f ? fclose(f) : EXIT_FAILURE;
}
