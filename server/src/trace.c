#include "trace.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* version 2, trace 32, span 16, flags 2 hex digits, with hyphens between */
enum { AT_TRACE = 3, AT_SPAN = 36, AT_FLAGS = 53 };

static bool is_hex(const char *text, size_t n) { return strspn(text, "0123456789abcdef") >= n; }

static bool is_zero(const char *text, size_t n) { return strspn(text, "0") >= n; }

/* A later version may have more behind the flags; ff is none. */
static bool is_valid(const char *t)
{
    const size_t len = strlen(t);
    if (len < SRV_TRACE_LEN || !is_hex(t, 2) || strncmp(t, "ff", 2) == 0)
        return false;
    if (len > SRV_TRACE_LEN && (strncmp(t, "00", 2) == 0 || t[SRV_TRACE_LEN] != '-'))
        return false;
    return t[2] == '-' && is_hex(t + AT_TRACE, SRV_TRACE_ID) && t[35] == '-' &&
           is_hex(t + AT_SPAN, 16) && t[52] == '-' && is_hex(t + AT_FLAGS, 2) &&
           !is_zero(t + AT_TRACE, SRV_TRACE_ID) && !is_zero(t + AT_SPAN, 16);
}

void srv_trace_make(char out[SRV_TRACE_LEN + 1], const char *given, const uint64_t random[3])
{
    snprintf(out, SRV_TRACE_LEN + 1, "00-%016llx%016llx-%016llx-00",
             (unsigned long long)(random[0] | 1), (unsigned long long)random[1],
             (unsigned long long)(random[2] | 1));
    if (!given || !is_valid(given))
        return;
    memcpy(out + AT_TRACE, given + AT_TRACE, SRV_TRACE_ID);
    memcpy(out + AT_FLAGS, given + AT_FLAGS, 2);
}

void srv_trace_id(char out[SRV_TRACE_ID + 1], const char *traceparent)
{
    memcpy(out, traceparent + AT_TRACE, SRV_TRACE_ID);
    out[SRV_TRACE_ID] = 0;
}
