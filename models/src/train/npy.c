#include "npy.h"
#include "model_private.h"
#include "onnx_out.h"
#include "prelu/mem.h"
#include <stdio.h>
#include <string.h>

/* The header is a Python dict of three keys: {'descr': '<f4', 'fortran_order': False,
 * 'shape': (1, 3, 224, 224), } and spaces. */
typedef struct header {
    const char *p, *end;
    char descr[8];
    bool fortran;
    prelu_shape shape;
    prelu_err *err;
} header;

static prelu_status bad(const header *h, const char *what)
{
    return prelu_fail(h->err, PRELU_E_FORMAT, "not a .npy file, or damaged: %s", what);
}

static void skip_space(header *h)
{
    while (h->p < h->end && (*h->p == ' ' || *h->p == '\n'))
        h->p++;
}

static bool accept(header *h, char c)
{
    skip_space(h);
    if (h->p == h->end || *h->p != c)
        return false;
    h->p++;
    return true;
}

/* A text in quotes of at most `room` - 1 characters. */
static prelu_status get_text(header *h, char *out, size_t room)
{
    size_t n = 0;
    char quote;
    skip_space(h);
    quote = h->p < h->end ? *h->p : 0;
    if (quote != '\'' && quote != '"')
        return bad(h, "a text is missing in its header");
    for (h->p++; h->p < h->end && *h->p != quote; h->p++) {
        if (n + 1 >= room)
            return bad(h, "a text in its header is too long");
        out[n++] = *h->p;
    }
    if (h->p == h->end)
        return bad(h, "a text in its header has no end");
    h->p++;
    out[n] = 0;
    return PRELU_OK;
}

static prelu_status get_bool(header *h, bool *out)
{
    skip_space(h);
    for (int i = 0; i < 2; i++) {
        const char *word = i ? "True" : "False";
        if ((size_t)(h->end - h->p) >= strlen(word) && !memcmp(h->p, word, strlen(word))) {
            h->p += strlen(word);
            *out = i;
            return PRELU_OK;
        }
    }
    return bad(h, "fortran_order is neither True nor False");
}

static prelu_status get_size(header *h, int64_t *out)
{
    int64_t v = 0;
    int digits = 0;
    skip_space(h);
    for (; h->p < h->end && *h->p >= '0' && *h->p <= '9'; h->p++, digits++)
        if (digits > 17)
            return prelu_fail(h->err, PRELU_E_LIMIT, ".npy: a dimension of more than 18 digits");
        else
            v = v * 10 + (*h->p - '0');
    *out = v;
    return digits ? PRELU_OK : bad(h, "a dimension is no number");
}

static prelu_status get_shape(header *h)
{
    h->shape.rank = 0;
    if (!accept(h, '('))
        return bad(h, "shape is no tuple");
    while (!accept(h, ')')) {
        if (h->shape.rank == PRELU_MAX_RANK)
            return prelu_fail(h->err, PRELU_E_UNSUPPORTED, ".npy: more than %d dimensions",
                              PRELU_MAX_RANK);
        PRELU_TRY(get_size(h, &h->shape.dim[h->shape.rank++]));
        if (accept(h, ','))
            continue;
        if (!accept(h, ')'))
            return bad(h, "shape has no end");
        break;
    }
    return PRELU_OK;
}

static prelu_status get_dict(header *h)
{
    unsigned seen = 0;
    if (!accept(h, '{'))
        return bad(h, "its header is no dict");
    while (!accept(h, '}')) {
        char key[16];
        PRELU_TRY(get_text(h, key, sizeof key));
        if (!accept(h, ':'))
            return bad(h, "a key without value");
        if (!strcmp(key, "descr")) {
            PRELU_TRY(get_text(h, h->descr, sizeof h->descr));
            seen |= 1;
        } else if (!strcmp(key, "fortran_order")) {
            PRELU_TRY(get_bool(h, &h->fortran));
            seen |= 2;
        } else if (!strcmp(key, "shape")) {
            PRELU_TRY(get_shape(h));
            seen |= 4;
        } else {
            return bad(h, "an unknown key in its header");
        }
        if (!accept(h, ',') && (h->p == h->end || *h->p != '}'))
            return bad(h, "its header has no end");
    }
    return seen == 7 ? PRELU_OK : bad(h, "descr, fortran_order or shape is missing");
}

/* Magic, version, header length; *data = what follows the header. */
static prelu_status get_header(header *h, const uint8_t *bytes, size_t len, const uint8_t **data)
{
    size_t start, size;
    if (len < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return bad(h, "its first bytes are not those of .npy");
    if (bytes[6] < 1 || bytes[6] > 3)
        return prelu_fail(h->err, PRELU_E_UNSUPPORTED, ".npy version %d", bytes[6]);
    start = bytes[6] == 1 ? 10 : 12;
    size = bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1)
        size |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (size > len - start)
        return bad(h, "it ends within its header");
    h->p = (const char *)bytes + start;
    h->end = h->p + size;
    *data = bytes + start + size;
    return get_dict(h);
}

prelu_status train_npy_parse(train_npy *out, const void *bytes, size_t len, prelu_err *err)
{
    header h = {.err = err};
    const uint8_t *data = NULL;
    size_t size, has;
    bool small;
    memset(out, 0, sizeof *out);
    PRELU_TRY(get_header(&h, bytes, len, &data));
    small = !strcmp(h.descr, "|u1") || !strcmp(h.descr, "u1") || !strcmp(h.descr, "<u1");
    if (!small && strcmp(h.descr, "<f4") != 0)
        return prelu_fail(err, PRELU_E_UNSUPPORTED, ".npy of type %s; <f4 and |u1 are read",
                          h.descr);
    if (h.fortran)
        return prelu_fail(err, PRELU_E_UNSUPPORTED, ".npy in Fortran order");
    PRELU_TRY(prelu_shape_count(&h.shape, &out->count, err));
    PRELU_TRY(prelu_mul(out->count, sizeof(float), &size, err));
    has = data ? len - (size_t)(data - (const uint8_t *)bytes) : 0;
    if (!data || has != (small ? out->count : size))
        return prelu_fail(err, PRELU_E_FORMAT, ".npy: %zu bytes of data, its shape needs %zu", has,
                          small ? out->count : size);
    out->data = prelu_alloc(size);
    if (!out->data)
        return prelu_fail(err, PRELU_E_NOMEM, ".npy: %zu bytes", size);
    out->shape = h.shape;
    if (!small)
        memcpy(out->data, data, size);
    for (size_t i = 0; small && i < out->count; i++)
        out->data[i] = data[i];
    return PRELU_OK;
}

prelu_status train_npy_read(train_npy *out, const char *path, prelu_err *err)
{
    prelu_err inner = {0};
    mdl_map map = {NULL, 0};
    prelu_status st;
    memset(out, 0, sizeof *out);
    PRELU_TRY(mdl_map_file(&map, path, err));
    st = train_npy_parse(out, map.data, map.len, &inner);
    mdl_map_deinit(&map);
    return st ? prelu_fail(err, st, "%.100s: %.140s", path, inner.text) : PRELU_OK;
}

prelu_status train_npy_write(const char *path, const prelu_shape *shape, const float *data,
                             prelu_err *err)
{
    char text[256] = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
    uint8_t head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 0, 0};
    size_t n = strlen(text), count, len;
    onnx_file f = {.fd = -1};
    prelu_status st;
    PRELU_TRY(prelu_shape_count(shape, &count, err));
    for (int i = 0; i < shape->rank; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%lld, ", (long long)shape->dim[i]);
    n += (size_t)snprintf(text + n, sizeof text - n, "), }");
    for (len = n + 1; (sizeof head + len) % 64; len++) /* data begins at a multiple of 64 */
        text[n++] = ' ';
    text[n++] = '\n';
    head[8] = (uint8_t)(n & 255);
    head[9] = (uint8_t)(n >> 8);
    st = onnx_file_open(&f, path, err);
    if (!st)
        st = onnx_file_write(&f, head, sizeof head, err);
    if (!st)
        st = onnx_file_write(&f, text, n, err);
    if (!st)
        st = onnx_file_write(&f, data, count * sizeof *data, err);
    if (!st)
        st = onnx_file_sync(&f, err);
    if (!st)
        st = onnx_file_commit(&f, NULL, err);
    onnx_file_deinit(&f);
    return st;
}

void train_npy_deinit(train_npy *a)
{
    prelu_free(a->data);
    memset(a, 0, sizeof *a);
}
