#include "ops/util.h"

/* Dense testing of a network that subtracts a mean picture: it is stretched to the size of each
 * picture (SPPnet, appendix A), between its pixels straight. That takes a few products for each
 * value that is read, less than to keep stretched copies would be worth. Of a picture of the mean's
 * own size every bit is that of Sub. */

static prelu_status warped_shape(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                                 prelu_err *err)
{
    (void)n;
    PRELU_TRY(op_need_rank(&in[0], 4, "x", err));
    PRELU_TRY(op_need_rank(&in[1], 4, "the mean", err));
    PRELU_TRY(op_check_map(&in[0], err));
    PRELU_TRY(op_check_map(&in[1], err));
    if (in[1].dim[0] != 1 || !op_dim_fits(in[0].dim[1], in[1].dim[1]))
        return prelu_fail(err, PRELU_E_FORMAT, "a mean of %lld x %lld channels for %lld",
                          (long long)in[1].dim[0], (long long)in[1].dim[1],
                          (long long)in[0].dim[1]);
    out[0] = in[0];
    return PRELU_OK;
}

static prelu_status warped_prepare(const op_instance *inst, const op_tensor *in,
                                   const op_tensor *out, op_work *work, prelu_err *err)
{
    const int64_t *d = in[0].shape.dim;
    (void)out;
    PRELU_TRY(op_need_f32(inst, in, 0, err));
    work->tasks[0] = (size_t)(d[0] * d[2]);
    work->flops[0] = 1 + 16.0 * (double)(d[1] * d[3]);
    return PRELU_OK;
}

/* The two places of `from` that place i of `to` lies between, and how far from the first. */
typedef struct between {
    size_t a, b;
    float at;
} between;

static between place(size_t i, size_t to, size_t from)
{
    const double u = ((double)i + 0.5) * (double)from / (double)to - 0.5;
    const double in = u < 0 ? 0 : u > (double)(from - 1) ? (double)(from - 1) : u;
    const size_t a = (size_t)in;
    return (between){a, a + 1 < from ? a + 1 : a, (float)(in - (double)a)};
}

/* A task: a row of a picture. */
static void warped_run(const op_exec *x, int phase, size_t task, void *scratch)
{
    const int64_t *d = x->in[0].shape.dim, *m = x->in[1].shape.dim;
    const size_t c = (size_t)d[1], h = (size_t)d[2], w = (size_t)d[3], mw = (size_t)m[3];
    const float *from = (const float *)x->in[0].data + task * w * c;
    float *to = (float *)x->out[0].data + task * w * c;
    const between v = place(task % h, h, (size_t)m[2]);
    const float *above = (const float *)x->in[1].data + v.a * mw * c;
    const float *below = (const float *)x->in[1].data + v.b * mw * c;
    (void)phase, (void)scratch;
    for (size_t i = 0; i < w; i++) {
        const between u = place(i, w, mw);
        for (size_t k = 0; k < c; k++) {
            const float p = (1 - u.at) * above[u.a * c + k] + u.at * above[u.b * c + k];
            const float q = (1 - u.at) * below[u.a * c + k] + u.at * below[u.b * c + k];
            to[i * c + k] = from[i * c + k] - ((1 - v.at) * p + v.at * q);
        }
    }
}

const op_def op_sub_warped = {.name = "SubWarped",
                              .min_in = 2,
                              .max_in = 2,
                              .min_out = 1,
                              .max_out = 1,
                              .shape = warped_shape,
                              .prepare = warped_prepare,
                              .run = warped_run};
