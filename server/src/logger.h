#ifndef SRV_LOGGER_H
#define SRV_LOGGER_H
#include "config.h"
#include "http.h"
#include "prelu/log.h"

/** Lines on standard error, JSON or text, each in one write. Thread-safe once set up. */

/** Becomes the sink of prelu_log. */
void srv_logger_start(srv_log_format format, prelu_log_level most);
/** The access line of one exchange. @param route  its template: never the client's own path. */
void srv_logger_access(const srv_request_info *info, const char *route, const srv_outcome *outcome);
#endif
