/* ONNX file -> onnx_doc. The only user of protobuf-c; every size in the file is checked here, once.
 */
#include "onnx_doc.h"
#include "onnx_wire.h"
#include "prelu/mem.h"
#include <errno.h>
#include <onnx.pb-c.h>
#include <stdlib.h>
#include <string.h>

/* What the functions below share while one file is read. */
typedef struct reading {
    onnx_doc *doc;
    const mdl_map *file;
    const char *folder;
    struct prelu_model_extra *extra;
    const char *locations[MDL_MAX_FILES]; /* of extra->maps */
    prelu_err *err;
} reading;

/* @param ctx NULL, or a bool that is set when memory runs out: protobuf-c does not say. */
static void *pb_alloc(void *ctx, size_t len)
{
    void *p = prelu_alloc(len);
    if (!p && ctx)
        *(bool *)ctx = true;
    return p;
}

static void pb_free(void *ctx, void *p)
{
    (void)ctx;
    prelu_free(p);
}

static const char *text_of(const char *s) { return s ? s : ""; }

static bool dtype_of(int32_t onnx, prelu_dtype *out)
{
    static const struct {
        int32_t onnx;
        prelu_dtype dtype;
    } map[] = {{1, PRELU_F32},  {2, PRELU_U8},   {3, PRELU_I8},   {6, PRELU_I32},  {7, PRELU_I64},
               {9, PRELU_BOOL}, {10, PRELU_F16}, {11, PRELU_F64}, {16, PRELU_BF16}};
    for (size_t i = 0; i < sizeof map / sizeof *map; i++)
        if (map[i].onnx == onnx) {
            *out = map[i].dtype;
            return true;
        }
    return false;
}

/* Shape, type and count of a tensor. */
static prelu_status read_form(const reading *r, const Onnx__TensorProto *p, onnx_tensor *t)
{
    t->name = text_of(p->name);
    if (!dtype_of(p->data_type, &t->dtype))
        return prelu_fail(r->err, PRELU_E_UNSUPPORTED, "tensor '%.80s': data type %d", t->name,
                          p->data_type);
    if (p->n_dims > PRELU_MAX_RANK)
        return prelu_fail(r->err, PRELU_E_UNSUPPORTED, "tensor '%.80s': rank %zu; at most %d",
                          t->name, p->n_dims, PRELU_MAX_RANK);
    t->shape.rank = (int)p->n_dims;
    for (size_t i = 0; i < p->n_dims; i++) {
        t->shape.dim[i] = p->dims[i];
        if (p->dims[i] < 0)
            return prelu_fail(r->err, PRELU_E_FORMAT, "tensor '%.80s': dimension %zu is %lld",
                              t->name, i, (long long)p->dims[i]);
    }
    if (prelu_shape_count(&t->shape, &t->count, NULL))
        return prelu_fail(r->err, PRELU_E_LIMIT, "tensor '%.80s': its size overflows", t->name);
    return PRELU_OK;
}

static prelu_status wrong_size(const reading *r, const onnx_tensor *t, size_t has, size_t want,
                               const char *unit)
{
    return prelu_fail(r->err, PRELU_E_FORMAT, "tensor '%.80s': %zu %s, its shape needs %zu",
                      t->name, has, unit, want);
}

static prelu_status read_external(reading *r, const Onnx__TensorProto *p, onnx_tensor *t,
                                  size_t len);

/* A decimal number without sign. */
static bool parse_size(const char *s, uint64_t *out)
{
    char *end;
    if (*s < '0' || *s > '9')
        return false;
    errno = 0;
    *out = strtoull(s, &end, 10);
    return !errno && !*end;
}

static prelu_status external_map(reading *r, const onnx_tensor *t, const char *location,
                                 const mdl_map **out)
{
    struct prelu_model_extra *x = r->extra;
    prelu_err inner = {0};
    prelu_status st;
    for (int i = 0; i < x->n_maps; i++)
        if (r->locations[i] && !strcmp(r->locations[i], location)) {
            *out = &x->maps[i];
            return PRELU_OK;
        }
    if (!r->folder)
        return prelu_fail(r->err, PRELU_E_UNSUPPORTED, "tensor '%.80s': external data not allowed",
                          t->name);
    if (x->n_maps == MDL_MAX_FILES)
        return prelu_fail(r->err, PRELU_E_LIMIT, "external data in more than %d files",
                          MDL_MAX_FILES);
    st = onnx_external_map(&x->maps[x->n_maps], r->folder, location, &inner);
    if (st)
        return prelu_fail(r->err, st, "tensor '%.60s': %.160s", t->name, inner.text);
    r->locations[x->n_maps] = location;
    *out = &x->maps[x->n_maps++];
    return PRELU_OK;
}

static prelu_status read_external(reading *r, const Onnx__TensorProto *p, onnx_tensor *t,
                                  size_t len)
{
    const char *location = NULL;
    const mdl_map *map = NULL;
    uint64_t offset = 0, length = len;
    for (size_t i = 0; i < p->n_external_data; i++) {
        const char *key = text_of(p->external_data[i]->key);
        const char *value = text_of(p->external_data[i]->value);
        bool ok = true;
        if (!strcmp(key, "location"))
            location = value;
        else if (!strcmp(key, "offset"))
            ok = parse_size(value, &offset);
        else if (!strcmp(key, "length"))
            ok = parse_size(value, &length);
        if (!ok)
            return prelu_fail(r->err, PRELU_E_FORMAT, "tensor '%.80s': external %s '%.30s'",
                              t->name, key, value);
    }
    if (!location)
        return prelu_fail(r->err, PRELU_E_FORMAT, "tensor '%.80s': external data without location",
                          t->name);
    if (length != len)
        return wrong_size(r, t, (size_t)length, len, "external bytes");
    PRELU_TRY(external_map(r, t, location, &map));
    if (!map || offset > map->len || length > map->len - offset)
        return prelu_fail(
            r->err, PRELU_E_FORMAT, "tensor '%.80s': bytes %llu+%llu of an external file of %zu",
            t->name, (unsigned long long)offset, (unsigned long long)length, map ? map->len : 0);
    t->data = map->data + offset;
    return PRELU_OK;
}

/* Small types stand one in an int32 each. */
static prelu_status narrow(const reading *r, const Onnx__TensorProto *p, onnx_tensor *t)
{
    size_t size = prelu_dtype_size(t->dtype);
    uint8_t *to = mdl_pile_alloc(&r->extra->pile, t->count, size, t->name, r->err);
    if (!to)
        return r->err && r->err->code ? r->err->code : PRELU_E_NOMEM;
    for (size_t i = 0; i < t->count; i++) {
        uint32_t v = (uint32_t)p->int32_data[i];
        memcpy(to + i * size, &v, size); /* little-endian: the low bytes */
    }
    t->data = to;
    return PRELU_OK;
}

static prelu_status copy_typed(const reading *r, onnx_tensor *t, const void *from, size_t n,
                               size_t size)
{
    void *to;
    if (n != t->count)
        return wrong_size(r, t, n, t->count, "elements");
    to = mdl_pile_alloc(&r->extra->pile, n, size, t->name, r->err);
    if (!to)
        return r->err && r->err->code ? r->err->code : PRELU_E_NOMEM;
    if (n)
        memcpy(to, from, n * size);
    t->data = to;
    return PRELU_OK;
}

/* Data in the typed fields of old files. */
static prelu_status read_typed(const reading *r, const Onnx__TensorProto *p, onnx_tensor *t)
{
    switch (t->dtype) {
    case PRELU_F32:
        return copy_typed(r, t, p->float_data, p->n_float_data, sizeof *p->float_data);
    case PRELU_F64:
        return copy_typed(r, t, p->double_data, p->n_double_data, sizeof *p->double_data);
    case PRELU_I64:
        return copy_typed(r, t, p->int64_data, p->n_int64_data, sizeof *p->int64_data);
    case PRELU_I32:
    case PRELU_U8:
    case PRELU_I8:
    case PRELU_F16:
    case PRELU_BF16:
    case PRELU_BOOL:
        break;
    }
    if (p->n_int32_data != t->count)
        return wrong_size(r, t, p->n_int32_data, t->count, "elements");
    return narrow(r, p, t);
}

static prelu_status read_tensor(reading *r, const Onnx__TensorProto *p, onnx_tensor *t)
{
    size_t len;
    onnx_raw raw;
    PRELU_TRY(read_form(r, p, t));
    if (prelu_mul(t->count, prelu_dtype_size(t->dtype), &len, NULL))
        return prelu_fail(r->err, PRELU_E_LIMIT, "tensor '%.80s': its size overflows", t->name);
    if (p->has_data_location && p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return read_external(r, p, t, len);
    if (!p->has_raw_data)
        return read_typed(r, p, t);
    if (p->raw_data.len != sizeof raw) /* onnx_wire_reduce wrote it */
        return prelu_fail(r->err, PRELU_E_INTERNAL, "tensor '%.80s': lost its place", t->name);
    memcpy(&raw, p->raw_data.data, sizeof raw);
    if (raw.len != len)
        return wrong_size(r, t, (size_t)raw.len, len, "bytes");
    t->data = r->file->data + raw.offset;
    return PRELU_OK;
}

static void *take(const reading *r, size_t count, size_t size)
{
    return mdl_pile_alloc(&r->doc->pile, count, size, "ONNX structure", r->err);
}

static prelu_status out_of_memory(const reading *r)
{
    return r->err && r->err->code ? r->err->code : PRELU_E_NOMEM;
}

static prelu_status read_string_attr(const reading *r, const Onnx__AttributeProto *p,
                                     onnx_attr *out)
{
    char *s = take(r, p->s.len + 1, 1);
    if (!s)
        return out_of_memory(r);
    if (p->s.len)
        memcpy(s, p->s.data, p->s.len);
    out->a.kind = PRELU_ATTR_STRING;
    out->a.s = s;
    return PRELU_OK;
}

static Onnx__AttributeProto__AttributeType attr_type(const Onnx__AttributeProto *p)
{
    if (p->has_type)
        return p->type;
    /* IR 1 files have no type: the field that is there tells. */
    if (p->has_f)
        return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    if (p->has_i)
        return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    if (p->has_s)
        return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
    if (p->t)
        return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
    if (p->n_floats)
        return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
    return p->n_ints ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS
                     : ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED;
}

static prelu_status read_tensor_attr(reading *r, const Onnx__AttributeProto *p, onnx_attr *out)
{
    onnx_tensor *t = take(r, 1, sizeof *t);
    if (!t)
        return out_of_memory(r);
    out->t = t;
    return p->t ? read_tensor(r, p->t, t) : PRELU_OK;
}

static prelu_status read_attr(reading *r, const Onnx__AttributeProto *p, onnx_attr *out)
{
    out->name = text_of(p->name);
    out->a.name = out->name;
    switch ((int)attr_type(p)) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
        out->a.kind = PRELU_ATTR_FLOAT;
        out->a.f = p->f;
        return PRELU_OK;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
        out->a.kind = PRELU_ATTR_INT;
        out->a.i = p->i;
        return PRELU_OK;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING:
        return read_string_attr(r, p, out);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS:
        out->a.kind = PRELU_ATTR_FLOATS;
        out->a.floats = p->floats;
        out->a.len = p->n_floats;
        return PRELU_OK;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
        out->a.kind = PRELU_ATTR_INTS;
        out->a.ints = p->ints;
        out->a.len = p->n_ints;
        return PRELU_OK;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR:
        out->a.name = NULL;
        return read_tensor_attr(r, p, out);
    default:
        out->a.name = NULL; /* a graph, a sparse tensor: the op that has it is unknown here too */
        return PRELU_OK;
    }
}

static prelu_status read_names(const reading *r, char **from, size_t n, const char ***out,
                               int *count)
{
    if (n > 100000)
        return prelu_fail(r->err, PRELU_E_LIMIT, "a node of %zu inputs or outputs", n);
    *out = take(r, n, sizeof **out);
    if (!*out)
        return out_of_memory(r);
    for (size_t i = 0; i < n; i++)
        (*out)[i] = text_of(from[i]);
    *count = (int)n;
    return PRELU_OK;
}

static prelu_status read_node(reading *r, const Onnx__NodeProto *p, onnx_node *n)
{
    prelu_err inner = {0}, *outer = r->err;
    prelu_status st = PRELU_OK;
    n->name = text_of(p->name);
    n->op = text_of(p->op_type);
    n->domain = text_of(p->domain);
    PRELU_TRY(read_names(r, p->input, p->n_input, &n->in, &n->n_in));
    PRELU_TRY(read_names(r, p->output, p->n_output, &n->out, &n->n_out));
    n->attrs = take(r, p->n_attribute, sizeof *n->attrs);
    if (!n->attrs)
        return out_of_memory(r);
    n->n_attrs = p->n_attribute;
    r->err = &inner;
    for (size_t i = 0; i < n->n_attrs && !st; i++)
        st = read_attr(r, p->attribute[i], &n->attrs[i]);
    r->err = outer;
    return st ? prelu_fail(outer, st, "node '%.60s' (%.30s): %.140s", n->name, n->op, inner.text)
              : PRELU_OK;
}

static prelu_status read_port(const reading *r, const Onnx__ValueInfoProto *p, onnx_port *port)
{
    const Onnx__TypeProto__Tensor *t = NULL;
    port->name = text_of(p->name);
    port->dtype = PRELU_F32;
    port->shape.rank = -1;
    if (p->type && p->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        t = p->type->tensor_type;
    if (!t)
        return PRELU_OK;
    if (t->has_elem_type && !dtype_of(t->elem_type, &port->dtype))
        return prelu_fail(r->err, PRELU_E_UNSUPPORTED, "'%.80s': data type %d", port->name,
                          t->elem_type);
    if (!t->shape)
        return PRELU_OK;
    if (t->shape->n_dim > PRELU_MAX_RANK)
        return prelu_fail(r->err, PRELU_E_UNSUPPORTED, "'%.80s': rank %zu; at most %d", port->name,
                          t->shape->n_dim, PRELU_MAX_RANK);
    port->shape.rank = (int)t->shape->n_dim;
    for (size_t i = 0; i < t->shape->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *d = t->shape->dim[i];
        bool known = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        port->shape.dim[i] = known && d->dim_value > 0 ? d->dim_value : -1;
    }
    return PRELU_OK;
}

static prelu_status read_ports(const reading *r, Onnx__ValueInfoProto **from, size_t n,
                               onnx_port **out, size_t *count)
{
    *out = take(r, n, sizeof **out);
    if (!*out)
        return out_of_memory(r);
    for (size_t i = 0; i < n; i++)
        PRELU_TRY(read_port(r, from[i], &(*out)[i]));
    *count = n;
    return PRELU_OK;
}

static prelu_status read_graph(reading *r, const Onnx__GraphProto *p)
{
    onnx_doc *d = r->doc;
    d->tensors = take(r, p->n_initializer, sizeof *d->tensors);
    d->nodes = d->tensors ? take(r, p->n_node, sizeof *d->nodes) : NULL;
    if (!d->nodes)
        return out_of_memory(r);
    for (size_t i = 0; i < p->n_initializer; i++)
        PRELU_TRY(read_tensor(r, p->initializer[i], &d->tensors[i]));
    for (size_t i = 0; i < p->n_node; i++)
        PRELU_TRY(read_node(r, p->node[i], &d->nodes[i]));
    d->n_tensors = p->n_initializer;
    d->n_nodes = p->n_node;
    PRELU_TRY(read_ports(r, p->input, p->n_input, &d->inputs, &d->n_inputs));
    return read_ports(r, p->output, p->n_output, &d->outputs, &d->n_outputs);
}

static prelu_status read_header(const reading *r, const Onnx__ModelProto *p)
{
    onnx_doc *d = r->doc;
    d->ir_version = p->has_ir_version ? p->ir_version : 0;
    for (size_t i = 0; i < p->n_opset_import; i++) {
        const char *domain = text_of(p->opset_import[i]->domain);
        if (!*domain || !strcmp(domain, "ai.onnx"))
            d->opset = p->opset_import[i]->version;
    }
    if (!d->opset)
        return prelu_fail(r->err, PRELU_E_FORMAT, "not an ONNX file: it imports no operator set");
    if (d->opset < 6 || d->opset > 21)
        return prelu_fail(r->err, PRELU_E_UNSUPPORTED, "ONNX operator set %lld; 6 to 21 are read",
                          (long long)d->opset);
    d->metadata = take(r, p->n_metadata_props, sizeof *d->metadata);
    if (!d->metadata)
        return out_of_memory(r);
    for (size_t i = 0; i < p->n_metadata_props; i++) {
        d->metadata[i].key = text_of(p->metadata_props[i]->key);
        d->metadata[i].value = text_of(p->metadata_props[i]->value);
    }
    d->n_metadata = p->n_metadata_props;
    return PRELU_OK;
}

prelu_status onnx_doc_read(onnx_doc *doc, const mdl_map *file, const char *folder,
                           struct prelu_model_extra *extra, prelu_err *err)
{
    reading r = {doc, file, folder, extra, {NULL}, err};
    bool no_memory = false;
    ProtobufCAllocator allocator = {pb_alloc, pb_free, &no_memory};
    Onnx__ModelProto *p;
    uint8_t *reduced = NULL;
    size_t len = 0;
    PRELU_TRY(onnx_wire_reduce(&reduced, &len, file->data, file->len, err));
    p = onnx__model_proto__unpack(&allocator, len, reduced);
    prelu_free(reduced);
    if (!p) /* after our walk only packed numbers can still be malformed */
        return no_memory ? prelu_fail(err, PRELU_E_NOMEM, "ONNX structure of %zu bytes", len)
                         : prelu_fail(err, PRELU_E_FORMAT, "not an ONNX file, or damaged");
    doc->message = p;
    PRELU_TRY(read_header(&r, p));
    if (!p->graph)
        return prelu_fail(err, PRELU_E_FORMAT, "not an ONNX file: it has no graph");
    return read_graph(&r, p->graph);
}

void onnx_doc_deinit(onnx_doc *doc)
{
    ProtobufCAllocator allocator = {pb_alloc, pb_free, NULL};
    if (doc->message)
        onnx__model_proto__free_unpacked(doc->message, &allocator);
    mdl_pile_deinit(&doc->pile);
    memset(doc, 0, sizeof *doc);
}
