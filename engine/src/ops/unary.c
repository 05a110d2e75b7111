#include "ops/util.h"
#include <math.h>
#include <string.h>

/* Functions of one element, and their gradients. NaN passes through all of them. */

static void relu_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_piece s = op_piece_of(x, task);
    (void)phase, (void)scratch;
    for (size_t i = 0; i < s.n; i++)
        s.y[i] = s.a[i] < 0.0f ? 0.0f : s.a[i];
}

/* dx = dy where y > 0: the result alone tells where x was positive, so x need not be kept. */
static void relu_grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_piece s = op_piece_of(x, task);
    (void)phase, (void)scratch;
    OP_IVDEP
    for (size_t i = 0; i < s.n; i++) {
        const float d = s.a[i];
        s.y[i] = s.b[i] > 0.0f ? d : 0.0f;
    }
}

static prelu_status relu_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_value in[2] = {c->dout[0], c->g->nodes[c->node].out[0]};
    return op_grad_one(c, 0, "ReluGrad", "dx", in, 2, NULL, 0, err);
}

const op_def op_relu = {.name = "Relu",
                        .min_in = 1,
                        .max_in = 1,
                        .min_out = 1,
                        .max_out = 1,
                        .in_place = true,
                        .shape = op_shape_like_first,
                        .prepare = op_prepare_elementwise,
                        .run = relu_run,
                        .grad = relu_grad};

const op_def op_relu_grad = {.name = "ReluGrad",
                             .min_in = 2,
                             .max_in = 2,
                             .min_out = 1,
                             .max_out = 1,
                             .in_place = true,
                             .shape = op_shape_like_both,
                             .prepare = op_prepare_elementwise,
                             .run = relu_grad_run};

static void leaky_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_piece s = op_piece_of(x, task);
    const float alpha = prelu_node_float(x->op->node, "alpha", 0.01f);
    (void)phase, (void)scratch;
    for (size_t i = 0; i < s.n; i++)
        s.y[i] = s.a[i] > 0.0f ? s.a[i] : alpha * s.a[i];
}

static void leaky_grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_piece s = op_piece_of(x, task);
    const float alpha = prelu_node_float(x->op->node, "alpha", 0.01f);
    (void)phase, (void)scratch;
    for (size_t i = 0; i < s.n; i++)
        s.y[i] = s.b[i] > 0.0f ? s.a[i] : alpha * s.a[i];
}

static prelu_status leaky_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_node *n = &c->g->nodes[c->node];
    const prelu_attr alpha = PRELU_FLOAT("alpha", prelu_node_float(n, "alpha", 0.01f));
    const prelu_value in[2] = {c->dout[0], n->in[0]};
    return op_grad_one(c, 0, "LeakyReluGrad", "dx", in, 2, &alpha, 1, err);
}

const op_def op_leaky_relu = {.name = "LeakyRelu",
                              .min_in = 1,
                              .max_in = 1,
                              .min_out = 1,
                              .max_out = 1,
                              .in_place = true,
                              .shape = op_shape_like_first,
                              .prepare = op_prepare_elementwise,
                              .run = leaky_run,
                              .grad = leaky_grad};

const op_def op_leaky_relu_grad = {.name = "LeakyReluGrad",
                                   .min_in = 2,
                                   .max_in = 2,
                                   .min_out = 1,
                                   .max_out = 1,
                                   .in_place = true,
                                   .shape = op_shape_like_both,
                                   .prepare = op_prepare_elementwise,
                                   .run = leaky_grad_run};

static void identity_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_piece s = op_piece_of(x, task);
    (void)phase, (void)scratch;
    if (s.y != s.a)
        memcpy(s.y, s.a, s.n * sizeof *s.y);
}

static prelu_status identity_grad(op_grad_ctx *c, prelu_err *err)
{
    (void)err;
    c->din[0] = c->dout[0];
    return PRELU_OK;
}

const op_def op_identity = {.name = "Identity",
                            .min_in = 1,
                            .max_in = 1,
                            .min_out = 1,
                            .max_out = 1,
                            .in_place = true,
                            .shape = op_shape_like_first,
                            .prepare = op_prepare_elementwise,
                            .run = identity_run,
                            .grad = identity_grad};

static void sigmoid_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_piece s = op_piece_of(x, task);
    (void)phase, (void)scratch;
    for (size_t i = 0; i < s.n; i++)
        s.y[i] = 1.0f / (1.0f + expf(-s.a[i]));
}

/* dx = dy y (1 - y) */
static void sigmoid_grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_piece s = op_piece_of(x, task);
    (void)phase, (void)scratch;
    for (size_t i = 0; i < s.n; i++)
        s.y[i] = s.a[i] * s.b[i] * (1.0f - s.b[i]);
}

static prelu_status sigmoid_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_value in[2] = {c->dout[0], c->g->nodes[c->node].out[0]};
    return op_grad_one(c, 0, "SigmoidGrad", "dx", in, 2, NULL, 0, err);
}

const op_def op_sigmoid = {.name = "Sigmoid",
                           .min_in = 1,
                           .max_in = 1,
                           .min_out = 1,
                           .max_out = 1,
                           .in_place = true,
                           .shape = op_shape_like_first,
                           .prepare = op_prepare_elementwise,
                           .run = sigmoid_run,
                           .grad = sigmoid_grad};

const op_def op_sigmoid_grad = {.name = "SigmoidGrad",
                                .min_in = 2,
                                .max_in = 2,
                                .min_out = 1,
                                .max_out = 1,
                                .in_place = true,
                                .shape = op_shape_like_both,
                                .prepare = op_prepare_elementwise,
                                .run = sigmoid_grad_run};

static float clamp(float v, float lo, float hi)
{
    const float low = v < lo ? lo : v;
    return low > hi ? hi : low;
}

static void clip_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_piece s = op_piece_of(x, task);
    const float lo = prelu_node_float(x->op->node, "min", -INFINITY);
    const float hi = prelu_node_float(x->op->node, "max", INFINITY);
    (void)phase, (void)scratch;
    for (size_t i = 0; i < s.n; i++)
        s.y[i] = clamp(s.a[i], lo, hi);
}

const op_def op_clip = {.name = "Clip",
                        .min_in = 1,
                        .max_in = 1,
                        .min_out = 1,
                        .max_out = 1,
                        .in_place = true,
                        .shape = op_shape_like_first,
                        .prepare = op_prepare_elementwise,
                        .run = clip_run};

static void hard_sigmoid_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_piece s = op_piece_of(x, task);
    const float alpha = prelu_node_float(x->op->node, "alpha", 0.2f);
    const float beta = prelu_node_float(x->op->node, "beta", 0.5f);
    (void)phase, (void)scratch;
    for (size_t i = 0; i < s.n; i++)
        s.y[i] = clamp(alpha * s.a[i] + beta, 0.0f, 1.0f);
}

const op_def op_hard_sigmoid = {.name = "HardSigmoid",
                                .min_in = 1,
                                .max_in = 1,
                                .min_out = 1,
                                .max_out = 1,
                                .in_place = true,
                                .shape = op_shape_like_first,
                                .prepare = op_prepare_elementwise,
                                .run = hard_sigmoid_run};

static void hard_swish_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_piece s = op_piece_of(x, task);
    (void)phase, (void)scratch;
    for (size_t i = 0; i < s.n; i++)
        s.y[i] = s.a[i] * clamp(s.a[i] * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f);
}

const op_def op_hard_swish = {.name = "HardSwish",
                              .min_in = 1,
                              .max_in = 1,
                              .min_out = 1,
                              .max_out = 1,
                              .in_place = true,
                              .shape = op_shape_like_first,
                              .prepare = op_prepare_elementwise,
                              .run = hard_swish_run};
