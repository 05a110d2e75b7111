/* The training graph: the part of the net that the logits need, copied node by node with trained
 * constants as variables and BatchNormalization as BatchNormTrain, then loss and backward pass. */
#include "prelu/mem.h"
#include "train/trainer.h"
#include <stdio.h>
#include <string.h>

typedef struct builder {
    prelu_trainer *t;
    const prelu_graph *net;
    prelu_graph *g;
    prelu_value *map; /* net value -> value of g, PRELU_NONE if not (yet) copied */
    bool *needed;     /* net nodes that are still to be copied */
    prelu_value logits;
    prelu_value *outputs;
    int n_outputs;
    int64_t dropouts;
    prelu_err *err;
} builder;

static prelu_status nomem(prelu_err *err, size_t len)
{
    return prelu_fail(err, PRELU_E_NOMEM, "trainer: %zu bytes", len);
}

/* One whose statistics are trained too; a frozen one is an ordinary node. */
static bool is_batch_norm(const builder *b, const prelu_node *n)
{
    return !strcmp(n->op, "BatchNormalization") &&
           (n->n_in < 5 || n->in[3] == PRELU_NONE ||
            b->net->values[n->in[3]].role == PRELU_ROLE_STATISTIC);
}

static bool is_trained(prelu_role role)
{
    return role == PRELU_ROLE_WEIGHT || role == PRELU_ROLE_BIAS || role == PRELU_ROLE_SLOPE ||
           role == PRELU_ROLE_SCALE;
}

/* Nodes stand in topological order, so one walk from the end finds all that `logits` needs. */
static void mark_needed(builder *b, prelu_value logits)
{
    const prelu_graph *net = b->net;
    if (net->values[logits].producer != PRELU_NONE)
        b->needed[net->values[logits].producer] = true;
    for (int i = net->n_nodes - 1; i >= 0; i--) {
        const prelu_node *n = &net->nodes[i];
        for (int k = 0; b->needed[i] && k < n->n_in; k++) {
            int producer = n->in[k] == PRELU_NONE ? PRELU_NONE : net->values[n->in[k]].producer;
            if (producer != PRELU_NONE)
                b->needed[producer] = true;
        }
    }
}

static prelu_status add_param(builder *b, prelu_value v, prelu_role role)
{
    const prelu_value_info *info = &b->net->values[v];
    tr_param *p = &b->t->params[b->t->n_params];
    *p = (tr_param){.net = v, .role = role, .shape = info->shape, .output = -1};
    if (info->dtype != PRELU_F32)
        return prelu_fail(b->err, PRELU_E_UNSUPPORTED, "parameter %.80s is %s, only f32 is trained",
                          info->name, prelu_dtype_name(info->dtype));
    PRELU_TRY(prelu_shape_count(&p->shape, &p->count, b->err));
    PRELU_TRY(prelu_graph_make_variable(b->g, b->map[v], b->err));
    p->var = b->map[v];
    p->name = prelu_strdup(info->name);
    if (!p->name)
        return nomem(b->err, strlen(info->name) + 1);
    p->offset = b->t->total;
    b->t->total += tr_padded(p->count);
    b->t->n_params++;
    return PRELU_OK;
}

/* @param role  what it is trained as, PRELU_ROLE_NONE to go by the constant's own role. */
static prelu_status copy_constant(builder *b, prelu_value v, prelu_role role)
{
    const prelu_value_info *info = &b->net->values[v];
    if (b->map[v] != PRELU_NONE)
        return PRELU_OK;
    if (role == PRELU_ROLE_NONE)
        role = info->role;
    PRELU_TRY(prelu_graph_constant(b->g, info->name, info->dtype, &info->shape, info->data,
                                   !is_trained(role), role, &b->map[v], b->err));
    return is_trained(role) ? add_param(b, v, role) : PRELU_OK;
}

/* One value for each of `count` channels of (n,c,h,w). */
static bool is_per_channel(const prelu_shape *s, size_t count)
{
    const int axis = s->rank - 3;
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] != (i == axis ? (int64_t)count : 1))
            return false;
    return axis >= 0;
}

/* The PReLU with trained slopes by channel that is all that reads this norm, or -1: the two become
 * one node, which saves a pass over the map forward and two backward. */
static int prelu_behind(const builder *b, const prelu_node *n, size_t count)
{
    const prelu_graph *net = b->net;
    int reader = -1;
    if (b->logits == n->out[0])
        return -1;
    for (int i = 0; i < net->n_nodes; i++)
        for (int k = 0; b->needed[i] && k < net->nodes[i].n_in; k++)
            if (net->nodes[i].in[k] == n->out[0]) {
                if (reader >= 0 || k > 0)
                    return -1;
                reader = i;
            }
    if (reader < 0 || strcmp(net->nodes[reader].op, "PRelu") != 0)
        return -1;
    const prelu_value_info *slope = &net->values[net->nodes[reader].in[1]];
    return slope->is_constant && slope->role == PRELU_ROLE_SLOPE &&
                   is_per_channel(&slope->shape, count)
               ? reader
               : -1;
}

static prelu_status copy_batch_norm(builder *b, const prelu_node *n)
{
    tr_norm *norm = &b->t->norms[b->t->n_norms];
    const prelu_graph *net = b->net;
    prelu_value in[4], out[3];
    prelu_attr epsilon = PRELU_FLOAT("epsilon", prelu_node_float(n, "epsilon", 1e-5f));
    for (int i = 1; i < 5; i++)
        if (n->n_in < 5 || !net->values[n->in[i]].is_constant ||
            net->values[n->in[i]].dtype != PRELU_F32)
            return prelu_fail(b->err, PRELU_E_UNSUPPORTED,
                              "BatchNormalization %.80s: parameters must be f32 constants",
                              n->name);
    PRELU_TRY(copy_constant(b, n->in[1], PRELU_ROLE_SCALE));
    PRELU_TRY(copy_constant(b, n->in[2], PRELU_ROLE_SCALE));
    PRELU_TRY(prelu_shape_count(&net->values[n->in[3]].shape, &norm->count, b->err));
    const int prelu = prelu_behind(b, n, norm->count);
    if (prelu >= 0)
        PRELU_TRY(copy_constant(b, net->nodes[prelu].in[1], PRELU_ROLE_NONE));
    for (int i = 0; i < 3; i++)
        in[i] = b->map[n->in[i]];
    in[3] = prelu >= 0 ? b->map[net->nodes[prelu].in[1]] : PRELU_NONE;
    PRELU_TRY(prelu_graph_add(b->g, "BatchNormTrain", n->name, in, prelu >= 0 ? 4 : 3, &epsilon, 1,
                              NULL, out, 3, b->err));
    b->map[prelu >= 0 ? net->nodes[prelu].out[0] : n->out[0]] = out[0];
    if (prelu >= 0)
        b->needed[prelu] = false;
    norm->net_mean = n->in[3];
    norm->net_var = n->in[4];
    norm->x = in[0];
    norm->batch_mean = out[1];
    norm->batch_var = out[2];
    size_t count = 0;
    PRELU_TRY(prelu_shape_count(&net->values[n->in[4]].shape, &count, b->err));
    if (count != norm->count)
        return prelu_fail(b->err, PRELU_E_FORMAT,
                          "BatchNormalization %.80s: %zu means, %zu "
                          "variances",
                          n->name, norm->count, count);
    norm->name = prelu_strdup(n->name);
    if (!norm->name)
        return nomem(b->err, strlen(n->name) + 1);
    norm->offset = b->t->norm_total;
    b->t->norm_total += 2 * tr_padded(norm->count);
    b->t->n_norms++;
    return PRELU_OK;
}

/* Every dropout gets a number of its own, so that two layers do not drop the same units. */
static prelu_status copy_dropout(builder *b, const prelu_node *n)
{
    prelu_attr attrs[2] = {PRELU_FLOAT("ratio", prelu_node_float(n, "ratio", 0.5f)),
                           PRELU_INT("id", ++b->dropouts)};
    return prelu_graph_add(b->g, "Dropout", n->name, &b->map[n->in[0]], 1, attrs, 2, NULL,
                           &b->map[n->out[0]], 1, b->err);
}

static prelu_status copy_node(builder *b, const prelu_node *n)
{
    prelu_value in[PRELU_MAX_INPUTS], out[PRELU_MAX_OUTPUTS];
    const char *names[PRELU_MAX_OUTPUTS];
    for (int i = 0; i < n->n_in; i++) {
        const prelu_value v = n->in[i];
        if (v != PRELU_NONE && b->net->values[v].is_constant && !(is_batch_norm(b, n) && i > 0))
            PRELU_TRY(copy_constant(b, v, PRELU_ROLE_NONE));
        in[i] = v == PRELU_NONE ? PRELU_NONE : b->map[v];
        if (v != PRELU_NONE && in[i] == PRELU_NONE && !is_batch_norm(b, n))
            return prelu_fail(b->err, PRELU_E_UNSUPPORTED,
                              "node %.80s reads a second input '%.80s'", n->name,
                              b->net->values[v].name);
    }
    if (is_batch_norm(b, n))
        return copy_batch_norm(b, n);
    if (!strcmp(n->op, "Dropout"))
        return copy_dropout(b, n);
    for (int i = 0; i < n->n_out; i++)
        names[i] = b->net->values[n->out[i]].name;
    PRELU_TRY(prelu_graph_add(b->g, n->op, n->name, in, n->n_in, n->attrs, n->n_attrs, names, out,
                              n->n_out, b->err));
    for (int i = 0; i < n->n_out; i++)
        b->map[n->out[i]] = out[i];
    return PRELU_OK;
}

static prelu_status copy_net(builder *b, prelu_value *labels)
{
    const prelu_graph *net = b->net;
    const prelu_shape free_rows = {.rank = 1, .dim = {-1}};
    prelu_value data = PRELU_NONE;
    for (int v = 0; v < net->n_values && data == PRELU_NONE; v++)
        if (net->values[v].is_input)
            data = v;
    if (data == PRELU_NONE)
        return prelu_fail(b->err, PRELU_E_ARG, "trainer: the network has no input");
    PRELU_TRY(prelu_graph_input(b->g, net->values[data].name, net->values[data].dtype,
                                &net->values[data].shape, &b->map[data], b->err));
    /* the second input, before any variable: prelu_session_set_input knows it as number 1 */
    PRELU_TRY(prelu_graph_input(b->g, "labels", PRELU_I32, &free_rows, labels, b->err));
    for (int i = 0; i < net->n_nodes; i++)
        if (b->needed[i])
            PRELU_TRY(copy_node(b, &net->nodes[i]));
    return PRELU_OK;
}

static prelu_status add_loss(builder *b, prelu_value logits, prelu_value labels)
{
    prelu_trainer *t = b->t;
    prelu_attr smoothing = PRELU_FLOAT("label_smoothing", t->o.label_smoothing);
    prelu_value in[2] = {b->map[logits], labels}, loss[2];
    prelu_value *wrt = prelu_calloc((size_t)t->n_params * 2 + 1, sizeof *wrt);
    prelu_value *grads = wrt ? wrt + t->n_params : NULL;
    prelu_status st;
    if (!wrt)
        return nomem(b->err, (size_t)t->n_params * 2 * sizeof *wrt);
    for (int i = 0; i < t->n_params; i++)
        wrt[i] = t->params[i].var;
    st = prelu_graph_add(b->g, "SoftmaxCrossEntropy", "loss", in, 2, &smoothing, 1, NULL, loss, 2,
                         b->err);
    if (!st)
        st = prelu_graph_gradient(b->g, loss[0], wrt, t->n_params, grads, b->err);
    if (st)
        goto out;
    b->outputs[b->n_outputs++] = loss[0];
    b->outputs[b->n_outputs++] = loss[1];
    for (int i = 0; i < t->n_params; i++) {
        if (grads[i] == PRELU_NONE)
            continue;
        t->params[i].output = b->n_outputs;
        b->outputs[b->n_outputs++] = grads[i];
    }
    for (int i = 0; i < t->n_norms; i++) {
        t->norms[i].output = b->n_outputs;
        b->outputs[b->n_outputs++] = t->norms[i].batch_mean;
        b->outputs[b->n_outputs++] = t->norms[i].batch_var;
    }
out:
    prelu_free(wrt);
    return st;
}

/* What depends on the size of a view: number of classes, values per channel of each norm. */
static prelu_status measure(builder *b, prelu_value logits)
{
    prelu_trainer *t = b->t;
    prelu_status st = PRELU_OK;
    prelu_shape *shapes = prelu_calloc((size_t)b->g->n_values, sizeof *shapes);
    if (!shapes)
        return nomem(b->err, (size_t)b->g->n_values * sizeof *shapes);
    st = prelu_graph_infer(b->g, 2, t->o.height, t->o.width, shapes, b->err);
    if (st)
        goto out;
    const prelu_shape *s = &shapes[b->map[logits]];
    if (s->rank != 2 || s->dim[0] != 2 || s->dim[1] < 2 || s->dim[1] > INT32_MAX) {
        char text[96];
        st = prelu_fail(b->err, PRELU_E_FORMAT, "logits of two pictures have shape %s",
                        prelu_shape_text(s, text, sizeof text));
        goto out;
    }
    t->classes = (int)s->dim[1];
    for (int i = 0; i < t->n_norms; i++) {
        const prelu_shape *x = &shapes[t->norms[i].x];
        t->norms[i].positions = 1;
        for (int k = 2; k < x->rank; k++)
            t->norms[i].positions *= (size_t)x->dim[k];
    }
out:
    prelu_free(shapes);
    return st;
}

static prelu_status plan(builder *b)
{
    prelu_plan_options o = {.precision = tr_precision(b->t),
                            .pool = b->t->pool,
                            .outputs = b->outputs,
                            .n_outputs = b->n_outputs,
                            .training = true};
    return prelu_plan_create(&b->t->plan, b->g, &o, b->err);
}

prelu_status tr_build(prelu_trainer *t, const prelu_graph *net, prelu_value logits, prelu_err *err)
{
    builder b = {.t = t, .net = net, .logits = logits, .err = err};
    prelu_value labels = PRELU_NONE;
    size_t values = (size_t)net->n_values, nodes = (size_t)net->n_nodes;
    prelu_status st;
    if (logits < 0 || logits >= net->n_values || net->values[logits].producer == PRELU_NONE)
        return prelu_fail(err, PRELU_E_ARG, "trainer: value %d is not computed", logits);
    b.map = prelu_calloc(values, sizeof *b.map);
    b.needed = prelu_calloc(nodes, sizeof *b.needed);
    b.outputs = prelu_calloc(values + 2 * nodes + 2, sizeof *b.outputs);
    t->params = prelu_calloc(values, sizeof *t->params);
    t->norms = prelu_calloc(nodes, sizeof *t->norms);
    if (!b.map || !b.needed || !b.outputs || !t->params || !t->norms) {
        st = nomem(err, values * sizeof *t->params);
        goto out;
    }
    for (size_t i = 0; i < values; i++)
        b.map[i] = PRELU_NONE;
    mark_needed(&b, logits);
    st = prelu_graph_create(&b.g, err);
    if (!st)
        st = copy_net(&b, &labels);
    if (!st && !t->n_params)
        st = prelu_fail(err, PRELU_E_ARG, "trainer: the network has no parameters to train");
    t->n_forward = b.g ? b.g->n_nodes : 0;
    if (!st)
        st = add_loss(&b, logits, labels);
    if (!st)
        st = measure(&b, logits);
    if (!st)
        st = plan(&b);
out:
    t->graph = b.g;
    prelu_free(b.map);
    prelu_free(b.needed);
    prelu_free(b.outputs);
    return st;
}
