/* A checkpoint, all numbers little-endian:
 *     head      magic, lengths and counts (struct head)
 *     describe  text, one line a tensor: "conv1.weight weight (64,3,3,3)"
 *     extra     the caller's text
 *     weights, velocity, statistics   the trainer's blocks of f32, gaps included
 *     sha256    of all before it
 * The text tells whether a file belongs to a network, and which tensor differs if not. */
#define _POSIX_C_SOURCE 200809L
#include "prelu/mem.h"
#include "prelu/sha256.h"
#include "train/trainer.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "PRELUCK1"
#define MAX_PATH 4096
#define MAX_TEXT ((uint64_t)64 << 20) /* of describe and extra */
#define PIECE ((size_t)256 * 1024)

typedef struct head {
    char magic[8];
    uint64_t describe_len, extra_len;
    uint64_t steps;
    uint64_t total, norm_total; /* floats */
} head;

static const char *role_name(prelu_role role)
{
    switch (role) {
    case PRELU_ROLE_WEIGHT:
        return "weight";
    case PRELU_ROLE_BIAS:
        return "bias";
    case PRELU_ROLE_SLOPE:
        return "slope";
    case PRELU_ROLE_SCALE:
        return "scale";
    case PRELU_ROLE_STATISTIC:
        return "statistic";
    case PRELU_ROLE_NONE:
        break;
    }
    return "none";
}

/* Lines of the text; owned by the caller. */
static prelu_status describe(const prelu_trainer *t, char **text, size_t *len, prelu_err *err)
{
    size_t cap = 1, at = 0;
    for (int i = 0; i < t->n_params; i++)
        cap += strlen(t->params[i].name) + 160;
    for (int i = 0; i < t->n_norms; i++)
        cap += strlen(t->norms[i].name) + 160;
    char *s = prelu_alloc(cap);
    if (!s)
        return prelu_fail(err, PRELU_E_NOMEM, "checkpoint: %zu bytes", cap);
    s[0] = 0;
    for (int i = 0; i < t->n_params; i++) {
        char shape[128];
        at += (size_t)snprintf(s + at, cap - at, "%s %s %s\n", t->params[i].name,
                               role_name(t->params[i].role),
                               prelu_shape_text(&t->params[i].shape, shape, sizeof shape));
    }
    for (int i = 0; i < t->n_norms; i++)
        at += (size_t)snprintf(s + at, cap - at, "%s statistic (%zu)\n", t->norms[i].name,
                               t->norms[i].count);
    *text = s;
    *len = at;
    return PRELU_OK;
}

/* ---- save ---- */

typedef struct writer {
    int fd;
    const char *path;
    prelu_sha256 *sha;
    prelu_err *err;
} writer;

static prelu_status write_all(const writer *w, const void *data, size_t len)
{
    const char *p = data;
    while (len) {
        ssize_t n = write(w->fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return prelu_fail(w->err, PRELU_E_IO, "%s: %s", w->path,
                              n ? strerror(errno) : "nothing written");
        p += n;
        len -= (size_t)n;
    }
    return PRELU_OK;
}

static prelu_status put(writer *w, const void *data, size_t len)
{
    prelu_sha256_add(w->sha, data, len);
    return write_all(w, data, len);
}

static prelu_status put_all(writer *w, const prelu_trainer *t, const char *text, size_t text_len,
                            const char *extra)
{
    head h = {.describe_len = text_len,
              .extra_len = strlen(extra),
              .steps = t->steps,
              .total = t->total,
              .norm_total = t->norm_total};
    uint8_t digest[PRELU_SHA256_LEN];
    memcpy(h.magic, MAGIC, sizeof h.magic);
    w->sha = prelu_sha256_begin();
    if (!w->sha)
        return prelu_fail(w->err, PRELU_E_NOMEM, "checkpoint: its checksum");
    PRELU_TRY(put(w, &h, sizeof h));
    PRELU_TRY(put(w, text, text_len));
    PRELU_TRY(put(w, extra, h.extra_len));
    PRELU_TRY(put(w, t->weights, t->total * sizeof(float)));
    PRELU_TRY(put(w, t->velocity, t->total * sizeof(float)));
    PRELU_TRY(put(w, t->statistics, t->norm_total * sizeof(float)));
    prelu_sha256_end(&w->sha, digest, NULL);
    return write_all(w, digest, sizeof digest);
}

/* The new name itself must reach the disk too. Some file systems cannot sync a folder: no error. */
static void sync_folder(const char *path)
{
    char folder[MAX_PATH];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 1;
    if (slash == path)
        len = 1; /* the root */
    memcpy(folder, slash ? path : ".", len);
    folder[len] = 0;
    int fd = open(folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

prelu_status prelu_checkpoint_save(const prelu_trainer *t, const char *path, const char *extra,
                                   prelu_err *err)
{
    char temporary[MAX_PATH], *text = NULL;
    size_t text_len = 0;
    writer w = {.fd = -1, .path = temporary, .err = err};
    prelu_status st;
    int n = snprintf(temporary, sizeof temporary, "%s.tmp", path);
    if (n < 0 || n >= MAX_PATH)
        return prelu_fail(err, PRELU_E_LIMIT, "checkpoint: path of %d bytes", n);
    PRELU_TRY(describe(t, &text, &text_len, err));
    w.fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w.fd < 0) {
        prelu_free(text);
        return prelu_fail(err, prelu_status_from_errno(errno), "%s: %s", temporary,
                          strerror(errno));
    }
    st = put_all(&w, t, text, text_len, extra ? extra : "");
    if (!st && fsync(w.fd))
        st = prelu_fail(err, PRELU_E_IO, "%s: %s", temporary, strerror(errno));
    if (close(w.fd) && !st)
        st = prelu_fail(err, PRELU_E_IO, "%s: %s", temporary, strerror(errno));
    if (!st && rename(temporary, path))
        st = prelu_fail(err, PRELU_E_IO, "%s: %s", path, strerror(errno));
    if (st)
        unlink(temporary);
    else
        sync_folder(path);
    prelu_sha256_destroy(&w.sha);
    prelu_free(text);
    return st;
}

/* ---- load ---- */

typedef struct reader {
    int fd;
    const char *path;
    prelu_err *err;
} reader;

static prelu_status get(const reader *r, void *data, size_t len)
{
    char *p = data;
    while (len) {
        ssize_t n = read(r->fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return prelu_fail(r->err, PRELU_E_IO, "%s: %s", r->path, strerror(errno));
        if (n == 0)
            return prelu_fail(r->err, PRELU_E_FORMAT, "%s: ends too early", r->path);
        p += n;
        len -= (size_t)n;
    }
    return PRELU_OK;
}

/* The head's numbers must add up to the file's size: nothing is allocated for a lying one. */
static prelu_status get_head(const reader *r, head *h, uint64_t *body)
{
    struct stat s;
    uint64_t floats = 0, bytes = 0;
    if (fstat(r->fd, &s))
        return prelu_fail(r->err, PRELU_E_IO, "%s: %s", r->path, strerror(errno));
    if (!S_ISREG(s.st_mode))
        return prelu_fail(r->err, PRELU_E_FORMAT, "%s: not a regular file", r->path);
    PRELU_TRY(get(r, h, sizeof *h));
    if (memcmp(h->magic, MAGIC, sizeof h->magic) != 0)
        return prelu_fail(r->err, PRELU_E_FORMAT, "%s: not a checkpoint", r->path);
    if (h->describe_len > MAX_TEXT || h->extra_len > MAX_TEXT ||
        __builtin_mul_overflow(h->total, 2u, &floats) ||
        __builtin_add_overflow(floats, h->norm_total, &floats) ||
        __builtin_mul_overflow(floats, sizeof(float), &bytes) ||
        __builtin_add_overflow(bytes, sizeof *h + h->describe_len + h->extra_len, &bytes) ||
        bytes + PRELU_SHA256_LEN != (uint64_t)s.st_size)
        return prelu_fail(r->err, PRELU_E_FORMAT, "%s: truncated or damaged (%lld bytes)", r->path,
                          (long long)s.st_size);
    *body = bytes;
    return PRELU_OK;
}

static prelu_status check_digest(const reader *r, uint64_t body)
{
    uint8_t want[PRELU_SHA256_LEN], have[PRELU_SHA256_LEN];
    prelu_status st = PRELU_OK;
    uint8_t *piece = prelu_alloc(PIECE);
    prelu_sha256 *sha = prelu_sha256_begin();
    if (!piece || !sha)
        st = prelu_fail(r->err, PRELU_E_NOMEM, "checkpoint: %zu bytes", PIECE);
    else if (lseek(r->fd, 0, SEEK_SET) != 0)
        st = prelu_fail(r->err, PRELU_E_IO, "%s: %s", r->path, strerror(errno));
    while (!st && body) {
        size_t len = body < PIECE ? (size_t)body : PIECE;
        st = get(r, piece, len);
        if (!st)
            prelu_sha256_add(sha, piece, len);
        body -= len;
    }
    if (!st)
        st = get(r, want, sizeof want);
    if (!st) {
        prelu_sha256_end(&sha, have, NULL);
        if (memcmp(want, have, sizeof want) != 0)
            st = prelu_fail(r->err, PRELU_E_FORMAT, "%s: damaged (checksum)", r->path);
    }
    prelu_sha256_destroy(&sha);
    prelu_free(piece);
    return st;
}

/* Name the first line in which two descriptions differ. */
static prelu_status compare_text(const reader *r, const char *file, const char *net)
{
    while (*file && *net) {
        size_t a = strcspn(file, "\n"), b = strcspn(net, "\n");
        if (a != b || memcmp(file, net, a) != 0)
            return prelu_fail(r->err, PRELU_E_ARG,
                              "%s is of another network: it has %.*s, the network %.*s", r->path,
                              (int)(a > 80 ? 80 : a), file, (int)(b > 80 ? 80 : b), net);
        file += a + (file[a] == '\n');
        net += b + (net[b] == '\n');
    }
    if (*file || *net)
        return prelu_fail(r->err, PRELU_E_ARG, "%s is of another network: %s has %.*s besides",
                          r->path, *file ? "it" : "the network",
                          (int)strcspn(*file ? file : net, "\n"), *file ? file : net);
    return PRELU_OK;
}

typedef struct loaded {
    char *text, *extra;
    float *weights, *velocity, *statistics;
} loaded;

static void loaded_deinit(loaded *l)
{
    prelu_free(l->text);
    prelu_free(l->extra);
    prelu_free(l->weights);
    prelu_free(l->velocity);
    prelu_free(l->statistics);
}

/* Everything into new memory, so that the trainer is untouched if reading fails. */
static prelu_status get_blocks(const reader *r, const head *h, const prelu_trainer *t, loaded *l)
{
    size_t block = t->total * sizeof(float), norms = t->norm_total * sizeof(float);
    if (h->total != t->total || h->norm_total != t->norm_total)
        return prelu_fail(r->err, PRELU_E_ARG, "%s: %llu floats where the network has %zu", r->path,
                          (unsigned long long)h->total, t->total);
    l->weights = prelu_alloc(block);
    l->velocity = prelu_alloc(block);
    l->statistics = prelu_alloc(norms);
    if (!l->weights || !l->velocity || !l->statistics)
        return prelu_fail(r->err, PRELU_E_NOMEM, "checkpoint: 2 x %zu bytes", block);
    PRELU_TRY(get(r, l->weights, block));
    PRELU_TRY(get(r, l->velocity, block));
    return get(r, l->statistics, norms);
}

static prelu_status get_texts(const reader *r, const head *h, loaded *l)
{
    if (lseek(r->fd, (off_t)sizeof *h, SEEK_SET) != (off_t)sizeof *h)
        return prelu_fail(r->err, PRELU_E_IO, "%s: %s", r->path, strerror(errno));
    l->text = prelu_calloc(h->describe_len + 1, 1);
    l->extra = prelu_calloc(h->extra_len + 1, 1);
    if (!l->text || !l->extra)
        return prelu_fail(r->err, PRELU_E_NOMEM, "checkpoint: %llu bytes",
                          (unsigned long long)h->describe_len + h->extra_len);
    PRELU_TRY(get(r, l->text, h->describe_len));
    return get(r, l->extra, h->extra_len);
}

prelu_status prelu_checkpoint_load(prelu_trainer *t, const char *path, char **extra, prelu_err *err)
{
    reader r = {.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), .path = path, .err = err};
    head h = {.steps = 0};
    loaded l = {0};
    uint64_t body = 0;
    char *net = NULL;
    size_t net_len = 0;
    prelu_status st;
    if (r.fd < 0)
        return prelu_fail(err, prelu_status_from_errno(errno), "%s: %s", path, strerror(errno));
    st = get_head(&r, &h, &body);
    if (!st)
        st = check_digest(&r, body);
    if (!st)
        st = get_texts(&r, &h, &l);
    if (!st)
        st = describe(t, &net, &net_len, err);
    if (!st)
        st = compare_text(&r, l.text, net);
    if (!st)
        st = get_blocks(&r, &h, t, &l);
    if (st)
        goto out;
    memcpy(t->weights, l.weights, t->total * sizeof(float));
    memcpy(t->velocity, l.velocity, t->total * sizeof(float));
    memcpy(t->statistics, l.statistics, t->norm_total * sizeof(float));
    t->steps = h.steps;
    if (extra) {
        *extra = l.extra;
        l.extra = NULL;
    }
out:
    loaded_deinit(&l);
    prelu_free(net);
    close(r.fd);
    return st;
}
