/* test_load_report.c: what a run of the load generator found, as text (load_report.h). */
#include "suite.h"

#include "load_report.h"

static struct capture capture;
static struct load_settings settings;
static struct load_result result;

/* The report on the settings and the result as they stand. */
static const char *report(void)
{
    int status;

    capture_begin(&capture, STDOUT_FILENO);
    status = report_print(&settings, "127.0.0.1:7", &result);
    capture_end(&capture);
    ck_assert_int_eq(status, 0);
    return capture.text;
}

static const char *failures(void)
{
    capture_begin(&capture, STDERR_FILENO);
    report_failures("echoload", &result);
    return capture_end(&capture);
}

/* A run in which every figure is another. */
static void fill_in(void)
{
    settings.mode = load_mode("ping");
    settings.concurrency = 12;
    settings.size = 64;
    settings.held = 99; /* what was wanted; the report tells what came of it */
    result.seconds = 2.5;
    result.count = 1000000007;
    result.rate = 400000002.84;
    result.late = 3;
    result.failed[FAILED_CONNECT] = 1;
    result.failed[FAILED_RESET] = 20;
    result.failed[FAILED_EARLY] = 300;
    result.failed[FAILED_WRONG] = 4000;
    result.failed[FAILED_TIMEOUT] = 50000;
    result.pauses = 7;
    result.opening = 0.125;
    result.held = 80;
    result.held_failed = 15;
    result.held_lost = 4;
    result.held_opening = 1.0625;
    for (int i = 1; i <= 100; i++)
        histogram_record(&result.latency, i * 1e-6);
}

/* Catches a name that changes, a line that is left out or in another place, a figure under the
 * wrong name, and a latency in another unit: all that reads reports by name depends on it. */
START_TEST(each_figure_stands_under_its_name)
{
    static const char *const latencies[] = {"p50", "p90", "p99"};
    const char *text;
    char *cut;

    fill_in();
    text = report();
    ck_assert_ptr_nonnull(strstr(text, "\nmax             100.0 us\n"));
    for (size_t i = 0; i < SUITE_LENGTH(latencies); i++) {
        static const double expected[] = {50, 90, 99};
        char name[8];
        const char *line;
        snprintf(name, sizeof name, "\n%s ", latencies[i]);
        line = strstr(text, name);
        ck_assert_ptr_nonnull(line);
        ck_assert_double_eq_tol(strtod(line + strlen(name), NULL), expected[i],
                                expected[i] / 100);
    }
    cut = strstr(capture.text, "p50 ");
    ck_assert_ptr_nonnull(cut);
    ck_assert_ptr_nonnull(strstr(cut, "\nopening         0.125 s\n"
                                      "held            80\n"
                                      "held-failed     15\n"
                                      "held-lost       4\n"
                                      "held-opening    1.062 s\n"));
    *cut = '\0';
    ck_assert_str_eq(capture.text, "mode            ping\n"
                                   "target          127.0.0.1:7\n"
                                   "concurrency     12\n"
                                   "size            64 bytes\n"
                                   "seconds         2.500 s\n"
                                   "count           1000000007 messages\n"
                                   "rate            400000002.8 messages/s\n"
                                   "late            3 messages\n"
                                   "failed          54321\n"
                                   "failed-connect  1\n"
                                   "failed-reset    20\n"
                                   "failed-early    300\n"
                                   "failed-wrong    4000\n"
                                   "failed-timeout  50000\n"
                                   "pauses          7\n");
}
END_TEST

/* Catches a line that is only there when there is something to tell, and a latency of nothing
 * that looks like a very good one. */
START_TEST(a_run_of_nothing_has_every_line)
{
    static const char *const latencies[] = {"p50", "p90", "p99", "max"};
    int lines;

    fill_in();
    lines = lines_of(report());
    memset(&result, 0, sizeof result);
    ck_assert_int_eq(lines_of(report()), lines);
    for (size_t i = 0; i < SUITE_LENGTH(latencies); i++) {
        char line[32];
        snprintf(line, sizeof line, "\n%-15s -\n", latencies[i]);
        ck_assert_msg(strstr(capture.text, line) != NULL, "%s", latencies[i]);
    }
}
END_TEST

/* Catches units that are not the mode's. */
START_TEST(the_units_are_those_of_the_mode)
{
    settings.mode = load_mode("stream");
    ck_assert_ptr_nonnull(strstr(report(), "\ncount           0 bytes\n"));
    ck_assert_ptr_nonnull(strstr(capture.text, "\nrate            0.0 MB/s\n"));
    ck_assert_ptr_nonnull(strstr(capture.text, "\nlate            0 bytes\n"));
    settings.mode = load_mode("connect");
    ck_assert_ptr_nonnull(strstr(report(), "\nrate            0.0 connections/s\n"));
}
END_TEST

/* Catches counts that pass through a smaller type. */
START_TEST(the_largest_counts_are_whole)
{
    fill_in();
    memset(result.failed, 0, sizeof result.failed);
    result.count = result.failed[FAILED_RESET] = UINT64_MAX;
    settings.size = UINT64_MAX - 1;
    ck_assert_ptr_nonnull(strstr(report(), "\ncount           18446744073709551615 messages\n"));
    ck_assert_ptr_nonnull(strstr(capture.text, "\nfailed          18446744073709551615\n"));
    ck_assert_ptr_nonnull(strstr(capture.text, "\nsize            18446744073709551614 bytes\n"));
}
END_TEST

/* Catches a report that nobody got and counts as given: the disk is full. */
START_TEST(a_report_that_is_not_taken_is_a_failure)
{
    int full = open("/dev/full", O_WRONLY), saved, status;

    if (full == -1)
        return; /* a system without that device */
    fill_in();
    fflush(stdout);
    saved = dup(STDOUT_FILENO);
    dup2(full, STDOUT_FILENO);
    status = report_print(&settings, "127.0.0.1:7", &result);
    dup2(saved, STDOUT_FILENO);
    ck_assert_int_eq(status, -1);
}
END_TEST

/* Catches words about failures where there were none. */
START_TEST(no_failure_is_not_mentioned)
{
    ck_assert_str_eq(failures(), "");
}
END_TEST

/* Catches a reason that is told in the words of another. */
START_TEST(the_first_failure_is_told_with_its_reason)
{
    static const char *const phrases[FAILURES] = {
        [FAILED_CONNECT] = "could not connect",
        [FAILED_RESET] = "reset by the server",
        [FAILED_EARLY] = "ended before all was echoed",
        [FAILED_WRONG] = "wrong bytes",
        [FAILED_TIMEOUT] = "no answer in time",
    };

    for (int i = 0; i < FAILURES; i++) {
        char expected[200];
        result.failures = 5;
        result.first_failure = (enum load_failure)i;
        result.first_error = 0;
        snprintf(expected, sizeof expected, "echoload: 5 failures, the first: %s\n", phrases[i]);
        ck_assert_str_eq(failures(), expected);
        result.failures = 1;
        result.first_error = ECONNREFUSED;
        snprintf(expected, sizeof expected, "echoload: 1 failure, the first: %s: %s\n", phrases[i],
                 strerror(ECONNREFUSED));
        ck_assert_str_eq(failures(), expected);
    }
}
END_TEST

SUITE("load_report", each_figure_stands_under_its_name, a_run_of_nothing_has_every_line,
      the_units_are_those_of_the_mode, the_largest_counts_are_whole,
      a_report_that_is_not_taken_is_a_failure, no_failure_is_not_mentioned,
      the_first_failure_is_told_with_its_reason)
