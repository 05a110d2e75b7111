/* The training graph: the part of the net that the logits need, copied node by node with trained
 * constants as variables and BatchNormalization as BatchNormTrain, then loss and backward pass. */
#include "prelu/mem.h"
#include "train/trainer.h"
#include <stdio.h>
#include <string.h>

typedef struct builder {
    prelu_trainer *t;
    const prelu_graph *net;
    tr_part part;   /* being built, */
    prelu_graph *g; /* its graph, */
    int first_param, first_norm;
    prelu_value features; /* and in a head its input */
    prelu_value *map;     /* net value -> value of g, PRELU_NONE if not (yet) copied */
    bool *needed;         /* net nodes that are still to be copied */
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
    *p = (tr_param){.part = b->part, .net = v, .role = role, .shape = info->shape, .output = -1};
    if (info->dtype != PRELU_F32)
        return prelu_fail(b->err, PRELU_E_UNSUPPORTED, "parameter %.80s is %s, only f32 is trained",
                          info->name, prelu_dtype_name(info->dtype));
    for (int i = 0; i < b->t->n_params; i++)
        if (b->t->params[i].net == v)
            return prelu_fail(b->err, PRELU_E_UNSUPPORTED,
                              "parameter %.80s is read on both sides of the first fully connected "
                              "layer",
                              info->name);
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
    norm->part = b->part;
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

static prelu_status add_pictures(builder *b)
{
    const prelu_graph *net = b->net;
    prelu_value data = PRELU_NONE;
    for (int v = 0; v < net->n_values && data == PRELU_NONE; v++)
        if (net->values[v].is_input)
            data = v;
    if (data == PRELU_NONE)
        return prelu_fail(b->err, PRELU_E_ARG, "trainer: the network has no input");
    return prelu_graph_input(b->g, net->values[data].name, net->values[data].dtype,
                             &net->values[data].shape, &b->map[data], b->err);
}

static prelu_status copy_nodes(builder *b, int from, int to)
{
    for (int i = from; i < to; i++)
        if (b->needed[i])
            PRELU_TRY(copy_node(b, &b->net->nodes[i]));
    b->t->nets[b->part].n_forward = b->g->n_nodes;
    return PRELU_OK;
}

static void add_output(builder *b, prelu_value v) { b->outputs[b->n_outputs++] = v; }

/* The backward pass of this part, and its outputs. @param dy  dloss/dy; PRELU_NONE: y is the loss.
 */
static prelu_status add_gradients(builder *b, prelu_value y, prelu_value dy)
{
    prelu_trainer *t = b->t;
    const int n = t->n_params - b->first_param, more = b->features != PRELU_NONE;
    prelu_value *wrt = prelu_calloc((size_t)(n + more) * 2 + 1, sizeof *wrt);
    prelu_value *grads = wrt ? wrt + n + more : NULL;
    prelu_status st;
    if (!wrt)
        return nomem(b->err, (size_t)(n + more) * 2 * sizeof *wrt);
    for (int i = 0; i < n; i++)
        wrt[i] = t->params[b->first_param + i].var;
    if (more)
        wrt[n] = b->features;
    st = dy == PRELU_NONE ? prelu_graph_gradient(b->g, y, wrt, n + more, grads, b->err)
                          : prelu_graph_gradient_from(b->g, y, dy, wrt, n, grads, b->err);
    if (st)
        goto out;
    if (more && grads[n] == PRELU_NONE) {
        st = prelu_fail(b->err, PRELU_E_UNSUPPORTED, "trainer: the loss does not depend on %.80s",
                        b->g->values[b->features].name);
        goto out;
    }
    if (more)
        add_output(b, grads[n]);
    for (int i = 0; i < n; i++) {
        if (grads[i] == PRELU_NONE)
            continue;
        t->params[b->first_param + i].output = b->n_outputs;
        add_output(b, grads[i]);
    }
    for (int i = b->first_norm; i < t->n_norms; i++) {
        t->norms[i].output = b->n_outputs;
        add_output(b, t->norms[i].batch_mean);
        add_output(b, t->norms[i].batch_var);
    }
out:
    prelu_free(wrt);
    return st;
}

static prelu_status add_loss(builder *b, prelu_value labels)
{
    prelu_attr smoothing = PRELU_FLOAT("label_smoothing", b->t->o.label_smoothing);
    prelu_value in[2] = {b->map[b->logits], labels}, loss[2];
    PRELU_TRY(prelu_graph_add(b->g, "SoftmaxCrossEntropy", "loss", in, 2, &smoothing, 1, NULL, loss,
                              2, b->err));
    add_output(b, loss[0]);
    add_output(b, loss[1]);
    return add_gradients(b, loss[0], PRELU_NONE);
}

/* What depends on the size of a view: values per channel of each norm, and the shape of `v` for two
 * pictures. */
static prelu_status measure(builder *b, prelu_value v, prelu_shape *out)
{
    prelu_trainer *t = b->t;
    prelu_shape *shapes = prelu_calloc((size_t)b->g->n_values, sizeof *shapes);
    if (!shapes)
        return nomem(b->err, (size_t)b->g->n_values * sizeof *shapes);
    prelu_status st = prelu_graph_infer(b->g, 2, t->o.height, t->o.width, shapes, b->err);
    if (st)
        goto out;
    *out = shapes[v];
    for (int i = b->first_norm; i < t->n_norms; i++) {
        const prelu_shape *x = &shapes[t->norms[i].x];
        t->norms[i].positions = 1;
        for (int k = 2; k < x->rank; k++)
            t->norms[i].positions *= (size_t)x->dim[k];
    }
out:
    prelu_free(shapes);
    return st;
}

static prelu_status measure_logits(builder *b)
{
    prelu_shape s;
    char text[96];
    PRELU_TRY(measure(b, b->map[b->logits], &s));
    if (s.rank != 2 || s.dim[0] != 2 || s.dim[1] < 2 || s.dim[1] > INT32_MAX)
        return prelu_fail(b->err, PRELU_E_FORMAT, "logits of two pictures have shape %s",
                          prelu_shape_text(&s, text, sizeof text));
    b->t->classes = (int)s.dim[1];
    return PRELU_OK;
}

static prelu_status begin_part(builder *b, tr_part part)
{
    b->part = part;
    b->first_param = b->t->n_params;
    b->first_norm = b->t->n_norms;
    b->features = PRELU_NONE;
    b->n_outputs = 0;
    for (int i = 0; i < b->net->n_values; i++)
        b->map[i] = PRELU_NONE;
    PRELU_TRY(prelu_graph_create(&b->t->nets[part].graph, b->err));
    b->g = b->t->nets[part].graph;
    return PRELU_OK;
}

static prelu_status plan_part(builder *b)
{
    prelu_plan_options o = {.precision = tr_precision(b->t),
                            .pool = b->t->pool,
                            .outputs = b->outputs,
                            .n_outputs = b->n_outputs,
                            .training = true};
    return prelu_plan_create(&b->t->nets[b->part].plan, b->g, &o, b->err);
}

static prelu_status build_whole(builder *b)
{
    const prelu_shape free_rows = {.rank = 1, .dim = {-1}};
    prelu_value labels = PRELU_NONE;
    PRELU_TRY(begin_part(b, TR_BODY));
    PRELU_TRY(add_pictures(b));
    PRELU_TRY(prelu_graph_input(b->g, "labels", PRELU_I32, &free_rows, &labels, b->err));
    PRELU_TRY(copy_nodes(b, 0, b->net->n_nodes));
    PRELU_TRY(add_loss(b, labels));
    PRELU_TRY(measure_logits(b));
    return plan_part(b);
}

/* ---- body and head, where fully connected layers are one process' ---- */

/* The input of the first fully connected layer. Everything behind it may read nothing else of what
 * comes before. @param split  the first node behind it. */
static prelu_status find_features(const builder *b, prelu_value *features, int *split)
{
    const prelu_graph *net = b->net;
    int fc = 0;
    while (fc < net->n_nodes && !(b->needed[fc] && (!strcmp(net->nodes[fc].op, "Gemm") ||
                                                    !strcmp(net->nodes[fc].op, "MatMul"))))
        fc++;
    *features = fc < net->n_nodes ? net->nodes[fc].in[0] : PRELU_NONE;
    if (*features == PRELU_NONE || net->values[*features].producer == PRELU_NONE)
        return prelu_fail(b->err, PRELU_E_UNSUPPORTED,
                          "trainer: no fully connected layers behind others for one process");
    *split = net->values[*features].producer + 1;
    for (int i = *split; i < net->n_nodes; i++)
        for (int k = 0; b->needed[i] && k < net->nodes[i].n_in; k++) {
            const prelu_value v = net->nodes[i].in[k];
            if (v != PRELU_NONE && v != *features && !net->values[v].is_constant &&
                net->values[v].producer < *split)
                return prelu_fail(
                    b->err, PRELU_E_UNSUPPORTED,
                    "fully connected layers in one process: %.80s reads %.80s besides "
                    "%.80s",
                    net->nodes[i].name, net->values[v].name, net->values[*features].name);
        }
    return PRELU_OK;
}

static prelu_status build_body(builder *b, prelu_value features, int split)
{
    prelu_shape s;
    char text[96];
    prelu_value dy;
    PRELU_TRY(begin_part(b, TR_BODY));
    PRELU_TRY(add_pictures(b));
    PRELU_TRY(copy_nodes(b, 0, split));
    PRELU_TRY(measure(b, b->map[features], &s));
    if (s.rank != 2 || s.dim[0] != 2 || s.dim[1] < 1)
        return prelu_fail(b->err, PRELU_E_UNSUPPORTED, "features of two pictures have shape %s",
                          prelu_shape_text(&s, text, sizeof text));
    b->t->features = (size_t)s.dim[1];
    s.dim[0] = -1;
    PRELU_TRY(prelu_graph_input(b->g, "features.gradient", PRELU_F32, &s, &dy, b->err));
    add_output(b, b->map[features]);
    PRELU_TRY(add_gradients(b, b->map[features], dy));
    return plan_part(b);
}

static prelu_status build_head(builder *b, prelu_value features, int split)
{
    const prelu_shape rows = {.rank = 2, .dim = {-1, (int64_t)b->t->features}};
    const prelu_shape free_rows = {.rank = 1, .dim = {-1}};
    prelu_value labels = PRELU_NONE;
    PRELU_TRY(begin_part(b, TR_HEAD));
    PRELU_TRY(prelu_graph_input(b->g, "features", PRELU_F32, &rows, &b->features, b->err));
    PRELU_TRY(prelu_graph_input(b->g, "labels", PRELU_I32, &free_rows, &labels, b->err));
    b->map[features] = b->features;
    PRELU_TRY(copy_nodes(b, split, b->net->n_nodes));
    PRELU_TRY(add_loss(b, labels));
    PRELU_TRY(measure_logits(b));
    return plan_part(b);
}

static prelu_status build_split(builder *b)
{
    prelu_value features = PRELU_NONE;
    int split = 0;
    PRELU_TRY(find_features(b, &features, &split));
    PRELU_TRY(build_body(b, features, split));
    return build_head(b, features, split);
}

prelu_status tr_build(prelu_trainer *t, const prelu_graph *net, prelu_value logits, prelu_err *err)
{
    builder b = {.t = t, .net = net, .logits = logits, .err = err};
    size_t values = (size_t)net->n_values, nodes = (size_t)net->n_nodes;
    prelu_status st;
    if (logits < 0 || logits >= net->n_values || net->values[logits].producer == PRELU_NONE)
        return prelu_fail(err, PRELU_E_ARG, "trainer: value %d is not computed", logits);
    b.map = prelu_calloc(values, sizeof *b.map);
    b.needed = prelu_calloc(nodes, sizeof *b.needed);
    b.outputs = prelu_calloc(values + 2 * nodes + 3, sizeof *b.outputs);
    t->params = prelu_calloc(values, sizeof *t->params);
    t->norms = prelu_calloc(nodes, sizeof *t->norms);
    if (!b.map || !b.needed || !b.outputs || !t->params || !t->norms) {
        st = nomem(err, values * sizeof *t->params);
        goto out;
    }
    mark_needed(&b, logits);
    st = t->o.fc_one_rank ? build_split(&b) : build_whole(&b);
    if (!st && !t->n_params)
        st = prelu_fail(err, PRELU_E_ARG, "trainer: the network has no parameters to train");
out:
    prelu_free(b.map);
    prelu_free(b.needed);
    prelu_free(b.outputs);
    return st;
}
