/* test_load_progress.c: what progress a run reports, and when (load/progress.h); how it looks on a
 * terminal is in tests/behaviour/test_load.py. */
#include "suite.h"

#include "load/progress.h"

static struct load_progress begun(void)
{
    struct load_progress progress;

    progress_begin(&progress, true, 0);
    return progress;
}

/* Where a run stands of which so much has been done at that time. */
static struct load_standing standing(struct load_progress *progress, double now, double done)
{
    ck_assert(progress_is_due(progress, now));
    return (struct load_standing){.rate = progress_rate(progress, done)};
}

/* Catches a line for each turn of the loop, and one where nobody looks. */
START_TEST(it_is_due_five_times_a_second)
{
    struct load_progress progress = begun();

    ck_assert(!progress_is_due(&progress, 0.19));
    ck_assert(progress_is_due(&progress, 0.21));
    ck_assert(!progress_is_due(&progress, 0.40));
    ck_assert(progress_is_due(&progress, 0.42));
    dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
    progress_begin(&progress, false, 0);
    ck_assert(!progress_is_due(&progress, 1));
}
END_TEST

/* Catches a rate since the start, and one that falls below 0 when a phase begins. */
START_TEST(a_rate_is_since_the_last_time)
{
    struct load_progress progress = begun();

    ck_assert_double_eq_tol(standing(&progress, 1, 100).rate, 100, 1e-9);
    ck_assert_double_eq_tol(standing(&progress, 3, 140).rate, 20, 1e-9);
    ck_assert_double_eq_tol(standing(&progress, 4, 30).rate, 30, 1e-9);
}
END_TEST

/* Catches a rate of several processes that is all of a round, as one process has begun the next one and the
 * others are still to tell of it. */
START_TEST(rates_of_several_add_up_across_phases)
{
    struct load_progress one = begun(), other = begun();
    struct load_standing sum, last;

    (void)standing(&one, 1, 1000);
    (void)standing(&other, 1, 1000);
    sum = standing(&one, 2, 5); /* of the next round */
    last = standing(&other, 2, 1010);
    standing_add(&sum, &last);
    ck_assert_double_eq_tol(sum.rate, 15, 1e-9);
}
END_TEST

SUITE("load_progress", it_is_due_five_times_a_second, a_rate_is_since_the_last_time,
      rates_of_several_add_up_across_phases)
