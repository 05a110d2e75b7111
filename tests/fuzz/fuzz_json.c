/* Any bytes as the JSON of a request: the scan before the tree, the tree, the tensors that were cut
 * out, and pictures in base64 among them. */
#include "base64.h"
#include "jsonscan.h"
#include "srvjson.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { MAX_VALUES = 64 };

static prelu_status take_text(void *ctx, size_t i, char *text, size_t len, prelu_err *err)
{
    size_t n, *count = ctx;
    if (i != *count)
        __builtin_trap();
    ++*count;
    if (srv_base64_decode(text, len, &n, err) == PRELU_OK && n > len)
        __builtin_trap();
    return PRELU_OK;
}

static void try_span(const struct srv_json_span *span)
{
    float values[MAX_VALUES];
    for (size_t n = 1; n <= MAX_VALUES; n *= 2) {
        size_t texts = 0;
        if (srv_span_floats(span, values, n, NULL) == PRELU_OK)
            for (size_t i = 0; i < n; i++)
                if (!isfinite(values[i]))
                    __builtin_trap();
        if (srv_span_texts(span, n, take_text, &texts, NULL) == PRELU_OK && texts != n)
            __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    srv_json_cut cut = {.n = 0};
    srv_json *root = NULL;
    char *text = malloc(len + 1), *tree = malloc(len + 1);
    prelu_err err = {0};
    if (!text || !tree)
        abort();
    if (len)
        memcpy(text, data, len);
    prelu_status st = srv_json_scan(text, len, tree, &cut, &err);
    if (st && !err.text[0])
        __builtin_trap();
    if (!st && srv_json_parse(&root, tree, len, NULL) == PRELU_OK)
        (void)srv_json_text(srv_json_at(srv_json_get(root, "inputs"), 0));
    srv_json_free(root);
    for (size_t i = 0; !st && i < cut.n; i++) {
        if (cut.span[i].text < text || cut.span[i].text + cut.span[i].len > text + len)
            __builtin_trap();
        try_span(&cut.span[i]);
    }
    free(text);
    free(tree);
    return 0;
}
