#include "check_conv_bf16.h"
#include "op_run.h"

typedef struct layer {
    int64_t n, c, h, w, o, k[2], stride[2], dilation[2], pads[4], oh, ow;
    float *x, *weights, *bias, *slope, *residual; /* x, residual (n,h,w,c); weights (o,c,kh,kw) */
} layer;

static float rounded(uint64_t *seed)
{
    float f = check_random_float(seed, -1, 1);
    uint16_t h;
    krn_to_bf16__ref(&h, &f, 1);
    const uint32_t bits = (uint32_t)h << 16;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float *values(int64_t n, uint64_t *seed)
{
    float *p = malloc((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++)
        p[i] = rounded(seed);
    return p;
}

/* `plain`: 3x3, stride 1, as Winograd takes it. False when the filter does not fit into the
 * picture. */
static bool draw(layer *l, bool plain, uint64_t *seed)
{
    static const int channels[] = {16, 31, 32, 33, 70}, filters[] = {1, 15, 17, 33, 130};
    *l = (layer){.n = check_random_int(seed, 1, 3),
                 .c = channels[check_random_int(seed, 0, 4)],
                 .o = filters[check_random_int(seed, 0, 4)],
                 .h = check_random_int(seed, 1, 19),
                 .w = check_random_int(seed, 1, 19)};
    for (int i = 0; i < 2; i++) {
        const int64_t side = i ? l->w : l->h;
        l->k[i] = check_random_int(seed, 1, 5);
        l->stride[i] = check_random_int(seed, 1, 3);
        l->dilation[i] = check_random_int(seed, 1, 2);
        l->pads[i] = check_random_int(seed, -1, 4);
        l->pads[i + 2] = check_random_int(seed, -1, 4);
        if (plain) {
            l->k[i] = 3;
            l->stride[i] = l->dilation[i] = 1;
        }
        const int64_t room =
            side + l->pads[i] + l->pads[i + 2] - (l->k[i] - 1) * l->dilation[i] - 1;
        if (room < 0)
            return false;
        *(i ? &l->ow : &l->oh) = room / l->stride[i] + 1;
    }
    l->x = values(l->n * l->h * l->w * l->c, seed);
    l->weights = values(l->o * l->c * l->k[0] * l->k[1], seed);
    l->bias = values(l->o, seed);
    l->slope = values(l->o, seed);
    l->residual = values(l->n * l->oh * l->ow * l->o, seed);
    return true;
}

static void release(layer *l)
{
    free(l->x);
    free(l->weights);
    free(l->bias);
    free(l->slope);
    free(l->residual);
}

/* Pictures from..from+n-1 through the op; what it gives is freed with op_run_free. */
static void convolve(const layer *l, const krn_table *krn, int64_t from, int64_t n, op_run *r)
{
    const prelu_shape each = {1, {l->o}};
    prelu_err err = {0};
    const prelu_attr attrs[] = {PRELU_INTS("strides", l->stride, 2),
                                PRELU_INTS("dilations", l->dilation, 2),
                                PRELU_INTS("pads", l->pads, 4), PRELU_INT("act", KRN_ACT_PRELU)};
    *r = (op_run){
        .krn = krn, .constant = 0x0e, .precision = PRELU_PRECISION_BF16, .backwards = n % 2 != 0};
    r->in[0] =
        (op_tensor){.data = l->x + from * l->h * l->w * l->c, .shape = {4, {n, l->c, l->h, l->w}}};
    r->in[1] = (op_tensor){.data = l->weights, .shape = {4, {l->o, l->c, l->k[0], l->k[1]}}};
    r->in[2] = (op_tensor){.data = l->bias, .shape = each};
    r->in[3] = (op_tensor){.data = l->slope, .shape = each};
    r->in[4] = (op_tensor){.data = l->residual + from * l->oh * l->ow * l->o,
                           .shape = {4, {n, l->o, l->oh, l->ow}}};
    r->file_order[1] = l->weights;
    r->file_order[2] = l->bias;
    r->file_order[3] = l->slope;
    check_ok(op_run_go(r, "Conv", 5, 1, attrs, 4, &err), &err);
}

static double sum_at(const layer *l, int64_t i, int64_t oy, int64_t ox, int64_t o, double *size)
{
    double s = 0;
    *size = 0;
    for (int64_t ky = 0; ky < l->k[0]; ky++)
        for (int64_t kx = 0; kx < l->k[1]; kx++) {
            const int64_t y = oy * l->stride[0] - l->pads[0] + ky * l->dilation[0];
            const int64_t x = ox * l->stride[1] - l->pads[1] + kx * l->dilation[1];
            if (y < 0 || x < 0 || y >= l->h || x >= l->w)
                continue;
            for (int64_t c = 0; c < l->c; c++) {
                const double t = (double)l->x[((i * l->h + y) * l->w + x) * l->c + c] *
                                 (double)l->weights[((o * l->c + c) * l->k[0] + ky) * l->k[1] + kx];
                s += t;
                *size += fabs(t);
            }
        }
    return s;
}

static void compare(const layer *l, const float *got, const char *name, int which)
{
    const double k = (double)(l->c * l->k[0] * l->k[1]);
    for (int64_t at = 0; at < l->n * l->oh * l->ow * l->o; at++) {
        const int64_t o = at % l->o, ox = at / l->o % l->ow, oy = at / l->o / l->ow % l->oh;
        double size, want = sum_at(l, at / l->o / l->ow / l->oh, oy, ox, o, &size);
        want += (double)l->bias[o] + (double)l->residual[at];
        if (!(want > 0))
            want *= (double)l->slope[o];
        if (!(fabs((double)got[at] - want) <= (k + 3) * 0x1p-23 * (size + 2)))
            fail_msg(
                "%s, layer %d: (%lld,%lld,%lld,%lld) * (%lld,..,%lld,%lld) at %lld: %g, not %g",
                name, which, (long long)l->n, (long long)l->c, (long long)l->h, (long long)l->w,
                (long long)l->o, (long long)l->k[0], (long long)l->k[1], (long long)at,
                (double)got[at], want);
    }
}

void check_conv_bf16(const krn_table *krn, const char *name)
{
    uint64_t seed = check_seed();
    for (int i = 0, done = 0; done < 24; i++) {
        layer l;
        op_run all, one;
        if (!draw(&l, done % 3 == 0, &seed))
            continue;
        done++;
        convolve(&l, krn, 0, l.n, &all);
        compare(&l, all.out[0].data, name, i);
        const int64_t len = l.oh * l.ow * l.o;
        convolve(&l, krn, l.n - 1, 1, &one);
        assert_memory_equal((float *)all.out[0].data + (l.n - 1) * len, one.out[0].data,
                            (size_t)len * sizeof(float));
        op_run_free(&all);
        op_run_free(&one);
        release(&l);
    }
}
