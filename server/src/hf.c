/* POST /: image classification as Hugging Face's clients ask for it. The body is the picture, or
 * JSON
 * {"inputs": base64, "parameters": {"top_k": n, "function_to_apply": "softmax"}}; the answer is a
 * bare list of labels and scores. */
#include "base64.h"
#include "door.h"
#include "jsonscan.h"
#include "prelu/mem.h"
#include <stdio.h>
#include <string.h>

static prelu_status hf_query(request *r, const srv_query *q, const srv_request_info *info,
                             prelu_err *err)
{
    if (srv_query_get(q, "format") || srv_query_get(q, "heatmap"))
        return prelu_fail(err, PRELU_E_ARG, "format and heatmap are for /classify");
    if (srv_is_multipart(info->content_type))
        return prelu_fail(err, PRELU_E_ARG, "one picture, not a multipart; see /classify");
    PRELU_TRY(srv_request_query(r, q, info, err));
    r->bare = true;
    return PRELU_OK;
}

static prelu_status read_parameters(request *r, srv_json *o, prelu_err *err)
{
    srv_json *k = srv_json_get(o, "top_k"), *f = srv_json_get(o, "function_to_apply");
    const char *name = srv_json_text(f);
    const int classes = r->entry->members[0]->model->classes;
    int64_t n;
    if (o && !srv_json_is_object(o) && !srv_json_is_null(o))
        return prelu_fail(err, PRELU_E_FORMAT, "\"parameters\" is not an object");
    if (f && !srv_json_is_null(f) && (!name || strcmp(name, "softmax") != 0))
        return prelu_fail(err, PRELU_E_ARG, "function_to_apply is not softmax");
    if (!k || srv_json_is_null(k))
        return PRELU_OK;
    if (!srv_json_int(k, &n) || n < 1)
        return prelu_fail(err, PRELU_E_ARG, "top_k is not a number from 1 on");
    r->top_k = n < classes ? (size_t)n : (size_t)classes;
    return PRELU_OK;
}

/* @param jpeg  the picture, owned by the request; its length. */
static prelu_status read_root(request *r, srv_json *root, char **jpeg, size_t *len, prelu_err *err)
{
    const char *inputs = srv_json_text(srv_json_get(root, "inputs"));
    prelu_err why = {0};
    if (!inputs)
        return prelu_fail(err, PRELU_E_FORMAT, "\"inputs\" is not text: a picture as base64");
    PRELU_TRY(read_parameters(r, srv_json_get(root, "parameters"), err));
    r->extra = *jpeg = prelu_strdup(inputs);
    if (!*jpeg)
        return prelu_fail(err, PRELU_E_NOMEM, "a picture");
    const prelu_status st = srv_base64_decode(*jpeg, strlen(*jpeg), len, &why);
    return st ? prelu_fail(err, st, "\"inputs\" is %s", why.text) : PRELU_OK;
}

static prelu_status read_json(request *r, char **jpeg, size_t *len, prelu_err *err)
{
    srv_json *root = NULL;
    if (r->body_len > SRV_MAX_JSON)
        return prelu_fail(err, PRELU_E_LIMIT, "%zu bytes of JSON; limit %d", r->body_len,
                          SRV_MAX_JSON);
    char *tree = prelu_alloc(r->body_len);
    if (!tree)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu bytes of JSON", r->body_len);
    prelu_status st = srv_json_scan((char *)r->body, r->body_len, tree, NULL, err);
    if (!st)
        st = srv_json_parse(&root, tree, r->body_len, err);
    if (!st)
        st = read_root(r, root, jpeg, len, err);
    srv_json_free(root);
    prelu_free(tree);
    return st;
}

static prelu_status hf_split(request *r, prelu_err *err)
{
    char *jpeg = (char *)r->body;
    size_t len = r->body_len;
    if (len == 0)
        return prelu_fail(err, PRELU_E_FORMAT, "the body is empty; send a JPEG");
    if (r->body[0] == '{')
        PRELU_TRY(read_json(r, &jpeg, &len, err));
    PRELU_TRY(srv_request_tasks(r, 1, err));
    r->tasks[0].jpeg = jpeg;
    r->tasks[0].len = len;
    return PRELU_OK;
}

const srv_door srv_hf_door = {hf_query, hf_split, srv_results_write, true};

void srv_hf_headers(srv_app *app, srv_exchange *x, srv_reply *reply)
{
    srv_request_headers(app, x, reply, &srv_hf_door);
}
