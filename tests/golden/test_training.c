/* Losses, first gradients and parameters after ten SGD steps, against PyTorch's. */
#include "golden_net.h"
#include "train/trainer.h"

/* Largest difference beside the largest value; the floor is for a gradient that is 0 but for
 * rounding (a bias before BatchNorm). */
static void compare(const char *what, const float *have, const golden_tensor *want, double most)
{
    double scale = 1e-3, worst = 0;
    for (size_t i = 0; i < want->count; i++) {
        double w = (double)golden_at(want, i), d = fabs((double)have[i] - w);
        scale = fmax(scale, fabs(w));
        worst = d > worst || d != d ? d : worst;
    }
    if (!(worst <= most * scale))
        fail_msg("%s %s: off by %.3g, the largest is %.3g", what, want->name, worst, scale);
}

/* @param block one of the trainer's, or NULL for the gradients. */
static void compare_params(const prelu_trainer *t, const golden_file *f, const char *prefix,
                           const float *block, double most)
{
    float logical[2048];
    assert_true(t->n_params >= 11);
    for (int i = 0; i < t->n_params; i++) {
        const tr_param *p = &t->params[i];
        const golden_tensor *want = golden_find(f, prefix, p->name);
        assert_int_equal(p->count, want->count);
        assert_true(p->count <= sizeof logical / sizeof *logical);
        tr_from_engine(logical, block ? block + p->offset : tr_gradient(t, p), &p->shape);
        compare(prefix, logical, want, most);
    }
}

static void ten_steps(const char *path, bool norm)
{
    prelu_err err = {0};
    prelu_trainer *t = NULL;
    prelu_value logits;
    prelu_trainer_options o = NET_OPTIONS;
    golden_file f = golden_open(path);
    prelu_graph *g = net_build(&f, norm, false, &logits);
    const golden_tensor *losses = golden_find(&f, "", "losses");
    check_ok(prelu_trainer_create(&t, g, logits, &o, NULL, &err), &err);
    compare_params(t, &f, "first.", t->weights, 0);
    for (int step = 0; step < NET_STEPS; step++) {
        prelu_step_result r;
        check_ok(net_step(t, &f, step, &r, &err), &err);
        check_near(r.loss, golden_at(losses, (size_t)step), 2e-5);
        if (step == 0)
            compare_params(t, &f, "gradient.", NULL, 2e-5);
    }
    assert_int_equal(prelu_trainer_steps(t), NET_STEPS);
    compare_params(t, &f, "last.", t->weights, 2e-4);
    if (norm) {
        const float *mean = t->statistics + t->norms[0].offset;
        compare("running", mean, golden_find(&f, "last.", "bn1.mean"), 1e-4);
        compare("running", mean + tr_padded(8), golden_find(&f, "last.", "bn1.var"), 1e-4);
    }
    prelu_trainer_destroy(&t);
    prelu_graph_destroy(&g);
    free(f.text);
}

static void ten_steps_of_a_plain_net(void **state)
{
    (void)state;
    ten_steps("golden/training/plain.bin", false);
}

static void ten_steps_with_batch_norm(void **state)
{
    (void)state;
    ten_steps("golden/training/norm.bin", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_steps_of_a_plain_net),
        cmocka_unit_test(ten_steps_with_batch_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
