/* prelu-train init: write an untrained network. */
#include "command.h"
#include "common.h"

static prelu_status run(const train_args *a, int *exit_code, prelu_err *err)
{
    prelu_net_options o;
    prelu_model *m = NULL;
    prelu_pool *pool = NULL;
    const char *path;
    prelu_status st;
    int threads;
    (void)exit_code;
    PRELU_TRY(train_need(a, "out", &path, err));
    PRELU_TRY(train_net_options(a, &o, err));
    PRELU_TRY(train_pool(a, &pool, &threads, err));
    st = prelu_net_build(&m, &o, err);
    if (!st)
        st = prelu_model_make_check(m, pool, err);
    if (!st)
        st = prelu_model_save(m, path, err);
    prelu_model_destroy(&m);
    prelu_pool_destroy(&pool);
    return st;
}

static const train_option options[] = {
    TRAIN_NET_OPTIONS,
    {"out", "FILE", "ONNX file to write", false},
    {"threads", "N", "threads for its self-check (default: all)", false},
    TRAIN_OPTION_END,
};

const train_command train_init_command = {"init", "Write an untrained network as ONNX",
                                          "--arch NAME --out FILE [--seed N]", options, run};
