#ifndef PRELU_TEST_OP_RUN_H
#define PRELU_TEST_OP_RUN_H
/* Run one op outside any plan: shape rule, pack, prepare, then all phases and tasks in order or
 * backwards. Tensors given and returned lie in the engine's layout. */
#include "check.h"
#include "ops/op.h"
#include "prelu/mem.h"

typedef struct op_run {
    prelu_node node;
    prelu_value in_ids[PRELU_MAX_INPUTS], out_ids[PRELU_MAX_OUTPUTS];
    op_tensor in[PRELU_MAX_INPUTS], out[PRELU_MAX_OUTPUTS];
    const krn_table *krn;
    uint64_t constant; /* inputs to offer to pack, as row-major data in file_order */
    const void *file_order[PRELU_MAX_INPUTS];
    bool backwards;
    prelu_precision precision; /* of constant weights; AUTO here means fp32 */
    bool round;                /* training in bf16 */
    bool in_place; /* output 0 starts as a copy of input 0, which is then read from there */
    uint64_t seed; /* of the run: Dropout */
} op_run;

static inline size_t op_run_count(const prelu_shape *s)
{
    size_t n;
    prelu_err err = {0};
    check_ok(prelu_shape_count(s, &n, &err), &err);
    return n;
}

/* Outputs' data are allocated (prelu_alloc, NaN-filled); free them with op_run_free. */
static inline prelu_status op_run_go(op_run *r, const char *op, int n_in, int n_out,
                                     const prelu_attr *attrs, size_t n_attrs, prelu_err *err)
{
    const op_def *def = op_find(op);
    prelu_shape in[PRELU_MAX_INPUTS], out[PRELU_MAX_OUTPUTS];
    op_tensor packing[PRELU_MAX_INPUTS];
    uint64_t consumed = 0;
    op_instance inst = {.def = def,
                        .node = &r->node,
                        .krn = r->krn,
                        .id = 7,
                        .round = r->round,
                        .precision = r->precision ? r->precision : PRELU_PRECISION_FP32};
    assert_non_null(def);
    r->node = (prelu_node){.name = (char *)"node",
                           .op = def->name,
                           .in = r->in_ids,
                           .out = r->out_ids,
                           .n_in = n_in,
                           .n_out = n_out,
                           .attrs = (prelu_attr *)attrs,
                           .n_attrs = n_attrs};
    for (int i = 0; i < n_in; i++)
        in[i] = r->in[i].shape;
    PRELU_TRY(def->shape(&r->node, in, out, err));
    for (int i = 0; i < n_in; i++) {
        packing[i] = r->in[i];
        packing[i].data = r->constant >> i & 1 ? (void *)r->file_order[i] : NULL;
        packing[i].constant = packing[i].data != NULL;
    }
    if (def->pack && r->constant)
        check_ok(def->pack(&inst, packing, n_in, NULL, &consumed, err), err);
    op_tensor given[PRELU_MAX_INPUTS];
    for (int i = 0; i < n_in; i++) {
        given[i] = r->in[i];
        if (consumed >> i & 1)
            given[i].data = NULL;
    }
    for (int i = 0; i < n_out; i++) {
        const size_t n = op_run_count(&out[i]);
        r->out[i] = (op_tensor){
            .dtype = PRELU_F32, .shape = out[i], .data = prelu_alloc(n * sizeof(float) + 1)};
        for (size_t k = 0; k < n; k++)
            ((float *)r->out[i].data)[k] = NAN;
    }
    if (r->in_place) {
        memcpy(r->out[0].data, given[0].data, op_run_count(&in[0]) * sizeof(float));
        given[0].data = r->out[0].data;
    }
    op_work w = {.phases = 1, .rounds = 1, .tasks = {1, 1, 1, 1}, .flops = {1, 1, 1, 1}};
    if (def->prepare)
        PRELU_TRY(def->prepare(&inst, given, r->out, &w, err));
    void *shared = check_guard_new(w.shared + 1), *scratch = check_guard_new(w.scratch + 1);
    const op_exec x = {.op = &inst,
                       .in = given,
                       .out = r->out,
                       .n_in = n_in,
                       .n_out = n_out,
                       .work = &w,
                       .shared = shared,
                       .seed = r->seed};
    for (int p = 0; p < w.phases * (int)w.rounds; p++)
        for (size_t t = 0, tasks = w.tasks[p % w.phases]; t < tasks; t++)
            def->run(&x, p, r->backwards ? tasks - 1 - t : t, scratch);
    check_guard_intact(shared, w.shared + 1);
    check_guard_intact(scratch, w.scratch + 1);
    check_guard_free(shared);
    check_guard_free(scratch);
    prelu_free(inst.packed);
    return PRELU_OK;
}

static inline void op_run_free(op_run *r)
{
    for (int i = 0; i < PRELU_MAX_OUTPUTS; i++) {
        prelu_free(r->out[i].data);
        r->out[i].data = NULL;
    }
}

/* Row-major logical order → channels-last, rank 4. */
static inline void op_run_layout(float *dst, const float *src, const prelu_shape *s)
{
    const size_t c = (size_t)s->dim[1], hw = (size_t)(s->dim[2] * s->dim[3]);
    for (size_t n = 0; n < (size_t)s->dim[0]; n++)
        for (size_t k = 0; k < c; k++)
            for (size_t p = 0; p < hw; p++)
                dst[(n * hw + p) * c + k] = src[(n * c + k) * hw + p];
}

/* Every capability mask worth a table on this machine: each cap's own. Returns how many. */
static inline int op_run_tables(krn_table tables[8])
{
    static const char *const names[] = {"ref", "blas", "avx2", "avx512", "avx512bf16", "amx"};
    int n = 0;
    for (int i = 0; i < 6; i++) {
        unsigned mask;
        check_ok(krn_cpu_cap(names[i], &mask, NULL), (&(prelu_err){0}));
        krn_table_init(&tables[n], krn_cpu_isa() & mask);
        n += n == 0 || tables[n].isa != tables[n - 1].isa;
    }
    return n;
}
#endif
