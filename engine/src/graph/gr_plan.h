#ifndef GR_PLAN_H
#define GR_PLAN_H
#include "graph/passes.h"
#include "ops/op.h"
#include "prelu/plan.h"

/** A plan's inside, for sessions. */
struct prelu_plan {
    prelu_graph *g;   /* after the passes; constants' data NULL where packed */
    op_instance *ops; /* one for each node of g */
    void **owned;     /* by value: constants in the engine's layout, aligned */
    gr_input_affine input;
    prelu_value *outputs;
    char **output_names;
    int n_outputs;
    int head; /* first node that works on windows of the map before it, n_nodes if there is none:
                 from there on every value has a row for each window */
    prelu_precision fc_precision;
    size_t packed_bytes;
};
#endif
