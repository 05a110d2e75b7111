#ifndef TRAIN_COMMON_H
#define TRAIN_COMMON_H
#include "options.h"
#include "prelu/nets.h"
#include "prelu/plan.h"
#include <stdio.h>

/** What several subcommands share. */

/** Rows of an option table: a network to build. */
#define TRAIN_NET_OPTIONS                                                                          \
    {"arch", "NAME", "network: small14, deep30, A, B, C, vgg19, cifar, cifar-res, photo-res",      \
     false},                                                                                       \
        {"classes", "N", "classes (default: 1000, compact nets 10)", false},                       \
        {"width", "F", "factor on all widths, rounded to 8 channels (default 1)", false},          \
        {"activation", "NAME", "relu, lrelu, prelu-shared or prelu (default)", false},             \
        {"slope", "A", "first slope of PReLU, slope of LReLU (default 0.25)", false},              \
        {"init-method", "RULE", "he-backward (default), he-forward or xavier", false},             \
    {                                                                                              \
        "seed", "N", "seed of all random numbers (default 1)", false                               \
    }
/** A model file and how to read a foreign one. */
#define TRAIN_MODEL_OPTIONS {"model", "FILE", "ONNX file", false}, TRAIN_READ_OPTIONS
#define TRAIN_READ_OPTIONS                                                                         \
    {"preprocess", "HOW", "of a foreign file: imagenet, caffe, raw or a JSON file", false},        \
    {                                                                                              \
        "labels", "FILE", "labels, one a line, or id<TAB>label", false                             \
    }
#define TRAIN_OPTION_END                                                                           \
    {                                                                                              \
        NULL, NULL, NULL, false                                                                    \
    }

/** Options of a net from the arguments; --arch must be there. */
PRELU_MUST_CHECK prelu_status train_net_options(const train_args *a, prelu_net_options *out,
                                                prelu_err *err);
/** prelu_model_load of --model with --preprocess and --labels. */
PRELU_MUST_CHECK prelu_status train_load(const train_args *a, prelu_model **out, prelu_err *err);

/** --threads N (default: the CPUs this process may use), as a pool for a caller that works too. */
PRELU_MUST_CHECK prelu_status train_pool(const train_args *a, prelu_pool **out, int *threads,
                                         prelu_err *err);

/** --precision of training: fp32 (default), bf16, or auto, the faster one on this CPU. E_ARG. */
PRELU_MUST_CHECK prelu_status train_bf16(const train_args *a, bool *bf16, prelu_err *err);

/** A text as a JSON string, quoted; bytes that are no UTF-8 become U+FFFD. */
void train_json_text(FILE *f, const char *text);
/** Length of the well-formed UTF-8 sequence at s, 0 if there is none. */
int train_utf8(const unsigned char *s);
double train_now_ms(void);
/** Most memory this process ever had resident, in 10^6 bytes. */
double train_peak_rss_mb(void);
/** Resident now; 0 where the kernel does not say. */
double train_rss_mb(void);
/** Since this process was started, to 10 ms; 0 where the kernel does not say. */
double train_since_start_ms(void);
#endif
