/* prelu-train run: any model on a raw tensor, to compare with any other runtime. */
#include "command.h"
#include "common.h"
#include "npy.h"
#include "prelu/mem.h"
#include "prelu/session.h"
#include <string.h>

#define MAX_FILES 16

/* `NAME=file` or `file`. */
typedef struct target {
    prelu_value value;
    const char *path;
} target;

typedef struct running {
    prelu_model *m;
    prelu_pool *pool;
    prelu_plan *plan;
    prelu_session *session;
    train_npy inputs[MAX_FILES]; /* by input number */
    target outputs[MAX_FILES];
    int n_inputs, n_outputs;
} running;

static prelu_status split(const char *text, char *name, size_t room, const char **path,
                          prelu_err *err)
{
    const char *equals = strchr(text, '=');
    size_t len = equals ? (size_t)(equals - text) : 0;
    if (len >= room)
        return prelu_fail(err, PRELU_E_ARG, "'%.60s': the name is too long", text);
    memcpy(name, text, len);
    name[len] = 0;
    *path = equals ? equals + 1 : text;
    return PRELU_OK;
}

/* The value that is input number i, or PRELU_NONE. */
static prelu_value input_value(const prelu_graph *g, int number)
{
    for (int v = 0; v < g->n_values; v++)
        if (g->values[v].is_input && number-- == 0)
            return v;
    return PRELU_NONE;
}

static prelu_status read_inputs(running *r, const train_args *a, prelu_err *err)
{
    const prelu_graph *g = r->m->graph;
    const char *text, *path = NULL;
    char name[512] = "";
    while (r->n_inputs < MAX_FILES && input_value(g, r->n_inputs) != PRELU_NONE)
        r->n_inputs++;
    for (int i = 0; (text = train_text_at(a, "input", i)); i++) {
        int number = 0;
        PRELU_TRY(split(text, name, sizeof name, &path, err));
        while (*name && number < r->n_inputs &&
               strcmp(g->values[input_value(g, number)].name, name) != 0)
            number++;
        if (number >= r->n_inputs)
            return prelu_fail(err, PRELU_E_ARG, "the model has no input '%.100s'", name);
        if (r->inputs[number].data)
            return prelu_fail(err, PRELU_E_ARG, "two files for one input");
        PRELU_TRY(train_npy_read(&r->inputs[number], path, err));
    }
    for (int i = 0; i < r->n_inputs; i++)
        if (!r->inputs[i].data)
            return prelu_fail(err, PRELU_E_ARG, "no --input for '%.100s'",
                              g->values[input_value(g, i)].name);
    return r->n_inputs ? PRELU_OK : prelu_fail(err, PRELU_E_UNSUPPORTED, "the model has no input");
}

/* A name of the file's, or `logits` and `prob` of a classifier. */
static prelu_value find_value(const prelu_model *m, const char *name)
{
    prelu_value v = prelu_graph_find(m->graph, name);
    if (v == PRELU_NONE && !strcmp(name, "logits"))
        v = m->logits;
    if (v == PRELU_NONE && !strcmp(name, "prob"))
        v = m->prob;
    return v;
}

static prelu_status find_outputs(running *r, const train_args *a, prelu_err *err)
{
    const char *text;
    char name[512] = "";
    for (int i = 0; (text = train_text_at(a, "output", i)); i++) {
        target *t = &r->outputs[r->n_outputs];
        if (r->n_outputs == MAX_FILES)
            return prelu_fail(err, PRELU_E_ARG, "more than %d outputs", MAX_FILES);
        PRELU_TRY(split(text, name, sizeof name, &t->path, err));
        t->value = *name ? find_value(r->m, name) : r->m->graph->outputs[0];
        if (t->value == PRELU_NONE)
            return prelu_fail(err, PRELU_E_ARG, "the model has no value '%.100s'", name);
        r->n_outputs++;
    }
    return r->n_outputs ? PRELU_OK : prelu_fail(err, PRELU_E_ARG, "--output is missing");
}

static prelu_status make_session(running *r, const train_args *a, prelu_err *err)
{
    prelu_value values[MAX_FILES];
    prelu_precision precision;
    int threads;
    for (int i = 0; i < r->n_outputs; i++)
        values[i] = r->outputs[i].value;
    PRELU_TRY(prelu_precision_parse(&precision, train_text(a, "precision", "fp32"), err));
    PRELU_TRY(train_pool(a, &r->pool, &threads, err));
    PRELU_TRY(
        prelu_model_plan_values(&r->plan, r->m, values, r->n_outputs, precision, r->pool, err));
    return prelu_session_create(&r->session, r->plan, r->pool, 0, err);
}

static prelu_status feed(running *r, prelu_err *err)
{
    const prelu_shape *s = &r->inputs[0].shape;
    bool pictures = s->rank == 4;
    for (int i = 0; i < r->n_inputs; i++) {
        const prelu_value_info *v = &r->m->graph->values[input_value(r->m->graph, i)];
        if (v->dtype != PRELU_F32)
            return prelu_fail(err, PRELU_E_UNSUPPORTED, "input '%.80s' is of type %s", v->name,
                              prelu_dtype_name(v->dtype));
        if (v->shape.rank != r->inputs[i].shape.rank)
            return prelu_fail(err, PRELU_E_FORMAT, "input '%.80s' has rank %d, its file %d",
                              v->name, v->shape.rank, r->inputs[i].shape.rank);
    }
    PRELU_TRY(prelu_session_reshape(r->session, s->rank ? s->dim[0] : 1, pictures ? s->dim[2] : 1,
                                    pictures ? s->dim[3] : 1, err));
    for (int i = 0; i < r->n_inputs; i++)
        PRELU_TRY(
            prelu_session_set_input(r->session, i, r->inputs[i].data, r->inputs[i].count, err));
    return PRELU_OK;
}

static prelu_status write_output(const running *r, int i, prelu_err *err)
{
    const prelu_shape *s = prelu_session_output_shape(r->session, i);
    prelu_status st;
    size_t count;
    float *data;
    PRELU_TRY(prelu_shape_count(s, &count, err));
    data = prelu_calloc(count, sizeof *data);
    if (!data)
        return prelu_fail(err, PRELU_E_NOMEM, "output of %zu numbers", count);
    st = prelu_session_read(r->session, i, data, count, err);
    if (!st)
        st = train_npy_write(r->outputs[i].path, s, data, err);
    prelu_free(data);
    return st;
}

static prelu_status run_all(running *r, const train_args *a, prelu_err *err)
{
    PRELU_TRY(train_load(a, &r->m, err));
    PRELU_TRY(read_inputs(r, a, err));
    PRELU_TRY(find_outputs(r, a, err));
    PRELU_TRY(make_session(r, a, err));
    PRELU_TRY(feed(r, err));
    PRELU_TRY(prelu_session_run(r->session, err));
    for (int i = 0; i < r->n_outputs; i++)
        PRELU_TRY(write_output(r, i, err));
    return PRELU_OK;
}

static prelu_status run(const train_args *a, int *exit_code, prelu_err *err)
{
    running r = {.n_inputs = 0};
    prelu_status st = run_all(&r, a, err);
    (void)exit_code;
    prelu_session_destroy(&r.session);
    prelu_plan_destroy(&r.plan);
    prelu_pool_destroy(&r.pool);
    for (int i = 0; i < MAX_FILES; i++)
        train_npy_deinit(&r.inputs[i]);
    prelu_model_destroy(&r.m);
    return st;
}

static const train_option options[] = {
    TRAIN_MODEL_OPTIONS,
    {"input", "[NAME=]FILE", "NumPy .npy, f4 or u1, in the input's own layout", true},
    {"output", "[NAME=]FILE", ".npy to write: the graph's first output, or a named value", true},
    {"precision", "NAME", "auto, fp32 (default), bf16, int8fc", false},
    {"threads", "N", "compute threads (default: all)", false},
    TRAIN_OPTION_END,
};

const train_command train_run_command = {"run", "Run a model on a raw tensor",
                                         "--model FILE --input IN.npy --output OUT.npy", options,
                                         run};
