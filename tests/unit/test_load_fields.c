/* test_load_fields.c: the figures of a report, their names, sources and units (load/fields.h). */
#include "suite.h"

#include "load/fields.h"

#include <float.h>

#define ALL (FIELD_SETTING | FIELD_ROUND | FIELD_MEASURED | FIELD_SPREAD | FIELD_RUN)

/* Longer than any figure. */
#define VALUE_MAX 512

static struct load_settings settings;
static struct load_tally tally;
static struct load_result result; /* its sum is another tally */
static struct load_view view = {.settings = &settings, .result = &result, .tally = &tally,
                                .mode = "ping", .target = "127.0.0.1:7", .round = 2,
                                .elapsed = 7.5};

/* What was taken. */
static struct {
    const char *name, *unit;
    char value[VALUE_MAX];
    bool is_there, is_number;
} taken[128];
static size_t taken_count;

static void take(void *context, const struct figure *figure)
{
    ck_assert_ptr_eq(context, taken);
    ck_assert_uint_lt(taken_count, SUITE_LENGTH(taken));
    ck_assert_ptr_nonnull(figure->unit);
    taken[taken_count].name = figure->name;
    taken[taken_count].unit = figure->unit;
    taken[taken_count].is_number = figure->is_number;
    taken[taken_count].is_there = figure->value != NULL;
    snprintf(taken[taken_count++].value, VALUE_MAX, "%s", figure->value != NULL ? figure->value : "");
}

static void take_all(unsigned scopes)
{
    taken_count = 0;
    fields_each(&view, scopes, take, taken);
}

static size_t place_of(const char *name)
{
    for (size_t i = 0; i < taken_count; i++)
        if (strcmp(taken[i].name, name) == 0)
            return i;
    ck_abort_msg("there is no %s", name);
    return 0;
}

/* Asserts what a figure is; NULL: there is none. */
static void expect(const char *name, const char *value, const char *unit)
{
    size_t place = place_of(name);

    ck_assert_msg(taken[place].is_there == (value != NULL), "%s: '%s'", name, taken[place].value);
    ck_assert_msg(value == NULL || strcmp(taken[place].value, value) == 0, "%s: '%s'", name,
                  taken[place].value);
    ck_assert_msg(strcmp(taken[place].unit, unit) == 0, "%s: in '%s'", name, taken[place].unit);
}

static void set_up(const char *mode)
{
    settings = (struct load_settings){.mode = load_mode(mode), .size = 64,
                                      .rounds = 3, .duration = 1.25, .processes = 4,
                                      .rate = {9, 9}, .working = {9, 9}};
    view.concurrency = 12;
    view.rate_asked = 0;
    view.limit = NULL;
}

static const struct {
    unsigned scope;
    const char *name;
} names[] = {
    {FIELD_SETTING, "mode"},
    {FIELD_SETTING, "target"},
    {FIELD_SETTING, "concurrency"},
    {FIELD_SETTING, "size"},
    {FIELD_SETTING, "rate-asked"},
    {FIELD_SETTING, "ramp"},
    {FIELD_SETTING, "rounds"},
    {FIELD_SETTING, "duration"},
    {FIELD_SETTING, "warm-up"},
    {FIELD_SETTING, "timeout"},
    {FIELD_SETTING, "processes"},
    {FIELD_ROUND, "round"},
    {FIELD_ROUND, "elapsed"},
    {FIELD_MEASURED, "seconds"},
    {FIELD_MEASURED, "count"},
    {FIELD_MEASURED, "rate"},
    {FIELD_SPREAD, "rate-min"},
    {FIELD_SPREAD, "rate-max"},
    {FIELD_MEASURED, "late"},
    {FIELD_MEASURED, "failed"},
    {FIELD_MEASURED, "failed-connect"},
    {FIELD_MEASURED, "failed-reset"},
    {FIELD_MEASURED, "failed-early"},
    {FIELD_MEASURED, "failed-wrong"},
    {FIELD_MEASURED, "failed-timeout"},
    {FIELD_MEASURED, "pauses"},
    {FIELD_MEASURED, "p50"},
    {FIELD_MEASURED, "p90"},
    {FIELD_MEASURED, "p99"},
    {FIELD_MEASURED, "p99.9"},
    {FIELD_MEASURED, "p99.99"},
    {FIELD_MEASURED, "max"},
    {FIELD_MEASURED, "connect-p50"},
    {FIELD_MEASURED, "connect-p90"},
    {FIELD_MEASURED, "connect-p99"},
    {FIELD_MEASURED, "connect-p99.9"},
    {FIELD_MEASURED, "connect-p99.99"},
    {FIELD_MEASURED, "connect-max"},
    {FIELD_MEASURED, "first-p50"},
    {FIELD_MEASURED, "first-p90"},
    {FIELD_MEASURED, "first-p99"},
    {FIELD_MEASURED, "first-p99.9"},
    {FIELD_MEASURED, "first-p99.99"},
    {FIELD_MEASURED, "first-max"},
    {FIELD_MEASURED, "message-p50"},
    {FIELD_MEASURED, "message-p90"},
    {FIELD_MEASURED, "message-p99"},
    {FIELD_MEASURED, "message-p99.9"},
    {FIELD_MEASURED, "message-p99.99"},
    {FIELD_MEASURED, "message-max"},
    {FIELD_MEASURED, "service-p50"},
    {FIELD_MEASURED, "service-p90"},
    {FIELD_MEASURED, "service-p99"},
    {FIELD_MEASURED, "service-p99.9"},
    {FIELD_MEASURED, "service-p99.99"},
    {FIELD_MEASURED, "service-max"},
    {FIELD_MEASURED, "client-busy"},
    {FIELD_RUN, "opening"},
    {FIELD_RUN, "held"},
    {FIELD_RUN, "held-failed"},
    {FIELD_RUN, "held-lost"},
    {FIELD_RUN, "held-opening"},
    {FIELD_RUN, "limited-by"},
};

/* Catches a name that changes, goes or moves, and a figure in a scope that it is not of: then a
 * table has a column without a head. */
START_TEST(scopes_give_their_figures_in_order)
{
    set_up("ping");
    for (unsigned scopes = 0; scopes <= ALL; scopes++) {
        size_t place = 0;
        take_all(scopes);
        for (size_t i = 0; i < SUITE_LENGTH(names); i++) {
            if ((names[i].scope & scopes) == 0)
                continue;
            ck_assert_uint_lt(place, taken_count);
            ck_assert_str_eq(taken[place].name, names[i].name);
            place++;
        }
        ck_assert_uint_eq(place, taken_count);
    }
}
END_TEST

/* Catches a figure that is taken from beside its own, where another of the same kind is. */
START_TEST(each_figure_is_of_its_own_source)
{
    set_up("ping");
    view.rate_asked = 1500;
    view.limit = "server";
    settings.working = (struct load_ramp){1, 64};
    settings.warm_up = 0.5;
    settings.timeout = 30;
    settings.held = 99; /* was wanted; what came of it is the result's */
    tally = (struct load_tally){.seconds = 2.5, .processor = 9, .lag = 8, .rate = 4.25,
                                .busy = 87.65, .count = 11, .late = 13, .pauses = 17,
                                .failures = 15,
                                .failed = {[FAILED_CONNECT] = 1, [FAILED_RESET] = 2,
                                           [FAILED_EARLY] = 3, [FAILED_WRONG] = 4,
                                           [FAILED_TIMEOUT] = 5}};
    result = (struct load_result){.round_count = 77, .spread = {21, 22.06, 23.06}, .opening = 0.125,
                                  .held = 80, .held_failed = 81, .held_lost = 82,
                                  .held_opening = 1.0625, .failures = 1000};
    result.sum = (struct load_tally){.count = 500, .rate = 501, .seconds = 502};
    take_all(ALL);
    expect("mode", "ping", "");
    expect("target", "127.0.0.1:7", "");
    expect("concurrency", "12", "");
    expect("size", "64", "bytes");
    expect("rate-asked", "1500.0", "messages/s");
    expect("ramp", "concurrency=1..64", "");
    expect("rounds", "3", "");
    expect("duration", "1.250", "s");
    expect("warm-up", "0.500", "s");
    expect("timeout", "30.000", "s");
    expect("processes", "4", "");
    expect("round", "2", "");
    expect("elapsed", "7.500", "s");
    expect("seconds", "2.500", "s");
    expect("count", "11", "messages");
    expect("rate", "4.2", "messages/s");
    expect("rate-min", "22.1", "messages/s");
    expect("rate-max", "23.1", "messages/s");
    expect("late", "13", "messages");
    expect("failed", "15", "");
    expect("failed-connect", "1", "");
    expect("failed-reset", "2", "");
    expect("failed-early", "3", "");
    expect("failed-wrong", "4", "");
    expect("failed-timeout", "5", "");
    expect("pauses", "17", "");
    expect("client-busy", "87.7", "%");
    expect("opening", "0.125", "s");
    expect("held", "80", "");
    expect("held-failed", "81", "");
    expect("held-lost", "82", "");
    expect("held-opening", "1.062", "s");
    expect("limited-by", "server", "");
}
END_TEST

/* Catches a percentile of another histogram, or another one of its own, and seconds that are told
 * as microseconds. */
START_TEST(times_are_percentiles_in_microseconds)
{
    static const char *const prefixes[] = {"", "connect-", "first-", "message-", "service-"};
    static const struct {
        const char *name;
        double percent;
    } percentiles[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}, {"p99.99", 99.99}};
    struct histogram *const times[] = {&tally.latency, &tally.connect, &tally.first, &tally.message,
                                       &tally.service};
    char name[32], longest[32];

    set_up("ping");
    for (size_t i = 0; i < SUITE_LENGTH(times); i++)
        for (int rank = 1; rank <= 100000; rank++)
            histogram_record(times[i], (double)(i + 1) * 3e-9 * rank);
    take_all(ALL);
    for (size_t i = 0; i < SUITE_LENGTH(times); i++) {
        for (size_t j = 0; j < SUITE_LENGTH(percentiles); j++) {
            double expected = (double)(i + 1) * 3 * percentiles[j].percent;
            double value;
            snprintf(name, sizeof name, "%s%s", prefixes[i], percentiles[j].name);
            value = strtod(taken[place_of(name)].value, NULL);
            ck_assert_msg(value > 0.99 * expected && value < 1.01 * expected, "%s: %g, not %g",
                          name, value, expected);
            ck_assert_str_eq(taken[place_of(name)].unit, "us");
        }
        snprintf(name, sizeof name, "%smax", prefixes[i]);
        snprintf(longest, sizeof longest, "%.1f", (double)(i + 1) * 300);
        expect(name, longest, "us");
    }
}
END_TEST

/* Catches a time of 0 where nothing was timed, which looks like a very good one, and a count of
 * nothing that is left out. */
START_TEST(what_there_was_not_has_no_value)
{
    set_up("ping");
    take_all(ALL);
    for (size_t i = 0; i < taken_count; i++) {
        bool is_none = strcmp(taken[i].unit, "us") == 0 || strcmp(taken[i].name, "ramp") == 0 ||
                       strcmp(taken[i].name, "rate-asked") == 0 ||
                       strcmp(taken[i].name, "limited-by") == 0;
        ck_assert_msg(taken[i].is_there == !is_none, "%s: '%s'", taken[i].name, taken[i].value);
    }
    expect("failed", "0", "");
    expect("rate", "0.0", "messages/s");
    expect("held-opening", "0.000", "s");
    histogram_record(&tally.first, 0); /* what took no time was */
    take_all(ALL);
    expect("first-max", "0.0", "us");
    expect("max", NULL, "us");
}
END_TEST

/* Catches a name that a reader takes for a number, or a number in quotation marks. */
START_TEST(only_names_are_no_numbers)
{
    set_up("ping");
    take_all(ALL);
    for (size_t i = 0; i < taken_count; i++) {
        bool is_name = strcmp(taken[i].name, "mode") == 0 || strcmp(taken[i].name, "target") == 0 ||
                       strcmp(taken[i].name, "ramp") == 0 ||
                       strcmp(taken[i].name, "limited-by") == 0;
        ck_assert_msg(taken[i].is_number == !is_name, "%s", taken[i].name);
    }
}
END_TEST

/* Catches bytes that are called messages, and a rate in another unit than the mode's. */
START_TEST(units_are_those_of_the_mode)
{
    static const struct {
        const char *mode, *counted, *rated;
    } cases[] = {{"connect", "connections", "connections/s"},
                 {"ping", "messages", "messages/s"},
                 {"stream", "bytes", "MB/s"}};

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        set_up(cases[i].mode);
        view.rate_asked = 5;
        take_all(ALL);
        expect("count", "0", cases[i].counted);
        expect("late", "0", cases[i].counted);
        expect("rate", "0.0", cases[i].rated);
        expect("rate-asked", "5.0", cases[i].rated);
        expect("rate-min", "0.0", cases[i].rated);
        expect("rate-max", "0.0", cases[i].rated);
    }
}
END_TEST

/* Catches figures that are cut where they are long, or written beyond their room. */
START_TEST(the_longest_figures_are_whole)
{
    char expected[VALUE_MAX];
    static char target[VALUE_MAX];

    set_up("ping");
    memset(target, 'x', sizeof target - 1);
    view.target = target;
    view.concurrency = SIZE_MAX;
    tally.count = UINT64_MAX;
    tally.rate = -DBL_MAX;
    tally.seconds = -DBL_MAX;
    take_all(ALL);
    expect("target", target, "");
    expect("count", "18446744073709551615", "messages");
    snprintf(expected, sizeof expected, "%zu", SIZE_MAX);
    expect("concurrency", expected, "");
    snprintf(expected, sizeof expected, "%.1f", -DBL_MAX);
    expect("rate", expected, "messages/s");
    snprintf(expected, sizeof expected, "%.3f", -DBL_MAX);
    expect("seconds", expected, "s");
}
END_TEST

/* Catches names or units that depend on figures which are not there yet. */
START_TEST(without_a_result_there_are_names_and_units)
{
    set_up("stream");
    view.result = NULL;
    take_all(ALL);
    ck_assert_uint_eq(taken_count, SUITE_LENGTH(names));
    expect("mode", NULL, "");
    expect("rate", NULL, "MB/s");
    expect("connect-p99", NULL, "us");
}
END_TEST

SUITE("load_fields", without_a_result_there_are_names_and_units,
      scopes_give_their_figures_in_order, each_figure_is_of_its_own_source,
      times_are_percentiles_in_microseconds, what_there_was_not_has_no_value,
      only_names_are_no_numbers, units_are_those_of_the_mode, the_longest_figures_are_whole)
