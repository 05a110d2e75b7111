#include "prelu/tensor.h"
#include <inttypes.h>
#include <stdio.h>

static const struct {
    size_t size;
    const char *name;
} dtypes[] = {
    [PRELU_F32] = {4, "f32"}, [PRELU_BF16] = {2, "bf16"}, [PRELU_F16] = {2, "f16"},
    [PRELU_U8] = {1, "u8"},   [PRELU_I8] = {1, "i8"},     [PRELU_I32] = {4, "i32"},
    [PRELU_I64] = {8, "i64"}, [PRELU_F64] = {8, "f64"},   [PRELU_BOOL] = {1, "bool"},
};

size_t prelu_dtype_size(prelu_dtype t) { return dtypes[t].size; }

const char *prelu_dtype_name(prelu_dtype t) { return dtypes[t].name; }

prelu_status prelu_shape_count(const prelu_shape *s, size_t *count, prelu_err *err)
{
    size_t n = 1;
    char text[96];
    for (int i = 0; i < s->rank; i++) {
        if (s->dim[i] < 0)
            return prelu_fail(err, PRELU_E_ARG, "shape %s has a free dimension",
                              prelu_shape_text(s, text, sizeof text));
        /* 2^48 elements: above any memory, below any overflow of bytes */
        if (__builtin_mul_overflow(n, (size_t)s->dim[i], &n) || n > (size_t)1 << 48)
            return prelu_fail(err, PRELU_E_LIMIT, "shape %s has too many elements",
                              prelu_shape_text(s, text, sizeof text));
    }
    *count = n;
    return PRELU_OK;
}

const char *prelu_shape_text(const prelu_shape *s, char *buf, size_t len)
{
    size_t at = 0;
    if (s->rank < 0) {
        snprintf(buf, len, "(unknown)");
        return buf;
    }
    for (int i = 0; i <= s->rank && at < len; i++) {
        int n;
        if (i == s->rank)
            n = snprintf(buf + at, len - at, "%s", s->rank ? ")" : "()");
        else if (s->dim[i] < 0)
            n = snprintf(buf + at, len - at, "%s?", i ? "," : "(");
        else
            n = snprintf(buf + at, len - at, "%s%" PRId64, i ? "," : "(", s->dim[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    return buf;
}

int prelu_shape_equal(const prelu_shape *a, const prelu_shape *b)
{
    if (a->rank != b->rank)
        return 0;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return 0;
    return 1;
}
