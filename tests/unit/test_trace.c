#include "check.h"
#include "trace.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static const uint64_t random_numbers[3] = {0x10, 2, 4};
static const char own[] = "00-00000000000000110000000000000002-0000000000000005-00";

static const char *made(const char *given)
{
    static char out[SRV_TRACE_LEN + 1];
    srv_trace_make(out, given, random_numbers);
    assert_int_equal(strlen(out), SRV_TRACE_LEN);
    return out;
}

static void a_trace_goes_on(void **state)
{
    char id[SRV_TRACE_ID + 1];
    (void)state;
    const char *ours = made("00-" TRACE "-" SPAN "-01");
    assert_string_equal(ours, "00-" TRACE "-0000000000000005-01");
    srv_trace_id(id, ours);
    assert_string_equal(id, TRACE);
    assert_string_equal(made("cc-" TRACE "-" SPAN "-01-later"), "00-" TRACE "-0000000000000005-01");
}

static void what_is_no_trace_begins_one(void **state)
{
    static const char *const bad[] = {NULL,
                                      "",
                                      "00",
                                      "00-" TRACE "-" SPAN "-0",
                                      "00-" TRACE "-" SPAN "-011",
                                      "00-" TRACE "-" SPAN "-01-more",
                                      "ff-" TRACE "-" SPAN "-01",
                                      "0g-" TRACE "-" SPAN "-01",
                                      "00_" TRACE "-" SPAN "-01",
                                      "00-" TRACE "_" SPAN "-01",
                                      "00-" TRACE "-" SPAN "_01",
                                      "00-" TRACE "-" SPAN "-0G",
                                      "00-" TRACE "-0000000000000000-01",
                                      "00-00000000000000000000000000000000-" SPAN "-01",
                                      "00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_string_equal(made(bad[i]), own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_trace_goes_on),
                                       cmocka_unit_test(what_is_no_trace_begins_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
