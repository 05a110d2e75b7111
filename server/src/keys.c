#define _POSIX_C_SOURCE 200809L
#include "keys.h"
#include "prelu/mem.h"
#include "prelu/sha256.h"
#include "query.h"
#include <errno.h>
#include <nettle/memops.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { HEX = 64, FILE_MOST = 1 << 20 };

typedef struct key_list {
    size_t n;
    char hex[][HEX];
} key_list;

struct srv_keys {
    char *path;
    pthread_mutex_t lock; /* of `list` */
    key_list *list;
};

static bool is_hex(const char *text)
{
    return strspn(text, "0123456789abcdef") == HEX && text[HEX] == 0;
}

/* One line, its end cut off. */
static prelu_status read_line(key_list *l, char *line, size_t number, prelu_err *err)
{
    char *colon = strchr(line, ':');
    if (line[0] == 0 || line[0] == '#')
        return PRELU_OK;
    if (colon)
        *colon = 0;
    if (!colon || !srv_name_ok(line) || !is_hex(colon + 1))
        return prelu_fail(err, PRELU_E_FORMAT, "line %zu is not name:sha256 (64 lower-case digits)",
                          number);
    if (l->n == SRV_MAX_KEYS)
        return prelu_fail(err, PRELU_E_LIMIT, "line %zu: more than %d keys", number, SRV_MAX_KEYS);
    memcpy(l->hex[l->n++], colon + 1, HEX);
    return PRELU_OK;
}

static prelu_status read_lines(key_list *l, FILE *f, prelu_err *err)
{
    char line[256];
    size_t total = 0;
    for (size_t number = 1; fgets(line, sizeof line, f); number++) {
        size_t len = strlen(line);
        total += len;
        if (total > FILE_MOST)
            return prelu_fail(err, PRELU_E_LIMIT, "more than %d bytes", FILE_MOST);
        if (len + 1 == sizeof line && line[len - 1] != '\n')
            return prelu_fail(err, PRELU_E_FORMAT, "line %zu is longer than %zu bytes", number,
                              sizeof line - 2);
        line[strcspn(line, "\r\n")] = 0;
        PRELU_TRY(read_line(l, line, number, err));
    }
    if (ferror(f))
        return prelu_fail(err, PRELU_E_IO, "%s", strerror(errno));
    return l->n ? PRELU_OK : prelu_fail(err, PRELU_E_FORMAT, "there is no key in it");
}

static prelu_status read_file(key_list **out, const char *path, prelu_err *err)
{
    prelu_err why = {0};
    FILE *f = fopen(path, "re");
    if (!f)
        return prelu_fail(err, prelu_status_from_errno(errno), "--api-key-file %s: %s", path,
                          strerror(errno));
    key_list *l = prelu_calloc(1, sizeof *l + SRV_MAX_KEYS * sizeof l->hex[0]);
    prelu_status st = l ? read_lines(l, f, &why) : prelu_fail(&why, PRELU_E_NOMEM, "no memory");
    fclose(f);
    if (st) {
        prelu_free(l);
        return prelu_fail(err, st, "--api-key-file %s: %s", path, why.text);
    }
    *out = l;
    return PRELU_OK;
}

prelu_status srv_keys_load(srv_keys **out, const char *path, prelu_err *err)
{
    srv_keys *k = prelu_calloc(1, sizeof *k);
    if (!k)
        return prelu_fail(err, PRELU_E_NOMEM, "keys: no memory");
    pthread_mutex_init(&k->lock, NULL);
    k->path = prelu_strdup(path);
    prelu_status st = k->path ? read_file(&k->list, path, err)
                              : prelu_fail(err, PRELU_E_NOMEM, "keys: no memory");
    if (st)
        srv_keys_destroy(&k);
    *out = k;
    return st;
}

prelu_status srv_keys_reload(srv_keys *k, prelu_err *err)
{
    key_list *fresh;
    PRELU_TRY(read_file(&fresh, k->path, err));
    pthread_mutex_lock(&k->lock);
    key_list *old = k->list;
    k->list = fresh;
    pthread_mutex_unlock(&k->lock);
    prelu_free(old);
    return PRELU_OK;
}

bool srv_keys_known(srv_keys *k, const char *key, size_t len)
{
    char hex[HEX + 1];
    bool known = false;
    if (len == 0 || len > SRV_MAX_KEY_LEN)
        return false;
    prelu_sha256_text(hex, key, len);
    pthread_mutex_lock(&k->lock);
    for (size_t i = 0; i < k->list->n; i++) /* all of them, whatever was found */
        known |= memeql_sec(k->list->hex[i], hex, HEX) == 1;
    pthread_mutex_unlock(&k->lock);
    return known;
}

void srv_keys_destroy(srv_keys **keys)
{
    srv_keys *k = *keys;
    if (!k)
        return;
    *keys = NULL;
    pthread_mutex_destroy(&k->lock);
    prelu_free(k->list);
    prelu_free(k->path);
    prelu_free(k);
}

const char *srv_keys_presented(const char *authorization, const char *api_key)
{
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return api_key;
    return authorization + 7 + strspn(authorization + 7, " ");
}
