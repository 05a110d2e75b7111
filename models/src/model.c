#define _DEFAULT_SOURCE /* madvise */
#include "model_private.h"
#include "prelu/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

prelu_status mdl_map_fd(mdl_map *out, int fd, const char *name, prelu_err *err)
{
    struct stat s;
    void *p;
    if (fstat(fd, &s))
        return prelu_fail(err, PRELU_E_IO, "%.120s: %s", name, strerror(errno));
    if (!S_ISREG(s.st_mode))
        return prelu_fail(err, PRELU_E_FORMAT, "%.120s: not a regular file", name);
    if (s.st_size <= 0)
        return prelu_fail(err, PRELU_E_FORMAT, "%.120s: the file is empty", name);
    p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return prelu_fail(err, prelu_status_from_errno(errno), "%.120s: mmap: %s", name,
                          strerror(errno));
    out->data = p;
    out->len = (size_t)s.st_size;
    return PRELU_OK;
}

prelu_status mdl_map_file(mdl_map *out, const char *path, prelu_err *err)
{
    prelu_status st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    if (fd < 0)
        return prelu_fail(err, prelu_status_from_errno(errno), "%.120s: %s", path, strerror(errno));
    st = mdl_map_fd(out, fd, path, err);
    close(fd);
    return st;
}

void mdl_map_deinit(mdl_map *map)
{
    if (map->data)
        munmap((void *)map->data, map->len);
    memset(map, 0, sizeof *map);
}

prelu_status mdl_text_set(char **dst, const char *s, prelu_err *err)
{
    char *copy = s ? prelu_strdup(s) : NULL;
    if (s && !copy)
        return prelu_fail(err, PRELU_E_NOMEM, "%zu bytes of text", strlen(s));
    prelu_free(*dst);
    *dst = copy;
    return PRELU_OK;
}

/* The Softmax whose output, perhaps in another shape, is v; else PRELU_NONE. */
static int softmax_of(const prelu_graph *g, prelu_value v)
{
    static const char *const reshapes[] = {"Flatten", "Reshape", "Squeeze", "Identity"};
    for (int steps = 0; steps < 4; steps++) {
        int node = g->values[v].producer;
        bool passes = false;
        if (node == PRELU_NONE)
            return PRELU_NONE;
        if (!strcmp(g->nodes[node].op, "Softmax"))
            return node;
        for (size_t i = 0; i < sizeof reshapes / sizeof *reshapes; i++)
            passes = passes || !strcmp(g->nodes[node].op, reshapes[i]);
        if (!passes)
            return PRELU_NONE;
        v = g->nodes[node].in[0];
    }
    return PRELU_NONE;
}

/* The last output that a Softmax makes, and what that reads. */
static void find_softmax(prelu_model *m)
{
    const prelu_graph *g = m->graph;
    m->logits = m->prob = PRELU_NONE;
    for (int i = g->n_outputs - 1; i >= 0; i--) {
        int node = softmax_of(g, g->outputs[i]);
        if (node == PRELU_NONE)
            continue;
        m->prob = g->outputs[i];
        m->logits = g->nodes[node].in[0];
        return;
    }
}

/* Elements per picture if `s` is (1,K) or (1,K,1,...), else 0. */
static int score_count(const prelu_shape *s)
{
    if (s->rank < 2 || s->dim[0] != 1 || s->dim[1] < 1 || s->dim[1] > MDL_MAX_SCORES)
        return 0;
    for (int i = 2; i < s->rank; i++)
        if (s->dim[i] != 1)
            return 0;
    return (int)s->dim[1];
}

static const prelu_value_info *first_input(const prelu_graph *g)
{
    for (int i = 0; i < g->n_values; i++)
        if (g->values[i].is_input)
            return &g->values[i];
    return NULL;
}

/* Crops are square, so a graph for other sizes classifies no pictures of ours. */
static bool takes_pictures(const prelu_graph *g)
{
    const prelu_value_info *v = first_input(g);
    return v && v->shape.rank == 4 && v->shape.dim[1] == 3 && v->shape.dim[2] == v->shape.dim[3];
}

prelu_status mdl_graph_infer(const prelu_graph *g, int crop, prelu_shape *shapes, prelu_err *err)
{
    const prelu_value_info *v = first_input(g);
    bool map = v && v->shape.rank == 4, fixed = v && v->shape.rank > 0 && v->shape.dim[0] > 0;
    return prelu_graph_infer(g, fixed ? 0 : 1, map && v->shape.dim[2] > 0 ? 0 : crop,
                             map && v->shape.dim[3] > 0 ? 0 : crop, shapes, err);
}

/* A size that the graph fixes must be the crop's. */
static prelu_status check_size(const prelu_model *m, prelu_err *err)
{
    int64_t side = first_input(m->graph)->shape.dim[2];
    if (side > 0 && side != m->preprocess.crop)
        return prelu_fail(err, PRELU_E_FORMAT, "its pictures are %lldx%lld, but the crop is %d",
                          (long long)side, (long long)side, m->preprocess.crop);
    return PRELU_OK;
}

/* Walk back from the scores, past what has no weights, to the last layer that has; its input, past
 * what does nothing at test time, is the picture's features. */
static void find_features(prelu_model *m, const prelu_shape *shapes)
{
    static const char *const layers[] = {"Gemm", "MatMul", "Conv"};
    const prelu_graph *g = m->graph;
    prelu_value v = m->logits == PRELU_NONE ? g->outputs[0] : m->logits;
    bool found = false;
    m->features = PRELU_NONE;
    m->n_features = 0;
    while (!found && g->values[v].producer != PRELU_NONE) {
        const prelu_node *n = &g->nodes[g->values[v].producer];
        for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
            found = found || !strcmp(n->op, layers[i]);
        v = n->in[0];
        if (g->values[v].is_constant && n->n_in > 1) /* bias + x */
            v = n->in[1];
    }
    for (int p = g->values[v].producer; p != PRELU_NONE; p = g->values[v].producer) {
        const prelu_node *n = &g->nodes[p];
        if (strcmp(n->op, "Dropout") != 0 && strcmp(n->op, "Identity") != 0)
            break;
        v = n->in[0];
    }
    if (!found || g->values[v].is_input || g->values[v].is_constant)
        return;
    m->n_features = score_count(&shapes[v]);
    if (m->n_features)
        m->features = v;
}

static prelu_status add_softmax(prelu_model *m, prelu_err *err)
{
    prelu_graph *g = m->graph;
    prelu_attr axis = PRELU_INT("axis", 1);
    const char *name = prelu_graph_find(g, "prob") == PRELU_NONE ? "prob" : "prelu.prob";
    m->logits = g->outputs[0];
    PRELU_TRY(
        prelu_graph_add(g, "Softmax", name, &m->logits, 1, &axis, 1, &name, &m->prob, 1, err));
    return prelu_graph_output(g, m->prob, err);
}

prelu_status mdl_find_scores(prelu_model *m, prelu_err *err)
{
    const prelu_graph *g = m->graph;
    prelu_shape *shapes;
    prelu_status st;
    int classes = 0;
    find_softmax(m);
    m->classes = 0;
    shapes = prelu_calloc((size_t)g->n_values + 1, sizeof *shapes);
    if (!shapes)
        return prelu_fail(err, PRELU_E_NOMEM, "%d shapes", g->n_values);
    st = mdl_graph_infer(g, m->preprocess.crop, shapes, err);
    if (!st && takes_pictures(g) && g->n_outputs > 0)
        classes = score_count(&shapes[m->prob == PRELU_NONE ? g->outputs[0] : m->prob]);
    m->features = PRELU_NONE;
    m->n_features = 0;
    if (classes > 0)
        find_features(m, shapes);
    prelu_free(shapes);
    if (st || classes < 1) {
        m->logits = m->prob = m->features = PRELU_NONE;
        return st;
    }
    PRELU_TRY(check_size(m, err));
    m->classes = classes;
    return m->prob == PRELU_NONE ? add_softmax(m, err) : PRELU_OK;
}

prelu_status prelu_model_take(prelu_model **out, prelu_graph *g, int classes, prelu_err *err)
{
    prelu_model *m = prelu_calloc(1, sizeof *m);
    prelu_status st;
    if (!m)
        return prelu_fail(err, PRELU_E_NOMEM, "model: %zu bytes", sizeof *m);
    mdl_preprocess_defaults(&m->preprocess);
    m->graph = g;
    m->features = PRELU_NONE;
    find_softmax(m);
    if (classes < 1 || classes > MDL_MAX_SCORES)
        st = prelu_fail(err, PRELU_E_ARG, "%d classes, not 1..%d", classes, MDL_MAX_SCORES);
    else
        st = mdl_labels_empty(&m->labels, classes, err);
    if (st) {
        m->graph = NULL; /* still the caller's */
        prelu_model_destroy(&m);
        return st;
    }
    m->classes = classes;
    *out = m;
    return PRELU_OK;
}

void prelu_model_drop_weights(prelu_model *m)
{
    mdl_map map = {m->map, m->map_len};
    prelu_graph_destroy(&m->graph);
    m->logits = m->prob = m->features = PRELU_NONE;
    mdl_map_deinit(&map);
    m->map = NULL;
    m->map_len = 0;
    if (!m->extra)
        return;
    for (int i = 0; i < m->extra->n_maps; i++)
        mdl_map_deinit(&m->extra->maps[i]);
    mdl_pile_deinit(&m->extra->pile);
    prelu_free(m->extra);
    m->extra = NULL;
}

void prelu_model_destroy(prelu_model **model)
{
    prelu_model *m = *model;
    if (!m)
        return;
    prelu_model_drop_weights(m);
    mdl_labels_free(m->labels, m->classes);
    prelu_free(m->arch);
    prelu_free(m->training);
    prelu_free(m->check);
    prelu_free(m->precision);
    prelu_free(m);
    *model = NULL;
}

/* Pages of `map` that lie wholly within data, len. */
static void drop_pages(const mdl_map *map, const void *data, size_t len)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)data;
    const uintptr_t start = (uintptr_t)map->data;
    const uintptr_t from = (at + page - 1) / page * page, to = (at + len) / page * page;
    if (from >= start && to <= start + map->len && from < to)
        (void)madvise((void *)from, to - from, MADV_DONTNEED); /* advice: the file still has them */
}

/* What is packed need not lie in memory twice. */
static void on_packed(void *ctx, const void *data, size_t len)
{
    const prelu_model *m = ctx;
    drop_pages(&(mdl_map){m->map, m->map_len}, data, len);
    for (int i = 0; m->extra && i < m->extra->n_maps; i++)
        drop_pages(&m->extra->maps[i], data, len);
}

static prelu_status plan_scores(prelu_plan **out, const prelu_model *m, const prelu_graph *g,
                                prelu_plan_options *o, prelu_err *err)
{
    prelu_value outputs[3];
    outputs[PRELU_OUTPUT_PROB] = m->prob;
    outputs[PRELU_OUTPUT_LOGITS] = m->logits;
    outputs[PRELU_OUTPUT_FEATURES] = m->features;
    o->outputs = outputs;
    o->n_outputs = g == m->graph && m->n_features > 0 ? 3 : 2; /* of single views only */
    o->packed = on_packed;
    o->packed_ctx = (void *)m;
    return prelu_plan_create(out, g, o, err);
}

static prelu_status need_classifier(const prelu_model *m, prelu_err *err)
{
    if (!m->graph || m->prob == PRELU_NONE)
        return prelu_fail(err, PRELU_E_UNSUPPORTED,
                          "not a picture classifier: no (N,classes) scores of an (N,3,H,W) input");
    return PRELU_OK;
}

static bool int8fc_agrees(const prelu_model *m)
{
    return m->int8fc_agrees >= PRELU_INT8FC_AGREEMENT;
}

prelu_status prelu_model_plan(prelu_plan **out, const prelu_model *m, prelu_precision precision,
                              prelu_pool *pool, prelu_err *err)
{
    prelu_plan_options o = {
        .precision = precision, .int8fc_agrees = int8fc_agrees(m), .pool = pool};
    PRELU_TRY(need_classifier(m, err));
    return plan_scores(out, m, m->graph, &o, err);
}

prelu_status prelu_model_plan_values(prelu_plan **out, const prelu_model *m,
                                     const prelu_value *values, int n_values,
                                     prelu_precision precision, prelu_pool *pool, prelu_err *err)
{
    const prelu_plan_options o = {.precision = precision,
                                  .pool = pool,
                                  .outputs = values,
                                  .n_outputs = n_values,
                                  .packed = on_packed,
                                  .packed_ctx = (void *)m};
    return prelu_plan_create(out, m->graph, &o, err);
}

prelu_status prelu_model_plan_dense(prelu_plan **out, const prelu_model *m, const prelu_plan *views,
                                    prelu_precision precision, prelu_pool *pool, prelu_err *err)
{
    prelu_plan_options o = {.precision = precision,
                            .int8fc_agrees = int8fc_agrees(m),
                            .pool = pool,
                            .weights_of = views};
    prelu_graph *g = NULL;
    prelu_status st;
    PRELU_TRY(need_classifier(m, err));
    PRELU_TRY(prelu_graph_dense(&g, m->graph, m->preprocess.crop, m->preprocess.crop, err));
    st = plan_scores(out, m, g, &o, err);
    prelu_graph_destroy(&g);
    return st;
}
