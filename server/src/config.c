#define _POSIX_C_SOURCE 200809L
#include "config.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include "query.h"
#include "srvjson.h"
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind { TEXT, LIST, COUNT, SIZE, PIXELS, TIME, CHOICE, FLAG } kind;

typedef struct option {
    const char *name;
    kind kind;
    size_t at;         /* in srv_config */
    const char *value; /* default; NULL = none */
    int64_t lo, hi;    /* of numbers */
    const char *arg;   /* in the help; of CHOICE: the words, in the order of their numbers */
    const char *help;
} option;

#define SECONDS INT64_C(1000000000)
#define HELP_COLUMN 27
#define AT(member) offsetof(srv_config, member)
static const option table[] = {
    {"model", LIST, AT(models), NULL, 0, 0, "[NAME=]PATH",
     "ONNX classifier to serve; repeatable, the first is the default (default: the bundled one)"},
    {"model-dir", TEXT, AT(model_dir), NULL, 0, 0, "DIR",
     "serve DIR/NAME/VERSION/model.onnx as well; the highest version of a name is its default"},
    {"ensemble", LIST, AT(ensembles), NULL, 0, 0, "NAME=A,B",
     "the mean of models' scores under a name of its own; repeatable, labels must agree"},
    {"preprocess", LIST, AT(preprocess), NULL, 0, 0, "[NAME=]FILE",
     "preprocessing of a foreign model: a JSON file, or imagenet, caffe, raw"},
    {"labels", LIST, AT(labels), NULL, 0, 0, "[NAME=]FILE",
     "labels of a model: one a line, or id<TAB>label"},
    {"host", TEXT, AT(host), "127.0.0.1", 0, 0, "ADDRESS", "address to listen on"},
    {"port", COUNT, AT(port), "8080", 0, 65535, "N", "port to listen on, 0 = any free one"},
    {"port-file", TEXT, AT(port_file), NULL, 0, 0, "FILE", "write the port there once listening"},
    {"unix-socket", TEXT, AT(unix_socket), NULL, 0, 0, "PATH",
     "listen on this socket instead of an address and port"},
    {"admin-listen", TEXT, AT(admin_listen), NULL, 0, 0, "[HOST:]PORT|unix:PATH",
     "listen there, on a loopback address, for /metrics and for loading and unloading models"},
    {"threads", COUNT, AT(threads), "0", 0, 256, "N",
     "compute threads, 0 = the cores this process may use"},
    {"http-threads", COUNT, AT(http_threads), "0", 0, 64, "N",
     "threads that read and write, 0 = one for every 8 compute threads"},
    {"precision", CHOICE, AT(precision), "auto", 0, 0, "auto|fp32|bf16|int8fc",
     "arithmetic of the network"},
    {"mode", CHOICE, AT(mode), "center", 0, 0, "center|10view|dense|multiscale",
     "test mode without ?mode="},
    {"top-k", COUNT, AT(top_k), "5", 1, 100000, "N", "classes answered without ?top_k="},
    {"max-batch", COUNT, AT(max_batch), "32", 1, 1024, "N", "most views in one run"},
    {"max-batch-delay", TIME, AT(max_batch_delay), "0", 0, SECONDS, "TIME",
     "how long a picture may wait for others to share its run"},
    {"queue-limit", COUNT, AT(queue_limit), "0", 0, 1000000, "N",
     "most work admitted and not running, in views; 0 = 256 per thread"},
    {"request-timeout", TIME, AT(request_timeout), "30s", SECONDS / 1000, 3600 * SECONDS, "TIME",
     "a body must arrive within it (408), an answer be ready within it (504)"},
    {"header-timeout", TIME, AT(header_timeout), "10s", SECONDS / 10, 3600 * SECONDS, "TIME",
     "the headers of a request must arrive within it"},
    {"idle-timeout", TIME, AT(idle_timeout), "60s", SECONDS / 10, 3600 * SECONDS, "TIME",
     "how long a connection may wait between requests"},
    {"max-body", SIZE, AT(max_body), "20MiB", 1, INT64_C(1) << 40, "SIZE", "most bytes of a body"},
    {"max-buffered", SIZE, AT(max_buffered), "1GiB", 1, INT64_C(1) << 50, "SIZE",
     "most bytes of all bodies held at once"},
    {"max-pixels", PIXELS, AT(max_pixels), "50MP", 1, INT64_C(4290250000), "PIXELS",
     "most pixels of a picture"},
    {"max-images", COUNT, AT(max_images), "64", 1, 1024, "N", "most pictures of one request"},
    {"rate-limit", COUNT, AT(rate_limit), "0", 0, 1000000, "N",
     "requests a second of one client, by its key or else its address, 0 = any (429)"},
    {"max-connections", COUNT, AT(max_connections), "1024", 1, 100000, "N", "most connections"},
    {"api-key-file", TEXT, AT(api_key_file), NULL, 0, 0, "FILE",
     "ask for a key; the file has lines name:sha256 (see prelu-serve hash-key), read anew on "
     "SIGHUP"},
    {"tls-cert", TEXT, AT(tls_cert), NULL, 0, 0, "FILE",
     "speak HTTPS with this PEM certificate chain, leaf first; read anew on SIGHUP"},
    {"tls-key", TEXT, AT(tls_key), NULL, 0, 0, "FILE", "its PEM key"},
    {"drain-delay", TIME, AT(drain_delay), "0", 0, 3600 * SECONDS, "TIME",
     "after SIGTERM: how long to go on accepting while /readyz says no"},
    {"drain-timeout", TIME, AT(drain_timeout), "30s", 0, 3600 * SECONDS, "TIME",
     "after that: how long requests in flight may take"},
    {"log-format", CHOICE, AT(log_format), "json", 0, 0, "json|text", "lines on standard error"},
    {"log-level", CHOICE, AT(log_level), "info", 0, 0, "error|warn|info|debug", "least to log"},
    {"no-ui", FLAG, AT(no_ui), "off", 0, 0, NULL, "do not serve the page at /"},
    {"check", FLAG, AT(check), "off", 0, 0, NULL, "load and try the models, then exit"},
    {"config", TEXT, AT(config), NULL, 0, 0, "FILE", "JSON object of these options"},
    {"print-config", FLAG, AT(print_config), "off", 0, 0, NULL,
     "print each value and where it came from, then exit"},
    {"version", FLAG, AT(version), "off", 0, 0, NULL, "print the version, then exit"},
    {"help", FLAG, AT(help), "off", 0, 0, NULL, "print this, then exit"},
};
enum { N_OPTIONS = sizeof table / sizeof *table };
static_assert((int)N_OPTIONS <= SRV_MAX_OPTIONS, "raise SRV_MAX_OPTIONS");

typedef struct unit {
    const char *name;
    double factor;
} unit;

/* A number of at most 15 digits with an optional unit; `hi` bounds the product. */
static prelu_status with_unit(int64_t *out, const char *text, const unit *units, const char *what,
                              prelu_err *err)
{
    size_t n = strspn(text, "0123456789.");
    char number[16], *end;
    if (n > 0 && n < sizeof number) {
        memcpy(number, text, n);
        number[n] = 0;
        double v = strtod(number, &end);
        for (const unit *u = units; u->name && !*end; u++)
            if (strcmp(text + n, u->name) == 0 && v * u->factor < 9e18) {
                *out = (int64_t)(v * u->factor + 0.5);
                return PRELU_OK;
            }
        if (!*end && v <= 0 && !text[n]) { /* zero needs no unit */
            *out = 0;
            return PRELU_OK;
        }
    }
    return prelu_fail(err, PRELU_E_ARG, "\"%.40s\" is not %s", text, what);
}

prelu_status srv_parse_size(int64_t *out, const char *text, prelu_err *err)
{
    static const unit units[] = {{"", 1},         {"B", 1},        {"KiB", 1024}, {"MiB", 1048576},
                                 {"KB", 1e3},     {"GiB", 0x1p30}, {"MB", 1e6},   {"GB", 1e9},
                                 {"TiB", 0x1p40}, {NULL, 0}};
    return with_unit(out, text, units, "a size such as 20MiB", err);
}

prelu_status srv_parse_time(int64_t *out, const char *text, prelu_err *err)
{
    static const unit units[] = {{"us", 1e3}, {"ms", 1e6},   {"s", 1e9},
                                 {"m", 6e10}, {"h", 3.6e12}, {NULL, 0}};
    return with_unit(out, text, units, "a time such as 250ms or 30s", err);
}

prelu_status srv_parse_pixels(int64_t *out, const char *text, prelu_err *err)
{
    static const unit units[] = {{"", 1}, {"kP", 1e3}, {"MP", 1e6}, {"GP", 1e9}, {NULL, 0}};
    return with_unit(out, text, units, "a number of pixels such as 50MP", err);
}

static prelu_status parse_choice(int64_t *out, const option *o, const char *text, prelu_err *err)
{
    size_t len = strlen(text);
    int64_t i = 0;
    for (const char *p = o->arg; p; i++) {
        const char *bar = strchr(p, '|');
        size_t n = bar ? (size_t)(bar - p) : strlen(p);
        if (n == len && memcmp(p, text, n) == 0) {
            *out = i;
            return PRELU_OK;
        }
        p = bar ? bar + 1 : NULL;
    }
    return prelu_fail(err, PRELU_E_ARG, "\"%.40s\" is not one of %s", text, o->arg);
}

static prelu_status parse_flag(bool *out, const char *text, prelu_err *err)
{
    if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
        return prelu_fail(err, PRELU_E_ARG, "\"%.40s\" is neither on nor off", text);
    *out = text[1] == 'n';
    return PRELU_OK;
}

static prelu_status parse_number(int64_t *out, const option *o, const char *text, prelu_err *err)
{
    long v = 0;
    int64_t wide = 0;
    if (o->kind == COUNT) {
        PRELU_TRY(srv_query_number(&v, "the value", text, (long)o->lo, (long)o->hi, err));
        wide = v;
    } else if (o->kind == SIZE) {
        PRELU_TRY(srv_parse_size(&wide, text, err));
    } else if (o->kind == TIME) {
        PRELU_TRY(srv_parse_time(&wide, text, err));
    } else {
        PRELU_TRY(srv_parse_pixels(&wide, text, err));
    }
    if (wide < o->lo || wide > o->hi)
        return prelu_fail(err, PRELU_E_ARG, "\"%.40s\" is out of range", text);
    *out = wide;
    return PRELU_OK;
}

static prelu_status replace(char **slot, const char *text, prelu_err *err)
{
    char *copy = prelu_strdup(text);
    if (!copy)
        return prelu_fail(err, PRELU_E_NOMEM, "no memory");
    prelu_free(*slot);
    *slot = copy;
    return PRELU_OK;
}

static void list_clear(srv_list *l)
{
    for (int i = 0; i < l->n; i++)
        prelu_free(l->text[i]);
    memset(l, 0, sizeof *l);
}

/* A list of a stronger source replaces one of a weaker. */
static prelu_status list_add(srv_list *l, bool anew, const char *text, prelu_err *err)
{
    if (anew)
        list_clear(l);
    if (l->n == SRV_MAX_LIST)
        return prelu_fail(err, PRELU_E_ARG, "given more than %d times", SRV_MAX_LIST);
    PRELU_TRY(replace(&l->text[l->n], text, err));
    l->n++;
    return PRELU_OK;
}

static prelu_status set(srv_config *c, int i, srv_source from, const char *text, prelu_err *err)
{
    const option *o = &table[i];
    char *at = (char *)c + o->at;
    prelu_status st = PRELU_E_INTERNAL;
    switch (o->kind) {
    case TEXT:
        st = replace((char **)(void *)at, text, err);
        break;
    case LIST:
        st = list_add((srv_list *)(void *)at, c->source[i] != from, text, err);
        break;
    case COUNT:
    case SIZE:
    case PIXELS:
    case TIME:
        st = parse_number((int64_t *)(void *)at, o, text, err);
        break;
    case CHOICE:
        st = parse_choice((int64_t *)(void *)at, o, text, err);
        break;
    case FLAG:
        st = parse_flag((bool *)(void *)at, text, err);
        break;
    }
    if (!st && o->kind != LIST)
        st = replace(&c->text[i], text, err);
    c->source[i] = from;
    return st;
}

static int find(const char *name, size_t len)
{
    for (int i = 0; i < N_OPTIONS; i++)
        if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
            return i;
    return -1;
}

/* Says where a bad value stood. */
static prelu_status blame(prelu_err *err, const char *where, const char *name, prelu_status st,
                          const prelu_err *why)
{
    return prelu_fail(err, st, "%s%s: %s", where, name, why->text);
}

static prelu_status read_defaults(srv_config *c, prelu_err *err)
{
    for (int i = 0; i < N_OPTIONS; i++)
        if (table[i].value)
            PRELU_TRY(set(c, i, SRV_DEFAULT, table[i].value, err));
    return PRELU_OK;
}

static prelu_status read_file_value(void *ctx, const char *key, const char *value, prelu_err *err)
{
    srv_config *c = ctx;
    prelu_err why = {0};
    int i = find(key, strlen(key));
    if (i < 0)
        return prelu_fail(err, PRELU_E_ARG, "%s: unknown option \"%.60s\"", c->config, key);
    prelu_status st = set(c, i, SRV_FILE, value, &why);
    return st ? blame(err, "config file: ", key, st, &why) : PRELU_OK;
}

static prelu_status read_env(srv_config *c, const char *(*env)(const char *), prelu_err *err)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        char name[64] = "PRELU_";
        size_t n = 6;
        for (const char *p = table[i].name; *p && n + 1 < sizeof name; p++)
            name[n++] = (char)(*p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
        name[n] = 0;
        const char *value = env(name);
        prelu_err why = {0};
        prelu_status st = value ? set(c, i, SRV_ENV, value, &why) : PRELU_OK;
        if (st)
            return blame(err, "", name, st, &why);
    }
    return PRELU_OK;
}

/* Variables of the engine and the client. */
static bool of_others(const char *name, size_t len)
{
    static const char *const others[] = {"CPU", "CONV", "SERVER", "API_KEY"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strlen(others[i]) == len && memcmp(others[i], name, len) == 0)
            return true;
    return false;
}

void srv_config_warn(char *const *environment)
{
    for (; *environment; environment++) {
        const char *name = *environment + 6;
        char flag[64];
        size_t n = 0;
        if (strncmp(*environment, "PRELU_", 6) != 0)
            continue;
        const size_t len = strcspn(name, "=");
        for (; n < len && n < sizeof flag; n++) {
            const bool lower = name[n] >= 'a' && name[n] <= 'z';
            const bool upper = name[n] >= 'A' && name[n] <= 'Z';
            flag[n] = (char)(lower ? '?' : upper ? name[n] - 'A' + 'a' : name[n]);
            flag[n] = flag[n] == '_' ? '-' : flag[n];
        }
        if (find(flag, n) < 0 && !of_others(name, len))
            prelu_log(PRELU_LOG_WARN, "PRELU_%.*s in the environment is no option (see --help)",
                      (int)(len < 60 ? len : 60), name);
    }
}

/* One flag at argv[*k]; with `only` >= 0, others are just checked. */
static prelu_status read_flag(srv_config *c, int argc, char **argv, int *k, int only,
                              prelu_err *err)
{
    const char *arg = strcmp(argv[*k], "-h") == 0 ? "--help" : argv[*k];
    if (strncmp(arg, "--", 2) != 0)
        return prelu_fail(err, PRELU_E_ARG, "unexpected argument \"%.60s\" (see --help)", arg);
    const char *name = arg + 2, *equals = strchr(name, '='), *value = equals ? equals + 1 : NULL;
    int i = find(name, equals ? (size_t)(equals - name) : strlen(name));
    if (i < 0)
        return prelu_fail(err, PRELU_E_ARG, "unknown flag %.60s (see --help)", arg);
    if (!value && table[i].kind == FLAG)
        value = "on";
    if (!value && *k + 1 < argc)
        value = argv[++*k];
    if (!value)
        return prelu_fail(err, PRELU_E_ARG, "--%s needs a value", table[i].name);
    prelu_err why = {0};
    prelu_status st = only < 0 || i == only ? set(c, i, SRV_FLAG, value, &why) : PRELU_OK;
    return st ? blame(err, "--", table[i].name, st, &why) : PRELU_OK;
}

static prelu_status read_flags(srv_config *c, int argc, char **argv, int only, prelu_err *err)
{
    for (int k = 1; k < argc; k++)
        PRELU_TRY(read_flag(c, argc, argv, &k, only, err));
    return PRELU_OK;
}

static int file_exit_code(prelu_status st)
{
    return st == PRELU_E_NOTFOUND ? SRV_EX_NOINPUT
           : st == PRELU_E_PERM   ? SRV_EX_NOPERM
                                  : SRV_EX_CONFIG;
}

int srv_config_read(srv_config *c, int argc, char **argv, const char *(*env)(const char *),
                    prelu_err *err)
{
    memset(c, 0, sizeof *c);
    int config = find("config", 6);
    const char *file = env("PRELU_CONFIG");
    if (read_defaults(c, err))
        return SRV_EX_SOFTWARE;
    /* The file is read before the flags but named by one of them. */
    if (file && set(c, config, SRV_ENV, file, err))
        return SRV_EX_CONFIG;
    if (read_flags(c, argc, argv, config, err))
        return SRV_EX_USAGE;
    if (c->config) {
        prelu_status st = srv_json_flat(c->config, read_file_value, c, err);
        if (st)
            return file_exit_code(st);
    }
    if (read_env(c, env, err))
        return SRV_EX_CONFIG;
    if (read_flags(c, argc, argv, -1, err))
        return SRV_EX_USAGE;
    return 0;
}

void srv_config_deinit(srv_config *c)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        char *at = (char *)c + table[i].at;
        if (table[i].kind == TEXT)
            prelu_free(*(char **)(void *)at);
        else if (table[i].kind == LIST)
            list_clear((srv_list *)(void *)at);
        prelu_free(c->text[i]);
    }
    memset(c, 0, sizeof *c);
}

void srv_config_print(const srv_config *c, FILE *to)
{
    static const char *const from[] = {"default", "config file", "environment", "command line"};
    for (int i = 0; i < N_OPTIONS; i++) {
        const srv_list *l = (const srv_list *)(const void *)((const char *)c + table[i].at);
        if (table[i].kind != LIST) {
            fprintf(to, "%s = %s  (%s)\n", table[i].name, c->text[i] ? c->text[i] : "",
                    from[c->source[i]]);
            continue;
        }
        for (int k = 0; k < l->n; k++)
            fprintf(to, "%s = %s  (%s)\n", table[i].name, l->text[k], from[c->source[i]]);
        if (l->n == 0)
            fprintf(to, "%s =   (%s)\n", table[i].name, from[c->source[i]]);
    }
}

/* Writes words from column HELP_COLUMN on, broken before column 80. */
static void put_wrapped(FILE *to, const char *text)
{
    int column = HELP_COLUMN;
    for (size_t n; *text; text += n + (text[n] == ' ')) {
        n = strcspn(text, " ");
        if (column > HELP_COLUMN && column + 1 + (int)n >= 80) {
            fprintf(to, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        }
        column += fprintf(to, "%s%.*s", column > HELP_COLUMN ? " " : "", (int)n, text);
    }
    fputc('\n', to);
}

void srv_config_help(FILE *to)
{
    fprintf(to, "Usage: prelu-serve [OPTION]...\n"
                "       prelu-serve hash-key < KEY\n"
                "Serves ONNX image classifiers over HTTP: POST a JPEG to /classify.\n"
                "hash-key prints the digest of a key, for --api-key-file.\n\n"
                "Options:\n");
    for (int i = 0; i < N_OPTIONS; i++) {
        const option *o = &table[i];
        bool has_default = o->value && o->kind != FLAG;
        char text[300];
        int width = fprintf(to, "  --%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        snprintf(text, sizeof text, "%s%s%s%s", o->help, has_default ? " [" : "",
                 has_default ? o->value : "", has_default ? "]" : "");
        if (width > HELP_COLUMN - 2) { /* the text begins below */
            fputc('\n', to);
            width = 0;
        }
        fprintf(to, "%*s", HELP_COLUMN - width, "");
        put_wrapped(to, text);
    }
    fputs("\nEach option can also be given as PRELU_<NAME> in the environment, as in\n"
          "PRELU_MAX_BODY, or in the --config file; the command line wins, then the\n"
          "environment.\n\n"
          "Signals: TERM and INT finish what was begun and end (a second one ends at\n"
          "once); HUP reads the files of keys and certificates again.\n\n"
          "Exit codes: 0 clean end, 64 wrong usage, 65 model not usable, 66 file missing,\n"
          "69 address in use, 70 a bug, 73 or 74 a file cannot be written or read,\n"
          "75 requests were lost in the end, 77 permission denied, 78 configuration.\n\n"
          "Examples:\n"
          "  prelu-serve\n"
          "  prelu-serve --model pets=pets.onnx --host 0.0.0.0 --api-key-file keys\n"
          "  printf %s 'a long random secret' | prelu-serve hash-key\n",
          to);
}

const char *srv_config_split(const char *text, size_t *name_len)
{
    const char *equals = strchr(text, '=');
    char name[130];
    size_t n = equals ? (size_t)(equals - text) : 0;
    *name_len = 0;
    if (n == 0 || n >= sizeof name)
        return text;
    memcpy(name, text, n);
    name[n] = 0;
    if (!srv_name_ok(name))
        return text;
    *name_len = n;
    return equals + 1;
}
