/* Blocks of pictures: decoded and prepared for all tests in parallel; then test by test run as one
 * batch of views, and ranked one by one. */
#include "evaluate.h"
#include "common.h"
#include "prelu/mem.h"
#include <string.h>

/* Views of a block in one test, and its pixels in all: pictures are held until their block has run.
 */
#define BLOCK_VIEWS ((size_t)320)
#define BLOCK_PIXELS ((size_t)64 << 20)

/* A picture prepared for one test of one member. */
typedef struct piece {
    prelu_prepared prepared;
    bool held;
} piece;

typedef struct block {
    const train_evaluation *e;
    size_t first, n, room, slots, classes; /* a slot for each test of each member */
    piece *pieces;                         /* slots times room, slot by slot */
    prelu_err *errs;                       /* by picture: why it is skipped somewhere */
    double *decode_ms;                     /* by picture */
    prelu_view *views;                     /* of one slot */
    double *means;                         /* (members, room, classes) of one test */
    double *mean;                          /* of one picture, by class */
    float *scores;                         /* score_room rows */
    size_t score_room;
} block;

void train_count(train_result *r, const train_record *one)
{
    r->skipped += one->n == 0;
    r->images += one->n > 0;
    r->top1 += one->n > 0 && one->top[0] == one->label;
    for (int i = 0; i < one->n; i++)
        r->top5 += one->top[i] == one->label;
}

static prelu_status prepare_slot(block *b, size_t i, const prelu_model *m, const prelu_test *test,
                                 prelu_image *decoded, prelu_prepared *out, prelu_err *err)
{
    const train_evaluation *e = b->e;
    prelu_status st;
    void *bytes = NULL;
    size_t len = 0;
    if (!m->preprocess.draft || e->data->is_idx) {
        const double start = train_now_ms();
        if (!decoded->data)
            PRELU_TRY(mdl_dataset_decode(e->data, b->first + i, decoded, err));
        b->decode_ms[i] += train_now_ms() - start;
        return prelu_model_prepare_image(out, m, test, decoded, NULL, err);
    }
    PRELU_TRY(mdl_dataset_bytes(e->data, b->first + i, &bytes, &len, err));
    st = prelu_model_prepare(out, m, test, bytes, len, NULL, err);
    prelu_free(bytes);
    if (!st)
        b->decode_ms[i] += out->decode_ms;
    return st;
}

static void prepare_task(void *ctx, size_t i, int worker)
{
    block *b = ctx;
    const train_evaluation *e = b->e;
    prelu_image decoded = {.data = NULL};
    (void)worker;
    memset(&b->errs[i], 0, sizeof b->errs[i]);
    b->decode_ms[i] = 0;
    for (size_t s = 0; s < b->slots; s++) {
        const train_member *m = &e->members[s / (size_t)e->n_tests];
        piece *p = &b->pieces[s * b->room + i];
        p->held = !prepare_slot(b, i, m->model, &m->tests[s % (size_t)e->n_tests], &decoded,
                                &p->prepared, &b->errs[i]);
        if (!p->held && !decoded.data)
            break; /* the file is at fault; every test would say so again */
    }
    prelu_image_deinit(&decoded);
}

static prelu_status report_bad(const block *b, prelu_err *err)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->errs[i].code == PRELU_E_NOMEM)
            return prelu_fail(err, PRELU_E_NOMEM, "%s", b->errs[i].text);
        if (b->errs[i].code && b->e->bad)
            b->e->bad(b->e->ctx, b->first + i, b->errs[i].text);
    }
    return PRELU_OK;
}

/* Whether every member has picture i ready for the test. */
static bool ready(const block *b, size_t i, size_t test)
{
    for (size_t s = test; s < b->slots; s += (size_t)b->e->n_tests)
        if (!b->pieces[s * b->room + i].held)
            return false;
    return true;
}

static prelu_status grow_scores(block *b, size_t rows, prelu_err *err)
{
    size_t count = 0;
    if (rows <= b->score_room)
        return PRELU_OK;
    PRELU_TRY(prelu_mul(rows, b->classes, &count, err));
    prelu_free(b->scores);
    b->score_room = 0;
    b->scores = prelu_calloc(count, sizeof *b->scores);
    if (!b->scores)
        return prelu_fail(err, PRELU_E_NOMEM, "eval: %zu scores", count);
    b->score_room = rows;
    return PRELU_OK;
}

/* A member's means over the rows of each picture of the block, in one test. */
static prelu_status run_slot(block *b, size_t s, train_timing *t, prelu_err *err)
{
    const train_evaluation *e = b->e;
    const size_t test = s % (size_t)e->n_tests, member = s / (size_t)e->n_tests;
    const train_member *m = &e->members[member];
    const double start = train_now_ms();
    size_t views = 0, rows = 0, row = 0;
    for (size_t i = 0; i < b->n; i++) {
        const prelu_prepared *p = &b->pieces[s * b->room + i].prepared;
        if (!ready(b, i, test))
            continue;
        memcpy(b->views + views, p->views, p->n_views * sizeof *p->views);
        views += p->n_views;
        rows += p->n_rows;
        t->prepare += p->prepare_ms;
    }
    PRELU_TRY(grow_scores(b, rows, err));
    if (views)
        PRELU_TRY(prelu_views_run(m->tests[test].dense ? m->dense : m->session, b->views, views,
                                  m->tests[test].average, (int)b->classes, b->scores, rows, err));
    for (size_t i = 0; i < b->n; i++) {
        const prelu_prepared *p = &b->pieces[s * b->room + i].prepared;
        if (!ready(b, i, test))
            continue;
        PRELU_TRY(prelu_prepared_mean(p, m->model, b->scores + row * b->classes,
                                      b->means + (member * b->room + i) * b->classes, err));
        row += p->n_rows;
    }
    t->infer += train_now_ms() - start;
    return PRELU_OK;
}

/* Rank picture i by what each member says of it. */
static prelu_status rank_one(block *b, size_t i, prelu_average average, train_record *r,
                             prelu_err *err)
{
    const size_t members = (size_t)b->e->n_members;
    const double *means[TRAIN_MAX_MEMBERS];
    prelu_prediction top[TRAIN_TOP];
    r->n = b->classes < TRAIN_TOP ? (int32_t)b->classes : TRAIN_TOP;
    for (size_t m = 0; m < members; m++)
        means[m] = b->means + (m * b->room + i) * b->classes;
    PRELU_TRY(prelu_ensemble_rank(means, members, (int)b->classes, average, (size_t)r->n, top,
                                  b->mean, err));
    for (int k = 0; k < r->n; k++) {
        r->top[k] = top[k].class_index;
        r->score[k] = top[k].score;
    }
    r->own = b->mean[r->label];
    return PRELU_OK;
}

static prelu_status run_test(block *b, size_t test, train_result *r, train_timing *t,
                             prelu_err *err)
{
    const train_evaluation *e = b->e;
    for (size_t s = test; s < b->slots; s += (size_t)e->n_tests)
        PRELU_TRY(run_slot(b, s, t, err));
    for (size_t i = 0; i < b->n; i++) {
        const size_t picture = b->first + i;
        train_record one = {.picture = (uint32_t)picture,
                            .label = e->data->pictures[picture].label};
        if (ready(b, i, test))
            PRELU_TRY(rank_one(b, i, e->members->tests[test].average, &one, err));
        train_count(r, &one);
        if (e->records)
            e->records[test * e->n + (picture - e->first)] = one;
    }
    return PRELU_OK;
}

static void release_pieces(block *b)
{
    for (size_t k = 0; k < b->slots * b->room; k++) {
        if (b->pieces[k].held)
            prelu_prepared_deinit(&b->pieces[k].prepared);
        b->pieces[k].held = false;
    }
}

static prelu_status run_block(block *b, train_result *r, train_timing *t, prelu_err *err)
{
    const int tests = b->e->n_tests;
    prelu_pool_run(b->e->pool, b->n, prepare_task, b);
    PRELU_TRY(report_bad(b, err));
    for (int k = 0; k < tests; k++)
        PRELU_TRY(run_test(b, (size_t)k, &r[k], &t[k], err));
    for (size_t i = 0; i < b->n; i++)
        t[tests].prepare += b->decode_ms[i];
    return PRELU_OK;
}

static size_t views_each(const prelu_test *t)
{
    switch (t->mode) {
    case PRELU_MODE_CENTER:
        return 1;
    case PRELU_MODE_10VIEW:
        return 10;
    case PRELU_MODE_DENSE:
    case PRELU_MODE_MULTISCALE:
        break;
    }
    return 2 * (size_t)t->n_scales;
}

/* About the pixels that are kept of one picture. */
static size_t pixels_each(const prelu_model *m, const prelu_test *t)
{
    const size_t side = (size_t)m->preprocess.resize;
    size_t pixels = t->n_scales ? 0 : side * side;
    for (int i = 0; i < t->n_scales; i++)
        pixels += (size_t)t->scales[i] * (size_t)t->scales[i];
    return pixels;
}

/* How many pictures a block holds: *views is the most that one of them has in one test. */
static size_t block_room(const train_evaluation *e, size_t *views)
{
    size_t pixels = 1, room;
    *views = 1;
    for (int m = 0; m < e->n_members; m++)
        for (int k = 0; k < e->n_tests; k++) {
            const prelu_test *t = &e->members[m].tests[k];
            pixels += pixels_each(e->members[m].model, t);
            *views = views_each(t) > *views ? views_each(t) : *views;
        }
    room =
        BLOCK_VIEWS / *views < BLOCK_PIXELS / pixels ? BLOCK_VIEWS / *views : BLOCK_PIXELS / pixels;
    room = room < e->n ? room : e->n;
    return room ? room : 1;
}

static prelu_status block_init(block *b, const train_evaluation *e, prelu_err *err)
{
    size_t views, count;
    *b = (block){.e = e,
                 .slots = (size_t)e->n_members * (size_t)e->n_tests,
                 .classes = (size_t)e->members->model->classes};
    b->room = block_room(e, &views);
    PRELU_TRY(prelu_mul(b->room * (size_t)e->n_members, b->classes, &count, err));
    b->pieces = prelu_calloc(b->slots * b->room, sizeof *b->pieces);
    b->errs = prelu_calloc(b->room, sizeof *b->errs);
    b->decode_ms = prelu_calloc(b->room, sizeof *b->decode_ms);
    b->views = prelu_calloc(b->room * views, sizeof *b->views);
    b->means = prelu_calloc(count, sizeof *b->means);
    b->mean = prelu_calloc(b->classes, sizeof *b->mean);
    if (!b->pieces || !b->errs || !b->decode_ms || !b->views || !b->means || !b->mean)
        return prelu_fail(err, PRELU_E_NOMEM, "eval: %zu pictures", b->room);
    return PRELU_OK;
}

static void block_deinit(block *b)
{
    if (b->pieces)
        release_pieces(b);
    prelu_free(b->pieces);
    prelu_free(b->errs);
    prelu_free(b->decode_ms);
    prelu_free(b->views);
    prelu_free(b->means);
    prelu_free(b->mean);
    prelu_free(b->scores);
}

prelu_status train_evaluate(const train_evaluation *e, train_result *out, train_timing *timing,
                            prelu_err *err)
{
    const size_t end = e->first + e->n;
    block b = {0};
    train_result r[TRAIN_MAX_TESTS] = {{0}};
    train_timing t[TRAIN_MAX_TESTS + 1] = {{0}};
    prelu_status st = block_init(&b, e, err);
    for (size_t at = e->first; at < end && !st; at += b.n) {
        b.first = at;
        b.n = end - at < b.room ? end - at : b.room;
        st = run_block(&b, r, t, err);
        release_pieces(&b);
        if (!st && e->progress && !e->progress(e->ctx, r))
            st = prelu_fail(err, PRELU_E_CANCELLED, "interrupted");
    }
    block_deinit(&b);
    if (st)
        return st;
    memcpy(out, r, (size_t)e->n_tests * sizeof *r);
    if (timing)
        memcpy(timing, t, ((size_t)e->n_tests + 1) * sizeof *t);
    return PRELU_OK;
}
