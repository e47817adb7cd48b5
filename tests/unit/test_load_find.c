/* test_load_find.c: what stopped the search for the highest rate (load/find.h). The search itself is in
 * tests/behaviour/test_load.py. */
#include "suite.h"

#include "load/find.h"

static struct load_tally sum;
static char reason[FIND_REASON_MAX];

/* Of a client that used this share of a processor, in percent, and began ten requests late by so many
 * seconds each; their median took a millisecond. */
static const char *limit(double busy, double lag, uint64_t pauses, double idle)
{
    sum = (struct load_tally){.busy = busy, .lag = 10 * lag, .count = 10, .pauses = pauses};
    histogram_record(&sum.latency, 1e-3);
    return find_limit(&sum, true, idle, reason);
}

/* Catches a server that is blamed for its client or their machine, and a machine or a client that
 * are blamed though they had time. */
START_TEST(what_had_no_time_left_is_the_limit)
{
    ck_assert_str_eq(limit(50, 0, 0, 0.5), "server");
    ck_assert_str_eq(reason, "this machine was idle for 50 % of the time, and a process of echoload used "
                             "50 % of a processor");
    ck_assert_str_eq(limit(91, 0, 0, 0.5), "client");
    ck_assert_str_eq(reason, "a process of echoload used 91 % of a processor (-j)");
    ck_assert_str_eq(limit(91, 0, 0, 0.01), "client");
    ck_assert_str_eq(limit(50, 0, 0, 0.14), "machine");
    ck_assert_str_eq(reason, "its processors were idle for 14 % of the time");
    ck_assert_str_eq(limit(50, 0, 0, 0), "machine");
    ck_assert_str_eq(limit(50, 0, 0, 0.16), "server");
}
END_TEST

/* Catches a client whose own lateness passes for the server's; and one that was late as all were. */
START_TEST(a_client_that_is_late_is_the_limit_where_there_was_time)
{
    ck_assert_str_eq(limit(50, 0.0006, 0, 0.5), "client");
    ck_assert_str_eq(reason, "it began requests 0.6 ms late on average");
    ck_assert_str_eq(limit(50, 0.0006, 0, 0.01), "machine");
    ck_assert_str_eq(limit(50, 0.0006, 0, -1), "client");
    ck_assert_str_eq(limit(50, 0.0004, 0, 0.5), "server");
}
END_TEST

/* Catches ports that ran out and are taken for a slow server, but for a Unix socket's backlog. */
START_TEST(ports_are_the_clients)
{
    ck_assert_str_eq(limit(50, 0, 7, 0.5), "client");
    ck_assert_str_eq(reason, "7 times no local port was free");
    ck_assert_str_eq(find_limit(&sum, false, 0.5, reason), "server");
}
END_TEST

/* Catches a guess where the system does not say. */
START_TEST(what_cannot_be_known_is_said)
{
    ck_assert_str_eq(limit(50, 0, 0, -1), "unknown");
    ck_assert_str_eq(reason, "this system does not say how idle its processors were");
    ck_assert_str_eq(limit(95, 0, 0, -1), "client");
}
END_TEST

SUITE("load_find", what_had_no_time_left_is_the_limit,
      a_client_that_is_late_is_the_limit_where_there_was_time, ports_are_the_clients,
      what_cannot_be_known_is_said)
