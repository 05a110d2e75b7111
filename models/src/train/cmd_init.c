/* prelu-train init: write an untrained network. */
#include "command.h"
#include "common.h"

static prelu_status run(const train_args *a, int *exit_code, prelu_err *err)
{
    prelu_net_options o;
    prelu_model *m = NULL;
    const char *path;
    prelu_status st;
    (void)exit_code;
    PRELU_TRY(train_need(a, "out", &path, err));
    PRELU_TRY(train_net_options(a, &o, err));
    PRELU_TRY(prelu_net_build(&m, &o, err));
    st = prelu_model_save(m, path, err);
    prelu_model_destroy(&m);
    return st;
}

static const train_option options[] = {
    TRAIN_NET_OPTIONS,
    {"out", "FILE", "ONNX file to write", false},
    TRAIN_OPTION_END,
};

const train_command train_init_command = {"init", "Write an untrained network as ONNX",
                                          "--arch NAME --out FILE [--seed N]", options, run};
