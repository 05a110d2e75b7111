#define _POSIX_C_SOURCE 200809L
#include "dataset.h"
#include "file.h"
#include "prelu/mem.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PATH 4096
#define MAX_NAME_BYTES ((size_t)16 << 30) /* all file names of a split */
#define MAX_LABELS_BYTES ((size_t)16 << 20)

static prelu_status nomem(prelu_err *err, size_t len)
{
    return prelu_fail(err, PRELU_E_NOMEM, "data: %zu bytes", len);
}

static prelu_status join(char path[MAX_PATH], prelu_err *err, const char *a, const char *b,
                         const char *c, const char *d)
{
    int n = snprintf(path, MAX_PATH, "%s/%s%s%s%s%s", a, b, c ? "/" : "", c ? c : "", d ? "/" : "",
                     d ? d : "");
    if (n < 0 || n >= MAX_PATH)
        return prelu_fail(err, PRELU_E_LIMIT, "data: path of %d bytes, above %d", n, MAX_PATH);
    return PRELU_OK;
}

/* Well-formed UTF-8 without control characters: what JSON and a terminal can take. */
static bool is_utf8(const char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    while (*p) {
        uint32_t c = *p++, next = *p;
        int more = c < 0x80 ? 0 : c < 0xc2 ? -1 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : -1;
        if (more < 0 || c < 0x20 || c == 0x7f)
            return false;
        /* overlong forms, surrogates and numbers above U+10FFFF show in the second byte */
        if ((c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) ||
            (c == 0xf0 && next < 0x90) || (c == 0xf4 && next > 0x8f))
            return false;
        for (; more > 0; more--)
            if ((*p++ & 0xc0u) != 0x80)
                return false;
    }
    return true;
}

/* ---- classes ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

typedef struct name_list {
    char **names;
    size_t n, cap;
} name_list;

static void names_deinit(name_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        prelu_free(l->names[i]);
    prelu_free(l->names);
    memset(l, 0, sizeof *l);
}

static prelu_status names_add(name_list *l, const char *name, prelu_err *err)
{
    if (l->n == MDL_DATA_MAX_CLASSES)
        return prelu_fail(err, PRELU_E_LIMIT, "data: more than %d classes", MDL_DATA_MAX_CLASSES);
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        char **grown = prelu_realloc(l->names, cap * sizeof *grown);
        if (!grown)
            return nomem(err, cap * sizeof *grown);
        l->names = grown;
        l->cap = cap;
    }
    l->names[l->n] = prelu_strdup(name);
    if (!l->names[l->n])
        return nomem(err, strlen(name) + 1);
    l->n++;
    return PRELU_OK;
}

/* Sub-folders of `path` in byte order; names that start with a dot are left out. */
static prelu_status list_folders(const char *path, name_list *out, prelu_err *err)
{
    char sub[MAX_PATH];
    prelu_status st = PRELU_OK;
    DIR *dir = opendir(path);
    if (!dir)
        return prelu_fail(err, prelu_status_from_errno(errno), "%s: %s", path, strerror(errno));
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(dir);
        if (!e && errno)
            st = prelu_fail(err, PRELU_E_IO, "%s: %s", path, strerror(errno));
        if (!e || st)
            break;
        if (e->d_name[0] == '.')
            continue;
        st = join(sub, err, path, e->d_name, NULL, NULL);
        if (!st && !is_folder(sub))
            continue;
        if (!st && !is_utf8(e->d_name))
            st = prelu_fail(err, PRELU_E_FORMAT, "%s: a class folder's name is not UTF-8", path);
        if (!st)
            st = names_add(out, e->d_name, err);
        if (st)
            break;
    }
    closedir(dir);
    if (!st && out->n)
        qsort(out->names, out->n, sizeof *out->names, compare_names);
    return st;
}

static prelu_status set_classes(mdl_dataset *d, const char *const *ids, size_t n, prelu_err *err)
{
    if (!n)
        return prelu_fail(err, PRELU_E_FORMAT, "%s/%s: no class folders", d->dir, d->split);
    if (n > MDL_DATA_MAX_CLASSES)
        return prelu_fail(err, PRELU_E_LIMIT, "data: %zu classes, above %d", n,
                          MDL_DATA_MAX_CLASSES);
    d->classes = prelu_calloc(n, sizeof *d->classes);
    if (!d->classes)
        return nomem(err, n * sizeof *d->classes);
    d->n_classes = (int)n;
    for (size_t i = 0; i < n; i++) {
        d->classes[i].id = prelu_strdup(ids[i]);
        if (!d->classes[i].id)
            return nomem(err, strlen(ids[i]) + 1);
    }
    return PRELU_OK;
}

/* Class lists are short beside pictures, and this is asked once per folder. */
static int find_class(const mdl_dataset *d, const char *id)
{
    for (int i = 0; i < d->n_classes; i++)
        if (!strcmp(d->classes[i].id, id))
            return i;
    return -1;
}

/* ---- labels.txt ---- */

/* @param lines    counts those that say something; @param matched  those of a class of ours. */
static prelu_status label_line(mdl_dataset *d, char *line, int number, int *lines, int *matched,
                               prelu_err *err)
{
    size_t len = strlen(line);
    while (len && strchr(" \t\r", line[len - 1]))
        line[--len] = 0;
    size_t id_len = strcspn(line, " \t");
    char *label = line + id_len;
    if (!len)
        return PRELU_OK;
    if (!*label)
        return prelu_fail(err, PRELU_E_FORMAT, "%s/labels.txt:%d: no label after the folder",
                          d->dir, number);
    *label++ = 0;
    label += strspn(label, " \t");
    int c = find_class(d, line);
    ++*lines;
    *matched += c >= 0;
    if (c < 0) /* a list of more classes than these is fine */
        return PRELU_OK;
    if (!is_utf8(label))
        return prelu_fail(err, PRELU_E_FORMAT, "%s/labels.txt:%d: not UTF-8", d->dir, number);
    prelu_free(d->classes[c].label);
    d->classes[c].label = prelu_strdup(label);
    return d->classes[c].label ? PRELU_OK : nomem(err, strlen(label) + 1);
}

static prelu_status parse_labels(mdl_dataset *d, char *text, size_t len, prelu_err *err)
{
    if (memchr(text, 0, len))
        return prelu_fail(err, PRELU_E_FORMAT, "%s/labels.txt: holds a zero byte", d->dir);
    int number = 1, lines = 0, matched = 0;
    for (char *line = text; *line; number++) {
        char *end = strchr(line, '\n');
        if (end)
            *end = 0;
        PRELU_TRY(label_line(d, line, number, &lines, &matched, err));
        line = end ? end + 1 : line + strlen(line);
    }
    if (lines && !matched)
        return prelu_fail(err, PRELU_E_FORMAT, "%s/labels.txt names none of the class folders",
                          d->dir);
    return PRELU_OK;
}

static prelu_status fill_labels(mdl_dataset *d, prelu_err *err)
{
    for (int i = 0; i < d->n_classes; i++) {
        if (d->classes[i].label)
            continue;
        d->classes[i].label = prelu_strdup(d->classes[i].id);
        if (!d->classes[i].label)
            return nomem(err, strlen(d->classes[i].id) + 1);
    }
    return PRELU_OK;
}

static prelu_status read_labels(mdl_dataset *d, prelu_err *err)
{
    char path[MAX_PATH];
    char *text = NULL;
    size_t len = 0;
    prelu_status st = join(path, err, d->dir, "labels.txt", NULL, NULL);
    if (!st && access(path, F_OK) == 0) {
        st = mdl_file_read(path, MAX_LABELS_BYTES, &text, &len, err);
        if (!st)
            st = parse_labels(d, text, len, err);
        prelu_free(text);
    }
    return st ? st : fill_labels(d, err);
}

/* ---- pictures ---- */

typedef struct scan {
    mdl_dataset *d;
    size_t cap; /* of pictures */
    size_t names_len, names_cap;
    size_t *offsets; /* of each picture's name; pointers only once the block stays put */
    size_t offsets_cap;
} scan;

static prelu_status grow(void **block, size_t *cap, size_t need, size_t size, size_t most,
                         prelu_err *err)
{
    if (need <= *cap)
        return PRELU_OK;
    if (need > most)
        return prelu_fail(err, PRELU_E_LIMIT, "data: %zu entries, above %zu", need, most);
    size_t next = *cap ? *cap : 1024;
    while (next < need)
        next *= 2;
    void *grown = prelu_realloc(*block, next * size);
    if (!grown)
        return nomem(err, next * size);
    *block = grown;
    *cap = next;
    return PRELU_OK;
}

static prelu_status add_picture(scan *s, const char *name, int label, prelu_err *err)
{
    mdl_dataset *d = s->d;
    size_t len = strlen(name) + 1, n = d->n_pictures;
    void *pictures = d->pictures, *names = d->names, *offsets = s->offsets;
    prelu_status st = grow(&pictures, &s->cap, n + 1, sizeof *d->pictures, MDL_MAX_PICTURES, err);
    d->pictures = pictures;
    if (!st)
        st = grow(&offsets, &s->offsets_cap, n + 1, sizeof *s->offsets, MDL_MAX_PICTURES, err);
    s->offsets = offsets;
    if (!st)
        st = grow(&names, &s->names_cap, s->names_len + len, 1, MAX_NAME_BYTES, err);
    d->names = names;
    if (st)
        return st;
    memcpy(d->names + s->names_len, name, len);
    s->offsets[n] = s->names_len;
    s->names_len += len;
    d->pictures[n] = (mdl_picture){.label = label};
    d->n_pictures++;
    return PRELU_OK;
}

static bool is_jpeg_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (!strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg"));
}

static prelu_status scan_class(scan *s, const char *folder, int label, prelu_err *err)
{
    char path[MAX_PATH];
    prelu_status st = PRELU_OK;
    PRELU_TRY(join(path, err, s->d->dir, s->d->split, folder, NULL));
    DIR *dir = opendir(path);
    if (!dir)
        return prelu_fail(err, prelu_status_from_errno(errno), "%s: %s", path, strerror(errno));
    while (!st) {
        errno = 0;
        struct dirent *e = readdir(dir);
        if (!e && errno)
            st = prelu_fail(err, PRELU_E_IO, "%s: %s", path, strerror(errno));
        if (!e || st)
            break;
        if (e->d_name[0] == '.')
            continue;
        if (is_jpeg_name(e->d_name))
            st = add_picture(s, e->d_name, label, err);
        else
            s->d->ignored++;
    }
    closedir(dir);
    return st;
}

static int compare_pictures(const void *a, const void *b)
{
    const mdl_picture *p = a, *q = b;
    if (p->label != q->label)
        return p->label < q->label ? -1 : 1;
    return strcmp(p->name, q->name);
}

static prelu_status open_folders(mdl_dataset *d, const char *const *ids, int n_ids, prelu_err *err)
{
    char path[MAX_PATH];
    name_list folders = {0};
    scan s = {.d = d};
    prelu_status st = join(path, err, d->dir, d->split, NULL, NULL);
    if (!st)
        st = list_folders(path, &folders, err);
    if (!st && !folders.n)
        st = prelu_fail(err, PRELU_E_FORMAT, "%s: no class folders", path);
    if (!st)
        st = set_classes(d, ids ? ids : (const char *const *)folders.names,
                         ids ? (size_t)n_ids : folders.n, err);
    for (size_t i = 0; i < folders.n && !st; i++) {
        int label = find_class(d, folders.names[i]);
        st = label < 0 ? prelu_fail(err, PRELU_E_FORMAT, "%s/%s: not one of the %d classes", path,
                                    folders.names[i], d->n_classes)
                       : scan_class(&s, folders.names[i], label, err);
    }
    if (!st && !d->n_pictures)
        st = prelu_fail(err, PRELU_E_FORMAT, "%s: no .jpg pictures in %zu class folders", path,
                        folders.n);
    for (size_t i = 0; i < d->n_pictures && !st; i++)
        d->pictures[i].name = d->names + s.offsets[i];
    if (!st)
        qsort(d->pictures, d->n_pictures, sizeof *d->pictures, compare_pictures);
    prelu_free(s.offsets);
    names_deinit(&folders);
    return st;
}

/* ---- IDX ---- */

static const char *idx_stem(const char *split)
{
    return !strcmp(split, "train") ? "train" : "t10k";
}

/* Path of the plain or gzip file of that kind, whichever is there (gzip first). */
static prelu_status idx_path(const mdl_dataset *d, const char *kind, char path[MAX_PATH],
                             prelu_err *err)
{
    for (int plain = 0; plain <= 1; plain++) {
        char name[64];
        snprintf(name, sizeof name, "%s-%s-ubyte%s", idx_stem(d->split), kind, plain ? "" : ".gz");
        PRELU_TRY(join(path, err, d->dir, name, NULL, NULL));
        if (access(path, F_OK) == 0)
            return PRELU_OK;
    }
    return prelu_fail(err, PRELU_E_NOTFOUND, "%s: no such file", path);
}

static prelu_status idx_classes(mdl_dataset *d, const mdl_idx *labels, const char *const *ids,
                                int n_ids, prelu_err *err)
{
    char text[256][4];
    const char *names[256];
    int most = 0;
    for (size_t i = 0; i < labels->count; i++)
        if (labels->data[i] > most)
            most = labels->data[i];
    for (int i = 0; i <= most; i++) {
        snprintf(text[i], sizeof text[i], "%d", i);
        names[i] = text[i];
    }
    PRELU_TRY(set_classes(d, ids ? ids : names, ids ? (size_t)n_ids : (size_t)most + 1, err));
    for (size_t i = 0; i < labels->count; i++) {
        int c = find_class(d, names[labels->data[i]]);
        if (c < 0)
            return prelu_fail(err, PRELU_E_FORMAT, "%s: label %d is not one of the %d classes",
                              d->split, labels->data[i], d->n_classes);
        d->pictures[i].label = c;
        d->pictures[i].index = (uint32_t)i;
    }
    return PRELU_OK;
}

static prelu_status open_idx(mdl_dataset *d, const char *const *ids, int n_ids, prelu_err *err)
{
    char path[MAX_PATH];
    mdl_idx labels = {0};
    prelu_status st = idx_path(d, "images-idx3", path, err);
    if (!st)
        st = mdl_idx_read(&d->idx, path, 3, err);
    if (!st)
        st = idx_path(d, "labels-idx1", path, err);
    if (!st)
        st = mdl_idx_read(&labels, path, 1, err);
    if (!st && labels.count != d->idx.count)
        st = prelu_fail(err, PRELU_E_FORMAT, "%s: %zu labels for %zu pictures", path, labels.count,
                        d->idx.count);
    if (!st && labels.count > MDL_MAX_PICTURES)
        st = prelu_fail(err, PRELU_E_LIMIT, "%s: %zu pictures, above %zu", path, labels.count,
                        MDL_MAX_PICTURES);
    if (st)
        goto out;
    d->is_idx = true;
    d->pictures = prelu_calloc(labels.count, sizeof *d->pictures);
    if (!d->pictures) {
        st = nomem(err, labels.count * sizeof *d->pictures);
        goto out;
    }
    d->n_pictures = labels.count;
    st = idx_classes(d, &labels, ids, n_ids, err);
out:
    mdl_idx_deinit(&labels);
    return st;
}

/* ---- public ---- */

prelu_status mdl_dataset_open(mdl_dataset **out, const char *dir, const char *split,
                              const char *const *ids, int n_ids, prelu_err *err)
{
    char path[MAX_PATH];
    prelu_status st = PRELU_OK;
    mdl_dataset *d = NULL;
    if (strcmp(split, "train") != 0 && strcmp(split, "val") != 0)
        return prelu_fail(err, PRELU_E_ARG, "split \"%s\" is neither train nor val", split);
    PRELU_TRY(join(path, err, dir, split, NULL, NULL));
    d = prelu_calloc(1, sizeof *d);
    if (!d)
        return nomem(err, sizeof *d);
    d->dir = prelu_strdup(dir);
    d->split = prelu_strdup(split);
    if (!d->dir || !d->split)
        st = nomem(err, strlen(dir) + 1);
    else if (is_folder(path))
        st = open_folders(d, ids, n_ids, err);
    else if (!is_folder(dir))
        st = prelu_fail(err, PRELU_E_NOTFOUND, "%s: no such folder", dir);
    else if (idx_path(d, "images-idx3", path, NULL))
        st = prelu_fail(err, PRELU_E_NOTFOUND,
                        "%s: holds neither %s/<class>/*.jpg nor %s-images-"
                        "idx3-ubyte.gz",
                        dir, split, idx_stem(split));
    else
        st = open_idx(d, ids, n_ids, err);
    if (!st)
        st = read_labels(d, err);
    if (st)
        mdl_dataset_destroy(&d);
    else
        *out = d;
    return st;
}

prelu_status mdl_dataset_open_like(mdl_dataset **out, const char *split, const mdl_dataset *like,
                                   prelu_err *err)
{
    prelu_status st;
    size_t n = (size_t)like->n_classes;
    const char **ids = prelu_calloc(n, sizeof *ids);
    if (!ids)
        return nomem(err, n * sizeof *ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = like->classes[i].id;
    st = mdl_dataset_open(out, like->dir, split, ids, like->n_classes, err);
    prelu_free(ids);
    return st;
}

void mdl_dataset_destroy(mdl_dataset **dp)
{
    mdl_dataset *d = dp ? *dp : NULL;
    if (!d)
        return;
    for (int i = 0; i < d->n_classes; i++) {
        prelu_free(d->classes[i].id);
        prelu_free(d->classes[i].label);
    }
    prelu_free(d->classes);
    prelu_free(d->pictures);
    prelu_free(d->names);
    prelu_free(d->dir);
    prelu_free(d->split);
    mdl_idx_deinit(&d->idx);
    prelu_free(d);
    *dp = NULL;
}
