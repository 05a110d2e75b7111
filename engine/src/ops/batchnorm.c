#include "ops/util.h"
#include <math.h>

/* BatchNormalization (inference) and the trainer's BatchNormTrain with its gradient. The channel is
 * axis 1 of (n,c,h,w) or (n,c), so a value is rows of c channels. */

static const char *const param_names[4] = {"scale", "bias", "mean", "variance"};

/* x of rank 2 or 4; inputs 1..n_params hold one number per channel. */
static prelu_status params_fit(const prelu_shape *x, const prelu_shape *params, int n_params,
                               prelu_err *err)
{
    char text[96];
    if (x->rank != 2 && x->rank != 4)
        return prelu_fail(err, PRELU_E_FORMAT, "x %s has neither rank 2 nor 4",
                          prelu_shape_text(x, text, sizeof text));
    PRELU_TRY(op_check_size(x, err));
    for (int i = 0; i < n_params; i++)
        if (params[i].rank != 1 || !op_dim_fits(params[i].dim[0], x->dim[1]))
            return prelu_fail(err, PRELU_E_FORMAT, "%s is %s, not (%lld)", param_names[i],
                              prelu_shape_text(&params[i], text, sizeof text),
                              (long long)x->dim[1]);
    return PRELU_OK;
}

static prelu_status epsilon_of(const prelu_node *n, float *epsilon, prelu_err *err)
{
    *epsilon = prelu_node_float(n, "epsilon", 1e-5f);
    if (!(*epsilon >= 0.0f && *epsilon < INFINITY))
        return prelu_fail(err, PRELU_E_FORMAT, "epsilon is %g", (double)*epsilon);
    return PRELU_OK;
}

static float epsilon_at(const op_exec *x)
{
    return prelu_node_float(x->op->node, "epsilon", 1e-5f);
}

/* Rows of an element-wise task. */
static size_t rows_per_task(op_channels v) { return v.c < OP_CHUNK ? OP_CHUNK / v.c : 1; }

static prelu_status inference_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                    prelu_err *err)
{
    float epsilon;
    PRELU_TRY(epsilon_of(n, &epsilon, err));
    PRELU_TRY(params_fit(&in[0], in + 1, 4, err));
    out[0] = in[0];
    return PRELU_OK;
}

static prelu_status inference_prepare(const op_instance *inst, const op_tensor *in,
                                      const op_tensor *out, op_work *work, prelu_err *err)
{
    const op_channels v = op_channels_of(&in[0].shape);
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    work->tasks[0] = op_parts(v.rows, rows_per_task(v));
    work->flops[0] = 1 + 8.0 * (double)(rows_per_task(v) * v.c);
    work->scratch = v.c * sizeof(float);
    return PRELU_OK;
}

/* y = (x - mean) * (scale / sqrt(var + epsilon)) + bias; the difference comes first, because a mean
 * far from 0 would cancel badly in x * s + (bias - mean * s). */
static void inference_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_channels v = op_channels_of(&x->in[0].shape);
    const float *scale = x->in[1].data, *bias = x->in[2].data, *mean = x->in[3].data;
    const float *var = x->in[4].data;
    const double epsilon = (double)epsilon_at(x);
    float *by = scratch;
    size_t begin, end;
    (void)phase;
    op_part(v.rows, rows_per_task(v), task, &begin, &end);
    for (size_t j = 0; j < v.c; j++)
        by[j] = (float)((double)scale[j] / sqrt((double)var[j] + epsilon));
    const float *from = (const float *)x->in[0].data + begin * v.c;
    float *y = (float *)x->out[0].data + begin * v.c;
    for (size_t r = begin; r < end; r++, from += v.c, y += v.c)
        for (size_t j = 0; j < v.c; j++)
            y[j] = (from[j] - mean[j]) * by[j] + bias[j];
}

const op_def op_batch_normalization = {.name = "BatchNormalization",
                                       .min_in = 5,
                                       .max_in = 5,
                                       .min_out = 1,
                                       .max_out = 1,
                                       .in_place = true,
                                       .shape = inference_shape,
                                       .prepare = inference_prepare,
                                       .run = inference_run};

/* Training. Phase 0: each task sums two numbers per channel over its rows, in double, into its part
 * of `shared`; phase 1: those are added up in order, channel by channel; phase 2: the rows. */

enum { SUMS, TOTALS, APPLY, CHANNELS_PER_TASK = 64 };

/* Rows of a summing task: at least 16, so that the sums take little memory beside the rows. */
static size_t rows_per_sum(op_channels v)
{
    const size_t rows = rows_per_task(v);
    return rows < 16 ? 16 : rows;
}

static prelu_status train_work(op_channels v, op_work *work, prelu_err *err)
{
    const size_t parts = op_parts(v.rows, rows_per_sum(v));
    size_t len;
    work->phases = 3;
    work->tasks[SUMS] = parts;
    work->flops[SUMS] = 1 + 8.0 * (double)(rows_per_sum(v) * v.c);
    work->tasks[TOTALS] = op_parts(v.c, CHANNELS_PER_TASK);
    work->flops[TOTALS] = 1 + 16.0 * (double)(parts * CHANNELS_PER_TASK);
    work->tasks[APPLY] = op_parts(v.rows, rows_per_task(v));
    work->flops[APPLY] = 1 + 8.0 * (double)(rows_per_task(v) * v.c);
    /* two sums for each part, and two factors for each channel */
    PRELU_TRY(prelu_mul(parts + 1, 2 * v.c * sizeof(double), &len, err));
    work->shared = len;
    return PRELU_OK;
}

/* Sums of part `part`: two arrays of c. The totals follow the last part. */
static double *sums_of(const op_exec *x, op_channels v, size_t part)
{
    return (double *)x->shared + part * 2 * v.c;
}

/* Channels of a TOTALS task: adds up the parts, into the first of them. */
static void add_parts(const op_exec *x, op_channels v, size_t begin, size_t end)
{
    const size_t parts = op_parts(v.rows, rows_per_sum(v));
    double *total = sums_of(x, v, 0);
    for (size_t p = 1; p < parts; p++) {
        const double *part = sums_of(x, v, p);
        for (size_t j = begin; j < end; j++) {
            total[j] += part[j];
            total[v.c + j] += part[v.c + j];
        }
    }
}

static prelu_status train_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                prelu_err *err)
{
    float epsilon;
    PRELU_TRY(epsilon_of(n, &epsilon, err));
    PRELU_TRY(params_fit(&in[0], in + 1, 2, err));
    out[0] = in[0];
    out[1] = out[2] = in[1];
    return op_check_size(&in[1], err);
}

static prelu_status train_prepare(const op_instance *inst, const op_tensor *in,
                                  const op_tensor *out, op_work *work, prelu_err *err)
{
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    return train_work(op_channels_of(&in[0].shape), work, err);
}

/* Sums of x - x[0] and of its square: the first row as origin keeps both small. */
static void train_sums(const op_exec *x, op_channels v, size_t task)
{
    const float *origin = x->in[0].data, *from;
    double *sum = sums_of(x, v, task), *square = sum + v.c;
    size_t begin, end;
    op_part(v.rows, rows_per_sum(v), task, &begin, &end);
    for (size_t j = 0; j < v.c; j++)
        sum[j] = square[j] = 0;
    from = origin + begin * v.c;
    for (size_t r = begin; r < end; r++, from += v.c)
        for (size_t j = 0; j < v.c; j++) {
            const double d = (double)from[j] - (double)origin[j];
            sum[j] += d;
            square[j] += d * d;
        }
}

static void train_totals(const op_exec *x, op_channels v, size_t task)
{
    const float *origin = x->in[0].data, *scale = x->in[1].data;
    const double *sum = sums_of(x, v, 0), m = (double)v.rows, epsilon = (double)epsilon_at(x);
    double *factor = sums_of(x, v, op_parts(v.rows, rows_per_sum(v)));
    float *mean = x->out[1].data, *var = x->out[2].data;
    size_t begin, end;
    op_part(v.c, CHANNELS_PER_TASK, task, &begin, &end);
    add_parts(x, v, begin, end);
    for (size_t j = begin; j < end; j++) {
        const double d = sum[j] / m, square = sum[v.c + j] / m - d * d;
        const double variance = square > 0 || square != square ? square : 0;
        mean[j] = (float)((double)origin[j] + d);
        var[j] = (float)variance;
        factor[j] = (double)origin[j] + d;
        factor[v.c + j] = (double)scale[j] / sqrt(variance + epsilon);
    }
}

static void train_apply(const op_exec *x, op_channels v, size_t task)
{
    const double *factor = sums_of(x, v, op_parts(v.rows, rows_per_sum(v)));
    const float *bias = x->in[2].data;
    size_t begin, end;
    op_part(v.rows, rows_per_task(v), task, &begin, &end);
    const float *from = (const float *)x->in[0].data + begin * v.c;
    float *y = (float *)x->out[0].data + begin * v.c;
    for (size_t r = begin; r < end; r++, from += v.c, y += v.c)
        for (size_t j = 0; j < v.c; j++)
            y[j] = (from[j] - (float)factor[j]) * (float)factor[v.c + j] + bias[j];
}

static void train_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_channels v = op_channels_of(&x->in[0].shape);
    (void)scratch;
    if (phase == SUMS)
        train_sums(x, v, task);
    else if (phase == TOTALS)
        train_totals(x, v, task);
    else
        train_apply(x, v, task);
}

static prelu_status train_grad(op_grad_ctx *c, prelu_err *err)
{
    const prelu_node *n = &c->g->nodes[c->node];
    const prelu_attr attr = PRELU_FLOAT("epsilon", prelu_node_float(n, "epsilon", 1e-5f));
    const prelu_value in[5] = {c->dout[0], n->in[0], n->in[1], n->out[1], n->out[2]};
    for (int i = 1; i < n->n_out; i++)
        if (c->dout[i] != PRELU_NONE)
            return prelu_fail(err, PRELU_E_UNSUPPORTED,
                              "no gradient flows through mean or variance");
    if (c->dout[0] == PRELU_NONE)
        return PRELU_OK;
    return op_grad_node(c, "BatchNormGrad", "d", in, 5, &attr, 1, c->din, 3, err);
}

/* Inputs: x, scale, bias. Outputs: y, mean, variance (of the batch, biased). */
const op_def op_batch_norm_train = {.name = "BatchNormTrain",
                                    .min_in = 3,
                                    .max_in = 3,
                                    .min_out = 3,
                                    .max_out = 3,
                                    .shape = train_shape,
                                    .prepare = train_prepare,
                                    .run = train_run,
                                    .grad = train_grad};

/* Gradient. Inputs: dy, x, scale, mean, variance. Outputs: dx, dscale, dbias. With m rows and
 * t = 1 / sqrt(variance + epsilon), xhat = (x - mean) t:
 *   dbias = sum dy,  dscale = sum dy xhat,  dx = scale t (dy - dbias / m - xhat dscale / m). */

static prelu_status bn_grad_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                  prelu_err *err)
{
    float epsilon;
    const prelu_shape params[4] = {in[2], in[2], in[3], in[4]};
    PRELU_TRY(epsilon_of(n, &epsilon, err));
    PRELU_TRY(op_need_same(&in[0], "dy", &in[1], "x", err));
    PRELU_TRY(params_fit(&in[1], params, 4, err));
    out[0] = in[1];
    out[1] = out[2] = in[2];
    return op_check_size(&in[2], err);
}

static prelu_status bn_grad_prepare(const op_instance *inst, const op_tensor *in,
                                    const op_tensor *out, op_work *work, prelu_err *err)
{
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    return train_work(op_channels_of(&in[1].shape), work, err);
}

static void bn_grad_sums(const op_exec *x, op_channels v, size_t task)
{
    const float *mean = x->in[3].data;
    double *sum = sums_of(x, v, task), *product = sum + v.c;
    size_t begin, end;
    op_part(v.rows, rows_per_sum(v), task, &begin, &end);
    for (size_t j = 0; j < v.c; j++)
        sum[j] = product[j] = 0;
    const float *dy = (const float *)x->in[0].data + begin * v.c;
    const float *from = (const float *)x->in[1].data + begin * v.c;
    for (size_t r = begin; r < end; r++, dy += v.c, from += v.c)
        for (size_t j = 0; j < v.c; j++) {
            sum[j] += (double)dy[j];
            product[j] += (double)dy[j] * ((double)from[j] - (double)mean[j]);
        }
}

/* Leaves, for APPLY, dbias / m in the first total and t dscale / m in the second. */
static void bn_grad_totals(const op_exec *x, op_channels v, size_t task)
{
    const float *var = x->in[4].data;
    const double m = (double)v.rows, epsilon = (double)epsilon_at(x);
    double *sum = sums_of(x, v, 0);
    double *factor = sums_of(x, v, op_parts(v.rows, rows_per_sum(v)));
    float *dscale = x->out[1].data, *dbias = x->out[2].data;
    size_t begin, end;
    op_part(v.c, CHANNELS_PER_TASK, task, &begin, &end);
    add_parts(x, v, begin, end);
    for (size_t j = begin; j < end; j++) {
        const double t = 1 / sqrt((double)var[j] + epsilon);
        dbias[j] = (float)sum[j];
        dscale[j] = (float)(sum[v.c + j] * t);
        factor[j] = sum[j] / m;
        factor[v.c + j] = sum[v.c + j] * t * t / m;
    }
}

static void bn_grad_apply(const op_exec *x, op_channels v, size_t task, float *by)
{
    const float *scale = x->in[2].data, *mean = x->in[3].data, *var = x->in[4].data;
    const double *factor = sums_of(x, v, op_parts(v.rows, rows_per_sum(v)));
    const double epsilon = (double)epsilon_at(x);
    size_t begin, end;
    op_part(v.rows, rows_per_task(v), task, &begin, &end);
    for (size_t j = 0; j < v.c; j++)
        by[j] = (float)((double)scale[j] / sqrt((double)var[j] + epsilon));
    const float *dy = (const float *)x->in[0].data + begin * v.c;
    const float *from = (const float *)x->in[1].data + begin * v.c;
    float *dx = (float *)x->out[0].data + begin * v.c;
    for (size_t r = begin; r < end; r++, dy += v.c, from += v.c, dx += v.c)
        for (size_t j = 0; j < v.c; j++)
            dx[j] =
                by[j] * (dy[j] - (float)factor[j] - (from[j] - mean[j]) * (float)factor[v.c + j]);
}

static void bn_grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_channels v = op_channels_of(&x->in[1].shape);
    if (phase == SUMS)
        bn_grad_sums(x, v, task);
    else if (phase == TOTALS)
        bn_grad_totals(x, v, task);
    else
        bn_grad_apply(x, v, task, scratch);
}

static prelu_status bn_grad_work(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                                 op_work *work, prelu_err *err)
{
    PRELU_TRY(bn_grad_prepare(inst, in, out, work, err));
    work->scratch = op_channels_of(&in[1].shape).c * sizeof(float);
    return PRELU_OK;
}

const op_def op_batch_norm_grad = {.name = "BatchNormGrad",
                                   .min_in = 5,
                                   .max_in = 5,
                                   .min_out = 3,
                                   .max_out = 3,
                                   .shape = bn_grad_shape,
                                   .prepare = bn_grad_work,
                                   .run = bn_grad_run};
