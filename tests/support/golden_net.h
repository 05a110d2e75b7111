#ifndef PRELU_TEST_GOLDEN_NET_H
#define PRELU_TEST_GOLDEN_NET_H
/* The small network of golden/regenerate_training.py, and the reader of its files. */
#include "check.h"
#include "prelu/train.h"

enum { NET_SIDE = 12, NET_BATCH = 8, NET_BATCHES = 3, NET_STEPS = 10, NET_CLASSES = 4 };
#define NET_LR 0.02f
#define NET_OPTIONS                                                                                \
    {                                                                                              \
        .height = NET_SIDE, .width = NET_SIDE, .momentum = 0.9f, .weight_decay = 0.01f,            \
        .label_smoothing = 0.1f, .seed = 1                                                         \
    }

typedef struct golden_tensor {
    char name[64];
    prelu_shape shape;
    size_t count;
    const void *data; /* unaligned */
} golden_tensor;

typedef struct golden_file {
    char *text;
    golden_tensor tensors[64];
    int n;
} golden_file;

static inline golden_file golden_open(const char *path)
{
    golden_file f = {0};
    size_t len, at = 0;
    f.text = check_read_file(path, &len);
    while (at < len) {
        golden_tensor *t = &f.tensors[f.n++];
        char kind, *line = f.text + at, *end = memchr(line, '\n', len - at), *dims;
        int used = 0;
        assert_non_null(end);
        *end = 0;
        assert_int_equal(sscanf(line, "%63s %c%n", t->name, &kind, &used), 2);
        t->count = 1;
        for (dims = line + used; *dims; t->shape.rank++) {
            t->shape.dim[t->shape.rank] = strtol(dims, &dims, 10);
            t->count *= (size_t)t->shape.dim[t->shape.rank];
        }
        t->data = end + 1;
        at = (size_t)(end + 1 - f.text) + t->count * (kind == 'b' ? 1 : 4);
    }
    assert_int_equal(at, len);
    return f;
}

static inline const golden_tensor *golden_find(const golden_file *f, const char *prefix,
                                               const char *name)
{
    char whole[128];
    snprintf(whole, sizeof whole, "%s%s", prefix, name);
    for (int i = 0; i < f->n; i++)
        if (!strcmp(f->tensors[i].name, whole))
            return &f->tensors[i];
    fail_msg("no tensor %s", whole);
    return NULL;
}

static inline float golden_at(const golden_tensor *t, size_t i)
{
    float v;
    memcpy(&v, (const char *)t->data + 4 * i, 4);
    return v;
}

static inline prelu_value net_param(prelu_graph *g, const golden_file *f, const char *name,
                                    prelu_role role)
{
    prelu_err err = {0};
    prelu_value v;
    const golden_tensor *t = golden_find(f, "first.", name);
    prelu_shape shape = t->shape;
    if (!strcmp(name, "act1.weight")) /* on (n,c,h,w) a slope per channel is (c,1,1) */
        shape = (prelu_shape){3, {t->shape.dim[0], 1, 1}};
    check_ok(prelu_graph_constant(g, name, PRELU_F32, &shape, t->data, true, role, &v, &err), &err);
    return v;
}

static inline prelu_value net_fixed(prelu_graph *g, const char *name, const prelu_shape *shape,
                                    const float *data, prelu_role role)
{
    prelu_err err = {0};
    prelu_value v;
    check_ok(prelu_graph_constant(g, name, PRELU_F32, shape, data, true, role, &v, &err), &err);
    return v;
}

static inline prelu_value net_node(prelu_graph *g, const char *op, const char *name,
                                   const prelu_value *in, int n_in, const prelu_attr *attrs,
                                   size_t n_attrs)
{
    prelu_err err = {0};
    prelu_value out;
    check_ok(prelu_graph_add(g, op, name, in, n_in, attrs, n_attrs, NULL, &out, 1, &err), &err);
    return out;
}

static inline prelu_value net_norm(prelu_graph *g, const golden_file *f, prelu_value x)
{
    static const float zero[8] = {0}, one[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    const prelu_shape c = {1, {8}};
    prelu_value in[5] = {x, net_param(g, f, "bn1.weight", PRELU_ROLE_SCALE),
                         net_param(g, f, "bn1.bias", PRELU_ROLE_SCALE),
                         net_fixed(g, "bn1.mean", &c, zero, PRELU_ROLE_STATISTIC),
                         net_fixed(g, "bn1.var", &c, one, PRELU_ROLE_STATISTIC)};
    prelu_attr epsilon = PRELU_FLOAT("epsilon", 1e-5f);
    return net_node(g, "BatchNormalization", "bn1", in, 5, &epsilon, 1);
}

static inline prelu_value net_conv(prelu_graph *g, const golden_file *f, const char *name,
                                   prelu_value x)
{
    static const int64_t pads[4] = {1, 1, 1, 1};
    char weight[32], bias[32];
    prelu_attr attr = PRELU_INTS("pads", pads, 4);
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    prelu_value in[3] = {x, net_param(g, f, weight, PRELU_ROLE_WEIGHT),
                         net_param(g, f, bias, PRELU_ROLE_BIAS)};
    return net_node(g, "Conv", name, in, 3, &attr, 1);
}

static inline prelu_value net_act(prelu_graph *g, const golden_file *f, const char *name,
                                  prelu_value x)
{
    char weight[32];
    snprintf(weight, sizeof weight, "%s.weight", name);
    prelu_value in[2] = {x, net_param(g, f, weight, PRELU_ROLE_SLOPE)};
    return net_node(g, "PRelu", name, in, 2, NULL, 0);
}

static inline prelu_value net_fc(prelu_graph *g, const golden_file *f, const char *name,
                                 prelu_value x)
{
    char weight[32], bias[32];
    prelu_attr attr = PRELU_INT("transB", 1);
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    prelu_value in[3] = {x, net_param(g, f, weight, PRELU_ROLE_WEIGHT),
                         net_param(g, f, bias, PRELU_ROLE_BIAS)};
    return net_node(g, "Gemm", name, in, 3, &attr, 1);
}

/** @return the graph; *logits is its output. `dropout` adds one before fc2. */
static inline prelu_graph *net_build(const golden_file *f, bool norm, bool dropout,
                                     prelu_value *logits)
{
    static const float mean[3] = {120, 110, 100}, std[3] = {60, 61, 62};
    static const int64_t two[2] = {2, 2}, levels[2] = {2, 1};
    const prelu_shape picture = {4, {-1, 3, -1, -1}}, channels = {4, {1, 3, 1, 1}};
    prelu_err err = {0};
    prelu_graph *g = NULL;
    prelu_value x, in[2];
    prelu_attr pool[2] = {PRELU_INTS("kernel_shape", two, 2), PRELU_INTS("strides", two, 2)};
    prelu_attr spp = PRELU_INTS("levels", levels, 2), ratio = PRELU_FLOAT("ratio", 0.5f);
    check_ok(prelu_graph_create(&g, &err), &err);
    check_ok(prelu_graph_input(g, "data", PRELU_F32, &picture, &x, &err), &err);
    in[0] = x;
    in[1] = net_fixed(g, "mean", &channels, mean, PRELU_ROLE_NONE);
    in[0] = net_node(g, "Sub", "center", in, 2, NULL, 0);
    in[1] = net_fixed(g, "std", &channels, std, PRELU_ROLE_NONE);
    x = net_node(g, "Div", "scale", in, 2, NULL, 0);
    x = net_conv(g, f, "conv1", x);
    if (norm)
        x = net_norm(g, f, x);
    x = net_act(g, f, "act1", x);
    x = net_node(g, "MaxPool", "pool1", &x, 1, pool, 2);
    x = net_conv(g, f, "conv2", x);
    x = net_act(g, f, "act2", x);
    x = net_node(g, "SPP", "spp", &x, 1, &spp, 1);
    x = net_fc(g, f, "fc1", x);
    x = net_act(g, f, "act3", x);
    if (dropout)
        x = net_node(g, "Dropout", "drop", &x, 1, &ratio, 1);
    *logits = net_fc(g, f, "fc2", x);
    x = net_node(g, "Softmax", "prob", logits, 1, NULL, 0);
    check_ok(prelu_graph_output(g, *logits, &err), &err);
    check_ok(prelu_graph_output(g, x, &err), &err);
    return g;
}

/** The batch of a step: views into the file's pictures. */
static inline void net_batch(const golden_file *f, int step, prelu_view *views, int32_t *labels)
{
    const uint8_t *images = golden_find(f, "", "images")->data;
    const uint8_t *classes = golden_find(f, "", "labels")->data;
    for (int i = 0; i < NET_BATCH; i++) {
        int k = step % NET_BATCHES * NET_BATCH + i;
        views[i] = (prelu_view){images + (size_t)k * NET_SIDE * NET_SIDE * 3, 3 * NET_SIDE,
                                NET_SIDE, NET_SIDE, false};
        labels[i] = classes[k];
    }
}

static inline prelu_status net_step(prelu_trainer *t, const golden_file *f, int step,
                                    prelu_step_result *r, prelu_err *err)
{
    prelu_view views[NET_BATCH];
    int32_t labels[NET_BATCH];
    net_batch(f, step, views, labels);
    return prelu_trainer_step(t, views, labels, NET_BATCH, NET_LR, r, err);
}
#endif
