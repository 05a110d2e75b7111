#include "check_depthwise.h"
#include "check.h"

static char text[256];
#define WRONG(...) (snprintf(text, sizeof text, __VA_ARGS__), text)

typedef struct problem {
    krn_depthwise_args g;
    krn_epilogue ep;
    size_t x_len, f_len, y_len;
    float *x, *f, *y, *res, *bias, *slope;
} problem;

static float *guarded(size_t n)
{
    float *p = check_guard_new(n * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = NAN;
    return p;
}

static void fill(float *p, size_t n, bool integers, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = integers ? (float)check_random_int(seed, -8, 8) : check_random_float(seed, -1, 1);
}

/* Rows of x lie apart, with NaN between them. */
static void make(problem *p, bool integers, int kind, uint64_t *seed)
{
    static const float slopes[] = {0.25f, 0.0f, 1.0f, -0.5f, 1.5f};
    krn_depthwise_args *g = &p->g;
    g->row = g->w * g->c + 5;
    p->x_len = g->kh ? (g->kh - 1) * g->row + g->w * g->c : 1;
    p->f_len = g->kh ? g->kh * g->kw * g->c : 1;
    p->y_len = g->ow * g->c;
    g->x = p->x = guarded(p->x_len);
    g->f = p->f = guarded(p->f_len);
    g->y = p->y = guarded(p->y_len);
    p->res = guarded(p->y_len);
    p->bias = guarded(g->c);
    p->slope = guarded(g->c);
    for (size_t i = 0; i < g->kh; i++)
        fill(p->x + i * g->row, g->w * g->c, integers, seed);
    fill(p->f, p->f_len, integers, seed);
    fill(p->res, p->y_len, integers, seed);
    fill(p->bias, g->c, integers, seed);
    for (size_t k = 0; k < g->c; k++)
        p->slope[k] = slopes[k % 5];
    p->ep = (krn_epilogue){.bias = kind & 1 ? p->bias : NULL,
                           .residual = kind & 2 ? p->res : NULL,
                           .slope = p->slope,
                           .act = (krn_act)(kind >> 2),
                           .residual_last = g->c & 1};
    g->ep = kind ? &p->ep : NULL;
}

static void unmake(problem *p)
{
    float *all[] = {p->x, p->f, p->y, p->res, p->bias, p->slope};
    for (int i = 0; i < 6; i++)
        check_guard_free(all[i]);
}

static double expected(const problem *p, size_t pixel, size_t k)
{
    const krn_depthwise_args *g = &p->g;
    double v = 0;
    for (size_t i = 0; i < g->kh; i++)
        for (size_t j = 0; j < g->kw; j++) {
            const int64_t col = g->first + (int64_t)(pixel * g->stride + j * g->dilation);
            if (col >= 0 && col < (int64_t)g->w)
                v += (double)g->x[i * g->row + (size_t)col * g->c + k] *
                     (double)g->f[(i * g->kw + j) * g->c + k];
        }
    if (!g->ep)
        return v;
    v += g->ep->bias ? (double)p->bias[k] : 0;
    const double res = g->ep->residual ? (double)p->res[pixel * g->c + k] : 0;
    v += g->ep->residual_last ? 0 : res;
    if (g->ep->act != KRN_ACT_NONE && !(v > 0))
        v = g->ep->act == KRN_ACT_RELU ? 0 : v * (double)p->slope[k];
    return g->ep->residual_last ? v + res : v;
}

static bool band_broken(const void *data, size_t len)
{
    const unsigned char *b = data;
    for (size_t i = 1; i <= CHECK_BAND; i++)
        if (b[-(ptrdiff_t)i] != 0xa5 || b[len + i - 1] != 0xa5)
            return true;
    return false;
}

/* Reals: each pixel alone has the bits it had in the row. */
static const char *alone(problem *p, krn_depthwise_f32_fn *fn)
{
    krn_depthwise_args one = p->g;
    krn_epilogue ep = p->ep;
    float y[128];
    one.ow = 1;
    one.y = y;
    one.ep = p->g.ep ? &ep : NULL;
    for (size_t i = 0; i < p->g.ow; i++) {
        fn(&one);
        if (memcmp(y, p->y + i * one.c, one.c * sizeof *y) != 0)
            return WRONG("pixel %zu of %zu has other bits alone", i, p->g.ow);
        one.first += (int64_t)one.stride;
        ep.residual = ep.residual ? ep.residual + one.c : NULL;
    }
    return NULL;
}

static const char *try_one(krn_depthwise_f32_fn *fn, krn_depthwise_args g, bool integers, int kind,
                           uint64_t *seed)
{
    problem p = {.g = g};
    const char *wrong = NULL;
    make(&p, integers, kind, seed);
    fn(&p.g);
    for (size_t i = 0; i < p.y_len && integers && !wrong; i++) {
        const double want = expected(&p, i / g.c, i % g.c);
        if (!((double)p.y[i] == want))
            wrong = WRONG("%zu channels, %zu of %zu, %zux%zu from %d by %zu apart %zu, epilogue "
                          "%d: [%zu] is %g, not %g",
                          g.c, g.ow, g.w, g.kh, g.kw, (int)g.first, g.stride, g.dilation, kind, i,
                          (double)p.y[i], want);
    }
    if (!wrong && !integers)
        wrong = alone(&p, fn);
    if (!wrong &&
        (band_broken(p.y, p.y_len * sizeof *p.y) || band_broken(p.x, p.x_len * sizeof *p.x) ||
         band_broken(p.res, p.y_len * sizeof *p.res)))
        wrong = WRONG("%zu channels, %zu pixels: wrote outside", g.c, g.ow);
    unmake(&p);
    return wrong;
}

const char *check_depthwise_f32_text(krn_depthwise_f32_fn *fn)
{
    static const size_t channels[] = {1, 2, 7, 8, 9, 15, 16, 17, 33, 48, 70};
    static const struct {
        size_t kh, kw, stride, dilation, w, ow;
        int first;
    } shapes[] = {{3, 3, 1, 1, 14, 14, -1}, {2, 3, 1, 1, 7, 7, -1},   {3, 3, 2, 1, 15, 8, -1},
                  {5, 5, 1, 1, 9, 9, -2},   {1, 1, 1, 1, 6, 6, 0},    {0, 3, 1, 1, 5, 5, -1},
                  {3, 3, 1, 2, 20, 20, -2}, {1, 7, 3, 2, 11, 9, -12}, {7, 1, 2, 1, 13, 7, 0},
                  {2, 2, 1, 1, 1, 2, -1},   {3, 4, 2, 3, 40, 18, -4}, {1, 2, 5, 1, 3, 4, -2}};
    uint64_t seed = check_seed();
    const char *wrong = NULL;
    int turn = 0;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t c = 0; c < sizeof channels / sizeof *channels && !wrong; c++, turn++) {
            const krn_depthwise_args g = {.c = channels[c],
                                          .w = shapes[s].w,
                                          .ow = shapes[s].ow,
                                          .kh = shapes[s].kh,
                                          .kw = shapes[s].kw,
                                          .first = shapes[s].first,
                                          .stride = shapes[s].stride,
                                          .dilation = shapes[s].dilation};
            wrong = try_one(fn, g, true, turn % 12, &seed);
            if (!wrong)
                wrong = try_one(fn, g, false, (turn + 5) % 12, &seed);
        }
    return wrong;
}

void check_depthwise_f32(krn_depthwise_f32_fn *fn, const char *name)
{
    const char *wrong = check_depthwise_f32_text(fn);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}
