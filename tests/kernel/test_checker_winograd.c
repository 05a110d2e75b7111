#include "check.h"
#include "check_winograd.h"

/* The checker is checked: variants with one planted fault each must be noticed. */

/* The plain C variant that the faults are planted in. */
static krn_winograd ref;
#define REF ref

static void input_skips_tail(float *v, size_t step, const krn_winograd_window *w, size_t channels)
{
    REF.input(v, step, w, channels > 8 ? channels / 8 * 8 : channels);
}

/* One column too few: what lies at the picture's right edge counts as outside. */
static void input_drops_edge(float *v, size_t step, const krn_winograd_window *w, size_t channels)
{
    krn_winograd_window less = *w;
    if (less.j1 < 6 && less.j1 > less.j0)
        less.j1--;
    REF.input(v, step, &less, channels);
}

static void input_one_past(float *v, size_t step, const krn_winograd_window *w, size_t channels)
{
    REF.input(v, step, w, channels);
    v[35 * step + channels] = 0;
}

static void input_rounds_often(float *v, size_t step, const krn_winograd_window *w, size_t channels)
{
    REF.input(v, step, w, channels);
    for (size_t i = 0; i < channels; i++)
        v[7 * step + i] *= 1.00001f;
}

static void filter_swaps(float *u, size_t step, const float *g, size_t tap, size_t n, int row)
{
    REF.filter(u, step, g, tap, n, row == 1 ? 2 : row == 2 ? 1 : row);
}

static void filter_stops(float *u, size_t step, const float *g, size_t tap, size_t n, int row)
{
    REF.filter(u, step, g, tap, n > 32 ? 32 : n, row);
}

static void filter_loses(float *u, size_t step, const float *g, size_t tap, size_t n, int row)
{
    REF.filter(u, step, g, tap, n, row);
    for (size_t k = 0; k < n && row == 5; k++)
        u[5 * step + k] = 0;
}

static void output_all_rows(const krn_winograd_place *p, const float *m, size_t step, size_t c)
{
    REF.output(p, m, step, c);
    if (p->y && p->rows > 1 &&
        p->cols < (int)REF.side) /* beside the tile, still inside the block */
        p->y[(size_t)p->cols * p->col] = 0;
}

static void output_no_residual(const krn_winograd_place *p, const float *m, size_t step, size_t c)
{
    krn_winograd_place q = *p;
    krn_epilogue ep;
    if (p->ep) {
        ep = *p->ep;
        ep.residual = NULL;
        q.ep = &ep;
    }
    REF.output(&q, m, step, c);
}

static void output_residual_first(const krn_winograd_place *p, const float *m, size_t step,
                                  size_t c)
{
    krn_winograd_place q = *p;
    krn_epilogue ep;
    if (p->ep) {
        ep = *p->ep;
        ep.residual_last = false;
        q.ep = &ep;
    }
    REF.output(&q, m, step, c);
}

/* max(y, a*y): wrong for a > 1 and a < 0. */
static void output_max(const krn_winograd_place *p, const float *m, size_t step, size_t c)
{
    krn_winograd_place q = *p;
    krn_epilogue ep;
    if (!p->y || !p->ep || p->ep->act != KRN_ACT_PRELU) {
        REF.output(p, m, step, c);
        return;
    }
    ep = *p->ep;
    ep.act = KRN_ACT_NONE;
    q.ep = &ep;
    REF.output(&q, m, step, c);
    for (int i = 0; i < p->rows; i++)
        for (int j = 0; j < p->cols; j++)
            for (size_t k = 0; k < c; k++) {
                float *y = &p->y[(size_t)i * p->row + (size_t)j * p->col + k];
                *y = fmaxf(*y, *y * p->ep->slope[k]);
            }
}

static void input_never_short(float *v, size_t step, const krn_winograd_window *w, size_t channels)
{
    krn_winograd_window q = *w;
    q.short_i = false;
    REF.input(v, step, &q, channels);
}

static void output_one_column(const krn_winograd_place *p, const float *m, size_t step, size_t c)
{
    krn_winograd_place q = *p;
    if (p->cols == 2)
        q.cols = 1;
    REF.output(&q, m, step, c);
}

static void input_does_not_round(float *v, size_t step, const krn_winograd_window *w,
                                 size_t channels)
{
    krn_winograd_window q = *w;
    q.round = false;
    REF.input(v, step, &q, channels);
}

/* Towards zero. */
static void output_cuts(const krn_winograd_place *p, const float *m, size_t step, size_t c)
{
    enum { ROW = 512, COL = 96 };
    static float y[KRN_WINOGRAD_MOST_SIDE * ROW];
    const krn_winograd_place q = {
        .y = y, .row = ROW, .col = COL, .rows = p->rows, .cols = p->cols, .ep = p->ep};
    if (!p->y16 || (p->ep && p->ep->residual)) {
        REF.output(p, m, step, c);
        return;
    }
    REF.output(&q, m, step, c);
    for (int i = 0; i < p->rows; i++)
        for (int j = 0; j < p->cols; j++)
            for (size_t k = 0; k < c; k++) {
                uint32_t bits;
                memcpy(&bits, &y[(size_t)i * ROW + (size_t)j * COL + k], sizeof bits);
                p->y16[(size_t)i * p->row + (size_t)j * p->col + k] = (uint16_t)(bits >> 16);
            }
}

enum { NR = 8 };

static void sum(const krn_winograd_sums *s, size_t from, size_t to, bool back)
{
    for (size_t xi = 0; xi < s->count; xi++)
        for (size_t t = 0; t < s->tiles; t++)
            for (size_t o = 0; o < NR; o++) {
                float *m = s->m + xi * s->m_step + t * s->ldm + o;
                float v = s->accumulate ? *m : 0;
                for (size_t i = from; i < to; i++) {
                    const size_t k = back ? to - 1 - (i - from) : i;
                    v += s->v[xi * s->v_step + t * s->ldv + k] * s->u[xi * s->u_step + k * NR + o];
                }
                *m = v;
            }
}

static void product_right(const krn_winograd_sums *s) { sum(s, 0, s->depth, false); }

static void product_loses(const krn_winograd_sums *s)
{
    sum(s, 0, s->depth > 64 ? 64 : s->depth, false);
}

static void product_backwards(const krn_winograd_sums *s) { sum(s, 0, s->depth, s->tiles > 1); }

static void product_forgets(const krn_winograd_sums *s)
{
    krn_winograd_sums t = *s;
    t.accumulate = false;
    sum(&t, 0, t.depth, false);
}

static void product_writes_on(const krn_winograd_sums *s)
{
    sum(s, 0, s->depth, false);
    if (s->tiles > 1)
        s->m[NR] = 0;
}

static void faults_are_noticed(const krn_winograd *in)
{
    krn_winograd bad[19];
    size_t n = 0;
    ref = *in;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        bad[i] = REF;
    bad[n++].input = input_skips_tail;
    bad[n++].input = input_drops_edge;
    bad[n++].input = input_one_past;
    bad[n++].input = input_rounds_often;
    bad[n++].input = input_never_short;
    bad[n++].input = input_does_not_round;
    bad[n++].filter = filter_swaps;
    bad[n++].filter = filter_stops;
    bad[n++].filter = filter_loses;
    bad[n++].output = output_all_rows;
    bad[n++].output = output_no_residual;
    bad[n++].output = output_residual_first;
    bad[n++].output = output_max;
    bad[n++].output = output_one_column;
    bad[n++].output = output_cuts;
    bad[n++].product = product_loses;
    bad[n++].product = product_backwards;
    bad[n++].product = product_forgets;
    bad[n++].product = product_writes_on;
    assert_int_equal(n, sizeof bad / sizeof *bad);
    for (size_t i = 0; i < n; i++) {
        bad[i].strip = NR;
        if (!check_winograd_f32_text(&bad[i]))
            fail_msg("%s: the checker did not notice fault %zu", ref.fly, i);
    }
    krn_winograd good = REF;
    good.strip = NR;
    good.product = product_right;
    assert_null(check_winograd_f32_text(&good));
}

static void test_faults_are_noticed(void **state)
{
    (void)state;
    faults_are_noticed(&krn_winograd_f32__ref);
    faults_are_noticed(&krn_winograd_2x2_f32__ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults_are_noticed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
