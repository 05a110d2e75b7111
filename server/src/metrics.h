#ifndef SRV_METRICS_H
#define SRV_METRICS_H
#include "text.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/** Counters and histograms, shown as Prometheus text. Every update is a few atomic additions;
 *  thread-safe. */

typedef enum srv_stage {
    SRV_STAGE_READ,
    SRV_STAGE_DECODE,
    SRV_STAGE_PREPARE,
    SRV_STAGE_QUEUE,
    SRV_STAGE_INFER,
    SRV_STAGE_REPLY,
    SRV_STAGES
} srv_stage;

typedef enum srv_reject {
    SRV_REJECT_QUEUE_FULL,
    SRV_REJECT_MEMORY,
    SRV_REJECT_DRAINING,
    SRV_REJECT_LOADING,
    SRV_REJECT_DEADLINE,
    SRV_REJECT_BODY,
    SRV_REJECT_MALFORMED,
    SRV_REJECT_SLOW,
    SRV_REJECT_KEY,
    SRV_REJECT_RATE,
    SRV_REJECTS
} srv_reject;

enum { SRV_MAX_ROUTES = 48, SRV_METRIC_CODES = 16, SRV_MAX_BUCKETS = 20, SRV_METRIC_MODES = 4 };

typedef struct srv_histogram {
    atomic_uint_fast64_t bucket[SRV_MAX_BUCKETS + 1]; /* not cumulative; the last is +Inf */
    atomic_uint_fast64_t sum;                         /* in millionths */
} srv_histogram;

typedef struct srv_metrics {
    const char *const *routes; /* templates, borrowed; one more for what matches none */
    int n_routes;
    const char *const *modes;
    atomic_uint_fast64_t requests[SRV_MAX_ROUTES][SRV_METRIC_CODES];
    srv_histogram duration[SRV_MAX_ROUTES];
    srv_histogram stage[SRV_STAGES];
    srv_histogram batch_size;
    srv_histogram top1;
    atomic_uint_fast64_t rejected[SRV_REJECTS];
    atomic_uint_fast64_t cancelled[SRV_STAGES];
    atomic_uint_fast64_t images[SRV_METRIC_MODES];
    atomic_uint_fast64_t reloads[2]; /* failed, done */
} srv_metrics;

/** @param routes  n_routes < SRV_MAX_ROUTES templates; @param modes  SRV_METRIC_MODES names. */
void srv_metrics_init(srv_metrics *m, const char *const *routes, int n_routes,
                      const char *const *modes);
/** @param route  index into routes, or n_routes for "other". @param code  0 counts as 499. */
void srv_metrics_request(srv_metrics *m, int route, int code, double seconds);
void srv_metrics_stage(srv_metrics *m, srv_stage stage, double seconds);
void srv_metrics_batch(srv_metrics *m, size_t views);
void srv_metrics_rejected(srv_metrics *m, srv_reject reason);
void srv_metrics_cancelled(srv_metrics *m, srv_stage stage);
/** Models were loaded again while serving, or could not be. */
void srv_metrics_reload(srv_metrics *m, bool ok);
void srv_metrics_image(srv_metrics *m, int mode, double top1);

/** What is known elsewhere at the moment of asking. */
typedef struct srv_gauges {
    size_t queue_depth, queue_units, queue_capacity;
    size_t in_flight, connections;
    bool ready;
    const char *version;
    int n_models;
    struct srv_model_gauge {
        const char *name, *version, *sha256, *precision;
        double load_seconds;
    } models[64];
} srv_gauges;

/** Append the whole exposition (text format 0.0.4). */
void srv_metrics_write(const srv_metrics *m, const srv_gauges *g, srv_text *out);
#endif
