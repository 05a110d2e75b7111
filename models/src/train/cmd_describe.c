/* prelu-train describe: a network's layers, parameters and multiply-accumulates. */
#include "command.h"
#include "common.h"
#include "model_private.h"
#include "prelu/mem.h"
#include <inttypes.h>
#include <string.h>

typedef struct layer_count {
    uint64_t parameters; /* weights, biases, BatchNorm's gamma and beta; not slopes */
    uint64_t slopes;
    double macs;
} layer_count;

/* A constant counts for the first node that uses it; `seen` has an entry per value. */
static layer_count count_layer(const prelu_graph *g, int node, const prelu_shape *shapes,
                               bool *seen)
{
    layer_count c = {0, 0, prelu_node_macs(g, node, shapes)};
    const prelu_node *n = &g->nodes[node];
    for (int i = 0; i < n->n_in; i++) {
        const prelu_value_info *v = n->in[i] == PRELU_NONE ? NULL : &g->values[n->in[i]];
        uint64_t elements = 1;
        if (!v || !v->is_constant || seen[n->in[i]])
            continue;
        seen[n->in[i]] = true;
        for (int d = 0; d < v->shape.rank; d++)
            elements *= (uint64_t)v->shape.dim[d];
        if (v->role == PRELU_ROLE_SLOPE)
            c.slopes += elements;
        else if (v->role != PRELU_ROLE_NONE && v->role != PRELU_ROLE_STATISTIC)
            c.parameters += elements;
    }
    return c;
}

static void print_json_layer(const prelu_graph *g, int i, const prelu_shape *shape, layer_count c)
{
    printf("%s{\"name\":", i ? ",\n  " : "\n  ");
    train_json_text(stdout, g->nodes[i].name);
    printf(",\"op\":\"%s\",\"output\":[", g->nodes[i].op);
    for (int d = 0; d < shape->rank; d++)
        printf("%s%" PRId64, d ? "," : "", shape->dim[d]);
    printf("],\"parameters\":%" PRIu64 ",\"slopes\":%" PRIu64 ",\"macs\":%.0f}", c.parameters,
           c.slopes, c.macs);
}

static void print_table_layer(const prelu_graph *g, int i, const prelu_shape *shape, layer_count c)
{
    char text[80];
    printf("%-22s %-20s %-20s %12" PRIu64 " %8" PRIu64 " %15.0f\n", g->nodes[i].name,
           g->nodes[i].op, prelu_shape_text(shape, text, sizeof text), c.parameters, c.slopes,
           c.macs);
}

static void print_begin(const char *arch, bool json)
{
    if (json) {
        printf("{\"arch\":");
        train_json_text(stdout, arch);
        printf(",\"layers\":[");
        return;
    }
    printf("%s\n%-22s %-20s %-20s %12s %8s %15s\n", arch, "name", "op", "output", "parameters",
           "slopes", "macs");
}

static void print_end(layer_count t, bool json)
{
    if (json)
        printf("],\n \"totals\":{\"parameters\":%" PRIu64 ",\"slopes\":%" PRIu64 ",\"macs\":%.0f}",
               t.parameters, t.slopes, t.macs);
    else
        printf("%-64s %12" PRIu64 " %8" PRIu64 " %15.0f\n", "total", t.parameters, t.slopes,
               t.macs);
}

static prelu_status print_layers(const prelu_model *m, bool json, prelu_err *err)
{
    const prelu_graph *g = m->graph;
    prelu_shape *shapes = prelu_calloc((size_t)g->n_values + 1, sizeof *shapes);
    bool *seen = prelu_calloc((size_t)g->n_values + 1, sizeof *seen);
    layer_count total = {0, 0, 0};
    prelu_status st;
    if (!shapes || !seen) {
        st = prelu_fail(err, PRELU_E_NOMEM, "%d shapes", g->n_values);
        goto out;
    }
    st = mdl_graph_infer(g, m->preprocess.crop, shapes, err);
    if (st)
        goto out;
    print_begin(m->arch ? m->arch : "", json);
    for (int i = 0; i < g->n_nodes; i++) {
        const prelu_shape *shape = &shapes[g->nodes[i].out[0]];
        layer_count c = count_layer(g, i, shapes, seen);
        (json ? print_json_layer : print_table_layer)(g, i, shape, c);
        total.parameters += c.parameters;
        total.slopes += c.slopes;
        total.macs += c.macs;
    }
    print_end(total, json);
out:
    prelu_free(shapes);
    prelu_free(seen);
    return st;
}

static void print_plan_layer(const prelu_plan_layer *l, int i, bool json)
{
    if (!json) {
        printf("%-22s %-20s %-44s %14zu\n", l->name, l->op, l->algorithm, l->packed_bytes);
        return;
    }
    printf("%s{\"name\":", i ? ",\n  " : "\n  ");
    train_json_text(stdout, l->name);
    printf(",\"op\":\"%s\",\"algorithm\":", l->op);
    train_json_text(stdout, l->algorithm);
    printf(",\"packed_bytes\":%zu}", l->packed_bytes);
}

static prelu_status print_plan(const prelu_model *m, const train_args *a, bool json, prelu_err *err)
{
    prelu_plan *plan = NULL;
    prelu_pool *pool = NULL;
    prelu_precision precision;
    prelu_status st;
    int threads;
    PRELU_TRY(prelu_precision_parse(&precision, train_text(a, "precision", "auto"), err));
    PRELU_TRY(train_pool(a, &pool, &threads, err));
    st = m->classes ? prelu_model_plan(&plan, m, precision, pool, err)
                    : prelu_model_plan_values(&plan, m, m->graph->outputs, m->graph->n_outputs,
                                              precision, pool, err);
    if (st)
        goto out;
    if (json)
        printf(",\n \"cpu\":\"%s\",\"precision\":\"%s\",\"packed_bytes\":%zu,\"plan\":[",
               prelu_cpu_text(), prelu_precision_name(precision), prelu_plan_packed_bytes(plan));
    else
        printf("\nplan: precision %s, CPU: %s\n%-22s %-20s %-44s %14s\n",
               prelu_precision_name(precision), prelu_cpu_text(), "name", "op", "algorithm",
               "packed bytes");
    for (int i = 0; i < prelu_plan_layers(plan); i++) {
        prelu_plan_layer l = prelu_plan_layer_at(plan, i);
        print_plan_layer(&l, i, json);
    }
    if (json)
        printf("]");
    else
        printf("%-88s %14zu\n", "total", prelu_plan_packed_bytes(plan));
out:
    prelu_plan_destroy(&plan);
    prelu_pool_destroy(&pool);
    return st;
}

static prelu_status run(const train_args *a, int *exit_code, prelu_err *err)
{
    bool json = train_flag(a, "json");
    prelu_model *m = NULL;
    prelu_net_options o;
    prelu_status st;
    (void)exit_code;
    if (train_flag(a, "model") == train_flag(a, "arch"))
        return prelu_fail(err, PRELU_E_ARG, "one of --arch and --model is needed");
    if (train_flag(a, "model")) {
        PRELU_TRY(train_load(a, &m, err));
    } else {
        PRELU_TRY(train_net_options(a, &o, err));
        o.shapes_only = !train_flag(a, "plan");
        PRELU_TRY(prelu_net_build(&m, &o, err));
    }
    st = print_layers(m, json, err);
    if (!st && train_flag(a, "plan"))
        st = print_plan(m, a, json, err);
    if (json)
        printf("}\n");
    prelu_model_destroy(&m);
    return st;
}

static const train_option options[] = {
    TRAIN_NET_OPTIONS,
    TRAIN_MODEL_OPTIONS,
    {"json", NULL, "print JSON", false},
    {"plan", NULL, "also print each layer's algorithm on this CPU and its packed bytes", false},
    {"precision", "NAME", "of the plan: auto (default), fp32, bf16, int8fc", false},
    {"threads", "N", "threads that pack weights (default: all)", false},
    TRAIN_OPTION_END,
};

const train_command train_describe_command = {
    "describe", "Print a network's layers, parameters and multiply-accumulates",
    "--arch NAME | --model FILE [--json] [--plan]", options, run};
