/* Training in bf16: products are those of rounded operands, forward and backward; all else, and the
 * way that training takes, is that of f32; a resumed run is the unbroken one. */
#define _GNU_SOURCE
#include "op_run.h"
#include "small_net.h"
#include "train/trainer.h"
#include <unistd.h>

/* ---- one convolution, one fully connected layer, every operand and result laid open ---------- */

enum { N = 2, C = 16, H = 9, W = 8, O = 24, FC = O * H * W, CLASSES = 5 };
enum { MAP = N * C * H * W, OUT = N * FC, FILTERS = O * C * 9, WEIGHTS = CLASSES * FC };

typedef struct opened {
    float x[MAP], w[FILTERS], f[WEIGHTS];    /* given */
    float y[OUT], z[N * CLASSES];            /* of Conv and Gemm */
    float dz[N * CLASSES], dy[OUT], dx[MAP]; /* gradients */
    float dw[FILTERS], df[WEIGHTS];
} opened;

static prelu_value weights(prelu_graph *g, const char *name, prelu_shape shape, float *data,
                           uint64_t *seed)
{
    prelu_err err = {0};
    prelu_value v;
    for (size_t i = 0; i < op_run_count(&shape); i++)
        data[i] = check_random_float(seed, -0.2f, 0.2f);
    check_ok(
        prelu_graph_constant(g, name, PRELU_F32, &shape, data, true, PRELU_ROLE_WEIGHT, &v, &err),
        &err);
    return v;
}

static void run_opened(opened *t, prelu_precision precision)
{
    const prelu_shape filters = {4, {O, C, 3, 3}};
    const int64_t same[] = {1, 1, 1, 1};
    const prelu_attr pads = PRELU_INTS("pads", same, 4), turned = PRELU_INT("transB", 1);
    const int32_t labels[N] = {1, 3};
    uint64_t seed = 7;
    prelu_err err = {0};
    prelu_graph *g;
    prelu_plan *plan;
    prelu_session *s;
    prelu_value x, classes, grads[5], loss[2];
    float *laid = malloc(sizeof t->w);
    check_ok(prelu_graph_create(&g, &err), &err);
    check_ok(prelu_graph_input(g, "x", PRELU_F32, &(prelu_shape){4, {-1, C, H, W}}, &x, &err),
             &err);
    check_ok(prelu_graph_input(g, "labels", PRELU_I32, &(prelu_shape){1, {-1}}, &classes, &err),
             &err);
    const prelu_value w = weights(g, "w", filters, t->w, &seed);
    const prelu_value f = weights(g, "f", (prelu_shape){2, {CLASSES, FC}}, t->f, &seed);
    const prelu_value y = small_node(g, "Conv", "conv", (prelu_value[]){x, w}, 2, &pads, 1);
    const prelu_value flat = small_node(g, "Flatten", "flat", &y, 1, NULL, 0);
    const prelu_value z = small_node(g, "Gemm", "fc", (prelu_value[]){flat, f}, 2, &turned, 1);
    check_ok(prelu_graph_add(g, "SoftmaxCrossEntropy", "loss", (prelu_value[]){z, classes}, 2, NULL,
                             0, NULL, loss, 2, &err),
             &err);
    const prelu_value wrt[5] = {z, y, x, w, f};
    check_ok(prelu_graph_gradient(g, loss[0], wrt, 5, grads, &err), &err);
    check_ok(prelu_graph_make_variable(g, w, &err), &err);
    check_ok(prelu_graph_make_variable(g, f, &err), &err);
    const prelu_value outputs[] = {y, z, grads[0], grads[1], grads[2], grads[3], grads[4]};
    const prelu_plan_options o = {
        .outputs = outputs, .n_outputs = 7, .training = true, .precision = precision};
    check_ok(prelu_plan_create(&plan, g, &o, &err), &err);
    check_ok(prelu_session_create(&s, plan, NULL, 0, &err), &err);
    op_run_layout(laid, t->w, &filters);
    check_ok(prelu_session_bind(s, w, laid, &err), &err);
    check_ok(prelu_session_bind(s, f, t->f, &err), &err);
    check_ok(prelu_session_reshape(s, N, H, W, &err), &err);
    for (int i = 0; i < MAP; i++)
        t->x[i] = check_random_float(&seed, -1, 1);
    check_ok(prelu_session_set_input(s, 0, t->x, MAP, &err), &err);
    check_ok(prelu_session_set_input(s, 1, labels, N, &err), &err);
    check_ok(prelu_session_run(s, &err), &err);
    float *const to[] = {t->y, t->z, t->dz, t->dy, t->dx, t->dw, t->df};
    const size_t count[] = {OUT, N * CLASSES, N * CLASSES, OUT, MAP, FILTERS, WEIGHTS};
    for (int i = 0; i < 7; i++)
        check_ok(prelu_session_read(s, i, to[i], count[i], &err), &err);
    prelu_session_destroy(&s);
    prelu_plan_destroy(&plan);
    prelu_graph_destroy(&g);
    free(laid);
}

static double operand(float v, bool round)
{
    uint16_t low;
    uint32_t bits;
    if (!round)
        return (double)v;
    krn_to_bf16__ref(&low, &v, 1);
    bits = (uint32_t)low << 16;
    memcpy(&v, &bits, sizeof v);
    return (double)v;
}

/* What the products are in double, of rounded operands or of those that there are. */
typedef struct products {
    double y[OUT], z[N * CLASSES], dy[OUT], dx[MAP], dw[FILTERS], df[WEIGHTS];
} products;

static void convolve(const opened *t, products *p, bool round)
{
    for (int n = 0; n < N; n++)
        for (int o = 0; o < O; o++)
            for (int c = 0; c < C; c++)
                for (int at = 0; at < H * W * 9; at++) {
                    const int k = at % 9, i = at / 9 / W, j = at / 9 % W;
                    const int ii = i + k / 3 - 1, jj = j + k % 3 - 1;
                    if (ii < 0 || ii >= H || jj < 0 || jj >= W)
                        continue;
                    const int in = ((n * C + c) * H + ii) * W + jj, w = (o * C + c) * 9 + k;
                    const int out = ((n * O + o) * H + i) * W + j;
                    const double x = operand(t->x[in], round), f = operand(t->w[w], round);
                    const double dy = operand(t->dy[out], round);
                    p->y[out] += x * f;
                    p->dx[in] += dy * f;
                    p->dw[w] += dy * x;
                }
}

static void connect(const opened *t, products *p, bool round)
{
    for (int n = 0; n < N; n++)
        for (int u = 0; u < CLASSES; u++)
            for (int i = 0; i < FC; i++) {
                const double x = operand(t->y[n * FC + i], round);
                const double f = operand(t->f[u * FC + i], round);
                const double dz = operand(t->dz[n * CLASSES + u], round);
                p->z[n * CLASSES + u] += x * f;
                p->dy[n * FC + i] += dz * f;
                p->df[u * FC + i] += dz * x;
            }
}

/* Rms of the difference beside the rms of what is wanted. */
static double off(const float *have, const double *want, size_t n)
{
    double sum = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        sum += ((double)have[i] - want[i]) * ((double)have[i] - want[i]);
        all += want[i] * want[i];
    }
    return sqrt(sum / all);
}

static void products_are_of_rounded_operands(void **state)
{
    opened *t = malloc(sizeof *t);
    products *low = calloc(1, sizeof *low), *exact = calloc(1, sizeof *exact);
    (void)state;
    run_opened(t, PRELU_PRECISION_BF16);
    convolve(t, low, true);
    connect(t, low, true);
    convolve(t, exact, false);
    connect(t, exact, false);
#define CHECK(name)                                                                                \
    do {                                                                                           \
        const size_t n = sizeof t->name / sizeof *t->name;                                         \
        const double rounded = off(t->name, low->name, n), plain = off(t->name, exact->name, n);   \
        if (!(rounded <= 1e-5 && plain > 3e-4))                                                    \
            fail_msg(#name ": off by %.3g of rounded operands, %.3g of exact ones", rounded,       \
                     plain);                                                                       \
    } while (0)
    CHECK(y);
    CHECK(z);
    CHECK(dy);
    CHECK(dx);
    CHECK(dw);
    CHECK(df);
#undef CHECK
    free(t);
    free(low);
    free(exact);
}

/* ---- whole steps ------------------------------------------------------------------------------
 */

enum { BATCH = 6, SIDE = 12, STEPS = 8 };

/* Layers of every kind of the products: few channels (f32), 3x3, 2x2, strided, fully connected. */
static prelu_graph *net(prelu_value *logits)
{
    const int64_t same[] = {1, 1, 1, 1}, two[] = {2, 2};
    const prelu_attr pads = PRELU_INTS("pads", same, 4), turned = PRELU_INT("transB", 1);
    const prelu_attr strided[] = {pads, PRELU_INTS("strides", two, 2)};
    const prelu_attr ratio = PRELU_FLOAT("ratio", 0.25f);
    const prelu_role w = PRELU_ROLE_WEIGHT, a = PRELU_ROLE_SLOPE, s = PRELU_ROLE_SCALE;
    uint64_t seed = 3;
    prelu_graph *g;
    prelu_err err = {0};
    prelu_value x;
    check_ok(prelu_graph_create(&g, &err), &err);
    check_ok(prelu_graph_input(g, "data", PRELU_F32, &(prelu_shape){4, {-1, 3, -1, -1}}, &x, &err),
             &err);
#define R(name, lo, hi, role, ...)                                                                 \
    small_random(g, name, (prelu_shape)__VA_ARGS__, lo, hi, role, &seed)
#define NODE(op, n, attrs, n_attrs, ...)                                                           \
    x = small_node(g, op, op #n, (prelu_value[]){x, __VA_ARGS__},                                  \
                   sizeof((prelu_value[]){x, __VA_ARGS__}) / sizeof(prelu_value), attrs, n_attrs)
    NODE("Sub", 0, NULL, 0, R("mean", 127, 128, PRELU_ROLE_NONE, {4, {1, 3, 1, 1}}));
    NODE("Div", 0, NULL, 0, R("std", 70, 80, PRELU_ROLE_NONE, {4, {1, 3, 1, 1}}));
    NODE("Conv", 1, &pads, 1, R("w1", -.3f, .3f, w, {4, {16, 3, 3, 3}}));
    NODE("PRelu", 1, NULL, 0, R("a1", .2f, .3f, a, {3, {16, 1, 1}}));
    NODE("Conv", 2, &pads, 1, R("w2", -.2f, .2f, w, {4, {24, 16, 3, 3}}));
    NODE("BatchNormalization", 2, NULL, 0, R("s2", .5f, 1.5f, s, {1, {24}}),
         R("b2", -.5f, .5f, s, {1, {24}}), R("m2", 0, 0, PRELU_ROLE_STATISTIC, {1, {24}}),
         R("v2", 1, 1, PRELU_ROLE_STATISTIC, {1, {24}}));
    NODE("PRelu", 2, NULL, 0, R("a2", .2f, .3f, a, {3, {24, 1, 1}}));
    NODE("Conv", 3, NULL, 0, R("w3", -.15f, .15f, w, {4, {32, 24, 2, 2}}));
    NODE("PRelu", 3, NULL, 0, R("a3", .2f, .3f, a, {1, {1}}));
    NODE("Conv", 4, strided, 2, R("w4", -.1f, .1f, w, {4, {20, 32, 3, 3}}));
    x = small_node(g, "Relu", "relu4", &x, 1, NULL, 0);
    x = small_node(g, "Flatten", "flat", &x, 1, NULL, 0);
    x = small_node(g, "Dropout", "drop", &x, 1, &ratio, 1);
    NODE("Gemm", 5, &turned, 1, R("w5", -.1f, .1f, w, {2, {CLASSES, 20 * 36}}),
         R("b5", -.1f, .1f, PRELU_ROLE_BIAS, {1, {CLASSES}}));
#undef NODE
#undef R
    *logits = x;
    check_ok(prelu_graph_output(g, x, &err), &err);
    return g;
}

static prelu_trainer *open_trainer(bool bf16, int micro, prelu_pool *pool)
{
    const prelu_trainer_options o = {.micro_batch = micro,
                                     .height = SIDE,
                                     .width = SIDE,
                                     .momentum = 0.9f,
                                     .weight_decay = 0.0005f,
                                     .bf16 = bf16,
                                     .seed = 1};
    prelu_trainer *t = NULL;
    prelu_err err = {0};
    prelu_value logits;
    prelu_graph *g = net(&logits);
    check_ok(prelu_trainer_create(&t, g, logits, &o, pool, &err), &err);
    prelu_graph_destroy(&g);
    return t;
}

/* @param loss  of each step, or NULL. */
static void steps(prelu_trainer *t, int from, int to, double *loss)
{
    prelu_view views[BATCH];
    int32_t labels[BATCH];
    prelu_step_result r;
    prelu_err err = {0};
    for (int i = from; i < to; i++) {
        uint8_t *pixels = small_views(views, BATCH, SIDE, SIDE, (uint64_t)(i % 2) + 1);
        for (int k = 0; k < BATCH; k++)
            labels[k] = (k + i % 2) % CLASSES;
        check_ok(prelu_trainer_step(t, views, labels, BATCH, 0.003f, &r, &err), &err);
        if (loss)
            loss[i] = r.loss;
        free(pixels);
    }
}

static bool same(const prelu_trainer *a, const prelu_trainer *b)
{
    return a->steps == b->steps && !memcmp(a->weights, b->weights, a->total * sizeof(float)) &&
           !memcmp(a->velocity, b->velocity, a->total * sizeof(float)) &&
           !memcmp(a->statistics, b->statistics, a->norm_total * sizeof(float));
}

static void loss_follows_that_of_f32(void **state)
{
    double f32[STEPS], bf16[STEPS];
    prelu_trainer *a = open_trainer(false, 0, NULL), *b = open_trainer(true, 0, NULL);
    (void)state;
    steps(a, 0, STEPS, f32);
    steps(b, 0, STEPS, bf16);
    for (int i = 0; i < STEPS; i++)
        check_near(f32[i], bf16[i], 0.02 * f32[0]);
    assert_true(f32[0] != bf16[0] && bf16[STEPS - 1] < bf16[0]);
    /* parameters and momentum keep all the bits of an f32 */
    size_t fine = 0;
    for (size_t i = 0; i < b->total; i++) {
        uint32_t bits[2];
        memcpy(&bits[0], &b->weights[i], sizeof *bits);
        memcpy(&bits[1], &b->velocity[i], sizeof *bits);
        fine += (bits[0] & 0xffff) && (bits[1] & 0xffff);
    }
    assert_true(fine > b->total / 2);
    prelu_trainer_destroy(&a);
    prelu_trainer_destroy(&b);
}

static void threads_do_not_change_a_bit(void **state)
{
    prelu_err err = {0};
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        prelu_pool *pool = NULL;
        check_ok(prelu_pool_create(&pool, threads, &err), &err);
        prelu_trainer *a = open_trainer(true, 3, NULL), *b = open_trainer(true, 3, pool);
        steps(a, 0, 3, NULL);
        steps(b, 0, 3, NULL);
        assert_true(same(a, b));
        prelu_trainer_destroy(&a);
        prelu_trainer_destroy(&b);
        prelu_pool_destroy(&pool);
    }
}

static void resumed_is_unbroken(void **state)
{
    char path[] = "/tmp/prelu-bf16-XXXXXX";
    prelu_err err = {0};
    prelu_trainer *unbroken = open_trainer(true, 0, NULL), *first = open_trainer(true, 0, NULL);
    prelu_trainer *second = open_trainer(true, 0, NULL);
    const int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    steps(unbroken, 0, 6, NULL);
    steps(first, 0, 3, NULL);
    check_ok(prelu_checkpoint_save(first, path, NULL, &err), &err);
    check_ok(prelu_checkpoint_load(second, path, NULL, &err), &err);
    steps(second, 3, 6, NULL);
    assert_true(same(unbroken, second));
    unlink(path);
    prelu_trainer_destroy(&unbroken);
    prelu_trainer_destroy(&first);
    prelu_trainer_destroy(&second);
}

static void survives_failing_allocations(void **state)
{
    const prelu_trainer_options o = {.height = SIDE, .width = SIDE, .bf16 = true};
    prelu_err err = {0};
    prelu_status st = PRELU_E_NOMEM;
    prelu_value logits;
    prelu_graph *g = net(&logits);
    (void)state;
    for (size_t nth = 1; st; nth++) {
        prelu_trainer *t = NULL;
        assert_true(nth < 5000);
        memset(&err, 0, sizeof err);
        prelu_alloc_fail_from(nth);
        st = prelu_trainer_create(&t, g, logits, &o, NULL, &err);
        prelu_alloc_fail_from(0);
        assert_true(st == PRELU_OK || st == PRELU_E_NOMEM);
        prelu_trainer_destroy(&t);
    }
    prelu_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_of_rounded_operands),
        cmocka_unit_test(loss_follows_that_of_f32),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(resumed_is_unbroken),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
