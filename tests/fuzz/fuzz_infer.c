/* A request of the Open Inference Protocol, or of Hugging Face's clients, as the server takes it
 * apart: JSON, what follows it, pictures and tensors. The input is the value of
 * Inference-Header-Content-Length (empty: there is none; "hf": the other door) up to its newline,
 * then the body. */
#include "door.h"
#include "prelu/mem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { MAX_IMAGES = 4, CROP = 8, CLASSES = 3 };

static prelu_model model = {.classes = CLASSES,
                            .preprocess = {.resize = CROP, .crop = CROP, .scales = {CROP}}};
static srv_model served = {.model = &model};
static srv_table table = {.n = 1,
                          .models = {&served},
                          .n_entries = 1,
                          .entries = {{.name = "m", .version = "1", .members = {&served}, .n = 1}}};

static bool is_within(const void *p, size_t len, const void *block, size_t block_len)
{
    const unsigned char *at = p, *from = block;
    return at >= from && len <= block_len && at <= from + (block_len - len);
}

static void check_tasks(const request *r)
{
    volatile unsigned char sum = 0;
    if (r->n < 1 || r->n > MAX_IMAGES || r->top_k < 1 || r->top_k > CLASSES)
        __builtin_trap();
    for (size_t i = 0; i < r->n; i++) {
        const srv_task *t = &r->tasks[i];
        for (int k = 0; t->tensor && k < 3 * CROP * CROP; k++)
            if (!isfinite(t->tensor[k]))
                __builtin_trap();
        if (!t->tensor && r->door == &srv_infer_door &&
            !is_within(t->jpeg, t->len, r->body, r->body_len))
            __builtin_trap();
        for (size_t k = 0; !t->tensor && k < t->len; k++) /* all of it must be there */
            sum = (unsigned char)(sum ^ ((const unsigned char *)t->jpeg)[k]);
    }
}

static void try_request(const char *json_length, const uint8_t *body, size_t len)
{
    const srv_config config = {.max_images = MAX_IMAGES, .mode = PRELU_MODE_CENTER};
    srv_app app = {.config = &config};
    const srv_query none = {.n = 0};
    const bool hf = strcmp(json_length, "hf") == 0;
    const srv_request_info info = {.method = SRV_POST,
                                   .path = "/v2/models/m/infer",
                                   .json_length = *json_length && !hf ? json_length : NULL};
    request r = {
        .app = &app, .table = &table, .top_k = 1, .door = hf ? &srv_hf_door : &srv_infer_door};
    prelu_err err = {0};
    r.body_len = len;
    r.body = prelu_alloc(len);
    if (!r.body)
        abort();
    if (len)
        memcpy(r.body, body, len);
    prelu_status st = r.door->query(&r, &none, &info, &err);
    if (!st)
        st = r.door->split(&r, &err);
    if (st && !err.text[0])
        __builtin_trap();
    if (!st)
        check_tasks(&r);
    prelu_free(r.tasks);
    prelu_free(r.tensors);
    prelu_free(r.extra);
    prelu_free(r.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char line[32];
    const uint8_t *end = len ? memchr(data, '\n', len) : NULL;
    const size_t n = end ? (size_t)(end - data) : 0;
    if (!end || n >= sizeof line)
        return 0;
    memcpy(line, data, n);
    line[n] = 0;
    try_request(line, end + 1, len - n - 1);
    return 0;
}
