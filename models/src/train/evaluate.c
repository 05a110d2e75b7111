/* Blocks of pictures: prepared in parallel, run as one batch of views, ranked one by one. */
#include "evaluate.h"
#include "prelu/mem.h"
#include <string.h>

/* Views of a block, and its pixels: whole pictures are held until their block has run. */
#define BLOCK_VIEWS ((size_t)320)
#define BLOCK_PIXELS ((size_t)64 << 20)
#define TOP 5

typedef struct block {
    const train_evaluation *e;
    size_t first, n, room;
    prelu_prepared *prepared;
    prelu_status *st;
    prelu_err *errs;
    prelu_view *views; /* room for all of the block's */
    float *scores;     /* score_room rows */
    double *mean;      /* of one picture, by class */
    size_t score_room;
} block;

static prelu_status prepare_one(const train_evaluation *e, size_t i, prelu_prepared *out,
                                prelu_err *err)
{
    prelu_status st;
    if (e->data->is_idx) {
        prelu_image img = {0};
        PRELU_TRY(mdl_dataset_decode(e->data, i, &img, err));
        st = prelu_model_prepare_image(out, e->model, &e->test, &img, NULL, err);
        prelu_image_deinit(&img);
    } else {
        void *bytes = NULL;
        size_t len = 0;
        PRELU_TRY(mdl_dataset_bytes(e->data, i, &bytes, &len, err));
        st = prelu_model_prepare(out, e->model, &e->test, bytes, len, NULL, err);
        prelu_free(bytes);
    }
    return st;
}

static void prepare_task(void *ctx, size_t i, int worker)
{
    block *b = ctx;
    (void)worker;
    memset(&b->errs[i], 0, sizeof b->errs[i]);
    b->st[i] = prepare_one(b->e, b->first + i, &b->prepared[i], &b->errs[i]);
}

static prelu_status count_one(const block *b, size_t i, const float *scores, train_result *r,
                              prelu_err *err)
{
    const train_evaluation *e = b->e;
    prelu_prediction top[TOP];
    size_t k = e->model->classes < TOP ? (size_t)e->model->classes : TOP;
    int label = e->data->pictures[b->first + i].label;
    PRELU_TRY(prelu_prepared_rank(&b->prepared[i], e->model, scores, k, top, b->mean, err));
    r->images++;
    r->top1 += top[0].class_index == label;
    for (size_t j = 0; j < k; j++)
        r->top5 += top[j].class_index == label;
    return PRELU_OK;
}

/* The views of the pictures that could be prepared, and how many rows they will give. */
static prelu_status gather(block *b, size_t *n_views, size_t *n_rows, train_result *r,
                           prelu_err *err)
{
    const train_evaluation *e = b->e;
    *n_views = *n_rows = 0;
    for (size_t i = 0; i < b->n; i++) {
        char name[512];
        const prelu_prepared *p = &b->prepared[i];
        if (b->st[i] == PRELU_E_NOMEM)
            return prelu_fail(err, b->st[i], "%s", b->errs[i].text);
        if (b->st[i]) {
            r->skipped++;
            if (e->bad)
                e->bad(e->ctx, mdl_dataset_name(e->data, b->first + i, name, sizeof name),
                       b->errs[i].text);
            continue;
        }
        memcpy(b->views + *n_views, p->views, p->n_views * sizeof *p->views);
        *n_views += p->n_views;
        *n_rows += p->n_rows;
    }
    return PRELU_OK;
}

static prelu_status grow_scores(block *b, size_t rows, prelu_err *err)
{
    size_t count = 0;
    if (rows <= b->score_room)
        return PRELU_OK;
    PRELU_TRY(prelu_mul(rows, (size_t)b->e->model->classes, &count, err));
    prelu_free(b->scores);
    b->score_room = 0;
    b->scores = prelu_calloc(count, sizeof *b->scores);
    if (!b->scores)
        return prelu_fail(err, PRELU_E_NOMEM, "eval: %zu scores", count);
    b->score_room = rows;
    return PRELU_OK;
}

static prelu_status run_block(block *b, train_result *r, prelu_err *err)
{
    const train_evaluation *e = b->e;
    size_t classes = (size_t)e->model->classes, views, rows, row = 0;
    prelu_pool_run(e->pool, b->n, prepare_task, b);
    PRELU_TRY(gather(b, &views, &rows, r, err));
    PRELU_TRY(grow_scores(b, rows, err));
    if (views)
        PRELU_TRY(prelu_views_run(e->session, b->views, views, e->test.average, (int)classes,
                                  b->scores, rows, err));
    for (size_t i = 0; i < b->n; i++)
        if (!b->st[i]) {
            PRELU_TRY(count_one(b, i, b->scores + row * classes, r, err));
            row += b->prepared[i].n_rows;
        }
    return PRELU_OK;
}

/* E_CANCELLED marks "holds nothing" between blocks. */
static void release_prepared(block *b)
{
    for (size_t i = 0; i < b->room; i++) {
        if (!b->st[i])
            prelu_prepared_deinit(&b->prepared[i]);
        b->st[i] = PRELU_E_CANCELLED;
    }
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
static size_t pixels_each(const train_evaluation *e)
{
    const size_t side = (size_t)e->model->preprocess.resize;
    size_t pixels = e->test.n_scales ? 0 : side * side;
    for (int i = 0; i < e->test.n_scales; i++)
        pixels += (size_t)e->test.scales[i] * (size_t)e->test.scales[i];
    return pixels ? pixels : 1;
}

static prelu_status block_init(block *b, const train_evaluation *e, prelu_err *err)
{
    const size_t each = views_each(&e->test), held = BLOCK_PIXELS / pixels_each(e);
    *b = (block){.e = e, .room = BLOCK_VIEWS / each};
    b->room = held < 1 ? 1 : b->room > held ? held : b->room;
    if (b->room > e->data->n_pictures)
        b->room = e->data->n_pictures;
    b->prepared = prelu_calloc(b->room, sizeof *b->prepared);
    b->st = prelu_calloc(b->room, sizeof *b->st);
    b->errs = prelu_calloc(b->room, sizeof *b->errs);
    b->views = prelu_calloc(b->room * each, sizeof *b->views);
    b->mean = prelu_calloc((size_t)e->model->classes, sizeof *b->mean);
    if (!b->prepared || !b->st || !b->errs || !b->views || !b->mean)
        return prelu_fail(err, PRELU_E_NOMEM, "eval: %zu pictures", b->room);
    for (size_t i = 0; i < b->room; i++)
        b->st[i] = PRELU_E_CANCELLED;
    return PRELU_OK;
}

static void block_deinit(block *b)
{
    if (b->st && b->prepared)
        release_prepared(b);
    prelu_free(b->prepared);
    prelu_free(b->st);
    prelu_free(b->errs);
    prelu_free(b->views);
    prelu_free(b->scores);
    prelu_free(b->mean);
}

prelu_status train_evaluate(const train_evaluation *e, train_result *out, prelu_err *err)
{
    block b = {0};
    train_result r = {0};
    prelu_status st = block_init(&b, e, err);
    for (size_t at = 0; at < e->data->n_pictures && !st; at += b.n) {
        b.first = at;
        b.n = e->data->n_pictures - at < b.room ? e->data->n_pictures - at : b.room;
        st = run_block(&b, &r, err);
        release_prepared(&b);
        if (!st && e->progress && !e->progress(e->ctx, &r))
            st = prelu_fail(err, PRELU_E_CANCELLED, "interrupted");
    }
    block_deinit(&b);
    if (!st)
        *out = r;
    return st;
}
