#include "check.h"
#include "picture.h"

static const char *const golden[] = {"baseline_420", "baseline_422",  "baseline_440",
                                     "baseline_444", "coarse",        "progressive",
                                     "restart",      "rgb",           "restart_progressive",
                                     "gray",         "large",         "separate_scans",
                                     "size_1x1",     "size_1x17",     "size_17x1",
                                     "size_8x8",     "size_16x16",    "size_7x9",
                                     "cmyk",         "ycck",          "cmyk_turned",
                                     "exif_1",       "exif_2",        "exif_3",
                                     "exif_4",       "exif_5",        "exif_6",
                                     "exif_7",       "exif_8",        "exif_long",
                                     "exif_gray",    "cmyk_no_adobe", "gray_progressive"};

static uint8_t *read_jpeg(const char *name, size_t *len)
{
    char path[128];
    snprintf(path, sizeof path, "golden/jpeg/%s.jpg", name);
    return check_read_file(path, len);
}

static prelu_image read_expected(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "golden/jpeg/%s.ppm", name);
    return check_read_ppm(path);
}

static void check_golden(const char *name)
{
    prelu_err err = {0};
    size_t len;
    uint8_t *jpeg = read_jpeg(name, &len);
    prelu_image want = read_expected(name), got = {0};
    prelu_jpeg_info info = {0}, probed = {0};
    check_ok(prelu_jpeg_decode(&got, jpeg, len, 0, NULL, &info, &err), &err);
    check_same_picture(&got, &want, 0, name);
    assert_int_equal(info.width, want.width);
    assert_int_equal(info.height, want.height);
    check_ok(prelu_jpeg_probe(&probed, jpeg, len, NULL, &err), &err);
    assert_int_equal(probed.width, info.width);
    assert_int_equal(probed.height, info.height);
    assert_int_equal(probed.orientation, info.orientation);
    prelu_image_deinit(&got);
    prelu_image_deinit(&want);
    free(jpeg);
}

static void test_equal_to_pillow(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++)
        check_golden(golden[i]);
}

/* A libjpeg without arithmetic decoding says so; one with it must be right. */
static void test_arithmetic(void **state)
{
    (void)state;
    prelu_err err = {0};
    size_t len;
    uint8_t *jpeg = read_jpeg("arithmetic", &len);
    prelu_image want = read_expected("arithmetic"), got = {0};
    prelu_status st = prelu_jpeg_decode(&got, jpeg, len, 0, NULL, NULL, &err);
    if (st == PRELU_OK)
        check_same_picture(&got, &want, 0, "arithmetic");
    else
        assert_int_equal(st, PRELU_E_UNSUPPORTED);
    prelu_image_deinit(&got);
    prelu_image_deinit(&want);
    free(jpeg);
}

static void test_info(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        prelu_jpeg_info want;
    } cases[] = {{"baseline_420", {37, 29, 1, 3, false}}, {"progressive", {37, 29, 1, 3, true}},
                 {"gray", {33, 18, 1, 1, false}},         {"ycck", {23, 31, 1, 4, false}},
                 {"cmyk_turned", {31, 23, 6, 4, false}},  {"exif_3", {21, 35, 3, 3, false}},
                 {"exif_8", {35, 21, 8, 3, false}},       {"exif_long", {35, 21, 8, 3, false}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        prelu_err err = {0};
        size_t len;
        uint8_t *jpeg = read_jpeg(cases[i].name, &len);
        prelu_jpeg_info got = {0}, want = cases[i].want;
        check_ok(prelu_jpeg_probe(&got, jpeg, len, NULL, &err), &err);
        assert_int_equal(got.width, want.width);
        assert_int_equal(got.height, want.height);
        assert_int_equal(got.orientation, want.orientation);
        assert_int_equal(got.components, want.components);
        assert_int_equal(got.progressive, want.progressive);
        free(jpeg);
    }
}

/* 131 x 97: the shorter side of a scaled picture must stay at or above twice the draft side. */
static void test_draft(void **state)
{
    (void)state;
    static const struct {
        int side;
        const char *expected;
    } cases[] = {{48, "large"},        {25, "large"},        {24, "large_draft2"},
                 {13, "large_draft2"}, {12, "large_draft4"}, {7, "large_draft4"},
                 {6, "large_draft8"},  {1, "large_draft8"},  {60000, "large"}};
    prelu_err err = {0};
    size_t len;
    uint8_t *jpeg = read_jpeg("large", &len);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        prelu_image want = read_expected(cases[i].expected), got = {0};
        prelu_jpeg_info info = {0};
        check_ok(prelu_jpeg_decode(&got, jpeg, len, cases[i].side, NULL, &info, &err), &err);
        check_same_picture(&got, &want, 0, cases[i].expected);
        assert_int_equal(info.width, 131);
        assert_int_equal(info.height, 97);
        prelu_image_deinit(&got);
        prelu_image_deinit(&want);
    }
    free(jpeg);
}

/* The copy has no spare byte, so that a sanitizer sees the first one read past the end. */
static void check_cut(const char *name)
{
    size_t len;
    uint8_t *jpeg = read_jpeg(name, &len);
    for (size_t cut = 0; cut < len; cut++) {
        prelu_err err = {0};
        prelu_image got = {0};
        uint8_t *part = malloc(cut ? cut : 1);
        memcpy(part, jpeg, cut);
        check_fails(prelu_jpeg_decode(&got, part, cut, 0, NULL, NULL, &err), PRELU_E_FORMAT, &err);
        assert_null(got.data);
        free(part);
    }
    free(jpeg);
}

static void test_truncated_anywhere(void **state)
{
    (void)state;
    check_cut("coarse");
    check_cut("restart_progressive");
    check_cut("cmyk_turned");
    check_cut("exif_6");
}

static void test_trailing_bytes_are_ignored(void **state)
{
    (void)state;
    prelu_err err = {0};
    size_t len;
    uint8_t *jpeg = read_jpeg("baseline_420", &len);
    uint8_t *longer = calloc(1, len + 1000);
    memcpy(longer, jpeg, len);
    prelu_image want = read_expected("baseline_420"), got = {0};
    check_ok(prelu_jpeg_decode(&got, longer, len + 1000, 0, NULL, NULL, &err), &err);
    check_same_picture(&got, &want, 0, "trailing bytes");
    prelu_image_deinit(&got);
    prelu_image_deinit(&want);
    free(longer);
    free(jpeg);
}

static size_t find_marker(const uint8_t *jpeg, size_t len, uint8_t marker)
{
    for (size_t i = 0; i + 1 < len; i++)
        if (jpeg[i] == 0xff && jpeg[i + 1] == marker)
            return i;
    fail_msg("no marker %02x", marker);
    return 0;
}

/* baseline_420 with another size in its frame header: height and width at offsets 5 and 7. */
static void check_claimed_size(unsigned width, unsigned height, prelu_status want)
{
    prelu_err err = {0};
    prelu_image got = {0};
    size_t len;
    uint8_t *jpeg = read_jpeg("baseline_420", &len);
    uint8_t *size = jpeg + find_marker(jpeg, len, 0xc0) + 5;
    size[0] = (uint8_t)(height >> 8);
    size[1] = (uint8_t)height;
    size[2] = (uint8_t)(width >> 8);
    size[3] = (uint8_t)width;
    prelu_alloc_fail_from(0);
    check_fails(prelu_jpeg_decode(&got, jpeg, len, 0, NULL, NULL, &err), want, &err);
    if (want == PRELU_E_LIMIT)
        assert_int_equal(prelu_alloc_fail_from(0), 0); /* refused before anything was allocated */
    free(jpeg);
}

static void test_lying_sizes(void **state)
{
    (void)state;
    check_claimed_size(0, 29, PRELU_E_FORMAT);
    check_claimed_size(37, 0, PRELU_E_FORMAT);
    check_claimed_size(0, 0, PRELU_E_FORMAT);
    check_claimed_size(512, 512, PRELU_E_FORMAT);
    check_claimed_size(37, 300, PRELU_E_FORMAT);
    check_claimed_size(5000, 5000, PRELU_E_FORMAT);
    check_claimed_size(65000, 65000, PRELU_E_LIMIT);
    check_claimed_size(65500, 764, PRELU_E_LIMIT); /* 50,042,000 pixels */
    check_claimed_size(65501, 1, PRELU_E_LIMIT);
    check_claimed_size(1, 65535, PRELU_E_LIMIT);
}

static void check_patched(size_t at, uint8_t value, prelu_status want)
{
    prelu_err err = {0};
    prelu_image got = {0};
    size_t len;
    uint8_t *jpeg = read_jpeg("baseline_420", &len);
    jpeg[find_marker(jpeg, len, 0xc0) + at] = value;
    check_fails(prelu_jpeg_decode(&got, jpeg, len, 0, NULL, NULL, &err), want, &err);
    free(jpeg);
}

static void test_kinds_not_supported(void **state)
{
    (void)state;
    check_patched(4, 12, PRELU_E_UNSUPPORTED); /* 12 bits a sample */
    check_patched(4, 16, PRELU_E_UNSUPPORTED);
    check_patched(1, 0xc3, PRELU_E_UNSUPPORTED); /* lossless */
    check_patched(1, 0xc5, PRELU_E_UNSUPPORTED); /* hierarchical */
    check_patched(9, 2, PRELU_E_FORMAT);         /* components that do not fit the segment */
}

static void check_other(const void *data, size_t len, prelu_status want, const char *says)
{
    prelu_err err = {0};
    prelu_image got = {0};
    prelu_jpeg_info info;
    assert_int_equal(prelu_jpeg_decode(&got, data, len, 0, NULL, NULL, &err), want);
    if (!strstr(err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
    check_fails(prelu_jpeg_probe(&info, data, len, NULL, &err), want, &err);
}

static void test_other_files(void **state)
{
    (void)state;
    check_other(NULL, 0, PRELU_E_FORMAT, "empty");
    check_other("", 0, PRELU_E_FORMAT, "empty");
    check_other("\xff", 1, PRELU_E_FORMAT, "premature end");
    check_other("\xff\xd8", 2, PRELU_E_FORMAT, "premature end");
    check_other("\xff\xd8\xff\xd9", 4, PRELU_E_FORMAT, "");
    check_other("\x89PNG\r\n\x1a\n\0\0\0", 11, PRELU_E_UNSUPPORTED, "PNG");
    check_other("GIF89a", 6, PRELU_E_UNSUPPORTED, "GIF");
    check_other("RIFF\x10\0\0\0WEBPVP8 ", 16, PRELU_E_UNSUPPORTED, "WebP");
    check_other("II*\0\x08\0\0\0", 8, PRELU_E_UNSUPPORTED, "TIFF");
    check_other("\0\0\0\x18"
                "ftypheic",
                12, PRELU_E_UNSUPPORTED, "HEIC");
    check_other("\0\0\0\x18"
                "ftypavif",
                12, PRELU_E_UNSUPPORTED, "AVIF");
    check_other("%PDF-1.4\n", 9, PRELU_E_UNSUPPORTED, "PDF");
    check_other("a", 1, PRELU_E_UNSUPPORTED, "text");
    check_other("<html>gr\xc3\xbc\xc3\x9f</html>\n", 20, PRELU_E_UNSUPPORTED, "text");
    check_other("\0\1\2\3", 4, PRELU_E_UNSUPPORTED, "unknown");
}

/* First marker at or after `at` that ends a scan: neither a stuffed 0 nor a restart. */
static size_t scan_end(const uint8_t *jpeg, size_t at)
{
    while (jpeg[at] != 0xff || jpeg[at + 1] == 0 || (jpeg[at + 1] & 0xf8) == 0xd0)
        at++;
    return at;
}

/* A progressive file whose first scan is repeated: few bytes, a walk over the picture for each. */
static void test_scan_limit(void **state)
{
    (void)state;
    prelu_err err = {0};
    size_t len;
    uint8_t *jpeg = read_jpeg("progressive", &len);
    size_t sos = find_marker(jpeg, len, 0xda), end = scan_end(jpeg, sos + 2);
    size_t scan = end - sos, copies = 600, bomb_len = len + copies * scan;
    uint8_t *bomb = malloc(bomb_len);
    memcpy(bomb, jpeg, end);
    for (size_t i = 0; i < copies; i++)
        memcpy(bomb + end + i * scan, jpeg + sos, scan);
    memcpy(bomb + end + copies * scan, jpeg + end, len - end);
    prelu_image got = {0};
    prelu_image_limits few = {.max_scans = 3}, enough = {.max_scans = 10},
                       many = {.max_scans = 700};
    check_fails(prelu_jpeg_decode(&got, bomb, bomb_len, 0, NULL, NULL, &err), PRELU_E_LIMIT, &err);
    check_fails(prelu_jpeg_decode(&got, jpeg, len, 0, &few, NULL, &err), PRELU_E_LIMIT, &err);
    check_ok(prelu_jpeg_decode(&got, jpeg, len, 0, &enough, NULL, &err), &err);
    prelu_image_deinit(&got);
    check_ok(prelu_jpeg_decode(&got, bomb, bomb_len, 0, &many, NULL, &err), &err);
    prelu_image_deinit(&got);
    many.max_pixels = 37 * 29; /* at the full size 40 scans are enough */
    check_fails(prelu_jpeg_decode(&got, bomb, bomb_len, 0, &many, NULL, &err), PRELU_E_LIMIT, &err);
    many.max_pixels = 37 * 29 * 16; /* 640: the file has 610 */
    check_ok(prelu_jpeg_decode(&got, bomb, bomb_len, 0, &many, NULL, &err), &err);
    prelu_image_deinit(&got);
    free(bomb);
    free(jpeg);
}

/* libjpeg keeps the coefficients of a progressive picture: 37 x 8000 have about 1.3 MB of them. */
static void test_decoder_memory_limit(void **state)
{
    (void)state;
    prelu_err err = {0};
    size_t len;
    uint8_t *jpeg = read_jpeg("progressive", &len);
    prelu_image got = {0};
    prelu_image_limits little = {.max_decoder_bytes = 200000};
    check_ok(prelu_jpeg_decode(&got, jpeg, len, 0, &little, NULL, &err), &err);
    prelu_image_deinit(&got);
    uint8_t *size = jpeg + find_marker(jpeg, len, 0xc2) + 5;
    size[0] = 8000 >> 8;
    size[1] = 8000 & 255;
    check_fails(prelu_jpeg_decode(&got, jpeg, len, 0, &little, NULL, &err), PRELU_E_LIMIT, &err);
    check_fails(prelu_jpeg_decode(&got, jpeg, len, 0, NULL, NULL, &err), PRELU_E_FORMAT, &err);
    free(jpeg);
}

static void test_pixel_limit(void **state)
{
    (void)state;
    prelu_err err = {0};
    size_t len;
    uint8_t *jpeg = read_jpeg("progressive", &len);
    prelu_image got = {0};
    prelu_jpeg_info info = {0};
    prelu_image_limits below = {.max_pixels = 37 * 29 - 1}, exact = {.max_pixels = 37 * 29};
    check_fails(prelu_jpeg_decode(&got, jpeg, len, 0, &below, &info, &err), PRELU_E_LIMIT, &err);
    assert_int_equal(info.width, 37); /* filled although the picture is refused */
    check_fails(prelu_jpeg_probe(&info, jpeg, len, &below, &err), PRELU_E_LIMIT, &err);
    check_ok(prelu_jpeg_decode(&got, jpeg, len, 0, &exact, NULL, &err), &err);
    prelu_image_deinit(&got);
    free(jpeg);
}

static void test_arguments(void **state)
{
    (void)state;
    prelu_err err = {0};
    prelu_image got = {0};
    check_fails(prelu_jpeg_decode(NULL, "x", 1, 0, NULL, NULL, &err), PRELU_E_ARG, &err);
    check_fails(prelu_jpeg_decode(&got, NULL, 1, 0, NULL, NULL, &err), PRELU_E_ARG, &err);
    check_fails(prelu_jpeg_decode(&got, "x", 1, -1, NULL, NULL, &err), PRELU_E_ARG, &err);
    check_fails(prelu_jpeg_decode(&got, "x", 1, 65501, NULL, NULL, &err), PRELU_E_ARG, &err);
    check_fails(prelu_jpeg_probe(NULL, "x", 1, NULL, &err), PRELU_E_ARG, &err);
}

/* Damage anywhere gives a picture or an error, never a crash; a picture has its claimed size. */
static void test_flipped_bytes(void **state)
{
    (void)state;
    static const char *const names[] = {"restart", "restart_progressive", "ycck", "exif_7"};
    uint64_t seed = check_seed();
    prelu_image_limits small = {.max_pixels = 1000000, .max_scans = 20};
    for (int round = 0; round < 800; round++) {
        size_t len;
        uint8_t *jpeg = read_jpeg(names[round % 4], &len);
        for (int i = check_random_int(&seed, 1, 4); i > 0; i--)
            jpeg[check_random(&seed) % len] = (uint8_t)check_random(&seed);
        prelu_image got = {0};
        prelu_jpeg_info info = {0};
        prelu_err err = {0};
        if (prelu_jpeg_decode(&got, jpeg, len, 0, &small, &info, &err) == PRELU_OK) {
            assert_int_equal(got.width, info.width);
            assert_int_equal(got.height, info.height);
        } else {
            assert_null(got.data);
            assert_true(err.text[0]);
        }
        prelu_image_deinit(&got);
        free(jpeg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_to_pillow),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_draft),
        cmocka_unit_test(test_truncated_anywhere),
        cmocka_unit_test(test_trailing_bytes_are_ignored),
        cmocka_unit_test(test_lying_sizes),
        cmocka_unit_test(test_kinds_not_supported),
        cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_scan_limit),
        cmocka_unit_test(test_decoder_memory_limit),
        cmocka_unit_test(test_pixel_limit),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_flipped_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
