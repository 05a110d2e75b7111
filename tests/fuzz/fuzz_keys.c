/* Any bytes as an --api-key-file, and its first line as what a client presents. */
#define _GNU_SOURCE /* memfd_create */
#include "keys.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void try_header(const uint8_t *data, size_t len)
{
    char line[256];
    size_t n = len < sizeof line ? len : sizeof line - 1;
    if (n)
        memcpy(line, data, n);
    line[n] = 0;
    const char *key = srv_keys_presented(line, NULL);
    if (key && (key < line || key > line + strlen(line)))
        __builtin_trap();
    if (srv_keys_presented(NULL, line) && srv_keys_presented(NULL, NULL))
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    srv_keys *keys = NULL;
    prelu_err err = {0};
    char path[40];
    int fd = memfd_create("keys", 0);
    if (fd < 0 || (len && write(fd, data, len) != (ssize_t)len))
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    prelu_status st = srv_keys_load(&keys, path, &err);
    if (st ? keys != NULL || !err.text[0] : srv_keys_reload(keys, &err) != PRELU_OK)
        __builtin_trap();
    if (!st && len < SRV_MAX_KEY_LEN && srv_keys_known(keys, (const char *)data, len))
        __builtin_trap(); /* the file would hold its own digest */
    srv_keys_destroy(&keys);
    close(fd);
    try_header(data, len);
    return 0;
}
