/* Runs every file of a folder (argument, or PRELU_CORPUS) once through a fuzz target, so that any
 * compiler replays the corpus. Fails when there is no file to run. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* In a block of exactly its length, so that a sanitizer sees a read past the end. */
static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (!f || stat(path, &st)) {
        perror(path);
        if (f)
            fclose(f);
        return -1;
    }
    size_t len = (size_t)st.st_size;
    uint8_t *data = malloc(len ? len : 1);
    int failed = !data || fread(data, 1, len, f) != len;
    fclose(f);
    if (failed)
        fprintf(stderr, "%s: cannot be read\n", path);
    else
        LLVMFuzzerTestOneInput(data, len);
    free(data);
    return failed ? -1 : 0;
}

static int run_folder(const char *folder, int *files)
{
    DIR *dir = opendir(folder);
    if (!dir) {
        perror(folder);
        return -1;
    }
    int failed = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[4096];
        struct stat st;
        int len = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (len >= (int)sizeof path || stat(path, &st) || !S_ISREG(st.st_mode))
            continue;
        failed |= run_file(path);
        ++*files;
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : getenv("PRELU_CORPUS");
    int files = 0;
    if (!folder) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 64;
    }
    if (run_folder(folder, &files))
        return 1;
    printf("%d files of %s\n", files, folder);
    return files ? 0 : 1;
}
