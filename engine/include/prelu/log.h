#ifndef PRELU_LOG_H
#define PRELU_LOG_H
#include "prelu/status.h"

/** The library prints nothing itself: it hands finished lines to one sink set by the program. */
typedef enum prelu_log_level {
    PRELU_LOG_ERROR,
    PRELU_LOG_WARN,
    PRELU_LOG_INFO,
    PRELU_LOG_DEBUG
} prelu_log_level;

/** @param text one line without its end, borrowed for the call. Called from any thread. */
typedef void prelu_log_sink(void *ctx, prelu_log_level level, const char *text);

/** Set before threads start; NULL (the default) drops everything. Lines above `most` are dropped.
 */
void prelu_log_set(prelu_log_sink *sink, void *ctx, prelu_log_level most);
void prelu_log(prelu_log_level level, const char *fmt, ...) PRELU_PRINTF(2, 3);
#endif
