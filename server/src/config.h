#ifndef SRV_CONFIG_H
#define SRV_CONFIG_H
#include "prelu/status.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/** Options of prelu-serve. One table (config.c) gives flag, environment variable, key of the config
 *  file, default, range and help text. Precedence: command line, PRELU_<FLAG>, --config file,
 *  default. */

/** Exit codes, those of sysexits.h that are used. */
enum {
    SRV_EX_USAGE = 64,
    SRV_EX_DATA = 65,
    SRV_EX_NOINPUT = 66,
    SRV_EX_UNAVAILABLE = 69,
    SRV_EX_SOFTWARE = 70,
    SRV_EX_CANTCREAT = 73,
    SRV_EX_IOERR = 74,
    SRV_EX_TEMPFAIL = 75,
    SRV_EX_NOPERM = 77,
    SRV_EX_CONFIG = 78
};

enum { SRV_MAX_LIST = 8 };
#define SRV_MAX_OPTIONS 40

typedef struct srv_list {
    int n;
    char *text[SRV_MAX_LIST]; /* owned */
} srv_list;

typedef enum srv_source { SRV_DEFAULT, SRV_FILE, SRV_ENV, SRV_FLAG } srv_source;
typedef enum srv_log_format { SRV_LOG_JSON, SRV_LOG_TEXT } srv_log_format;

/** Sizes in bytes, times in nanoseconds. */
typedef struct srv_config {
    srv_list models, preprocess, labels; /* [NAME=]PATH */
    srv_list ensembles;                  /* NAME=MODEL,MODEL */
    char *host, *port_file, *config;     /* NULL when not given, host aside */
    char *unix_socket;                   /* instead of host and port */
    char *tls_cert, *tls_key;            /* both or neither */
    char *model_dir;                     /* NAME/VERSION/model.onnx; or NULL */
    char *admin_listen;                  /* [HOST:]PORT or unix:PATH; NULL: closed */
    char *api_key_file;                  /* NULL: no key is asked for */
    int64_t port, threads, http_threads; /* threads 0 = as many as this process may use */
    int64_t precision, mode;             /* prelu_precision, prelu_mode */
    int64_t top_k, max_batch, max_batch_delay, queue_limit; /* queue_limit 0 = 256 per thread */
    int64_t request_timeout, header_timeout, idle_timeout;
    int64_t max_body, max_buffered, max_pixels, max_images, max_connections;
    int64_t rate_limit; /* 0 = none */
    int64_t drain_delay, drain_timeout;
    int64_t log_format, log_level; /* srv_log_format, prelu_log_level */
    bool no_ui, check, print_config, version, help;
    srv_source source[SRV_MAX_OPTIONS]; /* in the table's order */
    char *text[SRV_MAX_OPTIONS];        /* as given; owned */
} srv_config;

/** Read defaults, file, environment (through `env`, as getenv) and command line.
 *  @return 0, or an exit code: 64 the command line, 78 the environment or the file, 66 no such
 * file, 77 file not readable; the text names flag, value and range. *c is to be deinited either
 * way. */
PRELU_MUST_CHECK int srv_config_read(srv_config *c, int argc, char **argv,
                                     const char *(*env)(const char *name), prelu_err *err);
void srv_config_deinit(srv_config *c);
/** Each value and where it came from. */
void srv_config_print(const srv_config *c, FILE *to);
void srv_config_help(FILE *to);
/** Log a warning for each PRELU_... of the environment ("NAME=value", NULL at the end) that nothing
 *  here reads: likely a misspelt option. */
void srv_config_warn(char *const *environment);

/** Split [NAME=]PATH: @return the path; *name_len is 0 when there is no name. */
const char *srv_config_split(const char *text, size_t *name_len);

/** "20MiB", "1.5GB", "4096" (bytes); "250ms", "1.5s", "2m", "0" (nanoseconds); "50MP", "640000"
 *  (pixels). @return E_ARG. */
PRELU_MUST_CHECK prelu_status srv_parse_size(int64_t *out, const char *text, prelu_err *err);
PRELU_MUST_CHECK prelu_status srv_parse_time(int64_t *out, const char *text, prelu_err *err);
PRELU_MUST_CHECK prelu_status srv_parse_pixels(int64_t *out, const char *text, prelu_err *err);
#endif
