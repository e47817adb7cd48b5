/* test_load_report.c: what a run of the load generator found, as text (load/report.h). */
#include "suite.h"

#include "load/report.h"

static struct capture capture;
static struct load_settings settings;
static struct load_tally rounds[2];
static struct load_result result;
static const char *target = "127.0.0.1:7";

/* The report on the settings and the result as they stand. */
static const char *report_as(const char *form)
{
    int status;

    capture_begin(&capture, STDOUT_FILENO);
    status = report_print(report_form(form), report_view(&settings, target, &result));
    capture_end(&capture);
    ck_assert_int_eq(status, 0);
    return capture.text;
}

static const char *report(void)
{
    return report_as("text");
}

static const char *failures(void)
{
    capture_begin(&capture, STDERR_FILENO);
    report_failures("echoload", &result);
    return capture_end(&capture);
}

static void fill_times(struct histogram *times, int unit)
{
    for (int i = 1; i <= 100; i++)
        histogram_record(times, i * unit * 1e-6);
}

/* Figures of which each is another: those of one round, or of all. */
static void fill_tally(struct load_tally *tally)
{
    tally->seconds = 2.5;
    tally->count = 1000000007;
    tally->rate = 400000002.84;
    tally->late = 3;
    tally->failures = 54321;
    tally->failed[FAILED_CONNECT] = 1;
    tally->failed[FAILED_RESET] = 20;
    tally->failed[FAILED_EARLY] = 300;
    tally->failed[FAILED_WRONG] = 4000;
    tally->failed[FAILED_TIMEOUT] = 50000;
    tally->pauses = 7;
    tally->busy = 87.65;
    fill_times(&tally->latency, 1);
    fill_times(&tally->connect, 10);
    fill_times(&tally->first, 100);
    fill_times(&tally->message, 1000);
    fill_times(&tally->service, 10000);
}

/* A run in which every figure is another. */
static void fill_in(void)
{
    settings.mode = load_mode("ping");
    settings.concurrency = 12;
    settings.working = (struct load_ramp){12, 12};
    settings.size = 64;
    settings.rate = (struct load_ramp){1500, 1500};
    settings.rounds = 2;
    settings.duration = 1.25;
    settings.warm_up = 0.5;
    settings.timeout = 30;
    settings.processes = 4;
    settings.held = 99; /* what was wanted; the report tells what came of it */
    result.rounds = rounds;
    result.round_count = 2;
    fill_tally(&result.sum);
    fill_tally(&rounds[0]);
    fill_tally(&rounds[1]);
    rounds[1].rate = 17;
    result.spread = (struct load_spread){2, 1.06, 300};
    result.opening = 0.125;
    result.held = 80;
    result.held_failed = 15;
    result.held_lost = 4;
    result.held_opening = 1.0625;
}

/* The value behind a name in a text. */
static double latency_of(const char *text, const char *name)
{
    char start[64];
    const char *line;

    snprintf(start, sizeof start, "\n%-15s ", name);
    line = strstr(text, start);
    ck_assert_msg(line != NULL, "%s", name);
    ck_assert_msg(strncmp(line + strlen(start) + strcspn(line + strlen(start), " "), " us\n", 4) == 0,
                  "%s", name);
    return strtod(line + strlen(start), NULL);
}

static const char *const prefixes[] = {"", "connect-", "first-", "message-", "service-"};

/* Catches a name that changes, a line that is left out or in another place, and a figure under
 * the wrong name: all that reads reports by name depends on it. */
START_TEST(each_figure_stands_under_its_name)
{
    char *cut;

    fill_in();
    report();
    ck_assert_ptr_nonnull(strstr(capture.text, "\nclient-busy     87.7 %\n"
                                               "opening         0.125 s\n"
                                               "held            80\n"
                                               "held-failed     15\n"
                                               "held-lost       4\n"
                                               "held-opening    1.062 s\n"
                                               "limited-by      -\n"));
    cut = strstr(capture.text, "p50 ");
    ck_assert_ptr_nonnull(cut);
    *cut = '\0';
    ck_assert_str_eq(capture.text, "mode            ping\n"
                                   "target          127.0.0.1:7\n"
                                   "concurrency     12\n"
                                   "size            64 bytes\n"
                                   "rate-asked      1500.0 messages/s\n"
                                   "ramp            -\n"
                                   "rounds          2\n"
                                   "duration        1.250 s\n"
                                   "warm-up         0.500 s\n"
                                   "timeout         30.000 s\n"
                                   "processes       4\n"
                                   "seconds         2.500 s\n"
                                   "count           1000000007 messages\n"
                                   "rate            400000002.8 messages/s\n"
                                   "rate-min        1.1 messages/s\n"
                                   "rate-max        300.0 messages/s\n"
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

/* Catches a time under the name of another, another percentile, and another unit. */
START_TEST(each_latency_stands_under_its_name)
{
    static const struct {
        const char *name;
        double expected;
    } times[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 100}, {"p99.99", 100}, {"max", 100}};
    double unit = 1;

    fill_in();
    report();
    for (size_t i = 0; i < SUITE_LENGTH(prefixes); i++) {
        for (size_t k = 0; k < SUITE_LENGTH(times); k++) {
            double expected = times[k].expected * unit;
            char name[32];
            snprintf(name, sizeof name, "%s%s", prefixes[i], times[k].name);
            ck_assert_double_eq_tol(latency_of(capture.text, name), expected, expected / 100);
        }
        unit *= 10;
    }
}
END_TEST

/* Catches a line that is only there when there is something to tell, and a latency of nothing
 * that looks like a very good one. */
START_TEST(a_run_of_nothing_has_every_line)
{
    int lines;

    fill_in();
    lines = lines_of(report());
    memset(&result.sum, 0, sizeof result.sum);
    settings.rate = (struct load_ramp){0, 0};
    ck_assert_int_eq(lines_of(report()), lines);
    ck_assert_ptr_nonnull(strstr(capture.text, "\nrate-asked      -\n"));
    for (size_t i = 0; i < SUITE_LENGTH(prefixes); i++) {
        char name[32], line[48];
        snprintf(name, sizeof name, "%sp99.9", prefixes[i]);
        snprintf(line, sizeof line, "\n%-15s -\n", name);
        ck_assert_msg(strstr(capture.text, line) != NULL, "%s", line);
    }
}
END_TEST

/* How many fields a line of CSV has; quotes are looked at. */
static int fields_of(const char *line)
{
    bool quoted = false;
    int fields = 1;

    for (; *line != '\n' || quoted; line++) {
        ck_assert(*line != '\0');
        quoted ^= *line == '"';
        fields += *line == ',' && !quoted;
    }
    return fields;
}

/* Catches a row that lacks a field or has one that the first line does not name, figures of all
 * rounds in the row of one, and a target that takes the row apart. */
START_TEST(each_round_is_a_row_of_csv)
{
    const char *text, *first, *second;

    fill_in();
    target = "/tmp/a, \"b\"";
    text = report_as("csv");
    ck_assert_int_eq(lines_of(text), 3);
    first = strchr(text, '\n') + 1;
    second = strchr(first, '\n') + 1;
    ck_assert_int_eq(fields_of(first), fields_of(text));
    ck_assert_int_eq(fields_of(second), fields_of(text));
    ck_assert_int_eq(strncmp(text, "mode,target,concurrency,size,rate-asked,ramp,", 45), 0);
    ck_assert_ptr_null(strstr(text, "rate-min"));
    ck_assert_int_eq(strncmp(first, "ping,\"/tmp/a, \"\"b\"\"\",12,64,1500.0,,2,1.250,0.500,30.000,4,"
                                    "1,2.500,2.500,1000000007,400000002.8,3,54321,1,20,", 101), 0);
    ck_assert_ptr_nonnull(strstr(second, ",2,2.500,2.500,1000000007,17.0,3,"));
    memset(&rounds[0].first, 0, sizeof rounds[0].first);
    ck_assert_ptr_nonnull(strstr(report_as("csv"), ",,,,,,"));
}
END_TEST

/* Catches a row of an interval that is at another time, or asked for what another was asked for; and a
 * last one, cut short, that ends when it was to end. */
START_TEST(each_interval_is_a_row_at_its_time)
{
    const char *text, *second;

    fill_in();
    settings.rounds = 1;
    settings.duration = 5;
    settings.interval = 2.5;
    settings.rate = (struct load_ramp){1000, 2000};
    rounds[1].seconds = 1;
    text = report_as("csv");
    ck_assert_ptr_nonnull(strstr(text, "\nping,127.0.0.1:7,12,64,1250.0,rate=1000..2000,"));
    ck_assert_ptr_nonnull(strstr(text, ",4,1,2.500,2.500,1000000007,"));
    second = strstr(text, "\nping,127.0.0.1:7,12,64,1600.0,rate=1000..2000,");
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_nonnull(strstr(second, ",4,1,3.500,1.000,1000000007,"));
    settings.rate = (struct load_ramp){0, 0};
    settings.working = (struct load_ramp){12, 2};
    text = report_as("csv");
    ck_assert_ptr_nonnull(strstr(text, "\nping,127.0.0.1:7,10,64,,concurrency=12..2,"));
    ck_assert_ptr_nonnull(strstr(text, "\nping,127.0.0.1:7,6,64,,concurrency=12..2,"));
    ck_assert_ptr_nonnull(strstr(report(), "\nconcurrency     12\n"));
    ck_assert_ptr_nonnull(strstr(capture.text, "\nramp            concurrency=12..2\n"));
}
END_TEST

/* Catches JSON that is none, or that has a figure in the wrong part; whole documents are read by
 * the behaviour tests. */
START_TEST(json_has_settings_rounds_and_a_summary)
{
    const char *text, *list, *summary;

    fill_in();
    target = "/tmp/\"\\\n\x80";
    settings.rate = (struct load_ramp){0, 0};
    text = report_as("json");
    ck_assert_int_eq(strncmp(text, "{\"settings\":{\"mode\":\"ping\",\"target\":\"/tmp/\\u0022\\u005c\\u000a"
                                   "\\u0080\",\"concurrency\":12,", 80), 0);
    ck_assert_ptr_nonnull(strstr(text, "\"rate-asked\":null,"));
    list = strstr(text, "\"rounds\":[\n{\"round\":1,\"elapsed\":2.500,\"seconds\":2.500,");
    ck_assert_ptr_nonnull(list);
    ck_assert_ptr_nonnull(strstr(list, ",\n{\"round\":2,"));
    summary = strstr(list, "],\n\"summary\":{\"seconds\":2.500,");
    ck_assert_ptr_nonnull(summary);
    ck_assert_ptr_nonnull(strstr(summary, "\"rate-min\":1.1,\"rate-max\":300.0,"));
    ck_assert_ptr_nonnull(strstr(summary, "\"held-opening\":1.062,\"limited-by\":null}}\n"));
    ck_assert_ptr_null(strstr(list, "\"mode\""));
}
END_TEST

/* Catches a form that is taken for another, or for one that there is not. */
START_TEST(a_form_has_one_name)
{
    ck_assert_ptr_nonnull(report_form("text"));
    ck_assert_ptr_nonnull(report_form("csv"));
    ck_assert_ptr_ne(report_form("json"), report_form("csv"));
    ck_assert_ptr_null(report_form("xml"));
    ck_assert_ptr_null(report_form(""));
    ck_assert_ptr_null(report_form("texts"));
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
    char size[64];

    fill_in();
    result.sum.count = result.sum.failures = UINT64_MAX;
    settings.size = SIZE_MAX - 1;
    snprintf(size, sizeof size, "\nsize            %zu bytes\n", settings.size);
    ck_assert_ptr_nonnull(strstr(report(), "\ncount           18446744073709551615 messages\n"));
    ck_assert_ptr_nonnull(strstr(capture.text, "\nfailed          18446744073709551615\n"));
    ck_assert_ptr_nonnull(strstr(capture.text, size));
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
    status = report_print(report_form("text"), report_view(&settings, target, &result));
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

/* The warning about the client itself, for a run of a hundred requests of a millisecond each. */
static const char *bottleneck(double busy, double lag, double rate)
{
    memset(&result.sum, 0, sizeof result.sum);
    fill_times(&result.sum.latency, 10);
    result.sum.count = 60;
    result.sum.late = 40;
    result.sum.busy = busy;
    result.sum.lag = lag * 100;
    settings.rate = (struct load_ramp){rate, rate};
    capture_begin(&capture, STDERR_FILENO);
    report_bottleneck("echoload", &settings, &result);
    return capture_end(&capture);
}

/* Catches figures of the client that pass for the server's, a warning when all is well, and advice
 * that cannot be followed. The median here is 500 us. */
START_TEST(a_client_that_was_the_bottleneck_says_so)
{
    settings.processes = 1;
    settings.concurrency = 5;
    ck_assert_str_eq(bottleneck(90, 0, 0), "");
    ck_assert_str_eq(bottleneck(97.3, 0, 0),
                     "echoload: this client was busy for 97 % of the time, so it may be what limited "
                     "the figures: spread the work over more (-j 2)\n");
    ck_assert_str_eq(bottleneck(10, 240e-6, 1000), "");
    ck_assert_str_eq(bottleneck(10, 300e-6, 1000),
                     "echoload: work began 0.3 ms late on average though a connection was free, "
                     "which is most of the latency: ask for a lower rate, or measure on a machine "
                     "with more time\n");
    ck_assert_str_eq(bottleneck(10, 300e-6, 0), ""); /* there was no schedule to be late for */
    ck_assert_int_eq(lines_of(bottleneck(99, 300e-6, 1000)), 1);
    settings.processes = 3;
    ck_assert_str_eq(bottleneck(97.3, 0, 0),
                     "echoload: one process of this client was busy for 97 % of the time, so it may "
                     "be what limited the figures: spread the work over more (-j 5)\n");
    settings.concurrency = 3;
    ck_assert_str_eq(bottleneck(97.3, 0, 0),
                     "echoload: one process of this client was busy for 97 % of the time, so it may "
                     "be what limited the figures\n");
    settings.processes = 200;
    settings.concurrency = 1000;
    ck_assert_ptr_ne(strstr(bottleneck(97.3, 0, 0), "(-j 256)"), NULL);
}
END_TEST

/* Catches a division by the requests of a run that had none. */
START_TEST(a_run_of_nothing_is_no_bottleneck)
{
    memset(&result.sum, 0, sizeof result.sum);
    settings.rate = (struct load_ramp){1000, 1000};
    capture_begin(&capture, STDERR_FILENO);
    report_bottleneck("echoload", &settings, &result);
    ck_assert_str_eq(capture_end(&capture), "");
}
END_TEST

SUITE("load_report", each_figure_stands_under_its_name, each_latency_stands_under_its_name,
      a_run_of_nothing_has_every_line, each_round_is_a_row_of_csv,
      each_interval_is_a_row_at_its_time,
      json_has_settings_rounds_and_a_summary, a_form_has_one_name, the_units_are_those_of_the_mode,
      the_largest_counts_are_whole, a_report_that_is_not_taken_is_a_failure,
      a_client_that_was_the_bottleneck_says_so, a_run_of_nothing_is_no_bottleneck,
      no_failure_is_not_mentioned, the_first_failure_is_told_with_its_reason)
