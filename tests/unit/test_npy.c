/* NumPy files: what numpy writes, and what nobody should. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "npy.h"
#include <unistd.h>

/* Header of version 1 around `dict`, then `len` bytes of data. free() it. */
static uint8_t *make(const char *dict, const void *data, size_t len, size_t *all)
{
    size_t n = strlen(dict);
    uint8_t *p = malloc(10 + n + len + 1);
    memcpy(p, "\x93NUMPY\x01", 8);
    p[8] = (uint8_t)(n & 255);
    p[9] = (uint8_t)(n >> 8);
    memcpy(p + 10, dict, n);
    if (len)
        memcpy(p + 10 + n, data, len);
    *all = 10 + n + len;
    return p;
}

static void test_read(void **state)
{
    static const float f[6] = {1, -2, 3, 4, 5, 6.5f};
    static const uint8_t u[3] = {0, 7, 255};
    prelu_err err = {0};
    train_npy a;
    size_t len;
    uint8_t *p = make("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }        \n", f,
                      sizeof f, &len);
    (void)state;
    check_ok(train_npy_parse(&a, p, len, &err), &err);
    assert_int_equal(a.shape.rank, 2);
    assert_int_equal(a.shape.dim[1], 3);
    assert_memory_equal(a.data, f, sizeof f);
    train_npy_deinit(&a);
    free(p);
    p = make("{\"shape\":(3,),\"fortran_order\":False,\"descr\":\"|u1\"}", u, sizeof u, &len);
    check_ok(train_npy_parse(&a, p, len, &err), &err);
    assert_int_equal(a.shape.rank, 1);
    assert_true(a.data[0] == 0 && a.data[1] == 7 && a.data[2] == 255);
    train_npy_deinit(&a);
    free(p);
    p = make("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", f, 4, &len);
    check_ok(train_npy_parse(&a, p, len, &err), &err);
    assert_int_equal(a.shape.rank, 0);
    assert_int_equal(a.count, 1);
    train_npy_deinit(&a);
    free(p);
}

static void test_refused(void **state)
{
    static const uint8_t data[24];
    static const struct {
        const char *dict;
        prelu_status want;
    } cases[] = {
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (6,)}", PRELU_E_UNSUPPORTED},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (3,)}", PRELU_E_UNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (6,)}", PRELU_E_UNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,6)}", PRELU_E_UNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (5,)}", PRELU_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (7,)}", PRELU_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-6,)}", PRELU_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 6)}",
         PRELU_E_LIMIT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,)}",
         PRELU_E_LIMIT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
         PRELU_E_LIMIT},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (6,)}", PRELU_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': 6}", PRELU_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6", PRELU_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,)", PRELU_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False}", PRELU_E_FORMAT},
        {"{'descr': '<f4', 'extra': 1, 'fortran_order': False, 'shape': (6,)}", PRELU_E_FORMAT},
        {"{'descr': '<f4444444444', 'fortran_order': False, 'shape': (6,)}", PRELU_E_FORMAT},
        {"{'descr", PRELU_E_FORMAT},
        {"{'descr': ", PRELU_E_FORMAT},
        {"", PRELU_E_FORMAT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        prelu_err err = {0};
        train_npy a;
        size_t len;
        uint8_t *p = make(cases[i].dict, data, sizeof data, &len);
        prelu_status st = train_npy_parse(&a, p, len, &err);
        if (st != cases[i].want || !err.text[0])
            fail_msg("%s: %d %s", cases[i].dict, (int)st, err.text);
        assert_null(a.data);
        free(p);
    }
}

/* Cut at every byte, in a block of exactly that length. */
static void test_cut(void **state)
{
    static const float f[6] = {1};
    train_npy a;
    size_t len;
    uint8_t *p =
        make("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", f, sizeof f, &len);
    (void)state;
    for (size_t i = 0; i < len; i++) {
        uint8_t *part = malloc(i ? i : 1);
        memcpy(part, p, i);
        assert_int_equal(train_npy_parse(&a, part, i, NULL), PRELU_E_FORMAT);
        free(part);
    }
    p[6] = 9; /* a version to come */
    assert_int_equal(train_npy_parse(&a, p, len, NULL), PRELU_E_UNSUPPORTED);
    p[6] = 2; /* a header of 2^32 - 1 bytes */
    memset(p + 8, 0xff, 4);
    assert_int_equal(train_npy_parse(&a, p, len, NULL), PRELU_E_FORMAT);
    free(p);
}

static void test_write(void **state)
{
    const prelu_shape shapes[3] = {{0, {0}}, {1, {5}}, {4, {1, 5, 1, 1}}};
    static const float f[5] = {1, 2, 3, 4, -0.5f};
    char path[] = "/tmp/prelu-test-XXXXXX";
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    for (int i = 0; i < 3; i++) {
        prelu_err err = {0};
        train_npy a;
        check_ok(train_npy_write(path, &shapes[i], f, &err), &err);
        check_ok(train_npy_read(&a, path, &err), &err);
        assert_true(prelu_shape_equal(&a.shape, &shapes[i]));
        assert_memory_equal(a.data, f, a.count * sizeof *f);
        train_npy_deinit(&a);
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_cut), cmocka_unit_test(test_write)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
