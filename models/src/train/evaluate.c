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
    prelu_test test; /* the member's, or mode auto's choice for this picture */
    bool held, over_budget;
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
    r->modes[one->mode] += one->n > 0;
    r->over_budget += one->n > 0 && one->over_budget;
    r->top1 += one->n > 0 && one->top[0] == one->label;
    for (int i = 0; i < one->n; i++)
        r->top5 += one->top[i] == one->label;
}

static piece *piece_at(const block *b, size_t member, size_t test, size_t i)
{
    return &b->pieces[(member * (size_t)b->e->n_tests + test) * b->room + i];
}

static prelu_status decode(block *b, size_t i, prelu_image *decoded, prelu_err *err)
{
    const double start = train_now_ms();
    if (!decoded->data)
        PRELU_TRY(mdl_dataset_decode(b->e->data, b->first + i, 0, decoded, err));
    b->decode_ms[i] += train_now_ms() - start;
    return PRELU_OK;
}

/* Mode auto: all members are tested alike. A picture that no mode can test stays with the one that
 * will say so. */
static void choose(block *b, size_t i, size_t test, const prelu_image *decoded)
{
    const train_evaluation *e = b->e;
    const train_auto *a = e->choice;
    const double pixels = (double)decoded->width * decoded->height;
    prelu_costed members[TRAIN_MAX_MEMBERS];
    prelu_test tests[TRAIN_MAX_MEMBERS];
    prelu_choice choice;
    prelu_err ignored = {0};
    for (int m = 0; m < e->n_members; m++) {
        members[m] =
            (prelu_costed){e->members[m].model, e->members[m].dense_plan, e->members[m].rate};
        tests[m] = e->members[m].tests[test];
    }
    if (prelu_test_choose(tests, members, (size_t)e->n_members, a->order,
                          a->budget_ms - a->pixel_ms * pixels, decoded->width, decoded->height,
                          &choice, &ignored))
        return;
    for (int m = 0; m < e->n_members; m++) {
        piece_at(b, (size_t)m, test, i)->test = tests[m];
        piece_at(b, (size_t)m, test, i)->over_budget = !choice.fits;
    }
}

/* How picture i is tested, by member and test. */
static prelu_status set_tests(block *b, size_t i, prelu_image *decoded, prelu_err *err)
{
    const train_evaluation *e = b->e;
    for (int k = 0; k < e->n_tests; k++) {
        for (int m = 0; m < e->n_members; m++) {
            piece *p = piece_at(b, (size_t)m, (size_t)k, i);
            p->test = e->members[m].tests[k];
            p->over_budget = false;
        }
        if (e->choice && e->choice->tests[k]) {
            PRELU_TRY(decode(b, i, decoded, err));
            choose(b, i, (size_t)k, decoded);
        }
    }
    return PRELU_OK;
}

static prelu_status prepare_slot(block *b, size_t i, const prelu_model *m, const prelu_test *test,
                                 prelu_image *decoded, prelu_prepared *out, prelu_err *err)
{
    const train_evaluation *e = b->e;
    prelu_status st;
    void *bytes = NULL;
    size_t len = 0;
    if (!m->preprocess.draft || e->data->is_idx) {
        PRELU_TRY(decode(b, i, decoded, err));
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
    const bool known = set_tests(b, i, &decoded, &b->errs[i]) == PRELU_OK;
    for (size_t s = 0; s < b->slots && known; s++) {
        const train_member *m = &e->members[s / (size_t)e->n_tests];
        piece *p = &b->pieces[s * b->room + i];
        p->held = !prepare_slot(b, i, m->model, &p->test, &decoded, &p->prepared, &b->errs[i]);
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

/* Is picture i run with that test, and densely or not? */
static bool belongs(const block *b, size_t i, size_t s, bool dense)
{
    return ready(b, i, s % (size_t)b->e->n_tests) &&
           (b->pieces[s * b->room + i].test.dense != NULL) == dense;
}

/* A member's means over the rows of each picture of the block that is run densely in that test, or
 * that is not. */
static prelu_status run_group(block *b, size_t s, bool dense, train_timing *t, prelu_err *err)
{
    const train_evaluation *e = b->e;
    const size_t member = s / (size_t)e->n_tests;
    const train_member *m = &e->members[member];
    const prelu_average average = m->tests[s % (size_t)e->n_tests].average;
    size_t views = 0, rows = 0, row = 0;
    for (size_t i = 0; i < b->n; i++) {
        const prelu_prepared *p = &b->pieces[s * b->room + i].prepared;
        if (!belongs(b, i, s, dense))
            continue;
        memcpy(b->views + views, p->views, p->n_views * sizeof *p->views);
        views += p->n_views;
        rows += p->n_rows;
        t->prepare += p->prepare_ms;
    }
    PRELU_TRY(grow_scores(b, rows, err));
    if (views)
        PRELU_TRY(prelu_views_run(dense ? m->dense : m->session, b->views, views, average,
                                  (int)b->classes, b->scores, rows, err));
    for (size_t i = 0; i < b->n; i++) {
        const prelu_prepared *p = &b->pieces[s * b->room + i].prepared;
        if (!belongs(b, i, s, dense))
            continue;
        PRELU_TRY(prelu_prepared_mean(p, m->model, b->scores + row * b->classes,
                                      b->means + (member * b->room + i) * b->classes, err));
        row += p->n_rows;
    }
    return PRELU_OK;
}

static prelu_status run_slot(block *b, size_t s, train_timing *t, prelu_err *err)
{
    const double start = train_now_ms();
    PRELU_TRY(run_group(b, s, false, t, err));
    PRELU_TRY(run_group(b, s, true, t, err));
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
        const piece *p = piece_at(b, 0, test, i);
        train_record one = {.picture = (uint32_t)picture,
                            .label = e->data->pictures[picture].label,
                            .mode = p->test.mode,
                            .over_budget = p->over_budget};
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

/* The most that mode auto, or else the test itself, may make of one picture. */
static size_t views_each(const prelu_model *m, const prelu_test *t, bool chosen)
{
    const size_t sizes = 2 * (size_t)m->preprocess.n_scales;
    if (chosen)
        return sizes > 10 ? sizes : 10;

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
static size_t pixels_each(const prelu_model *m, const prelu_test *t, bool chosen)
{
    const size_t side = (size_t)m->preprocess.resize;
    const int *scales = chosen ? m->preprocess.scales : t->scales;
    const int n = chosen ? m->preprocess.n_scales : t->n_scales;
    size_t pixels = n ? 0 : side * side;
    for (int i = 0; i < n; i++)
        pixels += (size_t)scales[i] * (size_t)scales[i];
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
            const bool chosen = e->choice && e->choice->tests[k];
            const size_t each = views_each(e->members[m].model, t, chosen);
            pixels += pixels_each(e->members[m].model, t, chosen);
            *views = each > *views ? each : *views;
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
