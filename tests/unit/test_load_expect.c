/* test_load_expect.c: what figures are expected to be (load/expect.h). */
#include "suite.h"

#include "load/expect.h"

static struct load_settings settings;
static struct load_result result;
static struct load_view view = {.settings = &settings, .result = &result, .tally = &result.sum,
                                .mode = "ping", .target = "127.0.0.1:7"};
static struct expectations list;
static char problem[EXPECT_PROBLEM_MAX];

static void read_one(const char *word)
{
    list.count = 0;
    ck_assert_msg(expect_add(&list, word, strlen(word), settings.mode, problem) == 0, "%s: %s", word,
                  problem);
}

static bool holds(const char *word)
{
    read_one(word);
    return expect_holds(&list.list[0], &view, problem);
}

static void set_up(void)
{
    settings = (struct load_settings){.mode = load_mode("ping"), .concurrency = 8};
    result.sum.failures = 3;
    result.sum.rate = 1234.56;
    result.sum.seconds = 2;
    result.sum.busy = 50;
    histogram_record(&result.sum.latency, 0.005);
}

/* Catches an operator that is taken for another, above all where both sides are equal. */
START_TEST(each_operator_is_what_it_says)
{
    static const struct {
        const char *operator;
        bool below, at, above;
    } cases[] = {{"<", false, false, true},
                 {"<=", false, true, true},
                 {"=", false, true, false},
                 {">=", true, true, false},
                 {">", true, false, false}};

    set_up();
    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        const bool expected[] = {cases[i].below, cases[i].at, cases[i].above};
        for (int value = 2; value <= 4; value++) { /* there are 3 */
            char word[32];
            snprintf(word, sizeof word, "failed%s%d", cases[i].operator, value);
            ck_assert_msg(holds(word) == expected[value - 2], "%s", word);
        }
    }
}
END_TEST

/* Catches a time in one unit that is compared with another, and one that rounding makes another. */
START_TEST(times_may_have_any_unit)
{
    static const char *const same[] = {"max=5000", "max=5000us", "max=5ms", "max=0.005s", "max=5.0ms",
                                       "seconds=2", "seconds=2s", "seconds=2000ms",
                                       "seconds>=2000000us", "seconds<1m", "seconds<0.001h",
                                       "client-busy=50%", "client-busy=50", "rate=1234.6",
                                       "rate=1234.6messages/s", "failed-reset=0"};

    set_up();
    for (size_t i = 0; i < SUITE_LENGTH(same); i++)
        ck_assert_msg(holds(same[i]), "%s: %s", same[i], problem);
    ck_assert(!holds("max<5ms"));
    ck_assert(!holds("max>5ms"));
}
END_TEST

/* Catches a distance of the wrong sign or in the wrong unit. */
START_TEST(what_it_is_and_how_far_off_is_said)
{
    set_up();
    ck_assert(!holds("max<2ms"));
    ck_assert_str_eq(problem, "5000.0 us, 3000 us more");
    ck_assert(!holds("rate>1300"));
    ck_assert_str_eq(problem, "1234.6 messages/s, 65.4 messages/s less");
    ck_assert(!holds("failed=0"));
    ck_assert_str_eq(problem, "3, 3 more");
}
END_TEST

/* Catches a run of nothing that passes for a good one. */
START_TEST(a_figure_that_is_not_there_is_not_as_expected)
{
    set_up();
    ck_assert(!holds("connect-p99<1h"));
    ck_assert_str_eq(problem, "none");
    ck_assert(!holds("connect-p99>0"));
}
END_TEST

static void refused(const char *word, const char *why)
{
    list.count = 0;
    ck_assert_msg(expect_add(&list, word, strlen(word), settings.mode, problem) == -1, "%s", word);
    ck_assert_msg(strstr(problem, why) != NULL, "%s: %s", word, problem);
    ck_assert_uint_eq(list.count, 0);
}

/* Catches a word that is half understood: the test that it is for would then test another thing. */
START_TEST(bad_words_are_refused_by_what_is_bad)
{
    static const char *const no_numbers[] = {"p99<", "p99<-1", "p99<1e3", "p99<5 ms", "p99< 5", "p99<5x",
                                             "p99<5ms ", "p99<<5", "p99<5%", "p99=<5", "p99<0x5",
                                             "p99<5.", "p99==5"};
    static const char *const no_conditions[] = {"", "p99", "<5", "=", "5ms"};
    static const char *const no_figures[] = {"p98<5", "round=1", "P99<5", "p99 <5", "p99!=5"};

    set_up();
    for (size_t i = 0; i < SUITE_LENGTH(no_numbers); i++)
        refused(no_numbers[i], "does not end in a time such as 500us or 5ms; a number alone is of us");
    for (size_t i = 0; i < SUITE_LENGTH(no_conditions); i++)
        refused(no_conditions[i], "is not a figure of the report, one of < <= = >= >, and a value");
    for (size_t i = 0; i < SUITE_LENGTH(no_figures); i++)
        refused(no_figures[i], "begins with no figure of the report");
    refused("mode=1", "is of no number");
    refused("target=x", "is of no number");
    refused("failed=0us", "'failed=0us' does not end in a number");
    refused("rate=5connections/s", "a number, alone or followed by messages/s");
    refused("rate=5ms", "a number, alone or followed by messages/s");
}
END_TEST

/* Catches a list that is written beyond its end, and a word that is cut. */
START_TEST(a_list_has_an_end)
{
    char word[EXPECTATION_MAX + 1];

    set_up();
    memset(word, '0', sizeof word);
    memcpy(word, "p99<", 4);
    word[EXPECTATION_MAX] = '\0';
    refused(word, "less than 64 bytes");
    for (size_t i = 0; i < EXPECTATIONS_MAX; i++)
        ck_assert_int_eq(expect_add(&list, "failed=0,rest", 8, settings.mode, problem), 0);
    ck_assert_int_eq(expect_add(&list, "failed=0", 8, settings.mode, problem), -1);
    ck_assert_uint_eq(list.count, EXPECTATIONS_MAX);
    ck_assert(expect_names(&list, "failed"));
    ck_assert(!expect_names(&list, "failed-reset"));
}
END_TEST

SUITE("load_expect", each_operator_is_what_it_says, times_may_have_any_unit,
      what_it_is_and_how_far_off_is_said, a_figure_that_is_not_there_is_not_as_expected,
      bad_words_are_refused_by_what_is_bad, a_list_has_an_end)
