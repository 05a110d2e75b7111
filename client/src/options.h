/** Command line of prelu-classify. One table of rows feeds getopt_long, --help and the man page. */
#ifndef PRELU_CLIENT_OPTIONS_H
#define PRELU_CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Exit codes (sysexits where they exist). */
enum {
    CLI_EXIT_OK = 0,           /* every picture was classified */
    CLI_EXIT_FAILED = 1,       /* some pictures were not */
    CLI_EXIT_USAGE = 64,       /* the command line is wrong; nothing was sent */
    CLI_EXIT_UNREACHABLE = 69, /* the server cannot be reached */
    CLI_EXIT_SOFTWARE = 70,    /* the program itself could not start (memory, libcurl) */
    CLI_EXIT_OUTPUT = 74,      /* the results could not be written */
};

#define CLI_DEFAULT_SERVER "http://127.0.0.1:8080"
#define CLI_MAX_JOBS 256
#define CLI_MAX_CONNECTIONS 4096
#define CLI_MAX_RATE 1e6 /* requests per second */
#define CLI_MAX_RETRIES 100
#define CLI_MAX_TOP_K 1000000
#define CLI_MAX_TIMEOUT_S 86400.0
#define CLI_MAX_MODEL_LEN 128
#define CLI_MAX_SCALES 8
#define CLI_MAX_BUDGET_MS 3600000

typedef enum cli_format { CLI_TABLE, CLI_JSON, CLI_CSV } cli_format;

typedef enum cli_command { CLI_RUN, CLI_HELP, CLI_VERSION, CLI_WRONG } cli_command;

/* All strings are borrowed from argv, the environment or constants. */
typedef struct cli_options {
    cli_command command;
    const char *server;
    const char *mode; /* NULL: the server's default, as are model, scales and top_k 0 */
    const char *scales;
    const char *model;
    const char *average;      /* NULL: the server's default */
    const char *heatmap;      /* NULL: none */
    unsigned budget_ms;       /* 0: none */
    const char *api_key_file; /* NULL: none, as are the next two */
    const char *unix_socket;
    const char *cacert;
    unsigned top_k;
    unsigned jobs;    /* 1..CLI_MAX_JOBS */
    unsigned retries; /* 0..CLI_MAX_RETRIES, per picture, after its first try */
    double timeout_s; /* > 0, for one try of one picture */
    cli_format format;
    bool quiet;
    bool bench; /* the command bench; what follows is its own */
    unsigned connections;
    double rate;  /* requests per second; 0: closed loop */
    double p99_s; /* find the highest rate within it; 0: no search */
    double duration_s, warmup_s;
    unsigned seed;
    bool same;        /* a picture's answers must be alike */
    const char *save; /* NULL: none, as is compare */
    const char *compare;
    char *const *inputs; /* FILE | DIR | "-" */
    size_t input_count;
} cli_options;

/* Who takes an option. */
enum { CLI_FOR_CLASSIFY = 1, CLI_FOR_BENCH = 2, CLI_FOR_BOTH = 3 };

/** One option. `set` stores a value; on a bad one it returns false and `why` says what is allowed.
 */
typedef struct cli_option {
    unsigned commands;   /* CLI_FOR_... */
    const char *name;    /* long name without the dashes */
    char letter;         /* short name, or 0 */
    const char *value;   /* placeholder in --help; NULL: takes none */
    const char *initial; /* default as text, NULL: none worth saying */
    const char *env;     /* environment variable that replaces the default, or NULL */
    const char *help;
    bool (*set)(cli_options *o, const char *value, char *why, size_t why_len);
} cli_option;

extern const cli_option cli_option_table[];
extern const size_t cli_option_count;

/** Fills `o` from the environment, then from argv (which getopt may reorder); `bench` as the first
 *  word chooses that command. A name may stand for each command once.
 *  A mistake is explained on `err` and leaves o->command = CLI_WRONG. Not thread-safe (getopt). */
void cli_options_parse(cli_options *o, int argc, char **argv, FILE *err);

/** Writes --help of a command (bench or not), at most 80 columns wide. */
void cli_options_help(FILE *out, bool bench);

/** @return the candidate nearest to `word`, or NULL if none is near enough to be meant.
 *  @param next returns candidate i or NULL past the end. */
const char *cli_nearest(const char *word, const char *(*next)(size_t i));

#endif
