#include "graph/gr_plan.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include <string.h>

static const char *const precision_names[] = {"auto", "fp32", "bf16", "int8fc"};
enum { N_PRECISIONS = sizeof precision_names / sizeof *precision_names };

const char *prelu_precision_name(prelu_precision p) { return precision_names[p]; }

prelu_status prelu_precision_parse(prelu_precision *out, const char *text, prelu_err *err)
{
    for (int i = 0; i < N_PRECISIONS; i++)
        if (strcmp(text, precision_names[i]) == 0) {
            *out = (prelu_precision)i;
            return PRELU_OK;
        }
    return prelu_fail(err, PRELU_E_ARG, "unknown precision '%.32s'; auto fp32 bf16 int8fc", text);
}

void prelu_plan_destroy(prelu_plan **plan)
{
    prelu_plan *p = *plan;
    if (!p)
        return;
    for (int i = 0; p->ops && i < p->g->n_nodes; i++)
        if (!p->ops[i].shared)
            prelu_free(p->ops[i].packed);
    for (int i = 0; p->owned && i < p->g->n_values; i++)
        prelu_free(p->owned[i]);
    for (int i = 0; p->output_names && i < p->n_outputs; i++)
        prelu_free(p->output_names[i]);
    prelu_free(p->ops);
    prelu_free(p->owned);
    prelu_free(p->outputs);
    prelu_free(p->output_names);
    prelu_graph_destroy(&p->g);
    prelu_free(p);
    *plan = NULL;
}

/* Names are taken before the passes: a dropped node's output is known by its old name. */
static prelu_status take_outputs(prelu_plan *p, const prelu_graph *g, const prelu_plan_options *o,
                                 prelu_err *err)
{
    const prelu_value *list = o->outputs ? o->outputs : g->outputs;
    const int n = o->outputs ? o->n_outputs : g->n_outputs;
    if (n < 1)
        return prelu_fail(err, PRELU_E_FORMAT, "the graph has no outputs");
    p->outputs = prelu_calloc((size_t)n, sizeof *p->outputs);
    p->output_names = prelu_calloc((size_t)n, sizeof *p->output_names);
    if (!p->outputs || !p->output_names)
        return prelu_fail(err, PRELU_E_NOMEM, "plan: %d outputs", n);
    p->g->n_outputs = 0;
    for (int i = 0; i < n; i++) {
        if (list[i] < 0 || list[i] >= g->n_values)
            return prelu_fail(err, PRELU_E_ARG, "output %d is value %d of %d", i, list[i],
                              g->n_values);
        PRELU_TRY(prelu_graph_output(p->g, list[i], err));
        p->output_names[i] = prelu_strdup(g->values[list[i]].name);
        p->n_outputs = i + 1;
        if (!p->output_names[i])
            return prelu_fail(err, PRELU_E_NOMEM, "plan: output name");
    }
    return PRELU_OK;
}

static prelu_status passes(prelu_plan *p, const prelu_plan_options *o, prelu_err *err)
{
    PRELU_TRY(gr_prune(p->g, err));
    PRELU_TRY(gr_take_input_affine(p->g, &p->input, err));
    if (!o->training) {
        PRELU_TRY(gr_drop_identities(p->g, err));
        PRELU_TRY(gr_fold_pads(p->g, err));
        PRELU_TRY(gr_fold_batchnorm(p->g, err));
        PRELU_TRY(gr_fuse_residuals(p->g, err));
        PRELU_TRY(gr_fuse_activations(p->g, err));
        PRELU_TRY(gr_fuse_residuals(p->g, err)); /* that follow an activation */
    } else if (o->precision == PRELU_PRECISION_BF16) {
        PRELU_TRY(gr_round_operands(p->g, krn_table_get(), err));
    }
    for (int i = 0; i < p->n_outputs; i++) {
        p->outputs[i] = p->g->outputs[i];
        if (p->g->values[p->outputs[i]].producer == PRELU_NONE)
            return prelu_fail(err, PRELU_E_UNSUPPORTED,
                              "output '%.80s' is not computed by any node", p->output_names[i]);
    }
    return PRELU_OK;
}

/* Row-major logical order → the engine's layout, aligned. */
static prelu_status own_constant(prelu_plan *p, prelu_value v, prelu_err *err)
{
    const prelu_value_info *info = &p->g->values[v];
    const size_t size = prelu_dtype_size(info->dtype);
    const int64_t *d = info->shape.dim;
    size_t count;
    PRELU_TRY(prelu_shape_count(&info->shape, &count, err));
    char *to = prelu_alloc(count * size);
    const char *from = info->data;
    if (!to)
        return prelu_fail(err, PRELU_E_NOMEM, "constant '%.64s': %zu bytes", info->name,
                          count * size);
    p->owned[v] = to;
    p->packed_bytes += count * size;
    if (info->shape.rank != 4) {
        if (count)
            memcpy(to, from, count * size);
        return PRELU_OK;
    }
    const size_t c = (size_t)d[1], hw = (size_t)(d[2] * d[3]);
    for (size_t n = 0; n < (size_t)d[0]; n++)
        for (size_t i = 0; i < c; i++)
            for (size_t k = 0; k < hw; k++)
                memcpy(to + ((n * hw + k) * c + i) * size, from + ((n * c + i) * hw + k) * size,
                       size);
    return PRELU_OK;
}

static bool is_fc(const char *op) { return strcmp(op, "Gemm") == 0 || strcmp(op, "MatMul") == 0; }

/* What bf16 gains depends on the CPU. Tiles multiply it many times faster than f32. Without them
 * its arithmetic is f32's, and narrow weights pay only where they are waited for, in fully
 * connected layers; convolutions would round for the few percent that fewer bytes gain. int8
 * weights are auto's choice only where somebody has measured that they change no answers. */
static prelu_precision precision_of(bool fc, const prelu_plan_options *o)
{
    const krn_table *krn = krn_table_get();
    const bool vectors = krn->isa & KRN_AVX2; /* which widen weights as fast as they come */
    if (o->precision == PRELU_PRECISION_FP32 || o->precision == PRELU_PRECISION_BF16)
        return o->precision;
    if (fc && o->precision == PRELU_PRECISION_INT8FC)
        return PRELU_PRECISION_INT8FC;
    if (fc && o->int8fc_agrees && vectors)
        return PRELU_PRECISION_INT8FC;
    return krn->gemm_bf16->tiles || (fc && vectors) ? PRELU_PRECISION_BF16 : PRELU_PRECISION_FP32;
}

/* The node of the other plan that makes the same value with the same op has the same weights: both
 * graphs went through the same passes. */
static bool share(op_instance *inst, const prelu_plan_options *o)
{
    const prelu_plan *other = o->weights_of;
    for (int i = 0; other && i < other->g->n_nodes; i++) {
        const op_instance *from = &other->ops[i];
        if (from->def != inst->def || from->node->out[0] != inst->node->out[0] || !from->packed ||
            from->precision != inst->precision || from->node->n_in != inst->node->n_in)
            continue;
        inst->packed = from->packed;
        inst->algorithm = from->algorithm;
        inst->consumed = from->consumed;
        inst->bf16 = from->bf16;
        inst->shared = true;
        return true;
    }
    return false;
}

static prelu_status pack_node(prelu_plan *p, int i, const prelu_plan_options *o, prelu_err *err)
{
    const prelu_node *n = &p->g->nodes[i];
    op_instance *inst = &p->ops[i];
    op_tensor in[PRELU_MAX_INPUTS];
    prelu_err inner = {0};
    size_t count;
    *inst = (op_instance){.def = op_find(n->op),
                          .node = n,
                          .krn = krn_table_get(),
                          .precision = precision_of(is_fc(n->op), o),
                          .round = o->training && o->precision == PRELU_PRECISION_BF16,
                          .part_packed = o->packed,
                          .part_ctx = o->packed_ctx,
                          .id = (uint64_t)i};
    for (int k = 0; k < n->n_in; k++) {
        in[k] = (op_tensor){.shape.rank = -1};
        if (n->in[k] == PRELU_NONE)
            continue;
        const prelu_value_info *v = &p->g->values[n->in[k]];
        in[k] = (op_tensor){.data = v->is_constant ? (void *)v->data : NULL,
                            .dtype = v->dtype,
                            .shape = v->shape,
                            .constant = v->is_constant};
    }
    if (inst->def->pack && !share(inst, o)) {
        const prelu_status st =
            inst->def->pack(inst, in, n->n_in, o->pool, &inst->consumed, &inner);
        p->packed_bytes += inst->packed_len;
        if (st)
            return prelu_fail(err, st, "%s node '%.80s': %s", n->op, n->name, inner.text);
    }
    for (int k = 0; k < n->n_in; k++) {
        if (!in[k].data || inst->def->shape_only >> k & 1)
            continue;
        if (!(inst->consumed >> k & 1) && !p->owned[n->in[k]])
            PRELU_TRY(own_constant(p, n->in[k], err));
        if (o->packed && !prelu_shape_count(&in[k].shape, &count, NULL))
            o->packed(o->packed_ctx, in[k].data, count * prelu_dtype_size(in[k].dtype));
    }
    return PRELU_OK;
}

static void in_f32(prelu_plan *p, prelu_value v)
{
    if (v != PRELU_NONE && p->g->values[v].producer != PRELU_NONE)
        p->g->values[v].dtype = PRELU_F32;
}

/* What one bf16 convolution hands to others only stays bf16: rounded once, as it is stored. */
static void choose_types(prelu_plan *p)
{
    const prelu_graph *g = p->g;
    for (int i = 0; i < g->n_nodes; i++)
        if (p->ops[i].bf16)
            g->values[g->nodes[i].out[0]].dtype = PRELU_BF16;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = p->ops[i].bf16 ? 1 : 0; k < g->nodes[i].n_in; k++)
            in_f32(p, g->nodes[i].in[k]);
    for (int i = 0; i < p->n_outputs; i++)
        in_f32(p, p->outputs[i]);
}

/* The plan does not look at the caller's memory again. */
static void forget_data(prelu_graph *g)
{
    for (int i = 0; i < g->n_values; i++) {
        if (g->values[i].owns_data)
            prelu_free((void *)g->values[i].data);
        g->values[i].data = NULL;
        g->values[i].owns_data = false;
    }
}

static prelu_status build(prelu_plan *p, const prelu_graph *g, const prelu_plan_options *o,
                          prelu_err *err)
{
    PRELU_TRY(prelu_graph_clone(&p->g, g, err));
    PRELU_TRY(take_outputs(p, g, o, err));
    PRELU_TRY(passes(p, o, err));
    p->ops = prelu_calloc((size_t)p->g->n_nodes, sizeof *p->ops);
    p->owned = prelu_calloc((size_t)p->g->n_values, sizeof *p->owned);
    if (!p->ops || !p->owned)
        return prelu_fail(err, PRELU_E_NOMEM, "plan: %d nodes", p->g->n_nodes);
    for (int i = 0; i < p->g->n_nodes; i++)
        PRELU_TRY(pack_node(p, i, o, err));
    while (p->head < p->g->n_nodes && !p->ops[p->head].def->windows)
        p->head++;
    choose_types(p);
    p->fc_precision = precision_of(true, o);
    if (!o->training)
        prelu_log(PRELU_LOG_INFO, "precision %s: convolutions %s, fully connected layers %s, on %s",
                  prelu_precision_name(o->precision), prelu_precision_name(precision_of(false, o)),
                  prelu_precision_name(precision_of(true, o)), prelu_cpu_text());
    forget_data(p->g);
    return PRELU_OK;
}

prelu_status prelu_plan_create(prelu_plan **out, const prelu_graph *g,
                               const prelu_plan_options *options, prelu_err *err)
{
    const prelu_plan_options none = {.precision = PRELU_PRECISION_AUTO};
    const prelu_plan_options *o = options ? options : &none;
    prelu_plan *p;
    prelu_status st;
    p = prelu_calloc(1, sizeof *p);
    if (!p)
        return prelu_fail(err, PRELU_E_NOMEM, "plan: %zu bytes", sizeof *p);
    st = build(p, g, o, err);
    if (st)
        prelu_plan_destroy(&p);
    else
        *out = p;
    return st;
}

int prelu_plan_outputs(const prelu_plan *plan) { return plan->n_outputs; }

int prelu_plan_find_output(const prelu_plan *plan, const char *name)
{
    for (int i = 0; i < plan->n_outputs; i++)
        if (strcmp(plan->output_names[i], name) == 0)
            return i;
    return -1;
}

/* @param macs  of each layer, or NULL. */
static prelu_status measure(const prelu_plan *plan, int64_t h, int64_t w, prelu_plan_cost *out,
                            double *macs, prelu_err *err)
{
    const prelu_graph *g = plan->g;
    prelu_shape *shapes = prelu_calloc((size_t)g->n_values + 1, sizeof *shapes);
    prelu_status st;
    if (!shapes)
        return prelu_fail(err, PRELU_E_NOMEM, "%d shapes", g->n_values);
    st = prelu_graph_infer(g, 1, h, w, shapes, err);
    if (!st) {
        const prelu_shape *y = &shapes[plan->outputs[0]];
        *out = (prelu_plan_cost){.rows = y->rank > 0 && y->dim[0] > 0 ? (size_t)y->dim[0] : 1};
        for (int i = 0; i < g->n_nodes; i++) {
            const double n = prelu_node_macs(g, i, shapes);
            out->macs += n;
            out->head += i >= plan->head ? n : 0;
            if (macs)
                macs[i] = n;
        }
    }
    prelu_free(shapes);
    return st;
}

prelu_status prelu_plan_measure(const prelu_plan *plan, int64_t h, int64_t w, prelu_plan_cost *out,
                                prelu_err *err)
{
    return measure(plan, h, w, out, NULL, err);
}

prelu_status prelu_plan_layer_macs(const prelu_plan *plan, int64_t h, int64_t w, double *macs,
                                   prelu_err *err)
{
    prelu_plan_cost all;
    return measure(plan, h, w, &all, macs, err);
}

size_t prelu_plan_packed_bytes(const prelu_plan *plan) { return plan->packed_bytes; }

int prelu_plan_layers(const prelu_plan *plan) { return plan->g->n_nodes; }

int prelu_plan_head(const prelu_plan *plan) { return plan->head; }

prelu_precision prelu_plan_fc_precision(const prelu_plan *plan) { return plan->fc_precision; }

int prelu_plan_output_layer(const prelu_plan *plan, int i)
{
    return plan->g->values[plan->outputs[i]].producer;
}

prelu_plan_layer prelu_plan_layer_at(const prelu_plan *plan, int i)
{
    const op_instance *op = &plan->ops[i];
    return (prelu_plan_layer){.name = op->node->name,
                              .op = op->node->op,
                              .algorithm = op->algorithm ? op->algorithm : "direct",
                              .packed_bytes = op->packed_len};
}
