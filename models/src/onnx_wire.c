#include "onnx_wire.h"
#include "prelu/mem.h"
#include <stdbool.h>
#include <string.h>

/* onnx.proto as far as it is read. A field that is in no row is checked for its length and left
 * out. */
typedef enum wire_message {
    MODEL,
    OPSET,
    ENTRY,
    GRAPH,
    NODE,
    ATTRIBUTE,
    TENSOR,
    VALUE_INFO,
    TYPE,
    TENSOR_TYPE,
    SHAPE,
    DIMENSION,
    SCALAR, /* not a message: the kinds of leaves follow */
    TEXT,   /* bytes without a NUL */
    BYTES,
    PACKED, /* numbers, packed or single */
    RAW
} wire_message;

typedef struct wire_field {
    wire_message parent;
    unsigned number;
    wire_message kind;
} wire_field;

static const wire_field fields[] = {
    {MODEL, 1, SCALAR},     {MODEL, 7, GRAPH},        {MODEL, 8, OPSET},
    {MODEL, 14, ENTRY},     {OPSET, 1, TEXT},         {OPSET, 2, SCALAR},
    {ENTRY, 1, TEXT},       {ENTRY, 2, TEXT},         {GRAPH, 1, NODE},
    {GRAPH, 5, TENSOR},     {GRAPH, 11, VALUE_INFO},  {GRAPH, 12, VALUE_INFO},
    {NODE, 1, TEXT},        {NODE, 2, TEXT},          {NODE, 3, TEXT},
    {NODE, 4, TEXT},        {NODE, 5, ATTRIBUTE},     {NODE, 7, TEXT},
    {ATTRIBUTE, 1, TEXT},   {ATTRIBUTE, 2, SCALAR},   {ATTRIBUTE, 3, SCALAR},
    {ATTRIBUTE, 4, BYTES},  {ATTRIBUTE, 5, TENSOR},   {ATTRIBUTE, 6, GRAPH},
    {ATTRIBUTE, 7, PACKED}, {ATTRIBUTE, 8, PACKED},   {ATTRIBUTE, 9, BYTES},
    {ATTRIBUTE, 11, GRAPH}, {ATTRIBUTE, 20, SCALAR},  {ATTRIBUTE, 21, TEXT},
    {TENSOR, 1, PACKED},    {TENSOR, 2, SCALAR},      {TENSOR, 4, PACKED},
    {TENSOR, 5, PACKED},    {TENSOR, 7, PACKED},      {TENSOR, 8, TEXT},
    {TENSOR, 9, RAW},       {TENSOR, 10, PACKED},     {TENSOR, 13, ENTRY},
    {TENSOR, 14, SCALAR},   {VALUE_INFO, 1, TEXT},    {VALUE_INFO, 2, TYPE},
    {TYPE, 1, TENSOR_TYPE}, {TENSOR_TYPE, 1, SCALAR}, {TENSOR_TYPE, 2, SHAPE},
    {SHAPE, 1, DIMENSION},  {DIMENSION, 1, SCALAR},   {DIMENSION, 2, TEXT},
};

typedef struct scan {
    const uint8_t *file;
    uint8_t *out;
    size_t n, cap, limit; /* of out */
    size_t items;
    prelu_err *err;
} scan;

/* A message's end, and where it is read. */
typedef struct cursor {
    const uint8_t *p, *end;
} cursor;

static prelu_status broken(const scan *s, const uint8_t *at, const char *what)
{
    return prelu_fail(s->err, PRELU_E_FORMAT, "not an ONNX file, or damaged: %s at byte %zu", what,
                      (size_t)(at - s->file));
}

static prelu_status get_varint(const scan *s, cursor *c, uint64_t *out)
{
    const uint8_t *start = c->p;
    uint64_t v = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (c->p == c->end)
            return broken(s, start, "a number is cut off");
        v |= shift < 64 ? (uint64_t)(*c->p & 0x7f) << shift : 0;
        if (!(*c->p++ & 0x80)) {
            *out = v;
            return PRELU_OK;
        }
    }
    return broken(s, start, "a number of more than 10 bytes");
}

static prelu_status put(scan *s, const void *data, size_t len)
{
    if (len > s->limit - s->n)
        return prelu_fail(s->err, PRELU_E_LIMIT, "ONNX file without its weights is above %zu bytes",
                          s->limit);
    if (len > s->cap - s->n) {
        size_t want = s->cap ? s->cap : 4096;
        uint8_t *grown;
        while (want < s->n + len)
            want *= 2;
        grown = prelu_realloc(s->out, want);
        if (!grown)
            return prelu_fail(s->err, PRELU_E_NOMEM, "ONNX structure: %zu bytes", want);
        s->out = grown;
        s->cap = want;
    }
    if (len)
        memcpy(s->out + s->n, data, len);
    s->n += len;
    return PRELU_OK;
}

/* Five bytes hold any length below 2^35: they are reserved first and filled in afterwards. */
#define LENGTH_BYTES 5
static void set_length(uint8_t *at, size_t len)
{
    for (int i = 0; i < LENGTH_BYTES; i++)
        at[i] = (uint8_t)((len >> (7 * i) & 0x7f) | (i < LENGTH_BYTES - 1 ? 0x80 : 0));
}

static prelu_status put_leaf(scan *s, const uint8_t *tag, size_t tag_len, const void *data,
                             size_t len)
{
    uint8_t length[LENGTH_BYTES];
    set_length(length, len);
    PRELU_TRY(put(s, tag, tag_len));
    PRELU_TRY(put(s, length, sizeof length));
    return put(s, data, len);
}

static const wire_field *find_field(wire_message parent, uint64_t number)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].parent == parent && fields[i].number == number)
            return &fields[i];
    return NULL;
}

/* A tag, its value's extent, and where the reader's own walk goes on. */
typedef struct item {
    const uint8_t *start, *value, *next;
    uint64_t number;
    int wire; /* 0 varint, 1 eight bytes, 2 with a length, 5 four bytes */
} item;

static prelu_status next_item(const scan *s, cursor *c, item *it)
{
    uint64_t tag = 0, v = 0;
    it->start = c->p;
    PRELU_TRY(get_varint(s, c, &tag));
    it->number = tag >> 3;
    it->wire = (int)(tag & 7);
    it->value = c->p;
    if (!it->number || tag > UINT32_MAX)
        return broken(s, it->start, "a field number out of range");
    switch (it->wire) {
    case 0:
        PRELU_TRY(get_varint(s, c, &v));
        v = 0;
        break;
    case 1:
        v = 8;
        break;
    case 2:
        PRELU_TRY(get_varint(s, c, &v));
        it->value = c->p;
        break;
    case 5:
        v = 4;
        break;
    default:
        return broken(s, it->start, "an unknown wire type");
    }
    if (v > (uint64_t)(c->end - c->p))
        return broken(s, it->start, "a field runs past its end");
    c->p += v;
    it->next = c->p;
    return PRELU_OK;
}

static prelu_status walk(scan *s, wire_message message, cursor c, int depth);

static prelu_status put_message(scan *s, const item *it, size_t tag_len, wire_message kind,
                                int depth)
{
    static const uint8_t room[LENGTH_BYTES];
    size_t at;
    PRELU_TRY(put(s, it->start, tag_len));
    PRELU_TRY(put(s, room, sizeof room));
    at = s->n;
    PRELU_TRY(walk(s, kind, (cursor){it->value, it->next}, depth + 1));
    if (s->out) /* always: the room is in it */
        set_length(s->out + at - LENGTH_BYTES, s->n - at);
    return PRELU_OK;
}

static prelu_status put_item(scan *s, const item *it, wire_message kind, int depth)
{
    size_t len = (size_t)(it->next - it->value);
    /* The tag alone: for wire type 2 the value begins after the length. */
    size_t tag_len = 1;
    while (it->start[tag_len - 1] & 0x80)
        tag_len++;
    if (++s->items > ONNX_MAX_ITEMS)
        return prelu_fail(s->err, PRELU_E_LIMIT, "ONNX file of more than %d fields",
                          ONNX_MAX_ITEMS);
    if (kind == SCALAR || (kind == PACKED && it->wire != 2)) {
        if (it->wire == 2)
            return broken(s, it->start, "a field of the wrong type");
        return put(s, it->start, (size_t)(it->next - it->start));
    }
    if (it->wire != 2)
        return broken(s, it->start, "a field of the wrong type");
    if (kind == RAW) {
        onnx_raw raw = {(uint64_t)(it->value - s->file), len};
        return put_leaf(s, it->start, tag_len, &raw, sizeof raw);
    }
    if (kind == TEXT && len && memchr(it->value, 0, len))
        return broken(s, it->start, "a NUL byte in a text");
    if (kind > SCALAR)
        return put_leaf(s, it->start, tag_len, it->value, len);
    return put_message(s, it, tag_len, kind, depth);
}

static prelu_status walk(scan *s, wire_message message, cursor c, int depth)
{
    if (depth > ONNX_MAX_DEPTH)
        return prelu_fail(s->err, PRELU_E_LIMIT, "ONNX messages nested more than %d deep",
                          ONNX_MAX_DEPTH);
    while (c.p < c.end) {
        const wire_field *f;
        item it = {0};
        PRELU_TRY(next_item(s, &c, &it));
        f = find_field(message, it.number);
        if (f)
            PRELU_TRY(put_item(s, &it, f->kind, depth));
    }
    return PRELU_OK;
}

prelu_status onnx_wire_reduce(uint8_t **out, size_t *out_len, const uint8_t *file, size_t len,
                              prelu_err *err)
{
    scan s = {.file = file, .limit = INT32_MAX, .err = err};
    prelu_status st = walk(&s, MODEL, (cursor){file, file + len}, 0);
    if (st) {
        prelu_free(s.out);
        return st;
    }
    *out = s.out;
    *out_len = s.n;
    return PRELU_OK;
}
