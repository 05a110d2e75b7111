/* POST /embed: what the network knows of a picture before it decides: the input of its last layer,
 * averaged over the views. */
#include "door.h"
#include "prelu/mem.h"
#include <stdio.h>
#include <string.h>

typedef struct embed {
    bool npy; /* one array of all pictures instead of JSON */
} embed;

static prelu_status read_format(request *r, const srv_query *q, prelu_err *err)
{
    const char *format = srv_query_get(q, "format");
    embed *e = prelu_calloc(1, sizeof *e);
    if (!e)
        return prelu_fail(err, PRELU_E_NOMEM, "a request");
    r->extra = e;
    if (format && strcmp(format, "json") != 0 && strcmp(format, "npy") != 0)
        return prelu_fail(err, PRELU_E_ARG, "format is neither json nor npy");
    e->npy = format && format[0] == 'n';
    return PRELU_OK;
}

static prelu_status embed_query(request *r, const srv_query *q, const srv_request_info *info,
                                prelu_err *err)
{
    (void)info;
    for (int i = 0; i < q->n; i++)
        if (strcmp(q->key[i], "model") != 0 && strcmp(q->key[i], "mode") != 0 &&
            strcmp(q->key[i], "format") != 0)
            return prelu_fail(err, PRELU_E_ARG,
                              "unknown query parameter; known are model, mode, format");
    PRELU_TRY(read_format(r, q, err));
    PRELU_TRY(srv_request_model(r, srv_query_get(q, "model"), err));
    if (r->entry->n > 1)
        return prelu_fail(err, PRELU_E_ARG, "an ensemble has no features; ask one of its models");
    if (r->entry->members[0]->model->n_features < 1)
        return prelu_fail(err, PRELU_E_ARG, "no layer of the model reads a vector of features");
    const srv_query center = {.n = 1, .key = {"mode"}, .value = {"center"}};
    PRELU_TRY(srv_request_test(r, srv_query_get(q, "mode") ? q : &center, err));
    if (r->tests[0].dense || r->budget_ms > 0)
        return prelu_fail(err, PRELU_E_ARG, "features are of single views: mode center or 10view");
    r->tests[0].average = PRELU_AVERAGE_FEATURES;
    r->top_k = 1;
    return PRELU_OK;
}

/* NumPy's format 1.0: a header padded to 64 bytes, then the rows. */
static void write_npy(const request *r, srv_text *t)
{
    const int width = r->entry->members[0]->model->n_features;
    char head[129], dict[100];
    snprintf(dict, sizeof dict, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %d), }",
             r->n, width);
    snprintf(head, sizeof head, "%-117s\n", dict);
    srv_text_add(t, "\x93NUMPY\x01\x00\x76\x00", 10); /* 118 bytes follow */
    srv_text_add(t, head, 118);
    for (size_t i = 0; i < r->n; i++)
        for (int k = 0; k < width; k++) {
            const float x = (float)r->tasks[i].means[k];
            srv_text_add(t, &x, sizeof x);
        }
}

static void embed_write(request *r, srv_reply *reply, double total_ms)
{
    const embed *e = r->extra;
    srv_text t = {.limit = SIZE_MAX / 2};
    if (!e->npy) {
        srv_results_write(r, reply, total_ms);
        return;
    }
    if (srv_request_failed(r, reply))
        return;
    write_npy(r, &t);
    if (t.failed) {
        prelu_err err = {0};
        srv_text_deinit(&t);
        (void)prelu_fail(&err, PRELU_E_NOMEM, "an array");
        srv_reply_failure(reply, &err, SRV_OF_REQUEST, r->id);
        return;
    }
    reply->status = 200;
    reply->content_type = "application/octet-stream";
    reply->body = t.data;
    reply->body_len = t.len;
}

static const srv_door embed_door = {embed_query, srv_request_pictures, embed_write, false};

void srv_embed_headers(srv_app *app, srv_exchange *x, srv_reply *reply)
{
    srv_request_headers(app, x, reply, &embed_door);
}
