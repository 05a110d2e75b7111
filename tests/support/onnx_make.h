#ifndef PRELU_TEST_ONNX_MAKE_H
#define PRELU_TEST_ONNX_MAKE_H
/* ONNX files, right and wrong ones, made field by field. */
#include "check.h"
#include "model_private.h"
#include "onnx_out.h"

typedef struct om {
    int64_t opset;
    onnx_buf model, graph, x, y, z;
} om;

/** NodeProto; `in` ends with NULL. Attributes: what om_ints and om_int put into m->x before. */
static inline void om_node(om *m, const char *op, const char *name, const char *const *in,
                           const char *out)
{
    for (; *in; in++)
        onnx_put_text(&m->x, 1, *in);
    if (out)
        onnx_put_text(&m->x, 2, out);
    onnx_put_text(&m->x, 3, name);
    onnx_put_text(&m->x, 4, op);
    onnx_put_message(&m->graph, 1, &m->x);
}

static inline void om_int(om *m, const char *attr, int64_t v)
{
    onnx_put_text(&m->y, 1, attr);
    onnx_put_int(&m->y, 3, v);
    onnx_put_int(&m->y, 20, 2);
    onnx_put_message(&m->x, 5, &m->y);
}

static inline void om_ints(om *m, const char *attr, const int64_t *v, size_t n)
{
    onnx_put_text(&m->y, 1, attr);
    for (size_t i = 0; i < n; i++)
        onnx_put_int(&m->y, 8, v[i]);
    onnx_put_int(&m->y, 20, 7);
    onnx_put_message(&m->x, 5, &m->y);
}

/** Initialiser with any claim about its shape and type; `data` as raw_data. */
static inline void om_tensor(om *m, const char *name, int type, const int64_t *dims, size_t rank,
                             const void *data, size_t len)
{
    for (size_t i = 0; i < rank; i++)
        onnx_put_int(&m->x, 1, dims[i]);
    onnx_put_int(&m->x, 2, type);
    onnx_put_text(&m->x, 8, name);
    onnx_put_bytes(&m->x, 9, data, len);
    onnx_put_message(&m->graph, 5, &m->x);
}

static inline void om_floats(om *m, const char *name, const int64_t *dims, size_t rank)
{
    static const float values[4096] = {0.5f, -0.25f, 1};
    size_t n = 1;
    for (size_t i = 0; i < rank; i++)
        n *= (size_t)dims[i];
    assert_true(n <= 4096);
    om_tensor(m, name, 1, dims, rank, values, n * sizeof *values);
}

/** External tensor: location and, unless NULL, offset and length. */
static inline void om_external(om *m, const char *name, const int64_t *dims, size_t rank,
                               const char *location, const char *offset, const char *length)
{
    const char *pair[3][2] = {{"location", location}, {"offset", offset}, {"length", length}};
    for (size_t i = 0; i < rank; i++)
        onnx_put_int(&m->x, 1, dims[i]);
    onnx_put_int(&m->x, 2, 1);
    onnx_put_text(&m->x, 8, name);
    for (int i = 0; i < 3; i++)
        if (pair[i][1]) {
            onnx_put_text(&m->y, 1, pair[i][0]);
            onnx_put_text(&m->y, 2, pair[i][1]);
            onnx_put_message(&m->x, 13, &m->y);
        }
    onnx_put_int(&m->x, 14, 1);
    onnx_put_message(&m->graph, 5, &m->x);
}

/** ValueInfoProto as input (11) or output (12); dims < 0 are symbolic. */
static inline void om_port(om *m, unsigned field, const char *name, const int64_t *dims,
                           size_t rank)
{
    for (size_t i = 0; i < rank; i++) {
        if (dims[i] < 0)
            onnx_put_text(&m->x, 2, "n");
        else
            onnx_put_int(&m->x, 1, dims[i]);
        onnx_put_message(&m->y, 1, &m->x);
    }
    onnx_put_int(&m->z, 1, 1);
    onnx_put_message(&m->z, 2, &m->y);
    onnx_put_message(&m->x, 1, &m->z);
    onnx_put_text(&m->y, 1, name);
    onnx_put_message(&m->y, 2, &m->x);
    onnx_put_message(&m->graph, field, &m->y);
}

static inline void om_metadata(om *m, const char *key, const char *value)
{
    onnx_put_text(&m->x, 1, key);
    onnx_put_text(&m->x, 2, value);
    onnx_put_message(&m->model, 14, &m->x);
}

/** The file, in a block of exactly its length; free() it. Empties m. */
static inline uint8_t *om_finish(om *m, size_t *len)
{
    uint8_t *p;
    onnx_put_int(&m->model, 1, 7);
    onnx_put_text(&m->x, 1, "");
    onnx_put_int(&m->x, 2, m->opset ? m->opset : 13);
    onnx_put_message(&m->model, 8, &m->x);
    onnx_put_message(&m->model, 7, &m->graph);
    assert_int_equal(m->model.st, PRELU_OK);
    *len = m->model.n;
    p = malloc(*len ? *len : 1);
    memcpy(p, m->model.p, *len);
    onnx_buf_deinit(&m->model);
    onnx_buf_deinit(&m->graph);
    onnx_buf_deinit(&m->x);
    onnx_buf_deinit(&m->y);
    onnx_buf_deinit(&m->z);
    memset(m, 0, sizeof *m);
    return p;
}

/** A small classifier: Conv (3 -> 4, 3x3), PRelu, GlobalAveragePool, Flatten, Gemm to 3 logits. */
static inline void om_classifier(om *m)
{
    static const int64_t input[4] = {-1, 3, 8, 8}, w[4] = {4, 3, 3, 3}, four[1] = {4};
    static const int64_t slope[3] = {4, 1, 1}, fc[2] = {3, 4}, three[1] = {3}, out[2] = {-1, 3};
    om_port(m, 11, "x", input, 4);
    om_floats(m, "w", w, 4);
    om_floats(m, "b", four, 1);
    om_floats(m, "a", slope, 3);
    om_floats(m, "fw", fc, 2);
    om_floats(m, "fb", three, 1);
    om_node(m, "Conv", "conv", (const char *const[]){"x", "w", "b", NULL}, "c");
    om_node(m, "PRelu", "prelu", (const char *const[]){"c", "a", NULL}, "p");
    om_node(m, "GlobalAveragePool", "pool", (const char *const[]){"p", NULL}, "g");
    om_node(m, "Flatten", "flat", (const char *const[]){"g", NULL}, "f");
    om_int(m, "transB", 1);
    om_node(m, "Gemm", "fc", (const char *const[]){"f", "fw", "fb", NULL}, "y");
    om_port(m, 12, "y", out, 2);
}

/** Read, with the error's text in *err; the file must outlive *out. */
static inline prelu_status om_read(prelu_model **out, const uint8_t *file, size_t len,
                                   prelu_err *err)
{
    mdl_map map = {file, len};
    memset(err, 0, sizeof *err);
    return mdl_model_read(out, &map, NULL, NULL, err);
}
#endif
