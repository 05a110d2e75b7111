/* The op table: its rows are sound, and docs/ops.md says of each what is true. */
#include "check.h"
#include "ops/op.h"

static const op_def *const table[] = {
#define OP(symbol) &symbol,
#include "ops/ops.inc"
#undef OP
};
enum { ROWS = sizeof table / sizeof *table };

static void test_rows_are_sound(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        const op_def *d = table[i];
        assert_ptr_equal(op_find(d->name), d); /* the first of its name is the only one */
        assert_true(d->min_in >= 1 && d->min_in <= d->max_in && d->max_in <= PRELU_MAX_INPUTS);
        assert_true(d->min_out >= 1 && d->min_out <= d->max_out);
        assert_true(d->max_out <= PRELU_MAX_OUTPUTS);
        assert_non_null(d->shape);
        assert_non_null(d->run);
    }
    assert_null(op_find("NoSuchOp"));
    assert_null(op_find(""));
}

static void test_documented(void **state)
{
    size_t len;
    char *text = check_read_file("../docs/ops.md", &len);
    int found = 0;
    (void)state;
    for (char *line = text, *end; line < text + len; line = end + 1) {
        char name[64], gradient[8];
        end = memchr(line, '\n', (size_t)(text + len - line));
        assert_non_null(end);
        *end = '\0';
        if (sscanf(line, "| `%63[A-Za-z0-9]` | %7[a-z] |", name, gradient) != 2)
            continue;
        const op_def *d = op_find(name);
        if (!d)
            fail_msg("docs/ops.md: %s is no op", name);
        if (strcmp(gradient, d->grad ? "yes" : "no") != 0)
            fail_msg("docs/ops.md: %s has gradient '%s'", name, gradient);
        found++;
    }
    if (found != ROWS)
        fail_msg("docs/ops.md has %d of %d ops", found, ROWS);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_sound),
        cmocka_unit_test(test_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
