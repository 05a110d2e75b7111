/* What the layers of the net in training do: the signal that they pass forward and back, the mean
 * response of its activations, its slopes. Lines of the run's log. */
#define _POSIX_C_SOURCE 200809L
#include "dist.h"
#include "figures.h"
#include "fit.h"
#include "layers.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pictures that are looked at, evenly spaced over the validation data. */
#define PICTURES 16

typedef struct probe {
    const fit *f;
    prelu_graph *g; /* the net as it is in training, but without Dropout */
    prelu_value *map, logits, labels;
    prelu_value *outputs; /* n_layers values, their gradients, n_activations values */
    int *nodes;           /* of the net: layers, then activations */
    int n_layers, n_activations;
    prelu_plan *plan;
    prelu_session *session;
    prelu_prepared pictures[PICTURES];
    prelu_view views[PICTURES];
    int32_t classes[PICTURES];
    int n;
} probe;

static bool is_layer(const prelu_node *n)
{
    return !strcmp(n->op, "Conv") || !strcmp(n->op, "Gemm");
}

/* Batch normalization takes the batch's own statistics, as it does in training. */
static prelu_status copy_node(probe *p, const prelu_node *n, prelu_err *err)
{
    const prelu_graph *net = p->f->model->graph;
    const bool norm = !strcmp(n->op, "BatchNormalization");
    prelu_value in[PRELU_MAX_INPUTS], out[PRELU_MAX_OUTPUTS];
    const int n_in = norm ? 3 : n->n_in, n_out = norm ? 3 : n->n_out;
    for (int i = 0; i < n_in; i++) {
        const prelu_value v = n->in[i];
        in[i] = PRELU_NONE;
        if (v == PRELU_NONE)
            continue;
        const prelu_value_info *info = &net->values[v];
        if (p->map[v] == PRELU_NONE && info->is_constant)
            PRELU_TRY(prelu_graph_constant(p->g, info->name, info->dtype, &info->shape, info->data,
                                           false, info->role, &p->map[v], err));
        in[i] = p->map[v];
    }
    if (!strcmp(n->op, "Dropout")) {
        p->map[n->out[0]] = in[0];
        return PRELU_OK;
    }
    PRELU_TRY(prelu_graph_add(p->g, norm ? "BatchNormTrain" : n->op, n->name, in, n_in, n->attrs,
                              n->n_attrs, NULL, out, n_out, err));
    for (int i = 0; i < n->n_out && i < n_out; i++)
        p->map[n->out[i]] = out[i];
    return PRELU_OK;
}

static prelu_status copy_net(probe *p, prelu_err *err)
{
    const prelu_graph *net = p->f->model->graph;
    const prelu_shape free_rows = {.rank = 1, .dim = {-1}};
    PRELU_TRY(prelu_graph_create(&p->g, err));
    for (int v = 0; v < net->n_values; v++)
        p->map[v] = PRELU_NONE;
    for (int v = 0; v < net->n_values; v++)
        if (net->values[v].is_input)
            PRELU_TRY(prelu_graph_input(p->g, net->values[v].name, net->values[v].dtype,
                                        &net->values[v].shape, &p->map[v], err));
    PRELU_TRY(prelu_graph_input(p->g, "labels", PRELU_I32, &free_rows, &p->labels, err));
    for (int i = 0; i < net->n_nodes; i++)
        PRELU_TRY(copy_node(p, &net->nodes[i], err));
    return PRELU_OK;
}

static prelu_status add_gradients(probe *p, prelu_err *err)
{
    const prelu_graph *net = p->f->model->graph;
    const prelu_attr smoothing = PRELU_FLOAT("label_smoothing", 0);
    prelu_value in[2] = {p->map[p->f->model->logits], p->labels}, loss[2];
    for (int i = 0; i < net->n_nodes; i++)
        if (is_layer(&net->nodes[i])) {
            p->nodes[p->n_layers] = i;
            p->outputs[p->n_layers++] = p->map[net->nodes[i].out[0]];
        }
    PRELU_TRY(prelu_graph_add(p->g, "SoftmaxCrossEntropy", "loss", in, 2, &smoothing, 1, NULL, loss,
                              2, err));
    PRELU_TRY(prelu_graph_gradient(p->g, loss[0], p->outputs, p->n_layers, p->outputs + p->n_layers,
                                   err));
    for (int i = 0; i < p->n_layers; i++)
        if (p->outputs[p->n_layers + i] == PRELU_NONE)
            return prelu_fail(err, PRELU_E_UNSUPPORTED, "the loss does not depend on %.80s",
                              net->nodes[p->nodes[i]].name);
    for (int i = 0; i < net->n_nodes; i++)
        if (train_is_activation(&net->nodes[i])) {
            p->nodes[p->n_layers + p->n_activations] = i;
            p->outputs[2 * p->n_layers + p->n_activations++] = p->map[net->nodes[i].out[0]];
        }
    return PRELU_OK;
}

static prelu_status read_pictures(probe *p, prelu_err *err)
{
    const prelu_test center = {.mode = PRELU_MODE_CENTER};
    const mdl_dataset *d = p->f->val ? p->f->val : p->f->train;
    for (size_t i = 0; i < PICTURES && i < d->n_pictures; i++) {
        const size_t at = i * d->n_pictures / PICTURES;
        prelu_image img = {.data = NULL};
        if (mdl_dataset_decode(d, at, 0, &img, NULL))
            continue; /* counted and named elsewhere */
        prelu_status st =
            prelu_model_prepare_image(&p->pictures[p->n], p->f->model, &center, &img, NULL, err);
        prelu_image_deinit(&img);
        if (st)
            return st;
        p->views[p->n] = p->pictures[p->n].views[0];
        p->classes[p->n++] = d->pictures[at].label;
    }
    return p->n ? PRELU_OK : prelu_fail(err, PRELU_E_FORMAT, "no picture can be read");
}

static prelu_status run_probe(probe *p, prelu_err *err)
{
    const prelu_plan_options o = {.precision = PRELU_PRECISION_FP32,
                                  .pool = p->f->pool,
                                  .outputs = p->outputs,
                                  .n_outputs = 2 * p->n_layers + p->n_activations,
                                  .training = true};
    const int side = p->f->o.crop;
    PRELU_TRY(prelu_plan_create(&p->plan, p->g, &o, err));
    PRELU_TRY(prelu_session_create(&p->session, p->plan, p->f->pool, 0, err));
    for (;; p->n = (p->n + 1) / 2) {
        prelu_err why = {0};
        prelu_status st = prelu_session_reshape(p->session, p->n, side, side, &why);
        if (!st)
            break;
        if (st != PRELU_E_LIMIT || p->n == 1)
            return prelu_fail(err, st, "%s", why.text);
    }
    PRELU_TRY(prelu_session_set_views(p->session, p->views, (size_t)p->n, err));
    PRELU_TRY(prelu_session_set_input(p->session, 1, p->classes, (size_t)p->n, err));
    return prelu_session_run(p->session, err);
}

/* Mean and standard deviation over all elements of an output. */
static void moments(const probe *p, int output, double *mean, double *deviation)
{
    const float *x = prelu_session_output(p->session, output);
    double sum = 0, squares = 0;
    size_t count = 0;
    if (prelu_shape_count(prelu_session_output_shape(p->session, output), &count, NULL) || !count)
        count = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    *mean = count ? sum / (double)count : 0;
    *deviation = count ? sqrt(fmax(0, squares / (double)count - *mean * *mean)) : 0;
}

/* The slopes of a PReLU: mean, least, greatest. */
static bool slopes_of(const fit *f, const prelu_node *n, double s[3])
{
    const size_t count = train_slope_count(f->model->graph, n);
    if (strcmp(n->op, "PRelu") != 0 || !count)
        return false;
    s[0] = 0;
    s[1] = INFINITY;
    s[2] = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        const double a = (double)train_slope_at(f->model->graph, n, i);
        s[0] += a / (double)count;
        s[1] = fmin(s[1], a);
        s[2] = fmax(s[2], a);
    }
    return true;
}

static void put_activation(FILE *out, const prelu_node *n)
{
    char layer[256];
    train_json_text(out, train_activation_layer(n, layer, sizeof layer));
}

static void put_slopes(FILE *out, const fit *f)
{
    const prelu_graph *g = f->model->graph;
    const char *comma = "";
    fputs(",\"slopes\":[", out);
    for (int i = 0; i < g->n_nodes; i++) {
        double s[3];
        if (!slopes_of(f, &g->nodes[i], s))
            continue;
        fprintf(out, "%s{\"layer\":", comma);
        put_activation(out, &g->nodes[i]);
        fprintf(out, ",\"mean\":%.6g,\"min\":%.6g,\"max\":%.6g}", s[0], s[1], s[2]);
        comma = ",";
    }
    fputs("]", out);
}

static void put_signals(FILE *out, const probe *p)
{
    const prelu_graph *net = p->f->model->graph;
    double mean, forward, backward;
    fprintf(out, ",\"pictures\":%d,\"signals\":[", p->n);
    for (int i = 0; i < p->n_layers; i++) {
        moments(p, i, &mean, &forward);
        moments(p, p->n_layers + i, &mean, &backward);
        fputs(i ? ",{\"layer\":" : "{\"layer\":", out);
        train_json_text(out, net->nodes[p->nodes[i]].name);
        /* the loss is a mean over the pictures; this is the derivative of one picture's loss */
        fprintf(out, ",\"forward\":%.6g,\"backward\":%.6g}", forward, backward * p->n);
    }
    fputs("],\"responses\":[", out);
    for (int i = 0; i < p->n_activations; i++) {
        moments(p, 2 * p->n_layers + i, &mean, &forward);
        fputs(i ? ",{\"layer\":" : "{\"layer\":", out);
        put_activation(out, &net->nodes[p->nodes[p->n_layers + i]]);
        fprintf(out, ",\"mean\":%.6g}", mean);
    }
    fputs("]", out);
}

static prelu_status probe_net(probe *p, prelu_err *err)
{
    const size_t values = (size_t)p->f->model->graph->n_values;
    const size_t nodes = (size_t)p->f->model->graph->n_nodes;
    p->map = prelu_calloc(values, sizeof *p->map);
    p->outputs = prelu_calloc(2 * nodes + 1, sizeof *p->outputs);
    p->nodes = prelu_calloc(nodes + 1, sizeof *p->nodes);
    if (!p->map || !p->outputs || !p->nodes)
        return prelu_fail(err, PRELU_E_NOMEM, "fit: %zu values", values);
    PRELU_TRY(read_pictures(p, err));
    PRELU_TRY(copy_net(p, err));
    PRELU_TRY(add_gradients(p, err));
    return run_probe(p, err);
}

static void probe_deinit(probe *p)
{
    prelu_session_destroy(&p->session);
    prelu_plan_destroy(&p->plan);
    prelu_graph_destroy(&p->g);
    for (int i = 0; i < PICTURES; i++)
        prelu_prepared_deinit(&p->pictures[i]);
    prelu_free(p->map);
    prelu_free(p->outputs);
    prelu_free(p->nodes);
}

void train_fit_log_layers(fit *f, uint64_t epoch, bool probed)
{
    prelu_err err = {0};
    probe p = {.f = f};
    char *line = NULL;
    size_t len = 0;
    if (train_dist_rank())
        return;
    prelu_status st = prelu_trainer_export(f->trainer, f->model->graph, &err);
    if (!st && probed)
        st = probe_net(&p, &err);
    FILE *out = st ? NULL : open_memstream(&line, &len);
    if (out) {
        fprintf(out, "{\"event\":\"layers\",\"epoch\":%llu", (unsigned long long)epoch);
        put_slopes(out, f);
        if (probed)
            put_signals(out, &p);
        putc('}', out);
        fclose(out);
        train_run_log(&f->run, "%s", line);
    } else {
        prelu_log(PRELU_LOG_WARN, "the layers are not logged: %s", err.text);
    }
    free(line);
    probe_deinit(&p);
}

/* Of a larger matrix the log's line would be too long. */
#define MATRIX_CLASSES 64

static void put_val(FILE *out, const fit *f, const train_figures *g)
{
    fputs("{\"event\":\"val\",\"classes\":[", out);
    for (int c = 0; c < g->n_classes && g->n_classes <= MATRIX_CLASSES; c++) {
        fputs(c ? "," : "", out);
        train_json_text(out, f->val->classes[c].label);
    }
    fputs("],\"confusion\":[", out);
    for (int c = 0; c < g->n_classes && g->n_classes <= MATRIX_CLASSES; c++)
        for (int p = 0; p < g->n_classes; p++)
            fprintf(out, "%s%u%s",
                    p   ? ","
                    : c ? ",["
                        : "[",
                    g->confusion[c * g->n_classes + p], p + 1 < g->n_classes ? "" : "]");
    fputs("],\"worst\":[", out);
    for (int i = 0; i < g->n_worst; i++) {
        const train_record *r = g->worst[i];
        char name[512];
        fputs(i ? ",{\"picture\":" : "{\"picture\":", out);
        train_json_text(out, mdl_dataset_name(f->val, r->picture, name, sizeof name));
        fputs(",\"label\":", out);
        train_json_text(out, f->val->classes[r->label].label);
        fprintf(out, ",\"own\":%.6g,\"taken_for\":", r->own);
        train_json_text(out, f->val->classes[r->top[0]].label);
        fprintf(out, ",\"score\":%.6g}", r->score[0]);
    }
    fputs("]}", out);
}

prelu_status train_fit_log_val(fit *f, const train_record *records, prelu_err *err)
{
    train_figures g;
    char *line = NULL;
    size_t len = 0;
    FILE *out;
    PRELU_TRY(train_figures_make(&g, records, f->val->n_pictures, f->model->classes, err));
    out = open_memstream(&line, &len);
    if (out) {
        put_val(out, f, &g);
        fclose(out);
        train_run_log(&f->run, "%s", line);
    }
    free(line);
    train_figures_deinit(&g);
    return out ? PRELU_OK : prelu_fail(err, PRELU_E_NOMEM, "fit: a line of the log");
}
