#ifndef OP_OP_H
#define OP_OP_H
#include "kernels/kernels.h"
#include "prelu/graph.h"
#include "prelu/threads.h"

/** The op table's row type. An op knows nothing of plans, sessions or graphs' memory: it gets
 *  tensors. Everything of rank 4 lies channels-last (tensor.h); shapes are always logical. */

/** An f32 in a mapped file, at any address: what packers read constants through. */
typedef float op_file_f32 __attribute__((aligned(1)));

typedef struct op_tensor {
    void *data; /* NULL for an absent optional input, or a shape-only input */
    prelu_dtype dtype;
    prelu_shape shape;
    bool constant; /* holds packed-free constant data (engine layout) */
} op_tensor;

/** What a node costs, decided when shapes are known. A run = phases one after another; tasks of a
 *  phase are independent, run in any order on any thread, and write disjoint memory. What a task
 *  computes must depend on shapes only, never on the number of threads; and for an op on the
 *  inference path, each image's arithmetic must not depend on n (batch invariance). */
#define OP_MAX_PHASES 4
typedef struct op_work {
    int phases;                  /* default 1 */
    size_t rounds;               /* default 1: all phases are run so many times, one round after
                                    another; run's phase counts on: round * phases + phase */
    size_t tasks[OP_MAX_PHASES]; /* default 1; aim at 10..500 us a task */
    double flops[OP_MAX_PHASES]; /* of one task, or bytes moved, for cutting steps; >= 1 */
    size_t scratch;              /* bytes each worker gets (64-byte aligned, undefined contents) */
    size_t shared;               /* bytes one run shares between its tasks and phases */
} op_work;

/** A node compiled into a plan. */
typedef struct op_instance {
    const struct op_def *def;
    const prelu_node *node; /* attributes; names */
    const krn_table *krn;
    void *packed; /* made by def->pack; freed with prelu_free by the plan */
    size_t packed_len;
    uint64_t consumed; /* inputs that pack has taken */
    bool shared;       /* `packed` is another plan's */
    /* pack may tell of parts of a constant that it has packed; the plan tells of whole ones */
    void (*part_packed)(void *ctx, const void *data, size_t len);
    void *part_ctx;
    const char *algorithm;     /* static text for describe --plan; NULL = def->name */
    prelu_precision precision; /* asked of constant weights; AUTO never comes here */
    bool bf16;                 /* set by pack: input 0 may be bf16, and output 0 is written so */
    bool round;                /* training in bf16: a product rounds its variable operands, if
                                  op_rounds_itself; else they come rounded */
    uint64_t id;               /* stable per node: dropout's stream */
} op_instance;

typedef struct op_exec {
    const op_instance *op;
    const op_tensor *in; /* n_in; data NULL where absent or shape-only */
    op_tensor *out;
    int n_in, n_out;
    const op_work *work;
    void *shared;
    uint64_t seed; /* of this run: Dropout */
    size_t first_row;
} op_exec;

/** Gradient builder's view: append nodes to g. */
typedef struct op_grad_ctx {
    prelu_graph *g;
    int node; /* index of the forward node in g (pointers move when nodes are added) */
    const prelu_value *dout; /* gradient of each output, PRELU_NONE if none flows */
    prelu_value *din;        /* to fill: gradient of each input, or PRELU_NONE */
    const bool *needs;       /* which inputs need one */
} op_grad_ctx;

typedef struct op_def {
    const char *name;
    int min_in, max_in, min_out, max_out;
    /** Inputs of which only the shape is read by run (bit i = input i). */
    uint64_t shape_only;
    /** Output 0 may overwrite input 0 (same count and layout). */
    bool in_place;
    /** Makes a row for each window of a map. The session may ask for a block of the rows: out[0]
     *  then has that many, and op_exec.first_row says where they begin. */
    bool windows;
    /** out[i] from in[i]; in[i].rank = -1 for absent inputs. Checks everything; E_FORMAT with a
     * text (the caller puts op and node name in front). */
    prelu_status (*shape)(const prelu_node *n, const prelu_shape *in, prelu_shape *out,
                          prelu_err *err);
    /** Optional, plan time: pack constant inputs (in[i].data set, engine layout is NOT yet applied:
     *  row-major logical order as in the file, possibly unaligned) into inst->packed with
     *  prelu_alloc. Inputs consumed this way are reported in *consumed (bit mask): run then gets
     *  data NULL for them. */
    prelu_status (*pack)(op_instance *inst, const op_tensor *in, int n_in, prelu_pool *pool,
                         uint64_t *consumed, prelu_err *err);
    /** Optional: default is one phase, one task. Shapes are final here. */
    prelu_status (*prepare)(const op_instance *inst, const op_tensor *in, const op_tensor *out,
                            op_work *work, prelu_err *err);
    void (*run)(const op_exec *x, int phase, size_t task, void *scratch);
    /** NULL = no gradient (an error if one is needed). */
    prelu_status (*grad)(op_grad_ctx *c, prelu_err *err);
} op_def;

/** Every op there is: ops.inc lists them as OP(symbol), each an `extern const op_def symbol`. */
const op_def *op_find(const char *name);
#define OP(symbol) extern const op_def symbol;
#include "ops/ops.inc"
#undef OP

/** Helpers for grad builders: one node with one output; dst = PRELU_NONE on failure. The node's
 * name is made from the forward node's and `tag`. */
prelu_status op_grad_node(op_grad_ctx *c, const char *op, const char *tag, const prelu_value *in,
                          int n_in, const prelu_attr *attrs, size_t n_attrs, prelu_value *out,
                          int n_out, prelu_err *err);
#endif
