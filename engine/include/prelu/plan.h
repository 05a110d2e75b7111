#ifndef PRELU_PLAN_H
#define PRELU_PLAN_H
#include "prelu/cpu.h"
#include "prelu/graph.h"
#include "prelu/threads.h"

/** "auto", "fp32", ... ; parse: E_ARG with the list of names. */
const char *prelu_precision_name(prelu_precision p);
PRELU_MUST_CHECK prelu_status prelu_precision_parse(prelu_precision *out, const char *text,
                                                    prelu_err *err);

typedef struct prelu_plan_options {
    prelu_precision precision;
    bool int8fc_agrees; /* the file says that int8 fc weights keep top-1: auto may use them */
    prelu_pool *pool;   /* packs weights in parallel; NULL = here */
    const prelu_value *outputs; /* values to compute; NULL = the graph's outputs */
    int n_outputs;
    /* NULL, or a plan with the same precision of a graph whose values have the same numbers (the
     * source of prelu_graph_dense): its packed weights serve this plan too. Must outlive it. */
    const struct prelu_plan *weights_of;
    /* NULL, or told of constant data that has been packed, perhaps by a thread of the pool: nothing
     * is lost if its pages leave memory, but they may be read again. */
    void (*packed)(void *ctx, const void *data, size_t len);
    void *packed_ctx;
    bool training; /* keep Dropout and BatchNormalization as the trainer's graph has them; no fusion
                      across values that gradients read; in bf16 the operands of products are
                      rounded, gradients' too */
} prelu_plan_options;

/** A graph after its passes (dropout and identity dropped, BatchNorm folded into conv, conv + bias
 * + activation fused), with kernels chosen and weights packed. Immutable and shared by threads.
 *  Algorithms are fixed per layer: an image's scores do not depend on its batch, its row in it or
 *  the number of threads. */
typedef struct prelu_plan prelu_plan;

/** @param g  borrowed during the call only (constants are packed or copied), so a mapped file may
 * be unmapped afterwards.
 *  @return E_UNSUPPORTED op or type, E_FORMAT shapes, E_NOMEM. */
PRELU_MUST_CHECK prelu_status prelu_plan_create(prelu_plan **out, const prelu_graph *g,
                                                const prelu_plan_options *options, prelu_err *err);
void prelu_plan_destroy(prelu_plan **plan); /* after its sessions */

int prelu_plan_outputs(const prelu_plan *plan);
/** Index of a named output, or -1. */
int prelu_plan_find_output(const prelu_plan *plan, const char *name);
/** What one picture of h x w asks for. */
typedef struct prelu_plan_cost {
    size_t rows; /* of output 0: 1, or the windows of a dense plan */
    double macs; /* multiply-accumulates of convolutions and fc layers */
    double head; /* those of a dense plan's head, which runs on every window */
} prelu_plan_cost;
/** @return as prelu_graph_infer. Thread-safe. */
PRELU_MUST_CHECK prelu_status prelu_plan_measure(const prelu_plan *plan, int64_t h, int64_t w,
                                                 prelu_plan_cost *out, prelu_err *err);
/** The multiply-accumulates of layer i of one picture in macs[i], prelu_plan_layers entries. */
PRELU_MUST_CHECK prelu_status prelu_plan_layer_macs(const prelu_plan *plan, int64_t h, int64_t w,
                                                    double *macs, prelu_err *err);
/** Without weights shared with another plan. */
size_t prelu_plan_packed_bytes(const prelu_plan *plan);

/** One line of `describe --plan`. Strings live as long as the plan. */
typedef struct prelu_plan_layer {
    const char *name;
    const char *op;
    const char *algorithm; /* e.g. "implicit gemm f32 14x32 avx512" */
    size_t packed_bytes;
} prelu_plan_layer;
int prelu_plan_layers(const prelu_plan *plan);
/** The layer that makes output i. */
int prelu_plan_output_layer(const prelu_plan *plan, int i);
/** The first layer that runs on windows of the map; prelu_plan_layers if none does. */
int prelu_plan_head(const prelu_plan *plan);
/** What its fully connected layers run in. */
prelu_precision prelu_plan_fc_precision(const prelu_plan *plan);
prelu_plan_layer prelu_plan_layer_at(const prelu_plan *plan, int i);
#endif
