#ifndef SRV_KEYS_H
#define SRV_KEYS_H
#include "prelu/status.h"
#include <stdbool.h>
#include <stddef.h>

/** API keys. The file holds no key, only its SHA-256: one line `name:sha256hex` for each, empty
 *  lines and lines that begin with '#' aside. The name says whose it is and may repeat, so that a
 *  key can be replaced without a gap. Thread-safe. */
typedef struct srv_keys srv_keys;

enum { SRV_MAX_KEYS = 4096, SRV_MAX_KEY_LEN = 4096 };

/** @return E_NOTFOUND, E_PERM, E_IO; E_FORMAT, naming the line, for a line that is not one, and for
 *  a file without a key; E_LIMIT above SRV_MAX_KEYS or 1 MiB. */
PRELU_MUST_CHECK prelu_status srv_keys_load(srv_keys **out, const char *path, prelu_err *err);
/** Read the file again. On failure the old keys stay. @return as srv_keys_load. */
PRELU_MUST_CHECK prelu_status srv_keys_reload(srv_keys *k, prelu_err *err);
/** In a time that does not depend on which key it is like. */
bool srv_keys_known(srv_keys *k, const char *key, size_t len);
/** NULLs *k; NULL is fine. */
void srv_keys_destroy(srv_keys **k);

/** The key a request presents: of `Authorization: Bearer KEY`, else of `X-API-Key: KEY`.
 *  @param authorization,api_key  values of the headers, NULL where absent.
 *  @return inside one of them; NULL when there is none. */
const char *srv_keys_presented(const char *authorization, const char *api_key);
#endif
