/* test_load_mode.c: the workloads of the load generator (load/mode.h). */
#include "suite.h"

#include "load/mode.h"

static const char *const names[] = {"connect", "ping",      "stream",  "hold", "reset",
                                    "halfclose", "dribble", "nonreading", "storm"};

/* Catches a mode that is not found by its name, and one that is found by another's. */
START_TEST(each_mode_has_its_name)
{
    for (size_t i = 0; i < SUITE_LENGTH(names); i++) {
        const struct load_mode *mode = load_mode(names[i]);
        ck_assert_msg(mode != NULL, "%s", names[i]);
        ck_assert_str_eq(mode->name, names[i]);
        ck_assert_ptr_eq(load_mode(mode->name), mode);
    }
}
END_TEST

/* Catches an earlier name that is not taken any more, or that a report would show. */
START_TEST(an_earlier_name_is_still_taken)
{
    ck_assert_ptr_nonnull(load_mode("deaf"));
    ck_assert_str_eq(load_mode("deaf")->name, "nonreading");
}
END_TEST

/* Catches a search that takes the beginning of a name for it, or any name at all. */
START_TEST(other_names_are_no_modes)
{
    static const char *const others[] = {"", "pin", "pings", "ping ", "Ping", "PING", "echo", "-"};

    for (size_t i = 0; i < SUITE_LENGTH(others); i++)
        ck_assert_msg(load_mode(others[i]) == NULL, "'%s'", others[i]);
}
END_TEST

/* Catches a mode that does another's work: all that tells them apart is this. */
START_TEST(each_mode_does_its_own_work)
{
    static const struct {
        enum load_kind kind;
        enum connection_goal goal;
        bool keeps;
        const char *counted;
    } expected[] = {
        {LOAD_REQUESTS, GOAL_ECHO, false, "connections"},
        {LOAD_REQUESTS, GOAL_ECHO, true, "messages"},
        {LOAD_STREAM, GOAL_ECHO, true, "bytes"},
        {LOAD_HOLD, GOAL_ECHO, true, "connections"},
        {LOAD_REQUESTS, GOAL_SEND, false, "connections"},
        {LOAD_REQUESTS, GOAL_END, false, "connections"},
        {LOAD_REQUESTS, GOAL_DRIBBLE, true, "messages"},
        {LOAD_HOLD, GOAL_NONE, true, "connections"},
        {LOAD_REQUESTS, GOAL_CONNECT, false, "connections"},
    };

    for (size_t i = 0; i < SUITE_LENGTH(names); i++) {
        const struct load_mode *mode = load_mode(names[i]);
        ck_assert_msg(mode->kind == expected[i].kind && mode->goal == expected[i].goal &&
                          mode->keeps == expected[i].keeps, "%s", names[i]);
        ck_assert_str_eq(mode->counted, expected[i].counted);
    }
}
END_TEST

/* Catches a rate that is not of what is counted, or off by a million: "MB/s" are millions of
 * bytes, and all else is counted one by one. */
START_TEST(a_rate_is_of_what_is_counted)
{
    for (size_t i = 0; i < SUITE_LENGTH(names); i++) {
        const struct load_mode *mode = load_mode(names[i]);
        bool bytes = strcmp(mode->counted, "bytes") == 0;
        char rated[64];
        snprintf(rated, sizeof rated, "%s/s", bytes ? "MB" : mode->counted);
        ck_assert_str_eq(mode->rated, rated);
        ck_assert_double_eq(mode->unit, bytes ? 1e6 : 1);
    }
}
END_TEST

/* Catches a message of no bytes, which never comes back, and one that the table of bytes does not
 * have in one write: the modes that are to move much would be measured in pieces. */
START_TEST(a_default_message_is_one_write)
{
    for (size_t i = 0; i < SUITE_LENGTH(names); i++) {
        uint64_t size = load_mode(names[i])->default_size;
        ck_assert_msg(size > 0 && size <= PATTERN_SLICE_MAX, "%s", names[i]);
    }
}
END_TEST

/* Catches a kept connection whose opening never is complete, since it waits for an echo that it
 * does not read, and one that stands but was not seen to be served. */
START_TEST(who_reads_is_opened_with_an_echo)
{
    for (size_t i = 0; i < SUITE_LENGTH(names); i++) {
        const struct load_mode *mode = load_mode(names[i]);
        enum connection_goal opening = load_opening(mode);
        if (!mode->keeps)
            continue;
        ck_assert_msg(opening == GOAL_ECHO || opening == GOAL_DRIBBLE ||
                          (opening == GOAL_CONNECT && mode->goal == GOAL_NONE), "%s", names[i]);
    }
    ck_assert_int_eq(load_opening(load_mode("nonreading")), GOAL_CONNECT);
    ck_assert_int_eq(load_opening(load_mode("dribble")), GOAL_DRIBBLE);
}
END_TEST

SUITE("load_mode", each_mode_has_its_name, an_earlier_name_is_still_taken,
      other_names_are_no_modes, each_mode_does_its_own_work, a_rate_is_of_what_is_counted,
      a_default_message_is_one_write, who_reads_is_opened_with_an_echo)
