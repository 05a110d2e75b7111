/* What tasks found, as JSON or a picture. */
#include "door.h"
#include "png_encode.h"
#include "prelu/mem.h"
#include <math.h>

static double rounded(double ms) { return floor(ms * 1000 + 0.5) / 1000; }

static void set_class(srv_json *o, const request *r, int number)
{
    const prelu_label *l = &r->entry->members[0]->model->labels[number];
    srv_json_set_int(o, "class", number);
    srv_json_set_text(o, "id", l->id);
    srv_json_set_text(o, "label", l->label);
}

static srv_json *heatmap(const request *r, const srv_task *t)
{
    const prelu_heatmap *h = &t->heatmap;
    srv_json *o = srv_json_object(), *scores = srv_json_array(), *box = srv_json_array(),
             *window = srv_json_array();
    set_class(o, r, t->heat_class);
    srv_json_set_int(o, "rows", h->rows);
    srv_json_set_int(o, "cols", h->cols);
    for (int i = 0; i < h->rows * h->cols; i++)
        srv_json_append_real(scores, (double)h->scores[i]);
    for (int i = 0; i < 4; i++)
        srv_json_append_real(box, h->box[i]);
    for (int i = 0; i < 2; i++)
        srv_json_append_real(window, h->window[i]);
    srv_json_set(o, "scores", scores);
    srv_json_set(o, "box", box);
    srv_json_set(o, "window", window);
    return o;
}

static srv_json *predictions(const request *r, const srv_task *t)
{
    srv_json *list = srv_json_array();
    for (size_t i = 0; i < r->top_k; i++) {
        srv_json *p = srv_json_object();
        set_class(p, r, t->top[i].class_index);
        srv_json_set_real(p, "score", t->top[i].score);
        srv_json_append(list, p);
    }
    return list;
}

static void set_features(srv_json *o, const request *r, const srv_task *t)
{
    srv_json *shape = srv_json_array(), *list = srv_json_array();
    const int n = r->entry->members[0]->model->n_features;
    srv_json_append_int(shape, n);
    srv_json_set_text(o, "name", "features");
    srv_json_set(o, "shape", shape);
    for (int i = 0; i < n; i++)
        srv_json_append_real(list, t->means[i]);
    srv_json_set(o, "embedding", list);
}

static srv_json *choice(const request *r, const srv_task *t)
{
    srv_json *o = srv_json_object();
    srv_json_set_real(o, "budget_ms", r->budget_ms);
    srv_json_set_real(o, "predicted_ms", rounded(t->choice.ms));
    srv_json_set_bool(o, "fits", t->choice.fits);
    return o;
}

static void set_result(srv_json *o, const request *r, const srv_task *t, double total)
{
    srv_json *image = srv_json_object(), *timing = srv_json_object();
    srv_json_set_text(o, "model", r->entry->name);
    srv_json_set_text(o, "mode", prelu_mode_name(t->runs[0].test.mode));
    if (r->budget_ms > 0)
        srv_json_set(o, "auto", choice(r, t));
    srv_json_set_int(o, "views", (int64_t)t->n_rows);
    if (r->tests[0].average == PRELU_AVERAGE_FEATURES)
        set_features(o, r, t);
    else
        srv_json_set(o, "predictions", predictions(r, t));
    if (r->heat)
        srv_json_set(o, "heatmap", heatmap(r, t));
    srv_json_set_int(image, "width", t->info.width);
    srv_json_set_int(image, "height", t->info.height);
    srv_json_set_text(image, "format", "jpeg");
    srv_json_set(o, "image", image);
    srv_json_set_real(timing, "decode", rounded(t->decode_ms));
    srv_json_set_real(timing, "prepare", rounded(t->prepare_ms));
    srv_json_set_real(timing, "queue", rounded(t->queue_ms));
    srv_json_set_real(timing, "infer", rounded(t->infer_ms));
    srv_json_set_real(timing, "total", rounded(total));
    srv_json_set(o, "timing_ms", timing);
}

static void write_png(request *r, srv_reply *reply)
{
    const srv_task *t = &r->tasks[0];
    prelu_err err = {0};
    if (srv_png_encode(&reply->body, &reply->body_len, &t->painted, &err)) {
        srv_reply_failure(reply, &err, SRV_OF_IMAGE, r->id);
        return;
    }
    reply->status = 200;
    reply->content_type = "image/png";
    srv_reply_header(reply, "X-Heatmap-Class", "%d", t->heat_class);
}

bool srv_request_failed(request *r, srv_reply *reply)
{
    for (size_t i = 0; i < r->n; i++) {
        const prelu_err *why = &r->tasks[i].err;
        prelu_err numbered = {0};
        if (!why->code)
            continue;
        (void)prelu_fail(&numbered, why->code, "picture %zu: %s", i, why->text);
        srv_reply_failure(reply, r->n > 1 ? &numbered : why, SRV_OF_IMAGE, r->id);
        return true;
    }
    return false;
}

/* What Hugging Face's clients expect of image classification. */
static void write_bare(request *r, srv_reply *reply)
{
    srv_json *list = srv_json_array();
    for (size_t i = 0; i < r->top_k; i++) {
        const prelu_prediction *top = &r->tasks[0].top[i];
        const prelu_label *l = &r->entry->members[0]->model->labels[top->class_index];
        srv_json *o = srv_json_object();
        srv_json_set_text(o, "label", l->label);
        srv_json_set_real(o, "score", top->score);
        srv_json_append(list, o);
    }
    srv_reply_json(reply, 200, list);
}

static void write_one(request *r, srv_reply *reply, double total)
{
    const srv_task *t = &r->tasks[0];
    if (srv_request_failed(r, reply))
        return;
    if (r->bare) {
        write_bare(r, reply);
        return;
    }
    if (r->png) {
        write_png(r, reply);
        return;
    }
    srv_json *o = srv_json_object();
    set_result(o, r, t, total);
    srv_json_set_text(o, "request_id", r->id);
    srv_reply_json(reply, 200, o);
}

static void write_many(request *r, srv_reply *reply, double total)
{
    srv_json *o = srv_json_object(), *list = srv_json_array();
    for (size_t i = 0; i < r->n; i++) {
        srv_json *one = srv_json_object();
        if (r->tasks[i].err.code)
            srv_json_set_failure(one, &r->tasks[i].err);
        else
            set_result(one, r, &r->tasks[i], total);
        srv_json_set_text(one, "name", r->parts[i].name);
        srv_json_append(list, one);
    }
    srv_json_set(o, "results", list);
    srv_json_set_text(o, "request_id", r->id);
    srv_reply_json(reply, 200, o);
}

void srv_results_write(request *r, srv_reply *reply, double total)
{
    if (r->multipart)
        write_many(r, reply, total);
    else
        write_one(r, reply, total);
}
