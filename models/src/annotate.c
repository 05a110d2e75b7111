/* One entry of an ONNX file's metadata, set without touching the rest: the file's other top-level
 * fields are copied byte by byte, so that anybody's model stays what it was. */
#include "model_private.h"
#include "onnx_out.h"
#include <string.h>

enum { MODEL_METADATA = 14, ENTRY_KEY = 1, ENTRY_VALUE = 2 };

typedef struct field {
    unsigned number;
    const uint8_t *from, *body, *end; /* tag, content, end of content */
} field;

static bool get_varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 64 && *p < end; shift += 7) {
        const uint8_t byte = *(*p)++;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* The field at p, whole within end. */
static bool next_field(const uint8_t *p, const uint8_t *end, field *f)
{
    uint64_t tag, len = 0;
    f->from = p;
    if (!get_varint(&p, end, &tag) || tag >> 3 > UINT32_MAX)
        return false;
    f->number = (unsigned)(tag >> 3);
    f->body = p;
    switch (tag & 7) {
    case 0:
        if (!get_varint(&p, end, &len))
            return false;
        f->end = p;
        return true;
    case 1:
        len = 8;
        break;
    case 2:
        if (!get_varint(&p, end, &len))
            return false;
        f->body = p;
        break;
    case 5:
        len = 4;
        break;
    default:
        return false;
    }
    if (len > (uint64_t)(end - f->body))
        return false;
    f->end = f->body + len;
    return true;
}

/* Is this metadata entry's key the one? */
static bool has_key(const field *entry, const char *key)
{
    field f;
    for (const uint8_t *p = entry->body; p < entry->end; p = f.end) {
        if (!next_field(p, entry->end, &f))
            return false;
        if (f.number == ENTRY_KEY)
            return (size_t)(f.end - f.body) == strlen(key) && memcmp(f.body, key, strlen(key)) == 0;
    }
    return false;
}

static prelu_status copy_others(onnx_file *out, const mdl_map *map, const char *path,
                                const char *key, prelu_err *err)
{
    const uint8_t *start = map->data, *end = start + map->len;
    field f;
    for (const uint8_t *p = start; p < end; p = f.end) {
        if (!next_field(p, end, &f))
            return prelu_fail(err, PRELU_E_FORMAT, "%.120s: no ONNX file at byte %zu", path,
                              (size_t)(p - start));
        if (f.number == MODEL_METADATA && has_key(&f, key))
            continue;
        PRELU_TRY(onnx_file_write(out, f.from, (size_t)(f.end - f.from), err));
    }
    return PRELU_OK;
}

prelu_status prelu_model_annotate(const char *path, const char *key, const char *value,
                                  prelu_err *err)
{
    onnx_buf entry = {.err = err}, whole = {.err = err};
    onnx_file out = {.fd = -1};
    mdl_map map = {NULL, 0};
    prelu_status st = mdl_map_file(&map, path, err);
    if (!st)
        st = onnx_file_open(&out, path, err);
    if (!st)
        st = copy_others(&out, &map, path, key, err);
    if (st)
        goto out;
    onnx_put_text(&entry, ENTRY_KEY, key);
    onnx_put_text(&entry, ENTRY_VALUE, value);
    onnx_put_message(&whole, MODEL_METADATA, &entry);
    st = entry.st ? entry.st : whole.st;
    if (!st)
        st = onnx_file_write(&out, whole.p, whole.n, err);
    if (!st)
        st = onnx_file_sync(&out, err);
    if (!st)
        st = onnx_file_commit(&out, NULL, err);
out:
    onnx_file_deinit(&out);
    onnx_buf_deinit(&entry);
    onnx_buf_deinit(&whole);
    mdl_map_deinit(&map);
    return st;
}
