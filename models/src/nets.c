/* The networks as tables of layers. Padding that the paper does not print is ours: see
 * PRELU_ALTERNATE. */
#include "prelu/nets.h"
#include "gauss.h"
#include "model_private.h"
#include "prelu/mem.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum net_kind {
    NET_END,
    NET_CONV,
    NET_CONV_BN,
    NET_POOL,
    NET_SPP,
    NET_FLATTEN,
    NET_SCALE,
    NET_FC
} net_kind;

/* 2x2 convolutions keep a map's size only in pairs: pad 0 and pad 1 in turn, the first of a stage
 * without (224 -> 109 -> 36 -> 35,36,35,36 -> 18 -> 17,18,...). The paper does not say. */
#define PRELU_ALTERNATE (-1)

typedef struct net_row {
    const char *name;
    net_kind kind;
    int k, stride, pad;
    int width; /* filters or units; 0 = classes */
    int repeat;
    double std;     /* of an fc layer; 0 = the init rule of the convs */
    double dropout; /* after an fc layer's activation */
    int pool;       /* of a conv: max pooling between it and its BatchNorm, 0 = none */
    bool residual;  /* of a conv: its input is added to its activation */
    double factor;  /* NET_SCALE */
} net_row;

#define CONV(name, k, stride, pad, width, repeat)                                                  \
    {                                                                                              \
        name, NET_CONV, k, stride, pad, width, repeat, 0, 0, 0, false, 0                           \
    }
#define CONV_BN(name, width)                                                                       \
    {                                                                                              \
        name, NET_CONV_BN, 3, 1, 1, width, 1, 0, 0, 0, false, 0                                    \
    }
#define POOL(name, k)                                                                              \
    {                                                                                              \
        name, NET_POOL, k, k, 0, 0, 1, 0, 0, 0, false, 0                                           \
    }
#define SPP                                                                                        \
    {                                                                                              \
        "spp", NET_SPP, 0, 0, 0, 0, 1, 0, 0, 0, false, 0                                           \
    }
#define FLATTEN                                                                                    \
    {                                                                                              \
        "flatten", NET_FLATTEN, 0, 0, 0, 0, 1, 0, 0, 0, false, 0                                   \
    }
#define FC(name, width, std, dropout)                                                              \
    {                                                                                              \
        name, NET_FC, 0, 0, 0, width, 1, std, dropout, 0, false, 0                                 \
    }
/* Their input is only mean-subtracted, about [-128,128], hence the small std (He et al. 2015). */
#define PAPER_HEAD FC("fc1", 4096, 0.01, 0.5), FC("fc2", 4096, 0.01, 0.5), FC("fc3", 0, 0.001, 0)

/* Table 1. */
static const net_row small14_rows[] = {CONV("conv1", 7, 2, 0, 64, 1),
                                       POOL("pool1", 3),
                                       CONV("conv2", 2, 1, PRELU_ALTERNATE, 128, 4),
                                       POOL("pool2", 2),
                                       CONV("conv3", 2, 1, PRELU_ALTERNATE, 256, 6),
                                       SPP,
                                       PAPER_HEAD,
                                       {0}};
/* small14 and sixteen more 256-filter 2x2 convs: the paper does not say where. Here they follow the
 * six of the last stage, by the same padding rule, so the map before SPP is 18x18 as in small14. */
static const net_row deep30_rows[] = {CONV("conv1", 7, 2, 0, 64, 1),
                                      POOL("pool1", 3),
                                      CONV("conv2", 2, 1, PRELU_ALTERNATE, 128, 4),
                                      POOL("pool2", 2),
                                      CONV("conv3", 2, 1, PRELU_ALTERNATE, 256, 22),
                                      SPP,
                                      PAPER_HEAD,
                                      {0}};
/* Table 3. */
#define LARGE(c1, c2, c3, c4, depth)                                                               \
    {                                                                                              \
        CONV("conv1", 7, 2, 3, c1, 1), POOL("pool1", 2), CONV("conv2", 3, 1, 1, c2, depth),        \
            POOL("pool2", 2), CONV("conv3", 3, 1, 1, c3, depth), POOL("pool3", 2),                 \
            CONV("conv4", 3, 1, 1, c4, depth), SPP, PAPER_HEAD,                                    \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
static const net_row a_rows[] = LARGE(96, 256, 512, 512, 5);
static const net_row b_rows[] = LARGE(96, 256, 512, 512, 6);
static const net_row c_rows[] = LARGE(96, 384, 768, 896, 6);
static const net_row vgg19_rows[] = {CONV("conv1", 3, 1, 1, 64, 2),
                                     POOL("pool1", 2),
                                     CONV("conv2", 3, 1, 1, 128, 2),
                                     POOL("pool2", 2),
                                     CONV("conv3", 3, 1, 1, 256, 4),
                                     POOL("pool3", 2),
                                     CONV("conv4", 3, 1, 1, 512, 4),
                                     POOL("pool4", 2),
                                     CONV("conv5", 3, 1, 1, 512, 4),
                                     POOL("pool5", 2),
                                     FLATTEN,
                                     PAPER_HEAD,
                                     {0}};
/* Ours, for 32x32: 1.4 M parameters, 43 M multiply-accumulates. BatchNorm between conv and PReLU.
 * The fc layers' std keeps the variance of 4032 and 256 inputs (the backward rule would make the
 * first logits some tens). */
static const net_row cifar_rows[] = {
    CONV_BN("conv1_1", 32),    CONV_BN("conv1_2", 32),  POOL("pool1", 2),
    CONV_BN("conv2_1", 64),    CONV_BN("conv2_2", 64),  POOL("pool2", 2),
    CONV_BN("conv3_1", 128),   CONV_BN("conv3_2", 192), SPP,
    FC("fc1", 256, 0.02, 0.3), FC("fc2", 0, 0.05, 0),   {0}};

/* conv, pool, BatchNorm, PReLU halves the map; a residual conv follows. Pooling first quarters the
 * work of the layers behind it. */
#define STAGE(down, same, width)                                                                   \
    {down, NET_CONV_BN, 3, 1, 1, width, 1, 0, 0, 2, false, 0},                                     \
    {                                                                                              \
        same, NET_CONV_BN, 3, 1, 1, width, 1, 0, 0, 0, true, 0                                     \
    }
/* Ours, for 28x28 views of 32x32 pictures: 1.6 M parameters, 71 M multiply-accumulates. The factor
 * keeps the logits' rate of change in hand, whose inputs are maxima. */
static const net_row cifar_res_rows[] = {{"conv1", NET_CONV_BN, 3, 1, 0, 32, 1, 0, 0, 0, false, 0},
                                         STAGE("conv2_1", "conv2_2", 64),
                                         STAGE("conv3_1", "conv3_2", 192),
                                         STAGE("conv4_1", "conv4_2", 256),
                                         SPP,
                                         {"scale", NET_SCALE, 0, 0, 0, 0, 1, 0, 0, 0, false, 0.125},
                                         FC("fc", 0, 0, 0),
                                         {0}};

/* `n` residual convs behind one of stride 2. */
#define DOWN(down, same, width, n)                                                                 \
    {down, NET_CONV_BN, 3, 2, 1, width, 1, 0, 0, 0, false, 0},                                     \
    {                                                                                              \
        same, NET_CONV_BN, 3, 1, 1, width, n, 0, 0, 0, true, 0                                     \
    }
/* Ours, for photographs: 4.8 M parameters, 0.84 G multiply-accumulates at 224x224. */
static const net_row photo_res_rows[] = {{"conv1", NET_CONV_BN, 7, 2, 3, 48, 1, 0, 0, 0, false, 0},
                                         POOL("pool1", 2),
                                         {"conv2", NET_CONV_BN, 3, 1, 1, 48, 2, 0, 0, 0, true, 0},
                                         DOWN("down3", "conv3", 96, 3),
                                         DOWN("down4", "conv4", 192, 3),
                                         DOWN("down5", "conv5", 384, 2),
                                         SPP,
                                         {"scale", NET_SCALE, 0, 0, 0, 0, 1, 0, 0, 0, false, 0.125},
                                         FC("fc", 0, 0, 0),
                                         {0}};

typedef struct net_def {
    const char *name;
    const net_row *rows;
    int64_t levels[4];
    int n_levels;
    int resize, crop;
    int scales[3];
    float mean[3], std[3];
} net_def;

/* Channel means of ImageNet's training set; of CIFAR-10's, with its deviations. */
#define IMAGENET                                                                                   \
    256, 224, {256, 384, 480}, {123.68f, 116.779f, 103.939f}, { 1, 1, 1 }
#define CIFAR10                                                                                    \
    {125.307f, 122.950f, 113.865f}, { 62.993f, 62.089f, 66.705f }

static const net_def net_defs[] = {
    {"small14", small14_rows, {6, 3, 2, 1}, 4, IMAGENET},
    {"deep30", deep30_rows, {6, 3, 2, 1}, 4, IMAGENET},
    {"A", a_rows, {7, 3, 2, 1}, 4, IMAGENET},
    {"B", b_rows, {7, 3, 2, 1}, 4, IMAGENET},
    {"C", c_rows, {7, 3, 2, 1}, 4, IMAGENET},
    {"vgg19", vgg19_rows, {0}, 0, IMAGENET},
    {"cifar", cifar_rows, {4, 2, 1}, 3, 36, 32, {32, 40, 48}, CIFAR10},
    {"cifar-res", cifar_res_rows, {1}, 1, 32, 28, {28, 32, 36}, CIFAR10},
    {"photo-res",
     photo_res_rows,
     {2, 1},
     2,
     256,
     224,
     {224, 256, 288},
     {123.68f, 116.779f, 103.939f},
     {58.393f, 57.12f, 57.375f}},
};

const char *const *prelu_net_names(void)
{
    static const char *const names[] = {"small14", "deep30", "A",         "B",         "C",
                                        "vgg19",   "cifar",  "cifar-res", "photo-res", NULL};
    return names;
}

bool prelu_net_is_compact(const char *arch)
{
    return !strcmp(arch, "cifar") || strstr(arch, "-res");
}

/* A net under construction: `x` is the value that the next layer reads. */
typedef struct net_builder {
    const net_def *def;
    const prelu_net_options *options;
    prelu_graph *g;
    prelu_value x;
    int64_t channels, side; /* of x, at the crop's size; side 0 = x is (N,channels) */
    double slope;
    prelu_err *err;
} net_builder;

static int scaled_width(const net_builder *b, int width)
{
    double factor = b->options->width;
    long units = lround(width * factor / 8);
    if (factor == 1.0)
        return width;
    return units < 1 ? 8 : (int)units * 8;
}

static prelu_status add_node(net_builder *b, const char *op, const char *name,
                             const prelu_value *in, int n_in, const prelu_attr *attrs,
                             size_t n_attrs)
{
    return prelu_graph_add(b->g, op, name, in, n_in, attrs, n_attrs, NULL, &b->x, 1, b->err);
}

/* A constant `<layer>.<part>`: all elements `value`, or Gaussian with std > 0. */
static prelu_status add_constant(net_builder *b, const char *layer, const char *part,
                                 const prelu_shape *shape, prelu_role role, float value, double std,
                                 prelu_value *out)
{
    char name[96];
    size_t count, len;
    float *data;
    prelu_status st;
    snprintf(name, sizeof name, "%s.%s", layer, part);
    if (b->options->shapes_only)
        return prelu_graph_constant(b->g, name, PRELU_F32, shape, NULL, false, role, out, b->err);
    PRELU_TRY(prelu_shape_count(shape, &count, b->err));
    PRELU_TRY(prelu_mul(count, sizeof *data, &len, b->err));
    data = prelu_alloc(len);
    if (!data)
        return prelu_fail(b->err, PRELU_E_NOMEM, "%s: %zu bytes", name, len);
    if (std > 0)
        mdl_gauss_fill(data, count, std, b->options->seed, name);
    else
        for (size_t i = 0; i < count; i++)
            data[i] = value;
    st = prelu_graph_constant(b->g, name, PRELU_F32, shape, data, true, role, out, b->err);
    prelu_free(data);
    return st;
}

/* He et al. 2015, section 2.2: 1/2 (1 + a^2) n Var[w] = 1. fan_in = k^2 c, fan_out = k^2 d. */
static double init_std(const net_builder *b, double fan_in, double fan_out)
{
    double gain = 2 / (1 + b->slope * b->slope);
    switch (b->options->init) {
    case PRELU_INIT_HE_BACKWARD:
        return sqrt(gain / fan_out);
    case PRELU_INIT_HE_FORWARD:
        return sqrt(gain / fan_in);
    case PRELU_INIT_XAVIER:
        return sqrt(1 / fan_in);
    }
    return 0;
}

static prelu_status add_activation(net_builder *b, const char *layer)
{
    char name[96];
    prelu_value in[2] = {b->x, PRELU_NONE};
    bool shared = b->options->activation == PRELU_ACT_PRELU_SHARED;
    prelu_shape s = {b->side ? 3 : 1, {shared ? 1 : b->channels, 1, 1}};
    prelu_attr alpha = PRELU_FLOAT("alpha", (float)b->slope);
    switch (b->options->activation) {
    case PRELU_ACT_RELU:
        snprintf(name, sizeof name, "%s.relu", layer);
        return add_node(b, "Relu", name, in, 1, NULL, 0);
    case PRELU_ACT_LRELU:
        snprintf(name, sizeof name, "%s.lrelu", layer);
        return add_node(b, "LeakyRelu", name, in, 1, &alpha, 1);
    case PRELU_ACT_PRELU_SHARED:
    case PRELU_ACT_PRELU:
        break;
    }
    snprintf(name, sizeof name, "%s.prelu", layer);
    PRELU_TRY(add_constant(b, name, "slope", &s, PRELU_ROLE_SLOPE, (float)b->slope, 0, &in[1]));
    return add_node(b, "PRelu", name, in, 2, NULL, 0);
}

static prelu_status add_batch_norm(net_builder *b, const char *layer)
{
    static const char *const part[4] = {"gamma", "beta", "mean", "var"};
    char name[96];
    prelu_value in[5] = {b->x};
    prelu_shape s = {1, {b->channels}};
    prelu_attr attrs[2] = {PRELU_FLOAT("epsilon", 1e-5f), PRELU_FLOAT("momentum", 0.9f)};
    snprintf(name, sizeof name, "%s.bn", layer);
    for (int i = 0; i < 4; i++)
        PRELU_TRY(add_constant(b, name, part[i], &s,
                               i < 2 ? PRELU_ROLE_SCALE : PRELU_ROLE_STATISTIC,
                               i % 3 == 0 ? 1.0f : 0.0f, 0, &in[1 + i]));
    return add_node(b, "BatchNormalization", name, in, 5, attrs, 2);
}

static prelu_status add_pool(net_builder *b, const char *name, int k)
{
    int64_t kernel[2] = {k, k};
    prelu_attr attrs[2] = {PRELU_INTS("kernel_shape", kernel, 2), PRELU_INTS("strides", kernel, 2)};
    prelu_value in = b->x;
    b->side = (b->side - k) / k + 1;
    return add_node(b, "MaxPool", name, &in, 1, attrs, 2);
}

static prelu_status add_conv_pool(net_builder *b, const char *layer, int k)
{
    char name[96];
    snprintf(name, sizeof name, "%s.pool", layer);
    return add_pool(b, name, k);
}

static prelu_status add_shortcut(net_builder *b, const char *layer, prelu_value from)
{
    char name[96];
    const prelu_value in[2] = {b->x, from};
    snprintf(name, sizeof name, "%s.add", layer);
    return add_node(b, "Add", name, in, 2, NULL, 0);
}

static prelu_status add_conv(net_builder *b, const net_row *row, const char *name, int pad)
{
    int64_t k = row->k, d = scaled_width(b, row->width);
    int64_t kernel[2] = {k, k}, strides[2] = {row->stride, row->stride};
    int64_t pads[4] = {pad, pad, pad, pad};
    prelu_attr attrs[3] = {PRELU_INTS("kernel_shape", kernel, 2), PRELU_INTS("strides", strides, 2),
                           PRELU_INTS("pads", pads, 4)};
    prelu_shape weights = {4, {d, b->channels, k, k}}, bias = {1, {d}};
    prelu_value in[3] = {b->x, PRELU_NONE, PRELU_NONE};
    double std = init_std(b, (double)(k * k * b->channels), (double)(k * k * d));
    bool bn = row->kind == NET_CONV_BN; /* its beta makes a bias of the conv idle */
    PRELU_TRY(add_constant(b, name, "w", &weights, PRELU_ROLE_WEIGHT, 0, std, &in[1]));
    if (!bn)
        PRELU_TRY(add_constant(b, name, "b", &bias, PRELU_ROLE_BIAS, 0, 0, &in[2]));
    PRELU_TRY(add_node(b, "Conv", name, in, bn ? 2 : 3, attrs, 3));
    b->channels = d;
    b->side = (b->side + 2 * pad - k) / row->stride + 1;
    if (row->pool)
        PRELU_TRY(add_conv_pool(b, name, row->pool));
    if (bn)
        PRELU_TRY(add_batch_norm(b, name));
    PRELU_TRY(add_activation(b, name));
    return row->residual ? add_shortcut(b, name, in[0]) : PRELU_OK;
}

static prelu_status add_convs(net_builder *b, const net_row *row)
{
    for (int i = 0; i < row->repeat; i++) {
        char name[64];
        int pad = row->pad == PRELU_ALTERNATE ? i % 2 : row->pad;
        if (row->repeat == 1)
            snprintf(name, sizeof name, "%s", row->name);
        else
            snprintf(name, sizeof name, "%s_%d", row->name, i + 1);
        PRELU_TRY(add_conv(b, row, name, pad));
    }
    return PRELU_OK;
}

static prelu_status add_spp(net_builder *b, const net_row *row)
{
    prelu_attr levels = PRELU_INTS("levels", b->def->levels, (size_t)b->def->n_levels);
    prelu_value in = b->x;
    int64_t bins = 0;
    for (int i = 0; i < b->def->n_levels; i++)
        bins += b->def->levels[i] * b->def->levels[i];
    b->channels *= bins;
    b->side = 0;
    return add_node(b, "SPP", row->name, &in, 1, &levels, 1);
}

static prelu_status add_flatten(net_builder *b, const net_row *row)
{
    prelu_attr axis = PRELU_INT("axis", 1);
    prelu_value in = b->x;
    b->channels *= b->side * b->side;
    b->side = 0;
    return add_node(b, "Flatten", row->name, &in, 1, &axis, 1);
}

static prelu_status add_scale(net_builder *b, const net_row *row)
{
    prelu_value in[2] = {b->x, PRELU_NONE};
    const prelu_shape one = {1, {1}};
    PRELU_TRY(
        add_constant(b, row->name, "factor", &one, PRELU_ROLE_NONE, (float)row->factor, 0, &in[1]));
    return add_node(b, "Mul", row->name, in, 2, NULL, 0);
}

/* Layers without a std of their own see inputs of about unit variance, so fan-in counts: backward
 * form would make fc1's outputs, and the logits, several times too wide. */
static double fc_std(const net_builder *b, const net_row *row)
{
    bool plain = !row->width || b->options->init == PRELU_INIT_XAVIER;
    double gain = plain ? 1 : 2 / (1 + b->slope * b->slope);
    return row->std > 0 ? row->std : sqrt(gain / (double)b->channels);
}

static prelu_status add_fc(net_builder *b, const net_row *row)
{
    char name[64];
    int64_t units = row->width ? scaled_width(b, row->width) : b->options->classes;
    prelu_attr trans = PRELU_INT("transB", 1), ratio;
    prelu_shape weights = {2, {units, b->channels}}, bias = {1, {units}};
    prelu_value in[3] = {b->x, PRELU_NONE, PRELU_NONE};
    const char *logits = "logits";
    const double dropout = b->options->dropout_set ? b->options->dropout : row->dropout;
    double std = fc_std(b, row);
    PRELU_TRY(add_constant(b, row->name, "w", &weights, PRELU_ROLE_WEIGHT, 0, std, &in[1]));
    PRELU_TRY(add_constant(b, row->name, "b", &bias, PRELU_ROLE_BIAS, 0, 0, &in[2]));
    b->channels = units;
    PRELU_TRY(prelu_graph_add(b->g, "Gemm", row->name, in, 3, &trans, 1,
                              row->width ? NULL : &logits, &b->x, 1, b->err));
    if (!row->width)
        return PRELU_OK;
    PRELU_TRY(add_activation(b, row->name));
    if (row->dropout <= 0 || dropout <= 0)
        return PRELU_OK;
    ratio = PRELU_FLOAT("ratio", (float)dropout);
    in[0] = b->x;
    snprintf(name, sizeof name, "%s.dropout", row->name);
    return add_node(b, "Dropout", name, in, 1, &ratio, 1);
}

static prelu_status add_row(net_builder *b, const net_row *row)
{
    switch (row->kind) {
    case NET_END:
        break;
    case NET_CONV:
    case NET_CONV_BN:
        return add_convs(b, row);
    case NET_POOL:
        return add_pool(b, row->name, row->k);
    case NET_SPP:
        return add_spp(b, row);
    case NET_FLATTEN:
        return add_flatten(b, row);
    case NET_SCALE:
        return add_scale(b, row);
    case NET_FC:
        return add_fc(b, row);
    }
    return PRELU_OK;
}

/* The input and (x - mean) / std. A fixed flatten fixes the picture's size; SPP leaves it free. */
static prelu_status add_input(net_builder *b)
{
    const float *mean = b->options->mean ? b->options->mean : b->def->mean;
    const float *std = b->options->std ? b->options->std : b->def->std;
    int64_t size = b->def->n_levels ? -1 : b->def->crop;
    prelu_shape s = {4, {-1, 3, size, size}}, per_channel = {4, {1, 3, 1, 1}};
    prelu_value in[2];
    b->side = b->def->crop;
    b->channels = 3;
    PRELU_TRY(prelu_graph_input(b->g, "data", PRELU_F32, &s, &in[0], b->err));
    PRELU_TRY(prelu_graph_constant(b->g, "preprocess.mean", PRELU_F32, &per_channel, mean, true,
                                   PRELU_ROLE_NONE, &in[1], b->err));
    PRELU_TRY(add_node(b, "Sub", "preprocess.sub", in, 2, NULL, 0));
    if (std[0] == 1 && std[1] == 1 && std[2] == 1)
        return PRELU_OK;
    in[0] = b->x;
    PRELU_TRY(prelu_graph_constant(b->g, "preprocess.std", PRELU_F32, &per_channel, std, true,
                                   PRELU_ROLE_NONE, &in[1], b->err));
    return add_node(b, "Div", "preprocess.div", in, 2, NULL, 0);
}

static prelu_status build_graph(net_builder *b)
{
    prelu_attr axis = PRELU_INT("axis", 1);
    const char *prob = "prob";
    prelu_value logits;
    PRELU_TRY(add_input(b));
    for (const net_row *row = b->def->rows; row->kind != NET_END; row++)
        PRELU_TRY(add_row(b, row));
    logits = b->x;
    PRELU_TRY(
        prelu_graph_add(b->g, "Softmax", "prob", &logits, 1, &axis, 1, &prob, &b->x, 1, b->err));
    PRELU_TRY(prelu_graph_output(b->g, logits, b->err));
    return prelu_graph_output(b->g, b->x, b->err);
}

static prelu_status check_options(const net_def **def, prelu_net_options *o, prelu_err *err)
{
    *def = NULL;
    for (size_t i = 0; i < sizeof net_defs / sizeof *net_defs; i++)
        if (o->arch && !strcmp(o->arch, net_defs[i].name))
            *def = &net_defs[i];
    if (!*def)
        return prelu_fail(
            err, PRELU_E_ARG,
            "unknown architecture '%.40s' (small14 deep30 A B C vgg19 cifar cifar-res "
            "photo-res)",
            o->arch ? o->arch : "");
    if (!o->classes)
        o->classes = prelu_net_is_compact(o->arch) ? 10 : 1000;
    if (o->classes < 2 || o->classes > 100000)
        return prelu_fail(err, PRELU_E_ARG, "%d classes, not 2..100000", o->classes);
    if (o->width == 0)
        o->width = 1;
    if (!(o->width >= 0.01 && o->width <= 4))
        return prelu_fail(err, PRELU_E_ARG, "width factor %g, not 0.01..4", o->width);
    if (o->slope_set && !isfinite(o->slope))
        return prelu_fail(err, PRELU_E_ARG, "slope %g is not finite", (double)o->slope);
    for (int i = 0; o->std && i < 3; i++)
        if (!(o->std[i] > 0))
            return prelu_fail(err, PRELU_E_ARG, "std %g, not above 0", (double)o->std[i]);
    return PRELU_OK;
}

static void set_geometry(prelu_preprocess *p, const net_def *def)
{
    p->resize = def->resize;
    p->crop = def->crop;
    p->n_scales = 3;
    for (int i = 0; i < 3; i++)
        p->scales[i] = def->scales[i];
}

prelu_status prelu_net_build(prelu_model **out, const prelu_net_options *options, prelu_err *err)
{
    prelu_net_options o = *options;
    net_builder b = {.options = &o, .err = err};
    prelu_model *m = NULL;
    prelu_status st;
    PRELU_TRY(check_options(&b.def, &o, err));
    b.slope = o.activation == PRELU_ACT_RELU ? 0 : o.slope_set ? (double)o.slope : 0.25;
    PRELU_TRY(prelu_graph_create(&b.g, err));
    st = build_graph(&b);
    if (st)
        goto out;
    st = prelu_model_take(&m, b.g, o.classes, err);
    if (st)
        goto out;
    b.g = NULL;
    set_geometry(&m->preprocess, b.def);
    st = mdl_text_set(&m->arch, b.def->name, err);
out:
    prelu_graph_destroy(&b.g);
    if (st)
        prelu_model_destroy(&m);
    else
        *out = m;
    return st;
}
