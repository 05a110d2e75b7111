#include "check.h"
#include "inflate.h"
#include <zlib.h>

static const char plain[] = "abcabcabcabc\n";
/* the same by `gzip -9n` */
static const unsigned char packed[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
                                       0x03, 0x4b, 0x4c, 0x4a, 0x4e, 0x84, 0x21, 0x2e, 0x00,
                                       0x0c, 0x9c, 0x39, 0x13, 0x0d, 0x00, 0x00, 0x00};

typedef struct sink {
    char first[64];
    size_t n, most;
} sink;

static bool take(void *ctx, const void *bytes, size_t len)
{
    sink *s = ctx;
    if (s->n + len > s->most)
        return false;
    if (s->n + len <= sizeof s->first)
        memcpy(s->first + s->n, bytes, len);
    s->n += len;
    return true;
}

/* In pieces of so many bytes, to the end or the first error. */
static prelu_status expand(sink *to, const void *data, size_t len, size_t piece)
{
    srv_inflate *s = NULL;
    prelu_err err = {0};
    check_ok(srv_inflate_create(&s, &err), &err);
    prelu_status st = PRELU_OK;
    for (size_t at = 0; !st && at < len; at += piece)
        st = srv_inflate_feed(s, (const char *)data + at, len - at < piece ? len - at : piece, take,
                              to, &err);
    if (!st)
        st = srv_inflate_finish(s, &err);
    assert_true(st == PRELU_OK || err.text[0]);
    srv_inflate_destroy(&s);
    assert_null(s);
    return st;
}

static void any_pieces_give_the_same(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= sizeof packed; piece++) {
        sink s = {.most = 64};
        assert_int_equal(expand(&s, packed, sizeof packed, piece), PRELU_OK);
        assert_int_equal(s.n, sizeof plain - 1);
        assert_memory_equal(s.first, plain, s.n);
    }
}

static prelu_status expand_small(const void *data, size_t len)
{
    sink s = {.most = sizeof plain - 1};
    return expand(&s, data, len, 64);
}

static void what_is_refused(void **state)
{
    unsigned char bad[sizeof packed + 1] = {0};
    sink s = {.most = sizeof plain - 2};
    (void)state;
    for (size_t len = 0; len < sizeof packed; len++)
        assert_int_equal(expand_small(packed, len), PRELU_E_FORMAT);
    memcpy(bad, packed, sizeof packed);
    assert_int_equal(expand_small(bad, sizeof bad), PRELU_E_FORMAT); /* a byte more */
    bad[19] ^= 1;                                                    /* of the checksum */
    assert_int_equal(expand_small(bad, sizeof packed), PRELU_E_FORMAT);
    assert_int_equal(expand(&s, packed, sizeof packed, 64), PRELU_E_CANCELLED);
}

/* The limit is noticed where it is passed, though far more was sent. */
static void bombs(void **state)
{
    enum { LEN = 16 << 20 };
    unsigned char *zeros = calloc(1, LEN), *bomb = malloc(1 << 20);
    uLongf len = 1 << 20;
    (void)state;
    assert_true(zeros && bomb);
    assert_int_equal(compress(bomb, &len, zeros, SRV_INFLATE_FREE), Z_OK);
    sink s = {.most = LEN};
    assert_int_equal(expand(&s, bomb, len, len), PRELU_OK);
    assert_int_equal(s.n, SRV_INFLATE_FREE);
    len = 1 << 20;
    assert_int_equal(compress(bomb, &len, zeros, LEN), Z_OK);
    s = (sink){.most = LEN};
    assert_int_equal(expand(&s, bomb, len, len), PRELU_E_LIMIT);
    assert_in_range(s.n, SRV_INFLATE_FREE - 65536, SRV_INFLATE_FREE + 65536);
    free(zeros);
    free(bomb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_pieces_give_the_same),
                                       cmocka_unit_test(what_is_refused), cmocka_unit_test(bombs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
