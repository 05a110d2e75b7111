#ifndef TRAIN_COMMAND_H
#define TRAIN_COMMAND_H
#include "options.h"

/** A subcommand of prelu-train. commands.inc lists them; --help and dispatch read the list. */
typedef struct train_command {
    const char *name;
    const char *summary; /* one line */
    const char *usage;   /* after the name */
    const train_option *options;
    /** @return PRELU_OK, or a failure whose text is printed and whose code becomes the exit code;
     *  *exit_code may be set for other codes (130 interrupted ...). */
    prelu_status (*run)(const train_args *args, int *exit_code, prelu_err *err);
} train_command;

#define COMMAND(symbol) extern const train_command train_##symbol;
#include "commands.inc"
#undef COMMAND

/** The whole program: parse, run, print the error. @return the exit code (sysexits). */
int train_main(int argc, char **argv);
/** Exit code of a failure: 64 usage, 65 bad model or data, 66 missing file, 70 bug, 71 memory, 74
 *  input or output, 77 permission. */
int train_exit_code(prelu_status st);
#endif
