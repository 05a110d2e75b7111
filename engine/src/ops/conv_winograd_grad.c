#include "ops/conv_winograd_grad.h"
#include "ops/conv_winograd.h"
#include "ops/util.h"
#include <limits.h>
#include <string.h>

enum { N = KRN_WINOGRAD_N, XI = KRN_WINOGRAD_XI, LINE = 16 };
enum { FEW = 8 };       /* tiles of a task of phase 0 */
enum { OUTPUTS = 128 }; /* of a task of phase 1 */
enum { PHASES = 3 };    /* of a round */
enum { SHARES = 16 };

bool op_winograd_grad_fits(const op_patch *g, const prelu_node *n, const prelu_shape *w,
                           const krn_table *krn)
{
    /* panels of one column would need the tiles transposed */
    return krn->gemm_f32->nr > 1 && op_winograd_fits(n, w) != OP_WINOGRAD_NO &&
           op_winograd_pays_batch(g, krn);
}

/* An odd number of lines, as in the forward pass. */
static size_t odd_lines(size_t floats) { return ((floats + LINE - 1) / LINE | 1) * LINE; }

op_winograd_grad op_winograd_grad_cut(const op_patch *g, const krn_table *krn)
{
    const size_t nr = krn->gemm_f32->nr;
    op_winograd_grad p = {.g = *g,
                          .gemm = krn->gemm_f32,
                          .krn = op_winograd_of(krn, g->kh),
                          .grad = g->kh == 2 ? krn->winograd_2x2_grad_f32 : krn->winograd_grad_f32};
    const size_t side = p.krn->side;
    p.tw = (g->ow + side - 1) / side;
    p.tiles = (g->oh + side - 1) / side * p.tw;
    p.all = g->n * p.tiles;
    p.panels = op_panels(p.gemm, g->c);
    p.out_panels = op_panels(p.gemm, g->o);
    /* What a round shares stays in the shared cache, but the sums m are read and written once a
     * round: not more bytes than those of v and y. */
    const size_t tile = XI * (p.panels + p.out_panels) * nr;
    const size_t fit = p.krn->round / tile;
    const size_t least = g->c * g->o / (g->c + g->o) + FEW;
    p.m_step = odd_lines(g->o * g->c);
    p.rounds = op_parts(p.all, fit > least ? fit : least);
    p.most_round = op_parts(p.all, p.rounds);
    if (XI * p.m_step <= krn_cpu_l2() / sizeof(float) / 3) {
        p.shares = SHARES;
        p.rounds = 1;
        p.most_round = krn_cpu_l2() / sizeof(float) / 2 / tile;
        p.most_round = op_min(p.most_round > FEW ? p.most_round : FEW, krn->gemm_f32->kc);
    }
    p.out_blocks = op_parts(g->o, OUTPUTS);
    p.step = odd_lines(p.most_round * nr);
    return p;
}

/* Rows of filters that a task of the last phase makes. */
static size_t rows_per_gather(const op_winograd_grad *p)
{
    return 1 + OP_CHUNK / (XI * p->g.c * (p->shares ? p->shares : 1));
}

prelu_status op_winograd_grad_work(const op_winograd_grad *p, op_work *work, prelu_err *err)
{
    const op_patch *g = &p->g;
    const double macs = (double)g->c * (double)g->o;
    size_t v, m;
    PRELU_TRY(prelu_mul(p->step * sizeof(float), XI * (p->panels + p->out_panels), &v, err));
    PRELU_TRY(prelu_mul(p->m_step * sizeof(float), XI * (p->shares ? p->shares : 1), &m, err));
    if (p->rounds > INT_MAX / PHASES - 1)
        return prelu_fail(err, PRELU_E_LIMIT, "%zu rounds of a gradient", p->rounds);
    work->rounds = p->rounds;
    const int last = p->shares ? 1 : 2;
    if (p->shares) {
        work->tasks[0] = p->shares;
        work->flops[0] = 2.0 * XI * macs * (double)(p->all / p->shares + 1);
        work->scratch = v;
        work->shared = m;
    } else {
        work->tasks[0] = op_parts(p->most_round, FEW);
        work->flops[0] = 200.0 * FEW * (double)(g->c + g->o);
        work->tasks[1] = XI * p->out_blocks;
        work->flops[1] = 2.0 * (double)p->most_round * macs / (double)p->out_blocks;
        PRELU_TRY(prelu_add(v, m, &work->shared, err));
    }
    work->phases = last + 1;
    work->tasks[last] = op_parts(g->o, rows_per_gather(p));
    work->flops[last] = 100.0 * (double)g->c;
    return PRELU_OK;
}

/* Where a tile begins, and which of its pixels (side x side; 6x6 for the input) exist. */
static int clip(int64_t v, int most) { return v < 0 ? 0 : v > most ? most : (int)v; }

static krn_winograd_window window(const float *x, size_t h, size_t w, size_t c, int64_t row,
                                  int64_t col, int side)
{
    return (krn_winograd_window){.x = x,
                                 .at = (ptrdiff_t)((row * (int64_t)w + col) * (int64_t)c),
                                 .row = (ptrdiff_t)(w * c),
                                 .col = (ptrdiff_t)c,
                                 .i0 = clip(-row, side),
                                 .i1 = clip((int64_t)h - row, side),
                                 .j0 = clip(-col, side),
                                 .j1 = clip((int64_t)w - col, side)};
}

static void transform(const op_winograd_grad *p, const float *x, const float *dy, float *v,
                      float *y, size_t t)
{
    const op_patch *g = &p->g;
    const size_t nr = p->gemm->nr, image = t / p->tiles, in = t % p->tiles;
    const size_t side = p->krn->side;
    const int64_t row = (int64_t)(in / p->tw * side), col = (int64_t)(in % p->tw * side);
    krn_winograd_window out =
        window(dy + image * g->oh * g->ow * g->o, g->oh, g->ow, g->o, row, col, (int)side);
    krn_winograd_window win =
        window(x + image * g->h * g->w * g->c, g->h, g->w, g->c, row - g->pt, col - g->pl, N);
    for (size_t q = 0; q < p->out_panels; q++, out.x += nr, y += XI * p->step)
        p->grad->spread(y, p->step, &out, op_min(nr, g->o - q * nr));
    for (size_t q = 0; q < p->panels; q++, win.x += nr, v += XI * p->step) {
        const size_t some = op_min(nr, g->c - q * nr);
        p->krn->input(v, p->step, &win, some);
        for (size_t xi = 0; xi < XI && some < nr; xi++)
            memset(v + xi * p->step + some, 0, (nr - some) * sizeof *v);
    }
}

/* kc tiles at a time: a panel of v stays in L1 while the outputs of one of y pass by. */
static void products(const op_winograd_grad *p, const float *v, const float *y, float *m,
                     size_t tiles, size_t task, bool first)
{
    const op_patch *g = &p->g;
    const krn_gemm *gemm = p->gemm;
    const size_t xi = task / p->out_blocks, nr = gemm->nr, parts = op_parts(tiles, gemm->kc);
    const op_range o = op_cut(g->o, nr, p->out_blocks, task % p->out_blocks);
    for (size_t at = o.from; at < o.to; at += nr)
        for (size_t part = 0; part < parts; part++) {
            const op_range t = op_cut(tiles, 1, parts, part);
            gemm->run(&(krn_gemm_args){.m = op_min(nr, o.to - at),
                                       .n = g->c,
                                       .k = t.to - t.from,
                                       .a = y + (at / nr * XI + xi) * p->step + t.from * nr,
                                       .a_rs = 1,
                                       .a_ks = nr,
                                       .b = v + xi * p->step + t.from * nr,
                                       .b_panel = XI * p->step,
                                       .c = m + xi * p->m_step + at * g->c,
                                       .ldc = g->c,
                                       .accumulate = !first || part > 0});
        }
}

/* Blocks of a share's tiles, one after another, into its own sums. */
static void share(const op_winograd_grad *p, const float *x, const float *dy, float *m, size_t task,
                  float *scratch)
{
    const op_range all = op_cut(p->all, 1, p->shares, task);
    const size_t nr = p->gemm->nr;
    float *v = scratch, *y = v + XI * p->panels * p->step;
    if (all.from == all.to)
        memset(m, 0, XI * p->m_step * sizeof *m);
    for (size_t at = all.from; at < all.to; at += p->most_round) {
        const size_t tiles = op_min(p->most_round, all.to - at);
        for (size_t t = 0; t < tiles; t++)
            transform(p, x, dy, v + t * nr, y + t * nr, at + t);
        for (size_t i = 0; i < XI * p->out_blocks; i++)
            products(p, v, y, m, tiles, i, at == all.from);
    }
}

/* Filters of some outputs; the shares' sums are added up first, into those of the first. */
static void gather(const op_winograd_grad *p, float *dw, float *m, size_t task)
{
    const size_t c = p->g.c;
    size_t from, to;
    op_part(p->g.o, rows_per_gather(p), task, &from, &to);
    for (size_t s = 1; s < p->shares; s++)
        for (size_t xi = 0; xi < XI; xi++) {
            float *restrict sum = m + xi * p->m_step;
            const float *restrict part = sum + s * XI * p->m_step;
            for (size_t i = from * c; i < to * c; i++)
                sum[i] += part[i];
        }
    for (size_t o = from; o < to; o++)
        p->grad->gather(dw + o * p->krn->taps * p->krn->taps * c, c, m + o * c, p->m_step, c);
}

void op_winograd_grad_task(const op_winograd_grad *p, const float *x, const float *dy, float *dw,
                           float *shared, int phase, size_t task, float *scratch)
{
    if (p->shares) {
        if (phase == 0)
            share(p, x, dy, shared + task * XI * p->m_step, task, scratch);
        else
            gather(p, dw, shared, task);
        return;
    }
    const size_t round = (size_t)phase / PHASES, nr = p->gemm->nr;
    const op_range all = op_cut(p->all, 1, p->rounds, round);
    float *v = shared, *y = v + XI * p->panels * p->step, *m = y + XI * p->out_panels * p->step;
    if (phase % PHASES == 0) {
        const size_t to = op_min((task + 1) * FEW, all.to - all.from);
        for (size_t t = task * FEW; t < to; t++)
            transform(p, x, dy, v + t * nr, y + t * nr, all.from + t);
    } else if (phase % PHASES == 1) {
        products(p, v, y, m, all.to - all.from, task, round == 0);
    } else if (round + 1 == p->rounds) {
        gather(p, dw, m, task);
    }
}
