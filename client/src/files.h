/** Which pictures the command line means, and their bytes. */
#ifndef PRELU_CLIENT_FILES_H
#define PRELU_CLIENT_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"

#define CLI_MAX_FILES 10000000 /* pictures in one call */
#define CLI_MAX_DEPTH 64       /* folders inside folders */

/** A picture to ask about, or an argument that turned out to be none. */
typedef struct cli_file {
    char *path;       /* owned; as given, or DIR/relative path; "-" is standard input */
    const char *code; /* NULL: a picture; else a constant such as "not_found" */
    char *error;      /* owned; why, or NULL */
} cli_file;

typedef struct cli_file_list {
    cli_file *items; /* owned */
    size_t count;
    size_t cap;
    bool from_dir; /* at least one folder was searched */
} cli_file_list;

/** Expands the arguments in their order. A folder becomes its *.jpg and *.jpeg (any case), searched
 *  recursively, sorted by the bytes of their paths; hidden names and what is no regular file are
 *  left out. Links are followed, but each folder is entered once per argument, so link loops end.
 *  What is missing, unreadable or empty of pictures becomes an item with an error.
 *  @return false: out of memory or over CLI_MAX_FILES, text in `why`; the list is freed. */
bool cli_files_list(cli_file_list *list, char *const *inputs, size_t count, char *why,
                    size_t why_len);

void cli_files_deinit(cli_file_list *list);

/** Reads a whole file, or standard input for "-", into `out`, whose ceiling is the limit.
 *  @return NULL on success, else a constant code with the reason in `why`. */
const char *cli_files_read(cli_bytes *out, const char *path, char *why, size_t why_len);

#endif
