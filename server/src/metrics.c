#define _POSIX_C_SOURCE 200809L
#include "metrics.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* 499: there was no reply of ours, because the client left first or could not be understood. */
static const int codes[SRV_METRIC_CODES] = {200, 204, 400, 401, 403, 404, 405, 408,
                                            413, 414, 415, 429, 499, 500, 503, 504};

/* Upper bounds; a 0 ends a list. Times reach from a 32x32 picture to a large net's dense test. */
static const double seconds_bounds[SRV_MAX_BUCKETS] = {
    0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};
static const double batch_bounds[SRV_MAX_BUCKETS] = {1, 2, 4, 8, 10, 16, 20, 32, 64, 128, 256};
static const double score_bounds[SRV_MAX_BUCKETS] = {0.05, 0.1, 0.2, 0.3,  0.4,  0.5, 0.6,
                                                     0.7,  0.8, 0.9, 0.95, 0.99, 1};

static const char *const stage_names[SRV_STAGES] = {"read",  "decode", "prepare",
                                                    "queue", "infer",  "reply"};
static const char *const reject_names[SRV_REJECTS] = {
    "queue_full",     "memory",    "draining", "loading", "deadline",
    "body_too_large", "malformed", "slow",     "key",     "rate"};

static void count(atomic_uint_fast64_t *c)
{
    atomic_fetch_add_explicit(c, 1, memory_order_relaxed);
}

static uint64_t value(const atomic_uint_fast64_t *c)
{
    return atomic_load_explicit((atomic_uint_fast64_t *)c, memory_order_relaxed);
}

static void observe(srv_histogram *h, const double *bounds, double v)
{
    int i = 0;
    if (!(v > 0))
        v = 0;
    while (i < SRV_MAX_BUCKETS && bounds[i] > 0 && v > bounds[i])
        i++;
    if (i == SRV_MAX_BUCKETS || !(bounds[i] > 0))
        i = SRV_MAX_BUCKETS;
    count(&h->bucket[i]);
    atomic_fetch_add_explicit(&h->sum, (uint64_t)(v * 1e6 + 0.5), memory_order_relaxed);
}

void srv_metrics_init(srv_metrics *m, const char *const *routes, int n_routes,
                      const char *const *modes)
{
    memset(m, 0, sizeof *m);
    m->routes = routes;
    m->n_routes = n_routes < SRV_MAX_ROUTES ? n_routes : SRV_MAX_ROUTES - 1;
    m->modes = modes;
}

void srv_metrics_request(srv_metrics *m, int route, int code, double seconds)
{
    int r = route >= 0 && route < m->n_routes ? route : m->n_routes, c = 0;
    while (c < SRV_METRIC_CODES - 1 && codes[c] != (code ? code : 499))
        c++;
    count(&m->requests[r][c]);
    observe(&m->duration[r], seconds_bounds, seconds);
}

void srv_metrics_stage(srv_metrics *m, srv_stage stage, double seconds)
{
    observe(&m->stage[stage], seconds_bounds, seconds);
}

void srv_metrics_batch(srv_metrics *m, size_t views)
{
    observe(&m->batch_size, batch_bounds, (double)views);
}

void srv_metrics_rejected(srv_metrics *m, srv_reject reason) { count(&m->rejected[reason]); }

void srv_metrics_cancelled(srv_metrics *m, srv_stage stage) { count(&m->cancelled[stage]); }

void srv_metrics_image(srv_metrics *m, int mode, double top1)
{
    if (mode >= 0 && mode < SRV_METRIC_MODES)
        count(&m->images[mode]);
    observe(&m->top1, score_bounds, top1);
}

void srv_metrics_reload(srv_metrics *m, bool ok) { count(&m->reloads[ok]); }

static void head(srv_text *out, const char *name, const char *type, const char *help)
{
    srv_text_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* @param label  "" or `key="value"`. */
static void histogram(srv_text *out, const char *name, const char *label, const srv_histogram *h,
                      const double *bounds)
{
    const char *comma = *label ? "," : "";
    uint64_t total = 0;
    for (int i = 0; i < SRV_MAX_BUCKETS && bounds[i] > 0; i++) {
        total += value(&h->bucket[i]);
        srv_text_printf(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", name, label, comma, bounds[i],
                        (unsigned long long)total);
    }
    total += value(&h->bucket[SRV_MAX_BUCKETS]);
    srv_text_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, label, comma,
                    (unsigned long long)total);
    const char *open = *label ? "{" : "", *close = *label ? "}" : "";
    srv_text_printf(out, "%s_sum%s%s%s %.6f\n%s_count%s%s%s %llu\n", name, open, label, close,
                    (double)value(&h->sum) / 1e6, name, open, label, close,
                    (unsigned long long)total);
}

static void write_requests(const srv_metrics *m, srv_text *out)
{
    char label[96];
    head(out, "prelu_http_requests_total", "counter", "Requests by route template and status.");
    for (int r = 0; r <= m->n_routes; r++)
        for (int c = 0; c < SRV_METRIC_CODES; c++)
            if (value(&m->requests[r][c]))
                srv_text_printf(out, "prelu_http_requests_total{route=\"%s\",code=\"%d\"} %llu\n",
                                r < m->n_routes ? m->routes[r] : "other", codes[c],
                                (unsigned long long)value(&m->requests[r][c]));
    head(out, "prelu_http_request_duration_seconds", "histogram",
         "From the request line to the last byte of the reply.");
    for (int r = 0; r <= m->n_routes; r++) {
        snprintf(label, sizeof label, "route=\"%s\"", r < m->n_routes ? m->routes[r] : "other");
        histogram(out, "prelu_http_request_duration_seconds", label, &m->duration[r],
                  seconds_bounds);
    }
}

static void write_work(const srv_metrics *m, srv_text *out)
{
    char label[64];
    head(out, "prelu_stage_duration_seconds", "histogram", "Time of a picture in each stage.");
    for (int s = 0; s < SRV_STAGES; s++) {
        snprintf(label, sizeof label, "stage=\"%s\"", stage_names[s]);
        histogram(out, "prelu_stage_duration_seconds", label, &m->stage[s], seconds_bounds);
    }
    head(out, "prelu_batch_size", "histogram", "Views in one run of the network.");
    histogram(out, "prelu_batch_size", "", &m->batch_size, batch_bounds);
    head(out, "prelu_top1_score", "histogram", "Score of the best class.");
    histogram(out, "prelu_top1_score", "", &m->top1, score_bounds);
    head(out, "prelu_images_total", "counter", "Pictures classified.");
    for (int i = 0; i < SRV_METRIC_MODES; i++)
        srv_text_printf(out, "prelu_images_total{format=\"jpeg\",mode=\"%s\"} %llu\n", m->modes[i],
                        (unsigned long long)value(&m->images[i]));
    head(out, "prelu_rejected_total", "counter", "Requests refused before any work.");
    for (int i = 0; i < SRV_REJECTS; i++)
        srv_text_printf(out, "prelu_rejected_total{reason=\"%s\"} %llu\n", reject_names[i],
                        (unsigned long long)value(&m->rejected[i]));
    head(out, "prelu_reload_total", "counter", "Reloads of models while serving.");
    for (int i = 0; i < 2; i++)
        srv_text_printf(out, "prelu_reload_total{result=\"%s\"} %llu\n", i ? "ok" : "failed",
                        (unsigned long long)value(&m->reloads[i]));
    head(out, "prelu_cancelled_total", "counter", "Pictures dropped on the way, by stage.");
    for (int i = 0; i < SRV_STAGES; i++)
        srv_text_printf(out, "prelu_cancelled_total{stage=\"%s\"} %llu\n", stage_names[i],
                        (unsigned long long)value(&m->cancelled[i]));
}

static void gauge(srv_text *out, const char *name, const char *help, double v)
{
    head(out, name, "gauge", help);
    srv_text_printf(out, "%s %.15g\n", name, v);
}

static void write_gauges(const srv_gauges *g, srv_text *out)
{
    gauge(out, "prelu_queue_depth", "Pictures that wait for a worker.", (double)g->queue_depth);
    gauge(out, "prelu_queue_work_units", "Work admitted and not yet running, in units.",
          (double)g->queue_units);
    gauge(out, "prelu_queue_capacity", "Most units admitted.", (double)g->queue_capacity);
    gauge(out, "prelu_in_flight", "Requests being read, worked on or answered.",
          (double)g->in_flight);
    gauge(out, "prelu_connections", "Open client connections.", (double)g->connections);
    gauge(out, "prelu_ready", "1 when /readyz says so.", g->ready ? 1 : 0);
    head(out, "prelu_build_info", "gauge", "Version of the program.");
    srv_text_printf(out, "prelu_build_info{version=\"%s\"} 1\n", g->version);
    head(out, "prelu_model_info", "gauge", "Models served.");
    for (int i = 0; i < g->n_models; i++)
        srv_text_printf(out,
                        "prelu_model_info{model=\"%s\",version=\"%s\",sha256=\"%s\","
                        "precision=\"%s\"} 1\n",
                        g->models[i].name, g->models[i].version, g->models[i].sha256,
                        g->models[i].precision);
    head(out, "prelu_model_load_seconds", "gauge", "Time from the file to the first answer.");
    for (int i = 0; i < g->n_models; i++)
        srv_text_printf(out, "prelu_model_load_seconds{model=\"%s\",version=\"%s\"} %.6f\n",
                        g->models[i].name, g->models[i].version, g->models[i].load_seconds);
}

static double count_fds(void)
{
    double n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n - 3; /* ".", "..", and the folder itself */
}

/* Fields of /proc/self/stat as proc(5) numbers them: 22 starttime, 23 vsize, 24 rss. */
static void read_stat(double *start, double *virtual_bytes, double *resident)
{
    char line[1024];
    FILE *f = fopen("/proc/self/stat", "r");
    size_t n = f ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f)
        fclose(f);
    line[n] = 0;
    char *p = strrchr(line, ')'); /* the name in front may hold anything */
    double v[25] = {0};
    int field = 3;
    for (p = p ? strchr(p, ' ') : NULL; p && field < 25; field++) {
        p++;
        v[field] = strtod(p, NULL);
        p = strchr(p, ' ');
    }
    *start = v[22] / (double)sysconf(_SC_CLK_TCK);
    *virtual_bytes = v[23];
    *resident = v[24] * (double)sysconf(_SC_PAGESIZE);
}

static double boot_time(void)
{
    char line[256];
    double t = 0;
    FILE *f = fopen("/proc/stat", "r");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        if (strncmp(line, "btime ", 6) == 0)
            t = strtod(line + 6, NULL);
    fclose(f);
    return t;
}

static void write_process(srv_text *out)
{
    struct rusage use;
    struct rlimit fds = {0};
    double start, size, resident;
    getrusage(RUSAGE_SELF, &use);
    getrlimit(RLIMIT_NOFILE, &fds);
    read_stat(&start, &size, &resident);
    head(out, "process_cpu_seconds_total", "counter", "User and system CPU time spent.");
    srv_text_printf(out, "process_cpu_seconds_total %.6f\n",
                    (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                        (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6);
    gauge(out, "process_resident_memory_bytes", "Resident memory size.", resident);
    gauge(out, "process_virtual_memory_bytes", "Virtual memory size.", size);
    gauge(out, "process_open_fds", "Open file descriptors.", count_fds());
    gauge(out, "process_max_fds", "Most open file descriptors.", (double)fds.rlim_cur);
    gauge(out, "process_start_time_seconds", "Start, in seconds since 1970.", boot_time() + start);
}

void srv_metrics_write(const srv_metrics *m, const srv_gauges *g, srv_text *out)
{
    write_requests(m, out);
    write_work(m, out);
    write_gauges(g, out);
    write_process(out);
}
