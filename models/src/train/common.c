#define _DEFAULT_SOURCE /* CLOCK_BOOTTIME */
#include "common.h"
#include "prelu/train.h"
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static prelu_status choose(const train_args *a, const char *name, const char *const *choices,
                           int otherwise, int *out, prelu_err *err)
{
    const char *text = train_text(a, name, choices[otherwise]), *near;
    for (int i = 0; choices[i]; i++)
        if (!strcmp(text, choices[i])) {
            *out = i;
            return PRELU_OK;
        }
    near = train_nearest(text, choices);
    return prelu_fail(err, PRELU_E_ARG, "unknown --%s '%.40s'%s%s%s", name, text,
                      near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

prelu_status train_net_options(const train_args *a, prelu_net_options *out, prelu_err *err)
{
    static const char *const activations[] = {"relu", "lrelu", "prelu-shared", "prelu", NULL};
    static const char *const inits[] = {"he-backward", "he-forward", "xavier", NULL};
    prelu_net_options o = {.classes = 0};
    int64_t classes = 0, seed = 0;
    double slope = 0;
    int activation = 0, init = 0, arch = 0;
    const char *name;
    PRELU_TRY(train_need(a, "arch", &name, err));
    PRELU_TRY(choose(a, "arch", prelu_net_names(), 0, &arch, err));
    PRELU_TRY(choose(a, "activation", activations, PRELU_ACT_PRELU, &activation, err));
    PRELU_TRY(choose(a, "init-method", inits, PRELU_INIT_HE_BACKWARD, &init, err));
    PRELU_TRY(train_int(a, "classes", 2, 100000, 0, &classes, err));
    PRELU_TRY(train_int(a, "seed", 0, INT64_MAX, 1, &seed, err));
    PRELU_TRY(train_double(a, "width", 0.01, 4, 1, &o.width, err));
    PRELU_TRY(train_double(a, "slope", -10, 10, 0.25, &slope, err));
    o.arch = prelu_net_names()[arch];
    o.classes = (int)classes;
    o.activation = (prelu_activation)activation;
    o.init = (prelu_init)init;
    o.seed = (uint64_t)seed;
    o.slope = (float)slope;
    o.slope_set = train_text(a, "slope", NULL) != NULL;
    *out = o;
    return PRELU_OK;
}

prelu_status train_load(const train_args *a, prelu_model **out, prelu_err *err)
{
    prelu_model_options o = {train_text(a, "preprocess", NULL), train_text(a, "labels", NULL)};
    const char *path;
    PRELU_TRY(train_need(a, "model", &path, err));
    return prelu_model_load(out, path, &o, err);
}

prelu_status train_pool(const train_args *a, prelu_pool **out, int *threads, prelu_err *err)
{
    int64_t n = 1;
    PRELU_TRY(train_int(a, "threads", 1, 256, prelu_cpu_count(), &n, err));
    *threads = (int)n;
    return prelu_pool_create(out, (int)n - 1, err);
}

prelu_status train_bf16(const train_args *a, bool *bf16, prelu_err *err)
{
    static const char *const names[] = {"fp32", "bf16", "auto", NULL};
    int choice = 0;
    PRELU_TRY(choose(a, "precision", names, 0, &choice, err));
    *bf16 = choice == 2 ? prelu_trainer_prefers_bf16() : choice == 1;
    return PRELU_OK;
}

int train_utf8(const unsigned char *s)
{
    int more = *s < 0x80 ? 0 : *s < 0xc2 ? -1 : *s < 0xe0 ? 1 : *s < 0xf0 ? 2 : *s < 0xf5 ? 3 : -1;
    if (more < 0 || (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    for (int i = 1; i <= more; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return more + 1;
}

void train_json_text(FILE *f, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    putc('"', f);
    while (*s) {
        int n = train_utf8(s);
        if (!n)
            fputs("\\ufffd", f);
        else if (*s == '"' || *s == '\\')
            fprintf(f, "\\%c", *s);
        else if (*s < 0x20)
            fprintf(f, "\\u%04x", *s);
        else
            fwrite(s, 1, (size_t)n, f);
        s += n ? n : 1;
    }
    putc('"', f);
}

double train_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

double train_since_start_ms(void)
{
    char text[1024];
    unsigned long long ticks = 0;
    struct timespec now;
    FILE *f = fopen("/proc/self/stat", "r");
    const size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    const char *after = strrchr(text, ')'); /* a program's name may hold anything */
    if (!after || sscanf(after,             /* field 22, in ticks after the machine's start */
                         ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                         "%*d %*d %llu",
                         &ticks) != 1)
        return 0;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6 -
           (double)ticks * 1e3 / (double)sysconf(_SC_CLK_TCK);
}

double train_rss_mb(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f)
        return 0;
    if (fscanf(f, "%*u %llu", &pages) != 1)
        pages = 0;
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

double train_peak_rss_mb(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u))
        return 0;
    return (double)u.ru_maxrss * 1024 / 1e6; /* Linux counts KiB */
}
