#include "check.h"
#include "metrics.h"
#include <pthread.h>

static const char *const routes[] = {"/classify", "/healthz"};
static const char *const modes[] = {"center", "10view", "dense", "multiscale"};
static srv_metrics m;

static char *text_of(void)
{
    srv_gauges g = {.queue_depth = 3,
                    .queue_units = 30,
                    .queue_capacity = 512,
                    .ready = true,
                    .version = "1.2.3",
                    .n_models = 1,
                    .models = {{"net", "1", "abc", "fp32", 0.25}}};
    static srv_text t;
    srv_text_deinit(&t);
    t = (srv_text){.limit = 1 << 20};
    srv_metrics_write(&m, &g, &t);
    assert_false(t.failed);
    return t.data;
}

static void has(const char *line)
{
    char *text = text_of();
    size_t len = strlen(line);
    for (char *at = text; (at = strstr(at, line)); at++)
        if ((at == text || at[-1] == '\n') && at[len] == '\n')
            return;
    fail_msg("no line \"%s\" in:\n%s", line, text);
}

static void counters_and_gauges(void **state)
{
    (void)state;
    srv_metrics_init(&m, routes, 2, modes);
    srv_metrics_request(&m, 0, 200, 0.003);
    srv_metrics_request(&m, 0, 200, 0.004);
    srv_metrics_request(&m, 2, 404, 0.001);
    srv_metrics_request(&m, -1, 404, 0.001);
    srv_metrics_request(&m, 0, 0, 0.001);
    srv_metrics_rejected(&m, SRV_REJECT_QUEUE_FULL);
    srv_metrics_cancelled(&m, SRV_STAGE_QUEUE);
    srv_metrics_image(&m, 1, 0.97);
    srv_metrics_image(&m, 7, 0.5);
    has("prelu_http_requests_total{route=\"/classify\",code=\"200\"} 2");
    has("prelu_http_requests_total{route=\"/classify\",code=\"499\"} 1");
    has("prelu_http_requests_total{route=\"other\",code=\"404\"} 2");
    has("prelu_rejected_total{reason=\"queue_full\"} 1");
    has("prelu_cancelled_total{stage=\"queue\"} 1");
    has("prelu_images_total{format=\"jpeg\",mode=\"10view\"} 1");
    has("prelu_images_total{format=\"jpeg\",mode=\"center\"} 0");
    has("prelu_queue_depth 3");
    has("prelu_queue_work_units 30");
    has("prelu_queue_capacity 512");
    has("prelu_ready 1");
    has("prelu_build_info{version=\"1.2.3\"} 1");
    has("prelu_model_info{model=\"net\",version=\"1\",sha256=\"abc\",precision=\"fp32\"} 1");
    has("prelu_model_load_seconds{model=\"net\",version=\"1\"} 0.250000");
    assert_non_null(strstr(text_of(), "\nprocess_resident_memory_bytes "));
}

static void histograms_are_cumulative(void **state)
{
    (void)state;
    srv_metrics_init(&m, routes, 2, modes);
    srv_metrics_batch(&m, 1);
    srv_metrics_batch(&m, 2); /* a bound is inside its bucket */
    srv_metrics_batch(&m, 3);
    srv_metrics_batch(&m, 100000);
    has("prelu_batch_size_bucket{le=\"1\"} 1");
    has("prelu_batch_size_bucket{le=\"2\"} 2");
    has("prelu_batch_size_bucket{le=\"4\"} 3");
    has("prelu_batch_size_bucket{le=\"256\"} 3");
    has("prelu_batch_size_bucket{le=\"+Inf\"} 4");
    has("prelu_batch_size_sum 100006.000000");
    has("prelu_batch_size_count 4");
    srv_metrics_stage(&m, SRV_STAGE_INFER, 0.75);
    srv_metrics_stage(&m, SRV_STAGE_INFER, (double)NAN);
    srv_metrics_stage(&m, SRV_STAGE_INFER, -1);
    has("prelu_stage_duration_seconds_bucket{stage=\"infer\",le=\"0.00025\"} 2");
    has("prelu_stage_duration_seconds_bucket{stage=\"infer\",le=\"1\"} 3");
    has("prelu_stage_duration_seconds_sum{stage=\"infer\"} 0.750000");
}

/* Every sample stands under the TYPE of its family, families are not split, and none is twice. */
static void the_format_is_prometheus(void **state)
{
    char family[80] = "", seen[4096] = " ";
    (void)state;
    srv_metrics_init(&m, routes, 2, modes);
    srv_metrics_request(&m, 0, 200, 0.003);
    for (char *line = strtok(text_of(), "\n"); line; line = strtok(NULL, "\n")) {
        char name[80], type[16], key[90];
        if (sscanf(line, "# TYPE %79s %15s", name, type) == 2) {
            snprintf(key, sizeof key, " %s ", name);
            assert_null(strstr(seen, key));
            strncat(seen, key + 1, sizeof seen - strlen(seen) - 1);
            snprintf(family, sizeof family, "%s", name);
            assert_true(strcmp(type, "counter") || strstr(name, "_total"));
        } else if (line[0] != '#') {
            assert_int_equal(strncmp(line, family, strlen(family)), 0);
            char *space = strrchr(line, ' '), *end;
            double v = strtod(space + 1, &end);
            assert_true(*end == 0 && v >= 0);
        }
    }
    assert_true(strlen(family) > 0);
}

static void *count_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10000; i++)
        srv_metrics_request(&m, 0, 200, 0.001);
    return NULL;
}

static void no_update_is_lost(void **state)
{
    pthread_t t[4];
    (void)state;
    srv_metrics_init(&m, routes, 2, modes);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, count_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    has("prelu_http_requests_total{route=\"/classify\",code=\"200\"} 40000");
    has("prelu_http_request_duration_seconds_sum{route=\"/classify\"} 40.000000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_gauges),
        cmocka_unit_test(histograms_are_cumulative),
        cmocka_unit_test(the_format_is_prometheus),
        cmocka_unit_test(no_update_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
