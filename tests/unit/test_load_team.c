/* test_load_team.c: how a run is shared by several processes (load/team.h); what they do together
 * is in tests/behaviour/test_load.py. */
#include "suite.h"

#include "load/schedule.h"
#include "load/team.h"

#define DESCRIPTORS_BESIDE (load_descriptors(&(struct load_settings){0}))

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
                    struct load_settings share = team_share(&settings, i);
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

/* Catches a piece of a schedule that two processes begin, or none, and one that has no connection
 * for it. */
START_TEST(a_schedule_is_dealt_out)
{
    struct load_settings settings = {.concurrency = 3, .held = 5, .processes = 4, .rate = 100};
    bool begun[25] = {false};

    for (size_t i = 0; i < 4; i++) {
        struct load_settings share = team_share(&settings, i);
        struct load_schedule schedule;
        schedule_begin(&schedule, share.rate_after, 0.25 - share.rate_after, share.rate);
        ck_assert((share.rate > 0) == (share.concurrency > 0));
        while (share.rate > 0 && schedule_left(&schedule) > 0) {
            size_t piece = (size_t)(schedule_take(&schedule) * 100 + 0.5);
            ck_assert_uint_lt(piece, SUITE_LENGTH(begun));
            ck_assert(!begun[piece]);
            begun[piece] = true;
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
        shares[i] = team_share(&settings, i);
    ck_assert_uint_ge(shares[1].numbers, shares[0].numbers + 10000);
    ck_assert_uint_ge(shares[2].numbers, shares[1].numbers + 10000);
    ck_assert_uint_lt(shares[2].numbers, PATTERN_PERIOD);
}
END_TEST

/* Catches a team that is larger than its descriptors ask for, or too small for them, or whose
 * leader lacks them. */
START_TEST(a_team_is_as_large_as_descriptors_ask_for)
{
    struct load_settings settings = {.concurrency = 100, .held = 29900, .processes = 1};

    ck_assert_uint_eq(team_descriptors(&settings), 30000 + DESCRIPTORS_BESIDE);
    ck_assert_uint_eq(team_size(&settings, 30000 + DESCRIPTORS_BESIDE), 1);
    ck_assert_uint_eq(team_size(&settings, 29999 + DESCRIPTORS_BESIDE), 2);
    ck_assert_uint_eq(team_size(&settings, 20000), 2);
    settings.held = 2;
    ck_assert_uint_eq(team_size(&settings, DESCRIPTORS_BESIDE + 34), 3);
    ck_assert_uint_eq(team_size(&settings, DESCRIPTORS_BESIDE + 5), 0); /* it cannot lead 21 */
    ck_assert_uint_eq(team_size(&settings, 3), 0);
}
END_TEST

SUITE("load_team", shares_add_up_to_the_whole, a_schedule_is_dealt_out,
      connections_have_numbers_of_their_own, a_team_is_as_large_as_descriptors_ask_for)
