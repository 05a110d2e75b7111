#include "text.h"
#include "prelu/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Room for `more` bytes and the NUL. */
static bool grow(srv_text *t, size_t more)
{
    if (t->failed || more > t->limit || t->len > t->limit - more) {
        t->failed = true;
        return false;
    }
    size_t need = t->len + more + 1;
    if (need <= t->cap)
        return true;
    size_t cap = t->cap ? t->cap : 256;
    while (cap < need)
        cap += cap;
    char *data = prelu_realloc(t->data, cap);
    if (!data) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->cap = cap;
    return true;
}

void srv_text_add(srv_text *t, const void *bytes, size_t len)
{
    if (!grow(t, len))
        return;
    if (len)
        memcpy(t->data + t->len, bytes, len);
    t->len += len;
    t->data[t->len] = 0;
}

void srv_text_printf(srv_text *t, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        t->failed = true;
    else if (grow(t, (size_t)n)) {
        vsnprintf(t->data + t->len, (size_t)n + 1, fmt, again);
        t->len += (size_t)n;
    }
    va_end(again);
}

void srv_text_deinit(srv_text *t)
{
    prelu_free(t->data);
    t->data = NULL;
    t->len = t->cap = 0;
}
