#ifndef SRV_REGISTRY_H
#define SRV_REGISTRY_H
#include "config.h"
#include "prelu/classify.h"
#include "prelu/plan.h"
#include "prelu/session.h"
#include "queue.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

enum { SRV_MAX_SESSIONS = 256, SRV_MAX_MODELS = 64 };

/** A file that is to be served. */
typedef struct srv_source_file {
    char name[129];
    char version[16];
    char path[4096];
    struct stat id; /* as it was when it was loaded: which file, how long, when changed */
} srv_source_file;

/** A model that is served: loaded, planned, named. */
typedef struct srv_model {
    srv_source_file from;
    char sha256[65]; /* of the file as it was planned; a large one's once `hashed` */
    void *file;      /* of a large one: mapped until then; NULL */
    size_t file_len;
    const char *precision; /* static */
    prelu_model *model;    /* preprocessing and labels; its weights are dropped after planning */
    prelu_plan *plan;
    prelu_plan *dense;  /* for whole pictures; NULL where the network cannot be tested so */
    char no_dense[256]; /* why not: names the node */
    double load_seconds;
    atomic_int refs;                          /* tables that have it */
    srv_group group[3][PRELU_AVERAGES];       /* what waits: views, dense, tensors */
    prelu_session *idle[2][SRV_MAX_SESSIONS]; /* [dense]; under the workers' lock */
    int n_idle[2];
    prelu_rate rate;               /* measured at start */
    prelu_mode order[PRELU_MODES]; /* most accurate first, for mode auto */
    /* What runs take as a part of what `rate` says, of views and of whole pictures; smoothed, in
     * 10^-6; 0 = not yet. */
    _Atomic int64_t drift_ppm[2];
    _Atomic int64_t unit_ns; /* measured time of one unit of work, smoothed; 0 = not yet */
} srv_model;

/** What has been asked of an entry, in requests and pictures. */
typedef struct srv_usage {
    atomic_uint_fast64_t ok, failed, pictures; /* requests; pictures that were answered */
    atomic_uint_fast64_t ok_ns, failed_ns, queue_ns, prepare_ns, infer_ns;
    atomic_uint_fast64_t last_ms; /* of the Unix epoch */
} srv_usage;

/** What ?model= names: a model, or an ensemble of several with the same classes. */
typedef struct srv_entry {
    char name[129];
    char version[16];
    char sha256[65]; /* the model's; of an ensemble, of its models' digests, one after another */
    srv_model *members[PRELU_MAX_MEMBERS];
    int n;
    srv_usage usage;
} srv_entry;

/** What is served at a time. It does not change; a reload makes another, and this one lives until
 *  the last request that holds it is over. */
typedef struct srv_table {
    atomic_int refs;
    int n; /* at least 1 */
    srv_model *models[SRV_MAX_MODELS];
    int n_entries; /* of a name, the highest version first; the first of all is the default */
    srv_entry entries[SRV_MAX_MODELS + SRV_MAX_LIST];
} srv_table;

typedef struct srv_registry {
    const srv_config *config; /* borrowed, as are: */
    prelu_pool *pool;
    pthread_mutex_t lock; /* of the pointer */
    srv_table *table;     /* NULL until loaded */
    atomic_bool hashed;   /* all digests are there: at start those of large files come after the
                             first answers */
    atomic_bool stop;
    bool hashing;
    pthread_t hasher;
    char unloaded[SRV_MAX_MODELS][129]; /* names that were taken out; the reloading thread's */
    int n_unloaded;
} srv_registry;

/** What to do with a new model before it is served: it may be slow, and may refuse. */
typedef prelu_status srv_model_try(void *ctx, srv_model *m, prelu_err *err);

/** Load what the configuration names, or the bundled model, imagenette.onnx, in
 *  ../share/prelu/models beside the program, or in the source tree it was built from.
 *  @return statuses of prelu_model_load and prelu_model_plan, E_ARG names; the text says which
 *  model. *r is to be deinited either way. */
PRELU_MUST_CHECK prelu_status srv_registry_load(srv_registry *r, const srv_config *config,
                                                prelu_pool *pool, prelu_err *err);
/** Look again. Files that changed or are new are loaded aside and tried, then all of it is swapped
 *  at once. What fails leaves its old model in place, or is left out if there was none.
 *  @param only  NULL, or the one model to load anew, changed or not.
 *  @return the first failure, after everything else was done; E_NOTFOUND no source of that name. By
 *  one thread at a time, as the next. */
PRELU_MUST_CHECK prelu_status srv_registry_reload(srv_registry *r, const char *only,
                                                  srv_model_try *try, void *ctx, prelu_err *err);
/** Serve a model no more until it is loaded by name. @return E_NOTFOUND; E_ARG the last one, or of
 *  an ensemble. */
PRELU_MUST_CHECK prelu_status srv_registry_unload(srv_registry *r, const char *name,
                                                  prelu_err *err);
void srv_registry_deinit(srv_registry *r);

/** What is served now, not to be freed before it is released. Thread-safe. */
srv_table *srv_registry_hold(srv_registry *r);
/** NULL is fine. */
void srv_table_release(srv_table *t);
/** A model's or an entry's sha256, or "pending" while large files are being hashed. */
const char *srv_registry_digest(const srv_registry *r, const char *sha256);
/** @param name  NULL = the default; NAME, its highest version; NAME@VERSION.
 *  @return NULL if there is none of that name. */
srv_entry *srv_table_find(srv_table *t, const char *name);

/* sources.c */

/** The files that the configuration names: --model, then --model-dir in byte order of names, of one
 *  the highest version first; else the bundled one. @return E_ARG names; E_NOTFOUND, E_PERM, E_IO
 *  the folder; E_LIMIT too many. */
PRELU_MUST_CHECK prelu_status srv_sources_find(srv_source_file *files, int *n,
                                               const srv_config *config, prelu_err *err);
#endif
