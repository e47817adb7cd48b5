/* test_load_schedule.c: when each request is to begin (load/schedule.h). */
#include "suite.h"

#include "load/schedule.h"

static struct load_schedule schedule;

/* Catches a request too many or too few at the end of a round, or a first that waits. */
START_TEST(requests_are_at_equal_distances_from_the_start)
{
    schedule_begin(&schedule, 100, 2, 4, 0);
    ck_assert_uint_eq(schedule_left(&schedule), 8);
    for (int i = 0; i < 8; i++)
        ck_assert_double_eq_tol(schedule_take(&schedule), 100 + i * 0.25, 1e-9);
    ck_assert_uint_eq(schedule_left(&schedule), 0);
}
END_TEST

/* Catches a fraction of a request that is lost: it is to begin before the end; and a request that
 * only rounding has brought in. */
START_TEST(a_request_just_before_the_end_is_in_the_round)
{
    schedule_begin(&schedule, 0, 1.1, 10, 0);
    ck_assert_uint_eq(schedule_left(&schedule), 11);
    schedule_begin(&schedule, 0, 1.101, 10, 0);
    ck_assert_uint_eq(schedule_left(&schedule), 12);
    schedule_begin(&schedule, 0, 0.1 + 0.2, 10, 0); /* which is a little more than 0.3 */
    ck_assert_uint_eq(schedule_left(&schedule), 3);
    schedule_begin(&schedule, 0, 0.001, 1, 0);
    ck_assert_uint_eq(schedule_left(&schedule), 1);
}
END_TEST

/* Catches work in a round of no time, and in one that has no schedule at all. */
START_TEST(a_round_of_no_time_has_no_work)
{
    ck_assert_uint_eq(schedule_left(&schedule), 0);
    schedule_begin(&schedule, 5, 0, 1000, 0);
    ck_assert_uint_eq(schedule_left(&schedule), 0);
}
END_TEST

/* Catches distances that add up to another rate: a day of a million a second. */
START_TEST(no_error_grows_with_the_number)
{
    schedule_begin(&schedule, 1e6, 86400, 1e6, 0);
    schedule.next = schedule.total - 1;
    ck_assert_double_eq_tol(schedule_take(&schedule), 1e6 + 86400 - 1e-6, 1e-7);
}
END_TEST

/* Catches a cut that takes back what has been taken, or leaves something. */
START_TEST(a_cut_forgets_what_is_not_taken)
{
    schedule_begin(&schedule, 0, 1, 10, 0);
    schedule_take(&schedule);
    schedule_cut(&schedule);
    ck_assert_uint_eq(schedule_left(&schedule), 0);
    ck_assert_uint_eq(schedule.next, 1);
}
END_TEST

/* The requests that are due in a ramp before `seconds` have passed, by the rate in the middle. */
static double due_before(double from, double growth, double seconds)
{
    return seconds * (from + growth * seconds / 2);
}

/* Catches a ramp that begins or ends at another rate, or has a step in it; up, down and level. */
START_TEST(a_rate_grows_evenly)
{
    static const double growths[] = {90, 0.5, 0, -0.5, -9.9};

    for (size_t i = 0; i < SUITE_LENGTH(growths); i++) {
        double growth = growths[i], before = -1;
        uint64_t total;
        schedule_begin(&schedule, 100, 10, 100, growth);
        total = schedule_left(&schedule);
        ck_assert_double_eq_tol((double)total, due_before(100, growth, 10), 1);
        for (uint64_t number = 0; number < total; number++) {
            double due = schedule_take(&schedule) - 100;
            ck_assert_double_eq_tol(due_before(100, growth, due), (double)number, 1e-6);
            ck_assert(due > before && due < 10);
            before = due;
        }
    }
}
END_TEST

/* Catches a request that two parts have, or none, where the number of requests is no multiple. */
START_TEST(parts_add_up_to_the_whole)
{
    bool taken[25] = {false};

    for (uint64_t place = 0; place < 7; place++) {
        uint64_t left;
        schedule_begin(&schedule, 0, 2.5, 10, 0);
        schedule_share(&schedule, place, 7);
        for (left = schedule_left(&schedule); left > 0; left--) {
            size_t number = (size_t)(schedule_take(&schedule) * 10 + 0.5);
            ck_assert_uint_lt(number, SUITE_LENGTH(taken));
            ck_assert(!taken[number]);
            taken[number] = true;
        }
        ck_assert_uint_eq(schedule_left(&schedule), 0);
    }
    for (size_t i = 0; i < SUITE_LENGTH(taken); i++)
        ck_assert_msg(taken[i], "%zu", i);
}
END_TEST

SUITE("load_schedule", a_rate_grows_evenly, parts_add_up_to_the_whole,
      requests_are_at_equal_distances_from_the_start,
      a_request_just_before_the_end_is_in_the_round, a_round_of_no_time_has_no_work,
      no_error_grows_with_the_number, a_cut_forgets_what_is_not_taken)
