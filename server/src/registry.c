#define _DEFAULT_SOURCE /* madvise */
#include "registry.h"
#include "fingerprint.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include "query.h"
#include "timer.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define BUNDLED "cifar10.onnx"
#define HASH_LATER ((size_t)64 << 20) /* bytes, some 50 ms */
#define HASH_PIECE ((size_t)8 << 20)

/* Where the program stands decides, so an installed tree can be moved. */
static prelu_status bundled_path(char *out, size_t room, prelu_err *err)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    char *slash = strrchr(exe, '/');
    if (slash)
        *slash = 0;
    int len = snprintf(out, room, "%s/../share/prelu/models/" BUNDLED, exe);
    if (slash && len > 0 && (size_t)len < room && access(out, F_OK) == 0)
        return PRELU_OK;
    len = snprintf(out, room, "%s/" BUNDLED, PRELU_SOURCE_MODELS);
    if (len > 0 && (size_t)len < room && access(out, F_OK) == 0)
        return PRELU_OK;
    return prelu_fail(err, PRELU_E_NOTFOUND,
                      "the bundled model " BUNDLED " is not installed; give --model PATH");
}

/* NAME of NAME=PATH, else the file's name without its extension. */
static prelu_status take_name(srv_model *m, const char *text, const char *path, size_t name_len,
                              prelu_err *err)
{
    const char *from = text;
    if (name_len == 0) {
        const char *slash = strrchr(path, '/');
        from = slash ? slash + 1 : path;
        const char *dot = strrchr(from, '.');
        name_len = dot && dot > from ? (size_t)(dot - from) : strlen(from);
    }
    if (name_len >= sizeof m->name)
        return prelu_fail(err, PRELU_E_ARG, "--model: a name of %zu characters; limit 128",
                          name_len);
    memcpy(m->name, from, name_len);
    m->name[name_len] = 0;
    if (!srv_name_ok(m->name))
        return prelu_fail(err, PRELU_E_ARG,
                          "--model: the file's name cannot name a model; use NAME=PATH");
    return PRELU_OK;
}

/* The entry for `model` of --preprocess or --labels: one with its name, else one without a name. */
static const char *option_for(const srv_list *l, const char *model)
{
    const char *found = NULL;
    for (int i = 0; i < l->n; i++) {
        size_t n;
        const char *value = srv_config_split(l->text[i], &n);
        if (n == 0)
            found = value;
        else if (strlen(model) == n && memcmp(model, l->text[i], n) == 0)
            return value;
    }
    return found;
}

/* A network that does not slide is still served, but not in a mode that it cannot do. */
static prelu_status plan_dense(srv_model *m, const srv_config *config, prelu_pool *pool,
                               prelu_err *err)
{
    const bool asked = config->mode == PRELU_MODE_DENSE || config->mode == PRELU_MODE_MULTISCALE;
    prelu_err why = {0};
    prelu_status st = prelu_model_plan_dense(&m->dense, m->model, m->plan,
                                             (prelu_precision)config->precision, pool, &why);
    if (!st)
        return PRELU_OK;
    if (st != PRELU_E_UNSUPPORTED || asked)
        return prelu_fail(err, st, "%s", why.text);
    snprintf(m->no_dense, sizeof m->no_dense, "%s", why.text);
    prelu_log(PRELU_LOG_INFO, "model %s: %s", m->name, m->no_dense);
    return PRELU_OK;
}

static prelu_status load_file(srv_model *m, const char *path, const srv_config *config,
                              prelu_pool *pool, prelu_err *err)
{
    prelu_model_options options = {.preprocess = option_for(&config->preprocess, m->name),
                                   .labels = option_for(&config->labels, m->name)};
    prelu_precision precision = (prelu_precision)config->precision;
    prelu_err why = {0};
    prelu_status st = prelu_model_load(&m->model, path, &options, &why);
    if (!st && m->model->map && m->model->map_len < HASH_LATER)
        srv_sha256_hex(m->sha256, m->model->map, m->model->map_len);
    if (!st)
        st = prelu_model_plan(&m->plan, m->model, precision, pool, &why);
    if (!st)
        st = prelu_model_verify_check(m->model, m->plan, precision, pool, &why);
    if (!st)
        st = plan_dense(m, config, pool, &why);
    if (st)
        return prelu_fail(err, st, "model %s: %s", m->name,
                          why.text[0] ? why.text : prelu_status_text(st));
    if (m->model->map_len >= HASH_LATER) { /* its map outlives the weights */
        m->file = m->model->map;
        m->file_len = m->model->map_len;
        m->model->map = NULL;
        m->model->map_len = 0;
    }
    prelu_model_drop_weights(m->model);
    prelu_model_mode_order(m->model, m->order);
    m->precision = prelu_precision_name(precision);
    return PRELU_OK;
}

static void add_entry(srv_registry *r, srv_model *m)
{
    srv_entry *e = &r->entries[r->n_entries++];
    *e = (srv_entry){.members = {m}, .n = 1};
    memcpy(e->name, m->name, sizeof e->name);
    memcpy(e->version, m->version, sizeof e->version);
}

static prelu_status add(srv_registry *r, const char *text, const srv_config *config,
                        prelu_pool *pool, prelu_err *err)
{
    int64_t start = srv_now();
    size_t name_len;
    const char *path = srv_config_split(text, &name_len);
    srv_model *m = &r->models[r->n];
    memset(m, 0, sizeof *m);
    PRELU_TRY(take_name(m, text, path, name_len, err));
    if (srv_registry_find(r, m->name))
        return prelu_fail(err, PRELU_E_ARG, "--model: two models are named %s", m->name);
    m->index = r->n++;
    snprintf(m->version, sizeof m->version, "1");
    PRELU_TRY(load_file(m, path, config, pool, err));
    m->load_seconds = (double)(srv_now() - start) * 1e-9;
    add_entry(r, m);
    prelu_log(PRELU_LOG_INFO, "model %s loaded in %.1f ms: %d classes, crop %d%s%s", m->name,
              m->load_seconds * 1e3, m->model->classes, m->model->preprocess.crop,
              m->file ? "" : ", sha256 ", m->sha256);
    return PRELU_OK;
}

/* "a,b": models by name. */
static prelu_status take_members(srv_registry *r, srv_entry *e, const char *list, prelu_err *err)
{
    for (const char *next = list; next;) {
        const size_t len = strcspn(next, ",");
        srv_model *found = NULL;
        for (int i = 0; i < r->n; i++)
            if (strlen(r->models[i].name) == len && memcmp(r->models[i].name, next, len) == 0)
                found = &r->models[i];
        if (!found)
            return prelu_fail(err, PRELU_E_ARG, "--ensemble %s: no --model is named \"%.*s\"",
                              e->name, (int)(len < 128 ? len : 128), next);
        if (e->n == PRELU_MAX_MEMBERS)
            return prelu_fail(err, PRELU_E_ARG, "--ensemble %s: more than %d models", e->name,
                              PRELU_MAX_MEMBERS);
        e->members[e->n++] = found;
        next = next[len] ? next + len + 1 : NULL;
    }
    return PRELU_OK;
}

/* NAME=a,b */
static prelu_status add_ensemble(srv_registry *r, const char *text, prelu_err *err)
{
    const prelu_model *models[PRELU_MAX_MEMBERS];
    prelu_err why = {0};
    size_t len;
    const char *list = srv_config_split(text, &len);
    srv_entry *e = &r->entries[r->n_entries];
    *e = (srv_entry){.version = "1"};
    if (len == 0 || len >= sizeof e->name)
        return prelu_fail(err, PRELU_E_ARG, "--ensemble: not of the form NAME=MODEL,MODEL");
    memcpy(e->name, text, len);
    if (srv_registry_find(r, e->name))
        return prelu_fail(err, PRELU_E_ARG, "--ensemble: %s is already the name of a model",
                          e->name);
    PRELU_TRY(take_members(r, e, list, err));
    for (int i = 0; i < e->n; i++)
        models[i] = e->members[i]->model;
    const prelu_status st = prelu_ensemble_check(models, (size_t)e->n, &why);
    if (st)
        return prelu_fail(err, st, "ensemble %s: %s", e->name, why.text);
    r->n_entries++;
    return PRELU_OK;
}

/* An entry's digest from those of its models. */
static void digest_entry(srv_entry *e)
{
    char digests[PRELU_MAX_MEMBERS * 64 + 1];
    for (int i = 0; i < e->n; i++)
        memcpy(digests + 64 * i, e->members[i]->sha256, 64);
    if (e->n == 1)
        memcpy(e->sha256, e->members[0]->sha256, sizeof e->sha256);
    else
        srv_sha256_hex(e->sha256, digests, 64 * (size_t)e->n);
}

/* Pages leave memory as they have been read. @return false when told to stop. */
static bool hash_file(srv_registry *r, srv_model *m)
{
    srv_sha256 *sha = srv_sha256_begin();
    char *from = m->file;
    for (size_t at = 0; sha && at < m->file_len && !atomic_load(&r->stop); at += HASH_PIECE) {
        const size_t n = m->file_len - at < HASH_PIECE ? m->file_len - at : HASH_PIECE;
        srv_sha256_add(sha, from + at, n);
        (void)madvise(from + at, n, MADV_DONTNEED);
    }
    srv_sha256_end(sha, m->sha256);
    return sha && !atomic_load(&r->stop);
}

static void *hash_all(void *ctx)
{
    srv_registry *r = ctx;
    for (int i = 0; i < r->n; i++) {
        srv_model *m = &r->models[i];
        if (!m->file)
            continue;
        if (!hash_file(r, m))
            return NULL;
        prelu_log(PRELU_LOG_INFO, "model %s: sha256 %s", m->name, m->sha256);
    }
    for (int i = 0; i < r->n_entries; i++)
        digest_entry(&r->entries[i]);
    atomic_store(&r->hashed, true);
    return NULL;
}

static void *hash_nicely(void *ctx)
{
    (void)setpriority(PRIO_PROCESS, 0, 10); /* on Linux, of this thread */
    return hash_all(ctx);
}

/* Large files in a thread of their own, so that the first answer need not wait. */
static prelu_status start_hashing(srv_registry *r, prelu_err *err)
{
    bool later = false;
    for (int i = 0; i < r->n; i++)
        later = later || r->models[i].file;
    if (!later) {
        hash_all(r);
        return PRELU_OK;
    }
    const int e = pthread_create(&r->hasher, NULL, hash_nicely, r);
    r->hashing = e == 0;
    return e ? prelu_fail(err, prelu_status_from_errno(e), "a thread: %s", strerror(e)) : PRELU_OK;
}

const char *srv_registry_digest(const srv_registry *r, const char *sha256)
{
    return atomic_load(&r->hashed) ? sha256 : "pending";
}

prelu_status srv_registry_load(srv_registry *r, const srv_config *config, prelu_pool *pool,
                               prelu_err *err)
{
    char path[PATH_MAX + 64];
    memset(r, 0, sizeof *r);
    if (config->models.n == 0) {
        PRELU_TRY(bundled_path(path, sizeof path, err));
        PRELU_TRY(add(r, path, config, pool, err));
    }
    for (int i = 0; i < config->models.n; i++)
        PRELU_TRY(add(r, config->models.text[i], config, pool, err));
    for (int i = 0; i < config->ensembles.n; i++)
        PRELU_TRY(add_ensemble(r, config->ensembles.text[i], err));
    return start_hashing(r, err);
}

void srv_registry_deinit(srv_registry *r)
{
    atomic_store(&r->stop, true);
    if (r->hashing)
        pthread_join(r->hasher, NULL);
    r->hashing = false;
    for (int i = 0; i < r->n; i++) {
        if (r->models[i].file)
            munmap(r->models[i].file, r->models[i].file_len);
        for (int k = 0; k < 2; k++)
            while (r->models[i].n_idle[k])
                prelu_session_destroy(&r->models[i].idle[k][--r->models[i].n_idle[k]]);
        prelu_plan_destroy(&r->models[i].dense); /* shares the other's weights */
        prelu_plan_destroy(&r->models[i].plan);
        prelu_model_destroy(&r->models[i].model);
    }
    r->n = r->n_entries = 0;
}

srv_entry *srv_registry_find(srv_registry *r, const char *name)
{
    for (int i = 0; i < r->n_entries; i++)
        if (!name || strcmp(r->entries[i].name, name) == 0)
            return &r->entries[i];
    return NULL;
}
