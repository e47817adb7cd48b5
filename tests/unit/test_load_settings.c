/* test_load_settings.c: what is asked of a run, and how several processes share it
 * (load/settings.h); what they do together is in tests/behaviour/test_load.py. */
#include "suite.h"

#include "base/pattern.h"
#include "load/schedule.h"
#include "load/settings.h"

#define DESCRIPTORS_BESIDE (settings_descriptors(&(struct load_settings){.processes = 1}))

/* Catches a connection that nobody has or that two have, and one process with much more to do. */
START_TEST(shares_add_up_to_the_whole)
{
    struct load_settings settings = {0};

    for (settings.concurrency = 1; settings.concurrency < 12; settings.concurrency++)
        for (settings.held = 0; settings.held < 12; settings.held++)
            for (settings.processes = 1; settings.processes <= settings.concurrency + settings.held;
                 settings.processes++) {
                size_t work = 0, held = 0, most = 0, least = 100;
                for (size_t i = 0; i < settings.processes; i++) {
                    struct load_settings share = settings_share(&settings, i);
                    size_t all = share.concurrency + share.held;
                    work += share.concurrency;
                    held += share.held;
                    most = all > most ? all : most;
                    least = all < least ? all : least;
                }
                ck_assert_uint_eq(work, settings.concurrency);
                ck_assert_uint_eq(held, settings.held);
                ck_assert_uint_le(most, least + 2);
                ck_assert_uint_ge(least + (settings.held == 0), 1);
            }
}
END_TEST

/* Catches a request of a schedule that two processes begin, or none, and one that has no connection
 * for it. */
START_TEST(a_schedule_is_dealt_out)
{
    struct load_settings settings = {.concurrency = 3, .held = 5, .processes = 4,
                                     .rate = {100, 100}};
    bool begun[25] = {false};

    for (size_t i = 0; i < 4; i++) {
        struct load_settings share = settings_share(&settings, i);
        struct load_schedule schedule;
        schedule_begin(&schedule, 0, 0.25, share.rate.from, 0);
        schedule_share(&schedule, share.place, share.parts);
        ck_assert((share.rate.from > 0) == (share.concurrency > 0));
        while (share.rate.from > 0 && schedule_left(&schedule) > 0) {
            size_t request = (size_t)(schedule_take(&schedule) * 100 + 0.5);
            ck_assert_uint_lt(request, SUITE_LENGTH(begun));
            ck_assert(!begun[request]);
            begun[request] = true;
        }
    }
    for (size_t i = 0; i < SUITE_LENGTH(begun); i++)
        ck_assert_msg(begun[i], "%zu", i);
}
END_TEST

/* Catches connections of two processes that send the same bytes, which then could be crossed. */
START_TEST(connections_have_numbers_of_their_own)
{
    struct load_settings settings = {.concurrency = 300, .processes = 3}, shares[3];

    for (size_t i = 0; i < 3; i++)
        shares[i] = settings_share(&settings, i);
    ck_assert_uint_ge(shares[1].numbers, shares[0].numbers + 10000);
    ck_assert_uint_ge(shares[2].numbers, shares[1].numbers + 10000);
    ck_assert_uint_lt(shares[2].numbers, PATTERN_PERIOD);
}
END_TEST

/* Catches more processes than descriptors ask for, too few of them, and a parent that lacks
 * descriptors. */
START_TEST(there_are_as_many_processes_as_descriptors_ask_for)
{
    struct load_settings settings = {.concurrency = 100, .held = 29900, .processes = 1};

    ck_assert_uint_eq(settings_descriptors(&settings), 30000 + DESCRIPTORS_BESIDE);
    ck_assert_uint_eq(settings_fewest_processes(&settings, 30000 + DESCRIPTORS_BESIDE), 1);
    ck_assert_uint_eq(settings_fewest_processes(&settings, 29999 + DESCRIPTORS_BESIDE), 2);
    ck_assert_uint_eq(settings_fewest_processes(&settings, 20000), 2);
    settings.held = 2;
    ck_assert_uint_eq(settings_fewest_processes(&settings, DESCRIPTORS_BESIDE + 34), 3);
    /* The parent would need 21. */
    ck_assert_uint_eq(settings_fewest_processes(&settings, DESCRIPTORS_BESIDE + 5), 0);
    ck_assert_uint_eq(settings_fewest_processes(&settings, 3), 0);
    ck_assert_uint_ge(DESCRIPTORS_BESIDE, 3);
}
END_TEST

/* Catches Nagle's algorithm where it would be measured: in all that a small segment may follow. */
START_TEST(small_segments_do_not_wait)
{
    struct load_settings settings = {0};
    static const struct {
        const char *mode;
        size_t size;
        bool no_delay;
    } cases[] = {{"ping", 1, true},          {"dribble", 64, true},  {"connect", 64, false},
                 {"connect", 537, true},     {"stream", 64, false},  {"hold", 64, false},
                 {"halfclose", 1000, true}, {"reset", 64, false}};

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        settings.mode = load_mode(cases[i].mode);
        settings.size = cases[i].size;
        ck_assert_msg(settings_want_no_delay(&settings) == cases[i].no_delay, "%s", cases[i].mode);
    }
}
END_TEST

/* Catches an interval that is left out, or one of no time that rounding has brought in. */
START_TEST(a_duration_is_cut_into_intervals)
{
    static const struct {
        double duration, interval;
        size_t rows;
    } cases[] = {{1, 1, 1},       {1, 0.5, 2},     {1, 0.3, 4},      {1, 5, 1},
                 {0.3, 0.1, 3},   {5, 0.005, 1000}, {5, 0.004, 1001}, {86400, 0.001, 1001}};
    struct load_settings settings = {.rounds = 7, .duration = 1};

    ck_assert_uint_eq(settings_rows(&settings), 7);
    settings.rounds = 1;
    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        settings.duration = cases[i].duration;
        settings.interval = cases[i].interval;
        ck_assert_msg(settings_rows(&settings) == cases[i].rows, "%g by %g: %zu", cases[i].duration,
                      cases[i].interval, settings_rows(&settings));
    }
}
END_TEST

/* Catches a ramp that ends elsewhere, and one that falls and counts as constant. */
START_TEST(a_ramp_goes_from_one_end_to_the_other)
{
    const struct load_ramp up = {1, 5}, down = {5, 1}, level = {5, 5};

    ck_assert(ramp_changes(&up) && ramp_changes(&down) && !ramp_changes(&level));
    ck_assert_double_eq(ramp_at(&up, 0), 1);
    ck_assert_double_eq(ramp_at(&up, 0.25), 2);
    ck_assert_double_eq(ramp_at(&down, 0.25), 4);
    ck_assert_double_eq(ramp_at(&down, 1), 1);
    ck_assert_double_eq(ramp_at(&level, 0.7), 5);
}
END_TEST

SUITE("load_settings", a_duration_is_cut_into_intervals, a_ramp_goes_from_one_end_to_the_other,
      shares_add_up_to_the_whole, a_schedule_is_dealt_out,
      connections_have_numbers_of_their_own, there_are_as_many_processes_as_descriptors_ask_for,
      small_segments_do_not_wait)
