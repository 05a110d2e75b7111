#define _DEFAULT_SOURCE /* madvise */
#include "registry.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include "prelu/sha256.h"
#include "timer.h"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define HASH_LATER ((size_t)64 << 20) /* bytes, some 50 ms */
#define HASH_PIECE ((size_t)8 << 20)

/* ---- one model ---- */

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
    prelu_log(PRELU_LOG_INFO, "model %s: %s", m->from.name, m->no_dense);
    return PRELU_OK;
}

static prelu_status load_file(srv_model *m, const char *path, const srv_config *config,
                              prelu_pool *pool, prelu_err *err)
{
    prelu_model_options options = {.preprocess = option_for(&config->preprocess, m->from.name),
                                   .labels = option_for(&config->labels, m->from.name)};
    prelu_precision precision = (prelu_precision)config->precision;
    prelu_err why = {0};
    prelu_status st = prelu_model_load(&m->model, path, &options, &why);
    if (!st && m->model->map && m->model->map_len < HASH_LATER)
        prelu_sha256_text(m->sha256, m->model->map, m->model->map_len);
    if (!st)
        st = prelu_model_plan(&m->plan, m->model, precision, pool, &why);
    if (!st)
        st = prelu_model_verify_check(m->model, m->plan, precision, pool, &why);
    if (!st)
        st = plan_dense(m, config, pool, &why);
    if (st)
        return prelu_fail(err, st, "model %s: %s", m->from.name,
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

static void model_release(srv_model *m)
{
    if (!m || atomic_fetch_sub(&m->refs, 1) > 1)
        return;
    if (m->file)
        munmap(m->file, m->file_len);
    for (int k = 0; k < 2; k++)
        while (m->n_idle[k])
            prelu_session_destroy(&m->idle[k][--m->n_idle[k]]);
    prelu_plan_destroy(&m->dense); /* shares the other's weights */
    prelu_plan_destroy(&m->plan);
    prelu_model_destroy(&m->model);
    prelu_free(m);
}

/* @param out  with one reference. */
static prelu_status model_load(srv_model **out, const srv_source_file *from, const srv_registry *r,
                               prelu_err *err)
{
    const int64_t start = srv_now();
    srv_model *m = prelu_calloc(1, sizeof *m);
    if (!m)
        return prelu_fail(err, PRELU_E_NOMEM, "model %s: no memory", from->name);
    atomic_init(&m->refs, 1);
    m->from = *from;
    /* before it is read: what is written meanwhile is seen by the next look */
    if (stat(from->path, &m->from.id))
        memset(&m->from.id, 0, sizeof m->from.id);
    const prelu_status st = load_file(m, from->path, r->config, r->pool, err);
    if (st) {
        model_release(m);
        return st;
    }
    m->load_seconds = (double)(srv_now() - start) * 1e-9;
    prelu_log(PRELU_LOG_INFO, "model %s@%s loaded in %.1f ms: %d classes, crop %d%s%s", from->name,
              from->version, m->load_seconds * 1e3, m->model->classes, m->model->preprocess.crop,
              m->file ? "" : ", sha256 ", m->sha256);
    *out = m;
    return PRELU_OK;
}

static bool unchanged(const srv_source_file *f)
{
    struct stat now;
    return stat(f->path, &now) == 0 && now.st_dev == f->id.st_dev && now.st_ino == f->id.st_ino &&
           now.st_size == f->id.st_size && now.st_mtim.tv_sec == f->id.st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == f->id.st_mtim.tv_nsec;
}

/* ---- tables ---- */

srv_table *srv_registry_hold(srv_registry *r)
{
    pthread_mutex_lock(&r->lock);
    srv_table *t = r->table;
    atomic_fetch_add(&t->refs, 1);
    pthread_mutex_unlock(&r->lock);
    return t;
}

void srv_table_release(srv_table *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) > 1)
        return;
    for (int i = 0; i < t->n; i++)
        model_release(t->models[i]);
    prelu_free(t);
}

srv_entry *srv_table_find(srv_table *t, const char *name)
{
    const size_t len = name ? strcspn(name, "@") : 0;
    const char *version = name && name[len] ? name + len + 1 : NULL;
    for (int i = 0; i < t->n_entries; i++) {
        srv_entry *e = &t->entries[i];
        if (!name || (strlen(e->name) == len && memcmp(e->name, name, len) == 0 &&
                      (!version || strcmp(version, e->version) == 0)))
            return e;
    }
    return NULL;
}

static srv_table *table_new(prelu_err *err)
{
    srv_table *t = prelu_calloc(1, sizeof *t);
    if (t)
        atomic_init(&t->refs, 1);
    else
        (void)prelu_fail(err, PRELU_E_NOMEM, "a table of models");
    return t;
}

/* Takes the reference. */
static void table_add(srv_table *t, srv_model *m)
{
    srv_entry *e = &t->entries[t->n_entries++];
    e->members[0] = t->models[t->n++] = m;
    e->n = 1;
    memcpy(e->name, m->from.name, sizeof e->name);
    memcpy(e->version, m->from.version, sizeof e->version);
}

/* "a,b": models by name. */
static prelu_status take_members(srv_table *t, srv_entry *e, const char *list, prelu_err *err)
{
    for (const char *next = list; next;) {
        const size_t len = strcspn(next, ",");
        srv_model *found = NULL;
        for (int i = 0; i < t->n && !found; i++)
            if (strlen(t->models[i]->from.name) == len &&
                memcmp(t->models[i]->from.name, next, len) == 0)
                found = t->models[i];
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
static prelu_status add_ensemble(srv_table *t, const char *text, prelu_err *err)
{
    const prelu_model *models[PRELU_MAX_MEMBERS];
    prelu_err why = {0};
    size_t len;
    const char *list = srv_config_split(text, &len);
    srv_entry *e = &t->entries[t->n_entries];
    snprintf(e->version, sizeof e->version, "1");
    if (len == 0 || len >= sizeof e->name)
        return prelu_fail(err, PRELU_E_ARG, "--ensemble: not of the form NAME=MODEL,MODEL");
    memcpy(e->name, text, len);
    if (srv_table_find(t, e->name))
        return prelu_fail(err, PRELU_E_ARG, "--ensemble: %s is already the name of a model",
                          e->name);
    PRELU_TRY(take_members(t, e, list, err));
    for (int i = 0; i < e->n; i++)
        models[i] = e->members[i]->model;
    const prelu_status st = prelu_ensemble_check(models, (size_t)e->n, &why);
    if (st)
        return prelu_fail(err, st, "ensemble %s: %s", e->name, why.text);
    t->n_entries++;
    return PRELU_OK;
}

static prelu_status add_ensembles(srv_table *t, const srv_config *config, prelu_err *err)
{
    for (int i = 0; i < config->ensembles.n; i++)
        PRELU_TRY(add_ensemble(t, config->ensembles.text[i], err));
    return PRELU_OK;
}

/* ---- digests ---- */

/* An entry's digest from those of its models. */
static void digest_entry(srv_entry *e)
{
    char digests[PRELU_MAX_MEMBERS * 64 + 1];
    for (int i = 0; i < e->n; i++)
        memcpy(digests + 64 * i, e->members[i]->sha256, 64);
    if (e->n == 1)
        memcpy(e->sha256, e->members[0]->sha256, sizeof e->sha256);
    else
        prelu_sha256_text(e->sha256, digests, 64 * (size_t)e->n);
}

/* Pages leave memory as they have been read. @return false when told to stop. */
static bool hash_file(const srv_registry *r, srv_model *m)
{
    prelu_sha256 *sha = prelu_sha256_begin();
    char *from = m->file;
    for (size_t at = 0; sha && at < m->file_len && !atomic_load(&r->stop); at += HASH_PIECE) {
        const size_t n = m->file_len - at < HASH_PIECE ? m->file_len - at : HASH_PIECE;
        prelu_sha256_add(sha, from + at, n);
        (void)madvise(from + at, n, MADV_DONTNEED);
    }
    if (!sha)
        return false;
    prelu_sha256_end(&sha, NULL, m->sha256);
    return !atomic_load(&r->stop);
}

/* Those of large files, which have none yet, and of all entries. */
static bool hash_table(const srv_registry *r, srv_table *t)
{
    for (int i = 0; i < t->n; i++) {
        srv_model *m = t->models[i];
        if (!m->file || m->sha256[0])
            continue;
        if (!hash_file(r, m))
            return false;
        prelu_log(PRELU_LOG_INFO, "model %s@%s: sha256 %s", m->from.name, m->from.version,
                  m->sha256);
    }
    for (int i = 0; i < t->n_entries; i++)
        digest_entry(&t->entries[i]);
    return true;
}

static void *hash_nicely(void *ctx)
{
    srv_registry *r = ctx;
    (void)setpriority(PRIO_PROCESS, 0, 10); /* on Linux, of this thread */
    if (hash_table(r, r->table))            /* no reload before this thread is over */
        atomic_store(&r->hashed, true);
    return NULL;
}

/* Large files in a thread of their own, so that the first answer need not wait. */
static prelu_status start_hashing(srv_registry *r, prelu_err *err)
{
    bool later = false;
    for (int i = 0; i < r->table->n; i++)
        later = later || r->table->models[i]->file;
    if (!later) {
        atomic_store(&r->hashed, hash_table(r, r->table));
        return PRELU_OK;
    }
    const int e = pthread_create(&r->hasher, NULL, hash_nicely, r);
    r->hashing = e == 0;
    return e ? prelu_fail(err, prelu_status_from_errno(e), "a thread: %s", strerror(e)) : PRELU_OK;
}

static void end_hashing(srv_registry *r)
{
    if (r->hashing)
        pthread_join(r->hasher, NULL);
    r->hashing = false;
}

const char *srv_registry_digest(const srv_registry *r, const char *sha256)
{
    return atomic_load(&r->hashed) ? sha256 : "pending";
}

/* ---- load and reload ---- */

prelu_status srv_registry_load(srv_registry *r, const srv_config *config, prelu_pool *pool,
                               prelu_err *err)
{
    memset(r, 0, sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    r->config = config;
    r->pool = pool;
    r->table = table_new(err);
    srv_source_file *files = prelu_calloc(SRV_MAX_MODELS, sizeof *files);
    int n = 0;
    prelu_status st = r->table && files ? srv_sources_find(files, &n, config, err)
                                        : prelu_fail(err, PRELU_E_NOMEM, "a table of models");
    for (int i = 0; i < n && !st; i++) {
        srv_model *m = NULL;
        st = model_load(&m, &files[i], r, err);
        if (!st)
            table_add(r->table, m);
    }
    prelu_free(files);
    if (!st)
        st = add_ensembles(r->table, config, err);
    return st ? st : start_hashing(r, err);
}

static srv_model *find_model(const srv_table *t, const srv_source_file *f)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->models[i]->from.name, f->name) == 0 &&
            strcmp(t->models[i]->from.version, f->version) == 0)
            return t->models[i];
    return NULL;
}

static int find_unloaded(const srv_registry *r, const char *name)
{
    for (int i = 0; i < r->n_unloaded; i++)
        if (strcmp(r->unloaded[i], name) == 0)
            return i;
    return -1;
}

typedef struct reloading {
    srv_registry *r;
    srv_table *old, *new;
    const char *only;
    srv_model_try *try;
    void *ctx;
    prelu_err first; /* failure */
} reloading;

/* The model of one file for the new table: the old one if it is the same or the new one fails. */
static void reload_one(reloading *l, const srv_source_file *f)
{
    srv_model *had = find_model(l->old, f), *m = NULL;
    const bool named = l->only && strcmp(l->only, f->name) == 0;
    prelu_err err = {0};
    if (!named &&
        (l->only || find_unloaded(l->r, f->name) >= 0 || (had && unchanged(&had->from)))) {
        m = had;
    } else {
        prelu_status st = model_load(&m, f, l->r, &err);
        if (!st && l->try && (st = l->try(l->ctx, m, &err))) {
            model_release(m);
            m = NULL;
        }
        if (st)
            prelu_log(PRELU_LOG_ERROR, "reload: %s: %s",
                      had ? "the old model stays" : "the model is left out", err.text);
        if (st && !l->first.code)
            l->first = err;
        if (!st) {
            table_add(l->new, m);
            return;
        }
        m = had;
    }
    if (m) {
        atomic_fetch_add(&m->refs, 1);
        table_add(l->new, m);
    }
}

/* Counts go on where a name and version stay. */
static void keep_usage(srv_table *new, const srv_table *old)
{
    for (int i = 0; i < new->n_entries; i++)
        for (int k = 0; k < old->n_entries; k++) {
            srv_usage *to = &new->entries[i].usage;
            const srv_usage *from = &old->entries[k].usage;
            if (strcmp(new->entries[i].name, old->entries[k].name) != 0 ||
                strcmp(new->entries[i].version, old->entries[k].version) != 0)
                continue;
            atomic_store(&to->ok, atomic_load(&from->ok));
            atomic_store(&to->failed, atomic_load(&from->failed));
            atomic_store(&to->pictures, atomic_load(&from->pictures));
            atomic_store(&to->ok_ns, atomic_load(&from->ok_ns));
            atomic_store(&to->failed_ns, atomic_load(&from->failed_ns));
            atomic_store(&to->queue_ns, atomic_load(&from->queue_ns));
            atomic_store(&to->prepare_ns, atomic_load(&from->prepare_ns));
            atomic_store(&to->infer_ns, atomic_load(&from->infer_ns));
            atomic_store(&to->last_ms, atomic_load(&from->last_ms));
        }
}

/* The new table takes the old one's place, if it is complete. */
static prelu_status swap(srv_registry *r, srv_table *new, prelu_err *err)
{
    if (new->n == 0)
        return prelu_fail(err, PRELU_E_ARG, "no model would be left");
    PRELU_TRY(add_ensembles(new, r->config, err));
    if (!hash_table(r, new))
        return prelu_fail(err, PRELU_E_NOMEM, "no memory for a digest");
    srv_table *old = r->table;
    keep_usage(new, old);
    pthread_mutex_lock(&r->lock);
    r->table = new;
    pthread_mutex_unlock(&r->lock);
    srv_table_release(old);
    return PRELU_OK;
}

prelu_status srv_registry_reload(srv_registry *r, const char *only, srv_model_try *try, void *ctx,
                                 prelu_err *err)
{
    end_hashing(r);
    srv_source_file *files = prelu_calloc(SRV_MAX_MODELS, sizeof *files);
    reloading l = {.r = r, .old = r->table, .only = only, .try = try, .ctx = ctx};
    int n = 0;
    bool found = !only;
    l.new = table_new(err);
    prelu_status st = l.new &&files ? srv_sources_find(files, &n, r->config, err)
                                    : prelu_fail(err, PRELU_E_NOMEM, "a table of models");
    for (int i = 0; i < n && !st; i++) {
        found = found || strcmp(files[i].name, only) == 0;
        reload_one(&l, &files[i]);
    }
    prelu_free(files);
    if (!st && !found)
        st = prelu_fail(err, PRELU_E_NOTFOUND, "no model of that name is there to be loaded");
    if (!st)
        st = swap(r, l.new, err);
    if (st) {
        srv_table_release(l.new);
        return st;
    }
    const int at = only && !l.first.code ? find_unloaded(r, only) : -1;
    if (at >= 0)
        memcpy(r->unloaded[at], r->unloaded[--r->n_unloaded], sizeof r->unloaded[0]);
    return l.first.code ? prelu_fail(err, l.first.code, "%s", l.first.text) : PRELU_OK;
}

prelu_status srv_registry_unload(srv_registry *r, const char *name, prelu_err *err)
{
    end_hashing(r);
    srv_table *new = table_new(err);
    if (!new)
        return PRELU_E_NOMEM;
    for (int i = 0; i < r->table->n; i++)
        if (strcmp(r->table->models[i]->from.name, name) != 0) {
            atomic_fetch_add(&r->table->models[i]->refs, 1);
            table_add(new, r->table->models[i]);
        }
    prelu_status st = new->n < r->table->n
                          ? PRELU_OK
                          : prelu_fail(err, PRELU_E_NOTFOUND, "no model of that name is served");
    if (!st)
        st = swap(r, new, err);
    if (st)
        srv_table_release(new);
    else if (r->n_unloaded < SRV_MAX_MODELS && find_unloaded(r, name) < 0)
        snprintf(r->unloaded[r->n_unloaded++], sizeof r->unloaded[0], "%s", name);
    return st;
}

void srv_registry_deinit(srv_registry *r)
{
    if (!r->config)
        return; /* never loaded */
    atomic_store(&r->stop, true);
    end_hashing(r);
    srv_table_release(r->table);
    pthread_mutex_destroy(&r->lock);
    memset(r, 0, sizeof *r);
}
