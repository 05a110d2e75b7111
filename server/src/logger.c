#define _POSIX_C_SOURCE 200809L
#include "logger.h"
#include "prelu/mem.h"
#include "srvjson.h"
#include "trace.h"
#include "utf8.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    srv_log_format format;
    prelu_log_level most;
} logger;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static void now_text(char out[32])
{
    struct timespec t;
    struct tm tm;
    char day[24];
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, 32, "%s.%03dZ", day, (int)(t.tv_nsec / 1000000));
}

static void put(const char *line, size_t len)
{
    /* A line that cannot be written has nowhere to be reported. */
    ssize_t n = write(STDERR_FILENO, line, len);
    (void)n;
}

static void put_json(srv_json *o)
{
    size_t len;
    char *line = srv_json_dump(o, &len);
    if (line) {
        line[len] = '\n'; /* in the place of the NUL */
        put(line, len + 1);
    }
    prelu_free(line);
}

static void sink(void *ctx, prelu_log_level level, const char *text)
{
    char when[32], line[1200];
    (void)ctx;
    now_text(when);
    if (logger.format == SRV_LOG_JSON) {
        srv_json *o = srv_json_object();
        srv_json_set_text(o, "ts", when);
        srv_json_set_text(o, "level", level_names[level]);
        srv_json_set_text(o, "msg", text);
        put_json(o);
        return;
    }
    int n = snprintf(line, sizeof line, "%s %-5s %s", when, level_names[level], text);
    if (n < 0)
        return;
    if ((size_t)n > sizeof line - 2)
        n = sizeof line - 2;
    srv_utf8_clean(line);
    line[n] = '\n';
    put(line, (size_t)n + 1);
}

void srv_logger_start(srv_log_format format, prelu_log_level most)
{
    logger.format = format;
    logger.most = most;
    prelu_log_set(sink, NULL, most);
}

static const char *method_name(srv_method m)
{
    return m == SRV_GET       ? "GET"
           : m == SRV_HEAD    ? "HEAD"
           : m == SRV_POST    ? "POST"
           : m == SRV_OPTIONS ? "OPTIONS"
                              : "OTHER";
}

void srv_logger_access(const srv_request_info *info, const char *route, const srv_outcome *o)
{
    char when[32], line[320], trace[SRV_TRACE_ID + 1];
    double ms = (double)(o->ended - info->started) * 1e-6;
    if (logger.most < PRELU_LOG_INFO)
        return;
    now_text(when);
    if (logger.format == SRV_LOG_TEXT) {
        int n = snprintf(line, sizeof line, "%s info  %s %s %d %zu bytes %.3f ms %s%s\n", when,
                         method_name(info->method), route, o->status, info->body_len, ms, info->id,
                         o->complete ? "" : " incomplete");
        if (n > 0 && (size_t)n < sizeof line)
            put(line, (size_t)n);
        return;
    }
    srv_json *j = srv_json_object();
    srv_json_set_text(j, "ts", when);
    srv_json_set_text(j, "level", "info");
    srv_json_set_text(j, "msg", "request");
    srv_json_set_text(j, "request_id", info->id);
    if (info->trace) {
        srv_trace_id(trace, info->trace);
        srv_json_set_text(j, "trace_id", trace);
    }
    srv_json_set_text(j, "method", method_name(info->method));
    srv_json_set_text(j, "route", route);
    srv_json_set_int(j, "status", o->status);
    if (o->code)
        srv_json_set_text(j, "code", o->code);
    srv_json_set_int(j, "bytes_in", (int64_t)info->body_len);
    srv_json_set_real(j, "duration_ms", ms);
    if (!o->complete)
        srv_json_set_bool(j, "complete", false);
    put_json(j);
}
