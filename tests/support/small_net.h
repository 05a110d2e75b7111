#ifndef PRELU_TEST_SMALL_NET_H
#define PRELU_TEST_SMALL_NET_H
/* A small classifier with every kind of layer the paper's nets have, weights from a seed:
 * data (N,3,H,W) - mean, conv 3x3 + PReLU, conv 2x2 stride 1 + BatchNorm + PReLU, max-pool,
 * conv 3x3 stride 2 + ReLU, SPP {3,2,1}, Dropout, fc + PReLU, fc, softmax. Outputs prob, logits. */
#include "check.h"
#include "prelu/graph.h"
#include "prelu/image.h"

enum { SMALL_CLASSES = 7, SMALL_C1 = 12, SMALL_C2 = 33, SMALL_C3 = 20, SMALL_FC = 40 };

static inline prelu_value small_random(prelu_graph *g, const char *name, prelu_shape shape,
                                       float lo, float hi, prelu_role role, uint64_t *seed)
{
    size_t n;
    prelu_value v;
    prelu_err err = {0};
    check_ok(prelu_shape_count(&shape, &n, &err), &err);
    float *data = malloc(n * sizeof *data);
    for (size_t i = 0; i < n; i++)
        data[i] = check_random_float(seed, lo, hi);
    check_ok(prelu_graph_constant(g, name, PRELU_F32, &shape, data, true, role, &v, &err), &err);
    free(data);
    return v;
}

static inline prelu_value small_node(prelu_graph *g, const char *op, const char *name,
                                     const prelu_value *in, int n_in, const prelu_attr *attrs,
                                     size_t n_attrs)
{
    prelu_value out;
    prelu_err err = {0};
    check_ok(prelu_graph_add(g, op, name, in, n_in, attrs, n_attrs, NULL, &out, 1, &err), &err);
    return out;
}

static inline prelu_graph *small_net(uint64_t seed)
{
    prelu_graph *g;
    prelu_err err = {0};
    prelu_value x;
    const int64_t same[4] = {1, 1, 1, 1}, two[2] = {2, 2}, levels[3] = {3, 2, 1};
    const prelu_attr pad1 = PRELU_INTS("pads", same, 4), stride2 = PRELU_INTS("strides", two, 2);
    const prelu_role w = PRELU_ROLE_WEIGHT, b = PRELU_ROLE_BIAS, a = PRELU_ROLE_SLOPE;
    check_ok(prelu_graph_create(&g, &err), &err);
    check_ok(prelu_graph_input(g, "data", PRELU_F32, &(prelu_shape){4, {-1, 3, -1, -1}}, &x, &err),
             &err);
#define R(name, lo, hi, role, ...)                                                                 \
    small_random(g, name, (prelu_shape)__VA_ARGS__, lo, hi, role, &seed)
#define N(op, name, n_in, ...) small_node(g, op, name, (prelu_value[])__VA_ARGS__, n_in, NULL, 0)
    x = N("Sub", "mean", 2, {x, R("mean.c", 100, 130, PRELU_ROLE_NONE, {4, {1, 3, 1, 1}})});
    x = small_node(g, "Conv", "conv1",
                   (prelu_value[]){x, R("c1.w", -.02f, .02f, w, {4, {SMALL_C1, 3, 3, 3}}),
                                   R("c1.b", -.1f, .1f, b, {1, {SMALL_C1}})},
                   3, &pad1, 1);
    x = N("PRelu", "act1", 2, {x, R("c1.a", -.5f, 1.5f, a, {3, {SMALL_C1, 1, 1}})});
    x = N("Conv", "conv2", 2, {x, R("c2.w", -.2f, .2f, w, {4, {SMALL_C2, SMALL_C1, 2, 2}})});
    x = N("BatchNormalization", "bn2", 5,
          {x, R("bn.s", .5f, 1.5f, PRELU_ROLE_SCALE, {1, {SMALL_C2}}),
           R("bn.b", -.5f, .5f, PRELU_ROLE_SCALE, {1, {SMALL_C2}}),
           R("bn.m", -.5f, .5f, PRELU_ROLE_STATISTIC, {1, {SMALL_C2}}),
           R("bn.v", .5f, 2.f, PRELU_ROLE_STATISTIC, {1, {SMALL_C2}})});
    x = N("PRelu", "act2", 2, {x, R("c2.a", 0, .5f, a, {1, {1}})});
    {
        const prelu_attr attrs[] = {PRELU_INTS("kernel_shape", two, 2), stride2};
        x = small_node(g, "MaxPool", "pool", &x, 1, attrs, 2);
    }
    {
        const prelu_attr attrs[] = {pad1, stride2};
        x = small_node(g, "Conv", "conv3",
                       (prelu_value[]){x, R("c3.w", -.1f, .1f, w, {4, {SMALL_C3, SMALL_C2, 3, 3}})},
                       2, attrs, 2);
    }
    x = N("Relu", "act3", 1, {x});
    {
        const prelu_attr attr = PRELU_INTS("levels", levels, 3);
        x = small_node(g, "SPP", "spp", &x, 1, &attr, 1);
    }
    x = N("Dropout", "drop", 1, {x});
    {
        const prelu_attr tb = PRELU_INT("transB", 1);
        x = small_node(g, "Gemm", "fc1",
                       (prelu_value[]){x, R("f1.w", -.1f, .1f, w, {2, {SMALL_FC, SMALL_C3 * 14}}),
                                       R("f1.b", -.1f, .1f, b, {1, {SMALL_FC}})},
                       3, &tb, 1);
        x = N("PRelu", "act4", 2, {x, R("f1.a", 0, .5f, a, {1, {SMALL_FC}})});
        x = small_node(g, "Gemm", "fc2",
                       (prelu_value[]){x, R("f2.w", -.5f, .5f, w, {2, {SMALL_CLASSES, SMALL_FC}}),
                                       R("f2.b", -.1f, .1f, b, {1, {SMALL_CLASSES}})},
                       3, &tb, 1);
    }
    check_ok(prelu_graph_rename(g, x, "logits", &err), &err);
    const prelu_value prob = N("Softmax", "prob", 1, {x});
    check_ok(prelu_graph_output(g, prob, &err), &err);
    check_ok(prelu_graph_output(g, x, &err), &err);
#undef R
#undef N
    return g;
}

/* n views of h x w random pixels in one block; free() the block. */
static inline uint8_t *small_views(prelu_view *views, size_t n, int h, int w, uint64_t seed)
{
    const size_t len = (size_t)h * (size_t)w * 3;
    uint8_t *px = malloc(n * len);
    for (size_t i = 0; i < n * len; i++)
        px[i] = (uint8_t)check_random(&seed);
    for (size_t i = 0; i < n; i++)
        views[i] = (prelu_view){.data = px + i * len,
                                .stride = (size_t)w * 3,
                                .width = w,
                                .height = h,
                                .mirror = i % 3 == 1};
    return px;
}
#endif
