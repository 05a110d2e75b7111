/** The picture of --heatmap. */
#ifndef PRELU_CLIENT_HEATMAP_H
#define PRELU_CLIENT_HEATMAP_H

#include <stdbool.h>
#include <stddef.h>

#include "http_client.h"

/** Posts the picture at `from` and writes the PNG that comes back to `to`.
 *  @param http asks for one; its timeout holds. @return false with the reason in `why`. */
bool cli_heatmap_save(cli_http *http, const char *from, const char *to, char *why, size_t why_len);

#endif
