#include "bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cli_bytes_init(cli_bytes *b, size_t max) { *b = (cli_bytes){.max = max}; }

void cli_bytes_deinit(cli_bytes *b)
{
    size_t max = b->max;

    free(b->data);
    *b = (cli_bytes){.max = max};
}

void cli_bytes_clear(cli_bytes *b)
{
    b->len = 0;
    b->too_long = false;
    b->no_mem = false;
    if (b->data)
        b->data[0] = '\0';
}

bool cli_bytes_reserve(cli_bytes *b, size_t extra)
{
    size_t max = b->max && b->max < CLI_BYTES_MAX ? b->max : CLI_BYTES_MAX;
    size_t need;
    size_t cap;
    char *grown;

    if (b->too_long || b->no_mem)
        return false;
    if (extra > max - b->len) {
        b->too_long = true;
        return false;
    }
    need = b->len + extra + 1;
    if (need <= b->cap)
        return true;
    cap = b->cap < 64 ? 64 : b->cap;
    while (cap < need)
        cap *= 2; /* need <= 2^30 + 1, so this cannot wrap */
    grown = realloc(b->data, cap);
    if (!grown) {
        b->no_mem = true;
        return false;
    }
    b->data = grown;
    b->cap = cap;
    b->data[b->len] = '\0';
    return true;
}

bool cli_bytes_add(cli_bytes *b, const void *data, size_t len)
{
    if (!cli_bytes_reserve(b, len))
        return false;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return true;
}

bool cli_bytes_add_str(cli_bytes *b, const char *s) { return cli_bytes_add(b, s, strlen(s)); }

bool cli_bytes_add_char(cli_bytes *b, char c) { return cli_bytes_add(b, &c, 1); }

bool cli_bytes_add_fmt(cli_bytes *b, const char *fmt, ...)
{
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0 || !cli_bytes_reserve(b, (size_t)len))
        return false;
    va_start(args, fmt);
    vsnprintf(b->data + b->len, (size_t)len + 1, fmt, args);
    va_end(args);
    b->len += (size_t)len;
    return true;
}

const char *cli_bytes_str(const cli_bytes *b) { return b->data ? b->data : ""; }

char *cli_bytes_take(cli_bytes *b)
{
    char *s = NULL;

    if (cli_bytes_reserve(b, 0)) {
        s = b->data;
        b->data = NULL;
    }
    cli_bytes_deinit(b);
    return s;
}
