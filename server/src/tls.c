#define _POSIX_C_SOURCE 200809L
#include "tls.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CHAIN_MOST = 10 };

/* Handshakes may still use an older one, so none is freed before the end; reloads are rare. */
typedef struct identity {
    struct identity *older;
    gnutls_pcert_st chain[CHAIN_MOST];
    unsigned n;
    gnutls_privkey_t key;
} identity;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static identity *current; /* under lock */

static void identity_free(identity *id)
{
    for (unsigned i = 0; i < id->n; i++)
        gnutls_pcert_deinit(&id->chain[i]);
    if (id->key)
        gnutls_privkey_deinit(id->key);
    prelu_free(id);
}

static prelu_status bad(prelu_err *err, const char *flag, const char *path, int code)
{
    return prelu_fail(err, PRELU_E_FORMAT, "%s %s: %s", flag, path, gnutls_strerror(code));
}

static prelu_status readable(const char *flag, const char *path, prelu_err *err)
{
    if (access(path, R_OK) == 0)
        return PRELU_OK;
    return prelu_fail(err, prelu_status_from_errno(errno), "%s %s: %s", flag, path,
                      strerror(errno));
}

static prelu_status read_chain(identity *id, const char *path, prelu_err *err)
{
    unsigned n = CHAIN_MOST;
    PRELU_TRY(readable("--tls-cert", path, err));
    int e =
        gnutls_pcert_list_import_x509_file(id->chain, &n, path, GNUTLS_X509_FMT_PEM, NULL, NULL, 0);
    if (e < 0)
        return bad(err, "--tls-cert", path, e);
    id->n = n;
    return PRELU_OK;
}

static prelu_status read_key(identity *id, const char *path, prelu_err *err)
{
    gnutls_datum_t pem;
    PRELU_TRY(readable("--tls-key", path, err));
    int e = gnutls_load_file(path, &pem);
    if (e >= 0) {
        e = gnutls_privkey_init(&id->key);
        if (e >= 0)
            e = gnutls_privkey_import_x509_raw(id->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
        gnutls_memset(pem.data, 0, pem.size);
        gnutls_free(pem.data);
    }
    return e < 0 ? bad(err, "--tls-key", path, e) : PRELU_OK;
}

/* That the key is the leaf's; and a warning in the log where the leaf's time is over. */
static prelu_status check_pair(const identity *id, const char *cert, const char *key,
                               prelu_err *err)
{
    gnutls_pubkey_t pub = NULL;
    gnutls_x509_crt_t leaf = NULL;
    unsigned char a[64], b[64];
    size_t an = sizeof a, bn = sizeof b;
    int e = gnutls_pubkey_init(&pub);
    if (e >= 0)
        e = gnutls_pubkey_import_privkey(pub, id->key, 0, 0);
    if (e >= 0)
        e = gnutls_pubkey_get_key_id(pub, GNUTLS_KEYID_USE_SHA256, a, &an);
    if (e >= 0)
        e = gnutls_pubkey_get_key_id(id->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, b, &bn);
    if (e >= 0)
        e = gnutls_pcert_export_x509((gnutls_pcert_st *)&id->chain[0], &leaf);
    prelu_status st = PRELU_OK;
    if (e < 0)
        st = bad(err, "--tls-key", key, e);
    else if (an != bn || memcmp(a, b, an) != 0)
        st = prelu_fail(err, PRELU_E_FORMAT, "--tls-key %s is not the key of --tls-cert %s", key,
                        cert);
    else if (gnutls_x509_crt_get_expiration_time(leaf) < time(NULL))
        prelu_log(PRELU_LOG_WARN, "--tls-cert %s has expired", cert);
    gnutls_x509_crt_deinit(leaf);
    gnutls_pubkey_deinit(pub);
    return st;
}

prelu_status srv_tls_load(const char *cert, const char *key, prelu_err *err)
{
    identity *id = prelu_calloc(1, sizeof *id);
    if (!id)
        return prelu_fail(err, PRELU_E_NOMEM, "certificate: no memory");
    prelu_status st = read_chain(id, cert, err);
    if (!st)
        st = read_key(id, key, err);
    if (!st)
        st = check_pair(id, cert, key, err);
    if (st) {
        identity_free(id);
        return st;
    }
    pthread_mutex_lock(&lock);
    id->older = current;
    current = id;
    pthread_mutex_unlock(&lock);
    return PRELU_OK;
}

static int retrieve(gnutls_session_t session, const gnutls_datum_t *ca, int n_ca,
                    const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
                    gnutls_pcert_st **chain, unsigned *n, gnutls_privkey_t *key)
{
    (void)session, (void)ca, (void)n_ca, (void)algorithms, (void)n_algorithms;
    pthread_mutex_lock(&lock);
    *chain = current->chain;
    *n = current->n;
    *key = current->key;
    pthread_mutex_unlock(&lock);
    return 0;
}

void *srv_tls_callback(void)
{
    gnutls_certificate_retrieve_function2 *f = retrieve;
    void *p = NULL;
    if (current)
        memcpy(&p, &f, sizeof p); /* POSIX: both are of one size */
    return p;
}

void srv_tls_unload(void)
{
    while (current) {
        identity *older = current->older;
        identity_free(current);
        current = older;
    }
}
