#ifndef SRV_TLS_H
#define SRV_TLS_H
#include "prelu/status.h"

/** The server's certificate, for libmicrohttpd's TLS. tls.c is the only file that knows GnuTLS.
 *  One per process, because the library's callback has no context. */

/** Read a PEM chain, leaf first, and its PEM key; the first call and every later one, which
 * replaces them for new connections. On failure what was read before stays. Thread-safe.
 *  @return E_NOTFOUND, E_PERM; E_FORMAT, naming the file, for what is no certificate or key, and
 *  for a key that is not the certificate's. */
PRELU_MUST_CHECK prelu_status srv_tls_load(const char *cert, const char *key, prelu_err *err);
/** What MHD_OPTION_HTTPS_CERT_CALLBACK takes; NULL before anything was loaded. */
void *srv_tls_callback(void);
/** No connection may be open any more. */
void srv_tls_unload(void);
#endif
