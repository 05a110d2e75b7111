#ifndef SRV_TRACE_H
#define SRV_TRACE_H
#include <stdint.h>

/** W3C Trace Context: our part of a caller's trace, or a trace of our own.
 *  @param given  the caller's `traceparent`, or NULL; one that is not well-formed counts as none.
 *  @param random 3 numbers, for the trace and our span.
 *  @param out    our `traceparent`: the caller's trace and flags, our span. */
enum { SRV_TRACE_LEN = 55, SRV_TRACE_ID = 32 };
void srv_trace_make(char out[SRV_TRACE_LEN + 1], const char *given, const uint64_t random[3]);
/** The trace's id in a `traceparent` of ours. */
void srv_trace_id(char out[SRV_TRACE_ID + 1], const char *traceparent);
#endif
