#include "prelu/log.h"
#include <stdarg.h>
#include <stdio.h>

static struct {
    prelu_log_sink *sink;
    void *ctx;
    prelu_log_level most;
} target;

void prelu_log_set(prelu_log_sink *sink, void *ctx, prelu_log_level most)
{
    target.sink = sink;
    target.ctx = ctx;
    target.most = most;
}

void prelu_log(prelu_log_level level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    if (!target.sink || level > target.most)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    target.sink(target.ctx, level, line);
}
