#include "check_train_bf16.h"
#include "op_run.h"

typedef struct layer {
    int64_t n, c, h, w, o, k[2], dilation[2], pads[4], oh, ow;
    float *x, *weights, *dy; /* (n,h,w,c), (o,kh,kw,c), (n,oh,ow,o) */
} layer;

/* A sum in double of rounded operands, and the size of its summands. */
typedef struct sum {
    double value, size;
} sum;

static double rounded(float f)
{
    uint16_t h;
    krn_to_bf16__ref(&h, &f, 1);
    const uint32_t bits = (uint32_t)h << 16;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

static void add(sum *s, float a, float b)
{
    const double t = rounded(a) * rounded(b);
    s->value += t;
    s->size += fabs(t);
}

static float *values(int64_t n, uint64_t *seed)
{
    float *p = malloc((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++)
        p[i] = check_random_float(seed, -1, 1);
    return p;
}

/* @param k products of a sum. Frees both. */
static void compare(op_run *r, sum *want, int64_t n, int64_t k, const char *what, const char *name)
{
    const float *have = r->out[0].data;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)have[i] - want[i].value) <=
              (double)(k + 2) * 0x1p-23 * (want[i].size + 1e-6)))
            fail_msg("%s of %s at %lld of %lld: %g, not %g", what, name, (long long)i, (long long)n,
                     (double)have[i], want[i].value);
    op_run_free(r);
    free(want);
}

/* False when the filter does not fit into the picture. */
static bool draw(layer *l, uint64_t *seed)
{
    static const int channels[] = {16, 31, 32, 33, 70}, filters[] = {1, 16, 17, 34};
    *l = (layer){.n = check_random_int(seed, 1, 3),
                 .c = channels[check_random_int(seed, 0, 4)],
                 .o = filters[check_random_int(seed, 0, 3)],
                 .h = check_random_int(seed, 1, 9),
                 .w = check_random_int(seed, 1, 9)};
    for (int i = 0; i < 2; i++) {
        l->k[i] = check_random_int(seed, 1, 3);
        l->dilation[i] = check_random_int(seed, 1, 2);
        l->pads[i] = check_random_int(seed, -1, 3);
        l->pads[i + 2] = check_random_int(seed, -1, 3);
        const int64_t side = (i ? l->w : l->h) + l->pads[i] + l->pads[i + 2];
        *(i ? &l->ow : &l->oh) = side - (l->k[i] - 1) * l->dilation[i];
    }
    if (l->oh < 1 || l->ow < 1)
        return false;
    l->x = values(l->n * l->h * l->w * l->c, seed);
    l->weights = values(l->o * l->c * l->k[0] * l->k[1], seed);
    l->dy = values(l->n * l->oh * l->ow * l->o, seed);
    return true;
}

static void go(op_run *r, const layer *l, const char *op, const op_tensor *in, int n_in)
{
    const prelu_attr attrs[] = {PRELU_INTS("dilations", l->dilation, 2),
                                PRELU_INTS("pads", l->pads, 4)};
    prelu_err err = {0};
    for (int i = 0; i < n_in; i++)
        r->in[i] = in[i];
    check_ok(op_run_go(r, op, n_in, 1, attrs, 2, &err), &err);
}

/* All three products at once: they are sums of the same terms. */
static void convolve(const layer *l, sum *y, sum *dx, sum *dw)
{
    const int64_t taps = l->k[0] * l->k[1];
    for (int64_t at = 0; at < l->n * l->oh * l->ow * taps; at++) {
        const int64_t t = at % taps, ox = at / taps % l->ow, oy = at / taps / l->ow % l->oh;
        const int64_t n = at / taps / l->ow / l->oh;
        const int64_t iy = oy + t / l->k[1] * l->dilation[0] - l->pads[0];
        const int64_t ix = ox + t % l->k[1] * l->dilation[1] - l->pads[1];
        if (iy < 0 || ix < 0 || iy >= l->h || ix >= l->w)
            continue;
        const int64_t in = ((n * l->h + iy) * l->w + ix) * l->c;
        const int64_t out = ((n * l->oh + oy) * l->ow + ox) * l->o;
        for (int64_t o = 0; o < l->o; o++)
            for (int64_t c = 0; c < l->c; c++) {
                const int64_t w = (o * taps + t) * l->c + c;
                add(&y[out + o], l->x[in + c], l->weights[w]);
                add(&dx[in + c], l->dy[out + o], l->weights[w]);
                add(&dw[w], l->dy[out + o], l->x[in + c]);
            }
    }
}

static void check_layer(const layer *l, const krn_table *krn, bool backwards, const char *name)
{
    const int64_t taps = l->k[0] * l->k[1], pixels = l->n * l->oh * l->ow;
    const int64_t outputs = pixels * l->o, inputs = l->n * l->h * l->w * l->c;
    const int64_t filters = l->o * taps * l->c;
    const op_tensor x = {.data = l->x, .shape = {4, {l->n, l->c, l->h, l->w}}};
    const op_tensor w = {.data = l->weights, .shape = {4, {l->o, l->c, l->k[0], l->k[1]}}};
    const op_tensor dy = {.data = l->dy, .shape = {4, {l->n, l->o, l->oh, l->ow}}};
    op_run r[3];
    sum *want[3] = {calloc((size_t)outputs, sizeof(sum)), calloc((size_t)inputs, sizeof(sum)),
                    calloc((size_t)filters, sizeof(sum))};
    for (int i = 0; i < 3; i++)
        r[i] = (op_run){.krn = krn, .round = true, .backwards = backwards};
    convolve(l, want[0], want[1], want[2]);
    go(&r[0], l, "Conv", (op_tensor[]){x, w}, 2);
    go(&r[1], l, "ConvGradX", (op_tensor[]){dy, w, x}, 3);
    go(&r[2], l, "ConvGradW", (op_tensor[]){dy, x, w}, 3);
    compare(&r[0], want[0], outputs, taps * l->c, "Conv", name);
    compare(&r[1], want[1], inputs, taps * l->o, "ConvGradX", name);
    compare(&r[2], want[2], filters, pixels, "ConvGradW", name);
}

static void check_product(const krn_table *krn, uint64_t *seed, const char *name)
{
    static const int sizes[] = {1, 2, 15, 33, 100, 300};
    const int64_t m = sizes[check_random_int(seed, 0, 5)], n = sizes[check_random_int(seed, 0, 5)];
    const int64_t k = sizes[check_random_int(seed, 0, 5)];
    const bool ta = check_random_int(seed, 0, 1), tb = check_random_int(seed, 0, 1);
    const prelu_attr attrs[] = {PRELU_INT("transA", ta), PRELU_INT("transB", tb)};
    float *a = values(m * k, seed), *b = values(k * n, seed), *c = values(n, seed);
    sum *want = calloc((size_t)(m * n), sizeof *want);
    op_run r = {.krn = krn, .round = true};
    prelu_err err = {0};
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            sum *s = &want[i * n + j];
            for (int64_t p = 0; p < k; p++)
                add(s, a[ta ? p * m + i : i * k + p], b[tb ? j * k + p : p * n + j]);
            s->value += (double)c[j];
            s->size += fabs((double)c[j]);
        }
    r.in[0] = (op_tensor){.data = a, .shape = {2, {ta ? k : m, ta ? m : k}}};
    r.in[1] = (op_tensor){.data = b, .shape = {2, {tb ? n : k, tb ? k : n}}};
    r.in[2] = (op_tensor){.data = c, .shape = {1, {n}}};
    check_ok(op_run_go(&r, "Gemm", 3, 1, attrs, 2, &err), &err);
    compare(&r, want, m * n, k, "Gemm", name);
    free(a);
    free(b);
    free(c);
}

void check_train_bf16(const krn_table *krn, const char *name)
{
    uint64_t seed = check_seed();
    for (int i = 0, done = 0; done < 20; i++) {
        layer l;
        if (!draw(&l, &seed))
            continue;
        check_layer(&l, krn, done++ % 2, name);
        free(l.x);
        free(l.weights);
        free(l.dy);
    }
    for (int i = 0; i < 20; i++)
        check_product(krn, &seed, name);
}
