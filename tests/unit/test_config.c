#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "config.h"
#include "prelu/log.h"
#include "prelu/mem.h"
#include <sys/stat.h>
#include <unistd.h>

static srv_config c;
static const char *env_name, *env_value;
static char file[64];

static const char *env(const char *name)
{
    return env_name && strcmp(name, env_name) == 0 ? env_value : NULL;
}

static int read_args(prelu_err *err, int argc, const char *const *argv)
{
    memset(err, 0, sizeof *err);
    srv_config_deinit(&c);
    return srv_config_read(&c, argc, (char **)argv, env, err);
}
#define READ(err, ...)                                                                             \
    read_args(err, (int)(sizeof((const char *[]){"prelu-serve", __VA_ARGS__}) / sizeof(char *)),   \
              (const char *[]){"prelu-serve", __VA_ARGS__})

static void write_file(const char *text)
{
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int set_up(void **state)
{
    (void)state;
    env_name = NULL;
    snprintf(file, sizeof file, "config-%ld.json", (long)getpid());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    srv_config_deinit(&c);
    unlink(file);
    return 0;
}

static void defaults(void **state)
{
    prelu_err err;
    (void)state;
    assert_int_equal(read_args(&err, 1, (const char *[]){"prelu-serve"}), 0);
    assert_string_equal(c.host, "127.0.0.1");
    assert_int_equal(c.port, 8080);
    assert_int_equal(c.max_body, 20 << 20);
    assert_int_equal(c.max_pixels, 50000000);
    assert_int_equal(c.request_timeout, INT64_C(30000000000));
    assert_int_equal(c.header_timeout, INT64_C(10000000000));
    assert_int_equal(c.max_images, 64);
    assert_int_equal(c.max_connections, 1024);
    assert_int_equal(c.top_k, 5);
    assert_int_equal(c.drain_delay, 0);
    assert_int_equal(c.log_format, SRV_LOG_JSON);
    assert_int_equal(c.log_level, PRELU_LOG_INFO);
    assert_int_equal(c.models.n, 0);
    assert_null(c.port_file);
    assert_false(c.no_ui || c.check || c.help);
}

static void flags(void **state)
{
    prelu_err err;
    (void)state;
    assert_int_equal(READ(&err, "--port=1", "--port", "2", "--mode", "10view", "--no-ui",
                          "--check=off", "--max-body=1.5KiB", "--max-batch-delay", "250us",
                          "--max-pixels", "2.5MP", "--model", "a=x", "--model=y"),
                     0);
    assert_int_equal(c.port, 2);
    assert_int_equal(c.mode, 1);
    assert_true(c.no_ui);
    assert_false(c.check);
    assert_int_equal(c.max_body, 1536);
    assert_int_equal(c.max_batch_delay, 250000);
    assert_int_equal(c.max_pixels, 2500000);
    assert_int_equal(c.models.n, 2);
    assert_string_equal(c.models.text[1], "y");
    assert_int_equal(READ(&err, "-h"), 0);
    assert_true(c.help);
}

static void precedence(void **state)
{
    prelu_err err;
    (void)state;
    write_file("{\"port\": 1, \"top-k\": 7, \"no-ui\": true, \"max-body\": \"1MiB\","
               " \"model\": [\"a\", \"b\"], \"host\": \"::1\"}");
    env_name = "PRELU_PORT";
    env_value = "2";
    assert_int_equal(READ(&err, "--top-k", "3", "--config", file), 0);
    assert_int_equal(c.port, 2);
    assert_int_equal(c.top_k, 3);
    assert_true(c.no_ui);
    assert_int_equal(c.max_body, 1 << 20);
    assert_string_equal(c.host, "::1");
    assert_int_equal(c.models.n, 2);
    assert_int_equal(READ(&err, "--port", "3", "--model", "x", "--config", file), 0);
    assert_int_equal(c.port, 3);
    assert_int_equal(c.models.n, 1); /* replaces the weaker source's, is not added to it */
    assert_string_equal(c.models.text[0], "x");
    env_name = "PRELU_CONFIG";
    env_value = file;
    assert_int_equal(read_args(&err, 1, (const char *[]){"prelu-serve"}), 0);
    assert_int_equal(c.top_k, 7);
}

static void printing_names_the_source(void **state)
{
    prelu_err err;
    char out[8192] = "";
    (void)state;
    write_file("{\"top-k\": 7}");
    env_name = "PRELU_MODE";
    env_value = "10view";
    assert_int_equal(READ(&err, "--port", "3", "--model=a", "--model=b", "--config", file), 0);
    FILE *f = fmemopen(out, sizeof out, "w");
    srv_config_print(&c, f);
    fclose(f);
    assert_non_null(strstr(out, "port = 3  (command line)\n"));
    assert_non_null(strstr(out, "mode = 10view  (environment)\n"));
    assert_non_null(strstr(out, "top-k = 7  (config file)\n"));
    assert_non_null(strstr(out, "max-body = 20MiB  (default)\n"));
    assert_non_null(strstr(out, "model = a  (command line)\nmodel = b  (command line)\n"));
    f = fmemopen(out, sizeof out, "w");
    srv_config_help(f);
    fclose(f);
    assert_non_null(strstr(out, "--max-batch-delay TIME"));
}

static void bad_command_lines(void **state)
{
    static const char *const bad[][2] = {
        {"--nonsense", NULL},
        {"--nonsense=1", NULL},
        {"file", NULL},
        {"--port", NULL},
        {"--port", "x"},
        {"--port", "-1"},
        {"--port", "65536"},
        {"--port=", NULL},
        {"--mode", "dance"},
        {"--mode", "center|"},
        {"--no-ui=1", NULL},
        {"--max-body", "0"},
        {"--max-body", "-1"},
        {"--max-body", "1Zi"},
        {"--max-body", "1e9"},
        {"--max-body", "1..5MiB"},
        {"--max-body", "MiB"},
        {"--request-timeout", "30"},
        {"--request-timeout", "0"},
        {"--request-timeout", "99999h"},
        {"--max-body", "99999999999999GB"},
        {"--max-body", "123456789012345678901234567890"},
        {"-x", NULL},
        {"--", NULL},
        {"--log-level", "loud"},
        {"--model", NULL},
        {"---port", "1"},
    };
    prelu_err err;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *argv[] = {"prelu-serve", bad[i][0], bad[i][1]};
        int code = read_args(&err, bad[i][1] ? 3 : 2, argv);
        if (code != SRV_EX_USAGE || !err.text[0])
            fail_msg("%s %s: %d %s", bad[i][0], bad[i][1] ? bad[i][1] : "", code, err.text);
    }
    const char *models[2 * SRV_MAX_LIST + 3] = {"prelu-serve"};
    for (int i = 0; i <= SRV_MAX_LIST; i++) {
        models[1 + 2 * i] = "--model";
        models[2 + 2 * i] = "m";
    }
    assert_int_equal(read_args(&err, 2 * SRV_MAX_LIST + 1, models), 0);
    assert_int_equal(read_args(&err, 2 * SRV_MAX_LIST + 3, models), SRV_EX_USAGE);
}

static void bad_files_and_environments(void **state)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "1",
                                      "{\"x\":1}",
                                      "{\"port\":{}}",
                                      "{\"port\":[[]]}",
                                      "{\"port\":null}",
                                      "{\"port\":1,\"port\":2}",
                                      "{\"port\":-1}",
                                      "{\"mode\":\"x\"}",
                                      "{\"port\":1.5}"};
    prelu_err err;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file(bad[i]);
        int code = READ(&err, "--config", file);
        if (code != SRV_EX_CONFIG || !err.text[0])
            fail_msg("%s: %d", bad[i], code);
    }
    assert_int_equal(READ(&err, "--config", "/no/such/file"), SRV_EX_NOINPUT);
    env_name = "PRELU_MAX_IMAGES";
    env_value = "many";
    assert_int_equal(read_args(&err, 1, (const char *[]){"prelu-serve"}), SRV_EX_CONFIG);
    assert_non_null(strstr(err.text, "PRELU_MAX_IMAGES"));
}

static void names_before_paths(void **state)
{
    size_t n;
    (void)state;
    assert_string_equal(srv_config_split("a=b.onnx", &n), "b.onnx");
    assert_int_equal(n, 1);
    assert_string_equal(srv_config_split("dir/a=b.onnx", &n), "dir/a=b.onnx");
    assert_int_equal(n, 0);
    assert_string_equal(srv_config_split("=b", &n), "=b");
    assert_string_equal(srv_config_split("b", &n), "b");
    assert_string_equal(srv_config_split("a=", &n), "");
}

/* Any allocation of ours may fail: an error or success, no leak, no crash. (jansson's own memory is
 * not counted.) */
static void without_memory(void **state)
{
    prelu_err err;
    (void)state;
    int code = 1;
    for (size_t nth = 1; code && nth < 1000; nth++) {
        prelu_alloc_fail_from(nth);
        code = READ(&err, "--port", "3", "--model=a", "--host", "h");
        prelu_alloc_fail_from(0);
        if (code)
            assert_true(err.code == PRELU_E_NOMEM || err.text[0]);
    }
    assert_int_equal(code, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(defaults),           T(flags),
        T(precedence),         T(printing_names_the_source),
        T(bad_command_lines),  T(bad_files_and_environments),
        T(names_before_paths), T(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
