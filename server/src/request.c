#define _POSIX_C_SOURCE 200809L
#include "door.h"
#include "oip.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* What ?scales= may ask for. */
enum { MIN_SCALE = 32, MAX_SCALE = 2048 };
/* Bytes of a body that are parsed on the thread that read them. */
enum { PARSE_HERE = 65536 };

static void request_unref(request *r)
{
    if (atomic_fetch_sub(&r->refs, 1) > 1)
        return;
    for (size_t i = 0; r->tasks && i < r->n; i++) {
        prelu_free(r->tasks[i].top);
        prelu_free(r->tasks[i].means);
        prelu_heatmap_deinit(&r->tasks[i].heatmap);
        prelu_image_deinit(&r->tasks[i].painted);
    }
    prelu_free(r->tasks);
    prelu_free(r->parts);
    prelu_free(r->body);
    prelu_free(r->tensors);
    prelu_free(r->extra);
    srv_table_release(r->table);
    prelu_free(r);
}

/* ---- before the body ---- */

/* "256,384": 1 to 8 shorter sides. */
static prelu_status read_scales(prelu_test *t, const char *text, prelu_err *err)
{
    for (const char *next = text; next;) {
        char one[16];
        const size_t len = strcspn(next, ",");
        long side;
        if (t->n_scales == PRELU_MAX_SCALES)
            return prelu_fail(err, PRELU_E_ARG, "scales has more than %d numbers",
                              PRELU_MAX_SCALES);
        snprintf(one, sizeof one, "%.*s", (int)(len < sizeof one ? len : sizeof one - 1), next);
        PRELU_TRY(srv_query_number(&side, "scales", one, MIN_SCALE, MAX_SCALE, err));
        t->scales[t->n_scales++] = (int)side;
        next = next[len] ? next + len + 1 : NULL;
    }
    return PRELU_OK;
}

/* The one test of the query, made complete for each model. */
static prelu_status resolve(request *r, const prelu_test *test, prelu_err *err)
{
    for (int i = 0; i < r->entry->n; i++) {
        const srv_model *m = r->entry->members[i];
        prelu_err why = {0};
        r->tests[i] = *test;
        const prelu_status st = prelu_test_resolve(&r->tests[i], m->model, m->dense, &why);
        if (st)
            return prelu_fail(err, PRELU_E_ARG, "%s",
                              st == PRELU_E_UNSUPPORTED && m->no_dense[0] ? m->no_dense : why.text);
    }
    return PRELU_OK;
}

static prelu_status check_keys(const srv_query *q, prelu_err *err)
{
    static const char *const known[] = {"top_k",   "mode",    "scales", "model",
                                        "average", "heatmap", "format", "budget_ms"};
    for (int i = 0; i < q->n; i++) {
        bool ok = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            ok = ok || strcmp(q->key[i], known[k]) == 0;
        if (!ok)
            return prelu_fail(err, PRELU_E_ARG,
                              "unknown query parameter; known are top_k, mode, scales, model, "
                              "average, heatmap, format, budget_ms");
    }
    return PRELU_OK;
}

/* mode=auto and its budget. */
static prelu_status read_auto(request *r, const srv_query *q, bool chosen, prelu_err *err)
{
    const char *budget = srv_query_get(q, "budget_ms");
    long ms;
    if (chosen != (budget != NULL))
        return prelu_fail(err, PRELU_E_ARG, "mode=auto and budget_ms go together");
    if (!chosen)
        return PRELU_OK;
    PRELU_TRY(srv_query_number(&ms, "budget_ms", budget, 1, 3600000, err));
    if (srv_query_get(q, "scales"))
        return prelu_fail(err, PRELU_E_ARG, "mode auto takes no sizes");
    r->budget_ms = (double)ms;
    return PRELU_OK;
}

/* How the picture is to be tested. Texts do not show the client's bytes. */
prelu_status srv_request_test(request *r, const srv_query *q, prelu_err *err)
{
    const char *mode = srv_query_get(q, "mode"), *average = srv_query_get(q, "average");
    prelu_test t = {.mode = (prelu_mode)r->app->config->mode};
    prelu_err ignored = {0};
    const bool chosen = mode && strcmp(mode, "auto") == 0;
    PRELU_TRY(read_auto(r, q, chosen, err));
    if (chosen)
        t.mode = PRELU_MODE_CENTER;
    else if (mode && prelu_mode_parse(&t.mode, mode, &ignored))
        return prelu_fail(err, PRELU_E_ARG,
                          "mode is not one of center, 10view, dense, multiscale, auto");
    if (average && prelu_average_parse(&t.average, average, &ignored))
        return prelu_fail(err, PRELU_E_ARG, "average is neither prob nor logit");
    if (srv_query_get(q, "scales"))
        PRELU_TRY(read_scales(&t, srv_query_get(q, "scales"), err));
    return resolve(r, &t, err);
}

/* Its number, its id or its label; -1 = there is none. */
static int find_class(const prelu_model *m, const char *text)
{
    prelu_err ignored = {0};
    long n;
    if (srv_query_number(&n, "class", text, 0, m->classes - 1, &ignored) == PRELU_OK)
        return (int)n;
    for (int i = 0; i < m->classes && *text; i++)
        if (strcmp(m->labels[i].id, text) == 0 || strcmp(m->labels[i].label, text) == 0)
            return i;
    return -1;
}

/* heatmap= and how it is to be given: a client that asks for one and accepts PNG gets it. */
static prelu_status read_heatmap(request *r, const srv_query *q, const srv_request_info *info,
                                 prelu_err *err)
{
    const char *class = srv_query_get(q, "heatmap"), *format = srv_query_get(q, "format");
    if (format && strcmp(format, "json") != 0 && strcmp(format, "png") != 0 &&
        strcmp(format, "hf") != 0)
        return prelu_fail(err, PRELU_E_ARG, "format is none of json, png, hf");
    r->bare = format && format[0] == 'h';
    if (r->bare && (class || srv_is_multipart(info->content_type)))
        return prelu_fail(err, PRELU_E_ARG, "format=hf is of one picture, without a heatmap");
    r->png = format ? format[0] == 'p' : class && info->accept && strstr(info->accept, "image/png");
    if (r->png && !class)
        return prelu_fail(err, PRELU_E_ARG, "format=png is for a heatmap");
    if (r->png && srv_is_multipart(info->content_type))
        return prelu_fail(err, PRELU_E_ARG, "a PNG heatmap is of one picture, not of a multipart");
    if (!class)
        return PRELU_OK;
    if (!r->tests[0].dense)
        return prelu_fail(err, PRELU_E_ARG, "a heatmap needs mode dense or multiscale");
    r->heat = true;
    r->heat_class =
        strcmp(class, "top1") == 0 ? -1 : find_class(r->entry->members[0]->model, class);
    if (r->heat_class < 0 && strcmp(class, "top1") != 0)
        return prelu_fail(err, PRELU_E_ARG,
                          "heatmap is neither top1 nor the number, id or label of a class");
    return PRELU_OK;
}

prelu_status srv_request_model(request *r, const char *name, prelu_err *err)
{
    r->entry = srv_table_find(r->table, name);
    if (!r->entry)
        return prelu_fail(err, PRELU_E_NOTFOUND, "no model of that name is served");
    return PRELU_OK;
}

prelu_status srv_request_top_k(request *r, const srv_query *q, prelu_err *err)
{
    const char *top_k = srv_query_get(q, "top_k");
    const int classes = r->entry->members[0]->model->classes;
    long k = (long)r->top_k;
    if (top_k)
        PRELU_TRY(srv_query_number(&k, "top_k", top_k, 1, 999999999, err));
    r->top_k = k < classes ? (size_t)k : (size_t)classes;
    return PRELU_OK;
}

prelu_status srv_request_query(request *r, const srv_query *q, const srv_request_info *info,
                               prelu_err *err)
{
    PRELU_TRY(check_keys(q, err));
    PRELU_TRY(srv_request_model(r, srv_query_get(q, "model"), err));
    PRELU_TRY(srv_request_test(r, q, err));
    PRELU_TRY(read_heatmap(r, q, info, err));
    return srv_request_top_k(r, q, err);
}

static void refuse_busy(srv_app *app, int retry_after, const prelu_err *err, srv_reply *reply,
                        const char *id)
{
    srv_metrics_rejected(&app->metrics, SRV_REJECT_QUEUE_FULL);
    srv_reply_failure(reply, err, SRV_OF_REQUEST, id);
    srv_reply_header(reply, "Retry-After", "%d", retry_after);
}

static void refuse_query(const prelu_err *err, srv_reply *reply, const char *id)
{
    if (err->code == PRELU_E_NOTFOUND)
        srv_reply_error(reply, 404, "unknown_model", err->text, id);
    else
        srv_reply_error(reply, 400, "bad_query", err->text, id);
}

void srv_request_headers(srv_app *app, srv_exchange *x, srv_reply *reply, const srv_door *door)
{
    const srv_request_info *info = srv_exchange_info(x);
    prelu_err err = {0};
    if (atomic_load(&app->state) == SRV_LOADING) {
        srv_metrics_rejected(&app->metrics, SRV_REJECT_LOADING);
        srv_reply_error(reply, 503, "loading", "the models are being loaded", info->id);
        srv_reply_header(reply, "Retry-After", "1");
        return;
    }
    srv_query *q = prelu_calloc(1, sizeof *q);
    request *r = prelu_calloc(1, sizeof *r);
    if (!q || !r) {
        prelu_free(q);
        prelu_free(r);
        (void)prelu_fail(&err, PRELU_E_NOMEM, "a request");
        srv_reply_failure(reply, &err, SRV_OF_REQUEST, info->id);
        return;
    }
    r->app = app;
    r->x = x;
    r->door = door;
    r->table = srv_registry_hold(&app->registry);
    r->top_k = (size_t)app->config->top_k;
    atomic_init(&r->refs, 1);
    snprintf(r->id, sizeof r->id, "%s", info->id);
    srv_exchange_set_user(x, r, srv_exchange_route(x));
    prelu_status st = srv_query_parse(q, info->query, &err);
    if (!st)
        st = door->query(r, q, info, &err);
    prelu_free(q);
    int later;
    if (st) {
        srv_metrics_rejected(&app->metrics, SRV_REJECT_MALFORMED);
        refuse_query(&err, reply, info->id);
    } else if (srv_workers_room(app->workers, r->entry->members[0], app->config->request_timeout,
                                &later, &err)) {
        refuse_busy(app, later, &err, reply, info->id); /* the body is not worth reading */
    }
}

/* ---- the reply ---- */

static void add_headers(const request *r, srv_reply *reply, double total)
{
    double decode = 0, prepare = 0, queue = 0, infer = 0;
    for (size_t i = 0; i < r->n; i++) { /* pictures run side by side: the longest counts */
        const srv_task *t = &r->tasks[i];
        decode = fmax(decode, t->decode_ms);
        prepare = fmax(prepare, t->prepare_ms);
        queue = fmax(queue, t->queue_ms);
        infer = fmax(infer, t->infer_ms);
    }
    if (!r->multipart && !r->tasks[0].err.code)
        srv_reply_header(reply, "X-Mode", "%s%s", prelu_mode_name(r->tasks[0].runs[0].test.mode),
                         r->budget_ms > 0 && !r->tasks[0].choice.fits ? "; over budget" : "");
    srv_reply_header(reply, "X-Model", "%s@%s sha256:%s", r->entry->name, r->entry->version,
                     srv_registry_digest(&r->app->registry, r->entry->sha256));
    srv_reply_header(reply, "Server-Timing",
                     "decode;dur=%.3f, prepare;dur=%.3f, queue;dur=%.3f, infer;dur=%.3f, "
                     "total;dur=%.3f",
                     decode, prepare, queue, infer, total);
}

static bool claim(request *r) { return !atomic_exchange(&r->answered, true); }

/* The last task is done, on a pool thread. */
static void all_done(request *r)
{
    srv_timer_cancel(r->app->timer, &r->deadline);
    if (claim(r)) {
        srv_reply reply = {0};
        double total = (double)(srv_now() - r->received) * 1e-6;
        r->door->write(r, &reply, total);
        srv_usage_add(&r->entry->usage, r->tasks, r->n, total);
        if (reply.status == 503)
            srv_reply_header(&reply, "Retry-After", "1");
        add_headers(r, &reply, total);
        srv_exchange_reply(r->x, &reply);
    }
    request_unref(r);
}

/* The deadline passed, on the timer's thread; or will pass before the answer, on a pool thread.
 * Tasks that have not begun drop themselves. */
static void late(void *ctx)
{
    request *r = ctx;
    if (!claim(r))
        return;
    prelu_err err = {0};
    srv_reply reply = {0};
    srv_metrics_rejected(&r->app->metrics, SRV_REJECT_DEADLINE);
    (void)prelu_fail(&err, PRELU_E_TIMEOUT, "no answer within %.3g s (--request-timeout)",
                     (double)r->app->config->request_timeout * 1e-9);
    srv_reply_failure(&reply, &err, SRV_OF_REQUEST, r->id);
    srv_exchange_reply(r->x, &reply);
    srv_workers_interrupt(r->app->workers);
}

/* The reply only ends the exchange; a reset connection carries it nowhere. */
void srv_request_left(srv_app *app, srv_exchange *x)
{
    request *r = srv_exchange_user(x);
    srv_reply reply = {0};
    if (!claim(r))
        return;
    srv_reply_error(&reply, 499, "client_left", "the client left", r->id);
    reply.close = true;
    srv_exchange_reply(x, &reply);
    srv_workers_interrupt(app->workers);
}

/* What is bound to be late is so at once. */
static bool task_wanted(srv_task *t, double more)
{
    request *r = t->owner;
    const int64_t left = r->received + r->app->config->request_timeout - srv_now();
    if (more > (double)left)
        late(r);
    return !atomic_load(&r->answered);
}

static void task_done(srv_task *t)
{
    request *r = t->owner;
    if (atomic_fetch_sub(&r->remaining, 1) == 1)
        all_done(r);
}

/* ---- after the body ---- */

/* Units of work of the tests that were chosen. */
static size_t units_of(const request *r, const prelu_test *tests, const prelu_jpeg_info *info)
{
    size_t units = 0;
    for (int i = 0; i < r->entry->n; i++)
        units +=
            prelu_test_units(&tests[i], r->entry->members[i]->model, info->width, info->height);
    return units;
}

/* Mode auto: what the budget leaves after waiting and decoding is the models'. It takes half of the
 * room in a queue that holds something at most, and so falls back to less before anybody is
 * refused.
 */
static bool choose(const request *r, srv_task *t, prelu_test *tests, const prelu_jpeg_info *info)
{
    const srv_entry *e = r->entry;
    const srv_queue_state q = srv_workers_look(r->app->workers);
    const size_t left = q.limit > q.reserved ? q.limit - q.reserved : 0,
                 room = q.reserved ? left / (2 * r->n) : SIZE_MAX;
    prelu_costed members[PRELU_MAX_MEMBERS];
    prelu_err ignored = {0};
    for (int i = 0; i < e->n; i++)
        members[i] = (prelu_costed){e->members[i]->model, e->members[i]->dense,
                                    srv_model_rate(e->members[i])};
    const double before = srv_workers_prepare_ms(r->app->workers, info->width, info->height) +
                          srv_workers_wait_ms(r->app->workers);
    double budget = r->budget_ms - before;
    do {
        if (prelu_test_choose(tests, members, (size_t)e->n, e->members[0]->order, budget,
                              info->width, info->height, &t->choice, &ignored))
            return false;
        budget = t->choice.ms * 0.999; /* next time something cheaper */
    } while (t->choice.fits && units_of(r, tests, info) > room);
    t->choice.ms += before;
    t->choice.fits = t->choice.ms <= r->budget_ms;
    return true;
}

/* The work of each model; of a whole picture that depends on its size. One that cannot be read
 * costs nothing later. */
static void fill_runs(request *r, srv_task *t)
{
    const prelu_image_limits limits = {.max_pixels = (size_t)r->app->config->max_pixels};
    const bool sized = r->tests[0].dense || r->budget_ms > 0;
    prelu_jpeg_info info = {.width = 1, .height = 1};
    prelu_test tests[PRELU_MAX_MEMBERS];
    prelu_err ignored = {0};
    bool known = !sized || prelu_jpeg_probe(&info, t->jpeg, t->len, &limits, &ignored) == PRELU_OK;
    memcpy(tests, r->tests, sizeof tests);
    if (known && r->budget_ms > 0)
        known = choose(r, t, tests, &info);
    t->n_runs = (size_t)r->entry->n;
    for (size_t i = 0; i < t->n_runs; i++) {
        srv_run *run = &t->runs[i];
        const prelu_model *m = r->entry->members[i]->model;
        run->model = r->entry->members[i];
        run->test = known ? tests[i] : r->tests[i];
        run->work.units = known ? prelu_test_units(&run->test, m, info.width, info.height) : 1;
        if (!known || prelu_test_work(&run->computes, &run->test, m, info.width, info.height,
                                      &ignored) != PRELU_OK)
            run->computes = (prelu_work){.units = 0};
    }
}

prelu_status srv_request_tasks(request *r, size_t n, prelu_err *err)
{
    r->tasks = prelu_calloc(n, sizeof *r->tasks);
    if (!r->tasks)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu tasks", n);
    r->n = n;
    for (size_t i = 0; i < n; i++) {
        srv_task *t = &r->tasks[i];
        t->top_k = r->top_k;
        t->heat = r->heat;
        t->heat_class = r->heat_class;
        t->paint = r->png;
        t->owner = r;
        t->flow = &r->flow;
        t->wanted = task_wanted;
        t->done = task_done;
    }
    return PRELU_OK;
}

prelu_status srv_request_pictures(request *r, prelu_err *err)
{
    const char *content_type = srv_exchange_info(r->x)->content_type;
    size_t max = (size_t)r->app->config->max_images, n = 1;
    char boundary[SRV_MAX_BOUNDARY + 1];
    r->multipart = srv_is_multipart(content_type);
    if (r->multipart) {
        PRELU_TRY(srv_multipart_boundary(boundary, content_type, err));
        r->parts = prelu_calloc(max, sizeof *r->parts);
        if (!r->parts)
            return prelu_fail(err, PRELU_E_NOMEM, "%zu parts", max);
        PRELU_TRY(srv_multipart_parse(boundary, r->body, r->body_len, r->parts, max, &n, err));
    } else if (r->body_len == 0) {
        return prelu_fail(err, PRELU_E_FORMAT, "the body is empty; send a JPEG");
    }
    PRELU_TRY(srv_request_tasks(r, n, err));
    for (size_t i = 0; i < n; i++) {
        r->tasks[i].jpeg = r->parts ? r->parts[i].data : r->body;
        r->tasks[i].len = r->parts ? r->parts[i].len : r->body_len;
    }
    return PRELU_OK;
}

/* Whatever was refused, the exchange's part in the request remains. */
static void refuse_body(request *r, const prelu_err *err, srv_reply *reply)
{
    srv_metrics_rejected(&r->app->metrics, SRV_REJECT_MALFORMED);
    srv_reply_failure(reply, err, SRV_OF_REQUEST, r->id);
}

/* The body is split, and its work has room in the queue; else *reply says why not. */
static bool admit(request *r, srv_reply *reply)
{
    prelu_err err = {0};
    int later;
    const prelu_status st = r->door->split(r, &err);
    if (st) {
        refuse_body(r, &err, reply);
        return false;
    }
    for (size_t i = 0; i < r->n; i++)
        fill_runs(r, &r->tasks[i]);
    if (srv_workers_admit(r->app->workers, r->tasks, r->n, r->app->config->request_timeout, &later,
                          &err)) {
        refuse_busy(r->app, later, &err, reply, r->id);
        return false;
    }
    return true;
}

static void submit(request *r)
{
    const size_t n = r->n;
    atomic_store(&r->remaining, n);
    for (size_t i = 0; i < n; i++) /* the last may end, and free, the request */
        srv_workers_submit(r->app->workers, &r->tasks[i]);
}

/* From here on the reply comes from another thread, within the deadline. */
static void defer(request *r)
{
    atomic_fetch_add(&r->refs, 1);
    r->deadline.ring = late;
    r->deadline.ctx = r;
    srv_exchange_defer(r->x);
    srv_timer_arm(r->app->timer, &r->deadline, r->received + r->app->config->request_timeout);
}

/* Large bodies of a door that parses: on a pool thread, deferred already. */
static void parse_job(void *ctx)
{
    request *r = ctx;
    srv_reply reply = {0};
    if (admit(r, &reply)) {
        submit(r);
        return;
    }
    srv_timer_cancel(r->app->timer, &r->deadline);
    if (claim(r))
        srv_exchange_reply(r->x, &reply);
    else
        srv_reply_deinit(&reply);
    request_unref(r);
}

void srv_request_body(srv_app *app, srv_exchange *x)
{
    const srv_request_info *info = srv_exchange_info(x);
    request *r = srv_exchange_user(x);
    srv_reply reply = {0};
    srv_metrics_stage(&app->metrics, SRV_STAGE_READ,
                      (double)(info->received - info->started) * 1e-9);
    r->received = info->received;
    r->body_len = info->body_len;
    r->body = srv_exchange_take_body(x);
    if (r->door->parses && r->body_len > PARSE_HERE) {
        prelu_err err = {0};
        defer(r);
        if (prelu_pool_submit(app->pool, parse_job, r, &err) == PRELU_OK)
            return;
        srv_timer_cancel(app->timer, &r->deadline);
        srv_reply_failure(&reply, &err, SRV_OF_REQUEST, r->id);
        if (claim(r))
            srv_exchange_reply(x, &reply);
        else
            srv_reply_deinit(&reply);
        request_unref(r);
        return;
    }
    if (!admit(r, &reply)) {
        srv_exchange_reply(x, &reply);
        return;
    }
    defer(r);
    submit(r);
}

static const srv_door classify_door = {srv_request_query, srv_request_pictures, srv_results_write,
                                       false};

void srv_classify_headers(srv_app *app, srv_exchange *x, srv_reply *reply)
{
    srv_request_headers(app, x, reply, &classify_door);
}

void srv_request_finished(srv_app *app, srv_exchange *x)
{
    request *r = srv_exchange_user(x);
    (void)app;
    if (r)
        request_unref(r);
}
