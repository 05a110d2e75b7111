/* Any bytes as prelu-serve's --config file, and as values of its flags. */
#define _GNU_SOURCE /* memfd_create */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static void try_file(const uint8_t *data, size_t len)
{
    srv_config c;
    prelu_err err = {0};
    char path[40];
    int fd = memfd_create("config", 0);
    if (fd < 0 || (len && write(fd, data, len) != (ssize_t)len))
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    char *argv[] = {"prelu-serve", "--config", path};
    int code = srv_config_read(&c, 3, argv, no_env, &err);
    if (code ? code != SRV_EX_CONFIG || !err.text[0] : c.port < 0 || c.port > 65535)
        __builtin_trap();
    srv_config_deinit(&c);
    close(fd);
}

static void try_values(const uint8_t *data, size_t len)
{
    int64_t v;
    char text[64];
    size_t n = len < sizeof text ? len : sizeof text - 1;
    if (n)
        memcpy(text, data, n);
    text[n] = 0;
    if ((srv_parse_size(&v, text, NULL) == PRELU_OK && v < 0) ||
        (srv_parse_time(&v, text, NULL) == PRELU_OK && v < 0) ||
        (srv_parse_pixels(&v, text, NULL) == PRELU_OK && v < 0))
        __builtin_trap();
    const char *path = srv_config_split(text, &n);
    if (n ? path != text + n + 1 : path != text)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 65536)
        try_file(data, len);
    try_values(data, len);
    return 0;
}
