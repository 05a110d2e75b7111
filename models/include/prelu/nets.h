#ifndef PRELU_NETS_H
#define PRELU_NETS_H
#include "prelu/model.h"

/** The paper's networks (He et al. 2015, Tables 1 and 3) and a compact one for 32x32, as tables of
 *  layers; see models/src/nets.c. */
typedef enum prelu_activation {
    PRELU_ACT_RELU,
    PRELU_ACT_LRELU,        /* fixed a, `slope` */
    PRELU_ACT_PRELU_SHARED, /* one a per layer */
    PRELU_ACT_PRELU         /* one a per channel (per unit after fc) */
} prelu_activation;

typedef enum prelu_init {
    PRELU_INIT_HE_BACKWARD, /* 1/2 (1+a^2) k^2 d Var[w] = 1, the paper's choice for its large nets
                             */
    PRELU_INIT_HE_FORWARD,  /* 1/2 (1+a^2) k^2 c Var[w] = 1 */
    PRELU_INIT_XAVIER       /* k^2 c Var[w] = 1 */
} prelu_init;

typedef struct prelu_net_options {
    const char *arch; /* one of prelu_net_names */
    int classes;      /* 0 = 1000 (10 of a compact one) */
    double width;     /* factor on all widths, 0 = 1.0; channels rounded to 8 */
    prelu_activation activation;
    float slope; /* initial a (PReLU, default .25) or fixed a (LReLU); used when slope_set */
    bool slope_set;
    double dropout; /* ratio behind the fc layers that have one; used when dropout_set, 0 = none */
    bool dropout_set;
    prelu_init init;
    uint64_t seed;
    const float *mean; /* 3 per-channel means in 0..255, NULL = ImageNet's (cifar: CIFAR-10's) */
    const float *std;  /* 3, NULL = 1 (the paper subtracts the mean only); cifar: CIFAR-10's */
    bool shapes_only;  /* no weights: constants have no data; to count and to infer shapes */
} prelu_net_options;

/** Names, NULL-terminated. */
const char *const *prelu_net_names(void);
/** One of ours with BatchNorm, for ten classes by default; the others are the paper's. */
bool prelu_net_is_compact(const char *arch);
/** Build and initialise; the same seed gives the same weights everywhere.
 *  @return E_ARG unknown arch (text lists them), classes, width. */
PRELU_MUST_CHECK prelu_status prelu_net_build(prelu_model **out, const prelu_net_options *options,
                                              prelu_err *err);
#endif
