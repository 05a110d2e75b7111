#include "check_resample.h"
#include "check.h"
#include "image/resample.h"

static char text[200];
#define WRONG(...) (snprintf(text, sizeof text, __VA_ARGS__), text)

static uint8_t *pixels(size_t len, bool white, uint64_t *seed)
{
    uint8_t *p = check_guard_new(len);
    for (size_t i = 0; i < len; i++)
        p[i] = white ? 255 : (uint8_t)check_random(seed);
    return p;
}

static bool intact(const uint8_t *p, size_t len)
{
    for (size_t i = 1; i <= CHECK_BAND; i++)
        if (p[-(ptrdiff_t)i] != 0xa5 || p[len + i - 1] != 0xa5)
            return false;
    return true;
}

static const char *row_case(krn_resample_row_u8_fn *fn, int in, int out, bool white, uint64_t *seed)
{
    struct img_axis axis = {0};
    prelu_err err = {0};
    const char *wrong = NULL;
    const size_t len = (size_t)in * 3, got_len = (size_t)out * 3;
    check_ok(img_axis_init(&axis, in, out, 0, out, &err), &err);
    check_ok(img_axis_split(&axis, out, &err), &err);
    const krn_resample_row r = {axis.first, axis.weight, axis.taps, axis.halves};
    uint8_t *src = pixels(len, white, seed), *got = check_guard_new(got_len),
            *want = malloc(got_len);
    krn_resample_row_u8__ref(want, src, len, &r, out);
    fn(got, src, len, &r, out);
    for (size_t i = 0; i < got_len && !wrong; i++)
        if (got[i] != want[i])
            wrong = WRONG("%d -> %d: byte %zu is %d, not %d", in, out, i, got[i], want[i]);
    if (!wrong && (!intact(got, got_len) || !intact(src, len)))
        wrong = WRONG("%d -> %d: wrote outside", in, out);
    check_guard_free(src);
    check_guard_free(got);
    free(want);
    img_axis_deinit(&axis);
    return wrong;
}

const char *check_resample_row_u8_text(krn_resample_row_u8_fn *fn)
{
    static const int sizes[][2] = {{1, 1},   {1, 7},    {2, 1},   {5, 3},   {7, 20},    {31, 32},
                                   {64, 33}, {100, 37}, {500, 9}, {333, 8}, {375, 256}, {40, 1}};
    enum { LISTED = sizeof sizes / sizeof *sizes };
    uint64_t seed = check_seed();
    for (int i = 0; i < LISTED + 40; i++)
        for (int white = 0; white < 2; white++) {
            const int in = i < LISTED ? sizes[i][0] : check_random_int(&seed, 1, 120);
            const int out = i < LISTED ? sizes[i][1] : check_random_int(&seed, 1, 80);
            const char *wrong = row_case(fn, in, out, white, &seed);
            if (wrong)
                return wrong;
        }
    return NULL;
}

static const char *column_case(krn_resample_column_u8_fn *fn, int taps, size_t len, bool white,
                               uint64_t *seed)
{
    uint8_t *rows[40], *got = check_guard_new(len), *want = malloc(len);
    int32_t weight[40], left = 1 << KRN_WEIGHT_BITS;
    const char *wrong = NULL;
    for (int t = 0; t < taps; t++) {
        rows[t] = pixels(len, white, seed);
        weight[t] = t + 1 == taps ? left : check_random_int(seed, 0, left);
        left -= weight[t];
    }
    krn_resample_column_u8__ref(want, (const uint8_t *const *)rows, weight, taps, len);
    fn(got, (const uint8_t *const *)rows, weight, taps, len);
    if (memcmp(got, want, len) != 0)
        wrong = WRONG("%d taps, %zu bytes: other bytes", taps, len);
    else if (!intact(got, len))
        wrong = WRONG("%d taps, %zu bytes: wrote outside", taps, len);
    for (int t = 0; t < taps; t++)
        check_guard_free(rows[t]);
    check_guard_free(got);
    free(want);
    return wrong;
}

const char *check_resample_column_u8_text(krn_resample_column_u8_fn *fn)
{
    static const size_t lens[] = {1, 2, 31, 32, 33, 63, 64, 65, 127, 1023};
    uint64_t seed = check_seed();
    for (int taps = 1; taps <= 40; taps += taps < 6 ? 1 : 11)
        for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
            for (int white = 0; white < 2; white++) {
                const char *wrong = column_case(fn, taps, lens[i], white, &seed);
                if (wrong)
                    return wrong;
            }
    return NULL;
}

void check_resample_row_u8(krn_resample_row_u8_fn *fn, const char *name)
{
    const char *wrong = check_resample_row_u8_text(fn);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}

void check_resample_column_u8(krn_resample_column_u8_fn *fn, const char *name)
{
    const char *wrong = check_resample_column_u8_text(fn);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}
