/* Ten SGD steps of small14 and of A, at reduced width, against PyTorch's: losses, first gradients,
 * what the steps changed. */
#include "golden_net.h"
#include "prelu/nets.h"
#include "train/trainer.h"

enum { BATCH = 4, BATCHES = 2, STEPS = 10, CLASSES = 10, SAMPLES = 16 };

/* ---- what regenerate_training_nets.py draws, in its order ---- */

static void draw_floats(float *to, size_t n, uint64_t *state, float lo, float hi)
{
    for (size_t i = 0; i < n; i++)
        to[i] = check_random_float(state, lo, hi);
}

static size_t count_of(const prelu_value_info *v)
{
    size_t count = 0;
    prelu_err err = {0};
    check_ok(prelu_shape_count(&v->shape, &count, &err), &err);
    return count;
}

/* Constants stand in the graph as the layers do: weights, biases, slopes. */
static void draw_params(prelu_graph *g, uint64_t *state)
{
    for (int i = 0; i < g->n_values; i++) {
        const prelu_value_info *v = &g->values[i];
        const size_t n = v->is_constant ? count_of(v) : 0;
        if (!n || v->role == PRELU_ROLE_NONE)
            continue;
        assert_true(v->owns_data);
        float *data = (float *)v->data;
        if (v->role == PRELU_ROLE_BIAS) {
            draw_floats(data, n, state, -0.05f, 0.05f);
        } else if (v->role == PRELU_ROLE_SLOPE) {
            draw_floats(data, n, state, -0.05f, 0.55f);
        } else {
            const double inputs = (double)(n / (size_t)v->shape.dim[0]);
            const double factor = v->shape.dim[0] == CLASSES ? 0.25 : 1.0;
            const float bound = (float)(factor * sqrt(6.0 / (1.0625 * inputs)));
            draw_floats(data, n, state, -bound, bound);
        }
    }
}

/* ---- comparing ---- */

/* @param scale  of the whole tensor: the largest difference allowed is `most` of it. */
static void compare(const prelu_trainer *t, const golden_file *f, const char *what, int param,
                    const float *have, double norm, double most)
{
    const tr_param *p = &t->params[param];
    const double scale = norm / sqrt((double)p->count);
    const golden_tensor *want = golden_find(f, "", what);
    for (size_t k = 0; k < SAMPLES; k++) {
        const double w = (double)golden_at(want, (size_t)param * SAMPLES + k);
        const double h = (double)have[k * (p->count - 1) / (SAMPLES - 1)];
        if (!(fabs(h - w) <= most * fmax(scale, fabs(w))))
            fail_msg("%s of %s, sample %zu: %.9g, not %.9g (rms %.3g)", what, p->name, k, h, w,
                     scale);
    }
}

static void compare_norm(const prelu_trainer *t, const char *what, int param, const float *have,
                         double want, double most)
{
    const tr_param *p = &t->params[param];
    double sum = 0;
    for (size_t i = 0; i < p->count; i++)
        sum += (double)have[i] * (double)have[i];
    if (!(fabs(sqrt(sum) - want) <= most * want))
        fail_msg("norm of %s of %s: %.9g, not %.9g", what, p->name, sqrt(sum), want);
}

/* @param first  NULL: the gradients; else the parameters' change since then. */
static void compare_all(const prelu_trainer *t, const golden_file *f, const float *first,
                        double most)
{
    const golden_tensor *norms = golden_find(f, "", "norms");
    const golden_tensor *counts = golden_find(f, "", "counts");
    const char *what = first ? "changes" : "gradients";
    assert_int_equal(t->n_params, counts->count);
    for (int i = 0; i < t->n_params; i++) {
        const tr_param *p = &t->params[i];
        const double norm = (double)golden_at(norms, 2 * (size_t)i + (first ? 1 : 0));
        assert_int_equal(p->count, (size_t)golden_at(counts, (size_t)i));
        float *x = malloc(p->count * sizeof *x), *logical = malloc(p->count * sizeof *x);
        assert_non_null(x);
        assert_non_null(logical);
        for (size_t k = 0; k < p->count; k++)
            x[k] = first ? t->weights[p->offset + k] - first[p->offset + k] : tr_gradient(t, p)[k];
        tr_from_engine(logical, x, &p->shape);
        compare_norm(t, what, i, logical, norm, most);
        compare(t, f, what, i, logical, norm, 10 * most);
        free(x);
        free(logical);
    }
}

static void ten_steps(const char *path, const char *arch, double width, int side, float lr)
{
    static const float mean[3] = {123, 117, 104}, std[3] = {60, 61, 62};
    const prelu_net_options net = {.arch = arch,
                                   .classes = CLASSES,
                                   .width = width,
                                   .activation = PRELU_ACT_PRELU,
                                   .dropout_set = true,
                                   .mean = mean,
                                   .std = std};
    const prelu_trainer_options o = {
        .height = side, .width = side, .momentum = 0.9f, .weight_decay = 0.01f};
    const size_t picture = (size_t)side * (size_t)side * 3, n = BATCHES * BATCH;
    prelu_err err = {0};
    prelu_model *m = NULL;
    prelu_trainer *t = NULL;
    prelu_view views[BATCHES * BATCH];
    int32_t labels[BATCHES * BATCH];
    uint64_t state = 9;
    golden_file f = golden_open(path);
    uint8_t *images = malloc(n * picture);
    assert_non_null(images);
    for (size_t i = 0; i < n * picture; i++)
        images[i] = (uint8_t)(check_random(&state) >> 56);
    for (size_t i = 0; i < n; i++) {
        views[i] = (prelu_view){images + i * picture, 3 * (size_t)side, side, side, false};
        labels[i] = (int32_t)(check_random(&state) % CLASSES);
    }
    check_ok(prelu_net_build(&m, &net, &err), &err);
    draw_params(m->graph, &state);
    check_ok(prelu_trainer_create(&t, m->graph, m->logits, &o, NULL, &err), &err);
    float *first = malloc(t->total * sizeof *first);
    assert_non_null(first);
    memcpy(first, t->weights, t->total * sizeof *first);
    for (int step = 0; step < STEPS; step++) {
        prelu_step_result r;
        const int at = step % BATCHES * BATCH;
        check_ok(prelu_trainer_step(t, views + at, labels + at, BATCH, lr, &r, &err), &err);
        const double want = (double)golden_at(golden_find(&f, "", "losses"), (size_t)step);
        check_near(r.loss, want, 1e-4 * want);
        if (step == 0)
            compare_all(t, &f, NULL, 1e-4);
    }
    compare_all(t, &f, first, 1e-3);
    prelu_trainer_destroy(&t);
    prelu_model_destroy(&m);
    free(first);
    free(images);
    free(f.text);
}

static void ten_steps_of_small14(void **state)
{
    (void)state;
    ten_steps("golden/training/small14.bin", "small14", 0.25, 224, 0.0002f);
}

static void ten_steps_of_a(void **state)
{
    (void)state;
    ten_steps("golden/training/A.bin", "A", 0.125, 112, 0.00005f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_steps_of_small14),
        cmocka_unit_test(ten_steps_of_a),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
