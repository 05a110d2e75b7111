#define _GNU_SOURCE
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct place {
    dev_t dev;
    ino_t ino;
} place;

/* One argument's search: where it has been, and what it may still add. */
typedef struct walk {
    cli_file_list *list;
    void *seen;         /* tsearch tree of places: every folder entered */
    const char *failed; /* first hard failure (memory, limit), else NULL */
} walk;

static const char no_memory[] = "out of memory while listing files";

static const char *errno_code(int error)
{
    if (error == ENOENT || error == ENOTDIR)
        return "not_found";
    return error == EACCES || error == EPERM ? "not_permitted" : "not_readable";
}

/* Takes ownership of `path`. `error` is copied. */
static void add_item(walk *w, char *path, const char *code, const char *error)
{
    cli_file_list *list = w->list;
    char *text = error ? strdup(error) : NULL;

    if (!w->failed && (!path || (error && !text)))
        w->failed = no_memory;
    if (!w->failed && list->count >= CLI_MAX_FILES)
        w->failed = "more than 10,000,000 files";
    if (!w->failed && list->count == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 64;
        cli_file *grown = reallocarray(list->items, cap, sizeof *grown);
        if (grown) {
            list->items = grown;
            list->cap = cap;
        } else {
            w->failed = no_memory;
        }
    }
    if (w->failed) {
        free(path);
        free(text);
        return;
    }
    list->items[list->count++] = (cli_file){path, code, text};
}

static int by_place(const void *a, const void *b)
{
    const place *x = a, *y = b;

    if (x->dev != y->dev)
        return x->dev < y->dev ? -1 : 1;
    return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* @return true the first time this folder is met. */
static bool enter_place(walk *w, const struct stat *st)
{
    place *here = malloc(sizeof *here);
    place *const *found = NULL;
    bool is_new;

    if (here) {
        *here = (place){st->st_dev, st->st_ino};
        found = tsearch(here, &w->seen, by_place);
    }
    if (!found)
        w->failed = no_memory;
    is_new = found && *found == here; /* then the tree owns it */
    if (!is_new)
        free(here);
    return is_new;
}

static bool is_jpeg_name(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && dot != name && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
}

static char *join_path(const char *dir, const char *name)
{
    char *path = NULL;
    size_t len = strlen(dir);

    if (asprintf(&path, "%s%s%s", dir, len && dir[len - 1] == '/' ? "" : "/", name) < 0)
        return NULL;
    return path;
}

static int not_hidden(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void walk_dir(walk *w, const char *dir, unsigned depth);

/* Takes ownership of `path`. */
static void walk_entry(walk *w, char *path, const char *name, unsigned depth)
{
    struct stat st;

    if (!path) {
        w->failed = no_memory;
    } else if (stat(path, &st) != 0) {
        if (is_jpeg_name(name)) { /* a link to nothing that poses as a picture */
            add_item(w, path, errno_code(errno), strerror(errno));
            return;
        }
    } else if (S_ISDIR(st.st_mode)) {
        if (depth + 1 > CLI_MAX_DEPTH) {
            add_item(w, path, "too_deep", "more than 64 folders inside each other");
            return;
        }
        if (enter_place(w, &st))
            walk_dir(w, path, depth + 1);
    } else if (S_ISREG(st.st_mode) && is_jpeg_name(name)) {
        add_item(w, path, NULL, NULL);
        return;
    }
    free(path);
}

static void walk_dir(walk *w, const char *dir, unsigned depth)
{
    struct dirent **entries = NULL;
    int count = scandir(dir, &entries, not_hidden, by_bytes);

    if (count < 0) {
        int error = errno;
        add_item(w, strdup(dir), errno_code(error), strerror(error));
        return;
    }
    for (int i = 0; i < count; i++) {
        if (!w->failed)
            walk_entry(w, join_path(dir, entries[i]->d_name), entries[i]->d_name, depth);
        free(entries[i]);
    }
    free(entries);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const cli_file *)a)->path, ((const cli_file *)b)->path);
}

static void add_argument(walk *w, const char *arg)
{
    size_t before = w->list->count;
    bool is_stdin = strcmp(arg, "-") == 0;
    struct stat st = {0};

    if (!is_stdin && stat(arg, &st) != 0) {
        add_item(w, strdup(arg), errno_code(errno), strerror(errno));
    } else if (is_stdin || !S_ISDIR(st.st_mode)) {
        add_item(w, strdup(arg), NULL, NULL);
    } else {
        w->list->from_dir = true;
        if (enter_place(w, &st))
            walk_dir(w, arg, 0);
        if (!w->failed && w->list->count == before)
            add_item(w, strdup(arg), "no_pictures", "no .jpg or .jpeg in this folder");
        if (!w->failed)
            qsort(w->list->items + before, w->list->count - before, sizeof(cli_file), by_path);
    }
}

bool cli_files_list(cli_file_list *list, char *const *inputs, size_t count, char *why,
                    size_t why_len)
{
    walk w = {.list = list};

    *list = (cli_file_list){0};
    for (size_t i = 0; i < count && !w.failed; i++) {
        add_argument(&w, inputs[i]);
        tdestroy(w.seen, free);
        w.seen = NULL;
    }
    if (!w.failed)
        return true;
    snprintf(why, why_len, "%s", w.failed);
    cli_files_deinit(list);
    return false;
}

void cli_files_deinit(cli_file_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].path);
        free(list->items[i].error);
    }
    free(list->items);
    *list = (cli_file_list){0};
}

static const char *read_all(cli_bytes *out, int fd, char *why, size_t why_len)
{
    char chunk[65536];

    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);

        if (got == 0)
            return NULL;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            snprintf(why, why_len, "%s", strerror(errno));
            return errno_code(errno);
        }
        if (!cli_bytes_add(out, chunk, (size_t)got)) {
            if (out->no_mem)
                snprintf(why, why_len, "out of memory after %zu bytes", out->len);
            else
                snprintf(why, why_len, "longer than %zu bytes, the limit", out->max);
            return out->no_mem ? "out_of_memory" : "too_large";
        }
    }
}

const char *cli_files_read(cli_bytes *out, const char *path, char *why, size_t why_len)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    const char *code;

    cli_bytes_clear(out);
    if (fd < 0) {
        snprintf(why, why_len, "%s", strerror(errno));
        return errno_code(errno);
    }
    /* A regular file's length is known: one allocation, and a huge one is refused unread. */
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        cli_bytes_reserve(out, (size_t)st.st_size);
    if (out->too_long) {
        snprintf(why, why_len, "%lld bytes; the limit is %zu", (long long)st.st_size, out->max);
        code = "too_large";
    } else {
        code = read_all(out, fd, why, why_len);
    }
    if (!is_stdin)
        close(fd);
    return code;
}
