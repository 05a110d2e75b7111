/* Labels and preprocessing: what is read, and what is refused. */
#include "check.h"
#include "model_private.h"
#include "prelu/mem.h"

static void refuse_lines(const char *text, int classes, const char *word)
{
    prelu_label *l = NULL;
    prelu_err err = {0};
    assert_int_equal(mdl_labels_lines(&l, classes, text, &err), PRELU_E_FORMAT);
    assert_non_null(strstr(err.text, word));
    assert_null(l);
}

static void test_lines(void **state)
{
    prelu_label *l = NULL;
    prelu_err err = {0};
    (void)state;
    check_ok(mdl_labels_lines(&l, 4, "n1\tgreat white shark\r\ncat\n\nna\xc3\xafve\tx\ty", &err),
             &err);
    assert_string_equal(l[0].id, "n1");
    assert_string_equal(l[0].label, "great white shark");
    assert_string_equal(l[1].id, "");
    assert_string_equal(l[1].label, "cat");
    assert_string_equal(l[2].label, "");
    assert_string_equal(l[3].id, "na\xc3\xafve");
    assert_string_equal(l[3].label, "x\ty");
    mdl_labels_free(l, 4);
    refuse_lines("a\nb\n", 3, "2 lines");
    refuse_lines("a\nb\nc\nd\n", 3, "4 lines");
    refuse_lines("", 1, "0 lines");
    refuse_lines("a\n\xff\n", 2, "line 2");
    refuse_lines("\xc0\xaf\n", 1, "UTF-8");         /* overlong */
    refuse_lines("\xed\xa0\x80\n", 1, "UTF-8");     /* a surrogate */
    refuse_lines("\xf4\x90\x80\x80\n", 1, "UTF-8"); /* above U+10FFFF */
    refuse_lines("\xe2\x82\n", 1, "UTF-8");         /* cut */
}

static void test_label_json(void **state)
{
    static const char text[] =
        "[{\"id\":\"n1\",\"label\":\"a \\\"b\\\"\"},{\"label\":\"\\u00e9\"},\"c\"]";
    prelu_label *l = NULL, *again = NULL;
    prelu_err err = {0};
    char *json = NULL;
    (void)state;
    check_ok(mdl_labels_parse(&l, 3, text, &err), &err);
    assert_string_equal(l[0].label, "a \"b\"");
    assert_string_equal(l[1].id, "");
    assert_string_equal(l[1].label, "\xc3\xa9");
    assert_string_equal(l[2].label, "c");
    check_ok(mdl_labels_text(&json, l, 3, &err), &err);
    check_ok(mdl_labels_parse(&again, 3, json, &err), &err);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(l[i].id, again[i].id);
        assert_string_equal(l[i].label, again[i].label);
    }
    mdl_labels_free(l, 3);
    mdl_labels_free(again, 3);
    prelu_free(json);
    l = NULL;
    check_fails(mdl_labels_parse(&l, 2, text, &err), PRELU_E_FORMAT, &err);
    check_fails(mdl_labels_parse(&l, 1, "[1]", &err), PRELU_E_FORMAT, &err);
    check_fails(mdl_labels_parse(&l, 1, "[{\"id\":1,\"label\":\"x\"}]", &err), PRELU_E_FORMAT,
                &err);
    check_fails(mdl_labels_parse(&l, 1, "{}", &err), PRELU_E_FORMAT, &err);
    check_fails(mdl_labels_parse(&l, 1, "[\"a\"", &err), PRELU_E_FORMAT, &err);
    check_fails(mdl_labels_parse(&l, 1, "", &err), PRELU_E_FORMAT, &err);
    assert_null(l);
}

static void test_preprocess(void **state)
{
    static const char text[] =
        "{\"color\":\"BGR\",\"resize\":36,\"crop\":32,\"interpolation\":\"bilinear\",\"antialias\":"
        "true,"
        "\"scales\":[32,40,48],\"draft\":true,\"mean\":[1,2.5,3],\"std\":[4,5,6],\"scale\":0.5,"
        "\"output\":\"logits\"}";
    prelu_preprocess p, q;
    prelu_err err = {0};
    char *json = NULL;
    (void)state;
    mdl_preprocess_defaults(&p);
    check_ok(mdl_preprocess_parse(&p, text, true, &err), &err);
    assert_true(p.bgr && p.draft && p.logits && p.antialias);
    assert_int_equal(p.resize, 36);
    assert_int_equal(p.crop, 32);
    assert_int_equal(p.n_scales, 3);
    assert_int_equal(p.scales[2], 48);
    assert_true(p.mean[1] == 2.5f && p.std[2] == 6 && p.scale == 0.5f);
    check_ok(mdl_preprocess_text(&json, &p, &err), &err);
    mdl_preprocess_defaults(&q);
    check_ok(mdl_preprocess_parse(&q, json, true, &err), &err);
    assert_int_equal(q.crop, 32);
    assert_int_equal(q.scales[1], 40);
    assert_true(q.draft);
    prelu_free(json);
    check_ok(mdl_preprocess_parse(&q, "{\"from_the_future\":1}", false, &err), &err);
}

static void test_preprocess_refused(void **state)
{
    static const struct {
        const char *text;
        prelu_status want;
    } cases[] = {
        {"{\"resize\":0}", PRELU_E_FORMAT},
        {"{\"resize\":1e9}", PRELU_E_FORMAT},
        {"{\"resize\":\"256\"}", PRELU_E_FORMAT},
        {"{\"crop\":-1}", PRELU_E_FORMAT},
        {"{\"crop\":300}", PRELU_E_FORMAT},
        {"{\"scales\":[]}", PRELU_E_FORMAT},
        {"{\"scales\":[1,2,3,4,5,6,7,8,9]}", PRELU_E_FORMAT},
        {"{\"scales\":7}", PRELU_E_FORMAT},
        {"{\"mean\":[1,2]}", PRELU_E_FORMAT},
        {"{\"std\":[1,0,1]}", PRELU_E_FORMAT},
        {"{\"scale\":0}", PRELU_E_FORMAT},
        {"{\"color\":\"CMYK\"}", PRELU_E_FORMAT},
        {"{\"draft\":1}", PRELU_E_FORMAT},
        {"{\"interpolation\":\"nearest\"}", PRELU_E_UNSUPPORTED},
        {"{\"antialias\":false}", PRELU_E_UNSUPPORTED},
        {"{\"unknown\":1}", PRELU_E_FORMAT},
        {"{\"crop\":1,\"crop\":2}", PRELU_E_FORMAT},
        {"[]", PRELU_E_FORMAT},
        {"{", PRELU_E_FORMAT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        prelu_preprocess p;
        prelu_err err = {0};
        mdl_preprocess_defaults(&p);
        if (mdl_preprocess_parse(&p, cases[i].text, true, &err) != cases[i].want || !err.text[0])
            fail_msg("%s: %d %s", cases[i].text, (int)err.code, err.text);
        assert_int_equal(p.crop, 224); /* untouched */
        assert_int_equal(p.resize, 256);
    }
}

static void test_presets(void **state)
{
    prelu_preprocess p;
    prelu_err err = {0};
    (void)state;
    mdl_preprocess_defaults(&p);
    check_ok(mdl_preprocess_named(&p, "raw", &err), &err);
    assert_true(p.scale == 1 && p.mean[0] == 0 && p.std[0] == 1 && !p.bgr);
    check_ok(mdl_preprocess_named(&p, "imagenet", &err), &err);
    check_near(p.scale * 255, 1, 1e-6);
    check_near(p.mean[2], 0.406, 1e-6);
    check_near(p.std[0], 0.229, 1e-6);
    mdl_preprocess_defaults(&p);
    check_ok(mdl_preprocess_named(&p, "caffe", &err), &err);
    assert_true(p.bgr && p.mean[0] == 104 && p.mean[2] == 123 && p.scale == 1);
    check_fails(mdl_preprocess_named(&p, "/nonexistent.json", &err), PRELU_E_NOTFOUND, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),      cmocka_unit_test(test_label_json),
        cmocka_unit_test(test_preprocess), cmocka_unit_test(test_preprocess_refused),
        cmocka_unit_test(test_presets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
