/* Training steps: threads and micro-batches, what is refused, what an export holds. */
#include "golden_net.h"
#include "prelu/mem.h"
#include "train/trainer.h"

static golden_file plain, norm;

static int setup(void **state)
{
    (void)state;
    plain = golden_open("golden/training/plain.bin");
    norm = golden_open("golden/training/norm.bin");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(plain.text);
    free(norm.text);
    return 0;
}

static prelu_trainer *open_trainer(bool with_norm, bool dropout, int micro, prelu_pool *pool)
{
    prelu_err err = {0};
    prelu_trainer *t = NULL;
    prelu_value logits;
    prelu_trainer_options o = NET_OPTIONS;
    prelu_graph *g = net_build(with_norm ? &norm : &plain, with_norm, dropout, &logits);
    o.micro_batch = micro;
    check_ok(prelu_trainer_create(&t, g, logits, &o, pool, &err), &err);
    prelu_graph_destroy(&g); /* the trainer keeps what it needs */
    return t;
}

static void steps(prelu_trainer *t, int n)
{
    prelu_err err = {0};
    for (int i = 0; i < n; i++)
        check_ok(net_step(t, &plain, i, NULL, &err), &err);
}

static void threads_do_not_change_a_bit(void **state)
{
    prelu_err err = {0};
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        prelu_pool *pool = NULL;
        check_ok(prelu_pool_create(&pool, threads, &err), &err);
        prelu_trainer *a = open_trainer(true, true, 3, NULL);
        prelu_trainer *b = open_trainer(true, true, 3, pool);
        steps(a, 4);
        steps(b, 4);
        assert_memory_equal(a->weights, b->weights, a->total * sizeof(float));
        assert_memory_equal(a->velocity, b->velocity, a->total * sizeof(float));
        assert_memory_equal(a->statistics, b->statistics, a->norm_total * sizeof(float));
        prelu_trainer_destroy(&a);
        prelu_trainer_destroy(&b);
        prelu_pool_destroy(&pool);
    }
}

static void micro_batches_add_up(void **state)
{
    (void)state;
    for (int micro = 1; micro <= 5; micro += 2) {
        prelu_trainer *a = open_trainer(false, false, 0, NULL);
        prelu_trainer *b = open_trainer(false, false, micro, NULL);
        steps(a, 3);
        steps(b, 3);
        for (size_t i = 0; i < a->total; i++)
            check_near(a->weights[i], b->weights[i], 1e-6);
        prelu_trainer_destroy(&a);
        prelu_trainer_destroy(&b);
    }
}

/* An exchange of one process. */
static void alone_begin(void *ctx, float *x, size_t n)
{
    (void)ctx;
    (void)x;
    (void)n;
}

static void alone_finish(void *ctx) { (void)ctx; }

static size_t alone_gather(void *ctx, const void *mine, size_t len, void *all)
{
    (void)ctx;
    memcpy(all, mine, len);
    return len;
}

static void alone_scatter(void *ctx, const void *all, void *mine, size_t len)
{
    (void)ctx;
    memcpy(mine, all, len);
}

static prelu_status alone_agree(void *ctx, prelu_status st, prelu_err *err)
{
    (void)ctx;
    (void)err;
    return st;
}

static const prelu_exchange alone = {.size = 1,
                                     .begin_sum = alone_begin,
                                     .finish_sums = alone_finish,
                                     .begin_spread = alone_begin,
                                     .finish_spreads = alone_finish,
                                     .progress = alone_finish,
                                     .sum = alone_begin,
                                     .gather = alone_gather,
                                     .scatter = alone_scatter,
                                     .broadcast = alone_begin,
                                     .agree = alone_agree};

static prelu_trainer *open_split(bool with_norm, bool dropout, int micro)
{
    prelu_err err = {0};
    prelu_trainer *t = NULL;
    prelu_value logits;
    prelu_trainer_options o = NET_OPTIONS;
    prelu_graph *g = net_build(with_norm ? &norm : &plain, with_norm, dropout, &logits);
    o.micro_batch = micro;
    o.fc_one_rank = true;
    check_ok(prelu_trainer_create(&t, g, logits, &o, NULL, &err), &err);
    prelu_graph_destroy(&g);
    return t;
}

/* Features gathered, fully connected layers on all of them, gradients handed back: the same steps,
 * with the same momentum, masks and statistics. */
static void a_head_of_its_own_changes_nothing(void **state)
{
    const prelu_step_share share = {.all = NET_BATCH, .most = NET_BATCH, .exchange = &alone};
    prelu_view views[NET_BATCH];
    int32_t labels[NET_BATCH];
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        const bool with_norm = kind == 1, dropout = kind == 2;
        const int micro = kind == 2 ? 0 : 3;
        prelu_trainer *a = open_trainer(with_norm, dropout, micro, NULL);
        prelu_trainer *b = open_split(with_norm, dropout, micro);
        assert_int_equal(b->features, 40);
        for (int i = 0; i < 4; i++) {
            prelu_err err = {0};
            prelu_step_result want, have;
            net_batch(&plain, i, views, labels);
            check_ok(prelu_trainer_step(a, views, labels, NET_BATCH, NET_LR, &want, &err), &err);
            check_ok(
                prelu_trainer_step_shared(b, views, labels, NET_BATCH, &share, NET_LR, &have, &err),
                &err);
            check_near(have.loss, want.loss, 1e-6);
            assert_int_equal(have.correct, want.correct);
        }
        assert_int_equal(a->total, b->total);
        for (size_t i = 0; i < a->total; i++) {
            check_near(a->weights[i], b->weights[i], 1e-6);
            check_near(a->velocity[i], b->velocity[i], 1e-5);
        }
        for (size_t i = 0; i < a->norm_total; i++)
            check_near(a->statistics[i], b->statistics[i], 1e-4);
        prelu_trainer_destroy(&a);
        prelu_trainer_destroy(&b);
    }
}

static void a_head_needs_others_to_lead_to_it(void **state)
{
    prelu_err err = {0};
    prelu_value logits;
    prelu_trainer *t = open_split(false, false, 0);
    prelu_trainer_options o = NET_OPTIONS;
    (void)state;
    check_fails(net_step(t, &plain, 0, NULL, &err), PRELU_E_ARG, &err); /* no exchange */
    prelu_trainer_destroy(&t);
    /* a way around the fully connected layers onto the logits */
    prelu_graph *g = net_build(&plain, false, false, &logits);
    static const int64_t axes[1] = {1}, starts[1] = {0}, ends[1] = {NET_CLASSES};
    const prelu_attr slice[3] = {PRELU_INTS("axes", axes, 1), PRELU_INTS("starts", starts, 1),
                                 PRELU_INTS("ends", ends, 1)};
    prelu_value act = prelu_graph_find(g, "act2"), in[2] = {logits, PRELU_NONE};
    act = net_node(g, "GlobalMaxPool", "around.pool", &act, 1, NULL, 0);
    act = net_node(g, "Flatten", "around.flat", &act, 1, NULL, 0);
    in[1] = net_node(g, "Slice", "around", &act, 1, slice, 3);
    logits = net_node(g, "Add", "sum", in, 2, NULL, 0);
    o.fc_one_rank = true;
    assert_int_equal(prelu_trainer_create(&t, g, logits, &o, NULL, &err), PRELU_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "around.pool reads act2"));
    prelu_graph_destroy(&g);
}

static void dropout_depends_on_seed_and_step(void **state)
{
    prelu_err err = {0};
    prelu_step_result first, second;
    prelu_view views[NET_BATCH];
    int32_t labels[NET_BATCH];
    (void)state;
    net_batch(&plain, 0, views, labels);
    prelu_trainer *t = open_trainer(false, true, 0, NULL);
    check_ok(prelu_trainer_step(t, views, labels, NET_BATCH, 0, &first, &err), &err);
    check_ok(prelu_trainer_step(t, views, labels, NET_BATCH, 0, &second, &err), &err);
    assert_true(first.loss != second.loss);
    prelu_trainer_destroy(&t);
    t = open_trainer(false, true, 0, NULL);
    check_ok(prelu_trainer_step(t, views, labels, NET_BATCH, 0, &second, &err), &err);
    assert_true(first.loss == second.loss);
    prelu_trainer_destroy(&t);
}

/* Cross-entropy of the exported graph's scores, with the net's smoothing. */
static double loss_of(const prelu_graph *g, const prelu_view *views, const int32_t *labels)
{
    prelu_err err = {0};
    prelu_plan *plan = NULL;
    prelu_session *s = NULL;
    double loss = 0;
    check_ok(
        prelu_plan_create(&plan, g, &(prelu_plan_options){.precision = PRELU_PRECISION_FP32}, &err),
        &err);
    check_ok(prelu_session_create(&s, plan, NULL, 0, &err), &err);
    check_ok(prelu_session_reshape(s, NET_BATCH, NET_SIDE, NET_SIDE, &err), &err);
    check_ok(prelu_session_set_views(s, views, NET_BATCH, &err), &err);
    check_ok(prelu_session_run(s, &err), &err);
    const float *prob = prelu_session_output(s, 1);
    for (int i = 0; i < NET_BATCH; i++)
        for (int k = 0; k < NET_CLASSES; k++) {
            double want = 0.1 / NET_CLASSES + (labels[i] == k ? 0.9 : 0);
            loss -= want * log((double)prob[i * NET_CLASSES + k]) / NET_BATCH;
        }
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
    return loss;
}

static void an_export_computes_what_was_trained(void **state)
{
    prelu_err err = {0};
    prelu_value logits;
    prelu_step_result r;
    prelu_view views[NET_BATCH];
    int32_t labels[NET_BATCH];
    (void)state;
    prelu_graph *g = net_build(&plain, false, false, &logits), *other;
    prelu_trainer *t = open_trainer(false, false, 0, NULL);
    steps(t, 5);
    check_ok(prelu_trainer_export(t, g, &err), &err);
    check_ok(prelu_trainer_export(t, g, &err), &err); /* again, into its own copies */
    net_batch(&plain, 1, views, labels);
    check_ok(prelu_trainer_step(t, views, labels, NET_BATCH, 0, &r, &err), &err);
    check_near(loss_of(g, views, labels), r.loss, 1e-5);
    other = net_build(&norm, true, false, &logits);
    check_fails(prelu_trainer_export(t, other, &err), PRELU_E_ARG, &err);
    prelu_graph_destroy(&other);
    prelu_trainer_destroy(&t);
    prelu_graph_destroy(&g);
}

static void an_export_holds_running_statistics(void **state)
{
    prelu_err err = {0};
    prelu_value logits;
    (void)state;
    prelu_graph *g = net_build(&norm, true, false, &logits);
    prelu_trainer *t = open_trainer(true, false, 0, NULL);
    steps(t, 2);
    check_ok(prelu_trainer_export(t, g, &err), &err);
    const float *mean = g->values[prelu_graph_find(g, "bn1.mean")].data;
    const float *var = g->values[prelu_graph_find(g, "bn1.var")].data;
    assert_memory_equal(mean, t->statistics + t->norms[0].offset, 8 * sizeof(float));
    assert_memory_equal(var, t->statistics + t->norms[0].offset + tr_padded(8), 8 * sizeof(float));
    assert_true(var[0] != 1);
    prelu_trainer_destroy(&t);
    prelu_graph_destroy(&g);
}

static void a_step_that_blows_up_changes_nothing(void **state)
{
    prelu_err err = {0};
    prelu_view views[NET_BATCH];
    int32_t labels[NET_BATCH];
    (void)state;
    net_batch(&plain, 0, views, labels);
    prelu_trainer *t = open_trainer(true, false, 0, NULL);
    check_ok(prelu_trainer_step(t, views, labels, NET_BATCH, 1e30f, NULL, &err), &err);
    size_t len = t->total * sizeof(float), norms = t->norm_total * sizeof(float);
    float *weights = malloc(len), *velocity = malloc(len), *statistics = malloc(norms);
    memcpy(weights, t->weights, len);
    memcpy(velocity, t->velocity, len);
    memcpy(statistics, t->statistics, norms);
    check_fails(prelu_trainer_step(t, views, labels, NET_BATCH, 0.1f, NULL, &err), PRELU_E_FORMAT,
                &err);
    assert_memory_equal(weights, t->weights, len);
    assert_memory_equal(velocity, t->velocity, len);
    assert_memory_equal(statistics, t->statistics, norms);
    assert_int_equal(prelu_trainer_steps(t), 1);
    /* one weight that no layer before it feeds: its own layer is named */
    for (int i = 0; i < t->n_params; i++)
        memset(t->weights + t->params[i].offset, 0, t->params[i].count * sizeof(float));
    for (int i = 0; i < t->n_params; i++)
        if (!strcmp(t->params[i].name, "conv2.weight"))
            t->weights[t->params[i].offset] = NAN;
    assert_int_equal(prelu_trainer_step(t, views, labels, NET_BATCH, 0.1f, NULL, &err),
                     PRELU_E_FORMAT);
    assert_non_null(strstr(err.text, "first in conv2 "));
    prelu_trainer_destroy(&t);
    free(weights);
    free(velocity);
    free(statistics);
}

/* From rest, looking ahead makes a step 1 + momentum times as long. */
static void nesterov_looks_ahead(void **state)
{
    prelu_err err = {0};
    prelu_view views[NET_BATCH];
    int32_t labels[NET_BATCH];
    prelu_value logits;
    prelu_graph *g = net_build(&plain, false, false, &logits);
    prelu_trainer_options o = NET_OPTIONS;
    prelu_trainer *t[2] = {NULL, NULL};
    (void)state;
    net_batch(&plain, 0, views, labels);
    for (int i = 0; i < 2; i++) {
        o.nesterov = i;
        check_ok(prelu_trainer_create(&t[i], g, logits, &o, NULL, &err), &err);
    }
    float *start = malloc(t[0]->total * sizeof *start);
    memcpy(start, t[0]->weights, t[0]->total * sizeof *start);
    for (int i = 0; i < 2; i++)
        check_ok(prelu_trainer_step(t[i], views, labels, NET_BATCH, 0.01f, NULL, &err), &err);
    for (size_t k = 0; k < t[0]->total; k++) {
        float step = t[0]->weights[k] - start[k], ahead = t[1]->weights[k] - start[k];
        check_near(ahead, (1 + o.momentum) * step, 1e-6);
    }
    assert_memory_equal(t[0]->velocity, t[1]->velocity, t[0]->total * sizeof(float));
    assert_memory_not_equal(start, t[0]->weights, t[0]->total * sizeof *start);
    free(start);
    prelu_trainer_destroy(&t[0]);
    prelu_trainer_destroy(&t[1]);
    prelu_graph_destroy(&g);
}

static void a_gradient_that_is_not_finite_is_named(void **state)
{
    prelu_err err = {0};
    (void)state;
    prelu_trainer *t = open_trainer(false, false, 0, NULL);
    for (int i = 0; i < t->n_params; i++) {
        const tr_param *p = &t->params[i];
        for (int k = 0; k < 3; k++) {
            static const float bad[3] = {NAN, INFINITY, -INFINITY};
            memset(t->gradient, 0, t->total * sizeof(float));
            t->gradient[p->offset + p->count - 1] = bad[k];
            assert_int_equal(tr_check_finite(t, NULL, &err), PRELU_E_FORMAT);
            assert_non_null(strstr(err.text, p->name));
            memset(&err, 0, sizeof err);
        }
    }
    memset(t->gradient, 0, t->total * sizeof(float));
    check_ok(tr_check_finite(t, NULL, &err), &err);
    prelu_trainer_destroy(&t);
}

static void refuses_bad_arguments(void **state)
{
    prelu_err err = {0};
    prelu_trainer *t = NULL;
    prelu_view views[NET_BATCH];
    int32_t labels[NET_BATCH];
    prelu_value logits;
    prelu_trainer_options good = NET_OPTIONS, bad;
    (void)state;
    prelu_graph *g = net_build(&plain, false, false, &logits);
    check_fails(prelu_trainer_create(&t, g, 0, &good, NULL, &err), PRELU_E_ARG, &err);
    check_fails(prelu_trainer_create(&t, g, -1, &good, NULL, &err), PRELU_E_ARG, &err);
    bad = good;
    bad.momentum = 1;
    check_fails(prelu_trainer_create(&t, g, logits, &bad, NULL, &err), PRELU_E_ARG, &err);
    bad = good;
    bad.weight_decay = NAN;
    check_fails(prelu_trainer_create(&t, g, logits, &bad, NULL, &err), PRELU_E_ARG, &err);
    bad = good;
    bad.label_smoothing = -1;
    check_fails(prelu_trainer_create(&t, g, logits, &bad, NULL, &err), PRELU_E_ARG, &err);
    bad = good;
    bad.height = 0;
    check_fails(prelu_trainer_create(&t, g, logits, &bad, NULL, &err), PRELU_E_ARG, &err);
    bad = good;
    bad.height = bad.width = 1; /* the pool leaves nothing of it */
    assert_int_not_equal(prelu_trainer_create(&t, g, logits, &bad, NULL, &err), PRELU_OK);
    memset(&err, 0, sizeof err);
    assert_null(t);
    check_ok(prelu_trainer_create(&t, g, logits, &good, NULL, &err), &err);
    net_batch(&plain, 0, views, labels);
    check_fails(prelu_trainer_step(t, views, labels, 0, 0.1f, NULL, &err), PRELU_E_ARG, &err);
    check_fails(prelu_trainer_step(t, views, labels, 8, NAN, NULL, &err), PRELU_E_ARG, &err);
    labels[3] = NET_CLASSES;
    check_fails(prelu_trainer_step(t, views, labels, 8, 0.1f, NULL, &err), PRELU_E_ARG, &err);
    labels[3] = -1;
    check_fails(prelu_trainer_step(t, views, labels, 8, 0.1f, NULL, &err), PRELU_E_ARG, &err);
    labels[3] = 0;
    views[2].width = 5;
    check_fails(prelu_trainer_step(t, views, labels, 8, 0.1f, NULL, &err), PRELU_E_ARG, &err);
    assert_int_equal(prelu_trainer_steps(t), 0);
    prelu_trainer_destroy(&t);
    prelu_graph_destroy(&g);
}

static void survives_failing_allocations(void **state)
{
    prelu_err err = {0};
    prelu_status st = PRELU_E_NOMEM;
    prelu_value logits;
    prelu_trainer_options o = NET_OPTIONS;
    (void)state;
    prelu_graph *g = net_build(&norm, true, true, &logits);
    for (size_t nth = 1; st; nth++) {
        prelu_trainer *t = NULL;
        assert_true(nth < 5000);
        memset(&err, 0, sizeof err);
        prelu_alloc_fail_from(nth);
        st = prelu_trainer_create(&t, g, logits, &o, NULL, &err);
        if (!st)
            st = net_step(t, &norm, 0, NULL, &err);
        prelu_alloc_fail_from(0);
        assert_true(st == PRELU_OK || st == PRELU_E_NOMEM);
        prelu_trainer_destroy(&t);
    }
    prelu_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(micro_batches_add_up),
        cmocka_unit_test(a_head_of_its_own_changes_nothing),
        cmocka_unit_test(a_head_needs_others_to_lead_to_it),
        cmocka_unit_test(dropout_depends_on_seed_and_step),
        cmocka_unit_test(an_export_computes_what_was_trained),
        cmocka_unit_test(an_export_holds_running_statistics),
        cmocka_unit_test(a_step_that_blows_up_changes_nothing),
        cmocka_unit_test(nesterov_looks_ahead),
        cmocka_unit_test(a_gradient_that_is_not_finite_is_named),
        cmocka_unit_test(refuses_bad_arguments),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
