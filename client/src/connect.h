/** From the command line's options to a ready HTTP client. */
#ifndef PRELU_CLIENT_CONNECT_H
#define PRELU_CLIENT_CONNECT_H

#include <stdio.h>

#include "http_client.h"
#include "options.h"

/** @param slots requests in flight at most. @param more of the query, "&key=value…" or "".
 *  @return CLI_EXIT_OK with *http set, else an exit code with the reason on `err`. */
int cli_connect(cli_http **http, const cli_options *o, unsigned slots, const char *more, FILE *err);

#endif
