/* What the reader asks of a tensor, and where external data may lie. */
#define _GNU_SOURCE /* O_NOFOLLOW, O_PATH */
#include "onnx_doc.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

const onnx_attr *onnx_node_attr(const onnx_node *n, const char *name)
{
    for (size_t i = 0; i < n->n_attrs; i++)
        if (!strcmp(n->attrs[i].name, name))
            return &n->attrs[i];
    return NULL;
}

static float from_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 0x3ff, bits;
    float f;
    if (e == 0) { /* zero or subnormal: m 2^-24 */
        f = (float)m * 0x1p-24f;
        return sign ? -f : f;
    }
    bits = sign | (e == 31 ? 0x7f800000u : (e + 112) << 23) | m << 13;
    memcpy(&f, &bits, sizeof f);
    return f;
}

float onnx_tensor_float(const onnx_tensor *t, size_t i)
{
    const uint8_t *p = (const uint8_t *)t->data + i * prelu_dtype_size(t->dtype);
    uint16_t half;
    uint32_t bits;
    double d;
    float f;
    switch (t->dtype) {
    case PRELU_F32:
        memcpy(&f, p, sizeof f);
        return f;
    case PRELU_F64:
        memcpy(&d, p, sizeof d);
        return (float)d;
    case PRELU_F16:
        memcpy(&half, p, sizeof half);
        return from_half(half);
    case PRELU_BF16:
        memcpy(&half, p, sizeof half);
        bits = (uint32_t)half << 16;
        memcpy(&f, &bits, sizeof f);
        return f;
    case PRELU_U8:
    case PRELU_I8:
    case PRELU_I32:
    case PRELU_I64:
    case PRELU_BOOL:
        break;
    }
    return 0;
}

int64_t onnx_tensor_int(const onnx_tensor *t, size_t i)
{
    const uint8_t *p = (const uint8_t *)t->data + i * prelu_dtype_size(t->dtype);
    int64_t v64;
    int32_t v32;
    switch (t->dtype) {
    case PRELU_I64:
        memcpy(&v64, p, sizeof v64);
        return v64;
    case PRELU_I32:
        memcpy(&v32, p, sizeof v32);
        return v32;
    case PRELU_U8:
    case PRELU_BOOL:
        return *p;
    case PRELU_I8:
        return (int8_t)*p;
    case PRELU_F32:
    case PRELU_F64:
    case PRELU_F16:
    case PRELU_BF16:
        break;
    }
    return 0;
}

prelu_status onnx_tensor_floats(onnx_tensor *t, mdl_pile *pile, const void **out, prelu_err *err)
{
    float *to;
    if (t->dtype == PRELU_F32)
        t->floats = t->data;
    if (t->floats) {
        *out = t->floats;
        return PRELU_OK;
    }
    if (t->dtype != PRELU_F64 && t->dtype != PRELU_F16 && t->dtype != PRELU_BF16)
        return prelu_fail(err, PRELU_E_UNSUPPORTED, "tensor '%.80s' of type %s is an operand",
                          t->name, prelu_dtype_name(t->dtype));
    to = mdl_pile_alloc(pile, t->count, sizeof *to, t->name, err);
    if (!to)
        return PRELU_E_NOMEM;
    for (size_t i = 0; i < t->count; i++)
        to[i] = onnx_tensor_float(t, i);
    *out = t->floats = to;
    return PRELU_OK;
}

static prelu_status leaves(const char *location, prelu_err *err)
{
    return prelu_fail(err, PRELU_E_FORMAT, "external data '%.60s' is not below the model's folder",
                      location);
}

/* Go from folder *at into the one of the next path component. */
static prelu_status descend(int *at, const char *location, const char *name, size_t len,
                            prelu_err *err)
{
    char part[256];
    int next;
    if (!len || len >= sizeof part || (len == 1 && *name == '.') ||
        (len == 2 && !memcmp(name, "..", 2)))
        return leaves(location, err);
    memcpy(part, name, len);
    part[len] = 0;
    next = openat(*at, part, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
    if (next < 0)
        return prelu_fail(err,
                          errno == ENOTDIR || errno == ELOOP ? PRELU_E_FORMAT
                                                             : prelu_status_from_errno(errno),
                          "external data '%.60s': %s", location, strerror(errno));
    close(*at);
    *at = next;
    return PRELU_OK;
}

prelu_status onnx_external_map(mdl_map *out, const char *folder, const char *location,
                               prelu_err *err)
{
    const char *name = location, *slash;
    prelu_status st = PRELU_OK;
    int file = -1, at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return prelu_fail(err, prelu_status_from_errno(errno), "%.100s: %s", folder,
                          strerror(errno));
    while (!st && (slash = strchr(name, '/'))) {
        st = descend(&at, location, name, (size_t)(slash - name), err);
        name = slash + 1;
    }
    if (st)
        goto out;
    if (!*name || !strcmp(name, ".") || !strcmp(name, "..")) {
        st = leaves(location, err);
        goto out;
    }
    file = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0) {
        st = prelu_fail(err, errno == ELOOP ? PRELU_E_FORMAT : prelu_status_from_errno(errno),
                        "external data '%.60s': %s", location, strerror(errno));
        goto out;
    }
    st = mdl_map_fd(out, file, location, err);
out:
    if (file >= 0)
        close(file);
    close(at);
    return st;
}
