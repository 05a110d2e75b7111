/* Every allocation of building, saving, loading, preparing and running a model fails once. What was
 * allocated before must be freed: the sanitizer build sees a leak. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "onnx_make.h"
#include "prelu/classify.h"
#include "prelu/mem.h"
#include "prelu/nets.h"
#include <unistd.h>

typedef struct fixture {
    uint8_t *file, *jpeg;
    size_t file_len, jpeg_len;
    prelu_model *model;
    prelu_plan *plan, *dense;
    prelu_test test;
    char path[64];
} fixture;

typedef prelu_status attempt(fixture *f, prelu_err *err);

static void fail_each(attempt *call, fixture *f, size_t at_least)
{
    for (size_t nth = 1;; nth++) {
        prelu_err err = {0};
        prelu_alloc_fail_from(nth);
        prelu_status st = call(f, &err);
        prelu_alloc_fail_from(0);
        if (st == PRELU_OK) {
            assert_true(nth > at_least); /* the hook was really reached */
            return;
        }
        if (st != PRELU_E_NOMEM)
            fail_msg("allocation %zu: status %d: %s", nth, (int)st, err.text);
        assert_true(err.text[0]);
        assert_true(nth < 20000);
    }
}

static prelu_status build(fixture *f, prelu_err *err)
{
    prelu_net_options o = {.arch = "cifar", .width = 0.1, .activation = PRELU_ACT_PRELU};
    prelu_model *m = NULL;
    (void)f;
    PRELU_TRY(prelu_net_build(&m, &o, err));
    prelu_model_destroy(&m);
    return PRELU_OK;
}

static prelu_status save(fixture *f, prelu_err *err)
{
    return prelu_model_save(f->model, f->path, err);
}

static prelu_status load(fixture *f, prelu_err *err)
{
    mdl_map map = {f->file, f->file_len};
    prelu_model_options o = {.preprocess = "imagenet"};
    prelu_model *m = NULL;
    PRELU_TRY(mdl_model_read(&m, &map, NULL, &o, err));
    prelu_model_destroy(&m);
    return PRELU_OK;
}

static prelu_status load_file(fixture *f, prelu_err *err)
{
    prelu_model *m = NULL;
    PRELU_TRY(prelu_model_load(&m, f->path, NULL, err));
    prelu_model_destroy(&m);
    return PRELU_OK;
}

static prelu_status plan(fixture *f, prelu_err *err)
{
    prelu_plan *p = NULL;
    PRELU_TRY(prelu_model_plan(&p, f->model, PRELU_PRECISION_FP32, NULL, err));
    prelu_plan_destroy(&p);
    return PRELU_OK;
}

static prelu_status make_check(fixture *f, prelu_err *err)
{
    return prelu_model_make_check(f->model, NULL, err);
}

static prelu_status verify_check(fixture *f, prelu_err *err)
{
    return prelu_model_verify_check(f->model, f->plan, PRELU_PRECISION_FP32, NULL, err);
}

static prelu_status plan_dense(fixture *f, prelu_err *err)
{
    prelu_plan *p = NULL;
    PRELU_TRY(prelu_model_plan_dense(&p, f->model, f->plan, PRELU_PRECISION_FP32, NULL, err));
    prelu_plan_destroy(&p);
    return PRELU_OK;
}

/* What the server does for one request. */
static prelu_status request(fixture *f, prelu_err *err)
{
    prelu_prepared p = {.n_images = 0};
    prelu_session *s = NULL;
    prelu_prediction top[3];
    double mean[10];
    float scores[200 * 10];
    prelu_status st;
    PRELU_TRY(prelu_model_prepare(&p, f->model, &f->test, f->jpeg, f->jpeg_len, NULL, err));
    assert_true(p.n_rows <= 200);
    st = prelu_session_create(&s, f->test.dense ? f->dense : f->plan, NULL, 0, err);
    if (!st)
        st = prelu_views_run(s, p.views, p.n_views, PRELU_AVERAGE_PROB, 10, scores, p.n_rows, err);
    if (!st)
        st = prelu_prepared_rank(&p, f->model, scores, 3, top, mean, err);
    prelu_session_destroy(&s);
    prelu_prepared_deinit(&p);
    return st;
}

static void test_all(void **state)
{
    prelu_net_options o = {.arch = "cifar", .width = 0.1, .activation = PRELU_ACT_PRELU};
    prelu_err err = {0};
    fixture f = {.file = NULL};
    char folder[] = "/tmp/prelu-test-XXXXXX";
    om m = {0};
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(f.path, sizeof f.path, "%s/model.onnx", folder);
    om_classifier(&m);
    f.file = om_finish(&m, &f.file_len);
    f.jpeg = check_read_file("golden/jpeg/baseline_420.jpg", &f.jpeg_len);
    check_ok(prelu_net_build(&f.model, &o, &err), &err);
    check_ok(prelu_model_plan(&f.plan, f.model, PRELU_PRECISION_FP32, NULL, &err), &err);
    fail_each(build, &f, 50);
    fail_each(save, &f, 10);
    fail_each(load, &f, 50);
    fail_each(load_file, &f, 100);
    fail_each(plan, &f, 10);
    f.test.mode = PRELU_MODE_10VIEW;
    fail_each(request, &f, 5);
    fail_each(make_check, &f, 20);
    fail_each(verify_check, &f, 5);
    fail_each(plan_dense, &f, 10);
    check_ok(prelu_model_plan_dense(&f.dense, f.model, f.plan, PRELU_PRECISION_FP32, NULL, &err),
             &err);
    check_ok(prelu_test_parse(&f.test, "multiscale", &err), &err);
    check_ok(prelu_test_resolve(&f.test, f.model, f.dense, &err), &err);
    fail_each(request, &f, 5);
    prelu_plan_destroy(&f.dense);
    prelu_plan_destroy(&f.plan);
    prelu_model_destroy(&f.model);
    assert_int_equal(unlink(f.path), 0);
    assert_int_equal(rmdir(folder), 0); /* no temporary file was left */
    free(f.file);
    free(f.jpeg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
