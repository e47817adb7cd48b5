/* test_load_schedule.c: when each request is to begin (load/schedule.h). */
#include "suite.h"

#include "load/schedule.h"

static struct load_schedule schedule;

/* Catches a request too many or too few at the end of a round, or a first that waits. */
START_TEST(requests_are_at_equal_distances_from_the_start)
{
    schedule_begin(&schedule, 100, 2, 4);
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
    schedule_begin(&schedule, 0, 1.1, 10);
    ck_assert_uint_eq(schedule_left(&schedule), 11);
    schedule_begin(&schedule, 0, 1.101, 10);
    ck_assert_uint_eq(schedule_left(&schedule), 12);
    schedule_begin(&schedule, 0, 0.1 + 0.2, 10); /* which is a little more than 0.3 */
    ck_assert_uint_eq(schedule_left(&schedule), 3);
    schedule_begin(&schedule, 0, 0.001, 1);
    ck_assert_uint_eq(schedule_left(&schedule), 1);
}
END_TEST

/* Catches work in a round of no time, and in one that has no schedule at all. */
START_TEST(a_round_of_no_time_has_no_work)
{
    ck_assert_uint_eq(schedule_left(&schedule), 0);
    schedule_begin(&schedule, 5, 0, 1000);
    ck_assert_uint_eq(schedule_left(&schedule), 0);
}
END_TEST

/* Catches distances that add up to another rate: a day of a million a second. */
START_TEST(no_error_grows_with_the_number)
{
    schedule_begin(&schedule, 1e6, 86400, 1e6);
    schedule.taken = schedule.total - 1;
    ck_assert_double_eq_tol(schedule_take(&schedule), 1e6 + 86400 - 1e-6, 1e-7);
}
END_TEST

/* Catches a cut that takes back what has been taken, or leaves something. */
START_TEST(a_cut_forgets_what_is_not_taken)
{
    schedule_begin(&schedule, 0, 1, 10);
    schedule_take(&schedule);
    schedule_cut(&schedule);
    ck_assert_uint_eq(schedule_left(&schedule), 0);
    ck_assert_uint_eq(schedule.taken, 1);
}
END_TEST

SUITE("load_schedule", requests_are_at_equal_distances_from_the_start,
      a_request_just_before_the_end_is_in_the_round, a_round_of_no_time_has_no_work,
      no_error_grows_with_the_number, a_cut_forgets_what_is_not_taken)
