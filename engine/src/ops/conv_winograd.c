#include "ops/conv_winograd.h"
#include <limits.h>

enum { N = KRN_WINOGRAD_N, XI = KRN_WINOGRAD_XI, LINE = 16 };
enum { LEAST = 8 }; /* channels and filters; with fewer the direct product wins */
enum { LEAST_TILES = 14 };
/* Filters * channels, 9 and 1.2 MB transformed: 2x2 grows ninefold, and 256 to 256 at 18x18 waits
 * for it. */
enum { AHEAD_MOST = 1 << 16, AHEAD_MOST_2X2 = 1 << 13 };
enum { OWN_TASKS = 16 };
enum { FEW = 8 }; /* tiles of a task of phase 0: some tens of microseconds */

static bool all_ones(const prelu_node *n, const char *name)
{
    const prelu_attr *a = prelu_node_attr(n, name);
    for (size_t i = 0; a && i < a->len; i++)
        if (a->kind != PRELU_ATTR_INTS || a->ints[i] != 1)
            return false;
    return true;
}

op_winograd_kind op_winograd_fits(const prelu_node *n, const prelu_shape *w)
{
    if ((w->dim[2] != 3 && w->dim[2] != 2) || w->dim[3] != w->dim[2] ||
        prelu_node_int(n, "group", 1) != 1 || !all_ones(n, "strides") ||
        !all_ones(n, "dilations") || w->dim[0] < LEAST || w->dim[1] < LEAST)
        return OP_WINOGRAD_NO;
    const int64_t most = w->dim[2] == 3 ? AHEAD_MOST : AHEAD_MOST_2X2;
    return w->dim[0] <= most / w->dim[1] ? OP_WINOGRAD_AHEAD : OP_WINOGRAD_FLY;
}

static size_t tiles_of(const op_patch *g, size_t side)
{
    return ((g->oh + side - 1) / side) * ((g->ow + side - 1) / side);
}

bool op_winograd_pays(const op_patch *g)
{
    /* cycles for an input channel and 16 filters: 18 for the products of a tile and 65 for the
     * filter, against 4.5 (2) for the direct products of a pixel and what their patches cost */
    return 36 * tiles_of(g, N + 1 - g->kh) + 130 < (g->kh * g->kw + 1) * g->oh * g->ow;
}

bool op_winograd_pays_batch(const op_patch *g, const krn_table *krn)
{
    /* the same, with the filters transformed once for each task's tiles */
    const size_t tiles = tiles_of(g, N + 1 - g->kh) * g->n,
                 tasks = tiles / op_winograd_of(krn, g->kh)->tiles + 1;
    return krn->gemm_f32->nr > 1
               ? 36 * tiles + 130 * tasks < (g->kh * g->kw + 1) * g->oh * g->ow * g->n
               : op_winograd_pays(g);
}

static size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

static size_t parts_of(size_t n, size_t most) { return n > most ? (n + most - 1) / most : 1; }

/* An odd number of lines: the 36 streams do not fall into the same sets of a cache. */
static size_t odd_lines(size_t floats) { return ((floats + LINE - 1) / LINE | 1) * LINE; }

/* Tiles of a task that keeps windows and sums for all outputs in its L2, or 0 where too few fit, or
 * there would be too few tasks. */
static size_t own_tiles(const op_winograd *p)
{
    const size_t each = XI * (p->parts * p->ldv + p->strips * p->krn->strip);
    const size_t room = krn_cpu_l2() / sizeof(float) * 5 / 8;
    const size_t filters = N * p->krn->strip * p->depth, mr = p->gemm->mr;
    const size_t tiles = room > filters ? (room - filters) / each / mr * mr : 0;
    return tiles >= 2 * mr && p->gemm->nr > 1 && p->span / tiles >= OWN_TASKS ? tiles : 0;
}

static size_t taps_of(const op_winograd *p) { return p->krn->taps * p->krn->taps; }

static size_t short_at_end(const op_winograd *p, size_t outputs)
{
    const size_t rest = outputs % p->krn->side;
    return rest && krn_winograd_short(p->krn->side, rest) ? 1 : 0;
}

static size_t images_of_span(const op_winograd *p) { return p->spans > 1 ? 1 : p->g.n; }

static void number_tiles(op_winograd *p)
{
    const size_t th = parts_of(p->g.oh, p->krn->side), tw = parts_of(p->g.ow, p->krn->side);
    const size_t bottom = short_at_end(p, p->g.oh), right = short_at_end(p, p->g.ow);
    const size_t h = th - bottom, w = tw - right, images = images_of_span(p);
    size_t from = 0;
    p->kinds[OP_TILES_CORNER] = (op_winograd_tiles){h, w, bottom, right, 0};
    p->kinds[OP_TILES_RIGHT] = (op_winograd_tiles){0, w, h, right, 0};
    p->kinds[OP_TILES_FULL] = (op_winograd_tiles){0, 0, h, w, 0};
    p->kinds[OP_TILES_BOTTOM] = (op_winograd_tiles){h, 0, bottom, w, 0};
    for (int k = 0; k < OP_TILES_KINDS; k++) {
        p->kinds[k].from = from;
        from += images * p->kinds[k].rows * p->kinds[k].cols;
    }
}

op_winograd op_winograd_cut(const op_patch *g, const krn_table *krn, bool ahead)
{
    const krn_winograd *k = op_winograd_of(krn, g->kh);
    op_winograd p = {.g = *g,
                     .gemm = krn->gemm_f32,
                     .krn = k,
                     .bf16 = krn->gemm_w16,
                     .ahead = ahead,
                     .tiles = tiles_of(g, k->side)};
    /* OpenBLAS (nr = 1) keeps a row's bits for fixed shapes only: its blocks stay in one image */
    const bool any = p.gemm->nr > 1;
    const size_t fit = k->round / (XI * g->c + 1), most = fit > k->least ? fit : k->least;
    const size_t l2 = krn_cpu_l2() / 2 / (XI * k->outputs * sizeof(float));
    const size_t tiles = op_min(k->tiles, l2 > LEAST_TILES ? l2 : LEAST_TILES);
    p.spans = any ? 1 : g->n;
    p.span = any ? g->n * p.tiles : p.tiles;
    number_tiles(&p);
    p.strips = parts_of(g->o, k->strip);
    p.panels = op_panels(p.gemm, g->o);
    /* parts as equal as whole lines allow: 192 channels are 2 x 96, not 128 and 64 */
    p.depth = round_up(parts_of(g->c, parts_of(g->c, k->depth)), LINE);
    p.depth = op_min(op_min(p.depth, k->depth), g->c);
    p.parts = parts_of(g->c, p.depth);
    p.ldv = round_up(p.depth, LINE);
    const size_t own = own_tiles(&p);
    p.own = own > 0;
    p.span_rounds = own ? 1 : parts_of(p.span, most);
    p.most_round = parts_of(p.span, p.span_rounds);
    p.tile_blocks = parts_of(p.most_round, own ? own : tiles);
    p.most_tiles = parts_of(p.most_round, p.tile_blocks);
    p.strip_blocks = own ? 1 : parts_of(p.strips * k->strip, k->outputs);
    p.most_outputs = own ? p.strips * k->strip : op_min(k->outputs, p.strips * k->strip);
    p.v_step = odd_lines((own ? p.most_tiles : p.most_round) * p.ldv);
    p.u_step = odd_lines(k->strip * p.depth);
    p.m_step = odd_lines(p.most_tiles * p.most_outputs);
    return p;
}

/* ---- filters ------------------------------------------------------------------------------ */

/* Columns (padded) of a strip, and input channels of a part. */
static size_t strip_width(const op_winograd *p, size_t strip)
{
    const size_t all = p->panels * p->gemm->nr, from = strip * p->krn->strip;
    return op_min(p->krn->strip, all - from);
}

static size_t part_depth(const op_winograd *p, size_t part)
{
    return op_min(p->depth, p->g.c - part * p->depth);
}

size_t op_winograd_packed(const op_winograd *p) { return XI * p->panels * p->gemm->nr * p->g.c; }

/* [strip][part][xi][panel][channel][nr], nothing between. */
static size_t packed_at(const op_winograd *p, size_t strip, size_t part)
{
    return XI * (strip * p->krn->strip * p->g.c + part * p->depth * strip_width(p, strip));
}

/* Where the direct product's panels, [panel][tap][c][nr], have a strip and part. */
static size_t panel_at(const op_winograd *p, size_t strip, size_t part)
{
    return strip * p->krn->strip * taps_of(p) * p->g.c + part * p->depth * p->gemm->nr;
}

/* A row of xi of one strip and part to u[xi][panel][channel][nr], from its first tap, taps `tap`
 * floats apart. */
static void filter_row(const op_winograd *p, float *u, size_t step, const float *from, size_t tap,
                       size_t strip, size_t part, int row)
{
    const size_t nr = p->gemm->nr, each = part_depth(p, part) * nr;
    for (size_t q = 0; q < strip_width(p, strip) / nr; q++)
        p->krn->filter(u + q * each, step, from + q * taps_of(p) * tap, tap, each, row);
}

/* The taps of one strip and part, widened: [panel][tap][channel][nr]. */
static void widen_taps(const op_winograd *p, float *taps, const uint16_t *filters, size_t strip,
                       size_t part)
{
    const size_t nr = p->gemm->nr, tap = p->g.c * nr, each = part_depth(p, part) * nr;
    filters += panel_at(p, strip, part);
    for (size_t q = 0; q < strip_width(p, strip) / nr * taps_of(p); q++)
        p->bf16->widen(taps + q * each, filters + q * tap, each);
}

void op_winograd_pack(const op_winograd *p, float *packed, const float *panels, size_t strip)
{
    for (size_t part = 0; part < p->parts; part++) {
        const size_t step = strip_width(p, strip) * part_depth(p, part);
        for (int row = 0; row < N; row++)
            filter_row(p, packed + packed_at(p, strip, part) + (size_t)row * N * step, step,
                       panels + panel_at(p, strip, part), p->g.c * p->gemm->nr, strip, part, row);
    }
}

/* ---- work --------------------------------------------------------------------------------- */

static size_t windows_floats(const op_winograd *p) { return p->parts * XI * p->v_step; }

/* Widened taps of a strip. */
static size_t taps_floats(const op_winograd *p) { return taps_of(p) * p->krn->strip * p->depth; }

static size_t scratch_floats(const op_winograd *p)
{
    const size_t taps = p->narrow ? (p->strips / p->strip_blocks + 1) * taps_floats(p) : 0;
    return XI * p->m_step + (p->ahead ? 0 : N * p->u_step) + taps +
           (p->own ? windows_floats(p) : 0);
}

size_t op_winograd_shared(const op_winograd *p) { return p->own ? 0 : windows_floats(p); }

prelu_status op_winograd_work(const op_winograd *p, op_work *work, prelu_err *err)
{
    const double each = 2.0 * XI * (double)p->g.c; /* of a tile and output */
    PRELU_TRY(prelu_mul(p->parts * XI * sizeof(float), p->v_step, &work->shared, err));
    work->rounds = p->spans * p->span_rounds;
    if (work->rounds > INT_MAX / 4)
        return prelu_fail(err, PRELU_E_LIMIT, "%zu rounds of a convolution", work->rounds);
    work->phases = op_winograd_phases(p);
    work->tasks[0] = parts_of(p->most_round, FEW);
    work->flops[0] = 200.0 * (double)op_min(FEW, p->most_round) * (double)p->g.c;
    work->tasks[work->phases - 1] = p->tile_blocks * p->strip_blocks;
    work->flops[work->phases - 1] = each * (double)p->most_tiles * (double)p->most_outputs;
    work->scratch = scratch_floats(p) * sizeof(float);
    return PRELU_OK;
}

/* Tiles of a round, counted over the batch. */
static op_range round_of(const op_winograd *p, size_t round)
{
    const op_range in = op_cut(p->span, 1, p->span_rounds, round % p->span_rounds);
    const size_t span = round / p->span_rounds * p->span;
    return (op_range){span + in.from, span + in.to};
}

typedef struct place {
    size_t image, y, x; /* first pixel of the output */
} place;

static place place_of(const op_winograd *p, size_t t)
{
    const size_t in = t % p->span;
    int k = OP_TILES_KINDS - 1;
    while (in < p->kinds[k].from)
        k--;
    const op_winograd_tiles *s = &p->kinds[k];
    const size_t nth = in - s->from, each = s->rows * s->cols, here = nth % each;
    return (place){t / p->span * images_of_span(p) + nth / each,
                   (s->y + here / s->cols) * p->krn->side, (s->x + here % s->cols) * p->krn->side};
}

/* ---- phase 0 ------------------------------------------------------------------------------ */

static int clip(int64_t v) { return v < 0 ? 0 : v > N ? N : (int)v; }

static krn_winograd_window window_of(const op_winograd *p, const op_winograd_run *r, size_t t)
{
    const op_patch *g = &p->g;
    const place at = place_of(p, t);
    const int64_t ih = (int64_t)at.y - g->pt, iw = (int64_t)at.x - g->pl;
    const size_t image = at.image * g->h * g->w * g->c;
    return (krn_winograd_window){.x = r->x16 ? NULL : r->x + image,
                                 .x16 = r->x16 ? r->x16 + image : NULL,
                                 .round = r->round,
                                 .at = (ptrdiff_t)((ih * (int64_t)g->w + iw) * (int64_t)g->c),
                                 .row = (ptrdiff_t)(g->w * g->c),
                                 .col = (ptrdiff_t)g->c,
                                 .i0 = clip(-ih),
                                 .i1 = clip((int64_t)g->h - ih),
                                 .j0 = clip(-iw),
                                 .j1 = clip((int64_t)g->w - iw),
                                 .short_i = krn_winograd_short(p->krn->side, g->oh - at.y),
                                 .short_j = krn_winograd_short(p->krn->side, g->ow - at.x)};
}

/* Tiles from..to-1 of those that begin with `first` of the batch. */
static void windows(const op_winograd *p, const op_winograd_run *r, size_t first, size_t from,
                    size_t to)
{
    for (size_t t = from; t < to; t++) {
        krn_winograd_window w = window_of(p, r, first + t);
        float *v = r->shared + t * p->ldv;
        for (size_t part = 0; part < p->parts; part++, v += XI * p->v_step) {
            p->krn->input(v, p->v_step, &w, part_depth(p, part));
            w.at += (ptrdiff_t)p->depth;
        }
    }
}

/* ---- phase 1 ------------------------------------------------------------------------------ */

/* A task's share: tiles of the round (and `first`, the round's first in the batch), strips, and
 * the output channels of these. */
typedef struct block {
    op_range tiles, strips, cols;
    size_t first;
} block;

static block block_of(const op_winograd *p, size_t round, size_t task)
{
    const op_range all = round_of(p, round);
    const op_range s = op_cut(p->strips, 1, p->strip_blocks, task % p->strip_blocks);
    const op_range t =
        op_cut(all.to - all.from, 1, p->tile_blocks, task / p->strip_blocks % p->tile_blocks);
    return (block){t, s, {s.from * p->krn->strip, op_min(s.to * p->krn->strip, p->g.o)}, all.from};
}

/* m += v u for the six xi of one row, one strip and part. */
static void sums(const op_winograd *p, const krn_winograd_sums *s, size_t outputs)
{
    if (p->krn->product) {
        p->krn->product(s);
        return;
    }
    for (size_t xi = 0; xi < s->count; xi++)
        p->gemm->run(&(krn_gemm_args){.m = s->tiles,
                                      .n = outputs,
                                      .k = s->depth,
                                      .a = s->v + xi * s->v_step,
                                      .a_rs = s->ldv,
                                      .a_ks = 1,
                                      .b = s->u + xi * s->u_step,
                                      .b_panel = s->depth * p->gemm->nr,
                                      .c = s->m + xi * s->m_step,
                                      .ldc = s->ldm,
                                      .accumulate = s->accumulate});
}

/* Filters that will be wanted: transformed ones for the next six xi, others for the next part (or
 * strip), one tap at each of the first calls. */
static void fetch_next(const op_winograd *p, const op_winograd_run *r, const block *b, size_t part,
                       size_t call, size_t strip, krn_winograd_sums *s)
{
    s->lines = 0;
    if (p->ahead) {
        s->fetch = s->u + N * s->u_step; /* of another part, after the last */
        s->lines = s->count * s->u_step / LINE;
        return;
    }
    const size_t nr = p->gemm->nr, tap = p->g.c * nr;
    size_t next = part + 1;
    if (next == p->parts) {
        next = 0;
        strip++;
    }
    if (strip == b->strips.to || call >= taps_of(p))
        return;
    const size_t at = panel_at(p, strip, next) + call * tap;
    s->fetch = p->narrow ? (const void *)(r->filters16 + at) : r->filters + at;
    s->lines = part_depth(p, next) * nr / (p->narrow ? 2 * LINE : LINE);
}

/* The block's tiles that have element (i,j), counted from its first. */
static op_range present(const op_winograd *p, const block *b, size_t i, size_t j)
{
    const size_t first = b->first % p->span + b->tiles.from, n = b->tiles.to - b->tiles.from;
    const bool drop_i = i == 3 || i == 4, drop_j = j == 3 || j == 4;
    const op_winograd_tiles *k = p->kinds;
    const size_t from = drop_j ? k[OP_TILES_FULL].from : drop_i ? k[OP_TILES_RIGHT].from : 0;
    const size_t to = drop_i ? k[OP_TILES_BOTTOM].from : p->span;
    const op_range in = {from > first ? from - first : 0, to > first ? to - first : 0};
    return (op_range){op_min(in.from, n), op_min(in.to, n)};
}

static void row_of_products(const op_winograd *p, const op_winograd_run *r, const block *b,
                            size_t part, int row)
{
    float *u = r->scratch + XI * p->m_step, *taps = u + N * p->u_step;
    const size_t depth = part_depth(p, part), xi = (size_t)row * N;
    const bool ends_short = p->kinds[OP_TILES_FULL].from > 0; /* columns 3 and 4 lack tiles */
    for (size_t strip = b->strips.from; strip < b->strips.to; strip++) {
        const size_t at = strip * p->krn->strip;
        krn_winograd_sums s = {.depth = depth,
                               .u = u,
                               .v_step = p->v_step,
                               .u_step = p->u_step,
                               .m_step = p->m_step,
                               .ldv = p->ldv,
                               .ldm = p->most_outputs,
                               .accumulate = part > 0};
        if (p->ahead) {
            s.u_step = strip_width(p, strip) * depth;
            s.u = r->filters + packed_at(p, strip, part) + xi * s.u_step;
        } else if (p->narrow) {
            if (row == 0)
                widen_taps(p, taps, r->filters16, strip, part);
            filter_row(p, u, p->u_step, taps, depth * p->gemm->nr, strip, part, row);
            taps += taps_floats(p);
        } else {
            filter_row(p, u, p->u_step, r->filters + panel_at(p, strip, part), p->g.c * p->gemm->nr,
                       strip, part, row);
        }
        for (size_t j = 0, call = 3 * (size_t)row; j < N; j += s.count, call++) {
            const op_range tiles = present(p, b, (size_t)row, j);
            s.count = ends_short && j ? (j == 3 ? 2 : 1) : N / 2;
            s.tiles = tiles.to - tiles.from;
            s.v = r->shared + (part * XI + xi + j) * p->v_step +
                  (b->tiles.from + tiles.from) * p->ldv;
            s.m = r->scratch + (xi + j) * p->m_step + tiles.from * p->most_outputs + at -
                  b->cols.from;
            fetch_next(p, r, b, part, call, strip, &s);
            if (s.tiles)
                sums(p, &s, op_min(p->krn->strip, p->g.o - at));
            s.u += s.count * s.u_step;
        }
    }
}

/* The lines that the next tile's pixels go to. */
static void fetch_place(const op_winograd *p, const op_winograd_run *r, const block *b, size_t t)
{
    const op_patch *g = &p->g;
    if (t >= b->tiles.to)
        return;
    const place to = place_of(p, b->first + t);
    const size_t cols = b->cols.to - b->cols.from;
    for (size_t i = to.y; i < op_min(to.y + p->krn->side, g->oh); i++)
        for (size_t j = to.x; j < op_min(to.x + p->krn->side, g->ow); j++) {
            const size_t at = ((to.image * g->oh + i) * g->ow + j) * g->o + b->cols.from;
            for (size_t k = 0; k < cols && !r->y16; k += LINE)
                __builtin_prefetch(r->y + at + k, 1);
            for (size_t k = 0; k < cols && r->y16; k += 2 * LINE)
                __builtin_prefetch(r->y16 + at + k, 1);
        }
}

static void pixels(const op_winograd *p, const op_winograd_run *r, const block *b)
{
    const op_patch *g = &p->g;
    const float *m = r->scratch;
    krn_epilogue mine;
    for (size_t t = b->tiles.from; t < b->tiles.to; t++, m += p->most_outputs) {
        const place to = place_of(p, b->first + t);
        const size_t at = ((to.image * g->oh + to.y) * g->ow + to.x) * g->o + b->cols.from;
        const krn_winograd_place out = {.y = r->y16 ? NULL : r->y + at,
                                        .y16 = r->y16 ? r->y16 + at : NULL,
                                        .row = g->ow * g->o,
                                        .col = g->o,
                                        .rows = (int)op_min(p->krn->side, g->oh - to.y),
                                        .cols = (int)op_min(p->krn->side, g->ow - to.x),
                                        .ep = r->ep ? &mine : NULL};
        if (r->ep) {
            mine = *r->ep;
            mine.bias = mine.bias ? mine.bias + b->cols.from : NULL;
            mine.slope = mine.slope ? mine.slope + b->cols.from : NULL;
            mine.residual = mine.residual ? mine.residual + at : NULL;
        }
        fetch_place(p, r, b, t + 1);
        p->krn->output(&out, m, p->m_step, b->cols.to - b->cols.from);
    }
}

static void finish(const op_winograd *p, const op_winograd_run *r, const block *b)
{
    for (size_t part = 0; part < p->parts; part++)
        for (int row = 0; row < N; row++)
            row_of_products(p, r, b, part, row);
    pixels(p, r, b);
}

/* A block whose windows nobody else needs: they lie behind the rest of its scratch. */
static void own(const op_winograd *p, const op_winograd_run *r, size_t task)
{
    op_winograd_run mine = *r;
    block b = block_of(p, 0, task);
    b.first += b.tiles.from;
    b.tiles = (op_range){0, b.tiles.to - b.tiles.from};
    mine.shared = r->scratch + scratch_floats(p) - windows_floats(p);
    windows(p, &mine, b.first, 0, b.tiles.to);
    finish(p, &mine, &b);
}

void op_winograd_task(const op_winograd *p, const op_winograd_run *r, int phase, size_t task)
{
    const int phases = op_winograd_phases(p);
    const size_t round = (size_t)(phase / phases);
    if (p->own) {
        own(p, r, task);
    } else if (phase % phases == 0) {
        const op_range all = round_of(p, round);
        windows(p, r, all.from, task * FEW, op_min((task + 1) * FEW, all.to - all.from));
    } else {
        const block b = block_of(p, round, task);
        if (b.tiles.from < b.tiles.to)
            finish(p, r, &b);
    }
}
