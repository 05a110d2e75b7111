/* IDX files, plain and gzip, good and hostile. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "idx.h"
#include <unistd.h>
#include <zlib.h>

static char folder[64];
static char path[128];

static void write_file(const void *data, size_t len, int gzip)
{
    if (gzip) {
        gzFile f = gzopen(path, "wb");
        assert_non_null(f);
        if (len)
            assert_int_equal(gzwrite(f, data, (unsigned)len), (int)len);
        assert_int_equal(gzclose(f), Z_OK);
    } else {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(data, 1, len, f), len);
        fclose(f);
    }
}

/* Two pictures of 2 x 3. */
static size_t make_pictures(uint8_t *b)
{
    static const uint8_t head[16] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3};
    memcpy(b, head, 16);
    for (uint8_t i = 0; i < 12; i++)
        b[16 + i] = i;
    return 28;
}

static void reads_plain_and_gzip(void **state)
{
    prelu_err err = {0};
    uint8_t b[64];
    size_t len = make_pictures(b);
    (void)state;
    for (int gzip = 0; gzip <= 1; gzip++) {
        mdl_idx idx;
        write_file(b, len, gzip);
        check_ok(mdl_idx_read(&idx, path, 3, &err), &err);
        assert_int_equal(idx.count, 2);
        assert_int_equal(idx.height, 2);
        assert_int_equal(idx.width, 3);
        assert_memory_equal(idx.data, b + 16, 12);
        mdl_idx_deinit(&idx);
    }
}

static void reads_labels(void **state)
{
    static const uint8_t b[] = {0, 0, 8, 1, 0, 0, 0, 3, 7, 0, 9};
    prelu_err err = {0};
    mdl_idx idx;
    (void)state;
    write_file(b, sizeof b, 1);
    check_ok(mdl_idx_read(&idx, path, 1, &err), &err);
    assert_int_equal(idx.count, 3);
    assert_memory_equal(idx.data, b + 8, 3);
    mdl_idx_deinit(&idx);
}

static void refuses_what_is_cut_or_too_long(void **state)
{
    prelu_err err = {0};
    uint8_t b[64];
    size_t len = make_pictures(b);
    mdl_idx idx;
    (void)state;
    b[len] = 1;
    for (int gzip = 0; gzip <= 1; gzip++) {
        for (size_t cut = 0; cut < len; cut++) {
            write_file(b, cut, gzip);
            check_fails(mdl_idx_read(&idx, path, 3, &err), PRELU_E_FORMAT, &err);
        }
        write_file(b, len + 1, gzip);
        check_fails(mdl_idx_read(&idx, path, 3, &err), PRELU_E_FORMAT, &err);
    }
}

static void refuses_damaged_gzip(void **state)
{
    prelu_err err = {0};
    uint8_t b[64], packed[256];
    size_t len = make_pictures(b), packed_len;
    mdl_idx idx;
    (void)state;
    write_file(b, len, 1);
    FILE *f = fopen(path, "rb");
    packed_len = fread(packed, 1, sizeof packed, f);
    fclose(f);
    packed[packed_len - 6] ^= 1; /* of the checksum */
    write_file(packed, packed_len, 0);
    check_fails(mdl_idx_read(&idx, path, 3, &err), PRELU_E_FORMAT, &err);
    write_file(packed, packed_len - 8, 0); /* no trailer */
    check_fails(mdl_idx_read(&idx, path, 3, &err), PRELU_E_FORMAT, &err);
}

static void refuses_hostile_headers(void **state)
{
    static const struct {
        uint8_t head[16];
        prelu_status want;
    } cases[] = {
        {{0, 0, 8, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3}, PRELU_E_FORMAT},  /* labels */
        {{0, 0, 13, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3}, PRELU_E_FORMAT}, /* floats */
        {{1, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3}, PRELU_E_FORMAT},
        {{0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3}, PRELU_E_FORMAT}, /* no pictures */
        {{0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3}, PRELU_E_FORMAT},
        {{0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 16, 1, 0, 0, 0, 3}, PRELU_E_LIMIT}, /* height 4097 */
        {{0, 0, 8, 3, 255, 255, 255, 255, 0, 0, 16, 0, 0, 0, 16, 0}, PRELU_E_LIMIT},
        {{0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}, PRELU_E_LIMIT},
        /* 8 GiB promised, 4 bytes there: refused without having been allocated */
        {{0, 0, 8, 3, 0, 0, 2, 0, 0, 0, 16, 0, 0, 0, 16, 0}, PRELU_E_FORMAT},
    };
    prelu_err err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t b[20] = {0};
        mdl_idx idx;
        memcpy(b, cases[i].head, 16);
        write_file(b, sizeof b, 0);
        check_fails(mdl_idx_read(&idx, path, 3, &err), cases[i].want, &err);
    }
}

static void names_a_missing_file(void **state)
{
    prelu_err err = {0};
    mdl_idx idx;
    (void)state;
    unlink(path);
    check_fails(mdl_idx_read(&idx, path, 3, &err), PRELU_E_NOTFOUND, &err);
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/prelu-idx-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_plain_and_gzip),
        cmocka_unit_test(reads_labels),
        cmocka_unit_test(refuses_what_is_cut_or_too_long),
        cmocka_unit_test(refuses_damaged_gzip),
        cmocka_unit_test(refuses_hostile_headers),
        cmocka_unit_test(names_a_missing_file),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
