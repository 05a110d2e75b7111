#define _POSIX_C_SOURCE 200809L
#include "command.h"
#include "dist.h"
#include "prelu/log.h"
#include "prelu/plan.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const train_command *const commands[] = {
#define COMMAND(symbol) &train_##symbol,
#include "commands.inc"
#undef COMMAND
};
#define N_COMMANDS (sizeof commands / sizeof commands[0])

int train_exit_code(prelu_status st)
{
    switch (st) {
    case PRELU_OK:
        return 0;
    case PRELU_E_ARG:
        return 64;
    case PRELU_E_FORMAT:
    case PRELU_E_LIMIT:
    case PRELU_E_UNSUPPORTED:
        return 65;
    case PRELU_E_NOTFOUND:
        return 66;
    case PRELU_E_NOMEM:
        return 71;
    case PRELU_E_IO:
        return 74;
    case PRELU_E_BUSY:
    case PRELU_E_TIMEOUT:
        return 75;
    case PRELU_E_PERM:
        return 77;
    case PRELU_E_CANCELLED:
        return 130;
    case PRELU_E_INTERNAL:
        break;
    }
    return 70;
}

static void print_commands(FILE *f)
{
    fputs("usage: prelu-train COMMAND [OPTION...]\n"
          "Train, test and time image classifiers.\n\n"
          "Commands:\n",
          f);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(f, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\nprelu-train COMMAND --help lists the options of one.\n\n"
          "Exit codes: 0 done, 64 wrong usage, 65 model or data not usable, 66 file\n"
          "missing, 70 a bug, 71 out of memory, 74 reading or writing failed, 75 in use by\n"
          "another process, 77 permission denied, 130 or 143 interrupted, after the\n"
          "checkpoint.\n",
          f);
}

static void print_help(const train_command *c)
{
    printf("usage: prelu-train %s %s\n%s.\n\n", c->name, c->usage, c->summary);
    for (const train_option *o = c->options; o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s%s", *o->name ? "--" : "", o->name,
                 *o->name && o->metavar ? " " : "", o->metavar ? o->metavar : "");
        printf("  %-26s %s%s\n", left, o->help, o->repeatable ? " (may be repeated)" : "");
    }
}

static const train_command *find(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (!strcmp(commands[i]->name, name))
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[N_COMMANDS + 1], *near;
    for (size_t i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i]->name;
    names[N_COMMANDS] = NULL;
    near = train_nearest(name, names);
    fprintf(stderr, "prelu-train: unknown command '%.60s'%s%s%s\n", name,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return 64;
}

static void print_log(void *ctx, prelu_log_level level, const char *text)
{
    (void)ctx;
    fprintf(stderr, "prelu-train: %s%s\n", level == PRELU_LOG_WARN ? "warning: " : "", text);
}

/* What goes wrong when the last of stdout is written must not look like success. */
static prelu_status close_output(prelu_err *err)
{
    if (fflush(stdout) || ferror(stdout))
        return prelu_fail(err, PRELU_E_IO, "writing to standard output failed");
    return PRELU_OK;
}

/* Processes that were started with other flags must not wait for each other. */
static prelu_status check_processes(const train_command *c, int argc, char *const *argv,
                                    prelu_err *err)
{
    char *line = NULL;
    size_t len = 0;
    prelu_status st;
    FILE *f;
    if (train_dist_size() == 1)
        return PRELU_OK;
    if (c != &train_eval && c != &train_fit) /* they share their work out */
        return prelu_fail(err, PRELU_E_UNSUPPORTED, "%s runs in one process, not %d", c->name,
                          train_dist_size());
    f = open_memstream(&line, &len);
    if (!f)
        return prelu_fail(err, PRELU_E_NOMEM, "the command line");
    fprintf(f, "%s %s", PRELU_VERSION, c->name);
    for (int i = 0; i < argc; i++)
        fprintf(f, "%c%s", 0, argv[i]);
    fclose(f);
    st = train_dist_same("the command line", line, len, err);
    free(line);
    return st;
}

static int run_command(const train_command *c, int argc, char *const *argv)
{
    train_args args;
    prelu_err err = {0};
    prelu_status st;
    int code = 0;
    for (int i = 0; i < argc; i++)
        if (!strcmp(argv[i], "--help")) {
            print_help(c);
            return 0;
        }
    st = train_args_parse(&args, c->options, argc, argv, &err);
    if (!st)
        st = check_processes(c, argc, argv, &err);
    if (!st)
        st = prelu_cpu_init(&err);
    if (!st)
        st = c->run(&args, &code, &err);
    if (!st)
        st = close_output(&err);
    if (!st)
        return code;
    fprintf(stderr, "prelu-train %s: %s\n", c->name,
            err.text[0] ? err.text : prelu_status_text(st));
    return code ? code : train_exit_code(st);
}

static int run_program(int argc, char **argv)
{
    const train_command *c;
    if (argc < 2) {
        print_commands(stderr);
        return 64;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_commands(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version")) {
        puts("prelu-train " PRELU_VERSION);
        return 0;
    }
    c = find(argv[1]);
    return c ? run_command(c, argc - 2, argv + 2) : unknown_command(argv[1]);
}

int train_main(int argc, char **argv)
{
    prelu_err err = {0};
    prelu_log_set(print_log, NULL, PRELU_LOG_WARN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is to be an error of write, as a full disk is */
    if (train_dist_begin(&argc, &argv, &err)) {
        fprintf(stderr, "prelu-train: %s\n", err.text);
        return train_exit_code(err.code);
    }
    return train_dist_end(run_program(argc, argv));
}
