#include "ops/util.h"
#include <math.h>

/* SoftmaxCrossEntropy. Inputs: logits (n,c) f32, labels (n) i32. Outputs: loss (scalar, the mean
 * over n) and prob (n,c). With label smoothing e the target is q = (1 - e) onehot + e / c, and loss
 * = -mean over n of sum over j of q_j log p_j,   dlogits = dloss / n (p - q). A label that is no
 * class makes its row's loss and gradient NaN, which the trainer reports. */

static prelu_status smoothing_of(const prelu_node *n, float *e, prelu_err *err)
{
    *e = prelu_node_float(n, "label_smoothing", 0.0f);
    if (!(*e >= 0.0f && *e < 1.0f))
        return prelu_fail(err, PRELU_E_FORMAT, "label_smoothing %g is not in [0, 1)", (double)*e);
    return PRELU_OK;
}

static prelu_status classes_fit(const prelu_shape *scores, const prelu_shape *labels,
                                prelu_err *err)
{
    PRELU_TRY(op_need_rank(scores, 2, "logits", err));
    PRELU_TRY(op_need_rank(labels, 1, "labels", err));
    PRELU_TRY(op_check_size(scores, err));
    if (!op_dim_fits(scores->dim[0], labels->dim[0]))
        return prelu_fail(err, PRELU_E_FORMAT, "%lld labels for %lld rows",
                          (long long)labels->dim[0], (long long)scores->dim[0]);
    return PRELU_OK;
}

static prelu_status loss_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                               prelu_err *err)
{
    float e;
    PRELU_TRY(smoothing_of(n, &e, err));
    PRELU_TRY(classes_fit(&in[0], &in[1], err));
    out[0] = (prelu_shape){.rank = 0};
    out[1] = in[0];
    return PRELU_OK;
}

static prelu_status need_labels(const op_tensor *labels, prelu_err *err)
{
    if (labels->dtype != PRELU_I32)
        return prelu_fail(err, PRELU_E_UNSUPPORTED, "labels are %s, not %s",
                          prelu_dtype_name(labels->dtype), prelu_dtype_name(PRELU_I32));
    return PRELU_OK;
}

static size_t rows_per_task(size_t c)
{
    const size_t elements = OP_CHUNK / 16;
    return c < elements ? elements / c : 1;
}

static prelu_status loss_prepare(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                                 op_work *work, prelu_err *err)
{
    const size_t n = (size_t)in[0].shape.dim[0], c = (size_t)in[0].shape.dim[1];
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 2, err));
    PRELU_TRY(need_labels(&in[1], err));
    work->phases = 2;
    work->tasks[0] = op_parts(n, rows_per_task(c));
    work->flops[0] = 1 + 100.0 * (double)(rows_per_task(c) * c);
    work->tasks[1] = 1;
    work->flops[1] = 1 + 8.0 * (double)n;
    work->shared = n * sizeof(double); /* each row's loss */
    return PRELU_OK;
}

/* One row: fills prob, returns the loss. */
static double row_loss(float *prob, const float *logits, size_t c, int32_t label, double e)
{
    double max = (double)logits[0], sum = 0, total = 0;
    for (size_t j = 1; j < c; j++)
        max = (double)logits[j] > max ? (double)logits[j] : max;
    for (size_t j = 0; j < c; j++) {
        sum += exp((double)logits[j] - max);
        total += (double)logits[j] - max;
    }
    const double all = log(sum);
    for (size_t j = 0; j < c; j++)
        prob[j] = (float)exp((double)logits[j] - max - all);
    if (label < 0 || (size_t)label >= c)
        return NAN;
    const double own = (double)logits[label] - max - all;
    /* total, e = 0: 0 * -inf would be NaN where a class is ruled out */
    return e > 0 ? -(1 - e) * own - e * (total / (double)c - all) : -own;
}

static void loss_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const size_t n = (size_t)x->in[0].shape.dim[0], c = (size_t)x->in[0].shape.dim[1];
    const double e = (double)prelu_node_float(x->op->node, "label_smoothing", 0.0f);
    const float *logits = x->in[0].data;
    const int32_t *labels = x->in[1].data;
    float *prob = x->out[1].data;
    double *row = x->shared, sum = 0;
    size_t begin, end;
    (void)scratch;
    if (phase == 1) {
        for (size_t i = 0; i < n; i++)
            sum += row[i];
        *(float *)x->out[0].data = (float)(sum / (double)n);
        return;
    }
    op_part(n, rows_per_task(c), task, &begin, &end);
    for (size_t i = begin; i < end; i++)
        row[i] = row_loss(prob + i * c, logits + i * c, c, labels[i], e);
}

static prelu_status loss_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_node *n = &c->g->nodes[c->node];
    const prelu_attr e =
        PRELU_FLOAT("label_smoothing", prelu_node_float(n, "label_smoothing", 0.0f));
    const prelu_value in[3] = {c->dout[0], n->out[1], n->in[1]};
    if (c->dout[1] != PRELU_NONE)
        return prelu_fail(err, PRELU_E_UNSUPPORTED, "no gradient flows through prob");
    return op_grad_one(c, 0, "SoftmaxCrossEntropyGrad", "dlogits", in, 3, &e, 1, err);
}

const op_def op_softmax_cross_entropy = {.name = "SoftmaxCrossEntropy",
                                         .min_in = 2,
                                         .max_in = 2,
                                         .min_out = 2,
                                         .max_out = 2,
                                         .shape = loss_shape,
                                         .prepare = loss_prepare,
                                         .run = loss_run,
                                         .grad = loss_grad};

/* Inputs: dloss (scalar), prob, labels. */

static prelu_status loss_grad_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                    prelu_err *err)
{
    float e;
    PRELU_TRY(smoothing_of(n, &e, err));
    PRELU_TRY(op_need_rank(&in[0], 0, "dloss", err));
    PRELU_TRY(classes_fit(&in[1], &in[2], err));
    out[0] = in[1];
    return PRELU_OK;
}

static prelu_status loss_grad_prepare(const op_instance *inst, const op_tensor *in,
                                      const op_tensor *out, op_work *work, prelu_err *err)
{
    const size_t n = (size_t)in[1].shape.dim[0], c = (size_t)in[1].shape.dim[1];
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 4, err));
    PRELU_TRY(need_labels(&in[2], err));
    work->tasks[0] = op_parts(n, rows_per_task(c));
    work->flops[0] = 1 + 8.0 * (double)(rows_per_task(c) * c);
    return PRELU_OK;
}

static void loss_grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const size_t n = (size_t)x->in[1].shape.dim[0], c = (size_t)x->in[1].shape.dim[1];
    const float e = prelu_node_float(x->op->node, "label_smoothing", 0.0f);
    const float by = *(const float *)x->in[0].data / (float)n, rest = e / (float)c;
    const int32_t *labels = x->in[2].data;
    size_t begin, end;
    (void)phase, (void)scratch;
    op_part(n, rows_per_task(c), task, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        const float *prob = (const float *)x->in[1].data + i * c;
        float *dx = (float *)x->out[0].data + i * c;
        const bool valid = labels[i] >= 0 && (size_t)labels[i] < c;
        for (size_t j = 0; j < c; j++)
            dx[j] = valid ? by * (prob[j] - rest) : NAN;
        if (valid)
            dx[labels[i]] = by * (prob[labels[i]] - rest - (1.0f - e));
    }
}

const op_def op_softmax_cross_entropy_grad = {.name = "SoftmaxCrossEntropyGrad",
                                              .min_in = 3,
                                              .max_in = 3,
                                              .min_out = 1,
                                              .max_out = 1,
                                              .shape = loss_grad_shape,
                                              .prepare = loss_grad_prepare,
                                              .run = loss_grad_run};
