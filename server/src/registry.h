#ifndef SRV_REGISTRY_H
#define SRV_REGISTRY_H
#include "config.h"
#include "prelu/classify.h"
#include "prelu/plan.h"
#include "prelu/session.h"
#include "queue.h"
#include <pthread.h>
#include <stdatomic.h>

enum { SRV_MAX_SESSIONS = 256 };

/** The models that are served: loaded, planned, named. */
typedef struct srv_model {
    char name[129];
    char version[16];
    char sha256[65]; /* of the file as it was planned; a large one's once `hashed` */
    void *file;      /* of a large one: mapped until then; NULL */
    size_t file_len;
    const char *precision; /* static */
    prelu_model *model;    /* preprocessing and labels; its weights are dropped after planning */
    prelu_plan *plan;
    prelu_plan *dense;  /* for whole pictures; NULL where the network cannot be tested so */
    char no_dense[256]; /* why not: names the node */
    double load_seconds;
    int index;                                /* in the registry */
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

typedef struct srv_registry {
    int n; /* at least 1 once loaded */
    srv_model models[SRV_MAX_LIST];
    int n_entries; /* the models in their order, of which the first is the default; ensembles */
    srv_entry entries[2 * SRV_MAX_LIST];
    atomic_bool
        hashed; /* all digests are there: those of large files come after the first answers */
    atomic_bool stop;
    bool hashing;
    pthread_t hasher;
} srv_registry;

/** Load what the configuration names, or the bundled model: cifar10.onnx in ../share/prelu/models
 *  beside the program, or in the source tree it was built from.
 *  @return statuses of prelu_model_load and prelu_model_plan, E_ARG names; the text says which
 *  model. *r is to be deinited either way. */
PRELU_MUST_CHECK prelu_status srv_registry_load(srv_registry *r, const srv_config *config,
                                                prelu_pool *pool, prelu_err *err);
void srv_registry_deinit(srv_registry *r);
/** A model's or an entry's sha256, or "pending" while large files are being hashed. */
const char *srv_registry_digest(const srv_registry *r, const char *sha256);
/** @param name  NULL = the default. NULL if there is none of that name. */
srv_entry *srv_registry_find(srv_registry *r, const char *name);
#endif
