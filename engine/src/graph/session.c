#define _POSIX_C_SOURCE 200809L
#include "graph/gr_plan.h"
#include "graph/layout.h"
#include "graph/feed.h"
#include "prelu/mem.h"
#include "prelu/session.h"
#include <math.h>
#include <string.h>
#include <time.h>

/* Work of a brief step per thread: 0.6 ms at 50 GFLOP/s. */
#define STEP_FLOPS 3e7
#define DEFAULT_MAX_BYTES ((size_t)8 << 30)
#define NOWHERE SIZE_MAX
/* Windows that the head of a dense plan takes at a time: enough to reuse its weights, few enough
 * that memory follows the picture and not the windows, of which each may be larger than it. */
#define BLOCK_ROWS ((size_t)256)
#define SHRINK_FROM ((size_t)256 << 20)

typedef struct node_state {
    op_work work;
    size_t shared_offset;
    op_tensor *in, *out; /* into prelu_session.tensors */
} node_state;

/* What lay_out found for one size, kept so that a server's batches of changing sizes do not lay out
 * again: copies of shapes, offsets, works and shared offsets, one after another. */
enum { LAYOUTS = 16 };
typedef struct layout {
    int64_t n, h, w; /* n = 0: empty */
    size_t total, scratch, rows, block_rows;
    uint64_t used; /* time of the last use */
    char *saved;
} layout;

struct prelu_session {
    const prelu_plan *plan;
    prelu_pool *pool;
    int slots;
    size_t max_bytes;
    int64_t n, h, w;     /* of the last reshape; n = 0: none */
    prelu_shape *shapes; /* by value */
    size_t *offset;      /* by value: in the block; NOWHERE = it has no place there. Then by output:
                            where all its rows are gathered, if they come in several blocks */
    void **data;         /* by value: where it lies in this session */
    const float **bound; /* by value: variables */
    gr_feed *feeds;      /* one for each fed input */
    int n_feeds;
    node_state *nodes;
    op_tensor *tensors;
    char *block; /* activations, then scratch for each slot */
    size_t block_len, scratch_len, activations_len;
    layout layouts[LAYOUTS];
    uint64_t reshapes;
    uint64_t seed;
    size_t rows, block_rows; /* of the head's values in all, and at a time */
    size_t first_row;        /* of the block that runs */
    prelu_shape *out_shapes; /* by output: with all rows */
    int node, phase;         /* next to run; node = -1: the feeds */
    size_t task;
    bool running;
    void (*done)(void *ctx, int layer); /* told after each node; NULL = nobody listens */
    void *done_ctx;
    double *seconds; /* by node, then of the feeds; NULL = nobody asks */
};

static size_t count_tensors(const prelu_graph *g)
{
    size_t n = 0;
    for (int i = 0; i < g->n_nodes; i++)
        n += (size_t)(g->nodes[i].n_in + g->nodes[i].n_out);
    return n;
}

static bool is_fed(const prelu_value_info *v) { return v->is_input && v->role == PRELU_ROLE_NONE; }

static prelu_status allocate(prelu_session *s, prelu_err *err)
{
    const prelu_graph *g = s->plan->g;
    const size_t values = (size_t)g->n_values;
    for (int i = 0; i < g->n_values; i++)
        s->n_feeds += is_fed(&g->values[i]);
    s->shapes = prelu_calloc(values, sizeof *s->shapes);
    s->offset = prelu_calloc(values + (size_t)s->plan->n_outputs, sizeof *s->offset);
    s->out_shapes = prelu_calloc((size_t)s->plan->n_outputs, sizeof *s->out_shapes);
    s->data = prelu_calloc(values, sizeof *s->data);
    s->bound = prelu_calloc(values, sizeof *s->bound);
    s->feeds = prelu_calloc((size_t)s->n_feeds + 1, sizeof *s->feeds);
    s->nodes = prelu_calloc((size_t)g->n_nodes + 1, sizeof *s->nodes);
    s->tensors = prelu_calloc(count_tensors(g) + 1, sizeof *s->tensors);
    if (!s->shapes || !s->offset || !s->out_shapes || !s->data || !s->bound || !s->feeds ||
        !s->nodes || !s->tensors)
        return prelu_fail(err, PRELU_E_NOMEM, "session: %zu values", values);
    for (int i = 0, f = 0; i < g->n_values; i++)
        if (is_fed(&g->values[i]))
            s->feeds[f++].value = i;
    op_tensor *t = s->tensors;
    for (int i = 0; i < g->n_nodes; i++) {
        s->nodes[i].in = t;
        s->nodes[i].out = t + g->nodes[i].n_in;
        t += g->nodes[i].n_in + g->nodes[i].n_out;
    }
    return PRELU_OK;
}

prelu_status prelu_session_create(prelu_session **out, const prelu_plan *plan, prelu_pool *pool,
                                  size_t max_bytes, prelu_err *err)
{
    prelu_session *s = prelu_calloc(1, sizeof *s);
    prelu_status st;
    if (!s)
        return prelu_fail(err, PRELU_E_NOMEM, "session: %zu bytes", sizeof *s);
    s->plan = plan;
    s->pool = pool;
    s->slots = prelu_pool_slots(pool);
    s->max_bytes = max_bytes ? max_bytes : DEFAULT_MAX_BYTES;
    st = allocate(s, err);
    if (st)
        prelu_session_destroy(&s);
    else
        *out = s;
    return st;
}

void prelu_session_destroy(prelu_session **session)
{
    prelu_session *s = *session;
    if (!s)
        return;
    prelu_free(s->shapes);
    prelu_free(s->offset);
    prelu_free(s->out_shapes);
    prelu_free(s->data);
    for (int i = 0; i < LAYOUTS; i++)
        prelu_free(s->layouts[i].saved);
    prelu_free((void *)s->bound);
    prelu_free(s->feeds);
    prelu_free(s->nodes);
    prelu_free(s->tensors);
    prelu_free(s->block);
    prelu_free(s);
    *session = NULL;
}

/* ---- reshape ------------------------------------------------------------------------------ */

/* Every value from the head on has a row for each window: all of them get fewer, and run in turns
 * over equal blocks, of which the last overlaps the one before it by the few rows that are
 * missing. */
static void cut_rows(prelu_session *s)
{
    const prelu_graph *g = s->plan->g;
    const int head = s->plan->head;
    s->rows = s->block_rows = 1;
    if (head == g->n_nodes)
        return;
    const int64_t rows = s->shapes[g->nodes[head].out[0]].dim[0];
    s->rows = s->block_rows = (size_t)rows;
    for (int i = 0; i < s->plan->n_outputs; i++)
        if (g->values[s->plan->outputs[i]].producer < head)
            return;
    for (int i = head; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_out; k++) {
            const prelu_shape *y = &s->shapes[g->nodes[i].out[k]];
            if (y->rank < 1 || y->dim[0] != rows)
                return;
        }
    const size_t blocks = (s->rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    s->block_rows = (s->rows + blocks - 1) / blocks;
    for (int i = head; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_out; k++)
            s->shapes[g->nodes[i].out[k]].dim[0] = (int64_t)s->block_rows;
}

static bool in_blocks(const prelu_session *s) { return s->block_rows < s->rows; }

/* Bytes of all rows of output i. */
static prelu_status output_bytes(const prelu_session *s, int i, size_t *bytes, prelu_err *err)
{
    prelu_shape all = s->shapes[s->plan->outputs[i]];
    size_t count;
    all.dim[0] = (int64_t)s->rows;
    PRELU_TRY(prelu_shape_count(&all, &count, err));
    return prelu_mul(count, sizeof(float), bytes, err);
}

/* Blocks of the layout: one by value, then one by node for its shared memory, then one by output
 * for its rows of all blocks. Lives are node
 * numbers; feeds happen before node 0, outputs live past the last. */
typedef struct lives {
    gr_block *blocks;
    int *root; /* by value: the value whose block it shares (in-place), itself otherwise */
} lives;

static bool reads_data(const op_def *def, int input) { return !(def->shape_only >> input & 1); }

static prelu_status value_bytes(const prelu_session *s, prelu_value v, size_t *bytes,
                                prelu_err *err)
{
    size_t count;
    PRELU_TRY(prelu_shape_count(&s->shapes[v], &count, err));
    return prelu_mul(count, prelu_dtype_size(s->plan->g->values[v].dtype), bytes, err);
}

/* Output 0 takes over input 0's block when this is the input's last use and the sizes agree. */
static void try_in_place(const prelu_session *s, lives *l, const int *last, int i)
{
    const prelu_graph *g = s->plan->g;
    const prelu_node *n = &g->nodes[i];
    const op_def *def = s->plan->ops[i].def;
    if (!def->in_place || n->n_in < 1 || n->in[0] == PRELU_NONE)
        return;
    const prelu_value from = n->in[0], to = n->out[0];
    const prelu_value_info *v = &g->values[from];
    const bool owned = v->producer != PRELU_NONE || is_fed(v);
    int readers = 0;
    for (int k = 0; k < n->n_in; k++)
        readers += n->in[k] == from;
    if (!owned || last[from] != i || readers != 1 ||
        !prelu_shape_equal(&s->shapes[from], &s->shapes[to]))
        return;
    const int root = l->root[from];
    l->root[to] = root;
    if (l->blocks[root].last < l->blocks[to].last)
        l->blocks[root].last = l->blocks[to].last;
    l->blocks[to].size = 0;
}

static prelu_status find_lives(prelu_session *s, lives *l, int *last, prelu_err *err)
{
    const prelu_graph *g = s->plan->g;
    for (int v = 0; v < g->n_values; v++) {
        l->root[v] = v;
        last[v] = -2;
        l->blocks[v] = (gr_block){.first = -1, .last = -2};
    }
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++)
            if (g->nodes[i].in[k] != PRELU_NONE && reads_data(s->plan->ops[i].def, k))
                last[g->nodes[i].in[k]] = i;
    for (int i = 0; i < s->plan->n_outputs; i++)
        last[s->plan->outputs[i]] = g->n_nodes;
    for (int v = 0; v < g->n_values && in_blocks(s); v++) /* every block reads the maps again */
        if (g->values[v].producer < s->plan->head && last[v] >= s->plan->head)
            last[v] = g->n_nodes;
    for (int v = 0; v < g->n_values; v++) {
        const bool computed = g->values[v].producer != PRELU_NONE;
        if (!computed && !(is_fed(&g->values[v]) && last[v] >= 0))
            continue;
        l->blocks[v].first = computed ? g->values[v].producer : -1;
        l->blocks[v].last = last[v] > l->blocks[v].first ? last[v] : l->blocks[v].first;
        PRELU_TRY(value_bytes(s, v, &l->blocks[v].size, err));
    }
    for (int i = 0; i < g->n_nodes; i++)
        try_in_place(s, l, last, i);
    return PRELU_OK;
}

static void fill_tensors(prelu_session *s)
{
    const prelu_graph *g = s->plan->g;
    for (int i = 0; i < g->n_nodes; i++) {
        const prelu_node *n = &g->nodes[i];
        for (int k = 0; k < n->n_in; k++) {
            const prelu_value v = n->in[k];
            op_tensor *t = &s->nodes[i].in[k];
            *t = (op_tensor){.shape.rank = -1};
            if (v == PRELU_NONE)
                continue;
            *t = (op_tensor){.dtype = g->values[v].dtype,
                             .shape = s->shapes[v],
                             .constant = g->values[v].is_constant};
            t->data = t->constant ? s->plan->owned[v] : s->data[v];
        }
        for (int k = 0; k < n->n_out; k++)
            s->nodes[i].out[k] = (op_tensor){.data = s->data[n->out[k]],
                                             .dtype = g->values[n->out[k]].dtype,
                                             .shape = s->shapes[n->out[k]]};
    }
}

static prelu_status prepare_nodes(prelu_session *s, gr_block *shared, size_t *scratch,
                                  prelu_err *err)
{
    const prelu_graph *g = s->plan->g;
    fill_tensors(s); /* shapes; data pointers come later */
    for (int i = 0; i < g->n_nodes; i++) {
        node_state *n = &s->nodes[i];
        const op_instance *op = &s->plan->ops[i];
        prelu_err inner = {0};
        n->work = (op_work){.phases = 1, .rounds = 1, .tasks = {1, 1, 1, 1}, .flops = {1, 1, 1, 1}};
        if (op->def->prepare) {
            const prelu_status st = op->def->prepare(op, n->in, n->out, &n->work, &inner);
            if (st)
                return prelu_fail(err, st, "%s node '%.80s': %s", op->node->op, op->node->name,
                                  inner.text);
        }
        shared[i] = (gr_block){.size = n->work.shared, .first = i, .last = i};
        if (n->work.scratch > *scratch)
            *scratch = n->work.scratch;
    }
    *scratch = (*scratch + 4095) / 4096 * 4096;
    return PRELU_OK;
}

/* *total, rounded up to pages, and the scratch of each slot behind it. */
static prelu_status block_size(const prelu_session *s, size_t *total, size_t scratch, size_t *len,
                               prelu_err *err)
{
    PRELU_TRY(prelu_mul(scratch, (size_t)s->slots, len, err));
    *total = (*total + 4095) / 4096 * 4096;
    return prelu_add(*len, *total, len, err);
}

static prelu_status grow_block(prelu_session *s, size_t total, size_t scratch, prelu_err *err)
{
    size_t len;
    PRELU_TRY(block_size(s, &total, scratch, &len, err));
    if (len > s->max_bytes)
        return prelu_fail(
            err, PRELU_E_LIMIT, "activations of %lld x %lld x %lld need %zu MiB; limit %zu MiB",
            (long long)s->n, (long long)s->h, (long long)s->w, len >> 20, s->max_bytes >> 20);
    /* a much smaller one is given back only where that is worth the page faults of growing again */
    if (len > s->block_len || (len < s->block_len / 4 && s->block_len > SHRINK_FROM)) {
        prelu_free(s->block);
        s->block_len = 0;
        s->block = prelu_alloc(len);
        if (!s->block)
            return prelu_fail(err, PRELU_E_NOMEM, "activations: %zu bytes", len);
        s->block_len = len;
    }
    s->activations_len = total;
    s->scratch_len = scratch;
    return PRELU_OK;
}

/* Shapes, works and offsets of all values for the session's new size. */
static prelu_status lay_out(prelu_session *s, size_t *total, size_t *scratch, prelu_err *err)
{
    const prelu_graph *g = s->plan->g;
    const size_t values = (size_t)g->n_values, nodes = values + (size_t)g->n_nodes,
                 blocks = nodes + (size_t)s->plan->n_outputs;
    lives l = {.blocks = prelu_calloc(blocks + 1, sizeof *l.blocks),
               .root = prelu_alloc((values + 1) * sizeof *l.root)};
    int *last = prelu_alloc((values + 1) * sizeof *last);
    prelu_status st;
    *scratch = 0;
    if (!l.blocks || !l.root || !last) {
        st = prelu_fail(err, PRELU_E_NOMEM, "layout: %zu blocks", blocks);
        goto out;
    }
    st = prelu_graph_infer(g, s->n, s->h, s->w, s->shapes, err);
    if (!st)
        cut_rows(s);
    for (int i = 0; i < s->plan->n_outputs && !st && in_blocks(s); i++) {
        l.blocks[nodes + (size_t)i] = (gr_block){.first = s->plan->head, .last = g->n_nodes};
        st = output_bytes(s, i, &l.blocks[nodes + (size_t)i].size, err);
    }
    if (!st)
        st = find_lives(s, &l, last, err);
    if (!st)
        st = prepare_nodes(s, l.blocks + values, scratch, err);
    if (!st)
        st = gr_layout(l.blocks, blocks, total, err);
    if (st)
        goto out;
    for (size_t v = 0; v < values; v++) {
        const gr_block *b = &l.blocks[l.root[v]];
        s->offset[v] = b->last >= -1 ? b->offset : NOWHERE;
    }
    for (int i = 0; i < g->n_nodes; i++)
        s->nodes[i].shared_offset = l.blocks[values + (size_t)i].offset;
    for (int i = 0; i < s->plan->n_outputs; i++)
        s->offset[values + (size_t)i] = l.blocks[nodes + (size_t)i].offset;
out:
    prelu_free(l.blocks);
    prelu_free(l.root);
    prelu_free(last);
    return st;
}

/* Copy between the session and a layout's saved bytes. */
static void transfer(prelu_session *s, char *saved, bool save)
{
    const size_t values = (size_t)s->plan->g->n_values, nodes = (size_t)s->plan->g->n_nodes;
    const size_t n_offsets = values + (size_t)s->plan->n_outputs;
    char *shapes = saved, *offsets = shapes + values * sizeof *s->shapes;
    char *works = offsets + n_offsets * sizeof *s->offset;
    memcpy(save ? shapes : (char *)s->shapes, save ? (char *)s->shapes : shapes,
           values * sizeof *s->shapes);
    memcpy(save ? offsets : (char *)s->offset, save ? (char *)s->offset : offsets,
           n_offsets * sizeof *s->offset);
    for (size_t i = 0; i < nodes; i++) {
        node_state *n = &s->nodes[i];
        char *at = works + i * (sizeof n->work + sizeof n->shared_offset);
        memcpy(save ? at : (char *)&n->work, save ? (char *)&n->work : at, sizeof n->work);
        at += sizeof n->work;
        memcpy(save ? at : (char *)&n->shared_offset, save ? (char *)&n->shared_offset : at,
               sizeof n->shared_offset);
    }
}

/* Keep what lay_out found in the slot used longest ago; without memory it is laid out again. */
static void remember(prelu_session *s, size_t total, size_t scratch)
{
    const size_t values = (size_t)s->plan->g->n_values, nodes = (size_t)s->plan->g->n_nodes;
    layout *l = &s->layouts[0];
    for (int i = 1; i < LAYOUTS; i++)
        if (s->layouts[i].used < l->used)
            l = &s->layouts[i];
    l->n = 0;
    if (!l->saved)
        l->saved = prelu_alloc(values * (sizeof *s->shapes + sizeof *s->offset) +
                               (size_t)s->plan->n_outputs * sizeof *s->offset +
                               nodes * (sizeof(op_work) + sizeof(size_t)) + 1);
    if (!l->saved)
        return;
    transfer(s, l->saved, true);
    *l = (layout){s->n, s->h, s->w, total, scratch, s->rows, s->block_rows, s->reshapes, l->saved};
}

static bool recall(prelu_session *s, size_t *total, size_t *scratch)
{
    for (int i = 0; i < LAYOUTS; i++) {
        layout *l = &s->layouts[i];
        if (l->n == 0 || l->n != s->n || l->h != s->h || l->w != s->w)
            continue;
        transfer(s, l->saved, false);
        l->used = s->reshapes;
        *total = l->total;
        *scratch = l->scratch;
        s->rows = l->rows;
        s->block_rows = l->block_rows;
        return true;
    }
    return false;
}

/* Everything has its place; pointers follow. */
static void point(prelu_session *s)
{
    for (int v = 0; v < s->plan->g->n_values; v++) {
        s->data[v] = s->offset[v] == NOWHERE ? NULL : s->block + s->offset[v];
        if (s->bound[v])
            s->data[v] = (void *)s->bound[v];
    }
    for (int i = 0; i < s->plan->n_outputs; i++) {
        s->out_shapes[i] = s->shapes[s->plan->outputs[i]];
        if (in_blocks(s))
            s->out_shapes[i].dim[0] = (int64_t)s->rows;
    }
    fill_tensors(s);
}

static prelu_status check_sizes(int64_t n, int64_t h, int64_t w, prelu_err *err)
{
    if (n < 1 || h < 1 || w < 1 || n > 1 << 20 || h > PRELU_MAX_SIDE || w > PRELU_MAX_SIDE)
        return prelu_fail(err, PRELU_E_ARG, "%lld pictures of %lld x %lld; sides 1..%d",
                          (long long)n, (long long)h, (long long)w, PRELU_MAX_SIDE);
    return PRELU_OK;
}

prelu_status prelu_session_reshape(prelu_session *s, int64_t n, int64_t h, int64_t w,
                                   prelu_err *err)
{
    size_t total, scratch;
    prelu_status st = PRELU_OK;
    if (s->n == n && s->h == h && s->w == w)
        return PRELU_OK;
    PRELU_TRY(check_sizes(n, h, w, err));
    s->running = false;
    s->n = n;
    s->h = h;
    s->w = w;
    s->reshapes++;
    if (!recall(s, &total, &scratch)) {
        st = lay_out(s, &total, &scratch, err);
        if (!st)
            remember(s, total, scratch);
    }
    if (!st)
        st = grow_block(s, total, scratch, err);
    if (st)
        s->n = 0;
    else
        point(s);
    for (int i = 0; i < s->n_feeds; i++)
        s->feeds[i].source = GR_FEED_NONE;
    return st;
}

/* ---- feeding ------------------------------------------------------------------------------ */

static prelu_status need_shape(const prelu_session *s, prelu_err *err)
{
    return s->n ? PRELU_OK : prelu_fail(err, PRELU_E_ARG, "session has no shape yet");
}

prelu_status prelu_session_set_views(prelu_session *s, const prelu_view *views, size_t n,
                                     prelu_err *err)
{
    PRELU_TRY(need_shape(s, err));
    if (s->n_feeds < 1 || (int64_t)n != s->n || s->shapes[s->feeds[0].value].rank != 4 ||
        s->shapes[s->feeds[0].value].dim[1] != 3)
        return prelu_fail(err, PRELU_E_ARG, "%zu views for a session of %lld RGB pictures", n,
                          (long long)s->n);
    for (size_t i = 0; i < n; i++)
        if (views[i].width != s->w || views[i].height != s->h || !views[i].data ||
            views[i].stride < 3 * (size_t)views[i].width)
            return prelu_fail(err, PRELU_E_ARG, "view %zu is %d x %d, the session %lld x %lld", i,
                              views[i].width, views[i].height, (long long)s->w, (long long)s->h);
    s->feeds[0].source = GR_FEED_VIEWS;
    s->feeds[0].views = views;
    return PRELU_OK;
}

prelu_status prelu_session_set_input(prelu_session *s, int input, const void *data, size_t count,
                                     prelu_err *err)
{
    size_t want;
    PRELU_TRY(need_shape(s, err));
    if (input < 0 || input >= s->n_feeds)
        return prelu_fail(err, PRELU_E_ARG, "input %d of %d", input, s->n_feeds);
    PRELU_TRY(prelu_shape_count(&s->shapes[s->feeds[input].value], &want, err));
    if (count != want)
        return prelu_fail(err, PRELU_E_ARG, "input %d has %zu elements, not %zu", input, want,
                          count);
    s->feeds[input].source = GR_FEED_LOGICAL;
    s->feeds[input].data = data;
    return PRELU_OK;
}

prelu_status prelu_session_bind(prelu_session *s, prelu_value variable, const float *data,
                                prelu_err *err)
{
    const prelu_graph *g = s->plan->g;
    if (variable < 0 || variable >= g->n_values || !g->values[variable].is_input ||
        g->values[variable].role == PRELU_ROLE_NONE)
        return prelu_fail(err, PRELU_E_ARG, "value %d is not a variable", variable);
    s->bound[variable] = data;
    s->n = 0; /* data pointers are set by reshape */
    return PRELU_OK;
}

void prelu_session_clock(prelu_session *s, double *seconds) { s->seconds = seconds; }

void prelu_session_watch(prelu_session *s, void (*done)(void *ctx, int layer), void *ctx)
{
    s->done = done;
    s->done_ctx = ctx;
}

void prelu_session_seed(prelu_session *s, uint64_t seed) { s->seed = seed; }

/* ---- running ------------------------------------------------------------------------------ */

prelu_status prelu_session_begin(prelu_session *s, prelu_err *err)
{
    const prelu_graph *g = s->plan->g;
    PRELU_TRY(need_shape(s, err));
    for (int i = 0; i < s->n_feeds; i++)
        if (s->feeds[i].source == GR_FEED_NONE && s->data[s->feeds[i].value])
            return prelu_fail(err, PRELU_E_ARG, "input '%.64s' is not set",
                              g->values[s->feeds[i].value].name);
    for (int i = 0; i < g->n_values; i++)
        if (g->values[i].is_input && g->values[i].role != PRELU_ROLE_NONE && !s->bound[i])
            return prelu_fail(err, PRELU_E_ARG, "variable '%.64s' is not bound", g->values[i].name);
    s->node = -1;
    s->first_row = 0;
    s->phase = 0;
    s->task = 0;
    s->running = true;
    return PRELU_OK;
}

typedef struct loop_ctx {
    prelu_session *s;
    op_exec exec;
    int phase;
    size_t first;
    char *scratch;
} loop_ctx;

static void run_task(void *ctx, size_t task, int worker)
{
    const loop_ctx *c = ctx;
    c->exec.op->def->run(&c->exec, c->phase, c->first + task,
                         c->scratch + (size_t)worker * c->s->scratch_len);
}

static void feed(prelu_session *s, int i)
{
    const prelu_value to = s->feeds[i].value;
    if (s->data[to] && s->feeds[i].source != GR_FEED_NONE)
        gr_feed_run(&s->feeds[i], &s->shapes[to], s->plan->g->values[to].dtype,
                    i == 0 ? &s->plan->input : NULL, s->data[to], s->pool);
}

static void feed_all(prelu_session *s)
{
    for (int i = 0; i < s->n_feeds; i++)
        feed(s, i);
}

void prelu_session_renew(prelu_session *s, int input, const void *data)
{
    s->feeds[input].data = data;
    feed(s, input);
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Tasks of the current phase up to the step's budget; none after a stop. */
static double run_some(prelu_session *s, double budget, const atomic_bool *stop)
{
    const node_state *n = &s->nodes[s->node];
    const prelu_node *node = &s->plan->g->nodes[s->node];
    const int phase = s->phase % n->work.phases;
    const size_t left = n->work.tasks[phase] - s->task;
    const double each = n->work.flops[phase] > 1.0 ? n->work.flops[phase] : 1.0;
    /* a multiple of the threads, however large a task is: a step of one task would run on one */
    const double slots = (double)s->slots;
    const double some = (floor(budget / each / slots) + 1.0) * slots;
    size_t count = some < (double)left ? (size_t)some : left;
    loop_ctx c = {
        .s = s, .phase = s->phase, .first = s->task, .scratch = s->block + s->activations_len};
    c.exec = (op_exec){.op = &s->plan->ops[s->node],
                       .in = n->in,
                       .out = n->out,
                       .n_in = node->n_in,
                       .n_out = node->n_out,
                       .work = &n->work,
                       .shared = s->block + n->shared_offset,
                       .seed = s->seed,
                       .first_row = s->first_row};
    const double start = s->seconds ? seconds_now() : 0.0;
    count = prelu_pool_run_until(s->pool, count, run_task, &c, stop);
    if (s->seconds)
        s->seconds[s->node] += seconds_now() - start;
    s->task += count;
    return (double)count * each;
}

static float *all_rows(const prelu_session *s, int i)
{
    return (float *)(void *)(s->block + s->offset[(size_t)s->plan->g->n_values + (size_t)i]);
}

/* After a block of windows: its rows go to the others; back to the head if it was not the last. */
static void end_block(prelu_session *s)
{
    const size_t last = s->rows - s->block_rows;
    for (int i = 0; i < s->plan->n_outputs; i++) {
        const prelu_shape *all = &s->out_shapes[i];
        size_t row = 1;
        for (int d = 1; d < all->rank; d++)
            row *= (size_t)all->dim[d];
        memcpy(all_rows(s, i) + s->first_row * row, s->data[s->plan->outputs[i]],
               s->block_rows * row * sizeof(float));
    }
    if (s->first_row < last) {
        s->first_row += s->block_rows < last - s->first_row ? s->block_rows : last - s->first_row;
        s->node = s->plan->head;
    }
}

prelu_status prelu_session_step(prelu_session *s, prelu_pause pause, bool *done, prelu_err *err)
{
    double budget = pause.brief ? STEP_FLOPS * s->slots : (double)INFINITY;
    *done = false;
    if (!s->running)
        return prelu_fail(err, PRELU_E_ARG, "step without begin");
    if (s->node < 0) {
        const double start = s->seconds ? seconds_now() : 0.0;
        feed_all(s);
        if (s->seconds)
            s->seconds[s->plan->g->n_nodes] += seconds_now() - start;
        s->node = 0;
    }
    while (s->node < s->plan->g->n_nodes && budget > 0.0 &&
           !(pause.stop && atomic_load(pause.stop))) {
        const op_work *w = &s->nodes[s->node].work;
        budget -= run_some(s, budget, pause.stop);
        if (s->task < w->tasks[s->phase % w->phases])
            continue;
        s->task = 0;
        if ((size_t)++s->phase >= w->rounds * (size_t)w->phases) {
            s->phase = 0;
            if (s->done)
                s->done(s->done_ctx, s->node);
            s->node++;
        }
        if (s->node == s->plan->g->n_nodes && in_blocks(s))
            end_block(s);
    }
    *done = s->node >= s->plan->g->n_nodes;
    s->running = !*done;
    return PRELU_OK;
}

/* In one step: threads wait for each other only where one layer needs all of another. */
prelu_status prelu_session_run(prelu_session *s, prelu_err *err)
{
    bool done;
    PRELU_TRY(prelu_session_begin(s, err));
    return prelu_session_step(s, (prelu_pause){.brief = false}, &done, err);
}

/* ---- results ------------------------------------------------------------------------------ */

const float *prelu_session_output(const prelu_session *s, int i)
{
    return in_blocks(s) ? all_rows(s, i) : s->data[s->plan->outputs[i]];
}

const prelu_shape *prelu_session_output_shape(const prelu_session *s, int i)
{
    return &s->out_shapes[i];
}

prelu_status prelu_session_read(const prelu_session *s, int i, float *dst, size_t count,
                                prelu_err *err)
{
    const prelu_shape *shape = prelu_session_output_shape(s, i);
    const float *src = prelu_session_output(s, i);
    size_t want;
    PRELU_TRY(prelu_shape_count(shape, &want, err));
    if (count != want)
        return prelu_fail(err, PRELU_E_ARG, "output %d has %zu elements, not %zu", i, want, count);
    if (shape->rank != 4) {
        memcpy(dst, src, count * sizeof *dst);
        return PRELU_OK;
    }
    const size_t c = (size_t)shape->dim[1], hw = (size_t)(shape->dim[2] * shape->dim[3]);
    for (size_t n = 0; n < (size_t)shape->dim[0]; n++)
        for (size_t k = 0; k < c; k++)
            for (size_t p = 0; p < hw; p++)
                dst[(n * c + k) * hw + p] = src[(n * hw + p) * c + k];
    return PRELU_OK;
}

const prelu_plan *prelu_session_plan(const prelu_session *s) { return s->plan; }

size_t prelu_session_bytes(const prelu_session *s) { return s->block_len; }

prelu_status prelu_session_measure(const prelu_plan *plan, prelu_pool *pool, int64_t n, int64_t h,
                                   int64_t w, size_t *bytes, prelu_err *err)
{
    prelu_session *s = NULL;
    size_t total, scratch;
    PRELU_TRY(check_sizes(n, h, w, err));
    PRELU_TRY(prelu_session_create(&s, plan, pool, 0, err));
    s->n = n;
    s->h = h;
    s->w = w;
    prelu_status st = lay_out(s, &total, &scratch, err);
    if (!st)
        st = block_size(s, &total, scratch, bytes, err);
    prelu_session_destroy(&s);
    return st;
}
