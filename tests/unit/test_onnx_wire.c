/* The wire scan: what it keeps, and what it refuses. */
#include "check.h"
#include "onnx_make.h"
#include "onnx_wire.h"
#include "prelu/mem.h"

static prelu_status reduce(const uint8_t *file, size_t len, size_t *reduced, prelu_err *err)
{
    uint8_t *out = NULL;
    prelu_status st = onnx_wire_reduce(&out, reduced, file, len, err);
    prelu_free(out);
    return st;
}

/* The reduced copy is small however large the weights are, and tells where they lie. */
static void test_weights_stay(void **state)
{
    static const float big[20000] = {1};
    static const int64_t dims[1] = {20000};
    const onnx_raw *raw = NULL;
    prelu_err err = {0};
    uint8_t *file, *out = NULL, *hit = NULL;
    size_t len, n;
    om m = {0};
    (void)state;
    om_tensor(&m, "big", 1, dims, 1, big, sizeof big);
    file = om_finish(&m, &len);
    check_ok(onnx_wire_reduce(&out, &n, file, len, &err), &err);
    assert_true(n < 200);
    for (size_t i = 0; i + sizeof *raw <= n; i++) { /* raw_data is field 9, of 16 bytes */
        onnx_raw r;
        memcpy(&r, out + i, sizeof r);
        if (r.len == sizeof big) {
            assert_true(r.offset + r.len <= len);
            assert_memory_equal(file + r.offset, big, sizeof big);
            hit = out + i;
        }
    }
    assert_non_null(hit);
    prelu_free(out);
    free(file);
}

static void test_cut(void **state)
{
    prelu_err err = {0};
    size_t len, n, whole = 0;
    om m = {0};
    uint8_t *file;
    (void)state;
    om_classifier(&m);
    file = om_finish(&m, &len);
    for (size_t i = 0; i < len; i++) { /* most cuts end inside the graph */
        uint8_t *part = malloc(i ? i : 1);
        memcpy(part, file, i);
        whole += reduce(part, i, &n, NULL) == PRELU_OK;
        free(part);
    }
    assert_in_range(whole, 1, 20); /* between the model's own few fields */
    check_ok(reduce(file, len, &n, &err), &err);
    free(file);
}

/* `depth` messages, each in a field of the one around it: the tags alternate. */
static uint8_t *nest(const uint8_t *tags, size_t n_tags, size_t depth, size_t *len)
{
    size_t room = 11 * depth + 16, at = room, inner = 0;
    uint8_t *p = malloc(room), *file;
    for (size_t i = 0; i < depth; i++) {
        uint8_t head[11];
        size_t n = 0, v = inner;
        head[n++] = tags[(depth - 1 - i) % n_tags];
        for (; v >= 0x80; v >>= 7)
            head[n++] = (uint8_t)(v | 0x80);
        head[n++] = (uint8_t)v;
        at -= n;
        memcpy(p + at, head, n);
        inner += n;
    }
    file = malloc(inner);
    memcpy(file, p + at, inner);
    free(p);
    *len = inner;
    return file;
}

static void test_deep(void **state)
{
    /* ModelProto.graph, then GraphProto.node, NodeProto.attribute, AttributeProto.g in turn */
    static const uint8_t loop[3] = {1 << 3 | 2, 5 << 3 | 2, 6 << 3 | 2};
    static const size_t depths[] = {3, 60, 66, 1000, 100000};
    prelu_err err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        size_t depth = depths[i], len, n;
        uint8_t *inner = nest(loop, 3, depth, &len);
        onnx_buf b = {.err = &err};
        onnx_put_bytes(&b, 7, inner, len);
        if (depth <= 60)
            check_ok(reduce(b.p, b.n, &n, &err), &err);
        else
            check_fails(reduce(b.p, b.n, &n, &err), PRELU_E_LIMIT, &err);
        onnx_buf_deinit(&b);
        free(inner);
    }
}

static void refuse(const uint8_t *bytes, size_t len, prelu_status want)
{
    prelu_err err = {0};
    uint8_t *file = malloc(len);
    size_t n;
    memcpy(file, bytes, len);
    check_fails(reduce(file, len, &n, &err), want, &err);
    free(file);
}

static void test_malformed(void **state)
{
    (void)state;
    refuse((const uint8_t[]){0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 11,
           PRELU_E_FORMAT); /* graph of 2^64 - 1 bytes */
    refuse(
        (const uint8_t[]){0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01},
        12, PRELU_E_FORMAT);                                       /* a number of 11 bytes */
    refuse((const uint8_t[]){0x0b, 0x00}, 2, PRELU_E_FORMAT);      /* a group */
    refuse((const uint8_t[]){0x00, 0x00}, 2, PRELU_E_FORMAT);      /* field 0 */
    refuse((const uint8_t[]){0x38, 0x01}, 2, PRELU_E_FORMAT);      /* graph as a number */
    refuse((const uint8_t[]){0x0a, 0x01, 'x'}, 3, PRELU_E_FORMAT); /* ir_version as a text */
    refuse((const uint8_t[]){0x3a, 0x06, 0x5a, 0x04, 0x0a, 0x02, 'a', 0}, 8,
           PRELU_E_FORMAT);                                               /* NUL */
    refuse((const uint8_t[]){0x9d, 0x06, 0x00, 0x00}, 4, PRELU_E_FORMAT); /* 4 bytes cut to 2 */
    refuse((const uint8_t[]){0x08, 0x80}, 2, PRELU_E_FORMAT);             /* a number cut off */
}

/* Empty nodes cost two bytes each in the file, and a hundred in protobuf-c: they are counted. */
static void test_many(void **state)
{
    size_t n = ONNX_MAX_ITEMS + 1, len = 2 * n, out;
    uint8_t *nodes = malloc(len);
    prelu_err err = {0};
    onnx_buf b = {.err = &err};
    (void)state;
    for (size_t i = 0; i < n; i++) {
        nodes[2 * i] = 0x0a;
        nodes[2 * i + 1] = 0;
    }
    onnx_put_bytes(&b, 7, nodes, len);
    check_fails(reduce(b.p, b.n, &out, &err), PRELU_E_LIMIT, &err);
    onnx_buf_deinit(&b);
    free(nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_stay), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_deep),         cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
