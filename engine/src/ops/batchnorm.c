#include "ops/util.h"
#include <math.h>
#include <string.h>

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

/* Training. Phase 0: each task sums `kinds` numbers per channel over its rows, in double, into its
 * part of `shared`; phase 1: those are added up in order, channel by channel; phase 2: the rows. */

enum { SUMS, TOTALS, APPLY, CHANNELS_PER_TASK = 64, TRAIN_SLOPE = 3 };

/* Rows of a summing task: at least 16, so that the sums take little memory beside the rows. */
static size_t rows_per_sum(op_channels v)
{
    const size_t rows = rows_per_task(v);
    return rows < 16 ? 16 : rows;
}

static prelu_status train_work(op_channels v, size_t kinds, op_work *work, prelu_err *err)
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
    /* the sums of each part, and up to 2 * kinds factors for each channel */
    PRELU_TRY(prelu_mul(parts + 1, kinds * v.c * sizeof(double), &len, err));
    work->shared = len;
    return PRELU_OK;
}

/* Sums of part `part`: arrays of c. */
static double *sums_of(const op_exec *x, op_channels v, size_t kinds, size_t part)
{
    return (double *)x->shared + part * kinds * v.c;
}

/* Factors of APPLY, behind the last part. */
static float *factors_of(const op_exec *x, op_channels v, size_t kinds)
{
    return (float *)(void *)sums_of(x, v, kinds, op_parts(v.rows, rows_per_sum(v)));
}

/* Channels of a TOTALS task: adds up the parts, into the first of them. */
static void add_parts(const op_exec *x, op_channels v, size_t kinds, size_t begin, size_t end)
{
    const size_t parts = op_parts(v.rows, rows_per_sum(v));
    double *total = sums_of(x, v, kinds, 0);
    for (size_t p = 1; p < parts; p++) {
        const double *part = sums_of(x, v, kinds, p);
        for (size_t k = 0; k < kinds; k++)
            for (size_t j = begin; j < end; j++)
                total[k * v.c + j] += part[k * v.c + j];
    }
}

/* The values that a slope goes with: one for each channel, whatever its rank. */
static prelu_status slope_fits(const prelu_shape *slope, const prelu_shape *scale, prelu_err *err)
{
    char text[96];
    if (!op_known(slope) || !op_known(scale) || op_count(slope) != op_count(scale))
        return prelu_fail(err, PRELU_E_FORMAT, "slope %s has not one value for each channel",
                          prelu_shape_text(slope, text, sizeof text));
    return PRELU_OK;
}

static prelu_status train_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                prelu_err *err)
{
    float epsilon;
    PRELU_TRY(epsilon_of(n, &epsilon, err));
    PRELU_TRY(params_fit(&in[0], in + 1, 2, err));
    out[0] = in[0];
    out[1] = out[2] = in[1];
    PRELU_TRY(op_check_size(&in[1], err));
    return n->n_in > TRAIN_SLOPE ? slope_fits(&in[TRAIN_SLOPE], &in[1], err) : PRELU_OK;
}

static prelu_status train_prepare(const op_instance *inst, const op_tensor *in,
                                  const op_tensor *out, op_work *work, prelu_err *err)
{
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    return train_work(op_channels_of(&in[0].shape), 2, work, err);
}

/* Sums of x - x[0] and of its square: the first row as origin keeps both small. */
static void train_sums(const op_exec *x, op_channels v, size_t task)
{
    const float *from = x->in[0].data;
    double *sum = sums_of(x, v, 2, task);
    size_t begin, end;
    op_part(v.rows, rows_per_sum(v), task, &begin, &end);
    memset(sum, 0, 2 * v.c * sizeof *sum);
    x->op->krn->passes_f32->moments(sum, sum + v.c, from + begin * v.c, from, end - begin, v.c);
}

static void train_totals(const op_exec *x, op_channels v, size_t task)
{
    const float *origin = x->in[0].data, *scale = x->in[1].data;
    const double *sum = sums_of(x, v, 2, 0), m = (double)v.rows, epsilon = (double)epsilon_at(x);
    float *by = factors_of(x, v, 2), *mean = x->out[1].data, *var = x->out[2].data;
    size_t begin, end;
    op_part(v.c, CHANNELS_PER_TASK, task, &begin, &end);
    add_parts(x, v, 2, begin, end);
    for (size_t j = begin; j < end; j++) {
        const double d = sum[j] / m, square = sum[v.c + j] / m - d * d;
        const double variance = square > 0 || square != square ? square : 0;
        mean[j] = (float)((double)origin[j] + d);
        var[j] = (float)variance;
        by[j] = (float)((double)scale[j] / sqrt(variance + epsilon));
    }
}

static void train_apply(const op_exec *x, op_channels v, size_t task)
{
    const krn_pass_norm norm = {.mean = x->out[1].data,
                                .by = factors_of(x, v, 2),
                                .bias = x->in[2].data,
                                .slope = x->n_in > TRAIN_SLOPE ? x->in[TRAIN_SLOPE].data : NULL};
    size_t begin, end;
    op_part(v.rows, rows_per_task(v), task, &begin, &end);
    x->op->krn->passes_f32->norm((float *)x->out[0].data + begin * v.c,
                                 (const float *)x->in[0].data + begin * v.c, &norm, end - begin,
                                 v.c);
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
    const bool slope = n->n_in > TRAIN_SLOPE;
    const prelu_value in[7] = {c->dout[0],
                               n->in[0],
                               n->in[1],
                               n->out[1],
                               n->out[2],
                               n->in[2],
                               slope ? n->in[TRAIN_SLOPE] : PRELU_NONE};
    for (int i = 1; i < n->n_out; i++)
        if (c->dout[i] != PRELU_NONE)
            return prelu_fail(err, PRELU_E_UNSUPPORTED,
                              "no gradient flows through mean or variance");
    if (c->dout[0] == PRELU_NONE)
        return PRELU_OK;
    return op_grad_node(c, "BatchNormGrad", "d", in, slope ? 7 : 5, &attr, 1, c->din, slope ? 4 : 3,
                        err);
}

/* Inputs: x, scale, bias, [slope of a PReLU behind it]. Outputs: y, mean, variance (of the batch,
 * biased). */
const op_def op_batch_norm_train = {.name = "BatchNormTrain",
                                    .min_in = 3,
                                    .max_in = 4,
                                    .min_out = 3,
                                    .max_out = 3,
                                    .shape = train_shape,
                                    .prepare = train_prepare,
                                    .run = train_run,
                                    .grad = train_grad};

/* Gradient. Inputs: dy, x, scale, mean, variance, [bias, slope]. Outputs: dx, dscale, dbias,
 * [dslope]. With m rows and t = 1 / sqrt(variance + epsilon), xhat = (x - mean) t, and dz the
 * gradient before the PReLU (dy itself without):
 *   dbias = sum dz,  dscale = sum dz xhat,  dx = scale t (dz - dbias / m - xhat dscale / m). */
enum { GRAD_BIAS = 5, GRAD_SLOPE };

static prelu_status bn_grad_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                  prelu_err *err)
{
    float epsilon;
    const prelu_shape params[4] = {in[2], in[2], in[3], in[4]};
    const bool slope = n->n_in > GRAD_SLOPE;
    PRELU_TRY(epsilon_of(n, &epsilon, err));
    PRELU_TRY(op_need_same(&in[0], "dy", &in[1], "x", err));
    PRELU_TRY(params_fit(&in[1], params, 4, err));
    if (slope != (n->n_out == 4) || n->n_in == GRAD_SLOPE)
        return prelu_fail(err, PRELU_E_FORMAT, "bias, slope and its gradient go together");
    out[0] = in[1];
    out[1] = out[2] = in[2];
    PRELU_TRY(op_check_size(&in[2], err));
    if (!slope)
        return PRELU_OK;
    out[3] = in[GRAD_SLOPE];
    PRELU_TRY(op_need_same(&in[GRAD_BIAS], "bias", &in[2], "scale", err));
    return slope_fits(&in[GRAD_SLOPE], &in[2], err);
}

/* Sums of a part: dz, dz (x - mean), dslope. */
static prelu_status bn_grad_prepare(const op_instance *inst, const op_tensor *in,
                                    const op_tensor *out, op_work *work, prelu_err *err)
{
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    return train_work(op_channels_of(&in[1].shape), 3, work, err);
}

/* Behind the sums: scale t, then dbias / m and t dscale / m. */
static krn_pass_norm bn_grad_norm(const op_exec *x, op_channels v)
{
    const bool slope = x->n_in > GRAD_SLOPE;
    return (krn_pass_norm){.mean = x->in[3].data,
                           .by = factors_of(x, v, 3),
                           .bias = slope ? x->in[GRAD_BIAS].data : NULL,
                           .slope = slope ? x->in[GRAD_SLOPE].data : NULL};
}

static void bn_grad_by(const op_exec *x, op_channels v, float *by)
{
    const float *scale = x->in[2].data, *var = x->in[4].data;
    const double epsilon = (double)epsilon_at(x);
    for (size_t j = 0; j < v.c; j++)
        by[j] = (float)((double)scale[j] / sqrt((double)var[j] + epsilon));
}

static void bn_grad_sums(const op_exec *x, op_channels v, size_t task, float *by)
{
    krn_pass_norm norm = bn_grad_norm(x, v);
    double *sum = sums_of(x, v, 3, task);
    size_t begin, end;
    op_part(v.rows, rows_per_sum(v), task, &begin, &end);
    memset(sum, 0, 3 * v.c * sizeof *sum);
    bn_grad_by(x, v, by);
    norm.by = by;
    x->op->krn->passes_f32->norm_sums(
        sum, sum + v.c, sum + 2 * v.c, (const float *)x->in[0].data + begin * v.c,
        (const float *)x->in[1].data + begin * v.c, &norm, end - begin, v.c);
}

static void bn_grad_totals(const op_exec *x, op_channels v, size_t task)
{
    const float *var = x->in[4].data, *scale = x->in[2].data;
    const double m = (double)v.rows, epsilon = (double)epsilon_at(x), *sum = sums_of(x, v, 3, 0);
    float *by = factors_of(x, v, 3), *less = by + v.c, *each = less + v.c;
    float *dscale = x->out[1].data, *dbias = x->out[2].data;
    float *dslope = x->n_in > GRAD_SLOPE ? x->out[3].data : NULL;
    size_t begin, end;
    op_part(v.c, CHANNELS_PER_TASK, task, &begin, &end);
    add_parts(x, v, 3, begin, end);
    for (size_t j = begin; j < end; j++) {
        const double t = 1 / sqrt((double)var[j] + epsilon);
        dbias[j] = (float)sum[j];
        dscale[j] = (float)(sum[v.c + j] * t);
        by[j] = (float)((double)scale[j] / sqrt((double)var[j] + epsilon));
        less[j] = (float)(sum[j] / m);
        each[j] = (float)(sum[v.c + j] * t * t / m);
        if (dslope)
            dslope[j] = (float)sum[2 * v.c + j];
    }
}

static void bn_grad_apply(const op_exec *x, op_channels v, size_t task)
{
    const krn_pass_norm norm = bn_grad_norm(x, v);
    size_t begin, end;
    op_part(v.rows, rows_per_task(v), task, &begin, &end);
    x->op->krn->passes_f32->norm_grad((float *)x->out[0].data + begin * v.c,
                                      (const float *)x->in[0].data + begin * v.c,
                                      (const float *)x->in[1].data + begin * v.c, &norm,
                                      norm.by + v.c, norm.by + 2 * v.c, end - begin, v.c);
}

static void bn_grad_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const op_channels v = op_channels_of(&x->in[1].shape);
    if (phase == SUMS)
        bn_grad_sums(x, v, task, scratch);
    else if (phase == TOTALS)
        bn_grad_totals(x, v, task);
    else
        bn_grad_apply(x, v, task);
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
                                   .max_in = 7,
                                   .min_out = 3,
                                   .max_out = 4,
                                   .in_place = true,
                                   .shape = bn_grad_shape,
                                   .prepare = bn_grad_work,
                                   .run = bn_grad_run};
