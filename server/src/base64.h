#ifndef SRV_BASE64_H
#define SRV_BASE64_H
#include "prelu/status.h"

/** Decode base64 as it stands in a JSON string ("\/" is a slash) in place.
 *  @param out_len  bytes, which begin at text. @return E_FORMAT. */
PRELU_MUST_CHECK prelu_status srv_base64_decode(char *text, size_t len, size_t *out_len,
                                                prelu_err *err);
#endif
