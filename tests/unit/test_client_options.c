#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

#define MAX_ARGS 64

static char said[4096]; /* what the last parse wrote to its error stream */
static char *args[MAX_ARGS + 2];
static char line[1024];

/* Splits `text` at '|' and parses it. */
static cli_options parse(const char *text)
{
    cli_options o;
    FILE *err = fmemopen(said, sizeof said, "w");
    int count = 1;

    assert_non_null(err);
    memset(said, 0, sizeof said);
    snprintf(line, sizeof line, "%s", text);
    args[0] = (char *)"prelu-classify";
    for (char *part = strtok(line, "|"); part; part = strtok(NULL, "|"))
        args[count < MAX_ARGS ? count++ : count] = part;
    args[count] = NULL;
    cli_options_parse(&o, count, args, err);
    fclose(err);
    return o;
}

static void defaults(void **state)
{
    cli_options o = parse("a.jpg");

    (void)state;
    assert_int_equal(o.command, CLI_RUN);
    assert_string_equal(o.server, "http://127.0.0.1:8080");
    assert_int_equal(o.jobs, 4);
    assert_int_equal(o.retries, 3);
    assert_int_equal(o.top_k, 0);
    assert_true(o.timeout_s > 59.9 && o.timeout_s < 60.1);
    assert_int_equal(o.format, CLI_TABLE);
    assert_false(o.quiet);
    assert_null(o.mode);
    assert_null(o.scales);
    assert_null(o.model);
    assert_null(o.api_key_file);
    assert_int_equal(o.input_count, 1);
    assert_string_equal(o.inputs[0], "a.jpg");
    assert_string_equal(said, "");
}

static void every_option_is_stored(void **state)
{
    cli_options o = parse(
        "-s|http://h|a|--top-k=7|--mode|10view|--scales=36,48|--model|m.1|-j|9|--timeout|250ms"
        "|--csv|--api-key-file|k|--unix-socket|u|--cacert|c|-q|--retries|0|-");

    (void)state;
    assert_int_equal(o.command, CLI_RUN);
    assert_string_equal(o.server, "http://h");
    assert_int_equal(o.top_k, 7);
    assert_string_equal(o.mode, "10view");
    assert_string_equal(o.scales, "36,48");
    assert_string_equal(o.model, "m.1");
    assert_int_equal(o.jobs, 9);
    assert_true(o.timeout_s > 0.249 && o.timeout_s < 0.251);
    assert_int_equal(o.format, CLI_CSV);
    assert_string_equal(o.api_key_file, "k");
    assert_string_equal(o.unix_socket, "u");
    assert_string_equal(o.cacert, "c");
    assert_true(o.quiet);
    assert_int_equal(o.retries, 0);
    assert_int_equal(o.input_count, 2);
    assert_string_equal(o.inputs[0], "a");
    assert_string_equal(o.inputs[1], "-");
}

static void double_dash_ends_options(void **state)
{
    cli_options o = parse("--|--json|-x");

    (void)state;
    assert_int_equal(o.command, CLI_RUN);
    assert_int_equal(o.format, CLI_TABLE);
    assert_int_equal(o.input_count, 2);
}

static void times(void **state)
{
    static const struct {
        const char *text;
        double seconds;
    } good[] = {{"1ms", 0.001}, {"2", 2}, {"2s", 2}, {"1.5s", 1.5}, {".5", 0.5}, {"3m", 180}};
    static const char *const bad[] = {"0",   "-1",  "1h",    "s",     "",     "1 s", "inf",
                                      "nan", "1e9", "0.1ms", "1441m", "1ms2", " 1"};
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cli_options o;
        snprintf(text, sizeof text, "--timeout=%s|x", good[i].text);
        o = parse(text);
        assert_int_equal(o.command, CLI_RUN);
        assert_true(o.timeout_s > good[i].seconds * 0.999 && o.timeout_s < good[i].seconds * 1.001);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(text, sizeof text, "--timeout=%s|x", bad[i]);
        assert_int_equal(parse(text).command, CLI_WRONG);
    }
}

static void bad_values_are_named(void **state)
{
    static const char *const rows[][2] = {
        {"--jobs=0|x", "--jobs \"0\" must be a whole number from 1 to 256"},
        {"--jobs=257|x", "from 1 to 256"},
        {"--jobs=4x|x", "\"4x\""},
        {"--jobs=99999999999999999999|x", "from 1 to 256"},
        {"--top-k=-1|x", "from 1 to 1000000"},
        {"--retries=101|x", "from 0 to 100"},
        {"--mode=|x", "--mode"},
        {"--mode=10-view|x", "did you mean 10view?"},
        {"--mode=Center|x", "did you mean center?"},
        {"--scales=|x", "1 to 8 sizes"},
        {"--average=mean|x", "prob or logit"},
        {"--budget-ms=0|x", "from 1 to 3600000"},
        {"--heatmap=|x", "must not be empty"},
        {"--scales=36,|x", "--scales"},
        {"--scales=,36|x", "--scales"},
        {"--scales=36&top_k=1|x", "--scales"},
        {"--scales=123456|x", "--scales"},
        {"--scales=1,2,3,4,5,6,7,8,9|x", "--scales"},
        {"--model=a/b|x", "--model"},
        {"--model=|x", "--model"},
        {"--server=|x", "must not be empty"},
        {"--csv|--json|x", "cannot stand beside --csv"},
        {"-j", "--jobs needs a value: N"},
        {"--quiet=yes|x", "--quiet takes no value"},
        {"-|-", "only once"},
        {"--json", "no pictures"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(parse(rows[i][0]).command, CLI_WRONG);
        if (!strstr(said, rows[i][1]))
            fail_msg("%s: said %s", rows[i][0], said);
        assert_non_null(strstr(said, "--help"));
    }
}

static void typos_get_the_nearest_flag(void **state)
{
    static const char *const rows[][2] = {
        {"--sevrer=x|a", "did you mean --server?"},
        {"--jsn|a", "did you mean --json?"},
        {"--topk=3|a", "did you mean --top-k?"},
        {"--job-count|a", NULL},
        {"--versoin|a", "did you mean --version?"},
        {"--socket=x|a", "did you mean --unix-socket?"},
        {"--xyz|a", NULL},
        {"-Z|a", NULL},
        {"--ca-cert=x|a", "did you mean --cacert?"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(parse(rows[i][0]).command, CLI_WRONG);
        assert_non_null(strstr(said, "unknown option"));
        if (rows[i][1])
            assert_non_null(strstr(said, rows[i][1]));
        else
            assert_null(strstr(said, "did you mean"));
    }
    assert_int_equal(parse("--mod=x|a").command, CLI_WRONG);
    assert_non_null(strstr(said, "ambiguous option --mod; could be --mode --model"));
}

static void environment_is_a_default(void **state)
{
    (void)state;
    setenv("PRELU_SERVER", "http://env:1", 1);
    assert_string_equal(parse("x").server, "http://env:1");
    assert_string_equal(parse("--server|http://line|x").server, "http://line");
    setenv("PRELU_SERVER", "", 1);
    assert_string_equal(parse("x").server, CLI_DEFAULT_SERVER);
    unsetenv("PRELU_SERVER");
}

static void help_and_version_win(void **state)
{
    (void)state;
    assert_int_equal(parse("--help|--nonsense").command, CLI_HELP);
    assert_int_equal(parse("-V").command, CLI_VERSION);
}

static void table_and_help_agree(unsigned command)
{
    char text[8192] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    char *save = NULL;

    assert_non_null(out);
    cli_options_help(out, command == CLI_FOR_BENCH);
    fclose(out);
    for (size_t i = 0; i < cli_option_count; i++) {
        const cli_option *row = &cli_option_table[i];
        char flag[80];

        if (!(row->commands & command))
            continue;
        snprintf(flag, sizeof flag, "--%s ", row->name);
        assert_non_null(strstr(text, flag));
        for (size_t j = 0; j < i; j++) {
            if (!(cli_option_table[j].commands & command))
                continue;
            assert_string_not_equal(row->name, cli_option_table[j].name);
            assert_false(row->letter && row->letter == cli_option_table[j].letter);
        }
    }
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
        assert_in_range(strlen(l), 0, 79);
}

static void tables_and_helps_agree(void **state)
{
    (void)state;
    table_and_help_agree(CLI_FOR_CLASSIFY);
    table_and_help_agree(CLI_FOR_BENCH);
}

static void bench_has_options_of_its_own(void **state)
{
    cli_options o =
        parse("bench|-c|3|--duration|2s|--warmup|0|--seed=9|--same|--save|s|--compare|c|"
              "a.jpg");

    (void)state;
    assert_int_equal(o.command, CLI_RUN);
    assert_true(o.bench && o.same);
    assert_int_equal(o.connections, 3);
    assert_true(o.duration_s > 1.99 && o.duration_s < 2.01);
    assert_true(o.warmup_s == 0 && o.rate == 0 && o.p99_s == 0);
    assert_int_equal(o.seed, 9);
    assert_int_equal(o.retries, 0);
    assert_string_equal(o.save, "s");
    assert_string_equal(o.compare, "c");
    assert_int_equal(parse("bench|a").connections, 8);
    o = parse("bench|--rate|12.5|a");
    assert_int_equal(o.connections, 256);
    assert_true(o.rate == 12.5);
    assert_int_equal(parse("bench|--help").command, CLI_HELP);
    assert_int_equal(parse("bench|--rate=0|a").command, CLI_WRONG);
    assert_non_null(strstr(said, "requests per second"));
    assert_int_equal(parse("bench|--rate=1e9|a").command, CLI_WRONG);
    assert_int_equal(parse("bench|--rate=nan|a").command, CLI_WRONG);
    assert_int_equal(parse("bench|--rate=5|--p99=1s|a").command, CLI_WRONG);
    assert_non_null(strstr(said, "choose"));
    assert_int_equal(parse("bench|--p99=1s|-d|3s|a").command, CLI_WRONG);
    assert_non_null(strstr(said, "at least 4 times"));
    assert_int_equal(parse("bench|--p99=1s|-d|4s|a").command, CLI_RUN);
    assert_int_equal(parse("bench|--jobs=3|a").command, CLI_WRONG);
    assert_non_null(strstr(said, "Try prelu-classify bench --help"));
    assert_int_equal(parse("bench|--conections=3|a").command, CLI_WRONG);
    assert_non_null(strstr(said, "did you mean --connections?"));
    assert_int_equal(parse("bench").command, CLI_WRONG);
    assert_false(parse("./bench").bench);
    assert_int_equal(parse("--rate=3|a").command, CLI_WRONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(every_option_is_stored),
        cmocka_unit_test(double_dash_ends_options),
        cmocka_unit_test(times),
        cmocka_unit_test(bad_values_are_named),
        cmocka_unit_test(typos_get_the_nearest_flag),
        cmocka_unit_test(environment_is_a_default),
        cmocka_unit_test(help_and_version_win),
        cmocka_unit_test(tables_and_helps_agree),
        cmocka_unit_test(bench_has_options_of_its_own),
    };

    unsetenv("PRELU_SERVER");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
