#ifndef PRELU_TEST_MODEL_FILE_H
#define PRELU_TEST_MODEL_FILE_H
/* A folder of the test's own with a path for a model in it. _XOPEN_SOURCE must be 700. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[64], path[128];

/** Group set-up. */
static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/prelu-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    return 0;
}

#endif
