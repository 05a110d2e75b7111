#include "check.h"
#include "keys.h"
#include "prelu/sha256.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* SHA-256 of "abc" (FIPS 180-2, appendix B.1) */
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static char path[64];

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int make(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/prelu-keys-%ld", (long)getpid());
    return 0;
}

static int clean(void **state)
{
    (void)state;
    return unlink(path);
}

static void test_known_and_unknown(void **state)
{
    srv_keys *k = NULL;
    prelu_err err = {0};
    char other[65], line[200];
    (void)state;
    prelu_sha256_text(other, "second", 6);
    snprintf(line, sizeof line, "# whose\n\nann:" ABC "\r\nbob:%s", other);
    write_file(line);
    assert_int_equal(srv_keys_load(&k, path, &err), PRELU_OK);
    assert_true(srv_keys_known(k, "abc", 3));
    assert_true(srv_keys_known(k, "second", 6));
    assert_false(srv_keys_known(k, "ab", 2));
    assert_false(srv_keys_known(k, "abcd", 4));
    assert_false(srv_keys_known(k, ABC, 64));
    assert_false(srv_keys_known(k, "", 0));
    srv_keys_destroy(&k);
    assert_null(k);
}

static void test_bad_files(void **state)
{
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"", "no key"},
        {"# only words\n", "no key"},
        {"ann\n", "line 1"},
        {"ann:" ABC "\nbob:123\n", "line 2"},
        {"ann:" ABC "0\n", "line 1"},
        {"a b:" ABC "\n", "line 1"},
        {":" ABC "\n", "line 1"},
        {"ann:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD\n", "line 1"}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        srv_keys *k = NULL;
        prelu_err err = {0};
        write_file(bad[i].text);
        assert_int_equal(srv_keys_load(&k, path, &err), PRELU_E_FORMAT);
        assert_null(k);
        assert_non_null(strstr(err.text, bad[i].word));
    }
}

static void test_limits(void **state)
{
    srv_keys *k = NULL;
    prelu_err err = {0};
    (void)state;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i <= SRV_MAX_KEYS; i++)
        fprintf(f, "k%d:" ABC "\n", i);
    fclose(f);
    assert_int_equal(srv_keys_load(&k, path, &err), PRELU_E_LIMIT);
    assert_int_equal(srv_keys_load(&k, "/no/such/file", &err), PRELU_E_NOTFOUND);
}

static void test_reload(void **state)
{
    srv_keys *k = NULL;
    prelu_err err = {0};
    char other[65], line[200];
    (void)state;
    write_file("ann:" ABC "\n");
    assert_int_equal(srv_keys_load(&k, path, &err), PRELU_OK);
    write_file("nonsense\n");
    assert_int_equal(srv_keys_reload(k, &err), PRELU_E_FORMAT);
    assert_true(srv_keys_known(k, "abc", 3));
    prelu_sha256_text(other, "new", 3);
    snprintf(line, sizeof line, "ann:%s\n", other);
    write_file(line);
    assert_int_equal(srv_keys_reload(k, &err), PRELU_OK);
    assert_true(srv_keys_known(k, "new", 3));
    assert_false(srv_keys_known(k, "abc", 3));
    srv_keys_destroy(&k);
}

static void test_presented(void **state)
{
    (void)state;
    assert_string_equal(srv_keys_presented("Bearer abc", NULL), "abc");
    assert_string_equal(srv_keys_presented("bearer  abc", "x"), "abc");
    assert_string_equal(srv_keys_presented("Basic abc", "x"), "x");
    assert_string_equal(srv_keys_presented(NULL, "x"), "x");
    assert_null(srv_keys_presented("Basic abc", NULL));
    assert_null(srv_keys_presented(NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_and_unknown),
                                       cmocka_unit_test(test_bad_files),
                                       cmocka_unit_test(test_limits), cmocka_unit_test(test_reload),
                                       cmocka_unit_test(test_presented)};
    return cmocka_run_group_tests(tests, make, clean);
}
