/* Which files are to be served, under which names. */
#define _POSIX_C_SOURCE 200809L
#include "query.h"
#include "registry.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUNDLED "imagenette.onnx"

/* Where the program stands decides, so an installed tree can be moved. */
static prelu_status bundled_path(char *out, size_t room, prelu_err *err)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    char *slash = strrchr(exe, '/');
    if (slash)
        *slash = 0;
    int len = snprintf(out, room, "%s/../share/prelu/models/" BUNDLED, exe);
    if (slash && len > 0 && (size_t)len < room && access(out, F_OK) == 0)
        return PRELU_OK;
    len = snprintf(out, room, "%s/" BUNDLED, PRELU_SOURCE_MODELS);
    if (len > 0 && (size_t)len < room && access(out, F_OK) == 0)
        return PRELU_OK;
    return prelu_fail(err, PRELU_E_NOTFOUND,
                      "the bundled model " BUNDLED " is not installed; give --model PATH");
}

/* NAME of NAME=PATH, else the file's name without its extension. */
static prelu_status take_name(srv_source_file *f, const char *text, const char *path,
                              size_t name_len, prelu_err *err)
{
    const char *from = text;
    if (name_len == 0) {
        const char *slash = strrchr(path, '/');
        from = slash ? slash + 1 : path;
        const char *dot = strrchr(from, '.');
        name_len = dot && dot > from ? (size_t)(dot - from) : strlen(from);
    }
    if (name_len >= sizeof f->name)
        return prelu_fail(err, PRELU_E_ARG, "--model: a name of %zu characters; limit 128",
                          name_len);
    memcpy(f->name, from, name_len);
    f->name[name_len] = 0;
    if (!srv_name_ok(f->name))
        return prelu_fail(err, PRELU_E_ARG,
                          "--model: the file's name cannot name a model; use NAME=PATH");
    return PRELU_OK;
}

static prelu_status add_named(srv_source_file *files, int *n, const char *text, prelu_err *err)
{
    size_t name_len;
    const char *path = srv_config_split(text, &name_len);
    srv_source_file *f = &files[*n];
    memset(f, 0, sizeof *f);
    PRELU_TRY(take_name(f, text, path, name_len, err));
    for (int i = 0; i < *n; i++)
        if (strcmp(files[i].name, f->name) == 0)
            return prelu_fail(err, PRELU_E_ARG, "--model: two models are named %s", f->name);
    snprintf(f->version, sizeof f->version, "1");
    if ((size_t)snprintf(f->path, sizeof f->path, "%s", path) >= sizeof f->path)
        return prelu_fail(err, PRELU_E_ARG, "--model: a path of more than %zu bytes",
                          sizeof f->path - 1);
    ++*n;
    return PRELU_OK;
}

/* 1 to 15 digits, the first not 0. */
static bool is_version(const char *text)
{
    const size_t n = strspn(text, "0123456789");
    return n > 0 && n < sizeof((srv_source_file *)0)->version && !text[n] && text[0] != '0';
}

static int by_name(const void *a, const void *b)
{
    const srv_source_file *x = a, *y = b;
    const int names = strcmp(x->name, y->name);
    const size_t m = strlen(x->version), n = strlen(y->version);
    if (names)
        return names;
    return m != n ? (m < n) - (m > n) : strcmp(y->version, x->version);
}

/* One name of the folder: its versions that have a model.onnx. Another program may be copying one
 * in; it is not there until the file is. */
static prelu_status add_versions(srv_source_file *files, int *n, const char *dir, const char *name,
                                 prelu_err *err)
{
    char path[4096];
    DIR *d = (size_t)snprintf(path, sizeof path, "%s/%s", dir, name) < sizeof path ? opendir(path)
                                                                                   : NULL;
    prelu_status st = PRELU_OK;
    for (struct dirent *e = d ? readdir(d) : NULL; e && !st; e = readdir(d)) {
        srv_source_file f = {.name = ""};
        if (!is_version(e->d_name))
            continue;
        const int len = snprintf(f.path, sizeof f.path, "%s/%s/model.onnx", path, e->d_name);
        if (len < 0 || (size_t)len >= sizeof f.path || access(f.path, F_OK) != 0)
            continue;
        snprintf(f.name, sizeof f.name, "%.128s", name);
        snprintf(f.version, sizeof f.version, "%.15s", e->d_name);
        if (*n == SRV_MAX_MODELS)
            st = prelu_fail(err, PRELU_E_LIMIT, "--model-dir: more than %d models", SRV_MAX_MODELS);
        else
            files[(*n)++] = f;
    }
    if (d)
        closedir(d);
    return st;
}

static bool has_name(const srv_source_file *files, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(files[i].name, name) == 0)
            return true;
    return false;
}

static prelu_status add_folder(srv_source_file *files, int *n, const char *dir, prelu_err *err)
{
    const int named = *n;
    prelu_status st = PRELU_OK;
    DIR *d = opendir(dir);
    if (!d) {
        st = prelu_status_from_errno(errno);
        return prelu_fail(err, st, "--model-dir %s: %s", dir, strerror(errno));
    }
    for (struct dirent *e = readdir(d); e && !st; e = readdir(d)) {
        if (e->d_name[0] == '.' || !srv_name_ok(e->d_name))
            continue;
        if (has_name(files, named, e->d_name))
            st = prelu_fail(err, PRELU_E_ARG, "--model-dir: %s is already the name of a --model",
                            e->d_name);
        else
            st = add_versions(files, n, dir, e->d_name, err);
    }
    closedir(d);
    qsort(files + named, (size_t)(*n - named), sizeof *files, by_name);
    if (!st && *n == 0)
        st = prelu_fail(err, PRELU_E_NOTFOUND, "--model-dir %s: no NAME/VERSION/model.onnx", dir);
    return st;
}

prelu_status srv_sources_find(srv_source_file *files, int *n, const srv_config *config,
                              prelu_err *err)
{
    *n = 0;
    if (config->models.n == 0 && !config->model_dir) {
        char path[PATH_MAX + 64];
        PRELU_TRY(bundled_path(path, sizeof path, err));
        return add_named(files, n, path, err);
    }
    for (int i = 0; i < config->models.n; i++)
        PRELU_TRY(add_named(files, n, config->models.text[i], err));
    return config->model_dir ? add_folder(files, n, config->model_dir, err) : PRELU_OK;
}
