/** One call of prelu-classify: list, ask with several requests in flight, print in input order. */
#ifndef PRELU_CLIENT_RUN_H
#define PRELU_CLIENT_RUN_H

#include <stdio.h>

#include "options.h"

#define CLI_RETRY_AFTER_MAX_S 60.0 /* a server that asks for more gets no further try */

/** @param utf8 what cli_text_locale said. @return an exit code (options.h). */
int cli_run(const cli_options *o, bool utf8, FILE *out, FILE *err);

/** How long to wait before the next try.
 *  @param retry_after_s what the server asked for; < 0 if nothing: then 0.25 s, doubling per try.
 *  @param tries made so far, at least 1. @param index of the picture: spreads pictures that were
 *  refused together over a quarter of the wait. @return seconds, or < 0 to give up. */
double cli_retry_wait(double retry_after_s, unsigned tries, size_t index);

#endif
