#include "check.h"
#include "image/exif.h"

/* Exif id, little-endian TIFF header, a directory of two entries: width, then orientation 6. */
static const uint8_t little[] = "Exif\0\0"
                                "II\x2a\0\x08\0\0\0"
                                "\x02\0"
                                "\x00\x01\x04\0\x01\0\0\0\x40\0\0\0"
                                "\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
                                "\0\0\0";
static const uint8_t big[] = "Exif\0\0"
                             "MM\0\x2a\0\0\0\x08"
                             "\0\x02"
                             "\x01\x00\0\x04\0\0\0\x01\0\0\0\x40"
                             "\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
                             "\0\0\0";
enum { LAST_NEEDED = 6 + 8 + 2 + 12 + 12, VALUE = LAST_NEEDED - 4, TYPE = LAST_NEEDED - 10 };

/* In a block of its own, so that a sanitizer sees a read outside it. */
static int orientation_of(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    int got = img_exif_orientation(copy, len);
    free(copy);
    return got;
}

static void test_both_byte_orders(void **state)
{
    (void)state;
    assert_int_equal(orientation_of(little, sizeof little), 6);
    assert_int_equal(orientation_of(big, sizeof big), 6);
}

static void test_every_value(void **state)
{
    (void)state;
    for (int v = 0; v < 256; v++) {
        uint8_t l[sizeof little], b[sizeof big];
        memcpy(l, little, sizeof l);
        memcpy(b, big, sizeof b);
        l[VALUE] = (uint8_t)v;
        b[VALUE + 1] = (uint8_t)v;
        int want = v <= 8 ? v : 0;
        assert_int_equal(orientation_of(l, sizeof l), want);
        assert_int_equal(orientation_of(b, sizeof b), want);
    }
}

static void test_types(void **state)
{
    (void)state;
    for (int type = 0; type < 16; type++) {
        uint8_t l[sizeof little];
        memcpy(l, little, sizeof l);
        l[TYPE] = (uint8_t)type;
        assert_int_equal(orientation_of(l, sizeof l), type == 3 || type == 4 ? 6 : 0);
    }
}

static void test_cut_anywhere(void **state)
{
    (void)state;
    for (size_t len = 0; len <= sizeof little; len++) {
        assert_int_equal(orientation_of(little, len), len >= LAST_NEEDED ? 6 : 0);
        assert_int_equal(orientation_of(big, len), len >= LAST_NEEDED ? 6 : 0);
    }
}

/* Each byte of the id and headers in turn: a wrong one must not be overlooked. */
static void test_wrong_headers(void **state)
{
    (void)state;
    static const size_t must_match[] = {0, 1, 2, 3, 4, 6, 7, 8, 9};
    for (size_t i = 0; i < sizeof must_match / sizeof must_match[0]; i++) {
        uint8_t l[sizeof little];
        memcpy(l, little, sizeof l);
        l[must_match[i]] ^= 0x40;
        assert_int_equal(orientation_of(l, sizeof l), 0);
    }
}

static void test_hostile_offsets_and_counts(void **state)
{
    (void)state;
    uint8_t l[sizeof little];
    for (int byte = 10; byte < 16; byte++) { /* offset of the directory, number of its entries */
        memcpy(l, little, sizeof l);
        l[byte] = 0xff;
        int got = orientation_of(l, sizeof l);
        assert_true(got == 0 || got == 6);
    }
    memcpy(l, little, sizeof l);
    memset(l + 10, 0xff, 4);
    assert_int_equal(orientation_of(l, sizeof l), 0);
    memcpy(l, little, sizeof l);
    memset(l + 14, 0xff, 2); /* 65,535 entries: those that are there count */
    assert_int_equal(orientation_of(l, sizeof l), 6);
    memcpy(l, little, sizeof l);
    l[14] = 1; /* the orientation lies past the end of the directory */
    assert_int_equal(orientation_of(l, sizeof l), 0);
}

static void test_random_bytes(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (int i = 0; i < 20000; i++) {
        uint8_t l[sizeof little];
        memcpy(l, i % 2 ? little : big, sizeof l);
        for (int n = check_random_int(&seed, 1, 6); n > 0; n--)
            l[check_random(&seed) % sizeof l] = (uint8_t)check_random(&seed);
        int got = orientation_of(l, check_random(&seed) % (sizeof l + 1));
        assert_in_range(got, 0, 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_byte_orders),
        cmocka_unit_test(test_every_value),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_wrong_headers),
        cmocka_unit_test(test_hostile_offsets_and_counts),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
