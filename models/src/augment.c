#include "augment.h"
#include "gauss.h"
#include <math.h>

/* splitmix64's finaliser: a bijection with full avalanche. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t mdl_augment_random(uint64_t seed, uint64_t epoch, uint64_t picture, uint64_t draw)
{
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    uint64_t z = mix(seed + golden);
    z = mix(z ^ (epoch + 2 * golden));
    z = mix(z ^ (picture + 3 * golden));
    return mix(z ^ (draw + 4 * golden));
}

/* Uniform in 0..n-1 by the high half of a product; the bias is below n / 2^64. */
static uint64_t below(uint64_t random, uint64_t n)
{
    return (uint64_t)((__uint128_t)random * n >> 64);
}

enum { DRAW_SCALE, DRAW_X, DRAW_Y, DRAW_FLIP, DRAW_COLOUR, DRAW_CUT_X, DRAW_CUT_Y };

/* Pixels are whole numbers, so the shift may be one too. */
static void draw_colour(const mdl_augment *a, uint64_t epoch, uint64_t picture, int shift[3])
{
    float times[3];
    mdl_gauss_fill(times, 3, a->colour, mdl_augment_random(a->seed, epoch, picture, DRAW_COLOUR),
                   "colour");
    for (int c = 0; c < 3; c++) {
        double sum = 0;
        for (int i = 0; i < 3; i++)
            sum += (double)times[i] * (double)a->directions[i][c];
        shift[c] = (int)lround(fmin(fmax(sum, -255), 255));
    }
}

/* DeVries and Taylor 2017: the centre is anywhere in the view, so the square may be clipped. */
static prelu_rect draw_cutout(const mdl_augment *a, uint64_t epoch, uint64_t picture)
{
    int from[2], to[2];
    for (int i = 0; i < 2; i++) {
        const uint64_t draw = i ? DRAW_CUT_Y : DRAW_CUT_X;
        const int centre =
            (int)below(mdl_augment_random(a->seed, epoch, picture, draw), (uint64_t)a->crop);
        const int first = centre - a->cutout / 2, last = first + a->cutout;
        from[i] = first < 0 ? 0 : first;
        to[i] = last > a->crop ? a->crop : last;
    }
    return (prelu_rect){from[0], from[1], to[0] - from[0], to[1] - from[1]};
}

prelu_status mdl_augment_check(const mdl_augment *a, prelu_err *err)
{
    if (a->crop < 1 || a->scale_min < a->crop || a->scale_max < a->scale_min)
        return prelu_fail(err, PRELU_E_ARG, "scales %d..%d do not fit a crop of %d", a->scale_min,
                          a->scale_max, a->crop);
    if (a->translate < 0 || a->translate > (a->crop - 1) / 2)
        return prelu_fail(err, PRELU_E_ARG, "translate %d: 0 to %d with a crop of %d", a->translate,
                          (a->crop - 1) / 2, a->crop);
    if (a->cutout < 0 || a->cutout > a->crop)
        return prelu_fail(err, PRELU_E_ARG, "cutout %d: 0 to the crop of %d", a->cutout, a->crop);
    return PRELU_OK;
}

prelu_status mdl_augment_draw(const mdl_augment *a, uint64_t epoch, uint64_t picture, int width,
                              int height, mdl_choice *out, prelu_err *err)
{
    mdl_choice c = {0};
    uint64_t span = (uint64_t)(a->scale_max - a->scale_min) + 1;
    int side =
        a->scale_min + (int)below(mdl_augment_random(a->seed, epoch, picture, DRAW_SCALE), span);
    PRELU_TRY(prelu_resized_size(width, height, side, NULL, &c.width, &c.height, err));
    const int reach = 2 * a->translate - a->crop + 1;
    c.x = (int)below(mdl_augment_random(a->seed, epoch, picture, DRAW_X),
                     (uint64_t)(c.width + reach)) -
          a->translate;
    c.y = (int)below(mdl_augment_random(a->seed, epoch, picture, DRAW_Y),
                     (uint64_t)(c.height + reach)) -
          a->translate;
    if (a->flip) {
        uint64_t drawn = a->alternate ? 0 : epoch, turned = a->alternate ? epoch & 1 : 0;
        c.mirror = (mdl_augment_random(a->seed, drawn, picture, DRAW_FLIP) >> 63) != turned;
    }
    if (a->colour > 0)
        draw_colour(a, epoch, picture, c.shift);
    if (a->cutout)
        c.cutout = draw_cutout(a, epoch, picture);
    *out = c;
    return PRELU_OK;
}

void mdl_augment_order(uint64_t seed, uint64_t epoch, uint32_t *order, size_t n)
{
    /* Fisher-Yates; picture UINT64_MAX keeps this stream apart from those of the pictures */
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (size_t i = n; i > 1; i--) {
        size_t j = below(mdl_augment_random(seed, epoch, UINT64_MAX, i), i);
        uint32_t t = order[i - 1];
        order[i - 1] = order[j];
        order[j] = t;
    }
}
