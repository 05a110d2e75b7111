#include "ops/util.h"
#include <math.h>
#include <string.h>

/* Functions of one element, and their gradients. NaN passes through all of them.
 *
 * MAP is a run function that makes each y from v = x, after `setup` (attributes); SLOPE the same of
 * a gradient, from d = dy and v, which is x or, where that is enough, y: then x need not be kept.
 */

#define MAP(name, setup, expression)                                                               \
    static void name(const op_exec *x, int phase, size_t task, void *scratch)                      \
    {                                                                                              \
        const op_piece s = op_piece_of(x, task);                                                   \
        setup;                                                                                     \
        (void)phase, (void)scratch;                                                                \
        for (size_t i = 0; i < s.n; i++) {                                                         \
            const float v = s.a[i];                                                                \
            s.y[i] = expression;                                                                   \
        }                                                                                          \
    }

/* Both operands are loaded before a choice is made, so that the loop has no branch. In place, y[i]
 * is dy[i] itself, never a neighbour. */
#define SLOPE(name, setup, expression)                                                             \
    static void name(const op_exec *x, int phase, size_t task, void *scratch)                      \
    {                                                                                              \
        const op_piece s = op_piece_of(x, task);                                                   \
        setup;                                                                                     \
        (void)phase, (void)scratch;                                                                \
        OP_IVDEP                                                                                   \
        for (size_t i = 0; i < s.n; i++) {                                                         \
            const float d = s.a[i], v = s.b[i];                                                    \
            s.y[i] = expression;                                                                   \
        }                                                                                          \
    }

#define UNARY(symbol, onnx, run_, grad_)                                                           \
    const op_def symbol = {.name = onnx,                                                           \
                           .min_in = 1,                                                            \
                           .max_in = 1,                                                            \
                           .min_out = 1,                                                           \
                           .max_out = 1,                                                           \
                           .in_place = true,                                                       \
                           .shape = op_shape_like_first,                                           \
                           .prepare = op_prepare_elementwise,                                      \
                           .run = run_,                                                            \
                           .grad = grad_};

#define UNARY_GRAD(symbol, onnx, run_)                                                             \
    const op_def symbol = {.name = onnx,                                                           \
                           .min_in = 2,                                                            \
                           .max_in = 2,                                                            \
                           .min_out = 1,                                                           \
                           .max_out = 1,                                                           \
                           .in_place = true,                                                       \
                           .shape = op_shape_like_both,                                            \
                           .prepare = op_prepare_elementwise,                                      \
                           .run = run_};

/* dx from dy and `with`, under the forward node's attributes. */
static prelu_status slope_node(op_grad_ctx *c, const char *op, prelu_value with, prelu_err *err)
{
    const prelu_node *n = &c->g->nodes[c->node];
    const prelu_value in[2] = {c->dout[0], with};
    return op_grad_one(c, 0, op, "dx", in, 2, n->attrs, n->n_attrs, err);
}

#define GRAD_OF_X(name, op)                                                                        \
    static prelu_status name(op_grad_ctx *c, prelu_err *err)                                       \
    {                                                                                              \
        return slope_node(c, op, c->g->nodes[c->node].in[0], err);                                 \
    }
#define GRAD_OF_Y(name, op)                                                                        \
    static prelu_status name(op_grad_ctx *c, prelu_err *err)                                       \
    {                                                                                              \
        return slope_node(c, op, c->g->nodes[c->node].out[0], err);                                \
    }

static float attribute(const op_exec *x, const char *name, float otherwise)
{
    return prelu_node_float(x->op->node, name, otherwise);
}

static float clamp(float v, float lo, float hi)
{
    const float low = v < lo ? lo : v;
    return low > hi ? hi : low;
}

MAP(relu_run, , v < 0.0f ? 0.0f : v)
SLOPE(relu_grad_run, , v > 0.0f ? d : 0.0f)
GRAD_OF_Y(relu_grad, "ReluGrad")
UNARY(op_relu, "Relu", relu_run, relu_grad)
UNARY_GRAD(op_relu_grad, "ReluGrad", relu_grad_run)

MAP(leaky_run, const float alpha = attribute(x, "alpha", 0.01f), v > 0.0f ? v : alpha * v)
SLOPE(leaky_grad_run, const float alpha = attribute(x, "alpha", 0.01f), v > 0.0f ? d : alpha * d)
GRAD_OF_X(leaky_grad, "LeakyReluGrad")
UNARY(op_leaky_relu, "LeakyRelu", leaky_run, leaky_grad)
UNARY_GRAD(op_leaky_relu_grad, "LeakyReluGrad", leaky_grad_run)

MAP(sigmoid_run, , 1.0f / (1.0f + expf(-v)))
SLOPE(sigmoid_grad_run, , d *v *(1.0f - v))
GRAD_OF_Y(sigmoid_grad, "SigmoidGrad")
UNARY(op_sigmoid, "Sigmoid", sigmoid_run, sigmoid_grad)
UNARY_GRAD(op_sigmoid_grad, "SigmoidGrad", sigmoid_grad_run)

/* A bound itself belongs to neither side: its slope is 0. */
#define CLIP_BOUNDS                                                                                \
    const float lo = attribute(x, "min", -INFINITY);                                               \
    const float hi = attribute(x, "max", INFINITY)
MAP(clip_run, CLIP_BOUNDS, clamp(v, lo, hi))
SLOPE(clip_grad_run, CLIP_BOUNDS, v > lo && v < hi ? d : 0.0f)
GRAD_OF_X(clip_grad, "ClipGrad")
UNARY(op_clip, "Clip", clip_run, clip_grad)
UNARY_GRAD(op_clip_grad, "ClipGrad", clip_grad_run)

MAP(hard_sigmoid_run, const float alpha = attribute(x, "alpha", 0.2f);
    const float beta = attribute(x, "beta", 0.5f), clamp(alpha *v + beta, 0.0f, 1.0f))
SLOPE(hard_sigmoid_grad_run, const float alpha = attribute(x, "alpha", 0.2f),
      v > 0.0f && v < 1.0f ? alpha * d : 0.0f)
GRAD_OF_Y(hard_sigmoid_grad, "HardSigmoidGrad")
UNARY(op_hard_sigmoid, "HardSigmoid", hard_sigmoid_run, hard_sigmoid_grad)
UNARY_GRAD(op_hard_sigmoid_grad, "HardSigmoidGrad", hard_sigmoid_grad_run)

/* x clamp(x / 6 + 1/2): between -3 and 3 its slope is x / 3 + 1/2. */
MAP(hard_swish_run, , v *clamp(v *(1.0f / 6.0f) + 0.5f, 0.0f, 1.0f))
SLOPE(hard_swish_grad_run, , v < -3.0f ? 0.0f : (v > 3.0f ? d : d * (v * (1.0f / 3.0f) + 0.5f)))
GRAD_OF_X(hard_swish_grad, "HardSwishGrad")
UNARY(op_hard_swish, "HardSwish", hard_swish_run, hard_swish_grad)
UNARY_GRAD(op_hard_swish_grad, "HardSwishGrad", hard_swish_grad_run)

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

UNARY(op_identity, "Identity", identity_run, identity_grad)
