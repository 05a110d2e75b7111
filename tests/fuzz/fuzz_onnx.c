/* Any bytes through the ONNX reader; what it accepts is written, read back and must be accepted
 * again. */
#define _XOPEN_SOURCE 700
#include "model_private.h"
#include "prelu/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void save_and_load(const prelu_model *m)
{
    char path[64];
    prelu_model *again = NULL;
    prelu_err err = {0};
    snprintf(path, sizeof path, "/tmp/prelu-fuzz-%ld.onnx", (long)getpid());
    if (prelu_model_save(m, path, &err) == PRELU_OK) {
        prelu_status st = prelu_model_load(&again, path, NULL, &err);
        if (st && st != PRELU_E_NOMEM) {
            fprintf(stderr, "written, but not read: %s\n", err.text);
            abort();
        }
    }
    prelu_model_destroy(&again);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const prelu_model_options options = {.preprocess = "caffe"};
    const mdl_map map = {data, len};
    prelu_model *m = NULL;
    if (mdl_model_read(&m, &map, NULL, NULL, NULL) == PRELU_OK)
        save_and_load(m);
    prelu_model_destroy(&m);
    if (mdl_model_read(&m, &map, NULL, &options, NULL) == PRELU_OK && !m->graph->n_nodes)
        abort(); /* BGR is nodes */
    prelu_model_destroy(&m);
    return 0;
}
