/* Model -> ONNX file. The file is one ModelProto whose small parts are built in memory; each weight
 * goes from where it lies straight to the file, so a file of any size costs no memory. */
#include "onnx_write.h"
#include "model_private.h"
#include "onnx_lower.h"
#include "prelu/mem.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MODEL_IR = 1,
    MODEL_PRODUCER = 2,
    MODEL_VERSION = 3,
    MODEL_GRAPH = 7,
    MODEL_OPSET = 8,
    MODEL_METADATA = 14
};
enum { GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum {
    TENSOR_DIMS = 1,
    TENSOR_TYPE = 2,
    TENSOR_NAME = 8,
    TENSOR_RAW = 9,
    TENSOR_EXTERNAL = 13,
    TENSOR_LOCATION = 14
};
#define IR_VERSION 7
#define OPSET_VERSION 13
/* What stays in the file when the rest is external. */
#define SMALL_TENSOR ((size_t)1024)
#define EXTERNAL_ALIGN ((size_t)4096)

typedef struct writing {
    const prelu_model *m;
    const prelu_graph *g;
    prelu_shape *shapes;
    const char **names; /* per value */
    bool *used;         /* per value: a node that is written reads it */
    mdl_pile pile;      /* names that had to be made */
    onnx_buf model, graph, scratch, inner;
    onnx_lowering lower;
    onnx_file file, data;
    char *data_name; /* of the external file, without its folder; NULL = none */
    prelu_err *err;
} writing;

static int tensor_type(prelu_dtype t)
{
    static const int types[] = {
        [PRELU_F32] = 1, [PRELU_BF16] = 16, [PRELU_F16] = 10, [PRELU_U8] = 2,  [PRELU_I8] = 3,
        [PRELU_I32] = 6, [PRELU_I64] = 7,   [PRELU_F64] = 11, [PRELU_BOOL] = 9};
    return types[t];
}

static size_t data_len(const prelu_value_info *v)
{
    size_t n = prelu_dtype_size(v->dtype); /* the graph has checked that the product fits */
    for (int i = 0; i < v->shape.rank; i++)
        n *= (size_t)v->shape.dim[i];
    return n;
}

/* Names must be unique, not empty, and short enough for the lowering to add to them; where they are
 * not, the value's number is added to their beginning. */
#define MAX_NAME ((size_t)300)
typedef struct named {
    const char *name;
    prelu_value v;
} named;

static int by_name(const void *a, const void *b)
{
    const named *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->v > y->v) - (x->v < y->v);
}

static prelu_status own_name(writing *w, prelu_value v)
{
    const char *name = w->g->values[v].name;
    size_t len = MAX_NAME + 16;
    char *text = mdl_pile_alloc(&w->pile, len, 1, "name", w->err);
    if (!text)
        return PRELU_E_NOMEM;
    snprintf(text, len, "%.*s/%d", (int)MAX_NAME, name, v);
    w->names[v] = text;
    return PRELU_OK;
}

static prelu_status make_names(writing *w)
{
    const prelu_graph *g = w->g;
    named *sorted =
        mdl_pile_alloc(&w->pile, (size_t)g->n_values + 1, sizeof *sorted, "names", w->err);
    if (!sorted)
        return PRELU_E_NOMEM;
    for (int i = 0; i < g->n_values; i++) {
        sorted[i] = (named){g->values[i].name, i};
        w->names[i] = g->values[i].name;
    }
    qsort(sorted, (size_t)g->n_values, sizeof *sorted, by_name);
    for (int i = 0; i < g->n_values; i++)
        if (!*sorted[i].name || strlen(sorted[i].name) > MAX_NAME ||
            (i && !strcmp(sorted[i].name, sorted[i - 1].name)))
            PRELU_TRY(own_name(w, sorted[i].v));
    for (int i = 0; i < g->n_nodes; i++)
        if (onnx_lower_drops(&g->nodes[i]))
            w->names[g->nodes[i].out[0]] = w->names[g->nodes[i].in[0]];
    return PRELU_OK;
}

static prelu_status put_nodes(writing *w)
{
    const prelu_graph *g = w->g;
    for (int i = 0; i < g->n_nodes; i++) {
        for (int k = 0; k < g->nodes[i].n_in; k++)
            if (g->nodes[i].in[k] != PRELU_NONE)
                w->used[g->nodes[i].in[k]] = true;
        PRELU_TRY(onnx_lower_node(&w->lower, i));
    }
    for (int i = 0; i < g->n_outputs; i++)
        w->used[g->outputs[i]] = true;
    onnx_put_text(&w->graph, GRAPH_NAME, w->m->arch ? w->m->arch : "prelu");
    return w->graph.st;
}

/* ValueInfoProto: name, type.tensor_type.{elem_type, shape}. Free sizes have a name or none. */
static void put_port(writing *w, unsigned field, prelu_value v, bool fixed_size)
{
    static const char *const free_names[4] = {"N", "C", "H", "W"};
    const prelu_value_info *info = &w->g->values[v];
    const prelu_shape *s = &w->shapes[v];
    onnx_buf shape = {.err = w->err}, type = {.err = w->err};
    for (int i = 0; i < s->rank; i++) {
        bool is_size = s->rank == 4 && i >= 2;
        if (i && (!is_size || fixed_size))
            onnx_put_int(&w->inner, 1, s->dim[i]);
        else if (i == 0 || info->is_input)
            onnx_put_text(&w->inner, 2, free_names[i]);
        onnx_put_message(&shape, 1, &w->inner);
    }
    onnx_put_int(&type, 1, tensor_type(info->dtype));
    onnx_put_message(&type, 2, &shape);
    onnx_put_message(&w->inner, 1, &type);
    onnx_put_text(&w->scratch, 1, w->names[v]);
    onnx_put_message(&w->scratch, 2, &w->inner);
    onnx_put_message(&w->graph, field, &w->scratch);
    onnx_buf_deinit(&shape);
    onnx_buf_deinit(&type);
}

static prelu_status put_ports(writing *w)
{
    const prelu_graph *g = w->g;
    bool fixed = w->lower.spp; /* SPP was written for one size */
    for (int i = 0; i < g->n_values; i++) {
        const prelu_value_info *v = &g->values[i];
        if (!v->is_input)
            continue;
        fixed = fixed || (v->shape.rank == 4 && v->shape.dim[2] > 0 && v->shape.dim[3] > 0);
        put_port(w, GRAPH_INPUT, i, fixed);
    }
    for (int i = 0; i < g->n_outputs; i++)
        put_port(w, GRAPH_OUTPUT, g->outputs[i], fixed);
    return w->graph.st;
}

static void put_metadata(writing *w, const char *key, const char *value)
{
    if (!value)
        return;
    onnx_put_text(&w->scratch, 1, key);
    onnx_put_text(&w->scratch, 2, value);
    onnx_put_message(&w->model, MODEL_METADATA, &w->scratch);
}

/* All of the model but its graph. */
static prelu_status put_model(writing *w)
{
    const prelu_model *m = w->m;
    char *preprocess = NULL, *labels = NULL;
    prelu_status st;
    st = mdl_preprocess_text(&preprocess, &m->preprocess, w->err);
    if (!st && m->labels && m->classes > 0)
        st = mdl_labels_text(&labels, m->labels, m->classes, w->err);
    if (st)
        goto out;
    onnx_put_int(&w->model, MODEL_IR, IR_VERSION);
    onnx_put_text(&w->model, MODEL_PRODUCER, "prelu");
    onnx_put_text(&w->model, MODEL_VERSION, PRELU_VERSION);
    onnx_put_text(&w->scratch, 1, "");
    onnx_put_int(&w->scratch, 2, OPSET_VERSION);
    onnx_put_message(&w->model, MODEL_OPSET, &w->scratch);
    put_metadata(w, "prelu.preprocess", preprocess);
    put_metadata(w, "prelu.labels", labels);
    put_metadata(w, "prelu.arch", m->arch);
    put_metadata(w, "prelu.training", m->training);
    put_metadata(w, "prelu.check", m->check);
    put_metadata(w, "prelu.precision", m->precision);
    st = w->model.st;
out:
    prelu_free(preprocess);
    prelu_free(labels);
    return st;
}

static bool is_written(const writing *w, int i)
{
    return w->g->values[i].is_constant && w->used[i];
}

static bool is_external(const writing *w, const prelu_value_info *v)
{
    return w->data_name && data_len(v) > SMALL_TENSOR;
}

static void put_external(writing *w, const char *key, const char *value)
{
    onnx_put_text(&w->inner, 1, key);
    onnx_put_text(&w->inner, 2, value);
    onnx_put_message(&w->scratch, TENSOR_EXTERNAL, &w->inner);
}

/* The TensorProto of constant i up to its raw_data's bytes, into w->scratch. @param offset in the
 * external file. */
static prelu_status put_tensor(writing *w, int i, uint64_t offset)
{
    const prelu_value_info *v = &w->g->values[i];
    char text[32];
    w->scratch.n = 0;
    for (int d = 0; d < v->shape.rank; d++)
        onnx_put_int(&w->scratch, TENSOR_DIMS, v->shape.dim[d]);
    onnx_put_int(&w->scratch, TENSOR_TYPE, tensor_type(v->dtype));
    onnx_put_text(&w->scratch, TENSOR_NAME, w->names[i]);
    if (!is_external(w, v)) {
        onnx_put_head(&w->scratch, TENSOR_RAW, data_len(v));
        return w->scratch.st;
    }
    put_external(w, "location", w->data_name);
    snprintf(text, sizeof text, "%" PRIu64, offset);
    put_external(w, "offset", text);
    snprintf(text, sizeof text, "%zu", data_len(v));
    put_external(w, "length", text);
    onnx_put_int(&w->scratch, TENSOR_LOCATION, 1);
    return w->scratch.st;
}

static uint64_t next_offset(uint64_t at)
{
    return (at + EXTERNAL_ALIGN - 1) / EXTERNAL_ALIGN * EXTERNAL_ALIGN;
}

/* Bytes of the graph message, weights included. */
static prelu_status graph_len(writing *w, size_t *out)
{
    uint64_t offset = 0;
    *out = w->graph.n;
    for (int i = 0; i < w->g->n_values; i++) {
        const prelu_value_info *v = &w->g->values[i];
        size_t len;
        if (!is_written(w, i))
            continue;
        if (!v->data && data_len(v))
            return prelu_fail(w->err, PRELU_E_ARG, "constant '%.80s' has no data", v->name);
        offset = next_offset(offset);
        PRELU_TRY(put_tensor(w, i, offset));
        len = w->scratch.n + (is_external(w, v) ? 0 : data_len(v));
        offset += is_external(w, v) ? data_len(v) : 0;
        PRELU_TRY(prelu_add(*out, onnx_head_len(GRAPH_INITIALIZER, len), out, w->err));
        PRELU_TRY(prelu_add(*out, len, out, w->err));
    }
    return PRELU_OK;
}

static prelu_status write_weights(writing *w)
{
    uint64_t offset = 0;
    for (int i = 0; i < w->g->n_values; i++) {
        const prelu_value_info *v = &w->g->values[i];
        bool external = is_external(w, v);
        size_t len;
        if (!is_written(w, i))
            continue;
        offset = next_offset(offset);
        PRELU_TRY(put_tensor(w, i, offset));
        len = w->scratch.n + (external ? 0 : data_len(v));
        w->inner.n = 0;
        onnx_put_head(&w->inner, GRAPH_INITIALIZER, len);
        PRELU_TRY(w->inner.st);
        PRELU_TRY(onnx_file_write(&w->file, w->inner.p, w->inner.n, w->err));
        PRELU_TRY(onnx_file_write(&w->file, w->scratch.p, w->scratch.n, w->err));
        w->inner.n = 0;
        if (!external) {
            PRELU_TRY(onnx_file_write(&w->file, v->data, data_len(v), w->err));
            continue;
        }
        PRELU_TRY(onnx_file_align(&w->data, EXTERNAL_ALIGN, w->err));
        PRELU_TRY(onnx_file_write(&w->data, v->data, data_len(v), w->err));
        offset += data_len(v);
    }
    return PRELU_OK;
}

/* FNV-1a over all weights, by words: names the external file, so that a new save never overwrites
 * the data of the model that stands under this name until then. */
static uint64_t weights_hash(const writing *w)
{
    uint64_t h = 0xcbf29ce484222325u, word = 0;
    for (int i = 0; i < w->g->n_values; i++) {
        const uint8_t *p = w->g->values[i].data;
        size_t len = is_written(w, i) ? data_len(&w->g->values[i]) : 0;
        for (size_t k = 0; k < len; k += 8) {
            memcpy(&word, p + k, len - k < 8 ? len - k : 8);
            h = (h ^ word) * 0x100000001b3u;
            h ^= h >> 32;
        }
    }
    return h;
}

static prelu_status open_external(writing *w, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t len = strlen(path) + 32;
    char *full = mdl_pile_alloc(&w->pile, len, 1, "path", w->err);
    char *name = full ? mdl_pile_alloc(&w->pile, len, 1, "path", w->err) : NULL;
    if (!name)
        return PRELU_E_NOMEM;
    snprintf(name, len, "%s.%016" PRIx64 ".data", base, weights_hash(w));
    snprintf(full, len, "%.*s%s", (int)(base - path), path, name);
    w->data_name = name;
    return onnx_file_open(&w->data, full, w->err);
}

static prelu_status write_files(writing *w, const char *path, size_t external_above)
{
    size_t len = 0;
    PRELU_TRY(graph_len(w, &len));
    if (len > external_above || w->model.n > external_above - len) {
        PRELU_TRY(open_external(w, path));
        PRELU_TRY(graph_len(w, &len));
    }
    PRELU_TRY(onnx_file_open(&w->file, path, w->err));
    onnx_put_head(&w->model, MODEL_GRAPH, len);
    PRELU_TRY(w->model.st);
    PRELU_TRY(onnx_file_write(&w->file, w->model.p, w->model.n, w->err));
    PRELU_TRY(onnx_file_write(&w->file, w->graph.p, w->graph.n, w->err));
    PRELU_TRY(write_weights(w));
    if (w->data_name)
        PRELU_TRY(onnx_file_sync(&w->data, w->err));
    PRELU_TRY(onnx_file_sync(&w->file, w->err));
    if (w->data_name)
        PRELU_TRY(onnx_file_commit(&w->data, NULL, w->err));
    return onnx_file_commit(&w->file, NULL, w->err);
}

static prelu_status prepare(writing *w)
{
    size_t n = (size_t)w->g->n_values + 1;
    w->shapes = mdl_pile_alloc(&w->pile, n, sizeof *w->shapes, "shapes", w->err);
    w->names = w->shapes ? mdl_pile_alloc(&w->pile, n, sizeof *w->names, "names", w->err) : NULL;
    w->used = w->names ? mdl_pile_alloc(&w->pile, n, sizeof *w->used, "marks", w->err) : NULL;
    if (!w->used)
        return PRELU_E_NOMEM;
    PRELU_TRY(mdl_graph_infer(w->g, w->m->preprocess.crop, w->shapes, w->err));
    w->lower = (onnx_lowering){
        .g = w->g, .shapes = w->shapes, .names = w->names, .graph = &w->graph, .err = w->err};
    w->lower.node.err = w->lower.attr.err = w->lower.tensor.err = w->err;
    return make_names(w);
}

prelu_status onnx_write(const prelu_model *m, const char *path, size_t external_above,
                        prelu_err *err)
{
    writing w = {.m = m, .g = m->graph, .file = {.fd = -1}, .data = {.fd = -1}, .err = err};
    prelu_status st;
    if (!m->graph)
        return prelu_fail(err, PRELU_E_ARG, "%.120s: the model's weights were dropped", path);
    w.model.err = w.graph.err = w.scratch.err = w.inner.err = err;
    st = prepare(&w);
    if (!st)
        st = put_nodes(&w);
    if (!st)
        st = put_ports(&w);
    if (!st)
        st = put_model(&w);
    if (!st)
        st = write_files(&w, path, external_above);
    onnx_file_deinit(&w.file);
    onnx_file_deinit(&w.data);
    onnx_lowering_deinit(&w.lower);
    onnx_buf_deinit(&w.model);
    onnx_buf_deinit(&w.graph);
    onnx_buf_deinit(&w.scratch);
    onnx_buf_deinit(&w.inner);
    mdl_pile_deinit(&w.pile);
    return st;
}

prelu_status prelu_model_save(const prelu_model *m, const char *path, prelu_err *err)
{
    return onnx_write(m, path, INT32_MAX, err); /* protobuf's own limit */
}
